//! Which proxy stands between us and a host, if any. No I/O.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::resolve::{is_loopback, literal};
use super::secret::Secret;

/// Longest host name (RFC 1035, section 2.3.4), in characters.
const MAX_HOST: usize = 255;

/// What to ask for hosts that cannot, or must not, be reached directly.
///
/// Loopback hosts are always reached directly, unless [`Self::explicit`] names them.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// For `http` URLs. The error says what is wrong with the setting, for when it is needed.
    pub http: Option<Result<Proxy, String>>,
    /// For `https` URLs.
    pub https: Option<Result<Proxy, String>>,
    /// The hosts that [`Self::http`] and [`Self::https`] are not for.
    pub no_proxy: NoProxy,
    /// For one host, whatever all others say.
    pub explicit: Option<HostProxy>,
}

/// What somebody wants for one host: from its section of a configuration file.
#[derive(Clone, Debug)]
pub struct HostProxy {
    /// Whatever the port.
    pub host: String,
    /// `None`: it is reached directly.
    pub proxy: Option<Proxy>,
}

/// One proxy. `Display` and `Debug` have no credentials in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    tls: bool,
    /// Lower case, IPv6 without brackets.
    host: String,
    port: u16,
    user: Option<String>,
    /// The value of `Proxy-Authorization`.
    authorization: Option<Secret>,
    origin: String,
    /// Of one host, whatever `NO_PROXY` says.
    explicit: bool,
}

impl Proxy {
    /// `http://[USER:PASSWORD@]HOST[:PORT]`, `https://…`, or without a scheme. `origin`: the setting it
    /// comes from, as people know it.
    ///
    /// # Errors
    /// A sentence that names the setting, and nothing of its value that could be a secret.
    pub fn parse(text: &str, origin: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{origin} names no proxy that can be used: {why}");
        let (scheme, rest) = text
            .trim()
            .split_once("://")
            .unwrap_or(("http", text.trim()));
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            socks if socks.starts_with("socks") => {
                return Err(wrong("socks is not supported, http:// and https:// are"));
            }
            _ => return Err(wrong("its URL begins with neither http:// nor https://")),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (userinfo, place) = match authority.rsplit_once('@') {
            Some((userinfo, place)) => (Some(userinfo), place),
            None => (None, authority),
        };
        let (host, port) = split_port(place).ok_or_else(|| wrong("its port is not legal"))?;
        let strange = |c: char| !c.is_ascii_graphic() || "[]@\\%".contains(c);
        if host.is_empty()
            || host.len() > MAX_HOST
            || host.contains(strange)
            || ((place.contains('[') || host.contains(':')) && literal(host).is_none())
        {
            return Err(wrong("its host is not legal"));
        }
        let mut proxy = Self {
            tls,
            host: host.to_ascii_lowercase(),
            port: port.unwrap_or([80, 443][usize::from(tls)]),
            user: None,
            authorization: None,
            origin: origin.to_owned(),
            explicit: false,
        };
        if let Some(userinfo) = userinfo.filter(|one| !one.is_empty()) {
            let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
            let decoded = |part| {
                decode(part).ok_or_else(|| wrong("its user or password is not percent-encoded"))
            };
            let (user, password) = (decoded(user)?, decoded(password)?);
            let pair = Secret::new(format!("{user}:{password}"));
            let value = STANDARD.encode(pair.expose());
            proxy.authorization = Some(Secret::new(format!("Basic {value}")));
            proxy.user = Some(user);
        }
        Ok(proxy)
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub(super) fn authorization(&self) -> Option<&Secret> {
        self.authorization.as_ref()
    }

    /// For one host, as [`HostProxy`] has it: `NO_PROXY` says nothing about it.
    #[must_use]
    pub fn explicit(self) -> Self {
        Self {
            explicit: true,
            ..self
        }
    }

    /// What to set so that a host, this one where it is known, is reached without it.
    pub(super) fn bypass(&self, host: Option<&str>) -> String {
        match (self.explicit, host) {
            (true, _) => format!("\"none\" as {}", self.origin),
            (false, Some(host)) => format!("NO_PROXY={host}"),
            (false, None) => "NO_PROXY for the registry".to_owned(),
        }
    }

    /// The setting it comes from.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = ["http", "https"][usize::from(self.tls)];
        let host = bracketed(&self.host);
        write!(f, "{scheme}://{host}:{} (from {})", self.port, self.origin)
    }
}

