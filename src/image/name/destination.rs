//! The destination as it is typed: a repository, or a prefix ending in `/`.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::Path;

use crate::image::digest::quote;
use crate::image::reference::{
    Host, Reference, ReferenceError, Repository, Tag, split_port, split_tag,
};

/// What the user typed last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `host/team/app[:tag]`
    Repository {
        host: Host,
        repository: Repository,
        tag: Option<Tag>,
    },
    /// `host/` or `host/team/`
    Prefix {
        host: Host,
        path: Option<Repository>,
    },
}

/// Words of other tools that stand before a colon and name something else than a registry.
const LOCAL_TRANSPORTS: [&str; 7] = [
    "containers-storage",
    "dir",
    "docker-archive",
    "docker-daemon",
    "oci",
    "oci-archive",
    "ocidir",
];

/// The smallest number that is read as a port, not as a tag, behind one plain word.
const FIRST_PLAIN_PORT: u16 = 1024;

const WHAT_TO_WRITE: &str = "host/repository, or host/ to keep the names that the images have";

impl Destination {
    /// `exists` tells whether a local path of that name exists.
    pub fn parse(text: &str, exists: &dyn Fn(&Path) -> bool) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(refused(text, "it is empty").with_hint(WHAT_TO_WRITE));
        }
        if exists(Path::new(text)) {
            return Err(refused(
                text,
                "a file or folder of that name is here, and the last argument says where to push",
            )
            .with_hint(WHAT_TO_WRITE));
        }
        refuse_credentials(text)?;
        refuse_paths_and_transports(text)?;
        if let Some((name, _)) = text.split_once('@') {
            let why = "it ends in a digest, and images keep the digest they have";
            let hint = if name.is_empty() { WHAT_TO_WRITE } else { name };
            return Err(refused(text, why).with_hint(hint));
        }
        match text.split_once('/') {
            None => one_word(text),
            Some((first, rest)) => below_host(text, first, rest),
        }
    }

    pub fn host(&self) -> &Host {
        match self {
            Self::Repository { host, .. } | Self::Prefix { host, .. } => host,
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository {
                host,
                repository,
                tag,
            } => {
                write!(f, "{host}/{repository}")?;
                tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))
            }
            Self::Prefix { host, path } => {
                write!(f, "{host}/")?;
                path.as_ref().map_or(Ok(()), |path| write!(f, "{path}/"))
            }
        }
    }
}

fn refused(text: &str, why: &str) -> ReferenceError {
    ReferenceError::refused(text, "destination", why)
}

/// `user:password@host/app`, as in URLs. Nothing before the `@` is repeated: it may be a secret.
fn refuse_credentials(text: &str) -> Result<(), ReferenceError> {
    let is_digest = |rest: &str| {
        ["sha", "blake"].iter().any(|name| rest.starts_with(name)) && !rest.contains('/')
    };
    let name = match text.rsplit_once('@') {
        Some((name, rest)) if is_digest(rest) => name,
        _ => text,
    };
    let Some((_, rest)) = name.rsplit_once('@') else {
        return Ok(());
    };
    let why = "what stands before the @ of a destination would be a login, and is not taken there";
    let hint = format!("{rest} with --username NAME and --password-stdin");
    Err(ReferenceError::new(why).with_hint(hint))
}

fn refuse_paths_and_transports(text: &str) -> Result<(), ReferenceError> {
    let path = matches!(text, "." | ".." | "~" | "-")
        || ["/", "./", "../", "~/"].iter().any(|p| text.starts_with(p));
    if path {
        return Err(refused(text, "it is a local path").with_hint(WHAT_TO_WRITE));
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return Ok(());
    };
    let local = LOCAL_TRANSPORTS.contains(&scheme);
    if let Some(rest) = rest.strip_prefix("//") {
        let why = format!("it begins with {}", quote(&format!("{scheme}://")));
        let hint = match scheme {
            _ if local || rest.is_empty() => WHAT_TO_WRITE.to_owned(),
            "http" => format!("{rest} with --plain-http"),
            _ => rest.to_owned(),
        };
        return Err(refused(text, &why).with_hint(hint));
    }
    let port = rest.split('/').next().unwrap_or_default();
    if local && port.parse::<u16>().is_err() {
        let why =
            format!("{scheme}: names something on this machine, and hoist pushes to registries");
        return Err(refused(text, &why).with_hint(WHAT_TO_WRITE));
    }
    Ok(())
}

/// Whether a word without a slash means a host: as it stands, or with a port.
pub(super) fn is_host_alone(word: &str) -> bool {
    if word.contains('/') {
        return false;
    }
    let (name, port) = split_port(word);
    let looks_like_host = name == "localhost" || name.contains('.') || name.starts_with('[');
    let plain_port = || port.is_some_and(|p| p.parse().is_ok_and(|p: u16| p >= FIRST_PLAIN_PORT));
    looks_like_host || plain_port()
}

