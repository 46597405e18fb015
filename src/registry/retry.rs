//! The one retry loop, and the budget that every step of one operation draws from.
//!
//! Waits double from half a second to half a minute, with full jitter: each is drawn between nothing
//! and that (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use crate::observe::event::Event;
use crate::registry::client::Client;
use crate::registry::error::{Error, ErrorKind};
use crate::registry::limit::waits::Why;

const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Between tries to connect: somebody may be starting the registry right now.
const LONGEST_CONNECT_WAIT: Duration = Duration::from_secs(4);
/// Longer than this a registry may not make us wait, in one go or in all.
pub(super) const LONGEST_PRESSURE: Duration = Duration::from_secs(300);
/// A host that has not been connected to for so long is given up.
pub(super) const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// A try that brought so many bytes further is not held against the blob.
const WORTH_A_TRY: u64 = 1 << 20;

/// Tokens that expire while a body waits are no fault of it; so many in one operation are.
const MOST_RENEWED: u32 = 8;

/// Why a step did not come to its end.
#[derive(Debug)]
pub(super) enum Halt {
    /// The step may be taken again.
    Again(Box<Trouble>),
    Fail(Box<Error>),
}

/// Something that may pass.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) error: Error,
    pub(super) class: Class,
    /// When the request began that met it.
    pub(super) began: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// No connection was made.
    Unconnected,
    /// The connection ended, or stood still in silence, after so many bytes of the body.
    Cut { sent: u64, silent: bool },
    /// An answer that says nothing about the request: 408, most of 5xx, a session that is gone.
    Passing,
    /// Asked to slow down, and for how long.
    Pressure { after: Option<Duration> },
    /// The token had expired when a body was sent; there will be another one.
    Renewed,
}

/// How often one operation may meet trouble.
#[derive(Debug)]
pub(super) struct Budget {
    retries: u32,
    used: u32,
    /// Troubles in all, charged or not: the exponent of the next wait.
    met: u32,
    pressed: Duration,
    unconnected: Option<Instant>,
    renewed: u32,
    /// Bytes that the registry has had, as far as they counted.
    furthest: u64,
    random: u64,
}

/// What to do about trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Wait(Duration),
    GiveUp,
    /// The registry asks for more time than it gets.
    TooLong,
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Fail(Box::new(error))
    }
}

impl From<Trouble> for Halt {
    fn from(trouble: Trouble) -> Self {
        Self::Again(Box::new(trouble))
    }
}

impl Client {
    pub(super) fn budget(&self) -> Budget {
        Budget::new(self.settings.retries)
    }

    /// Takes a step again and again, until it ends, fails, or the budget does.
    pub(super) fn retry<T>(
        &self,
        budget: &mut Budget,
        mut step: impl FnMut(&mut Budget) -> Result<T, Halt>,
    ) -> Result<T, Error> {
        loop {
            match step(budget) {
                Ok(value) => return Ok(value),
                Err(Halt::Fail(error)) => return Err(*error),
                Err(Halt::Again(trouble)) => self.settle(budget, *trouble)?,
            }
        }
    }

    /// Waits for trouble to pass, or gives up with the error that it was.
    fn settle(&self, budget: &mut Budget, trouble: Trouble) -> Result<(), Error> {
        let now = self.clock.now();
        if trouble.class == Class::Renewed && budget.renew() {
            return Ok(());
        }
        let decision = budget.decide(trouble.class, now);
        let Decision::Wait(wait) = decision else {
            let class = trouble.class;
            let error = trouble.into_error(decision, budget.tries());
            if let (Decision::TooLong, Class::Pressure { after }) = (decision, class) {
                self.leave_mute(after.unwrap_or_default(), &error);
            }
            return Err(error);
        };
        self.counts.retried();
        let Error {
            operation, reason, ..
        } = &trouble.error;
        self.events.emit(Event::Retrying {
            host: self.endpoint.name().to_owned(),
            operation: operation.clone(),
            reason: reason.clone(),
            attempt: budget.met,
            wait,
        });
        let is_asked = matches!(trouble.class, Class::Pressure { .. });
        let is_away = trouble.class == Class::Unconnected && self.reach.contact.was_reached();
        if !is_asked && !is_away {
            return self.sleep(operation, Why::Retry, wait);
        }
        // The pause of the host is waited for by the next request, whoever sends it.
        self.press(&trouble, wait, is_away);
        Ok(())
    }
}

