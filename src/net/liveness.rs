//! Which idle connections are still to be trusted.
//!
//! After a suspend, or when a network has forgotten them, connections are dead and nobody says so:
//! whoever sends something over one waits for as long as a stall may be. So the first who does warns the
//! others, and a clock that has gone on while the other stood still warns even the first.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Clocks are set now and then, and never agree to the millisecond.
const MOST_DRIFT: Duration = Duration::from_secs(10);

/// When a connection was last known to work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alive {
    at: Instant,
    wall: SystemTime,
}

impl Alive {
    pub(super) fn now() -> Self {
        Alive {
            at: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// Whether the machine seems to have slept since: the one clock stands still meanwhile, on Linux, and
    /// the other does not.
    fn has_slept(self, now: Self) -> bool {
        let passed = now.at.saturating_duration_since(self.at);
        let shown = now.wall.duration_since(self.wall).unwrap_or_default();
        shown.saturating_sub(passed) > MOST_DRIFT
    }
}

/// What silence has been met.
#[derive(Debug, Default)]
pub(super) struct Doubt(Mutex<Option<Instant>>);

impl Doubt {
    /// A request that `began` then on a connection that had been idle was met with silence: those that
    /// have been idle since before may be as dead.
    pub(super) fn silence(&self, began: Instant) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = (*last).max(Some(began));
    }

    pub(super) fn trusts(&self, alive: Alive) -> bool {
        self.trusts_at(alive, Alive::now())
    }

    fn trusts_at(&self, alive: Alive, now: Alive) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_none_or(|began| alive.at >= began) && !alive.has_slept(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_idle_before_a_silence_or_a_suspend_is_not_trusted() {
        let start = Alive::now();
        let after = |passed: u64, shown: u64| Alive {
            at: start.at + Duration::from_secs(passed),
            wall: start.wall + Duration::from_secs(shown),
        };
        let doubt = Doubt::default();
        for (passed, shown, trusted) in [
            (0, 0, true),
            (40, 40, true),
            (40, 49, true),
            (40, 51, false),
            (1, 3600, false),
            // The clock was set back.
            (3600, 1, true),
        ] {
            let now = after(passed, shown);
            assert_eq!(doubt.trusts_at(start, now), trusted, "{passed} {shown}");
        }
        doubt.silence(after(5, 5).at);
        doubt.silence(after(4, 4).at);
        let now = after(7, 7);
        assert!(!doubt.trusts_at(start, now));
        assert!(!doubt.trusts_at(after(4, 4), now));
        assert!(doubt.trusts_at(after(6, 6), now));
    }
}
