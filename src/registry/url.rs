//! URLs as far as a registry client meets them: http or https, taken apart and joined. No I/O.
//!
//! RFC 3986 section 5.2 for references. They come from the network: lengths, characters and hosts are
//! checked, user names are refused.

use std::fmt;

use crate::image::reference::MAX_HOST;

/// A `Location` longer than this is not followed, in bytes.
const MAX_LOCATION: usize = 8 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// An absolute URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    scheme: Scheme,
    /// Lower case, IPv6 in brackets.
    host: String,
    port: u16,
    /// Path and query; begins with `/`.
    path: String,
}

/// Why a `Location` cannot be followed: a fragment for a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LocationError(String);

impl Url {
    pub(super) fn new(scheme: Scheme, host: &str, port: Option<u16>, path: String) -> Self {
        Self {
            scheme,
            host: host.to_owned(),
            port: port.unwrap_or(scheme.default_port()),
            path,
        }
    }

    pub(super) fn scheme(&self) -> Scheme {
        self.scheme
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Path and query.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn with_path(&self, path: String) -> Self {
        Self {
            path,
            ..self.clone()
        }
    }

    /// Host and, where it is not the usual one, port.
    pub(super) fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// RFC 6454: the same scheme, host and port.
    pub(super) fn same_origin(&self, other: &Self) -> bool {
        (self.scheme, self.port) == (other.scheme, other.port) && self.host == other.host
    }

    /// The same with a query added, which is not encoded here.
    pub(super) fn with_query(&self, query: &str) -> Self {
        let sign = match self.path.contains('?') {
            _ if query.is_empty() => "",
            true => "&",
            false => "?",
        };
        self.with_path(format!("{}{sign}{query}", self.path))
    }

    /// An error where an answer by `from` would lead to plain http.
    pub(super) fn refuse_downgrade(&self, from: Scheme) -> Result<(), LocationError> {
        if from == Scheme::Https && self.scheme == Scheme::Http {
            let host = self.authority();
            return Err(LocationError(format!(
                "leads from https to plain http on {host}"
            )));
        }
        Ok(())
    }

    /// RFC 3986 section 5.2, for what can follow a redirect; fragments are dropped.
    pub(super) fn join(&self, reference: &str) -> Result<Self, LocationError> {
        if reference.len() > MAX_LOCATION {
            return Err(LocationError("is longer than 8 KiB".into()));
        }
        if reference.is_empty() || !reference.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(LocationError("is no URL".into()));
        }
        let reference = reference.split('#').next().unwrap_or_default();
        if let Some(rest) = reference.strip_prefix("//") {
            return Self::parse(self.scheme, rest);
        }
        if let Some((scheme, rest)) = reference.split_once(':')
            && !scheme.contains(['/', '?'])
        {
            let rest = rest.strip_prefix("//");
            return match (scheme.to_ascii_lowercase().as_str(), rest) {
                ("http", Some(rest)) => Self::parse(Scheme::Http, rest),
                ("https", Some(rest)) => Self::parse(Scheme::Https, rest),
                _ => Err(LocationError("is neither http nor https".into())),
            };
        }
        let base = self.path.split('?').next().unwrap_or("/");
        let path = match reference.as_bytes().first() {
            None => self.path.clone(),
            Some(b'/') => without_dots(reference),
            Some(b'?') => format!("{base}{reference}"),
            Some(_) => {
                let folder = base.rfind('/').map_or("/", |end| &base[..=end]);
                without_dots(&format!("{folder}{reference}"))
            }
        };
        Ok(Self {
            path,
            ..self.clone()
        })
    }

    /// What follows `scheme://`.
    fn parse(scheme: Scheme, rest: &str) -> Result<Self, LocationError> {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(LocationError("carries a user name".into()));
        }
        let (host, port) = split_port(authority);
        let inside = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let legal = match inside {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                (1..=MAX_HOST).contains(&host.len())
                    && host
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
            }
        };
        if !legal {
            return Err(LocationError("has no valid host".into()));
        }
        let path = if path.starts_with('/') {
            without_dots(path)
        } else {
            format!("/{path}")
        };
        Ok(Self {
            scheme,
            host: host.to_ascii_lowercase(),
            port: port.unwrap_or(scheme.default_port()),
            path,
        })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.name();
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl fmt::Display for LocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A URL as it may be logged: what follows `?` can be a capability.
pub(super) fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

/// Host and port of an authority; a port that is none stays part of the host and fails there.
fn split_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, "")) if !host.ends_with(':') => (host, None),
        Some((host, port)) if !port.contains(']') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (authority, None),
        },
        _ => (authority, None),
    }
}

/// RFC 3986 section 5.2.4, query untouched.
fn without_dots(reference: &str) -> String {
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    let mut joined = format!("/{}", kept.join("/"));
    if let Some(query) = query {
        joined.push('?');
        joined.push_str(query);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_authorities() {
        for (authority, host, port) in [
            ("r.io", "r.io", None),
            ("r.io:", "r.io", None),
            ("r.io:5000", "r.io", Some(5000)),
            ("[::1]", "[::1]", None),
            ("[::1]:80", "[::1]", Some(80)),
            ("r.io:x", "r.io:x", None),
            ("r.io:65536", "r.io:65536", None),
        ] {
            assert_eq!(split_port(authority), (host, port), "{authority}");
        }
    }

    #[test]
    fn removes_dots() {
        for (path, expected) in [
            ("/a/b/../c", "/a/c"),
            ("/a/./b/", "/a/b/"),
            ("/../../a", "/a"),
            ("/a/..", "/"),
            ("/a//b?x=../y", "/a//b?x=../y"),
        ] {
            assert_eq!(without_dots(path), expected);
        }
    }

    #[test]
    fn a_host_is_as_long_as_one_can_be() {
        let here = Url::new(Scheme::Https, "r.io", None, "/".into());
        for (length, expected) in [(255, Ok(255)), (256, Err("has no valid host"))] {
            let found = here.join(&format!("https://{}/p", "h".repeat(length)));
            let found = found.map(|url| url.host().len());
            assert_eq!(found, expected.map_err(|why| LocationError(why.into())));
        }
    }

    #[test]
    fn what_is_logged_has_no_query() {
        assert_eq!(without_query("http://h/p?_state=secret"), "http://h/p");
    }
}
