//! How hosts are reached: whom to trust, who we are, what stands in between. From options and
//! environment to [`net::Settings`].

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::cli::args::Args;
use crate::cli::usage::UsageError;
use crate::image::reference::Host;
use crate::net::{self, ClientCertificate, HostProxy, NoProxy, Proxies, Proxy, Roots};
use crate::registry::client;

type Environment = BTreeMap<OsString, OsString>;

/// Where podman and docker keep certificates for single hosts, after those of the user.
const CERTS_D: [&str; 2] = ["/etc/containers/certs.d", "/etc/docker/certs.d"];

/// `host` is the destination's. Wrong settings are said here, before any source is read.
pub(crate) fn settle(
    args: &Args,
    env: &Environment,
    host: &Host,
) -> Result<net::Settings, UsageError> {
    let standard = net::Settings::default();
    let settings = net::Settings {
        roots: roots(env),
        ca_certs: args.ca_certs.clone(),
        certs_d: certs_d(env),
        also_named: (host.is_docker_hub()).then(|| (client::api_host(host), host.to_string())),
        client: client_certificate(args, host)?,
        proxies: proxies(args, env, host),
        insecure: args.insecure,
        stall_timeout: args.stall_timeout.unwrap_or(standard.stall_timeout),
        user_agent: args.user_agent.clone().unwrap_or(standard.user_agent),
        ..standard
    };
    let http = net::Http::new(&settings).map_err(UsageError::new)?;
    for (https, spoken) in [(false, args.plain_http), (true, !args.plain_http)] {
        if spoken {
            http.check(&client::url(host, https))
                .map_err(UsageError::new)?;
        }
    }
    Ok(settings)
}

/// `SSL_CERT_FILE` and `SSL_CERT_DIR` as OpenSSL has them, but for one thing: where either is set, no
/// place of the system is looked at.
fn roots(env: &Environment) -> Roots {
    let file = variable(env, "SSL_CERT_FILE").map(PathBuf::from);
    let folders = variable(env, "SSL_CERT_DIR").unwrap_or_default();
    let folders = std::env::split_paths(folders);
    let folders: Vec<PathBuf> = folders.filter(|one| !one.as_os_str().is_empty()).collect();
    match file.is_none() && folders.is_empty() {
        true => Roots::default(),
        false => Roots::named(file, folders),
    }
}

/// As curl and Go have them: one variable for each scheme, `ALL_PROXY` for those without, upper case
/// before lower case. `HTTP_PROXY` does not count in a CGI program, where a client can set it
/// ([httpoxy](https://httpoxy.org)). The `proxy` of the registry's section counts before all of them.
fn proxies(args: &Args, env: &Environment, host: &Host) -> Proxies {
    let either = |name: &str| {
        let cgi = name == "HTTP_PROXY" && env.contains_key(OsStr::new("REQUEST_METHOD"));
        let upper = variable(env, name)
            .filter(|_| !cgi)
            .map(|value| (name.to_owned(), value));
        upper.or_else(|| {
            let lower = name.to_ascii_lowercase();
            variable(env, &lower).map(|value| (lower, value))
        })
    };
    let proxy = |name: &str| {
        let (name, value) = either(name).or_else(|| either("ALL_PROXY"))?;
        Some(Proxy::parse(&value.to_string_lossy(), &name))
    };
    let exceptions = either("NO_PROXY").map(|(_, value)| value.to_string_lossy());
    Proxies {
        http: proxy("HTTP_PROXY"),
        https: proxy("HTTPS_PROXY"),
        no_proxy: NoProxy::parse(&exceptions.unwrap_or_default()),
        explicit: args.proxy.clone().map(|wanted| HostProxy {
            host: client::api_host(host),
            proxy: wanted.map(Proxy::explicit),
        }),
    }
}

fn certs_d(env: &Environment) -> Vec<PathBuf> {
    let home = variable(env, "HOME").map(Path::new);
    let own = home.map(|home| home.join(".config/containers/certs.d"));
    own.into_iter().chain(CERTS_D.map(PathBuf::from)).collect()
}

