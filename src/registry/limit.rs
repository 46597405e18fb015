//! What holds requests back: one pause for all who work on a host, since who asks us to slow down means
//! all of us; and, where it is limited how many may go out in a second, the line they stand in.
//!
//! While a pause lasts nobody moves up in the line, so that its end is no rush.

pub(super) mod bucket;
pub(super) mod retry_after;
pub(super) mod throttle;
pub(super) mod told;
pub(super) mod waits;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::registry::error::Error;
use crate::registry::limit::bucket::{Bucket, Rate};
use crate::registry::limit::waits::Why;

/// Hosts with a line of their own; others have one together. And hosts that are left alone.
const MOST_HOSTS: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Limit {
    rate: Option<Rate>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the registry last asked.
    asked: Option<Instant>,
    until: Option<Instant>,
    /// Not asked for: the registry went away.
    is_retry: bool,
    /// Where the time of the lines begins, and how much of it is pauses, up to the end of the last one.
    start: Option<Instant>,
    stood: Duration,
    lines: BTreeMap<String, Bucket>,
    /// Since when the registry has asked for pauses and answered nothing else.
    mute: Option<Instant>,
    /// Hosts that want to be left alone for longer than anybody waits, with what was heard of each.
    away: BTreeMap<String, Error>,
    /// The one of them that did not say so, but was mute for as long.
    muted: Option<String>,
}

/// A place in the line: the turn comes at this time, as the line counts it.
#[derive(Debug)]
pub(super) struct Place(Duration);

impl Limit {
    /// So many requests per second to each host.
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self {
            rate,
            ..Self::default()
        }
    }

    /// How long a request that would begin now has to wait for the pause to end.
    pub(super) fn pending(&self, now: Instant) -> Option<(Duration, Why)> {
        self.state().pause(now)
    }

    /// Pauses the host, because it asked for it, or because it is away. True when this is news:
    /// requests that were under way when the last pause began say nothing new when they are refused too.
    pub(super) fn press(
        &self,
        began: Instant,
        now: Instant,
        wait: Duration,
        is_retry: bool,
    ) -> bool {
        let mut state = self.state();
        state.start.get_or_insert(now);
        let end = now.checked_add(wait);
        if end > state.until {
            let from = state.until.map_or(now, |until| until.max(now));
            let more = end.map_or(Duration::ZERO, |end| end.saturating_duration_since(from));
            state.stood += more;
            state.is_retry = is_retry;
            state.until = end;
        }
        if !is_retry {
            state.mute.get_or_insert(now);
        }
        let news = state.asked.is_none_or(|asked| began > asked);
        if news {
            state.asked = Some(now);
        }
        news
    }

    /// The registry has answered something else than that it wants a pause, perhaps to what was under
    /// way for long.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        state.mute = None;
        if let Some(host) = state.muted.take() {
            state.away.remove(&host);
        }
    }

    /// How long it has answered nothing else.
    pub(super) fn mute_for(&self, now: Instant) -> Duration {
        let mute = self.state().mute;
        mute.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Nothing more goes to `host`, for this reason.
    pub(super) fn leave(&self, host: String, why: &Error) {
        let mut state = self.state();
        state.muted.take_if(|muted| *muted == host);
        state.leave(host, why);
    }

    /// The same, until the registry answers: `own`, which was mute for too long.
    pub(super) fn leave_mute(&self, own: String, why: &Error) {
        let mut state = self.state();
        if state.leave(own.clone(), why) {
            state.muted = Some(own);
        }
    }

    /// Why nothing goes to `host` any more, if so.
    pub(super) fn away(&self, host: impl FnOnce() -> String) -> Option<Error> {
        let state = self.state();
        if state.away.is_empty() {
            return None;
        }
        state.away.get(&host()).cloned()
    }

    /// Takes a place in the line to `host`, where there is one.
    pub(super) fn line_up(&self, host: impl FnOnce() -> String, now: Instant) -> Option<Place> {
        let rate = self.rate?;
        let host = host();
        let mut state = self.state();
        let time = state.time(now);
        let has_room = state.lines.len() < MOST_HOSTS || state.lines.contains_key(&host);
        let line = state
            .lines
            .entry(if has_room { host } else { String::new() });
        // After a rest a second's worth goes at once, and one request always does.
        let line = line.or_insert_with(|| Bucket::new(rate, rate.each_second() - 1.0));
        Some(Place(line.take(time, 1.0)))
    }

    /// How long whoever has this place has to wait, or at least until there is more to know.
    pub(super) fn until_turn(&self, place: &Place, now: Instant) -> Option<(Duration, Why)> {
        let mut state = self.state();
        if let Some(pause) = state.pause(now) {
            return Some(pause);
        }
        let left = place.0.saturating_sub(state.time(now));
        (!left.is_zero()).then_some((left, Why::Requests))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// False when that was known.
    fn leave(&mut self, host: String, why: &Error) -> bool {
        if self.away.len() >= MOST_HOSTS || self.away.contains_key(&host) {
            return false;
        }
        self.away.insert(host, why.clone());
        true
    }

    fn pause(&self, now: Instant) -> Option<(Duration, Why)> {
        let left = self.until?.checked_duration_since(now)?;
        let why = match self.is_retry {
            true => Why::Retry,
            false => Why::Pause,
        };
        (!left.is_zero()).then_some((left, why))
    }

    /// The time of the lines, which stands still in pauses.
    fn time(&mut self, now: Instant) -> Duration {
        let start = *self.start.get_or_insert(now);
        let now = self.until.map_or(now, |until| until.max(now));
        now.saturating_duration_since(start)
            .saturating_sub(self.stood)
    }
}

#[cfg(test)]
mod tests;
