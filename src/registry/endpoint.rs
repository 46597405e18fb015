//! Where requests go: the paths of the protocol, what a `Location` means, and which host may see
//! credentials. No I/O.
//!
//! distribution-spec 1.1 "Endpoints" and "Pushing blobs".

use crate::image::digest::Digest;
use crate::image::reference::{Host, Repository};
use crate::registry::manifests::ManifestName;
use crate::registry::url::{LocationError, Scheme, Url};

/// Where one request goes. Credentials go to [`Target::Own`] and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Path and query at the registry itself; scheme and port are those it was reached by.
    Own(String),
    /// Wherever the registry sent us.
    Elsewhere(Url),
}

/// One registry's place in the world.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// As the user knows it.
    name: String,
    host: String,
    port: Option<u16>,
}

impl Endpoint {
    pub(super) fn new(host: &Host) -> Self {
        Self {
            name: host.as_str().to_owned(),
            host: api_host(host),
            port: host.port(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Without port; IPv6 in brackets.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The URL of a target, at a registry that is spoken to by `own`.
    pub(super) fn url(&self, target: &Target, own: Scheme) -> String {
        match target {
            Target::Own(path) => self.own(own, path.clone()).to_string(),
            Target::Elsewhere(url) => url.to_string(),
        }
    }

    /// Who answers there, for messages.
    pub(super) fn host_of(&self, target: &Target) -> String {
        match target {
            Target::Own(_) => self.name.clone(),
            Target::Elsewhere(url) => url.authority(),
        }
    }

    /// What a `Location` means that came with the answer from `base`. On the registry's own host name
    /// our scheme and port are kept: behind a proxy that ends TLS registries do not know theirs.
    pub(super) fn resolve(
        &self,
        base: &Target,
        own: Scheme,
        location: &str,
    ) -> Result<Target, LocationError> {
        let base_url = match base {
            Target::Own(path) => self.own(own, path.clone()),
            Target::Elsewhere(url) => url.clone(),
        };
        let url = base_url.join(location)?;
        if url.host() == self.host {
            return Ok(Target::Own(url.path().to_owned()));
        }
        url.refuse_downgrade(own)?;
        url.refuse_downgrade(base_url.scheme())?;
        Ok(Target::Elsewhere(url))
    }

    /// Where a redirect leads. As [`Self::resolve`], but one that only changes scheme or port of what
    /// was just asked is taken at its word, without credentials.
    pub(super) fn redirect(
        &self,
        base: &Target,
        own: Scheme,
        location: &str,
    ) -> Result<Target, LocationError> {
        let target = self.resolve(base, own, location)?;
        match (base, &target) {
            (Target::Own(asked), Target::Own(path)) if asked == path => {
                let url = self.own(own, asked.clone()).join(location)?;
                url.refuse_downgrade(own)?;
                Ok(Target::Elsewhere(url))
            }
            _ => Ok(target),
        }
    }

    /// The registry's own URL of a path.
    pub(super) fn own(&self, scheme: Scheme, path: String) -> Url {
        Url::new(scheme, &self.host, self.port, path)
    }
}

/// Who answers for `host`, in lower case and IPv6 in brackets: `docker.io` is a name whose API answers
/// elsewhere.
pub fn api_host(host: &Host) -> String {
    let api = match host.is_docker_hub() {
        true => "registry-1.docker.io",
        false => host.name(),
    };
    api.to_ascii_lowercase()
}

/// Where the registry of `host` is spoken to, by `https` or by `http`.
pub fn url(host: &Host, https: bool) -> String {
    let scheme = [Scheme::Http, Scheme::Https][usize::from(https)];
    Endpoint::new(host).url(&ping(), scheme)
}

pub(super) fn manifest(repository: &Repository, name: ManifestName<'_>) -> Target {
    Target::Own(match name {
        ManifestName::Tag(tag) => format!("/v2/{repository}/manifests/{tag}"),
        ManifestName::Digest(digest) => format!("/v2/{repository}/manifests/{digest}"),
    })
}

pub(super) fn blob(repository: &Repository, digest: &Digest) -> Target {
    Target::Own(format!("/v2/{repository}/blobs/{digest}"))
}

pub(super) fn uploads(repository: &Repository) -> Target {
    Target::Own(format!("/v2/{repository}/blobs/uploads/"))
}

pub(super) fn mount(repository: &Repository, digest: &Digest, from: &Repository) -> Target {
    Target::Own(format!(
        "/v2/{repository}/blobs/uploads/?mount={}&from={from}",
        query_value(digest.as_str())
    ))
}

pub(super) fn ping() -> Target {
    Target::Own("/v2/".to_owned())
}

impl Target {
    pub(super) fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    /// The same with `digest=` added to the query: how an upload is ended.
    pub(super) fn with_digest(&self, digest: &Digest) -> Self {
        let add = |path: &str| {
            let sign = if path.contains('?') { '&' } else { '?' };
            format!("{path}{sign}digest={}", query_value(digest.as_str()))
        };
        match self {
            Self::Own(path) => Self::Own(add(path)),
            Self::Elsewhere(url) => Self::Elsewhere(url.with_path(add(url.path()))),
        }
    }

    /// Path and query.
    pub(super) fn path(&self) -> &str {
        match self {
            Self::Own(path) => path,
            Self::Elsewhere(url) => url.path(),
        }
    }
}

/// Digests of algorithms yet unknown may hold characters that mean something in a query.
fn query_value(text: &str) -> String {
    text.replace('+', "%2B").replace('=', "%3D")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(host: &str) -> Endpoint {
        Endpoint::new(&Host::parse(host).unwrap())
    }

    fn shown(endpoint: &Endpoint, own: Scheme, target: &Target) -> String {
        let mark = if target.is_own() { "own" } else { "else" };
        format!("{mark} {}", endpoint.url(target, own))
    }

    #[test]
    fn names_hosts() {
        for (host, scheme, url) in [
            (
                "docker.io",
                Scheme::Https,
                "https://registry-1.docker.io/v2/",
            ),
            ("reg.local", Scheme::Https, "https://reg.local/v2/"),
            ("Reg.local:5000", Scheme::Http, "http://reg.local:5000/v2/"),
            ("reg.local:443", Scheme::Https, "https://reg.local/v2/"),
            ("[::1]:5000", Scheme::Http, "http://[::1]:5000/v2/"),
            ("[::1]", Scheme::Http, "http://[::1]/v2/"),
        ] {
            assert_eq!(endpoint(host).url(&ping(), scheme), url);
        }
    }

    #[test]
    fn resolves_locations() {
        let base = Target::Own("/v2/a/blobs/uploads/?mount=x".into());
        for (location, expected) in [
            (
                "/v2/a/blobs/uploads/1?_state=s",
                "own https://r.io:5000/v2/a/blobs/uploads/1?_state=s",
            ),
            ("1?x=y", "own https://r.io:5000/v2/a/blobs/uploads/1?x=y"),
            ("../up/./1", "own https://r.io:5000/v2/a/blobs/up/1"),
            ("?x=y", "own https://r.io:5000/v2/a/blobs/uploads/?x=y"),
            ("http://R.io/v2/a/1#top", "own https://r.io:5000/v2/a/1"),
            ("https://r.io:5000/v2/a/1", "own https://r.io:5000/v2/a/1"),
            ("//other.io/p", "else https://other.io/p"),
            ("HTTPS://other.io:8443?q", "else https://other.io:8443/?q"),
            ("https://[2001:db8::1]/p", "else https://[2001:db8::1]/p"),
            ("https://r.io.evil.io/p", "else https://r.io.evil.io/p"),
        ] {
            let registry = endpoint("r.io:5000");
            let target = registry.resolve(&base, Scheme::Https, location).unwrap();
            assert_eq!(
                shown(&registry, Scheme::Https, &target),
                expected,
                "{location}"
            );
        }
    }

    #[test]
    fn refuses_locations() {
        let long = format!("/{}", "a".repeat(8 << 10));
        let base = Target::Own("/v2/".into());
        for (location, why) in [
            ("http://other.io/p", "plain http on other.io"),
            ("ftp://other.io/p", "neither http nor https"),
            ("javascript:alert(1)", "neither http nor https"),
            ("https:/other.io/p", "neither http nor https"),
            ("https://user@other.io/p", "user name"),
            ("https:///p", "no valid host"),
            ("https://other.io:99999/p", "no valid host"),
            ("https://[::1/p", "no valid host"),
            ("/a b", "is no URL"),
            ("/a\r\nX: y", "is no URL"),
            ("", "is no URL"),
            (long.as_str(), "8 KiB"),
        ] {
            let error = endpoint("r.io").resolve(&base, Scheme::Https, location);
            let text = error.unwrap_err().to_string();
            assert!(text.contains(why), "{location}: {text}");
        }
    }

    #[test]
    fn what_is_relative_to_elsewhere_stays_there() {
        let registry = endpoint("r.io");
        let base = Target::Own("/v2/".into());
        let away = registry
            .resolve(&base, Scheme::Https, "https://store.io/a/b")
            .unwrap();
        let next = registry.resolve(&away, Scheme::Https, "c?d").unwrap();
        assert_eq!(
            shown(&registry, Scheme::Https, &next),
            "else https://store.io/a/c?d"
        );
        let from_http = registry.resolve(&away, Scheme::Http, "http://other.io/");
        assert!(from_http.unwrap_err().to_string().contains("plain http"));
    }

    #[test]
    fn follows_a_redirect_that_only_changes_the_scheme() {
        let registry = endpoint("r.io:80");
        let base = Target::Own("/v2/a".into());
        let up = registry.redirect(&base, Scheme::Http, "https://r.io/v2/a");
        assert_eq!(
            shown(&registry, Scheme::Http, &up.unwrap()),
            "else https://r.io/v2/a"
        );
        let other = registry.redirect(&base, Scheme::Http, "https://r.io/v2/a/");
        assert_eq!(
            shown(&registry, Scheme::Http, &other.unwrap()),
            "own http://r.io/v2/a/"
        );
        let down = registry.redirect(&base, Scheme::Https, "http://r.io/v2/a");
        assert!(down.unwrap_err().to_string().contains("plain http"));
    }

    #[test]
    fn adds_the_digest() {
        let digest = Digest::parse("multihash+base58:a=").unwrap();
        for (path, expected) in [
            ("/u/1", "/u/1?digest=multihash%2Bbase58:a%3D"),
            ("/u/1?s=t", "/u/1?s=t&digest=multihash%2Bbase58:a%3D"),
        ] {
            let target = Target::Own(path.into()).with_digest(&digest);
            assert_eq!(target.path(), expected);
        }
    }
}