fn client_certificate(args: &Args, host: &Host) -> Result<Option<ClientCertificate>, UsageError> {
    let certificate = match (&args.client_cert, &args.client_key) {
        (Some(certificate), _) => certificate.clone(),
        (None, None) => return Ok(None),
        (None, Some(_)) => {
            let message = "--client-key is half of a pair: its certificate is missing";
            return Err(UsageError::new(message).hint("--client-cert FILE --client-key FILE"));
        }
    };
    Ok(Some(ClientCertificate {
        host: client::api_host(host),
        key: args
            .client_key
            .clone()
            .unwrap_or_else(|| certificate.clone()),
        certificate,
    }))
}

/// A variable that is set to something.
fn variable<'a>(env: &'a Environment, name: &str) -> Option<&'a OsStr> {
    let value = env.get(OsStr::new(name))?;
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(set: &[(&str, &str)]) -> Environment {
        let set = set.iter().map(|(name, value)| (name.into(), value.into()));
        set.collect()
    }

    #[test]
    fn variables_name_the_authorities() {
        let named = |file: Option<&str>, folders: &[&str]| {
            let folders = folders.iter().map(PathBuf::from).collect();
            Roots::named(file.map(PathBuf::from), folders)
        };
        for (set, expected) in [
            (&[][..], Roots::default()),
            (
                &[("SSL_CERT_FILE", ""), ("SSL_CERT_DIR", "")],
                Roots::default(),
            ),
            (&[("SSL_CERT_FILE", "/a.pem")], named(Some("/a.pem"), &[])),
            (&[("SSL_CERT_DIR", "/a:/b")], named(None, &["/a", "/b"])),
            (&[("SSL_CERT_DIR", ":")], Roots::default()),
            (
                &[("SSL_CERT_FILE", "a"), ("SSL_CERT_DIR", "/b:")],
                named(Some("a"), &["/b"]),
            ),
        ] {
            assert_eq!(roots(&environment(set)), expected, "{set:?}");
        }
    }

    #[test]
    fn certificates_of_the_user_come_first() {
        let system: Vec<PathBuf> = CERTS_D.map(PathBuf::from).to_vec();
        assert_eq!(certs_d(&environment(&[])), system);
        assert_eq!(certs_d(&environment(&[("HOME", "")])), system);
        let all = certs_d(&environment(&[("HOME", "/home/me")]));
        assert_eq!(all[0], Path::new("/home/me/.config/containers/certs.d"));
        assert_eq!(all[1..], system);
    }

    #[test]
    fn variables_name_the_proxies() {
        let chosen = |set: &[(&str, &str)]| {
            let host = Host::parse("registry.example").unwrap();
            let proxies = proxies(&Args::default(), &environment(set), &host);
            let shown = |proxy: Option<Result<Proxy, String>>| match proxy {
                None => "-".to_owned(),
                Some(Ok(proxy)) => proxy.to_string(),
                Some(Err(problem)) => problem,
            };
            format!("{} {}", shown(proxies.http), shown(proxies.https))
        };
        for (set, expected) in [
            (&[][..], "- -"),
            (&[("HTTP_PROXY", ""), ("ALL_PROXY", "")], "- -"),
            (&[("HTTP_PROXY", "a")], "http://a:80 (from HTTP_PROXY) -"),
            (&[("http_proxy", "a")], "http://a:80 (from http_proxy) -"),
            (&[("HTTPS_PROXY", "b")], "- http://b:80 (from HTTPS_PROXY)"),
            (&[("https_proxy", "b")], "- http://b:80 (from https_proxy)"),
            (
                &[("all_proxy", "c"), ("HTTPS_PROXY", "b")],
                "http://c:80 (from all_proxy) http://b:80 (from HTTPS_PROXY)",
            ),
            (
                &[
                    ("HTTPS_PROXY", "b"),
                    ("https_proxy", "c"),
                    ("ALL_PROXY", "d"),
                ],
                "http://d:80 (from ALL_PROXY) http://b:80 (from HTTPS_PROXY)",
            ),
            (
                &[
                    ("HTTP_PROXY", "evil"),
                    ("http_proxy", "a"),
                    ("REQUEST_METHOD", "GET"),
                ],
                "http://a:80 (from http_proxy) -",
            ),
            (
                &[("ALL_PROXY", "socks5://me:hunter2@x"), ("HTTPS_PROXY", "b")],
                "ALL_PROXY names no proxy that can be used: socks is not supported, http:// and \
                 https:// are http://b:80 (from HTTPS_PROXY)",
            ),
        ] {
            assert_eq!(chosen(set), expected, "{set:?}");
        }
    }
}
