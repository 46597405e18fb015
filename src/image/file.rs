//! A file that is a source: read by position, open while somebody reads it and not otherwise, since a
//! folder may hold more archives than a process may have files open.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

pub(crate) struct SourceFile {
    path: PathBuf,
    stamp: Stamp,
    open: Mutex<Weak<File>>,
    /// Of a file that could not be opened again.
    held: Option<Arc<File>>,
}

/// What tells that a file is still the one that was indexed.
#[derive(PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl SourceFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.into(),
            stamp: Stamp::of(&std::fs::metadata(path)?),
            open: Mutex::default(),
            held: None,
        })
    }

    /// A file that has no path to open it by; `path` is for messages.
    pub(crate) fn held(path: &Path, file: File) -> io::Result<Self> {
        Ok(Self {
            path: path.into(),
            stamp: Stamp::of(&file.metadata()?),
            open: Mutex::default(),
            held: Some(Arc::new(file)),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn length(&self) -> u64 {
        self.stamp.length
    }

    /// The file, opened when nobody has it open.
    pub(crate) fn file(&self) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.upgrade() {
            return Ok(file);
        }
        let file = match &self.held {
            Some(file) => Arc::clone(file),
            None => Arc::new(File::open(&self.path)?),
        };
        if Stamp::of(&file.metadata()?) != self.stamp {
            return Err(io::Error::other(
                "the file was changed since it was looked into",
            ));
        }
        if self.held.is_none() {
            *open = Arc::downgrade(&file);
        }
        Ok(file)
    }

    pub(crate) fn at(&self, position: u64) -> io::Result<Positioned> {
        Ok(Positioned::new(self.file()?, position))
    }
}

/// Reads a shared file without moving its one cursor.
#[derive(Debug)]
pub struct Positioned {
    file: Arc<File>,
    position: u64,
}

impl Positioned {
    pub(crate) fn new(file: Arc<File>, position: u64) -> Self {
        Self { file, position }
    }

    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub fn position(&self) -> u64 {
        self.position
    }

    /// Another reader that stands at the same place.
    pub(crate) fn again(&self) -> Self {
        Self::new(Arc::clone(&self.file), self.position)
    }
}

impl Read for Positioned {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buf, self.position)?;
        self.position += n as u64;
        Ok(n)
    }
}
