//! How much of a push went by with waiting, and what for.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What was waited for. Where several wait at once, the time is that of the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Why {
    /// The registry asked for it.
    Pause,
    /// A turn, where requests are limited.
    Requests,
    /// A turn, where bytes are limited.
    Bandwidth,
    /// The next try, or the next look.
    Retry,
    /// Another process that sends the same.
    Other,
}

const KINDS: usize = 5;

/// Time in which somebody waited, each moment counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waited {
    /// As the registry asked.
    pub pause: Duration,
    /// For requests, as many as there may be in a second.
    pub requests: Duration,
    /// For bytes, as many as there may be in a second.
    pub bandwidth: Duration,
    /// Between tries, and between looks at what became of something.
    pub retry: Duration,
    /// For other processes that sent the same.
    pub other: Duration,
}

impl Waited {
    pub fn total(self) -> Duration {
        self.pause + self.requests + self.bandwidth + self.retry + self.other
    }
}

impl std::ops::AddAssign for Waited {
    fn add_assign(&mut self, more: Self) {
        self.pause += more.pause;
        self.requests += more.requests;
        self.bandwidth += more.bandwidth;
        self.retry += more.retry;
        self.other += more.other;
    }
}

#[derive(Debug, Default)]
pub(in crate::registry) struct Waits(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: [usize; KINDS],
    /// When this last changed.
    since: Option<Instant>,
    waited: [Duration; KINDS],
}

impl Waits {
    pub(in crate::registry) fn begin(&self, why: Why, now: Instant) {
        let mut state = self.state();
        state.pass(now);
        state.waiting[why as usize] += 1;
    }

    /// Of a wait that has begun.
    pub(in crate::registry) fn end(&self, why: Why, now: Instant) {
        let mut state = self.state();
        state.pass(now);
        let waiting = &mut state.waiting[why as usize];
        *waiting = waiting.saturating_sub(1);
    }

    /// Waits that have not ended are not in it.
    pub(in crate::registry) fn waited(&self) -> Waited {
        let [pause, requests, bandwidth, retry, other] = self.state().waited;
        Waited {
            pause,
            requests,
            bandwidth,
            retry,
            other,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pass(&mut self, now: Instant) {
        let since = self.since.replace(now).unwrap_or(now);
        if let Some(first) = self.waiting.iter().position(|count| *count > 0) {
            self.waited[first] += now.saturating_duration_since(since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_moment_counts_once_and_for_one_reason() {
        let start = Instant::now();
        let waits = Waits::default();
        let at = |seconds| start + Duration::from_secs(seconds);
        waits.begin(Why::Retry, at(1));
        waits.begin(Why::Retry, at(2));
        waits.begin(Why::Bandwidth, at(4));
        waits.end(Why::Retry, at(5));
        waits.begin(Why::Pause, at(6));
        waits.begin(Why::Requests, at(7));
        waits.end(Why::Pause, at(10));
        waits.end(Why::Requests, at(12));
        waits.end(Why::Bandwidth, at(13));
        waits.end(Why::Retry, at(20));
        waits.begin(Why::Requests, at(30));
        waits.end(Why::Requests, at(31));
        waits.begin(Why::Other, at(40));
        waits.end(Why::Other, at(45));
        let waited = waits.waited();
        let seconds = Duration::from_secs;
        let expected = Waited {
            pause: seconds(4),
            requests: seconds(2 + 1),
            bandwidth: seconds(2 + 1),
            retry: seconds(3 + 7),
            other: seconds(5),
        };
        assert_eq!(waited, expected);
        assert_eq!(waited.total(), seconds(25));
    }
}
