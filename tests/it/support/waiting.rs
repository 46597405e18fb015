//! Waiting for what another process or thread does.

use std::thread;
use std::time::{Duration, Instant};

/// Between two looks: often enough to be in the middle of something, without keeping a processor busy.
const MOMENT: Duration = Duration::from_millis(2);

/// Returns when it is so; panics after a minute.
#[track_caller]
pub(crate) fn wait_until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never is");
        thread::sleep(MOMENT);
    }
}
