//! Where a registry's tokens come from, and whether anything may be sent there. No I/O.

use std::net::IpAddr;

use crate::net;
use crate::registry::challenge::Challenge;
use crate::registry::url::{Scheme, Url};

/// A token service as a registry names it in its challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenService {
    /// A URL; may be relative to the registry's.
    pub realm: String,
    /// What the service calls the registry; some leave it out.
    pub service: Option<String>,
}

impl TokenService {
    pub(super) fn of(challenge: &Challenge) -> Option<Self> {
        let realm = challenge.param("realm").filter(|realm| !realm.is_empty())?;
        let service = challenge.param("service").filter(|name| !name.is_empty());
        Some(Self {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
        })
    }

    /// The URL to ask. `base` is one of the registry; `secret`: whether credentials are to be sent.
    ///
    /// # Errors
    /// Why nothing is sent there: "is plain http on …".
    pub(super) fn url(&self, base: &Url, secret: bool) -> Result<Url, String> {
        let url = base.join(&self.realm).map_err(|why| why.to_string())?;
        check(&url, base, secret)?;
        Ok(url)
    }

    /// Whether it is on the registry's own host.
    pub(super) fn is_at(&self, own: &Url) -> bool {
        own.join(&self.realm)
            .is_ok_and(|url| url.host() == own.host())
    }
}

/// Whether a URL may be asked for tokens of the registry at `own`: https anywhere, http only where the
/// registry itself is spoken to by it. One on this machine is, for nobody listens there: credentials for
/// it do not go out to a network by http. Addresses that a
/// registry of the outer world has no business to name are not asked at all: see
/// <https://github.com/google/go-containerregistry/blob/main/pkg/v1/remote/transport/bearer.go>.
pub(super) fn check(url: &Url, own: &Url, secret: bool) -> Result<(), String> {
    let loopback = net::is_loopback(own.host());
    if url.host() == own.host() || (loopback && net::is_loopback(url.host())) {
        return url
            .refuse_downgrade(own.scheme())
            .map_err(|why| why.to_string());
    }
    let who = url.authority();
    let overheard = own.scheme() == Scheme::Https || (secret && loopback);
    if url.scheme() == Scheme::Http && overheard {
        return Err(format!("is plain http on {who}"));
    }
    let inside = loopback || literal(own.host()).is_some_and(is_private);
    match literal(url.host()) {
        Some(address) if is_nobody(address) => {
            Err(format!("is {who}, which is no server's address"))
        }
        Some(address) if is_private(address) && !inside => {
            Err(format!("is {who}, an address of an inner network"))
        }
        None if net::is_loopback(url.host()) && !inside => Err(format!("is {who}, this machine")),
        None if looks_numeric(url.host()) => Err(format!("is {who}, which is no host name")),
        _ => Ok(()),
    }
}

fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let address: IpAddr = bare.unwrap_or(host).parse().ok()?;
    Some(address.to_canonical())
}

/// Link-local (where clouds keep their metadata), unspecified, broadcast, multicast.
fn is_nobody(address: IpAddr) -> bool {
    let special = address.is_unspecified() || address.is_multicast();
    special
        || match address {
            IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        }
}

fn is_private(address: IpAddr) -> bool {
    address.is_loopback()
        || match address {
            IpAddr::V4(v4) => v4.is_private(),
            IpAddr::V6(v6) => v6.is_unique_local(),
        }
}

