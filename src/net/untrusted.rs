//! What to say when one side does not accept the other's certificate, and what to try.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::ParsedCertificate;
use rustls::{AlertDescription, CertificateError, Error, OtherError, RootCertStore};
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::EndEntityCert;

use super::distinguished;
use super::failure::{FailureKind, Fault};

const CA_CERT: &str = "--ca-cert FILE with the CA of the registry, or --insecure";

/// A sentence on its way through rustls.
#[derive(Clone, Debug)]
pub(super) struct Untrusted {
    message: String,
    hint: Option<String>,
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Untrusted {}

impl From<Untrusted> for Error {
    fn from(untrusted: Untrusted) -> Self {
        CertificateError::Other(OtherError(Arc::new(untrusted))).into()
    }
}

/// A certificate of an authority where a server's own was expected.
pub(super) fn is_authority(error: &Error) -> bool {
    webpki_error(error).is_some_and(|error| matches!(error, webpki::Error::CaUsedAsEndEntity))
}

fn webpki_error(error: &Error) -> Option<&webpki::Error> {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => other.0.downcast_ref(),
        _ => None,
    }
}

/// What is wrong with a server's certificate. `now` by this machine's clock.
pub(super) fn explain(
    error: &Error,
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    now: UnixTime,
) -> Option<Untrusted> {
    use CertificateError as E;
    let Error::InvalidCertificate(problem) = error else {
        return None;
    };
    let (message, hint) = match problem {
        E::UnknownIssuer => (issuer(leaf, others), CA_CERT.to_owned()),
        E::Other(_) => match webpki_error(error)? {
            webpki::Error::CaUsedAsEndEntity => (issuer(leaf, others), CA_CERT.to_owned()),
            webpki::Error::UnsupportedCertVersion => (
                "certificate is not of X.509 version 3".to_owned(),
                "a new certificate for the registry, or --insecure".to_owned(),
            ),
            other => return Some(unacceptable(&other.to_string())),
        },
        E::ExpiredContext { not_after, .. } => expired(&whose(leaf, others, now), *not_after, now),
        E::NotValidYetContext { not_before, .. } => {
            not_yet(&whose(leaf, others, now), *not_before, now)
        }
        E::NotValidForNameContext {
            expected,
            presented,
        } => wrong_name(&expected.to_str(), presented),
        E::Revoked => (
            "certificate has been revoked".to_owned(),
            "a new certificate for the registry".to_owned(),
        ),
        E::InvalidPurposeContext { .. } | E::InvalidPurpose => (
            "certificate is not meant for servers (its extended key usage)".to_owned(),
            "a certificate for server authentication, or --insecure".to_owned(),
        ),
        E::BadEncoding => return Some(unacceptable("it cannot be read")),
        E::BadSignature => {
            return Some(unacceptable(
                "its signature is not by the issuer that it names",
            ));
        }
        E::UnsupportedSignatureAlgorithmContext { .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            return Some(unacceptable(
                "it is signed in a way that is too old or too new",
            ));
        }
        other => return Some(unacceptable(&other.to_string())),
    };
    Some(Untrusted {
        message,
        hint: Some(hint),
    })
}

/// The certificate that is not valid at this time: the server's own, mostly.
fn whose(leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>], now: UnixTime) -> String {
    let nobody = RootCertStore::empty();
    let is_out = |certificate: &&CertificateDer<'_>| {
        // The dates are looked at before anything else.
        let verified = ParsedCertificate::try_from(*certificate).and_then(|one| {
            verify_server_cert_signed_by_trust_anchor(&one, &nobody, &[], now, &[])
        });
        let Err(Error::InvalidCertificate(problem)) = verified else {
            return false;
        };
        use CertificateError as E;
        matches!(
            problem,
            E::ExpiredContext { .. } | E::NotValidYetContext { .. }
        )
    };
    let issuer = others.iter().find(is_out).filter(|_| !is_out(&leaf));
    let name = issuer.and_then(|issuer| {
        let issuer = EndEntityCert::try_from(issuer).ok()?;
        distinguished::name(issuer.subject())
    });
    match (issuer, name) {
        (Some(_), Some(name)) => format!("certificate of its issuer {name}"),
        (Some(_), None) => "certificate of its issuer".to_owned(),
        (None, _) => "certificate".to_owned(),
    }
}

fn expired(whose: &str, not_after: UnixTime, now: UnixTime) -> (String, String) {
    let since = match now.as_secs().saturating_sub(not_after.as_secs()) / 86_400 {
        0 => "today".to_owned(),
        1 => "1 day ago".to_owned(),
        days => format!("{days} days ago"),
    };
    let message = format!("{whose} has expired on {}, {since}", date(not_after));
    let clock = date(now);
    (
        message,
        format!("renew it, or set this machine's clock, which says {clock}"),
    )
}

fn not_yet(whose: &str, not_before: UnixTime, now: UnixTime) -> (String, String) {
    let message = format!(
        "{whose} is not valid before {}: the clock here is wrong, or was where it was made",
        date(not_before)
    );
    let clock = date(now);
    (
        message,
        format!("set this machine's clock, which says {clock}"),
    )
}

fn unacceptable(why: &str) -> Untrusted {
    Untrusted {
        message: format!("certificate is not acceptable: {why}"),
        hint: Some("a new certificate for the registry, or --insecure".to_owned()),
    }
}

