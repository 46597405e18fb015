//! Time as an argument, and the word to stop.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Where now and sleep come from; tests have one that is moved by hand.
pub trait Clock: Send + Sync {
    fn now(&self) -> Instant;

    /// Seconds since 1970, for `Retry-After` dates.
    fn unix(&self) -> u64;

    /// Waits, or ends early when it is time to stop: false then.
    fn sleep(&self, duration: Duration) -> bool;
}

impl fmt::Debug for dyn Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Another clock, up to the word to stop.
pub(crate) struct Until {
    clock: Arc<dyn Clock>,
    stop: Stop,
}

impl Until {
    pub(crate) fn new(clock: Arc<dyn Clock>, stop: Stop) -> Self {
        Self { clock, stop }
    }
}

impl Clock for Until {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn unix(&self) -> u64 {
        self.clock.unix()
    }

    fn sleep(&self, duration: Duration) -> bool {
        !self.stop.is_stopped() && self.clock.sleep(duration) && !self.stop.is_stopped()
    }
}

/// Set once, seen by all: sleeps end and nothing new begins. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    pub fn stop(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    pub fn is_stopped(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits at most `duration`; true when stopped.
    pub fn wait(&self, duration: Duration) -> bool {
        let guard = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .0
            .1
            .wait_timeout_while(guard, duration, |stopped| !*stopped);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The machine's clock.
#[derive(Clone, Debug, Default)]
pub struct SystemClock {
    pub stop: Stop,
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn unix(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |elapsed| elapsed.as_secs())
    }

    fn sleep(&self, duration: Duration) -> bool {
        !self.stop.wait(duration)
    }
}
