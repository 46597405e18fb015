//! The OCI layout of one repository on disk.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::image::digest::Digest;
use crate::image::manifest::{MAX_MANIFEST, Manifest};
use crate::image::reference::{Repository, Tag};

use super::index::Index;
use super::token;

pub(in crate::serve) struct Layout {
    repository: Repository,
    dir: PathBuf,
    /// Held while the index is read to be written again.
    lock: Arc<Mutex<()>>,
    durable: bool,
}

const TEMPORARY: &str = ".new-";

impl Layout {
    pub(super) fn new(
        repository: Repository,
        dir: PathBuf,
        lock: Arc<Mutex<()>>,
        durable: bool,
    ) -> Self {
        Self {
            repository,
            dir,
            lock,
            durable,
        }
    }

    pub(in crate::serve) fn exists(&self) -> bool {
        self.dir.join("index.json").is_file()
    }

    pub(super) fn make(&self) -> io::Result<()> {
        if self.exists() {
            return Ok(());
        }
        let _guard = self.guard();
        if self.exists() {
            return Ok(());
        }
        fs::create_dir_all(self.dir.join("blobs/sha256"))?;
        self.write(
            &self.dir.join("oci-layout"),
            br#"{"imageLayoutVersion":"1.0.0"}"#,
        )?;
        self.write_index(&Index::new())
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
        Ok(self.read_index()?.tags().collect())
    }

    pub(in crate::serve) fn tagged(&self, tag: &Tag) -> io::Result<Option<Manifest>> {
        let index = self.read_index()?;
        let Some(entry) = index.tag(tag) else {
            return Ok(None);
        };
        self.read_manifest(&entry.digest)
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
        let is_known = self.manifest_mark(digest).is_file() || self.read_index()?.names(digest);
        Ok(is_known && self.has_blob(digest))
    }

    /// Stores it, with a tag or without.
    pub(in crate::serve) fn put(&self, manifest: &Manifest, tag: Option<&Tag>) -> io::Result<()> {
        let digest = manifest.digest();
        let _guard = self.guard();
        let blob = self.make_blob_dir(digest)?;
        self.write(&blob, manifest.bytes())?;
        if let Some(subject) = manifest.subject() {
            mark(&self.referrer_mark(&subject.digest, digest))?;
        }
        mark(&self.manifest_mark(digest))?;
        if tag.is_none() && manifest.subject().is_none() {
            return Ok(());
        }
        let mut index = self.read_index()?;
        match tag {
            Some(tag) => {
                let before = index.set(&self.repository, tag, manifest);
                self.keep_referrer(&mut index, before.as_ref())?;
            }
            None => index.keep(manifest),
        }
        self.write_index(&index)
    }

    /// Takes the tag away and leaves its manifest; false when there is no such tag.
    pub(in crate::serve) fn untag(&self, tag: &Tag) -> io::Result<bool> {
        let _guard = self.guard();
        let mut index = self.read_index()?;
        let before = index.untag(tag);
        if before.is_none() {
            return Ok(false);
        }
        self.keep_referrer(&mut index, before.as_ref())?;
        self.write_index(&index)?;
        Ok(true)
    }

    /// Removes the manifest with all its tags; false when there is none.
    pub(in crate::serve) fn delete(&self, digest: &Digest) -> io::Result<bool> {
        let _guard = self.guard();
        let Some(manifest) = self.manifest(digest)? else {
            return Ok(false);
        };
        let mut index = self.read_index()?;
        if index.names(digest) {
            index.remove(digest);
            self.write_index(&index)?;
        }
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

    /// Keeps an entry for what has just lost a tag, if it refers to a subject.
    fn keep_referrer(&self, index: &mut Index, digest: Option<&Digest>) -> io::Result<()> {
        let Some(digest) = digest else {
            return Ok(());
        };
        let manifest = self.read_manifest(digest)?;
        if let Some(manifest) = manifest.filter(|m| m.subject().is_some()) {
            index.keep(&manifest);
        }
        // It stays a manifest, also when another tool had written the entry.
        mark(&self.manifest_mark(digest))
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

    fn read_index(&self) -> io::Result<Index> {
        let path = self.dir.join("index.json");
        match absent_as_none(fs::read(&path))? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| damaged(&path, &error)),
            None => Ok(Index::new()),
        }
    }

    fn write_index(&self, index: &Index) -> io::Result<()> {
        self.write(&self.dir.join("index.json"), &serde_json::to_vec(index)?)
    }

    /// All of `bytes` under that name, or nothing.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.place(path, |file| file.write_all(bytes))
    }

    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut source = File::open(from)?;
        self.place(to, |file| io::copy(&mut source, file).map(drop))
    }

    fn place(&self, path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
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
            .and_then(|()| fs::rename(&temporary, path));
        if filled.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        filled
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

    fn guard(&self) -> std::sync::MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
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

fn damaged(path: &Path, why: &dyn std::fmt::Display) -> io::Error {
    let sentence = format!("{} {why}", path.display());
    io::Error::new(io::ErrorKind::InvalidData, sentence)
}
