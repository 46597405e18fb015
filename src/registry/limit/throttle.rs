//! So many bytes per second for all bodies that go to one registry together.
//!
//! They take turns with small pieces, so that each connection moves every second or so, however low
//! the rate: nobody takes it for one that stands still.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::net::Pace;
use crate::registry::clock::Clock;
use crate::registry::limit::bucket::{Bucket, Rate};
use crate::registry::limit::waits::{Waits, Why};

/// What may go out at once after a rest: so much time's worth, and at least so many bytes.
const BURST: Duration = Duration::from_millis(100);
const LEAST_BURST: f64 = (64 << 10) as f64;
/// Pieces in a second.
const PIECES: f64 = 16.0;
const LARGEST_PIECE: f64 = (128 << 10) as f64;

pub(in crate::registry) struct Throttle {
    bucket: Mutex<Bucket>,
    piece: usize,
    start: Instant,
    clock: Arc<dyn Clock>,
    waits: Arc<Waits>,
}

impl Throttle {
    pub(in crate::registry) fn new(rate: Rate, clock: Arc<dyn Clock>, waits: Arc<Waits>) -> Self {
        let bytes = rate.each_second();
        let piece = (bytes / PIECES).clamp(1.0, LARGEST_PIECE);
        let burst = (bytes * BURST.as_secs_f64()).max(LEAST_BURST);
        Self {
            // The last piece of a burst is on top of what may be taken ahead.
            bucket: Mutex::new(Bucket::new(rate, burst - piece)),
            piece: piece as usize,
            start: clock.now(),
            clock,
            waits,
        }
    }
}

impl Pace for Throttle {
    fn piece(&self) -> usize {
        self.piece
    }

    fn pass(&self, bytes: usize) -> Option<bool> {
        let now = self.clock.now();
        let since = now.saturating_duration_since(self.start);
        let due = {
            let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.take(since, bytes as f64)
        };
        let wait = due.saturating_sub(since);
        if wait.is_zero() {
            return Some(false);
        }
        self.waits.begin(Why::Bandwidth, now);
        let goes_on = self.clock.sleep(wait);
        self.waits.end(Why::Bandwidth, self.clock.now());
        goes_on.then_some(true)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use super::*;

    /// Time that passes only while somebody sleeps.
    struct Hand {
        start: Instant,
        ns: AtomicU64,
        stopped: AtomicBool,
    }

    impl Clock for Hand {
        fn now(&self) -> Instant {
            self.start + Duration::from_nanos(self.ns.load(Ordering::SeqCst))
        }

        fn unix(&self) -> u64 {
            0
        }

        fn sleep(&self, duration: Duration) -> bool {
            let ns = duration.as_nanos() as u64;
            self.ns.fetch_add(ns, Ordering::SeqCst);
            !self.stopped.load(Ordering::SeqCst)
        }
    }

    fn throttle(bytes: u64) -> (Throttle, Arc<Hand>) {
        let clock = Arc::new(Hand {
            start: Instant::now(),
            ns: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        let rate = Rate::per_second(bytes as f64).unwrap();
        let throttle = Throttle::new(rate, clock.clone(), Arc::default());
        (throttle, clock)
    }

    /// How long it takes until so many bytes are out.
    fn time_for(throttle: &Throttle, clock: &Hand, mut bytes: usize) -> Duration {
        let begun = clock.now();
        while bytes > 0 {
            let piece = bytes.min(throttle.piece());
            throttle.pass(piece).unwrap();
            bytes -= piece;
        }
        clock.now() - begun
    }

    #[test]
    fn keeps_to_the_rate_but_for_a_small_burst() {
        for (rate, bytes) in [
            (1 << 20, 10 << 20),
            (1000, 100_000),
            (100 << 20, 1 << 30),
            (10 << 30, 100 << 30),
        ] {
            let (throttle, clock) = throttle(rate);
            let took = time_for(&throttle, &clock, bytes).as_secs_f64();
            let burst = (rate as f64 / 10.0).max(65536.0);
            // The last piece is not waited for.
            let least = (bytes as f64 - burst) / rate as f64 - 1.0 / PIECES;
            let most = bytes as f64 / rate as f64;
            assert!((least..=most).contains(&took), "{rate}: {took}");
            let waited = throttle.waits.waited();
            assert_eq!(waited.total(), waited.bandwidth);
            assert!((waited.bandwidth.as_secs_f64() - took).abs() < 0.001);
        }
    }

    #[test]
    fn a_rest_gives_back_the_burst_and_no_more() {
        let (throttle, clock) = throttle(1 << 20);
        let first = time_for(&throttle, &clock, 4 << 20);
        clock.sleep(Duration::from_secs(60));
        let second = time_for(&throttle, &clock, 4 << 20);
        assert!(second.abs_diff(first) < Duration::from_millis(1));
    }

    #[test]
    fn each_of_many_connections_moves_every_second_or_so() {
        for (rate, most_turns) in [
            (1 << 10, 1.1),
            (100 << 10, 1.1),
            (1 << 20, 1.1),
            (1 << 30, 0.1),
        ] {
            let (throttle, _) = throttle(rate);
            let round = 16.0 * throttle.piece() as f64 / rate as f64;
            assert!(round < most_turns, "{rate}: {round}");
        }
        assert_eq!(throttle(1).0.piece(), 1);
    }

    #[test]
    fn the_word_to_stop_ends_it() {
        let (throttle, clock) = throttle(1000);
        assert_eq!(throttle.pass(70_000), Some(false));
        assert_eq!(throttle.pass(1), Some(true));
        clock.stopped.store(true, Ordering::SeqCst);
        assert_eq!(throttle.pass(1), None);
    }
}
