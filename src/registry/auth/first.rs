//! The first write to each repository goes ahead of the others, as long as it may be the one that is
//! answered with a challenge: where everybody may read, all writes would be refused at once. Over TLS that
//! takes no time, as the other connections are still being opened; and where there is nobody to be, so
//! that a challenge could not be answered, all go at once.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::image::reference::Repository;

#[derive(Debug, Default)]
pub(super) struct FirstWrites {
    states: Mutex<HashMap<Repository, State>>,
    over: Condvar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Busy,
    /// A write has been answered: nothing is asked for. Or it would be asked for in vain.
    Open,
}

/// Whether a write may go.
pub(super) enum Entry<'a> {
    Open,
    First(FirstWrite<'a>),
    /// Somebody was ahead, and there may be news.
    Waited,
}

/// The first write under way. Dropped without an answer, the next one is first.
pub(super) struct FirstWrite<'a> {
    writes: &'a FirstWrites,
    repository: Repository,
}

impl FirstWrites {
    /// `may_answer`: whether there may be credentials; looked at once for each repository.
    pub(super) fn enter(
        &self,
        repository: &Repository,
        may_answer: impl FnOnce() -> bool,
    ) -> Entry<'_> {
        let mut states = self.states();
        match states.get(repository) {
            Some(State::Open) => Entry::Open,
            Some(State::Busy) => {
                let waited = self.over.wait(states);
                drop(waited.unwrap_or_else(PoisonError::into_inner));
                Entry::Waited
            }
            None if !may_answer() => {
                states.insert(repository.clone(), State::Open);
                Entry::Open
            }
            None => {
                states.insert(repository.clone(), State::Busy);
                Entry::First(FirstWrite {
                    writes: self,
                    repository: repository.clone(),
                })
            }
        }
    }

    fn states(&self) -> MutexGuard<'_, HashMap<Repository, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FirstWrite<'_> {
    /// It was answered, and not with a challenge.
    pub(super) fn answered(self) {
        let mut states = self.writes.states();
        states.insert(self.repository.clone(), State::Open);
    }
}

impl Drop for FirstWrite<'_> {
    fn drop(&mut self) {
        let mut states = self.writes.states();
        if states.get(&self.repository) == Some(&State::Busy) {
            states.remove(&self.repository);
        }
        drop(states);
        self.writes.over.notify_all();
    }
}