/// A host without a slash, or a name that lacks one.
fn one_word(word: &str) -> Result<Destination, ReferenceError> {
    if is_host_alone(word) {
        let host = Host::parse(word).map_err(|error| with_hub_hint(error, word))?;
        return Ok(Destination::Prefix { host, path: None });
    }
    if word.parse::<Ipv6Addr>().is_ok() {
        return Err(refused(word, "an IPv6 address needs brackets").with_hint(format!("[{word}]/")));
    }
    let (name, port) = split_port(word);
    let error = with_hub_hint(refused(word, "it names no registry"), word);
    let also = port.is_some_and(|_| Host::parse(word).is_ok());
    Err(match error.hint().filter(|_| also).map(str::to_owned) {
        Some(hint) => error.with_hint(format!("{hint}, or {word}/ where {name} is a registry")),
        None => error,
    })
}

fn below_host(text: &str, first: &str, rest: &str) -> Result<Destination, ReferenceError> {
    if !Host::is_meant(first) {
        let why = format!("{} is no registry's host", quote(first));
        let hint = format!("docker.io/{text}, or {first}:443/{rest} where {first} is a registry");
        let legal = Host::parse(first).is_ok();
        let hint = if legal { hint.as_str() } else { WHAT_TO_WRITE };
        return Err(refused(text, &why).with_hint(hint));
    }
    let host = Host::parse(first)?;
    if rest.is_empty() {
        return Ok(Destination::Prefix { host, path: None });
    }
    if let Some(path) = rest.strip_suffix('/') {
        let (repository, tag) = split_tag(path);
        if tag.is_some() {
            let why = "a tag and a / at the end exclude each other";
            let hint = format!("{host}/{path} or {host}/{repository}/");
            return Err(refused(text, why).with_hint(hint));
        }
        let path = Some(parse_repository(path, &host)?);
        return Ok(Destination::Prefix { host, path });
    }
    let (path, tag) = split_tag(rest);
    Ok(Destination::Repository {
        repository: parse_repository(path, &host)?.on(&host)?,
        tag: tag.map(Tag::parse).transpose()?,
        host,
    })
}

fn parse_repository(path: &str, host: &Host) -> Result<Repository, ReferenceError> {
    Repository::parse(path).map_err(|error| match Repository::parse(&path.to_lowercase()) {
        Ok(lower) => error.with_hint(format!("{host}/{lower}")),
        Err(_) => error,
    })
}