impl Budget {
    fn new(retries: u32) -> Self {
        Self::seeded(retries, RandomState::new().hash_one(0))
    }

    #[cfg(test)]
    pub(super) fn for_soak(retries: u32) -> Self {
        Self::seeded(retries, 1)
    }

    fn seeded(retries: u32, seed: u64) -> Self {
        Self {
            retries,
            used: 0,
            met: 0,
            pressed: Duration::ZERO,
            unconnected: None,
            renewed: 0,
            furthest: 0,
            random: seed | 1,
        }
    }

    /// Tries that were charged, the first one included.
    pub(super) fn tries(&self) -> u32 {
        self.used + 1
    }

    /// The registry has so many bytes of the blob. Where these are more than ever before, what comes next
    /// is met for the first time: over a link that is cut again and again, a blob arrives piece by piece.
    pub(super) fn reached(&mut self, bytes: u64) {
        if bytes >= self.furthest.saturating_add(WORTH_A_TRY) {
            self.furthest = bytes;
            (self.used, self.met) = (0, 0);
        }
    }

    /// Whether a step may be taken again at once, with another token.
    fn renew(&mut self) -> bool {
        self.renewed += 1;
        self.renewed <= MOST_RENEWED
    }

    /// Charges a trouble, if it is one to be charged, and says how to go on.
    ///
    /// Connections that are not made are free while the host as a whole is not given up, and pauses
    /// that a registry asked for are free until their sum is too long; all the rest counts, from the last
    /// try on that [brought something](Self::reached). With no retries at all nothing is free.
    pub(super) fn decide(&mut self, class: Class, now: Instant) -> Decision {
        let free = self.retries > 0 && self.is_free(class, now);
        if !free {
            if self.used >= self.retries {
                return Decision::GiveUp;
            }
            self.used += 1;
        }
        let longest = match class {
            Class::Unconnected => LONGEST_CONNECT_WAIT,
            _ => LONGEST_WAIT,
        };
        let drawn = self.draw(longest);
        self.met += 1;
        let Class::Pressure { after } = class else {
            return Decision::Wait(drawn);
        };
        let wait = after.unwrap_or(drawn);
        self.pressed = self.pressed.saturating_add(wait);
        if self.pressed > LONGEST_PRESSURE {
            return Decision::TooLong;
        }
        Decision::Wait(wait)
    }

    fn is_free(&mut self, class: Class, now: Instant) -> bool {
        if class != Class::Unconnected {
            self.unconnected = None;
        }
        match class {
            Class::Unconnected => {
                let since = *self.unconnected.get_or_insert(now);
                now.duration_since(since) < LONGEST_SILENCE
            }
            Class::Pressure { after } => after.is_some(),
            Class::Cut { .. } | Class::Passing | Class::Renewed => false,
        }
    }

    /// Anything from nothing to twice as long as the last time.
    fn draw(&mut self, longest: Duration) -> Duration {
        let most = FIRST_WAIT
            .saturating_mul(1 << self.met.min(16))
            .min(longest);
        // xorshift64: no more is needed than that workers do not wake at once.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let part = (self.random >> 40) as f64 / f64::from(1 << 24);
        most.mul_f64(part)
    }
}

impl Trouble {
    /// Nobody took a connection, or said a word.
    pub(super) fn is_silence(&self) -> bool {
        match self.class {
            Class::Unconnected => true,
            Class::Cut { silent, .. } => silent,
            Class::Passing | Class::Pressure { .. } | Class::Renewed => false,
        }
    }

