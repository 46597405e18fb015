//! Who the user is at a registry, and who is asked for that.

use std::fmt;

use crate::image::reference::Repository;
use crate::net::Secret;
use crate::observe::event::Emit;

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

    /// Whether `find` may find some, as far as that shows without asking a helper or telling anybody.
    fn may_find(&self, _repository: &Repository) -> bool {
        true
    }
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

    fn may_find(&self, _: &Repository) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
