//! What a `config.json` of docker or an `auth.json` of podman says about a registry. No I/O.
//!
//! docker/cli `cli/config/configfile/file.go`, containers-auth.json(5). The two are read alike: docker's
//! URLs and podman's name spaces are told apart by their form.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::image::digest::quote;
use crate::net::Secret;
use crate::registry::credentials::Login;
use crate::registry::keychain::object::Object;
use crate::registry::keychain::server::{Rank, Server};

/// The answer of one document; the helper counts first, as it does for docker and podman.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) helper: Option<HelperName>,
    pub(super) login: Option<Result<Login, Damage>>,
}

/// A program to be asked: `docker-credential-SUFFIX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HelperName {
    pub(super) suffix: String,
    /// The field that names it.
    pub(super) field: &'static str,
}

/// What is wrong with a document: a fragment that follows its name. Never quotes values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage(String);

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Padding or none, as people cut it off.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The parts of a document that are about credentials.
pub(super) struct Document<'a> {
    auths: Object<'a>,
    cred_helpers: Object<'a>,
    creds_store: Option<String>,
}

impl<'a> Document<'a> {
    /// A file that is empty says nothing, and is not damaged.
    pub(super) fn parse(text: &'a str) -> Result<Self, Damage> {
        let text = text.trim_start_matches('\u{feff}');
        let fields = match text.trim().is_empty() {
            true => Object::default(),
            false => Object::parse(text).map_err(|error| no_json(&error))?,
        };
        let creds_store = match fields.get("credsStore") {
            Some(value) => Some(string("credsStore", value)?),
            None => None,
        };
        Ok(Self {
            auths: object("auths", fields.get("auths"))?,
            cred_helpers: object("credHelpers", fields.get("credHelpers"))?,
            creds_store: creds_store.filter(|suffix| !suffix.is_empty()),
        })
    }

    pub(super) fn look_up(
        &self,
        server: &Server,
        repository: Option<&str>,
    ) -> Result<Said, Damage> {
        let entries = self.auths.0.iter();
        let ranked = entries.filter_map(|(key, entry)| {
            let rank = server.rank(key, repository)?;
            Some((rank, login(key, entry).transpose()?))
        });
        let best = ranked.reduce(|best, next| if next.0 > best.0 { next } else { best });
        Ok(Said {
            helper: self.helper(server)?,
            login: best.map(|(_, login)| login),
        })
    }

    /// A host's own helper keeps the one for all hosts from being asked, as docker has it; so does an
    /// empty name.
    pub(super) fn helper(&self, server: &Server) -> Result<Option<HelperName>, Damage> {
        let own = self.cred_helpers.0.iter();
        let own = own.filter_map(|(key, value)| Some((server.rank(key, None)?, value)));
        let own = own.max_by_key(|(rank, _)| *rank);
        let (suffix, field) = match (own, &self.creds_store) {
            (Some((_, value)), _) => (string("credHelpers", value)?, "credHelpers"),
            (None, Some(suffix)) => (suffix.clone(), "credsStore"),
            (None, None) => return Ok(None),
        };
        Ok((!suffix.is_empty()).then_some(HelperName { suffix, field }))
    }

    /// Looks at every entry about the registry.
    pub(super) fn check(&self, server: &Server) -> Result<(), Damage> {
        self.helper(server)?;
        let own = self.auths.0.iter().filter(|(key, _)| server.owns(key));
        own.map(|(key, entry)| login(key, entry))
            .try_for_each(|read| read.map(drop))
    }

    /// Whether there is an entry or a helper for this registry and no other.
    pub(super) fn names(&self, server: &Server) -> bool {
        let whole = |(key, _): &(String, _)| server.rank(key, None).is_some_and(is_whole);
        self.auths.0.iter().any(whole) || self.cred_helpers.0.iter().any(whole)
    }
}

fn is_whole(rank: Rank) -> bool {
    matches!(rank, Rank::Url | Rank::Host)
}

/// What an entry of `auths` holds; an empty one is only a sign that a helper has it.
fn login(key: &str, entry: &RawValue) -> Result<Option<Login>, Damage> {
    if entry.get() == "null" {
        return Ok(None);
    }
    let wrong = |what: &str| Damage(format!("has auths.{}{what}", quote(key)));
    let fields = Object::parse(entry.get()).map_err(|_| wrong(" that is no object"))?;
    let text = |name: &str| {
        let Some(value) = fields.get(name) else {
            return Ok(None);
        };
        let text = serde_json::from_str::<String>(value.get()).map(Secret::new);
        let text = text.map_err(|_| wrong(&format!(".{name} that is no text")))?;
        Ok(Some(text).filter(|text| !text.expose().is_empty()))
    };
    if let Some(token) = text("registrytoken")? {
        let bearer = Login::bearer(token);
        return bearer
            .map(Some)
            .ok_or_else(|| wrong(".registrytoken that is no token"));
    }
    if let Some(token) = text("identitytoken")? {
        return Ok(Some(Login::IdentityToken(token)));
    }
    if let Some(auth) = text("auth")? {
        return pair(auth.expose()).map_err(|what| wrong(&format!(".auth that {what}")));
    }
    match (text("username")?, text("password")?) {
        (Some(username), Some(password)) => {
            Ok(Some(Login::new(username.expose().to_owned(), password)))
        }
        (None, None) => Ok(None),
        (Some(_), None) => Err(wrong(" with a username and no password")),
        (None, Some(_)) => Err(wrong(" with a password and no username")),
    }
}

/// `user:password` in base64; the password may hold colons, and docker once padded it with NUL.
fn pair(auth: &str) -> Result<Option<Login>, &'static str> {
    let packed: Zeroizing<Vec<u8>> =
        Zeroizing::new(auth.bytes().filter(|b| !b.is_ascii_whitespace()).collect());
    let bytes = BASE64.decode(&*packed).map(Zeroizing::new);
    let bytes = bytes.map_err(|_| "is not base64")?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "is not UTF-8 inside its base64")?;
    let (username, password) = text
        .split_once(':')
        .ok_or("has no colon inside its base64")?;
    let password = password.trim_end_matches('\0');
    match (username.is_empty(), password.is_empty()) {
        (true, true) => Ok(None),
        (true, false) => Err("has no user name inside its base64"),
        (false, _) => Ok(Some(Login::new(username.to_owned(), password.into()))),
    }
}

fn object<'a>(name: &str, value: Option<&'a RawValue>) -> Result<Object<'a>, Damage> {
    let Some(value) = value else {
        return Ok(Object::default());
    };
    Object::parse(value.get()).map_err(|_| Damage(format!("has {name} that is no object")))
}

fn string(name: &str, value: &RawValue) -> Result<String, Damage> {
    let text = serde_json::from_str(value.get());
    text.map_err(|_| Damage(format!("has {name} that is no text")))
}

/// serde's own sentence quotes what it met.
fn no_json(error: &serde_json::Error) -> Damage {
    let (line, column) = (error.line(), error.column());
    match error.is_data() {
        true => Damage("is no JSON object".to_owned()),
        false => Damage(format!("is no JSON (line {line}, column {column})")),
    }
}

#[cfg(test)]
mod tests;
