//! Who we are at a registry, what a request carries to say so, and what a 401 is about.
//!
//! Credentials are asked for when the registry does, and sent to its own origin and to the token
//! service it names. Once it has asked, every request carries them, or a token.

mod fetch;
mod first;
mod grant;
mod identity;
mod realm;
mod scope;
#[cfg(test)]
pub(super) mod soak;
mod tokens;

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::net::{self, Method, Response, Secret};
use crate::registry::auth::first::{Entry, FirstWrite, FirstWrites};
use crate::registry::auth::identity::Identities;
use crate::registry::auth::tokens::{Claim, Fault, Key, Refused, Tokens};
use crate::registry::call::{Access, Call};
use crate::registry::challenge::Challenge;
use crate::registry::client::Client;
use crate::registry::contact::Contact;
use crate::registry::credentials::{Keychain, Login};
use crate::registry::endpoint;
use crate::registry::error::ErrorKind;
use crate::registry::retry::Halt;
use crate::registry::url::{Scheme, Url};

pub(super) use crate::registry::auth::identity::Identity;
pub use crate::registry::auth::realm::TokenService;
pub(super) use crate::registry::auth::scope::Scopes;

/// What is known of authentication at one registry.
pub(super) struct Authority {
    identities: Identities,
    ask: Mutex<Ask>,
    tokens: Tokens,
    first_writes: FirstWrites,
    /// With token services, by host and port.
    contacts: Mutex<HashMap<String, Arc<Contact>>>,
    /// The token service knows GET only.
    no_post: AtomicBool,
    /// The registry was asked for a challenge, as a 401 came without. Who asks is waited for.
    pinged: OnceLock<()>,
}

/// What the registry asks for.
#[derive(Clone, Debug, Default)]
struct Ask {
    service: Option<TokenService>,
    basic: bool,
    /// It has said so itself; what is only remembered is dropped when it does not work.
    proven: bool,
    /// A token of the service has been taken.
    works: bool,
}

/// What one request carries.
#[derive(Default)]
pub(super) struct Pass<'a> {
    pub(super) header: Option<Arc<Secret>>,
    /// Who it speaks for.
    pub(super) identity: Option<Arc<Identity>>,
    token: Option<(Key, u64)>,
    first: Option<FirstWrite<'a>>,
}

/// How often one request may be sent again after a 401.
#[derive(Debug, Default)]
pub(super) struct Tries {
    bare: bool,
    refused: bool,
}

/// What a 401 was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The next try carries something else.
    Again,
    /// Nothing more can be given.
    Denied(Denied),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// The user has given none.
    NoCredentials,
    /// They were sent and not accepted.
    Refused,
    /// The token service gave a token that is not enough for these.
    TooWeak(Scopes),
    /// One token after the other was refused, each as soon as it came.
    TokensRefused,
    /// A password is asked for, and there is none.
    NoPassword,
    /// The token service cannot be asked: "is plain http on …".
    Realm(String),
    /// It does not say what it asks for.
    NoChallenge,
}

/// How to answer an [`Ask`].
enum Means {
    Nothing(Denied),
    Header(Secret),
    Token(TokenService, Url),
}

impl Ask {
    fn is_known(&self) -> bool {
        self.basic || self.service.is_some()
    }

    /// Whether no token means that this is not true any more. Troubles of a service that has worked pass.
    fn is_forgotten(&self, halt: &Halt) -> bool {
        let passes = self.works && matches!(halt, Halt::Again(_));
        !self.proven && !passes && !is_interrupted(halt)
    }

    /// `base`: a URL of the registry.
    fn means(&self, identity: Option<&Identity>, base: &Url) -> Means {
        let login = identity.map(Identity::login);
        if let (Some(identity), Some(Login::Bearer(_))) = (identity, login) {
            return Means::Header(identity.header());
        }
        let url = self.service.as_ref().map(|service| {
            let url = service.url(base, login.is_some());
            url.map(|url| (service.clone(), url))
        });
        match (url, login, identity) {
            (Some(Ok((service, url))), _, _) => Means::Token(service, url),
            (_, Some(Login::Password { .. }), Some(identity)) if self.basic => {
                Means::Header(identity.header())
            }
            (Some(Err(why)), _, _) => Means::Nothing(Denied::Realm(why)),
            (None, None, _) => Means::Nothing(Denied::NoCredentials),
            (None, Some(_), _) => Means::Nothing(Denied::NoPassword),
        }
    }
}

