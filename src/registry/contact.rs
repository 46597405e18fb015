//! Whether a host can be reached at all: it is given up after half a minute without a connection.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::registry::error::Error;
use crate::registry::retry::LONGEST_SILENCE;

/// What all who work on one host know of it.
#[derive(Debug, Default)]
pub(super) struct Contact(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ever: bool,
    /// The first and the last of the tries to connect that failed in a row.
    silence: Option<(Instant, Instant)>,
    dead: Option<Error>,
}

impl Contact {
    /// Why nothing more is to be tried here.
    pub(super) fn dead(&self) -> Option<Error> {
        self.state().dead.clone()
    }

    /// Somebody answered, or at least took the connection.
    pub(super) fn reached(&self) {
        let mut state = self.state();
        state.ever = true;
        state.silence = None;
        state.dead = None;
    }

    pub(super) fn was_reached(&self) -> bool {
        self.state().ever
    }

    /// No connection was made. True when the host is to be given up: after half a minute of trying, or
    /// at once where nothing is to be tried twice.
    pub(super) fn failed(&self, now: Instant, retries: u32) -> bool {
        let mut state = self.state();
        let since = match state.silence {
            Some((first, last)) if now.duration_since(last) < LONGEST_SILENCE => first,
            // Nobody has tried in between.
            _ => now,
        };
        state.silence = Some((since, now));
        let over = now.duration_since(since) >= LONGEST_SILENCE;
        over || (retries == 0 && !state.ever)
    }

    /// Nothing more is tried here, for this reason.
    pub(super) fn bury(&self, error: &Error) {
        self.state().dead.get_or_insert_with(|| error.clone());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::registry::error::ErrorKind;

    #[test]
    fn gives_up_after_half_a_minute() {
        let error = Error::new(ErrorKind::Unreachable, "check", "no route");
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let contact = Contact::default();
        assert!(!contact.failed(at(0), 5));
        assert!(!contact.failed(at(29), 5));
        assert!(contact.dead().is_none());
        contact.reached();
        assert!(!contact.failed(at(40), 5));
        assert!(!contact.failed(at(90), 5), "two tries are no silence");
        assert!(!contact.failed(at(119), 0));
        assert!(contact.failed(at(120), 5));
        assert!(contact.dead().is_none());
        contact.bury(&error);
        assert_eq!(contact.dead().unwrap().reason, "no route");
        assert!(Contact::default().failed(at(0), 0));
    }
}
