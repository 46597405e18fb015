//! Whom to trust: the authorities of the system or those named instead, and what is added to them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;

use super::certificates;

/// The authorities that are trusted before anybody adds one. They are read when the first host needs
/// them, once for all clones.
#[derive(Clone, Debug)]
pub struct Roots {
    places: Places,
    loaded: Arc<OnceLock<Result<Arc<RootCertStore>, String>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Places {
    Found {
        files: Vec<PathBuf>,
        folders: Vec<PathBuf>,
    },
    Named {
        file: Option<PathBuf>,
        folders: Vec<PathBuf>,
    },
}

/// Where systems keep the bundle of all authorities:
/// [Go's list](https://go.dev/src/crypto/x509/root_linux.go).
const BUNDLES: [&str; 6] = [
    // Debian, Ubuntu, Gentoo, Arch, Alpine.
    "/etc/ssl/certs/ca-certificates.crt",
    // Fedora, RHEL.
    "/etc/pki/tls/certs/ca-bundle.crt",
    // SUSE.
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    // Alpine without its package, macOS.
    "/etc/ssl/cert.pem",
];
const FOLDERS: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

impl Default for Roots {
    /// The system's.
    fn default() -> Self {
        let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect();
        Self::found(paths(&BUNDLES), paths(&FOLDERS))
    }
}

/// The same places.
impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        self.places == other.places
    }
}

impl Roots {
    /// Those of the first of these files that holds any, else of the first folder, else the list
    /// that is built in. What cannot be read is passed by.
    pub fn found(files: Vec<PathBuf>, folders: Vec<PathBuf>) -> Self {
        Self::at(Places::Found { files, folders })
    }

    /// These and no others, as `SSL_CERT_FILE` and `SSL_CERT_DIR` ask for: what cannot be read or
    /// holds no certificate is an error.
    pub fn named(file: Option<PathBuf>, folders: Vec<PathBuf>) -> Self {
        Self::at(Places::Named { file, folders })
    }

    fn at(places: Places) -> Self {
        let loaded = Arc::default();
        Self { places, loaded }
    }

    /// Whether there is anything where it was said to be: no more is read than one certificate
    /// takes. The error is a sentence that names the file.
    pub(super) fn check(&self) -> Result<(), String> {
        match &self.places {
            Places::Named { file, folders } if self.loaded.get().is_none() => {
                look(file.as_deref(), folders)
            }
            _ => self.check_all(),
        }
    }

    /// The same, of every certificate where they were named.
    pub(super) fn check_all(&self) -> Result<(), String> {
        match self.places {
            Places::Found { .. } => Ok(()),
            Places::Named { .. } => self.load().map(drop),
        }
    }

    /// The error is a sentence that names the file.
    pub(super) fn load(&self) -> Result<Arc<RootCertStore>, String> {
        let read = || match &self.places {
            Places::Found { files, folders } => Ok(Arc::new(found(files, folders))),
            Places::Named { file, folders } => named(file.as_deref(), folders).map(Arc::new),
        };
        self.loaded.get_or_init(read).clone()
    }
}

fn found(files: &[PathBuf], folders: &[PathBuf]) -> RootCertStore {
    for path in files.iter().chain(folders) {
        let read = match path.is_dir() {
            true => certificates::read_folder(path),
            false => certificates::read(path),
        };
        match read {
            Ok(certificates) if !certificates.is_empty() => {
                log::debug!("trusting the authorities in {}", path.display());
                return store(certificates);
            }
            Ok(_) => {}
            Err(problem) if path.exists() => log::warn!("authorities passed by: {problem}"),
            Err(_) => {}
        }
    }
    log::debug!("no authorities on this system: trusting those that are built in");
    RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }
}

fn look(file: Option<&Path>, folders: &[PathBuf]) -> Result<(), String> {
    if let Some(file) = file {
        certificates::peek(file).map_err(in_file)?;
    }
    let mut any = file.is_some();
    for folder in folders {
        any |= certificates::peek_folder(folder).map_err(in_folder)?;
    }
    any.then_some(()).ok_or_else(|| nothing(folders))
}

fn named(file: Option<&Path>, folders: &[PathBuf]) -> Result<RootCertStore, String> {
    let mut all = Vec::new();
    if let Some(file) = file {
        all.extend(certificates::read(file).map_err(in_file)?);
    }
    for folder in folders {
        all.extend(certificates::read_folder(folder).map_err(in_folder)?);
    }
    if all.is_empty() {
        return Err(nothing(folders));
    }
    // A folder of the system holds each of them under two names, and its bundle once more.
    all.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
    all.dedup();
    Ok(store(all))
}

fn in_file(problem: String) -> String {
    format!("SSL_CERT_FILE {problem}")
}

fn in_folder(problem: String) -> String {
    format!("SSL_CERT_DIR {problem}")
}

fn nothing(folders: &[PathBuf]) -> String {
    let folders = folders.iter().map(|folder| folder.display().to_string());
    let folders = folders.collect::<Vec<_>>().join(":");
    format!("SSL_CERT_DIR {folders}: holds no certificate")
}

fn store(certificates: Vec<CertificateDer<'static>>) -> RootCertStore {
    let mut store = RootCertStore::empty();
    let (_, unusable) = store.add_parsable_certificates(certificates);
    if unusable > 0 {
        log::debug!("{unusable} certificates among the authorities are of no use");
    }
    store
}
