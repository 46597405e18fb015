//! From method and target to what is asked for. Pure.

use crate::image::digest::Digest;
use crate::image::reference::{Repository, Tag};

use super::fault::{Code, Fault};

/// The end-points of distribution-spec 1.1, section "Endpoints", and the catalogue that Docker's
/// registry has had before.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Ping,
    Catalog,
    Tags(Repository),
    Manifest(Repository, Reference),
    Blob(Repository, Digest),
    Uploads(Repository),
    /// The session's name as sent, which nobody has checked yet.
    Upload(Repository, String),
    Referrers(Repository, Digest),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reference {
    Tag(Tag),
    Digest(Digest),
    /// No tag by its form, so there is nothing under it; with the reason.
    Impossible(String),
}

/// The route of a path, without its query.
pub(super) fn route(path: &str) -> Result<Route, Fault> {
    let path = decode(path);
    let Some(path) = path.strip_prefix("/v2") else {
        return Err(Fault::nowhere());
    };
    let parts: Vec<&str> = match path.strip_prefix('/') {
        Some(rest) => rest.split('/').collect(),
        None if path.is_empty() => return Ok(Route::Ping),
        None => return Err(Fault::nowhere()),
    };
    match parts.as_slice() {
        [""] => Ok(Route::Ping),
        ["_catalog"] => Ok(Route::Catalog),
        [name @ .., "tags", "list"] => Ok(Route::Tags(repository(name)?)),
        [name @ .., "manifests", reference] => {
            Ok(Route::Manifest(repository(name)?, manifest(reference)?))
        }
        [name @ .., "referrers", of] => Ok(Route::Referrers(repository(name)?, digest(of)?)),
        [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => {
            Ok(Route::Uploads(repository(name)?))
        }
        [name @ .., "blobs", "uploads", session] => {
            Ok(Route::Upload(repository(name)?, (*session).to_string()))
        }
        [name @ .., "blobs", of] => Ok(Route::Blob(repository(name)?, digest(of)?)),
        _ => Err(Fault::nowhere()),
    }
}

impl Route {
    /// For the `Allow` field of a 405.
    pub(super) fn methods(&self) -> &'static str {
        match self {
            Self::Ping | Self::Catalog | Self::Tags(_) | Self::Referrers(..) => "GET, HEAD",
            Self::Manifest(..) => "GET, HEAD, PUT, DELETE",
            Self::Blob(..) => "GET, HEAD, DELETE",
            Self::Uploads(_) => "POST",
            Self::Upload(..) => "GET, HEAD, PATCH, PUT, DELETE",
        }
    }
}

fn repository(parts: &[&str]) -> Result<Repository, Fault> {
    parse_repository(&parts.join("/"))
}

pub(super) fn parse_repository(name: &str) -> Result<Repository, Fault> {
    Repository::parse(name).map_err(|error| Fault::new(Code::NameInvalid, error.to_string()))
}

fn manifest(text: &str) -> Result<Reference, Fault> {
    if text.contains(':') {
        return Ok(Reference::Digest(digest(text)?));
    }
    Ok(match Tag::parse(text) {
        Ok(tag) => Reference::Tag(tag),
        Err(error) => Reference::Impossible(error.to_string()),
    })
}

pub(super) fn digest(text: &str) -> Result<Digest, Fault> {
    let digest = Digest::parse(text);
    let digest = digest.map_err(|e| Fault::new(Code::DigestInvalid, e.to_string()))?;
    if !is_storable(&digest) {
        return Err(Fault::new(Code::DigestInvalid, "the digest is too long"));
    }
    Ok(digest)
}

/// Digests become file names; the longest of a known algorithm has 135 characters.
pub(super) fn is_storable(digest: &Digest) -> bool {
    digest.as_str().len() <= 200
}

/// The parameters behind the `?`.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let split = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        };
        Self(pairs.map(split).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(found, _)| found == name)?;
        Some(value)
    }
}

