//! The OCI layout of one repository on disk.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use crate::image::digest::Digest;
use crate::image::manifest::{MAX_MANIFEST, Manifest};
use crate::image::reference::{Repository, Tag};

use super::index::Index;
use super::ledger::{Ledger, Stamp};
use super::token;

pub(in crate::serve) struct Layout {
    repository: Repository,
    dir: PathBuf,
    shared: Arc<Shared>,
    durable: bool,
}

/// What all that work on one repository share.
#[derive(Default)]
pub(super) struct Shared {
    ledger: Ledger,
    /// Written to by those who make the layout or remove manifests; read by those who bring them.
    settled: RwLock<()>,
}

const TEMPORARY: &str = ".new-";

impl Layout {
    pub(super) fn new(
        repository: Repository,
        dir: PathBuf,
        shared: Arc<Shared>,
        durable: bool,
    ) -> Self {
        Self {
            repository,
            dir,
            shared,
            durable,
        }
    }

    pub(in crate::serve) fn exists(&self) -> bool {
        self.index_path().is_file()
    }

    pub(super) fn make(&self) -> io::Result<()> {
        if self.exists() {
            return Ok(());
        }
        let _alone = self
            .shared
            .settled
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if self.exists() {
            return Ok(());
        }
        fs::create_dir_all(self.dir.join("blobs/sha256"))?;
        self.write(
            &self.dir.join("oci-layout"),
            br#"{"imageLayoutVersion":"1.0.0"}"#,
        )?;
        let empty = Index::new().to_bytes()?;
        self.write(&self.index_path(), &empty).map(drop)
    }

    /// The open file of a blob and its length.
    pub(in crate::serve) fn blob(&self, digest: &Digest) -> io::Result<Option<(File, u64)>> {
        let Some(file) = absent_as_none(File::open(self.blob_path(digest)))? else {
            return Ok(None);
        };
        let length = file.metadata()?.len();
        Ok(Some((file, length)))
    }

    pub(in crate::serve) fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// Whether there was one.
    pub(in crate::serve) fn delete_blob(&self, digest: &Digest) -> io::Result<bool> {
        Ok(absent_as_none(fs::remove_file(self.blob_path(digest)))?.is_some())
    }