impl Proxies {
    /// For a host in lower case, IPv6 without brackets. The error is a sentence about the setting.
    pub(super) fn choose(
        &self,
        tls: bool,
        host: &str,
        port: u16,
    ) -> Result<Option<&Proxy>, String> {
        let named = |one: &&HostProxy| bare(&one.host).eq_ignore_ascii_case(host);
        if let Some(explicit) = self.explicit.as_ref().filter(named) {
            return Ok(explicit.proxy.as_ref());
        }
        let setting = if tls { &self.https } else { &self.http };
        match setting {
            Some(setting) if !is_loopback(host) && !self.no_proxy.matches(host, port) => {
                setting.as_ref().map(Some).map_err(Clone::clone)
            }
            _ => Ok(None),
        }
    }
}

/// The hosts that are reached without a proxy, as `NO_PROXY` has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy(Vec<Exception>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Exception {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    /// The name and all below it.
    Domain(String),
    /// All addresses that share so many first bits.
    Network(IpAddr, u8),
}

impl NoProxy {
    /// Entries divided by commas or blanks, as curl and Go read them: `*`, `example.com` and
    /// `.example.com` and `*.example.com` (the domain and all below it), addresses, networks as
    /// `10.0.0.0/8`; names and addresses may have a port. What is none of these is passed by.
    pub fn parse(text: &str) -> Self {
        let entries = text.split(|c: char| c == ',' || c.is_whitespace());
        let entries = entries.filter(|entry| !entry.is_empty());
        Self(entries.filter_map(Exception::parse).collect())
    }

    /// `host` without brackets.
    pub(super) fn matches(&self, host: &str, port: u16) -> bool {
        self.0.iter().any(|one| one.matches(host, port))
    }
}

impl Exception {
    fn parse(entry: &str) -> Option<Self> {
        if entry == "*" {
            let (hosts, port) = (Hosts::All, None);
            return Some(Self { hosts, port });
        }
        if let Some((address, bits)) = entry.split_once('/') {
            let (address, bits) = (literal(address)?, bits.parse().ok()?);
            let hosts = Hosts::Network(address, bits);
            return (bits <= width(address)).then_some(Self { hosts, port: None });
        }
        if let Some(address) = literal(entry) {
            let hosts = Hosts::Network(address, width(address));
            return Some(Self { hosts, port: None });
        }
        let (host, port) = split_port(entry)?;
        if let Some(address) = literal(host) {
            let hosts = Hosts::Network(address, width(address));
            return Some(Self { hosts, port });
        }
        let domain = host.strip_prefix('*').unwrap_or(host);
        let domain = domain.trim_matches('.').to_ascii_lowercase();
        let hosts = Hosts::Domain(domain);
        (!matches!(&hosts, Hosts::Domain(name) if name.is_empty())).then_some(Self { hosts, port })
    }

    fn matches(&self, host: &str, port: u16) -> bool {
        if self.port.is_some_and(|own| own != port) {
            return false;
        }
        match &self.hosts {
            Hosts::All => true,
            Hosts::Network(network, bits) => {
                literal(host).is_some_and(|address| shares(address, *network, *bits))
            }
            Hosts::Domain(domain) => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                let above = host.strip_suffix(domain.as_str());
                above.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn shares(one: IpAddr, other: IpAddr, bits: u8) -> bool {
    let differ = match (one.to_canonical(), other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => u128::from(one.to_bits() ^ other.to_bits()) << 96,
        (IpAddr::V6(one), IpAddr::V6(other)) => one.to_bits() ^ other.to_bits(),
        _ => return false,
    };
    u32::from(bits) <= differ.leading_zeros()
}

/// `host`, `host:80`, `[::1]`, `[::1]:80`: the host without brackets.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':')?)),
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    match port {
        None => Some((host, None)),
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some((host, Some(port.parse().ok()?)))
        }
        Some(_) => None,
    }
}

fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

/// As it stands in front of a port.
pub(super) fn bracketed(host: &str) -> String {
    match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    }
}

/// `None` when a `%` is no encoding, or what is encoded is not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let (b'%', [high, low, left @ ..]) = (*first, after) else {
            if *first == b'%' {
                return None;
            }
            bytes.push(*first);
            continue;
        };
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        bytes.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?);
        rest = left;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
