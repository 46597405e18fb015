//! From names to addresses. `localhost` needs no name service; other names ask the system's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Whether `host` (no port, IPv6 with or without brackets) can only mean this machine:
/// `localhost`, names below it, 127.0.0.0/8, ::1.
pub fn is_loopback(host: &str) -> bool {
    match literal(host) {
        Some(address) => address.is_loopback(),
        None => is_localhost(host),
    }
}

/// The addresses known without asking anybody: of literals and of `localhost`, which may be in
/// no hosts file ([RFC 6761](https://www.rfc-editor.org/rfc/rfc6761#section-6.3)).
pub(super) fn known(host: &str, port: u16) -> Option<Vec<SocketAddr>> {
    if let Some(address) = literal(host) {
        return Some(vec![SocketAddr::new(address, port)]);
    }
    is_localhost(host).then(|| {
        vec![
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
        ]
    })
}

/// Asks the system's resolver; blocks for as long as that takes.
pub(super) fn ask(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

pub(super) fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next();
    last.is_some_and(|label| label.eq_ignore_ascii_case("localhost"))
}

/// ureq asks its resolver before every request, also when it then takes an idle connection: names
/// are resolved when dialling instead.
#[derive(Debug)]
pub(super) struct Later;

impl Resolver for Later {
    fn resolve(
        &self,
        _uri: &ureq::http::Uri,
        _config: &ureq::config::Config,
        _timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_hosts() {
        for host in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "registry.localhost",
            "127.0.0.1",
            "127.255.0.9",
            "::1",
            "[::1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "notlocalhost",
            "localhost.example",
            "localhost.localdomain",
            "128.0.0.1",
            "0.0.0.0",
            "[::2]",
            "::",
            "127.0.0.1.example",
            "ü",
            "löcalhost",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn localhost_has_both_addresses_without_asking() {
        let found = known("app.localhost", 5000).unwrap();
        let expected: [SocketAddr; 2] = [
            "127.0.0.1:5000".parse().unwrap(),
            "[::1]:5000".parse().unwrap(),
        ];
        assert_eq!(found, expected);
        assert_eq!(known("registry.example", 5000), None);
    }
}
