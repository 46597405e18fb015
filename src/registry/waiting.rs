//! Where requests wait: for a pause to end, for their turn, for the next try.

use std::time::Duration;

use crate::observe::event::Event;
use crate::registry::auth::Pass;
use crate::registry::call::{Answer, Call};
use crate::registry::client::Client;
use crate::registry::endpoint::{self, Target};
use crate::registry::error::Error;
use crate::registry::limit::Place;
use crate::registry::limit::waits::Why;
use crate::registry::retry::{Class, Halt, LONGEST_PRESSURE, Trouble};

/// A token that was there before a longer wait than this is looked at again.
const STALE: Duration = Duration::from_secs(1);

impl Client {
    /// Waits; an error when it is time to stop.
    pub(super) fn sleep(&self, operation: &str, why: Why, wait: Duration) -> Result<(), Error> {
        self.waits.begin(why, self.clock.now());
        let goes_on = self.clock.sleep(wait);
        self.waits.end(why, self.clock.now());
        match goes_on {
            true => Ok(()),
            false => Err(Error::interrupted(operation)),
        }
    }

    /// Nothing begins at a dead host, during a pause, or when it is time to stop.
    pub(super) fn admit(&self, operation: &str) -> Result<(), Error> {
        self.refuse_dead(operation)?;
        if !self.clock.sleep(Duration::ZERO) {
            return Err(Error::interrupted(operation));
        }
        while let Some((wait, why)) = self.limit.pending(self.clock.now()) {
            self.sleep(operation, why, wait)?;
        }
        Ok(())
    }

    /// Everything that a request waits for, and what it is to carry then.
    pub(super) fn enter(&self, operation: &str, call: &Call<'_>) -> Result<Pass<'_>, Halt> {
        self.refuse_left(operation, &call.target)?;
        self.admit(operation)?;
        let pass = self.authorise(operation, call)?;
        // Last, since whoever waits for somebody else's token would come out of line.
        let waited = self.await_turn(operation, &call.target)?;
        if waited > STALE && pass.can_expire() {
            return self.authorise(operation, call);
        }
        Ok(pass)
    }

    /// Waits for a turn, where requests to this host are limited: how long. Then the request may go.
    pub(super) fn await_turn(&self, operation: &str, target: &Target) -> Result<Duration, Error> {
        let waited = self.stand_in_line(operation, target)?;
        self.refuse_left(operation, target)?;
        Ok(waited)
    }

    fn stand_in_line(&self, operation: &str, target: &Target) -> Result<Duration, Error> {
        let Some(place) = self.line_up(target) else {
            return Ok(Duration::ZERO);
        };
        let begun = self.clock.now();
        loop {
            let now = self.clock.now();
            let Some((wait, why)) = self.limit.until_turn(&place, now) else {
                return Ok(now.saturating_duration_since(begun));
            };
            self.sleep(operation, why, wait)?;
            self.refuse_dead(operation)?;
        }
    }

    /// Takes a place in the line to a host, where there is one. A token service has the registry's where
    /// it is the same host and port.
    pub(super) fn line_up(&self, target: &Target) -> Option<Place> {
        self.limit
            .line_up(|| self.authority_of(target), self.clock.now())
    }

    /// Host and port, by which hosts are told apart.
    fn authority_of(&self, target: &Target) -> String {
        match target {
            Target::Own(path) => {
                let own = self.endpoint.own(self.reach.scheme(), path.clone());
                own.authority()
            }
            Target::Elsewhere(url) => url.authority(),
        }
    }

    /// What was asked is not asked again, but the registry wants a pause: the next request waits for it.
    pub(super) fn heed(&self, trouble: &Trouble) {
        if let Class::Pressure { after: Some(wait) } = trouble.class {
            self.press(trouble, wait, false);
        }
    }

    /// The same of an answer that is taken for none.
    pub(super) fn heed_answer(&self, operation: &str, answer: &Answer) {
        if matches!(answer.status(), 429 | 503)
            && let Halt::Again(trouble) = self.refuse(operation, answer)
        {
            self.heed(&trouble);
        }
    }

    /// Everybody waits so long before the next request, and fewer work at once from now on. `is_away`:
    /// nobody asked for it, but the registry cannot be reached.
    pub(super) fn press(&self, trouble: &Trouble, wait: Duration, is_away: bool) {
        let now = self.clock.now();
        if self.limit.press(trouble.began, now, wait, is_away) {
            self.events.emit(Event::Pressure {
                host: self.endpoint.name().to_owned(),
                reason: trouble.error.reason.clone(),
                wait,
            });
        }
    }

    /// Nothing more goes where `answer` came from: it asks for too long a pause.
    pub(super) fn leave(&self, answer: &Answer, why: &Error) {
        self.limit.leave(self.authority_of(&answer.target), why);
    }

    /// The same of the registry until it answers, when it has asked for nothing but pauses for too long.
    pub(super) fn leave_mute(&self, wait: Duration, why: &Error) {
        let mute = self.limit.mute_for(self.clock.now());
        if mute.saturating_add(wait) > LONGEST_PRESSURE {
            let own = self.authority_of(&endpoint::ping());
            self.limit.leave_mute(own, why);
        }
    }

    fn refuse_left(&self, operation: &str, target: &Target) -> Result<(), Error> {
        match self.limit.away(|| self.authority_of(target)) {
            Some(why) => Err(Error {
                operation: operation.to_owned(),
                ..why
            }),
            None => Ok(()),
        }
    }

    fn refuse_dead(&self, operation: &str) -> Result<(), Error> {
        match self.reach.contact.dead() {
            Some(dead) => Err(Error {
                operation: operation.to_owned(),
                ..dead
            }),
            None => Ok(()),
        }
    }
}
