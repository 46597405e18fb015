//! The names that credential files and helpers know a registry by. No I/O.
//!
//! docker/cli `cli/config/credentials/file_store.go`, containers-auth.json(5).

use crate::image::reference::{DOCKER_HUB, Host};

/// One registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server(String);

/// How well a key fits a registry and one of its repositories; the greater, the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// `https://host/v1/`: docker's older form, and still the one for its hub.
    Url,
    Host,
    /// `host/team`: so many characters of the repository's name.
    Prefix(usize),
}

/// Docker Hub in files and to helpers.
const HUB_KEY: &str = "https://index.docker.io/v1/";

impl Server {
    pub(super) fn new(host: &Host) -> Self {
        Self(canonical(host.as_str()))
    }

    /// What helpers are asked for, and the key that docker writes.
    pub(super) fn key(&self) -> &str {
        if self.0 == DOCKER_HUB {
            return HUB_KEY;
        }
        &self.0
    }

    /// Whether `key` is about this registry, or about `repository` of it.
    pub(super) fn rank(&self, key: &str, repository: Option<&str>) -> Option<Rank> {
        let (host, path) = self.split(key)?;
        match (host, path) {
            (Form::Url, _) => Some(Rank::Url),
            (Form::Plain, "") => Some(Rank::Host),
            (Form::Plain, path) => {
                let below = repository.and_then(|repository| repository.strip_prefix(path));
                match below {
                    Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                        Some(Rank::Prefix(path.len()))
                    }
                    _ if matches!(path, "v1" | "v2") => Some(Rank::Url),
                    _ => None,
                }
            }
        }
    }

    /// Whether `key` is about this registry or any repository of it.
    pub(super) fn owns(&self, key: &str) -> bool {
        self.split(key).is_some()
    }

    /// The form of a key about this registry, and its path without slashes around it.
    fn split<'k>(&self, key: &'k str) -> Option<(Form, &'k str)> {
        let scheme = ["https://", "http://"].into_iter().find(|scheme| {
            let start = key.as_bytes().get(..scheme.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
        });
        let (form, rest) = match scheme {
            Some(scheme) => (Form::Url, &key[scheme.len()..]),
            None => (Form::Plain, key),
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        (canonical(host) == self.0).then(|| (form, path.trim_matches('/')))
    }
}

#[derive(Clone, Copy)]
enum Form {
    Url,
    Plain,
}

fn canonical(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB.to_owned(),
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_fit_registries_and_their_repositories() {
        use Rank::{Host as Whole, Prefix, Url};
        for (host, key, repository, expected) in [
            ("r.io", "r.io", None, Some(Whole)),
            ("r.io", "R.IO", None, Some(Whole)),
            ("R.io", "r.io/", None, Some(Whole)),
            ("r.io", "r.io:443", None, None),
            ("r.io:5000", "r.io", None, None),
            ("r.io:5000", "r.io:5000", Some("a"), Some(Whole)),
            ("[::1]:5000", "http://[::1]:5000", None, Some(Url)),
            ("r.io", "https://r.io", None, Some(Url)),
            ("r.io", "HTTPS://r.io/v1/", None, Some(Url)),
            ("r.io", "https://r.io/any/path", None, Some(Url)),
            ("r.io", "r.io/v1/", None, Some(Url)),
            ("r.io", "ftp://r.io", None, None),
            ("r.io", "https://r.io.evil.io", None, None),
            ("r.io", "https://r.io@evil.io", None, None),
            ("r.io", "", None, None),
            ("r.io", "r.io/team", None, None),
            ("r.io", "r.io/team", Some("team"), Some(Prefix(4))),
            ("r.io", "r.io/team", Some("team/app"), Some(Prefix(4))),
            ("r.io", "r.io/team/app", Some("team/app"), Some(Prefix(8))),
            ("r.io", "r.io/team", Some("teams/app"), None),
            ("r.io", "r.io/team/app", Some("team"), None),
            ("r.io", "r.io/v1", Some("v1/app"), Some(Prefix(2))),
            ("docker.io", "docker.io", None, Some(Whole)),
            ("docker.io", "index.docker.io", None, Some(Whole)),
            ("docker.io", "registry-1.docker.io", None, Some(Whole)),
            ("docker.io", HUB_KEY, None, Some(Url)),
            ("registry-1.docker.io", HUB_KEY, None, Some(Url)),
            ("docker.io", "docker.io/a", Some("a/b"), Some(Prefix(1))),
            ("docker.io", "hub.docker.io", None, None),
        ] {
            let server = Server::new(&Host::parse(host).unwrap());
            let found = server.rank(key, repository);
            assert_eq!(found, expected, "{host} {key} {repository:?}");
            assert!(server.owns(key) || found.is_none(), "{host} {key}");
        }
    }

    #[test]
    fn a_longer_prefix_is_better_than_a_shorter_one_and_that_than_the_host() {
        assert!(Rank::Prefix(8) > Rank::Prefix(4));
        assert!(Rank::Prefix(0) > Rank::Host);
        assert!(Rank::Host > Rank::Url);
    }
}