    /// The error that is left when it does not pass.
    pub(super) fn into_error(self, decision: Decision, tries: u32) -> Error {
        let mut error = self.error;
        match (decision, self.class) {
            (Decision::TooLong, Class::Pressure { after }) => {
                let asked = after.map_or_else(String::new, |after| {
                    format!(" and asks to wait {} s", after.as_secs())
                });
                error.kind = ErrorKind::Pressure;
                error.reason = format!("{}{asked}, longer than 5 minutes in all", error.reason);
            }
            _ if tries > 1 => error.reason = format!("{} (tried {tries} times)", error.reason),
            _ => {}
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(budget: &mut Budget, class: Class, count: usize) -> Vec<Decision> {
        let now = Instant::now();
        (0..count).map(|_| budget.decide(class, now)).collect()
    }

    #[test]
    fn doubles_with_full_jitter_and_never_waits_after_the_last_try() {
        for seed in [1, 77, u64::MAX, 1 << 40] {
            let mut budget = Budget::seeded(9, seed);
            let decisions = waits(&mut budget, Class::Passing, 10);
            for (n, decision) in decisions.iter().take(9).enumerate() {
                let most = Duration::from_millis(500 << n).min(LONGEST_WAIT);
                let Decision::Wait(wait) = decision else {
                    panic!("{n}: {decision:?}")
                };
                assert!(*wait <= most, "{n}: {wait:?}");
            }
            assert_eq!(decisions[9], Decision::GiveUp);
            assert_eq!(budget.tries(), 10);
        }
        let mut spread: Vec<_> = (1..50)
            .map(|seed| waits(&mut Budget::seeded(1, seed * 7919), Class::Passing, 1))
            .collect();
        spread.dedup();
        assert!(spread.len() > 40, "no jitter");
    }

    #[test]
    fn without_retries_nothing_is_free() {
        let after = Some(Duration::from_secs(1));
        for class in [
            Class::Passing,
            Class::Unconnected,
            Class::Cut {
                sent: 5,
                silent: false,
            },
            Class::Pressure { after },
        ] {
            assert_eq!(
                waits(&mut Budget::seeded(0, 1), class, 1),
                [Decision::GiveUp]
            );
        }
    }

    #[test]
    fn waits_as_long_as_asked_up_to_five_minutes() {
        let asked = |seconds| Class::Pressure {
            after: Some(Duration::from_secs(seconds)),
        };
        let mut budget = Budget::seeded(1, 1);
        let mut asked_for = waits(&mut budget, asked(100), 4);
        assert_eq!(asked_for.pop(), Some(Decision::TooLong));
        assert_eq!(asked_for, [Decision::Wait(Duration::from_secs(100)); 3]);
        let mut impatient = Budget::seeded(5, 1);
        assert_eq!(waits(&mut impatient, asked(301), 1), [Decision::TooLong]);
        let mut unsaid = Budget::seeded(2, 1);
        let decisions = waits(&mut unsaid, Class::Pressure { after: None }, 3);
        assert_eq!(decisions[2], Decision::GiveUp);
    }

    #[test]
    fn what_brings_a_blob_further_costs_nothing() {
        let mut budget = Budget::seeded(1, 1);
        let mut decide = |reached| {
            budget.reached(reached);
            let decision = budget.decide(Class::Passing, Instant::now());
            (decision != Decision::GiveUp, budget.tries())
        };
        let mib = WORTH_A_TRY;
        assert_eq!(decide(mib - 1), (true, 2));
        assert_eq!(decide(mib), (true, 2));
        assert_eq!(decide(2 * mib), (true, 2));
        // It is lost again and again.
        assert_eq!(decide(mib), (false, 2));
        assert_eq!(decide(3 * mib - 1), (false, 2));
        assert_eq!(decide(3 * mib), (true, 2));
        let mut none = Budget::seeded(0, 1);
        none.reached(5 * mib);
        let decision = none.decide(Class::Passing, Instant::now());
        assert_eq!(decision, Decision::GiveUp);
    }

    #[test]
    fn connecting_is_free_for_half_a_minute() {
        let mut budget = Budget::seeded(1, 1);
        let start = Instant::now();
        for second in 0..30 {
            let now = start + Duration::from_secs(second);
            let decision = budget.decide(Class::Unconnected, now);
            assert!(matches!(decision, Decision::Wait(w) if w <= LONGEST_CONNECT_WAIT));
        }
        assert_eq!(budget.tries(), 1);
        let late = start + LONGEST_SILENCE;
        assert!(matches!(
            budget.decide(Class::Unconnected, late),
            Decision::Wait(_)
        ));
        assert_eq!(budget.decide(Class::Unconnected, late), Decision::GiveUp);
    }
}
