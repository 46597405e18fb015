//! What this room reads, for the mutation loop.

use crate::push::{cache, state};
use crate::soak::Target;

pub(crate) fn targets() -> Vec<Target> {
    let mut targets = cache::soak::targets();
    targets.push(state::soak::target());
    targets
}
