//! References: hosts, repositories and tags, in the grammar of distribution/reference.
//!
//! Facts: distribution/reference `regexp.go`, `normalize.go`; distribution-spec 1.1 "Pull".

use std::fmt;
use std::net::Ipv6Addr;
use std::sync::Arc;

use crate::image::digest::{Digest, quote};
use crate::image::error::legible;

/// What a name without a host means.
pub const DOCKER_HUB: &str = "docker.io";

/// Longest path of a repository, in characters, the host not counted.
const MAX_REPOSITORY: usize = 255;
const MAX_TAG: usize = 128;
/// A hint repeats what was typed, as long as that may be: a longer one helps nobody. In bytes.
const LONGEST_HINT: usize = 2000;
/// Longest host name (RFC 1035, section 2.3.4), in characters, the port not counted.
pub(crate) const MAX_HOST: usize = 255;

/// `host[:port]` of a registry, as typed, `docker.io` in its canonical spelling.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Arc<str>);

/// The path of a repository inside a registry: `team/app`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository(Arc<str>);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

/// A name of an image as tools write it, with what they leave out filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub host: Host,
    pub repository: Repository,
    pub tag: Option<Tag>,
    pub digest: Option<Digest>,
}

/// Why a text is no host, repository or tag: a sentence that quotes it, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceError {
    message: String,
    hint: Option<String>,
}

impl Host {
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let (name, port) = split_port(text);
        let checked = match text.contains('@') {
            true => Err("it has a user name in front".to_owned()),
            false => check_host_name(name).and_then(|()| port.map_or(Ok(()), check_port)),
        };
        // What stands before the @ may be a password.
        let shown = text.rfind('@').map_or(text, |at| &text[at..]);
        checked.map_err(|why| ReferenceError::refused(shown, "host", &why))?;
        let hub = [DOCKER_HUB, "index.docker.io"];
        if port.is_none() && hub.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            return Ok(Self(DOCKER_HUB.into()));
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without the port; an IPv6 address keeps its brackets.
    pub fn name(&self) -> &str {
        split_port(&self.0).0
    }

    pub fn port(&self) -> Option<u16> {
        split_port(&self.0).1.and_then(|port| port.parse().ok())
    }

    pub fn is_docker_hub(&self) -> bool {
        self.as_str() == DOCKER_HUB
    }

    /// Whether a first component is a host, as tools decide it: `team/app` has none.
    pub(crate) fn is_meant(component: &str) -> bool {
        component == "localhost"
            || component.contains(['.', ':', '['])
            || component.bytes().any(|b| b.is_ascii_uppercase())
    }
}