impl Authority {
    pub(super) fn new(keychain: Arc<dyn Keychain>, known: Option<TokenService>) -> Self {
        Self {
            identities: Identities::new(keychain),
            ask: Mutex::new(Ask {
                service: known,
                basic: false,
                proven: false,
                works: false,
            }),
            tokens: Tokens::default(),
            first_writes: FirstWrites::default(),
            contacts: Mutex::default(),
            no_post: AtomicBool::new(false),
            pinged: OnceLock::new(),
        }
    }

    fn ask(&self) -> MutexGuard<'_, Ask> {
        self.ask.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what challenges say. Those without one leave what is known as it is.
    fn learn(&self, challenges: &[Challenge]) {
        let mut offered = challenges.iter().filter(|c| c.scheme == "bearer");
        let service = offered.find_map(TokenService::of);
        let basic = challenges.iter().any(|c| c.scheme == "basic");
        if service.is_some() || basic {
            *self.ask() = Ask {
                service,
                basic,
                proven: true,
                works: false,
            };
        }
    }

    /// Drops what was only remembered.
    fn forget(&self) {
        let mut ask = self.ask();
        if !ask.proven {
            *ask = Ask::default();
        }
    }

    /// A request that carried `pass` was answered, and not with a 401.
    pub(super) fn answered(&self, pass: &mut Pass<'_>, status: u16) {
        if let Some(first) = pass.first.take() {
            first.answered();
        }
        if pass.token.is_some() && matches!(status, 200..=299 | 404) {
            self.ask().works = true;
        }
    }

    fn contact(&self, url: &Url) -> Arc<Contact> {
        let mut contacts = self.contacts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(contacts.entry(url.authority()).or_default())
    }

    /// The token service that the registry has named in this run, and that has given tokens for it.
    fn named_service(&self) -> Option<TokenService> {
        let ask = self.ask().clone();
        let service = ask.service.filter(|_| ask.proven);
        service.filter(|_| self.tokens.any())
    }
}

impl Pass<'_> {
    pub(super) fn can_expire(&self) -> bool {
        self.token.is_some()
    }
}

impl Tries {
    /// Whether a request that carried this may be sent once more.
    pub(super) fn allow(&mut self, pass: &Pass<'_>) -> bool {
        let tried = match pass.header {
            None => &mut self.bare,
            Some(_) => &mut self.refused,
        };
        !std::mem::replace(tried, true)
    }
}

impl Client {
    /// The token service of the registry, for the next run to know: as the registry itself has named it
    /// in this one, where nobody in between can have done so. Passwords will be sent there unasked, by
    /// runs that verify certificates, too.
    pub fn token_service(&self) -> Option<TokenService> {
        let service = self.authority.named_service()?;
        let own = self.base_url();
        let verified = match own.scheme() {
            Scheme::Https => !self.settings.insecure,
            Scheme::Http => net::is_loopback(own.host()),
        };
        (verified || service.is_at(&own)).then_some(service)
    }

