//! How much a session holds whose connection was cut: a registry that is asked at once may not have
//! noticed yet, and goes on writing what had arrived.

use std::time::{Duration, Instant};

use crate::image::reference::Repository;
use crate::net::Method;
use crate::registry::call::{Access, Call};
use crate::registry::client::Client;
use crate::registry::limit::waits::Why;
use crate::registry::retry::Halt;
use crate::registry::upload::{Held, Session, parse_range};

/// A session is believed when it says the same twice, so far apart: registries notice a cut
/// connection late (seen on distribution 3.1: 126 of 200 offsets asked for at once were wrong).
const SETTLE: Duration = Duration::from_millis(50);
/// Who answers slowly has much to do and notices later: so many times as long as an answer took (seen on distribution
/// 3.1 with little CPU, after 50 ms: 3 of 7 killed pushes were gone on with from too early an offset).
const ANSWERS: u32 = 4;
const LONGEST: Duration = Duration::from_secs(1);
const MOST_QUESTIONS: usize = 40;

/// What was said so far.
#[derive(Debug, Default)]
struct Settling {
    last: Option<(Held, Instant)>,
    slowest: Duration,
}

impl Settling {
    /// Takes in an answer to a question that was sent at `began`. How long to wait before the next one;
    /// nothing when this may be believed.
    fn said(&mut self, held: Held, began: Instant, now: Instant) -> Option<Duration> {
        self.slowest = self.slowest.max(now.saturating_duration_since(began));
        let apart = (self.slowest.saturating_mul(ANSWERS)).clamp(SETTLE, LONGEST);
        let same = self.last.filter(|(last, _)| *last == held);
        if same.is_some_and(|(_, since)| began.saturating_duration_since(since) >= apart) {
            return None;
        }
        let (_, since) = *self.last.insert(same.unwrap_or((held, now)));
        let stood = now.saturating_duration_since(since);
        Some(apart.saturating_sub(stood).max(SETTLE))
    }
}

impl Client {
    /// Asks a session how much it holds, of `most` bytes that were sent at all. False when it is gone
    /// or not worth going on with: what is refused here may be allowed to a new one.
    pub(super) fn settle_session(
        &self,
        operation: &str,
        repository: &Repository,
        session: &mut Session,
        most: u64,
    ) -> Result<bool, Halt> {
        if !self.profile.range_is_true {
            return Ok(session.trust_own_count());
        }
        let goes_on = self.ask_session(operation, repository, session, most)?;
        if !goes_on && session.is_at_gateway() {
            self.learned.lost_at_gateway();
        }
        Ok(goes_on)
    }

    /// Whether a body that a gateway failed with goes to the same session at once. A process of
    /// distribution refuses one for a session that it does not know before it has read it; nginx then
    /// finds its connection closed while it writes, and says 502. To begin anew would ask the next two
    /// processes in turn, and with two of them the wrong one for ever.
    pub(super) fn offers_again(&self, session: &mut Session, status: u16) -> bool {
        // Who is too slow for nginx, which says 504, has taken the body.
        if status != 502 {
            return false;
        }
        session.gateway_failed();
        session.held() == 0 && self.learned.has_strangers() && session.may_be_elsewhere()
    }

    fn ask_session(
        &self,
        operation: &str,
        repository: &Repository,
        session: &mut Session,
        most: u64,
    ) -> Result<bool, Halt> {
        let mut settling = Settling::default();
        for _ in 0..MOST_QUESTIONS {
            let access = Access::Repository(repository);
            let call = Call::new(Method::Get, session.location().clone(), access);
            let answer = self.exchange(operation, call)?;
            let range = answer.response.header("range").and_then(parse_range);
            let held = match (answer.status(), range) {
                (200 | 202 | 204, Some(held)) => held,
                _ if answer.is_pressure() => return Err(self.refuse(operation, &answer)),
                (501 | 505, _) => return Ok(false),
                (408 | 499 | 500..=599, _) if session.may_ask_again() => {
                    return Err(self.refuse(operation, &answer));
                }
                _ => return Ok(false),
            };
            let was_own = session.location().is_own();
            self.follow(operation, session, &answer)?;
            // Who is asked how much there is does not hand it over to somebody else.
            if was_own && !session.location().is_own() {
                return Ok(false);
            }
            let Some(wait) = settling.said(held, answer.began, self.clock.now()) else {
                let before = session.held();
                let goes_on = session.settled(held, most);
                // Registries that keep only whole requests may hold all of them.
                if goes_on && (before + 1..most).contains(&session.held()) {
                    self.learned.cut_body_kept();
                }
                return Ok(goes_on);
            };
            self.sleep(operation, Why::Retry, wait)?;
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said at which time, after how long, in milliseconds; how long is waited after each.
    fn waits(answers: &[(u64, u64, u64)]) -> Vec<Option<u64>> {
        let (start, mut settling) = (Instant::now(), Settling::default());
        let at = |ms| start + Duration::from_millis(ms);
        let wait = |(held, now, took): &(u64, u64, u64)| {
            let wait = settling.said(Held::Bytes(*held), at(now - took), at(*now));
            wait.map(|wait| wait.as_millis() as u64)
        };
        answers.iter().map(wait).collect()
    }

    #[test]
    fn who_answers_slowly_has_longer_to_say_the_same() {
        for (answers, expected) in [
            (&[(5, 1, 1), (5, 52, 1)][..], &[Some(50), None][..]),
            (
                &[(5, 1, 1), (9, 52, 1), (9, 103, 1)],
                &[Some(50), Some(50), None],
            ),
            (&[(5, 100, 100), (5, 510, 10)], &[Some(400), None]),
            // It is slow later.
            (
                &[(5, 10, 10), (5, 200, 100), (5, 520, 20)],
                &[Some(50), Some(210), None],
            ),
            (&[(5, 9000, 9000), (5, 10_001, 1)], &[Some(1000), None]),
            (&[(5, 9000, 9000), (5, 9900, 1)], &[Some(1000), Some(100)]),
        ] {
            assert_eq!(waits(answers), expected, "{answers:?}");
        }
    }
}