/// Undoes percent-encoding. A `+` stays one: nothing here holds spaces, but media types hold `+`, and
/// not every client encodes it.
fn decode(text: &str) -> String {
    let nibble = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let pair = (nibble(bytes.get(at + 1)), nibble(bytes.get(at + 2)));
        match pair {
            (Some(high), Some(low)) if *byte == b'%' => {
                decoded.push(u8::try_from(high << 4 | low).unwrap_or(b'?'));
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Percent-encodes what is not plain in a query.
pub(super) fn encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'/');
    let piece = |b: u8| match plain(b) {
        true => char::from(b).to_string(),
        false => format!("%{b:02X}"),
    };
    text.bytes().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Repository {
        Repository::parse(text).unwrap()
    }

    #[test]
    fn paths_lead_somewhere() {
        let of = Digest::of(b"x");
        let session = || "0af".to_string();
        let tag = Reference::Tag(Tag::parse("1.2").unwrap());
        for (path, expected) in [
            ("/v2".to_string(), Route::Ping),
            ("/v2/".into(), Route::Ping),
            ("/v2/_catalog".into(), Route::Catalog),
            ("/v2/a/b/tags/list".into(), Route::Tags(name("a/b"))),
            ("/v2/tags/tags/list".into(), Route::Tags(name("tags"))),
            (
                "/v2/a/manifests/1.2".into(),
                Route::Manifest(name("a"), tag),
            ),
            (
                format!("/v2/a/manifests/{}", of.as_str().replace(':', "%3A")),
                Route::Manifest(name("a"), Reference::Digest(of.clone())),
            ),
            (
                format!("/v2/a/blobs/{of}"),
                Route::Blob(name("a"), of.clone()),
            ),
            ("/v2/a/blobs/uploads/".into(), Route::Uploads(name("a"))),
            ("/v2/a/blobs/uploads".into(), Route::Uploads(name("a"))),
            (
                "/v2/blobs/uploads/blobs/uploads/0af".into(),
                Route::Upload(name("blobs/uploads"), session()),
            ),
            (
                format!("/v2/a/referrers/{of}"),
                Route::Referrers(name("a"), of),
            ),
        ] {
            assert_eq!(route(&path).unwrap(), expected, "{path}");
        }
        for path in ["/v2/a/manifests/.x", "/v2/a/manifests/"] {
            let found = route(path).unwrap();
            let is_impossible = matches!(found, Route::Manifest(_, Reference::Impossible(_)));
            assert!(is_impossible, "{path}: {found:?}");
        }
    }

    #[test]
    fn others_lead_nowhere_or_are_refused() {
        let long = format!("/v2/{}/tags/list", "a".repeat(256));
        for (path, status) in [
            ("/", 404),
            ("/v2x", 404),
            ("/v2/a", 404),
            ("/v2/a/b", 404),
            ("/v2//tags/list", 400),
            ("/v2/tags/list", 400),
            ("/v2/A/tags/list", 400),
            ("/v2/_/tags/list", 400),
            ("/v2/a/_/tags/list", 400),
            ("/v2/_uploads/tags/list", 400),
            ("/v2/../tags/list", 400),
            ("/v2/a%2F..%2Fb/tags/list", 400),
            ("/v2/a/manifests/sha256:abc", 400),
            ("/v2/a/blobs/x", 400),
            (long.as_str(), 400),
        ] {
            let answer = route(path).unwrap_err().into_answer();
            assert_eq!(answer.status, status, "{path}");
        }
    }

    #[test]
    fn queries_are_decoded_once() {
        let query = Query::parse("artifactType=a%2Fb+c%252B&mount&n=5&n=6&x=%zz%4");
        for (key, value) in [
            ("artifactType", Some("a/b+c%2B")),
            ("mount", Some("")),
            ("n", Some("5")),
            ("x", Some("%zz%4")),
            ("last", None),
        ] {
            assert_eq!(query.get(key), value, "{key}");
        }
        assert_eq!(encode("sha256:a/b+ü"), "sha256%3Aa/b%2B%C3%BC");
    }
}
