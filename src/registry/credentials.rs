//! Who we are at a registry, and when it may know.
//!
//! Credentials are sent to the registry's own origin only, and only once it has asked for them; from
//! then on with every request. RFC 7617.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::image::reference::Repository;
use crate::net::Secret;
use crate::observe::event::Emit;
use crate::registry::challenge::Challenge;

/// Who the user is at a registry, and who said so.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub login: Login,
    /// Where they were found, for people: "--username", a file's path, a helper's name.
    pub origin: String,
}

/// What credentials are made of.
#[derive(Clone, Debug)]
pub enum Login {
    Password {
        username: String,
        password: Secret,
    },
    /// A refresh token: a token service gives access tokens for it.
    IdentityToken(Secret),
    /// Sent as it is.
    Bearer(Secret),
}

/// The user name under which helpers give identity tokens.
pub(super) const IDENTITY: &str = "<token>";

impl Login {
    /// A password, or what goes by [`IDENTITY`].
    pub fn new(username: String, secret: Secret) -> Self {
        match username.as_str() {
            IDENTITY => Self::IdentityToken(secret),
            _ => Self::Password {
                username,
                password: secret,
            },
        }
    }

    /// A token that may stand behind `Bearer` in a header; other text is none.
    pub fn bearer(token: Secret) -> Option<Self> {
        let text = token.expose();
        let legal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        legal.then_some(Self::Bearer(token))
    }

    /// The user, where there is one to name.
    pub fn username(&self) -> Option<&str> {
        match self {
            Self::Password { username, .. } => Some(username),
            Self::IdentityToken(_) | Self::Bearer(_) => None,
        }
    }
}

/// Finds credentials for one registry. Asked once it is known that some are needed; answers may take
/// as long as a helper program does.
pub trait Keychain: fmt::Debug + Send + Sync {
    /// For one of the registry's repositories, or for the registry as a whole. `events` hears of
    /// places that should have some and could not be asked.
    fn find(&self, repository: Option<&Repository>, events: &dyn Emit) -> Option<Credentials>;
}

/// The same for all repositories.
impl Keychain for Credentials {
    fn find(&self, _: Option<&Repository>, _: &dyn Emit) -> Option<Credentials> {
        Some(self.clone())
    }
}

/// Knows nobody.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous;

impl Keychain for Anonymous {
    fn find(&self, _: Option<&Repository>, _: &dyn Emit) -> Option<Credentials> {
        None
    }
}

/// What one registry has asked for, and what it may be given.
pub(super) struct Authority {
    username: Option<String>,
    /// The value of `Authorization`.
    basic: Option<String>,
    asked: AtomicBool,
}

/// What a 401 was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Basic, and the request had not carried it though it could: send it again.
    Again,
    /// It names no scheme at all.
    Nothing,
    /// Nothing more can be given.
    Denied(Denied),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// No credentials were given by the user.
    NoCredentials,
    /// They were sent and not accepted.
    Refused,
    /// It takes tokens.
    TokensOnly,
}

impl Authority {
    pub(super) fn new(keychain: &dyn Keychain, events: &dyn Emit) -> Self {
        let basic = |c: Credentials| match c.login {
            Login::Password { username, password } => {
                let pair = format!("{username}:{}", password.expose());
                let value = format!("Basic {}", STANDARD.encode(pair));
                Some((username, value))
            }
            Login::IdentityToken(_) | Login::Bearer(_) => None,
        };
        let (username, value) = keychain.find(None, events).and_then(basic).unzip();
        Self {
            username,
            basic: value,
            asked: AtomicBool::new(false),
        }
    }

    pub(super) fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    /// The `Authorization` that a request to the registry's own origin carries now.
    pub(super) fn header(&self) -> Option<&str> {
        let asked = self.asked.load(Ordering::Acquire);
        self.basic.as_deref().filter(|_| asked)
    }

    /// Reads a 401 to a request that carried [`Self::header`] or not.
    pub(super) fn asked(&self, challenges: &[Challenge], carried: bool) -> Asked {
        let offers = |scheme: &str| challenges.iter().any(|c| c.scheme == scheme);
        if carried {
            return Asked::Denied(Denied::Refused);
        }
        if offers("basic") || self.asked.load(Ordering::Acquire) {
            if self.basic.is_none() {
                return Asked::Denied(Denied::NoCredentials);
            }
            self.asked.store(true, Ordering::Release);
            return Asked::Again;
        }
        if offers("bearer") {
            return Asked::Denied(Denied::TokensOnly);
        }
        if self.basic.is_none() {
            return Asked::Denied(Denied::NoCredentials);
        }
        Asked::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::event::Event;
    use crate::registry::challenge::parse;

    struct Nobody;

    impl Emit for Nobody {
        fn emit(&self, _: Event) {}
    }

    fn known() -> Authority {
        let credentials = Credentials {
            login: Login::Password {
                username: "Aladdin".into(),
                password: "open sesame".into(),
            },
            origin: String::new(),
        };
        Authority::new(&credentials, &Nobody)
    }

    #[test]
    fn gives_nothing_unasked_and_then_always() {
        let authority = known();
        assert_eq!(authority.header(), None);
        let basic = parse(["Basic realm=x"].into_iter());
        assert_eq!(authority.asked(&basic, false), Asked::Again);
        // RFC 7617 section 2.
        let expected = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
        assert_eq!(authority.header(), Some(expected));
        assert_eq!(
            authority.asked(&basic, true),
            Asked::Denied(Denied::Refused)
        );
        assert_eq!(authority.asked(&[], false), Asked::Again);
    }

    #[test]
    fn tokens_fit_into_a_header() {
        for (text, expected) in [
            ("eyJ.x-y_z~+/=", true),
            ("", false),
            ("a b", false),
            ("a\r\nX: y", false),
            ("\u{fc}", false),
        ] {
            let bearer = Login::bearer(text.into());
            assert_eq!(bearer.is_some(), expected, "{text:?}");
        }
    }

    #[test]
    fn says_why_not() {
        let nobody = || Authority::new(&Anonymous, &Nobody);
        for (authority, header, expected) in [
            (
                nobody(),
                "Basic realm=x",
                Asked::Denied(Denied::NoCredentials),
            ),
            (
                nobody(),
                "Bearer realm=x",
                Asked::Denied(Denied::TokensOnly),
            ),
            (nobody(), "", Asked::Denied(Denied::NoCredentials)),
            (known(), "Bearer realm=x", Asked::Denied(Denied::TokensOnly)),
            (known(), "Bearer realm=x, Basic realm=y", Asked::Again),
            (known(), "", Asked::Nothing),
        ] {
            let challenges = parse([header].into_iter());
            assert_eq!(authority.asked(&challenges, false), expected, "{header}");
        }
    }
}