    /// Takes over a file whose bytes have this digest. A blob that was there before gives way: it has
    /// the same bytes, or ought to.
    pub(super) fn adopt(&self, file: &Path, digest: &Digest) -> io::Result<()> {
        let blob = self.make_blob_dir(digest)?;
        match fs::rename(file, &blob) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                self.copy(file, &blob)?;
                fs::remove_file(file)
            }
            result => result,
        }
    }

    /// Links the blob of another repository into this one; false when it is not there.
    pub(in crate::serve) fn mount(&self, from: &Self, digest: &Digest) -> io::Result<bool> {
        let source = from.blob_path(digest);
        if self.has_blob(digest) || !source.is_file() {
            return Ok(self.has_blob(digest));
        }
        let blob = self.make_blob_dir(digest)?;
        match fs::hard_link(&source, &blob) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            // Another device, a file system without links, a file with too many of them.
            Err(_) => self.copy(&source, &blob).map(|()| true),
            Ok(()) => Ok(true),
        }
    }

    /// All tags, in no order.
    pub(in crate::serve) fn tags(&self) -> io::Result<Vec<Tag>> {
        self.read_index(|index| index.tags().collect())
    }

    pub(in crate::serve) fn tagged(&self, tag: &Tag) -> io::Result<Option<Manifest>> {
        match self.read_index(|index| index.tag(tag).cloned())? {
            Some(digest) => self.read_manifest(&digest),
            None => Ok(None),
        }
    }

    /// The manifest of this digest; a blob that was never put as one is none.
    pub(in crate::serve) fn manifest(&self, digest: &Digest) -> io::Result<Option<Manifest>> {
        if !self.has_manifest(digest)? {
            return Ok(None);
        }
        self.read_manifest(digest)
    }

    pub(in crate::serve) fn has_manifest(&self, digest: &Digest) -> io::Result<bool> {
        // A layout that another tool has written holds no marks, only its index.
        let is_known =
            self.manifest_mark(digest).is_file() || self.read_index(|index| index.names(digest))?;
        Ok(is_known && self.has_blob(digest))
    }

    /// Stores it, with a tag or without.
    pub(in crate::serve) fn put(&self, manifest: &Manifest, tag: Option<&Tag>) -> io::Result<()> {
        let digest = manifest.digest();
        let _others = self
            .shared
            .settled
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let blob = self.make_blob_dir(digest)?;
        self.write(&blob, manifest.bytes())?;
        if let Some(subject) = manifest.subject() {
            mark(&self.referrer_mark(&subject.digest, digest))?;
        }
        mark(&self.manifest_mark(digest))?;
        if tag.is_none() && manifest.subject().is_none() {
            return Ok(());
        }
        let changed = self.change_index(|index| {
            match tag {
                Some(tag) => {
                    let before = index.tag(tag).filter(|before| *before != digest);
                    let loser = self.without_tag(before)?;
                    index.set(&self.repository, tag, manifest);
                    keep_referrer(index, loser.as_ref());
                }
                None => index.keep(manifest),
            }
            Ok(Some(()))
        });
        changed.map(drop)
    }

    /// Takes the tag away and leaves its manifest; false when there is no such tag.
    pub(in crate::serve) fn untag(&self, tag: &Tag) -> io::Result<bool> {
        let changed = self.change_index(|index| {
            let Some(before) = index.tag(tag) else {
                return Ok(None);
            };
            let loser = self.without_tag(Some(before))?;
            index.untag(tag);
            keep_referrer(index, loser.as_ref());
            Ok(Some(()))
        });
        Ok(changed?.is_some())
    }

    /// Removes the manifest with all its tags; false when there is none.
    pub(in crate::serve) fn delete(&self, digest: &Digest) -> io::Result<bool> {
        let _alone = self
            .shared
            .settled
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(manifest) = self.manifest(digest)? else {
            return Ok(false);
        };
        self.change_index(|index| {
            let is_there = index.names(digest);
            index.remove(digest);
            Ok(is_there.then_some(()))
        })?;
        absent_as_none(fs::remove_file(self.manifest_mark(digest)))?;
        if let Some(subject) = manifest.subject() {
            absent_as_none(fs::remove_file(self.referrer_mark(&subject.digest, digest)))?;
        }
        self.delete_blob(digest)?;
        Ok(true)
    }

    /// The manifests that have this subject, ordered by digest.
    pub(in crate::serve) fn referrers(&self, subject: &Digest) -> io::Result<Vec<Digest>> {
        let Some(entries) = absent_as_none(fs::read_dir(self.referrers_dir(subject)))? else {
            return Ok(Vec::new());
        };
        let mut digests = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let name = name.to_str().unwrap_or_default().replacen('-', ":", 1);
            digests.extend(Digest::parse(&name));
        }
        digests.sort();
        Ok(digests)
    }

    /// The manifest that is about to lose a tag. It stays a manifest, also when another tool had
    /// written its entry.
    fn without_tag(&self, digest: Option<&Digest>) -> io::Result<Option<Manifest>> {
        let Some(digest) = digest else {
            return Ok(None);
        };
        mark(&self.manifest_mark(digest))?;
        self.read_manifest(digest)
    }

    fn read_manifest(&self, digest: &Digest) -> io::Result<Option<Manifest>> {
        let Some(path) = Some(self.blob_path(digest)).filter(|path| path.is_file()) else {
            return Ok(None);
        };
        if path.metadata()?.len() > MAX_MANIFEST {
            return Err(damaged(&path, &"is larger than a manifest may be"));
        }
        let bytes = fs::read(&path)?;
        // Its media type was checked against the document when it came.
        let manifest = Manifest::parse(bytes, None, Some(digest));
        manifest.map(Some).map_err(|error| damaged(&path, &error))
    }

    fn index_path(&self) -> PathBuf {
        self.dir.join("index.json")
    }

    fn read_index<T>(&self, look: impl FnOnce(&Index) -> T) -> io::Result<T> {
        self.shared.ledger.read(&self.index_path(), look)
    }

    fn change_index<T>(
        &self,
        change: impl FnOnce(&mut Index) -> io::Result<Option<T>>,
    ) -> io::Result<Option<T>> {
        let path = self.index_path();
        let write = |bytes: &[u8]| self.write(&path, bytes);
        self.shared.ledger.change(&path, change, write)
    }

    /// All of `bytes` under that name, or nothing.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<Stamp> {
        self.place(path, |file| file.write_all(bytes))
    }

    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut source = File::open(from)?;
        self.place(to, |file| io::copy(&mut source, file).map(drop))
            .map(drop)
    }

    fn place(
        &self,
        path: &Path,
        fill: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<Stamp> {
        let temporary = self.dir.join(format!("{TEMPORARY}{}", token()));
        let mut file = File::create_new(&temporary)?;
        let filled = fill(&mut file)
            .and_then(|()| {
                if self.durable {
                    file.sync_data()
                } else {
                    Ok(())
                }
            })
            .and_then(|()| {
                fs::rename(&temporary, path)?;
                file.metadata()
            });
        if filled.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        filled.map(|metadata| Stamp::from(&metadata))
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        let dir = self.dir.join("blobs").join(digest.algorithm_name());
        dir.join(digest.encoded())
    }

    fn make_blob_dir(&self, digest: &Digest) -> io::Result<PathBuf> {
        let dir = self.dir.join("blobs").join(digest.algorithm_name());
        fs::create_dir_all(&dir)?;
        Ok(dir.join(digest.encoded()))
    }

    fn manifest_mark(&self, digest: &Digest) -> PathBuf {
        let dir = self.dir.join("manifests").join(digest.algorithm_name());
        dir.join(digest.encoded())
    }

    fn referrers_dir(&self, subject: &Digest) -> PathBuf {
        let dir = self.dir.join("referrers").join(subject.algorithm_name());
        dir.join(subject.encoded())
    }

    fn referrer_mark(&self, subject: &Digest, digest: &Digest) -> PathBuf {
        let name = digest.as_str().replacen(':', "-", 1);
        self.referrers_dir(subject).join(name)
    }
}

/// Keeps an entry for what has just lost a tag, if it refers to a subject.
fn keep_referrer(index: &mut Index, manifest: Option<&Manifest>) {
    if let Some(manifest) = manifest.filter(|m| m.subject().is_some()) {
        index.keep(manifest);
    }
}

/// Removes what a process that died had begun to write.
pub(super) fn remove_leftovers(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// An empty file.
fn mark(path: &Path) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    File::create(path).map(drop)
}

pub(super) fn absent_as_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn damaged(path: &Path, why: &dyn std::fmt::Display) -> io::Error {
    let sentence = format!("{} {why}", path.display());
    io::Error::new(io::ErrorKind::InvalidData, sentence)
}
