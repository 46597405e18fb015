//! A token bucket that is a clock: instead of tokens it keeps when the next one is there. Whoever takes
//! is told when its turn comes, and so all stand in one line.
//!
//! The generic cell rate algorithm: <https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>.

use std::time::Duration;

/// So much per second: a number, and more than nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(f64);

impl Rate {
    pub fn per_second(amount: f64) -> Option<Self> {
        (amount.is_finite() && amount > 0.0).then_some(Self(amount))
    }

    /// What comes in one second.
    pub(super) fn each_second(self) -> f64 {
        self.0
    }

    fn time_for(self, amount: f64) -> Duration {
        Duration::try_from_secs_f64(amount / self.0).unwrap_or(Duration::MAX)
    }
}

#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    /// How far ahead of its time may be taken.
    ahead: Duration,
    /// When all that was taken has come in.
    paid: Duration,
}

impl Bucket {
    /// `ahead`: how much may be taken at once after a rest, besides the amount that is taken last.
    pub(super) fn new(rate: Rate, ahead: f64) -> Self {
        Self {
            rate,
            ahead: rate.time_for(ahead.max(0.0)),
            paid: Duration::ZERO,
        }
    }

    /// Takes so much: when it may be used. Both times have the same beginning.
    pub(super) fn take(&mut self, now: Duration, amount: f64) -> Duration {
        let begins = self.paid.max(now);
        self.paid = begins.saturating_add(self.rate.time_for(amount));
        begins.saturating_sub(self.ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(amount: f64) -> Rate {
        Rate::per_second(amount).unwrap()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// When those who come at these times have their turn, if each waits for it.
    fn turns(bucket: &mut Bucket, come: &[u64]) -> Vec<u64> {
        let turn = |at: &u64| bucket.take(ms(*at), 1.0).max(ms(*at)).as_millis() as u64;
        come.iter().map(turn).collect()
    }

    #[test]
    fn a_rate_is_more_than_nothing() {
        for amount in [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Rate::per_second(amount), None, "{amount}");
        }
        assert!(Rate::per_second(0.001).is_some());
    }

    #[test]
    fn all_stand_in_one_line_behind_the_first_few() {
        let cases: [(f64, f64, &[u64], &[u64]); 4] = [
            (4.0, 3.0, &[0; 7], &[0, 0, 0, 0, 250, 500, 750]),
            (0.5, 0.0, &[0, 0, 100, 9000], &[0, 2000, 4000, 9000]),
            // What was not used comes back, but no more than that.
            (
                4.0,
                3.0,
                &[0, 0, 0, 0, 500, 500, 500, 9000, 9000, 9000, 9000, 9000],
                &[0, 0, 0, 0, 500, 500, 750, 9000, 9000, 9000, 9000, 9250],
            ),
            (2.0, 0.0, &[0, 100, 2000, 2100], &[0, 500, 2000, 2500]),
        ];
        for (per_second, ahead, come, expected) in cases {
            let mut bucket = Bucket::new(rate(per_second), ahead);
            assert_eq!(turns(&mut bucket, come), expected, "{per_second} {ahead}");
        }
    }

    #[test]
    fn amounts_are_paid_for_afterwards() {
        let mut bucket = Bucket::new(rate(1000.0), 100.0);
        let taken = [100.0, 500.0, 1.0, 0.0].map(|amount| bucket.take(ms(0), amount));
        assert_eq!(taken, [ms(0), ms(0), ms(500), ms(501)]);
    }

    #[test]
    fn no_amount_is_too_much() {
        let mut bucket = Bucket::new(rate(1e-300), 0.0);
        assert_eq!(bucket.take(ms(0), f64::MAX), ms(0));
        assert_eq!(bucket.take(ms(0), 1.0), Duration::MAX);
        let mut fast = Bucket::new(rate(1e300), 1e300);
        for _ in 0..1000 {
            assert_eq!(fast.take(ms(5), 1e9), Duration::ZERO);
        }
    }
}
