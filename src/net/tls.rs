//! What TLS needs to know about each host: whom to trust there, and who we are.
//!
//! A folder of `certs.d` named after the host adds to both, as docker
//! ([docs](https://docs.docker.com/engine/security/certificates/)) and podman (containers-certs.d(5))
//! have it: `*.crt` are authorities, `X.cert` with `X.key` is a client certificate.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, Error, InconsistentKeys};
use rustls_pki_types::CertificateDer;

use super::certificates;
use super::proxy::bracketed;
use super::request::Settings;
use super::resolve;
use super::roots::Roots;
use super::verify::{Unverified, Verifier};

/// A client certificate for one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The only host that it is shown to, whatever the port.
    pub host: String,
    /// PEM: the certificate, then those that lead to its authority.
    pub certificate: PathBuf,
    /// PEM, unencrypted: PKCS#8, PKCS#1 or SEC1. May be the same file.
    pub key: PathBuf,
}

/// How to speak TLS with one host.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) config: Arc<ClientConfig>,
    /// There is a client certificate to be shown.
    pub(super) identified: bool,
}

/// The terms of every host, made when they are first asked for.
pub(super) struct Tls {
    provider: Arc<CryptoProvider>,
    insecure: bool,
    /// Trusted everywhere besides the roots.
    own: Vec<CertificateDer<'static>>,
    roots: Roots,
    client: Option<(String, Arc<CertifiedKey>)>,
    certs_d: Vec<PathBuf>,
    also_named: Option<(String, String)>,
    hosts: Mutex<HashMap<(String, u16), Result<Terms, String>>>,
}

/// What a folder of `certs.d` holds.
#[derive(Default)]
struct Local {
    authorities: Vec<CertificateDer<'static>>,
    client: Option<Arc<CertifiedKey>>,
}

impl Tls {
    /// Reads what was named; what is only found is read when a host needs it.
    ///
    /// # Errors
    /// A sentence naming the file that cannot be used.
    pub(super) fn new(settings: &Settings) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let mut own = Vec::new();
        for path in &settings.ca_certs {
            own.extend(certificates::read(path).map_err(|problem| format!("CA file {problem}"))?);
        }
        let client = settings.client.as_ref().map(|client| {
            let key = certified(&client.certificate, &client.key, &provider);
            let key = key.map_err(|problem| format!("client certificate {problem}"))?;
            let host = client.host.trim_matches(['[', ']']).to_ascii_lowercase();
            Ok::<_, String>((host, Arc::new(key)))
        });
        if !settings.insecure {
            settings.roots.check()?;
        }
        Ok(Self {
            insecure: settings.insecure,
            own,
            roots: settings.roots.clone(),
            client: client.transpose()?,
            certs_d: settings.certs_d.clone(),
            also_named: settings.also_named.clone(),
            hosts: Mutex::default(),
            provider,
        })
    }

    /// `host` in lower case, IPv6 without brackets. The error is a sentence about a folder of
    /// `certs.d`.
    pub(super) fn terms(&self, host: &str, port: u16) -> Result<Terms, String> {
        let place = (host.to_owned(), port);
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = hosts.entry(place);
        known.or_insert_with(|| self.make(host, port)).clone()
    }

    /// Whether what was named, or found for this host, can be used.
    pub(super) fn check(&self, host: &str, port: u16) -> Result<(), String> {
        // Registries on loopback seldom speak TLS, and then nobody asks for roots.
        if !self.insecure && !resolve::is_loopback(host) {
            self.roots.check_all()?;
        }
        self.local(host, port).map(drop)
    }

    fn make(&self, host: &str, port: u16) -> Result<Terms, String> {
        let local = self.local(host, port)?;
        let named = self.client.as_ref().filter(|(name, _)| name == host);
        let client = named.map(|(_, key)| Arc::clone(key)).or(local.client);
        let algorithms = self.provider.signature_verification_algorithms;
        let verifier: Arc<dyn ServerCertVerifier> = if self.insecure {
            Arc::new(Unverified(algorithms))
        } else {
            let own = [&self.own[..], &local.authorities].concat();
            Arc::new(Verifier::new(self.roots.load()?, own, algorithms))
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let identified = client.is_some();
        let config = Arc::new(match client {
            Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
            None => builder.with_no_client_auth(),
        });
        Ok(Terms { config, identified })
    }

    fn local(&self, host: &str, port: u16) -> Result<Local, String> {
        let folder = self.folder(host, port);
        folder.map_or_else(
            || Ok(Local::default()),
            |folder| read(&folder, &self.provider),
        )
    }

    /// The first folder there is for this host.
    fn folder(&self, host: &str, port: u16) -> Option<PathBuf> {
        let alias = self.also_named.as_ref().filter(|(name, _)| name == host);
        let mut names = Vec::new();
        let typed = alias.map(|(_, typed)| typed.as_str());
        for shown in typed.into_iter().chain([host]).map(bracketed) {
            if port == 443 {
                // As it is mostly written.
                names.push(shown.clone());
            }
            names.push(format!("{shown}:{port}"));
        }
        let places = self.certs_d.iter();
        let mut folders = places.flat_map(|place| names.iter().map(|name| place.join(name)));
        folders.find(|folder| folder.is_dir())
    }
}

/// The two ways in which containers' tools keep certificates for one host.
fn read(folder: &Path, provider: &CryptoProvider) -> Result<Local, String> {
    let mut local = Local::default();
    let files = match certificates::files(folder) {
        Ok(files) => files,
        Err(problem) => {
            log::warn!("certificates passed by: {problem}");
            return Ok(local);
        }
    };
    log::debug!("looking for certificates in {}", folder.display());
    for path in &files {
        let ending = path.extension().and_then(|ending| ending.to_str());
        let other = match ending {
            Some("cert") => path.with_extension("key"),
            Some("key") => path.with_extension("cert"),
            Some("crt") => {
                match certificates::read(path) {
                    Ok(found) => local.authorities.extend(found),
                    Err(problem) => log::warn!("certificates passed by: {problem}"),
                }
                continue;
            }
            _ => continue,
        };
        if !files.contains(&other) {
            let (path, other) = (path.display(), other.display());
            return Err(format!(
                "client certificate {path}: {other} is missing beside it"
            ));
        }
        if ending == Some("cert") && local.client.is_none() {
            let key = certified(path, &other, provider);
            let key = key.map_err(|problem| format!("client certificate {problem}"))?;
            local.client = Some(Arc::new(key));
        }
    }
    Ok(local)
}

fn certified(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let (chain, private) = certificates::read_identity(certificate, key)?;
    CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let (certificate, key) = (certificate.display(), key.display());
            format!("{certificate}: its key is another one than {key}")
        }
        Error::InvalidCertificate(problem) => {
            format!("{}: cannot be used: {problem}", certificate.display())
        }
        other => format!("{}: cannot be used: {other}", key.display()),
    })
}
