//! Certificates and keys from files: PEM as everybody writes it, and certificates in DER as Windows
//! exports them.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use rustls_pki_types::pem::{Error as PemError, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::failure::reason;

/// A bundle of every public authority is a quarter of this.
const MAX_FILE: u64 = 4 << 20;

/// What a DER certificate begins with: a sequence whose length takes two more bytes.
const DER_SEQUENCE: [u8; 2] = [0x30, 0x82];

/// A certificate with those that lead to its authority, and its key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// All certificates in a file; one at least, and one that can be used as an authority's. The error
/// is a sentence that names the file.
pub(super) fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let named = |problem: &str| format!("{}: {problem}", path.display());
    let found = parse(&bytes(path)?).map_err(|problem| named(&problem))?;
    match found.iter().any(is_usable) {
        true => Ok(found),
        false if found.is_empty() => Err(named("holds no certificate")),
        false => Err(named("holds no usable certificate")),
    }
}

/// Whether [`read`] would find anything, but for damage behind the first certificate that can be used.
pub(super) fn peek(path: &Path) -> Result<(), String> {
    let file = open(path)?.take(MAX_FILE);
    let mut pem = CertificateDer::pem_reader_iter(BufReader::new(file));
    match pem.find_map(|one| one.ok().filter(is_usable)) {
        Some(_) => Ok(()),
        // In DER, or in want of the right words.
        None => read(path).map(drop),
    }
}

/// Whether [`read_folder`] would find anything.
pub(super) fn peek_folder(folder: &Path) -> Result<bool, String> {
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.any(|path| path.is_file() && peek(&path).is_ok()))
}

fn is_usable(certificate: &CertificateDer<'_>) -> bool {
    webpki::anchor_from_trusted_cert(certificate).is_ok()
}

/// The certificates of all files in a folder; files without one are passed by. The error names the
/// folder.
pub(super) fn read_folder(folder: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut found = Vec::new();
    for path in files(folder)? {
        match read(&path) {
            Ok(certificates) => found.extend(certificates),
            Err(problem) => log::debug!("passed by: {problem}"),
        }
    }
    Ok(found)
}

/// The files in a folder, in the order of their names.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error: io::Error| unreadable(folder, &error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// A certificate chain and its key, which may lie in the same file.
pub(super) fn read_identity(certificate: &Path, key: &Path) -> Result<Identity, String> {
    Ok((read_chain(certificate)?, read_key(key)?))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = parse(&bytes(path)?).map_err(|problem| format!("{}: {problem}", path.display()))?;
    if found.is_empty() {
        return Err(format!("{}: holds no certificate", path.display()));
    }
    Ok(found)
}

/// PKCS#8, PKCS#1 or SEC1, without a passphrase.
fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem = bytes(path)?;
    let problem = match PrivateKeyDer::from_pem_slice(&pem) {
        _ if is_encrypted(&pem) => {
            "the key is encrypted, and nobody can be asked for its passphrase: openssl pkey \
             decrypts it"
                .to_owned()
        }
        Ok(key) => return Ok(key),
        Err(PemError::NoItemsFound) => "holds no private key".to_owned(),
        Err(error) => not_readable(&error),
    };
    Err(format!("{}: {problem}", path.display()))
}

fn is_encrypted(pem: &[u8]) -> bool {
    let holds = |mark: &[u8]| pem.windows(mark.len()).any(|part| part == mark);
    holds(b"BEGIN ENCRYPTED PRIVATE KEY") || holds(b"Proc-Type: 4,ENCRYPTED")
}

fn parse(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    if bytes.starts_with(&DER_SEQUENCE) {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let found = CertificateDer::pem_slice_iter(bytes).collect::<Result<_, _>>();
    found.map_err(|error: PemError| not_readable(&error))
}

/// Its own words show the line that is wrong, and a key that lost its line ends is all one line.
fn not_readable(error: &PemError) -> String {
    let why = match error {
        PemError::MissingSectionEnd { .. } => "a section has no END line",
        PemError::IllegalSectionStart { .. } => {
            "a BEGIN line is damaged, or goes on behind its dashes"
        }
        PemError::Base64Decode(_) => "what is in a section is no base64",
        _ => "it is damaged",
    };
    format!("not readable as PEM: {why}")
}

fn bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let named = |problem: &str| format!("{}: {problem}", path.display());
    let file = open(path)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| named(&reason(&error)))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(named(&format!("larger than {} MiB", MAX_FILE >> 20)));
    }
    Ok(bytes)
}

fn open(path: &Path) -> Result<File, String> {
    File::open(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("{}: {}", path.display(), reason(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_key_is_in_what_is_said_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        for (text, why) in [
            (
                "-----BEGIN PRIVATE KEY-----SECRET-----END PRIVATE KEY-----",
                "no END line",
            ),
            ("-----BEGIN PRIVATE KEY-----SECRET", "BEGIN line"),
            ("-----BEGIN PRIVATE KEY-----\nSECRET\n", "no END line"),
            (
                "-----BEGIN PRIVATE KEY-----\n!SECRET\n-----END PRIVATE KEY-----",
                "no base64",
            ),
        ] {
            fs::write(&path, text).unwrap();
            for said in [read_key(&path).map(drop), read_chain(&path).map(drop)] {
                let said = said.unwrap_err();
                assert!(said.contains(why) || said.contains("holds no"), "{said}");
                // As text, and as the numbers of its bytes.
                assert!(
                    !said.contains("SECRET") && !said.contains("83, 69, 67"),
                    "{said}"
                );
            }
        }
    }
}
