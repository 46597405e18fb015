//! The user's credentials, asked for at first need, once for each repository.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::image::reference::Repository;
use crate::net::Secret;
use crate::observe::event::Emit;
use crate::registry::answer::clean;
use crate::registry::credentials::{Credentials, IDENTITY, Keychain, Login};

/// Somebody, and what may be sent to say so. `Display`: "the credentials of me (from --username)".
#[derive(Debug)]
pub(in crate::registry) struct Identity {
    login: Login,
    origin: String,
    /// The refresh token in force: services may replace it.
    refresh: Mutex<Secret>,
}

impl Identity {
    fn new(credentials: Credentials) -> Self {
        let login = match credentials.login {
            Login::Password { username, password } => Login::new(username, password),
            other => other,
        };
        let refresh = match &login {
            Login::IdentityToken(token) => token.clone(),
            Login::Password { .. } | Login::Bearer(_) => Secret::default(),
        };
        Self {
            login,
            origin: credentials.origin,
            refresh: Mutex::new(refresh),
        }
    }

    pub(super) fn login(&self) -> &Login {
        &self.login
    }

    pub(in crate::registry) fn username(&self) -> Option<String> {
        self.login.username().map(|name| clean(name, 80))
    }

    /// The value of `Authorization` that says it directly: RFC 7617, RFC 6750.
    pub(super) fn header(&self) -> Secret {
        match &self.login {
            Login::Password { username, password } => basic(username, password),
            Login::IdentityToken(_) => basic(IDENTITY, &self.refresh_token()),
            Login::Bearer(token) => Secret::new(format!("Bearer {}", token.expose())),
        }
    }

    pub(super) fn refresh_token(&self) -> Secret {
        let token = self.refresh.lock();
        token.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn replace_refresh_token(&self, token: Secret) {
        *self.refresh.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.login {
            Login::Password { .. } => {
                let user = self.username().unwrap_or_default();
                write!(f, "the credentials of {user}")?;
            }
            Login::IdentityToken(_) => write!(f, "the identity token")?,
            Login::Bearer(_) => write!(f, "the token")?,
        }
        match self.origin.is_empty() {
            true => Ok(()),
            false => write!(f, " (from {})", clean(&self.origin, 200)),
        }
    }
}

fn basic(username: &str, password: &Secret) -> Secret {
    let pair = Secret::new(format!("{username}:{}", password.expose()));
    Secret::new(format!("Basic {}", STANDARD.encode(pair.expose())))
}

/// Everybody we are at one registry.
pub(super) struct Identities {
    keychain: Arc<dyn Keychain>,
    found: Mutex<HashMap<Option<Repository>, Found>>,
}

/// Filled by the first who asks, while the others wait: helper programs take their time.
type Found = Arc<OnceLock<Option<Arc<Identity>>>>;

impl Identities {
    pub(super) fn new(keychain: Arc<dyn Keychain>) -> Self {
        Self {
            keychain,
            found: Mutex::default(),
        }
    }

    pub(super) fn of(
        &self,
        repository: Option<&Repository>,
        events: &dyn Emit,
    ) -> Option<Arc<Identity>> {
        let found = {
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(found.entry(repository.cloned()).or_default())
        };
        let identity = found.get_or_init(|| {
            let credentials = self.keychain.find(repository, events);
            credentials.map(|credentials| Arc::new(Identity::new(credentials)))
        });
        identity.clone()
    }

    /// Whether there may be somebody, without asking.
    pub(super) fn may_be(&self, repository: &Repository) -> bool {
        self.keychain.may_find(repository)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_sent_and_named_by_what_it_is() {
        let password = |user: &str| Login::Password {
            username: user.into(),
            password: "open sesame".into(),
        };
        for (login, origin, header, name) in [
            // RFC 7617 section 2.
            (
                password("Aladdin"),
                "--username",
                "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
                "the credentials of Aladdin (from --username)",
            ),
            (
                password("<token>"),
                "docker-credential-pass",
                "Basic PHRva2VuPjpvcGVuIHNlc2FtZQ==",
                "the identity token (from docker-credential-pass)",
            ),
            (Login::Bearer("abc".into()), "", "Bearer abc", "the token"),
            (
                password("a\u{1b}[31m\nb"),
                "x",
                "Basic YRtbMzFtCmI6b3BlbiBzZXNhbWU=",
                "the credentials of a [31m b (from x)",
            ),
        ] {
            let origin = origin.to_owned();
            let identity = Identity::new(Credentials { login, origin });
            assert_eq!(identity.header().expose(), header);
            assert_eq!(identity.to_string(), name);
        }
    }
}