    /// What a request is to carry. Waits for a token, or for the first write, where it must.
    pub(super) fn authorise(&self, operation: &str, call: &Call<'_>) -> Result<Pass<'_>, Halt> {
        if !call.target.is_own() {
            return Ok(Pass::default());
        }
        loop {
            let ask = self.authority.ask().clone();
            // Whoever listens on a loopback port may lead it anywhere: what is secret waits for the answer.
            let spoken = ask.proven || self.reach.decision().is_some();
            if ask.is_known() && spoken {
                match self.identify(operation, call, &ask) {
                    Err(halt) if ask.is_forgotten(&halt) => self.authority.forget(),
                    outcome => return outcome,
                }
                continue;
            }
            let Some(repository) = call.access.repository().filter(|_| call.writes()) else {
                return Ok(Pass::default());
            };
            let identities = &self.authority.identities;
            let may_answer = || identities.may_be(repository);
            match self.authority.first_writes.enter(repository, may_answer) {
                Entry::Open => {
                    // It may have been opened a moment ago, by an answer that says more.
                    self.admit(operation)?;
                    return Ok(Pass::default());
                }
                // A write that was first until now, or any other request, may have been told since.
                Entry::First(_) if !ask.proven && self.authority.ask().proven => {}
                Entry::First(first) => {
                    return Ok(Pass {
                        first: Some(first),
                        ..Pass::default()
                    });
                }
                // Much may have happened, and all who waited go on at once.
                Entry::Waited => self.admit(operation)?,
            }
        }
    }

    fn identify(&self, operation: &str, call: &Call<'_>, ask: &Ask) -> Result<Pass<'_>, Halt> {
        let identity = self.identity(call.access);
        let mut pass = Pass::default();
        match ask.means(identity.as_deref(), &self.base_url()) {
            Means::Nothing(_) => {}
            Means::Header(header) => pass.header = Some(Arc::new(header)),
            Means::Token(service, url) => {
                let key = Key::of(call.access);
                let token = self.token(operation, &key, call.has_body(), &service, |order| {
                    self.fetch(operation, &service, url.clone(), identity.as_deref(), order)
                })?;
                pass.header = Some(Arc::clone(&token.header));
                pass.token = Some((key, token.number));
            }
        }
        pass.identity = identity.filter(|_| pass.header.is_some());
        Ok(pass)
    }

    fn token(
        &self,
        operation: &str,
        key: &Key,
        body: bool,
        service: &TokenService,
        fetch: impl Fn(&Scopes) -> Result<grant::Grant, Box<Fault>>,
    ) -> Result<Arc<tokens::Token>, Halt> {
        let tokens = &self.authority.tokens;
        match tokens.claim(key, service, body, &*self.clock) {
            Claim::Have(token) => Ok(token),
            Claim::Failed(fault) => Err(fault.into_halt(operation)),
            Claim::Fetch(order) => {
                let asked = self.clock.now();
                match fetch(&order.scopes) {
                    Ok(grant) => Ok(order.came(&grant, asked)),
                    Err(fault) => {
                        let halt = fault.clone().into_halt(operation);
                        let old = order.failed(service, fault, self.clock.now());
                        old.ok_or(halt)
                    }
                }
            }
        }
    }

    /// Reads a 401 to a request that carried `pass`.
    pub(super) fn challenged(
        &self,
        call: &Call<'_>,
        pass: &Pass<'_>,
        response: &Response,
    ) -> Asked {
        let authority = &self.authority;
        let challenges = self.challenges(response);
        authority.learn(&challenges);
        let known = authority.ask().is_known();
        if !known {
            // gcr.io has been seen to leave it out: https://github.com/google/go-containerregistry
            let ping = || authority.learn(&self.challenges_of_host());
            authority.pinged.get_or_init(ping);
        }
        let ask = authority.ask().clone();
        if !ask.is_known() {
            let nobody = self.identity(call.access).is_none();
            return Asked::Denied(match nobody {
                true => Denied::NoCredentials,
                false => Denied::NoChallenge,
            });
        }
        let bearer = challenges.iter().find(|c| c.scheme == "bearer");
        let lacking = Scopes::parse(bearer.and_then(|c| c.param("scope")).unwrap_or_default());
        let identity = self.identity(call.access);
        let means = ask.means(identity.as_deref(), &self.base_url());
        match (means, &pass.token) {
            (Means::Nothing(denied), _) => Asked::Denied(denied),
            (Means::Header(header), _) if pass.header.as_deref() == Some(&header) => {
                Asked::Denied(Denied::Refused)
            }
            (Means::Header(_), _) => Asked::Again,
            (Means::Token(..), None) => {
                authority.tokens.want(&Key::of(call.access), lacking);
                Asked::Again
            }
            (Means::Token(..), Some((key, number))) => {
                let error = bearer.and_then(|c| c.param("error"));
                let weak = error == Some("insufficient_scope");
                let dead = error == Some("invalid_token");
                let now = self.clock.now();
                let said = lacking.clone();
                match authority.tokens.refused(key, *number, lacking, weak, now) {
                    Refused::Again => Asked::Again,
                    Refused::TooWeak if dead => Asked::Denied(Denied::TokensRefused),
                    Refused::TooWeak => Asked::Denied(Denied::TooWeak(said)),
                }
            }
        }
    }

    pub(super) fn identity(&self, access: Access<'_>) -> Option<Arc<Identity>> {
        let identities = &self.authority.identities;
        identities.of(access.repository(), &*self.events)
    }

    fn challenges_of_host(&self) -> Vec<Challenge> {
        let mut ping = Call::new(Method::Get, endpoint::ping(), Access::Host);
        if self.await_turn("login", &ping.target).is_err() {
            return Vec::new();
        }
        match self.send(&mut ping) {
            Ok(answer) if answer.status == 401 => self.challenges(&answer),
            _ => Vec::new(),
        }
    }

    fn base_url(&self) -> Url {
        let path = endpoint::ping().path().to_owned();
        self.endpoint.own(self.reach.scheme(), path)
    }
}

fn is_interrupted(halt: &Halt) -> bool {
    matches!(halt, Halt::Fail(error) if error.kind == ErrorKind::Interrupted)
}
