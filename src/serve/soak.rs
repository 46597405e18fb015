//! What this room reads, for the mutation loop.

mod conversations;

use crate::serve::{api, http, store};
use crate::soak::Target;

pub(crate) fn targets() -> Vec<Target> {
    let mut targets = http::soak::targets();
    targets.extend(api::soak::targets());
    targets.push(store::soak::target());
    targets.push(conversations::target());
    targets
}