/// `error` with the name that `word` has on the hub, where it can have one.
fn with_hub_hint(error: ReferenceError, word: &str) -> ReferenceError {
    let on_hub = |name: &str| Reference::parse(name).ok();
    match on_hub(word).or_else(|| on_hub(&word.to_lowercase())) {
        Some(Reference {
            repository, tag, ..
        }) => {
            let tag = tag.map_or(String::new(), |tag| format!(":{tag}"));
            error.with_hint(format!("docker.io/{repository}{tag}"))
        }
        None => error.with_hint(WHAT_TO_WRITE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Destination, ReferenceError> {
        Destination::parse(text, &|_| false)
    }

    #[test]
    fn takes_repositories() {
        for (text, host, repository, tag) in [
            ("a.example/team/app", "a.example", "team/app", None),
            (
                "localhost:5000/app:1.2",
                "localhost:5000",
                "app",
                Some("1.2"),
            ),
            ("registry:80/app", "registry:80", "app", None),
            ("Registry/app", "Registry", "app", None),
            ("[::1]:5000/a/b:c", "[::1]:5000", "a/b", Some("c")),
            ("docker.io/nginx", "docker.io", "library/nginx", None),
            ("index.docker.io/team/app", "docker.io", "team/app", None),
            ("oci:5000/app", "oci:5000", "app", None),
        ] {
            let expected = Destination::Repository {
                host: Host::parse(host).unwrap(),
                repository: Repository::parse(repository).unwrap(),
                tag: tag.map(|tag| Tag::parse(tag).unwrap()),
            };
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn takes_prefixes() {
        for (text, shown) in [
            ("a.example/", "a.example/"),
            ("a.example/team/", "a.example/team/"),
            ("localhost:5000/a/b/", "localhost:5000/a/b/"),
            ("docker.io/team/", "docker.io/team/"),
            ("localhost", "localhost/"),
            ("localhost:80", "localhost:80/"),
            ("registry.example", "registry.example/"),
            ("registry.example:443", "registry.example:443/"),
            ("10.0.0.1", "10.0.0.1/"),
            ("[::1]", "[::1]/"),
            ("[::1]:5000", "[::1]:5000/"),
            ("registry:1024", "registry:1024/"),
            ("registry:5000", "registry:5000/"),
            ("oci:5000", "oci:5000/"),
        ] {
            let found = parse(text).unwrap();
            assert!(matches!(found, Destination::Prefix { .. }), "{text}");
            assert_eq!(found.to_string(), shown);
        }
    }

    #[test]
    fn refuses_with_a_reason_and_a_hint() {
        for (text, why, hint) in [
            ("", "empty", "host/"),
            ("nginx", "no registry", "docker.io/library/nginx"),
            ("nginx:1.25", "no registry", "docker.io/library/nginx:1.25"),
            (
                "nginx:1023",
                "no registry",
                "docker.io/library/nginx:1023, or nginx:1023/ where nginx is a registry",
            ),
            ("Nginx", "no registry", "docker.io/library/nginx"),
            ("a b", "no registry", "host/repository"),
            ("::1", "brackets", "[::1]/"),
            ("app.old:x", "no port", "docker.io/library/app.old:x"),
            ("a.example:0", "no port", "docker.io/library/a.example:0"),
            (
                "team/app",
                "\"team\" is no registry's host",
                "docker.io/team/app",
            ),
            ("team/app:1", "no registry's host", "team:443/app:1"),
            (
                "team/",
                "no registry's host",
                "docker.io/team/, or team:443/ where",
            ),
            ("a b/c", "no registry's host", "host/repository"),
            (
                "a.example/Team/App:1",
                "must be lower-case",
                "a.example/team/app",
            ),
            (
                "a.example/app:1/",
                "exclude each other",
                "a.example/app:1 or a.example/app/",
            ),
            ("a.example/app@sha256:00", "a digest", "a.example/app"),
            ("@sha256:00", "a digest", "host/repository"),
            (
                "http://a.example/app",
                "begins with \"http://\"",
                "a.example/app with --plain-http",
            ),
            (
                "https://a.example/app",
                "begins with \"https://\"",
                "a.example/app",
            ),
            ("docker://a.example/app", "begins with", "a.example/app"),
            ("oci://layout", "begins with", "host/repository"),
            ("oci:layout:tag", "on this machine", "host/repository"),
            (
                "containers-storage:app",
                "on this machine",
                "host/repository",
            ),
            ("dir:/x", "on this machine", "host/repository"),
            ("/a/b", "local path", "host/repository"),
            ("./app", "local path", "host/repository"),
            ("..", "local path", "host/repository"),
            ("-", "local path", "host/repository"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.message().contains(why), "{text}: {error}");
            assert!(error.hint().unwrap_or("").contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn refuses_with_a_reason() {
        for (text, why) in [
            ("a.example//", "repository: it is empty"),
            ("a.example/a//b", "between slashes"),
            ("a.example/app:", "is not a tag: it is empty"),
            ("a.example/app:a b", "is not a tag"),
            ("a.example/app:1:2", "is not a tag"),
            ("a.example/a:1/b", "':' cannot be"),
            ("a.example:99999/app", "no port"),
            ("[::1/app", "brackets"),
            ("a_b.example/app", "'_' cannot be"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.message().contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_login_in_a_destination_is_refused_and_not_repeated() {
        for text in [
            "me:secret@a.example/app",
            "me:sec/ret@a.example/app",
            "me:secret@a.example",
            "https://me:secret@a.example/app",
            "secret@localhost:5000/",
            "me:secret@sha.example/app",
            "me:secret@a.example/app@sha256:00",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.message().contains("a login"), "{text}: {error}");
            assert!(!error.to_string().contains("secret"), "{text}: {error}");
            assert!(error.hint().unwrap().contains("--password-stdin"), "{text}");
        }
    }

    #[test]
    fn what_is_too_long_is_not_repeated_in_a_hint() {
        let error = parse(&format!("team/{}", "a\\".repeat(4000))).unwrap_err();
        assert!(error.to_string().len() < 3000, "{error}");
    }

    #[test]
    fn a_hint_moves_no_cursor() {
        for text in ["me:secret@a\u{1b}[2J.example/app", "a\u{202e}@sha256:00"] {
            let error = parse(text).unwrap_err();
            let hint = error.hint().unwrap();
            assert!(!hint.contains(['\u{1b}', '\u{202e}']), "{hint:?}");
            assert!(hint.contains("\\u{"), "{hint:?}");
        }
    }

    #[test]
    fn refuses_what_is_here() {
        let here = |path: &Path| path == Path::new("localhost:5000/images");
        for text in ["localhost:5000/images", "localhost:5000/images/"] {
            let error = Destination::parse(text, &here).unwrap_err();
            assert!(error.message().contains("is here"), "{error}");
        }
        assert!(Destination::parse("localhost:5000/other", &here).is_ok());
    }

    #[test]
    fn the_hint_stands_on_its_own_line() {
        assert_eq!(
            parse("nginx").unwrap_err().to_string(),
            "\"nginx\" is not a destination: it names no registry\ntry: docker.io/library/nginx"
        );
    }
}
