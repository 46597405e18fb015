//! The folder: one OCI layout per repository, and the unfinished uploads beside them.
//!
//! ```text
//! DIR/a/b/_/oci-layout, index.json, blobs/sha256/…   the layout of a/b; `_` is no legal component
//! DIR/a/b/_/manifests/sha256/HEX                     empty: the blob of that digest is a manifest
//! DIR/a/b/_/referrers/sha256/HEX/sha256-HEX          empty: the second has the first as subject
//! DIR/_uploads/a/b/_/ID                              the bytes of an upload session
//! ```
//!
//! Nothing is kept in memory that the folder does not say, but for hash states and, for a moment, what is
//! about to be written. A file appears
//! under its name only when it is whole: it is written elsewhere and renamed. With `durable` its
//! data is forced to the disk before that, so that what was answered with 201 also survives a power
//! cut; the death of the process harms nothing either way.

mod index;
pub(super) mod layout;
mod ledger;
pub(super) mod sessions;
#[cfg(test)]
pub(super) mod soak;

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::image::digest::Digest;
use crate::image::reference::Repository;

use layout::{Layout, Shared};
use sessions::Sessions;

pub(super) struct Store {
    dir: PathBuf,
    durable: bool,
    /// Every repository that is there.
    layouts: Mutex<BTreeMap<Repository, Arc<Shared>>>,
    pub(super) sessions: Sessions,
    /// Held as long as this store lives, so that no other one writes the same indexes.
    _lock: File,
}

/// The component that no repository can have.
const LAYOUT: &str = "_";
const UPLOADS: &str = "_uploads";

/// The folder itself is what is locked: no file of ours lies among the layouts.
fn lock(dir: &Path) -> io::Result<File> {
    let folder = File::open(dir)?;
    match folder.try_lock() {
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            format!("{} is served by another registry", dir.display()),
        )),
        // Some network file systems have no locks; they are served all the same.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(folder),
    }
}

impl Store {
    pub(super) fn open(dir: &Path, durable: bool, upload_age: Duration) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let folder_lock = lock(dir)?;
        let mut layouts = BTreeMap::new();
        find_layouts(dir, "", &mut |repository| {
            layouts.insert(repository, Arc::default());
        })?;
        Ok(Self {
            dir: dir.to_path_buf(),
            durable,
            layouts: Mutex::new(layouts),
            sessions: Sessions::open(dir.join(UPLOADS), upload_age, durable),
            _lock: folder_lock,
        })
    }

    /// The reason why nothing can be stored, if there is one.
    pub(super) fn unwritable(&self) -> Option<io::Error> {
        let probe = self.dir.join(format!(".{}", token()));
        let written = File::create_new(&probe).and_then(|_| fs::remove_file(&probe));
        written.err()
    }

    /// The layout of a repository, be it there or not.
    pub(super) fn layout(&self, repository: &Repository) -> Layout {
        let known = self.layouts().get(repository).cloned();
        // Only what exists is remembered: asking for names must not fill memory.
        self.layout_with(repository, known.unwrap_or_default())
    }

    /// The layout of a repository, made when it is not there.
    pub(super) fn make_layout(&self, repository: &Repository) -> io::Result<Layout> {
        let shared = Arc::clone(self.layouts().entry(repository.clone()).or_default());
        let layout = self.layout_with(repository, shared);
        layout.make()?;
        Ok(layout)
    }

    /// The repositories that are there, in order.
    pub(super) fn repositories(&self) -> Vec<Repository> {
        let known: Vec<_> = self.layouts().keys().cloned().collect();
        let mut there = known;
        there.retain(|repository| self.layout(repository).exists());
        there
    }

    /// Any repository's layout that holds this blob.
    pub(super) fn holder_of(&self, digest: &Digest) -> Option<Layout> {
        let known: Vec<_> = self.layouts().keys().cloned().collect();
        let mut layouts = known.iter().map(|repository| self.layout(repository));
        layouts.find(|layout| layout.has_blob(digest))
    }

    fn layout_with(&self, repository: &Repository, shared: Arc<Shared>) -> Layout {
        let dir = self.dir.join(repository.as_str()).join(LAYOUT);
        Layout::new(repository.clone(), dir, shared, self.durable)
    }

    fn layouts(&self) -> MutexGuard<'_, BTreeMap<Repository, Arc<Shared>>> {
        self.layouts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Walks the folders that can be components of names. Links are not followed.
fn find_layouts(dir: &Path, name: &str, found: &mut dyn FnMut(Repository)) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let component = entry.file_name();
        let Some(component) = component.to_str().filter(|_| is_folder(&entry)) else {
            continue;
        };
        if component == LAYOUT {
            if let Ok(repository) = Repository::parse(name) {
                layout::remove_leftovers(&entry.path());
                found(repository);
            }
            continue;
        }
        let longer = match name {
            "" => component.to_string(),
            _ => format!("{name}/{component}"),
        };
        if Repository::parse(&longer).is_ok() {
            find_layouts(&entry.path(), &longer, found)?;
        }
    }
    Ok(())
}

fn is_folder(entry: &fs::DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir())
}

/// No room is left, of the disk or of what we may use of it.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// A new name nobody can guess: 32 hex digits. The keys come from the system's source of randomness.
fn token() -> String {
    let half = |salt: u64| {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(salt);
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(0), half(1))
}
