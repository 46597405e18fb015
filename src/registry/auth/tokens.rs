//! The tokens of one registry: one fetch however many wait for it, renewal ahead of bodies, and what
//! becomes of those that are refused. No I/O; time is an argument.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::image::reference::Repository;
use crate::net::Secret;
use crate::registry::auth::TokenService;
use crate::registry::auth::grant::Grant;
use crate::registry::auth::scope::Scopes;
use crate::registry::call::Access;
use crate::registry::clock::Clock;
use crate::registry::error::Error;
use crate::registry::retry::{Class, Halt, Trouble};

/// A body is not begun with a token that lasts less than this, or than half of its life.
const AHEAD_OF_BODIES: Duration = Duration::from_secs(60);
/// Other requests are with the registry within so long, or a tenth of the token's life.
const AHEAD_OF_REQUESTS: Duration = Duration::from_secs(2);
/// After a renewal that failed the old token serves for so long before the next one.
const AFTER_FAILED_RENEWAL: Duration = Duration::from_secs(5);
/// A token that is refused so soon has not expired: it allows too little.
const TOO_SOON_TO_EXPIRE: Duration = Duration::from_secs(5);

/// What a token is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) repository: Option<Repository>,
    pub(super) mount_from: Option<Repository>,
}

/// A token with what is known of it.
#[derive(Debug)]
pub(super) struct Token {
    /// The value of `Authorization`.
    pub(super) header: Arc<Secret>,
    /// Tells the tokens of one key apart.
    pub(super) number: u64,
    asked: Instant,
    life: Duration,
    /// What a refusal had found lacking, where that is why it was fetched.
    answers: Option<Scopes>,
}

/// Why a fetch brought nothing, for all who waited for it.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) error: Error,
    /// `None`: it is no use to ask again.
    pub(super) class: Option<Class>,
    pub(super) began: Instant,
}

impl Fault {
    /// The same in the words of another operation.
    pub(super) fn into_halt(self, operation: &str) -> Halt {
        let error = Error {
            operation: operation.to_owned(),
            ..self.error
        };
        let began = self.began;
        match self.class {
            None => error.into(),
            Some(class) => Trouble {
                error,
                class,
                began,
            }
            .into(),
        }
    }
}

/// What somebody who needs a token is to do.
pub(super) enum Claim<'a> {
    Have(Arc<Token>),
    /// Nobody else does: fetch one and say how it went.
    Fetch(Order<'a>),
    Failed(Box<Fault>),
}

/// What to make of a refused token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The next claim brings another one.
    Again,
    /// Another one would be refused, too.
    TooWeak,
}

#[derive(Debug, Default)]
pub(super) struct Tokens {
    slots: Mutex<HashMap<Key, Slot>>,
    landed: Condvar,
}

#[derive(Debug, Default)]
struct Slot {
    token: Option<Arc<Token>>,
    flights: u64,
    flying: bool,
    /// How the flight of this number failed.
    failed: Option<(u64, Box<Fault>)>,
    /// The service has said no for good.
    denied: Option<(TokenService, Box<Fault>)>,
    renew_after: Option<Instant>,
    wanted: Wanted,
    /// What challenges have named beyond the usual: behind a proxy registries may call a repository by
    /// another name.
    beyond: Scopes,
}

/// What the next fetch is to ask for beyond the usual.
#[derive(Debug, Default)]
enum Wanted {
    #[default]
    Usual,
    /// A challenge has named this before there was a token.
    More(Scopes),
    /// A refusal has named this; `instead` of the usual, where that was granted and did not do.
    Lacking { scopes: Scopes, instead: bool },
}

/// The duty to fetch a token. Dropped without an answer, it lets the next one try.
pub(super) struct Order<'a> {
    tokens: &'a Tokens,
    key: Key,
    number: u64,
    answers: Option<Scopes>,
    /// What to ask for.
    pub(super) scopes: Scopes,
    done: bool,
}

impl Key {
    pub(super) fn of(access: Access<'_>) -> Self {
        let (repository, mount_from) = match access {
            Access::Host => (None, None),
            Access::Repository(repository) => (Some(repository), None),
            Access::Mount { into, from } => (Some(into), Some(from)),
        };
        Self {
            repository: repository.cloned(),
            mount_from: mount_from.cloned(),
        }
    }

    /// What requests of this kind need.
    pub(super) fn usual(&self) -> Scopes {
        let push = self.repository.as_ref().map(Scopes::push_to);
        let pull = self.mount_from.as_ref().map(Scopes::pull_from);
        push.unwrap_or_default().and(&pull.unwrap_or_default())
    }
}

impl Token {
    fn left(&self, now: Instant) -> Duration {
        self.life
            .saturating_sub(now.saturating_duration_since(self.asked))
    }

    fn lasts(&self, now: Instant, body: bool) -> bool {
        let least = match body {
            true => AHEAD_OF_BODIES.min(self.life / 2),
            false => AHEAD_OF_REQUESTS.min(self.life / 10),
        };
        self.left(now) > least
    }
}