/// Who should have been known: where the chain that the server showed ends.
fn issuer(leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> String {
    const UNKNOWN: &str = "certificate is signed by an unknown issuer";
    let Ok(mut last) = EndEntityCert::try_from(leaf) else {
        return UNKNOWN.to_owned();
    };
    let name = |content: &[u8]| distinguished::name(content);
    if last.issuer() == last.subject() && others.is_empty() {
        return match name(last.subject()) {
            Some(name) => format!("certificate is self-signed, by {name}, and not trusted"),
            None => "certificate is self-signed, and not trusted".to_owned(),
        };
    }
    for _ in 0..others.len() {
        let parent = others.iter().find_map(|other| {
            let parent = EndEntityCert::try_from(other).ok()?;
            let above = parent.subject() == last.issuer() && last.issuer() != last.subject();
            above.then_some(parent)
        });
        match parent {
            Some(parent) => last = parent,
            None => break,
        }
    }
    match name(last.issuer()) {
        Some(name) => format!("{UNKNOWN}, {name}"),
        None => UNKNOWN.to_owned(),
    }
}

fn wrong_name(expected: &str, presented: &[String]) -> (String, String) {
    const MOST: usize = 5;
    // webpki writes them as `DnsName("a.example")` and `IpAddress(127.0.0.1)`.
    let inner = |name: &str| {
        let inner = name.split_once('(').map_or(name, |(_, rest)| rest);
        inner.trim_end_matches(')').trim_matches('"').to_owned()
    };
    let names: Vec<String> = presented
        .iter()
        .take(MOST)
        .map(|name| inner(name))
        .collect();
    let new = format!("a certificate with {expected} as subjectAltName");
    if names.is_empty() {
        let message = format!(
            "certificate names no host (it has no subjectAltName), so is not for {expected}"
        );
        return (message, new);
    }
    let more = match presented.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!(
        "certificate is for {}{more}, not for {expected}",
        names.join(", ")
    );
    let usable = names.iter().find(|name| !name.starts_with('*'));
    let hint = match usable {
        Some(name) => format!("{name} as the registry's name, or {new}"),
        None => new,
    };
    (message, hint)
}

/// Sorts what rustls says during the handshake. `identified`: a client certificate was there to be shown.
pub(super) fn fault(error: &Error, identified: bool) -> Fault {
    match error {
        Error::InvalidCertificate(problem) => {
            let known = match problem {
                CertificateError::Other(other) => other.0.downcast_ref().cloned(),
                _ => None,
            };
            let Untrusted { message, hint } =
                known.unwrap_or_else(|| unacceptable(&problem.to_string()));
            Fault {
                hint,
                ..Fault::new(FailureKind::Trust, message)
            }
        }
        Error::InvalidMessage(_) => Fault::new(
            FailureKind::Tls,
            "the answer is not TLS: the server may speak plain http on this port",
        )
        .hint("--plain-http, if the registry speaks http only"),
        Error::AlertReceived(alert) => refusal(*alert, identified),
        other => Fault::new(FailureKind::Tls, format!("TLS failed: {other}")),
    }
}

/// The same after the handshake: a byte that was damaged on its way ends a connection, as a cut does.
pub(super) fn later_fault(error: &Error, identified: bool) -> Fault {
    let fault = fault(error, identified);
    let message = match (fault.kind, error) {
        (FailureKind::Tls, Error::AlertReceived(alert)) => {
            format!("the server ended the TLS connection: {alert:?}")
        }
        (FailureKind::Tls, error) => format!("the TLS connection broke: {error}"),
        _ => return fault,
    };
    Fault::new(FailureKind::Closed, message)
}

/// What an alert of the server says: about the client's certificate, mostly.
fn refusal(alert: AlertDescription, identified: bool) -> Fault {
    use AlertDescription as A;
    const NEEDED: &str = "--client-cert FILE and --client-key FILE";
    let trust = |message: String| Fault::new(FailureKind::Trust, message);
    let refused = |why: &str| {
        trust(format!("the server refused the client certificate: {why}")).hint(
            "a client certificate that the registry's CA has issued, in --client-cert or certs.d",
        )
    };
    match alert {
        A::CertificateRequired => {
            trust("the server wants a client certificate".into()).hint(NEEDED)
        }
        A::UnknownCA if identified => refused("its issuer is unknown there"),
        A::CertificateExpired if identified => refused("it has expired"),
        A::CertificateRevoked if identified => refused("it has been revoked"),
        A::BadCertificate | A::UnsupportedCertificate | A::CertificateUnknown | A::AccessDenied
            if identified =>
        {
            refused("it is not accepted")
        }
        // How servers of TLS 1.2 say that there was none.
        A::BadCertificate | A::HandshakeFailure | A::CertificateUnknown | A::AccessDenied
            if !identified =>
        {
            let message = format!(
                "the server refused the TLS handshake ({alert:?}): it may want a client certificate"
            );
            trust(message).hint(NEEDED)
        }
        A::UnrecognisedName => trust("the server does not know this name (TLS alert)".into()),
        A::ProtocolVersion => Fault::new(
            FailureKind::Tls,
            "the server speaks neither TLS 1.2 nor TLS 1.3",
        ),
        other => Fault::new(
            FailureKind::Tls,
            format!("the server refused the TLS handshake: {other:?}"),
        ),
    }
}

fn date(time: UnixTime) -> String {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()));
    // Beyond the year 9999 the formatter would panic.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    httpdate::fmt_http_date(time.map_or(last, |time| time.min(last)))
}
