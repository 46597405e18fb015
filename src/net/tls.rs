//! Whom to trust, and what to say when a certificate is not trusted.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::failure::{FailureKind, Fault, reason};

/// A bundle of every public authority is a quarter of this.
const MAX_CA_FILE: u64 = 4 << 20;

/// The built-in list and the files' certificates, or no verification at all.
pub(super) fn client_config(ca_certs: &[PathBuf], insecure: bool) -> Result<ClientConfig, String> {
    let mut own = Vec::new();
    for path in ca_certs {
        let found = read_certificates(path)
            .map_err(|problem| format!("CA file {}: {problem}", path.display()))?;
        own.extend(found);
    }
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = if insecure {
        Arc::new(Unverified(Arc::clone(&provider)))
    } else {
        Arc::new(Verifier::new(own, &provider)?)
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut pem = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_CA_FILE + 1).read_to_end(&mut pem))
        .map_err(|error| reason(&error))?;
    if pem.len() as u64 > MAX_CA_FILE {
        return Err(format!("larger than {} MiB", MAX_CA_FILE >> 20));
    }
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| format!("not readable as PEM: {error}"))?;
    let mut usable = RootCertStore::empty();
    match usable.add_parsable_certificates(found.iter().cloned()) {
        (0, 0) => Err("holds no certificate".to_owned()),
        (0, _) => Err("holds no usable certificate".to_owned()),
        _ => Ok(found),
    }
}

/// The usual verification, and one thing more: a certificate that the user gave is trusted as a
/// server's own, even when it is marked as an authority's, as `openssl req -x509` marks all.
#[derive(Debug)]
struct Verifier {
    usual: Arc<WebPkiServerVerifier>,
    own: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(
        own: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        roots.add_parsable_certificates(own.iter().cloned());
        let usual =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .build()
                .map_err(|error| error.to_string())?;
        Ok(Verifier { usual, own })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let usual = self.usual.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match usual {
            // webpki says this only after it has checked the dates.
            Err(error) if is_authority(&error) && self.own.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// A certificate of an authority where a server's own was expected.
fn is_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else {
        return false;
    };
    matches!(
        other.0.downcast_ref(),
        Some(webpki::Error::CaUsedAsEndEntity)
    )
}

/// Believes everybody.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Sorts what rustls says, during the handshake and after it.
pub(super) fn fault(error: &Error) -> Fault {
    match error {
        Error::InvalidCertificate(problem) => Fault::new(
            FailureKind::Trust,
            untrusted(problem).unwrap_or_else(|| match is_authority(error) {
                true => UNKNOWN_ISSUER.to_owned(),
                false => format!("certificate is not acceptable: {problem}"),
            }),
        ),
        Error::InvalidMessage(_) => Fault::new(
            FailureKind::Tls,
            "the answer is not TLS: the server may speak plain http on this port",
        ),
        Error::AlertReceived(alert) => Fault::new(
            FailureKind::Tls,
            format!("the server refused the TLS handshake: {alert:?}"),
        ),
        other => Fault::new(FailureKind::Tls, format!("TLS failed: {other}")),
    }
}

const UNKNOWN_ISSUER: &str = "certificate is signed by an unknown issuer: try --ca-cert";

fn untrusted(problem: &CertificateError) -> Option<String> {
    use CertificateError as E;
    let sentence = match problem {
        E::UnknownIssuer => UNKNOWN_ISSUER.to_owned(),
        E::Expired => "certificate has expired".to_owned(),
        E::ExpiredContext { not_after, .. } => {
            format!("certificate has expired on {}", date(*not_after))
        }
        E::NotValidYet => "certificate is not valid yet: check the clock".to_owned(),
        E::NotValidYetContext { not_before, .. } => {
            let from = date(*not_before);
            format!("certificate is not valid before {from}: check the clock")
        }
        E::NotValidForNameContext {
            expected,
            presented,
        } => wrong_name(&expected.to_str(), presented),
        _ => return None,
    };
    Some(sentence)
}

fn wrong_name(expected: &str, presented: &[String]) -> String {
    // webpki writes them as `DnsName("a.example")` and `IpAddress(127.0.0.1)`.
    let names: Vec<&str> = presented
        .iter()
        .take(5)
        .map(|name| {
            let inner = name.split_once('(').map_or(name.as_str(), |(_, rest)| rest);
            inner.trim_end_matches(')').trim_matches('"')
        })
        .collect();
    if names.is_empty() {
        format!("certificate names no host (it has no subjectAltName), so is not for {expected}")
    } else {
        format!(
            "certificate is for {}, not for {expected}",
            names.join(", ")
        )
    }
}

fn date(time: UnixTime) -> String {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()));
    // Beyond the year 9999 the formatter would panic.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    httpdate::fmt_http_date(time.map_or(last, |time| time.min(last)))
}