impl Tokens {
    /// A token that lasts for what is to be sent; waits while somebody else fetches it.
    pub(super) fn claim(
        &self,
        key: &Key,
        service: &TokenService,
        body: bool,
        clock: &dyn Clock,
    ) -> Claim<'_> {
        let mut slots = self.slots();
        let mut awaited = None;
        loop {
            let slot = slots.entry(key.clone()).or_default();
            let now = clock.now();
            if let Some(token) = slot.usable(now, body) {
                return Claim::Have(token);
            }
            if slot.flying {
                awaited = Some(slot.flights);
                let waited = self.landed.wait(slots);
                slots = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            if let Some((flight, fault)) = &slot.failed
                && awaited == Some(*flight)
            {
                return Claim::Failed(fault.clone());
            }
            if let Some((denier, fault)) = &slot.denied
                && denier == service
            {
                return Claim::Failed(fault.clone());
            }
            return Claim::Fetch(slot.take_off(self, key));
        }
    }

    /// A challenge named these before anything was sent.
    pub(super) fn want(&self, key: &Key, scopes: Scopes) {
        let mut slots = self.slots();
        let slot = slots.entry(key.clone()).or_default();
        slot.note(key, &scopes);
        if matches!(slot.wanted, Wanted::Usual) {
            slot.wanted = Wanted::More(scopes);
        }
    }

    /// A request that carried the token `number` was answered 401: the challenge names `lacking`, and
    /// says perhaps that the token is `weak` rather than wrong.
    pub(super) fn refused(
        &self,
        key: &Key,
        number: u64,
        lacking: Scopes,
        weak: bool,
        now: Instant,
    ) -> Refused {
        let mut slots = self.slots();
        let slot = slots.entry(key.clone()).or_default();
        let Some(token) = slot.token.take_if(|token| token.number == number) else {
            return Refused::Again;
        };
        let age = now.saturating_duration_since(token.asked);
        let weak = weak || age < TOO_SOON_TO_EXPIRE.min(token.life);
        let answered = token.answers.as_ref().is_some_and(|a| a.cover(&lacking));
        if weak && answered {
            slot.token = Some(token);
            return Refused::TooWeak;
        }
        slot.note(key, &lacking);
        slot.wanted = Wanted::Lacking {
            scopes: lacking,
            instead: weak,
        };
        Refused::Again
    }

    /// Whether any token has come.
    pub(super) fn any(&self) -> bool {
        self.slots().values().any(|slot| slot.token.is_some())
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Key, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Keeps what a challenge names, for all tokens to come.
    fn note(&mut self, key: &Key, named: &Scopes) {
        self.beyond.extend_within(&named.without(&key.usual()));
    }

    fn usable(&self, now: Instant, body: bool) -> Option<Arc<Token>> {
        let token = self.token.as_ref()?;
        let waits = self.renew_after.is_some_and(|after| now < after);
        let lasts = token.lasts(now, body) || (waits && !token.left(now).is_zero());
        lasts.then(|| Arc::clone(token))
    }

    fn take_off<'a>(&mut self, tokens: &'a Tokens, key: &Key) -> Order<'a> {
        self.flights += 1;
        self.flying = true;
        self.failed = None;
        let usual = key.usual();
        let (scopes, answers) = match &self.wanted {
            Wanted::Usual => (self.beyond.clone().and(&usual), None),
            Wanted::More(scopes) => (usual.and(scopes), None),
            Wanted::Lacking { scopes, instead } if *instead && !scopes.is_empty() => {
                let scopes = scopes.clone().and(&self.beyond);
                (scopes.clone(), Some(scopes))
            }
            Wanted::Lacking { scopes, .. } => {
                let both = scopes.clone().and(&self.beyond).and(&usual);
                (both.clone(), Some(both))
            }
        };
        Order {
            tokens,
            key: key.clone(),
            number: self.flights,
            answers,
            scopes,
            done: false,
        }
    }
}

impl Order<'_> {
    /// A token came; it was asked for at `asked`.
    pub(super) fn came(mut self, grant: &Grant, asked: Instant) -> Arc<Token> {
        let header = format!("Bearer {}", grant.token.expose());
        let token = Arc::new(Token {
            header: Arc::new(Secret::new(header)),
            number: self.number,
            asked,
            life: grant.life,
            answers: self.answers.take(),
        });
        self.land(|slot| {
            slot.token = Some(Arc::clone(&token));
            slot.denied = None;
            slot.renew_after = None;
            slot.wanted = Wanted::Usual;
        });
        token
    }

    /// None came. The old token, where that serves for a while.
    pub(super) fn failed(
        mut self,
        service: &TokenService,
        fault: Box<Fault>,
        now: Instant,
    ) -> Option<Arc<Token>> {
        let number = self.number;
        self.land(|slot| {
            slot.renew_after = Some(now + AFTER_FAILED_RENEWAL);
            if fault.class.is_none() {
                slot.denied = Some((service.clone(), fault.clone()));
            }
            slot.failed = Some((number, fault));
            slot.usable(now, true)
        })
    }

    fn land<T>(&mut self, change: impl FnOnce(&mut Slot) -> T) -> T {
        let mut slots = self.tokens.slots();
        let slot = slots.entry(self.key.clone()).or_default();
        slot.flying = false;
        let outcome = change(slot);
        self.done = true;
        drop(slots);
        self.tokens.landed.notify_all();
        outcome
    }
}

impl Drop for Order<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.land(|_| ());
        }
    }
}

#[cfg(test)]
mod tests;