/// Resolvers take `2852039166` and `0xa9.254.43518` for addresses.
fn looks_numeric(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next();
    let last = last.unwrap_or_default();
    let hex = last.strip_prefix("0x").unwrap_or("-");
    last.bytes().all(|b| b.is_ascii_digit()) || hex.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::challenge::parse;

    fn named(realm: &str) -> TokenService {
        TokenService {
            realm: realm.to_owned(),
            service: None,
        }
    }

    fn own(scheme: Scheme, host: &str, port: Option<u16>) -> Url {
        Url::new(scheme, host, port, "/v2/".to_owned())
    }

    #[test]
    fn is_named_by_a_challenge() {
        for (header, expected) in [
            (
                r#"Bearer realm="https://a/t",service="s""#,
                Some(("https://a/t", Some("s"))),
            ),
            (r#"Bearer realm="https://a/t""#, Some(("https://a/t", None))),
            (r#"bEARER REALM="/t",Service="""#, Some(("/t", None))),
            (r#"Bearer service="s""#, None),
            (r#"Bearer realm="""#, None),
        ] {
            let found = TokenService::of(&parse([header].into_iter())[0]);
            let expected = expected.map(|(realm, service)| TokenService {
                service: service.map(str::to_owned),
                ..named(realm)
            });
            assert_eq!(found, expected, "{header}");
        }
    }

    #[test]
    fn is_asked_where_nothing_can_be_overheard() {
        let https = own(Scheme::Https, "r.io", Some(5000));
        let http = own(Scheme::Http, "r.io", Some(5000));
        let here = own(Scheme::Http, "localhost", Some(5000));
        let inner = own(Scheme::Https, "10.0.0.5", None);
        let inner_http = own(Scheme::Http, "10.0.0.5", None);
        for (registry, realm, secret, expected) in [
            (
                &https,
                "https://auth.io/token?x=y",
                true,
                "https://auth.io/token?x=y",
            ),
            (&https, "/token", true, "https://r.io:5000/token"),
            (&https, "token", true, "https://r.io:5000/v2/token"),
            (&https, "//auth.io/token", true, "https://auth.io/token"),
            (&https, "HTTPS://R.io/token", true, "https://r.io/token"),
            (&https, "https://8.8.8.8/t", true, "https://8.8.8.8/t"),
            (&http, "http://r.io:5001/t", true, "http://r.io:5001/t"),
            (&http, "http://auth.io/t", false, "http://auth.io/t"),
            (&http, "http://auth.io:81/t", true, "http://auth.io:81/t"),
            (&here, "http://auth.io/t", false, "http://auth.io/t"),
            (
                &here,
                "http://127.0.0.1:5001/t",
                true,
                "http://127.0.0.1:5001/t",
            ),
            (&here, "http://[::1]:5001/t", true, "http://[::1]:5001/t"),
            (&inner, "https://10.0.0.6/t", true, "https://10.0.0.6/t"),
            (&inner_http, "http://10.0.0.6/t", true, "http://10.0.0.6/t"),
        ] {
            let url = named(realm).url(registry, secret).unwrap();
            assert_eq!(url.to_string(), expected, "{realm}");
        }
    }

    #[test]
    fn is_not_asked_elsewhere() {
        let https = own(Scheme::Https, "r.io", None);
        let http = own(Scheme::Http, "r.io", None);
        let here = own(Scheme::Http, "localhost", Some(5000));
        for (registry, realm, secret, why) in [
            (
                &https,
                "http://r.io/t",
                false,
                "leads from https to plain http",
            ),
            (
                &https,
                "http://auth.io/t",
                false,
                "is plain http on auth.io",
            ),
            (&here, "http://auth.io/t", true, "is plain http on auth.io"),
            (
                &http,
                "http://169.254.169.254/latest",
                false,
                "no server's address",
            ),
            (
                &https,
                "https://169.254.169.254/",
                false,
                "no server's address",
            ),
            (
                &https,
                "https://[::ffff:169.254.169.254]/",
                false,
                "no server's address",
            ),
            (&https, "https://[fe80::1]/", true, "no server's address"),
            (&https, "https://0.0.0.0/", true, "no server's address"),
            (&https, "https://10.1.2.3/", true, "inner network"),
            (&https, "https://127.0.0.1/", true, "inner network"),
            (&https, "https://[::1]/", true, "inner network"),
            (&https, "https://[fd00::1]/", true, "inner network"),
            (&https, "https://localhost/", true, "this machine"),
            (&https, "https://2852039166/", true, "no host name"),
            (&https, "https://0xa9.254.0xa9fe/", true, "no host name"),
            (&https, "https://169.254.43518./", true, "no host name"),
            (&https, "https://me:secret@auth.io/", true, "user name"),
            (&https, "ftp://auth.io/", true, "neither http nor https"),
            (&https, "https://", true, "no valid host"),
            (&https, "not a url", true, "is no URL"),
        ] {
            let error = named(realm).url(registry, secret).unwrap_err();
            assert!(error.contains(why), "{realm}: {error}");
        }
    }
}