impl Repository {
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        check_path(text).map_err(|why| ReferenceError::refused(text, "repository", &why))?;
        Ok(Self(text.into()))
    }

    /// This one below `prefix`.
    pub fn under(&self, prefix: Option<&Self>) -> Result<Self, ReferenceError> {
        match prefix {
            None => Ok(self.clone()),
            Some(prefix) => Self::parse(&format!("{prefix}/{self}")),
        }
    }

    /// As it is on `host`: the hub keeps what has no name space under `library/`.
    pub fn on(&self, host: &Host) -> Result<Self, ReferenceError> {
        if host.is_docker_hub() && !self.0.contains('/') {
            return Self::parse(&format!("library/{self}"));
        }
        Ok(self.clone())
    }

    /// Without the `library/` that the hub fills in.
    pub fn familiar(&self, host: &Host) -> Self {
        let bare = self.0.strip_prefix("library/");
        match bare.filter(|rest| host.is_docker_hub() && !rest.contains('/')) {
            Some(rest) => Self(rest.into()),
            None => self.clone(),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Tag {
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        check_tag(text).map_err(|why| ReferenceError::refused(text, "tag", &why))?;
        Ok(Self(text.into()))
    }

    /// `latest`, what is meant when nothing is said.
    pub fn latest() -> Self {
        Self("latest".into())
    }

    /// The start of a digest, for images that have no tag and are several.
    pub fn of_digest(digest: &Digest) -> Self {
        Self::parse(digest.short()).unwrap_or_else(|_| Self::latest())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Reference {
    /// Parses `[host/]repository[:tag][@digest]`; a name without a host is one of the hub's.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let refused = |why: &str| ReferenceError::refused(text, "image name", why);
        if text.len() == 64 && text.bytes().all(is_lower_hex) {
            return Err(refused("64 hex digits are an image's id"));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        if digest.is_none() && Digest::parse(name).is_ok_and(|d| d.algorithm().is_some()) {
            return Err(refused("it is a digest"));
        }
        let digest = digest.map(Digest::parse).transpose();
        let digest = digest.map_err(|error| refused(&error.to_string()))?;
        let (host, rest) = match name.split_once('/') {
            Some((host, rest)) if Host::is_meant(host) => (Host::parse(host)?, rest),
            _ => (Host(DOCKER_HUB.into()), name),
        };
        let (path, tag) = split_tag(rest);
        Ok(Self {
            repository: Repository::parse(path)?.on(&host)?,
            host,
            tag: tag.map(Tag::parse).transpose()?,
            digest,
        })
    }
}

impl ReferenceError {
    /// `text` is no `what`, because `why`.
    pub(crate) fn refused(text: &str, what: &str, why: &str) -> Self {
        let article = if what.starts_with('i') { "an" } else { "a" };
        Self::new(format!("{} is not {article} {what}: {why}", quote(text)))
    }

    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    /// `hint`: what to write instead, without "try:".
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        let hint = legible(&hint.into());
        let helps = !hint.trim().is_empty() && hint.len() <= LONGEST_HINT;
        self.hint = helps.then_some(hint);
        self
    }

    /// The sentence alone.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to try, without "try:".
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// `repository:tag` cut at the colon behind the last `/`.
pub(crate) fn split_tag(text: &str) -> (&str, Option<&str>) {
    let last = text.rfind('/').map_or(0, |slash| slash + 1);
    match text[last..].find(':') {
        Some(colon) => (&text[..last + colon], Some(&text[last + colon + 1..])),
        None => (text, None),
    }
}

/// `host:port` cut at the colon that is not part of an IPv6 address.
pub(crate) fn split_port(text: &str) -> (&str, Option<&str>) {
    let after_address = text.rfind(']').map_or(0, |bracket| bracket + 1);
    match text[after_address..].find(':') {
        Some(colon) => {
            let colon = after_address + colon;
            (&text[..colon], Some(&text[colon + 1..]))
        }
        None => (text, None),
    }
}

fn check_host_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("it is empty".into());
    }
    if name.len() > MAX_HOST {
        return Err(format!("it is longer than {MAX_HOST} characters"));
    }
    if name.starts_with('[') {
        let inner = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
        let address = inner.ok_or("its brackets do not match")?;
        if address.contains('%') {
            return Err("an address with a zone cannot be used".into());
        }
        return match address.parse::<Ipv6Addr>() {
            Ok(_) => Ok(()),
            Err(_) => Err("what is in brackets is not an IPv6 address".into()),
        };
    }
    let legal = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if let Some(other) = name.chars().find(|c| !legal(c)) {
        return Err(format!("{other:?} cannot be part of a host's name"));
    }
    let bad = |label: &str| label.is_empty() || label.starts_with('-') || label.ends_with('-');
    if name.split('.').any(bad) {
        return Err("each part of its name begins and ends with a letter or digit".into());
    }
    Ok(())
}

fn check_port(port: &str) -> Result<(), String> {
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number) if digits && number > 0 => Ok(()),
        _ => Err(format!("{} is no port from 1 to 65535", quote(port))),
    }
}

fn check_path(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("it is empty".into());
    }
    if path.len() > MAX_REPOSITORY {
        return Err(format!("it is longer than {MAX_REPOSITORY} characters"));
    }
    if path.chars().any(char::is_uppercase) {
        return Err("it must be lower-case".into());
    }
    path.split('/').try_for_each(check_component)
}

/// Runs of letters and digits, joined by one `.`, one `_`, two `_` or any number of `-`.
fn check_component(component: &str) -> Result<(), String> {
    if component.is_empty() {
        return Err("a part between slashes is empty".into());
    }
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separator = |c: char| matches!(c, '.' | '_' | '-');
    if let Some(other) = component
        .chars()
        .find(|c| !alphanumeric(*c) && !separator(*c))
    {
        return Err(format!("{other:?} cannot be part of it"));
    }
    if component.starts_with(separator) || component.ends_with(separator) {
        return Err("each part begins and ends with a letter or digit".into());
    }
    let mut separators = component.split(alphanumeric).filter(|run| !run.is_empty());
    match separators.find(|run| !is_separator(run)) {
        Some(run) => Err(format!("{} cannot join letters and digits", quote(run))),
        None => Ok(()),
    }
}

/// Whether `run` may stand between two letters or digits of a repository's name.
pub(crate) fn is_separator(run: &str) -> bool {
    matches!(run, "." | "_" | "__") || !run.is_empty() && run.bytes().all(|b| b == b'-')
}

fn check_tag(tag: &str) -> Result<(), String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if tag.is_empty() {
        return Err("it is empty".into());
    }
    if tag.len() > MAX_TAG {
        return Err(format!("it is longer than {MAX_TAG} characters"));
    }
    if let Some(other) = tag.chars().find(|c| !word(*c) && !matches!(c, '.' | '-')) {
        return Err(format!("{other:?} cannot be part of it"));
    }
    if tag.starts_with(['.', '-']) {
        return Err("it begins with a letter, a digit or _".into());
    }
    Ok(())
}

fn is_lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

macro_rules! display_as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
display_as_text!(Host, Repository, Tag);

/// The sentence, and the hint on a line of its own.
impl fmt::Display for ReferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\ntry: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ReferenceError {}

#[cfg(test)]
mod tests;
