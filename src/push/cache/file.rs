//! The files themselves: read with suspicion, replaced whole.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::push::cache::VERSION;
use crate::push::private::{self, Fault};

/// Held by whoever reads a file in order to replace it.
const LOCK: &str = "cache.lock";
/// What holds the lock otherwise is done within milliseconds, or hangs.
const LOCK_PATIENCE: Duration = Duration::from_millis(300);
/// More than all that may be in one, in bytes.
pub(super) const MOST: u64 = 4 << 20;

/// What a file holds.
pub(super) trait Document: Default + Serialize + DeserializeOwned {
    /// The name of the file.
    const NAME: &'static str;
}

/// What was found.
pub(super) enum Read<D> {
    Whole(D),
    Nothing,
    /// Made by a later version of hoist: a sentence.
    Later(String),
    /// Damaged, or perhaps somebody else's: a sentence.
    Bad(String),
}

impl<D: Document> Read<D> {
    /// What is known, whether it is a later version's that is to be left alone, and a sentence when
    /// what is there is not to be used.
    pub(super) fn known(self) -> (D, bool, Option<String>) {
        match self {
            Self::Whole(known) => (known, false, None),
            Self::Nothing => (D::default(), false, None),
            Self::Later(why) => (D::default(), true, Some(why)),
            Self::Bad(why) => (D::default(), false, Some(why)),
        }
    }
}

pub(super) fn read<D: Document>(folder: &Path) -> Read<D> {
    let path = folder.join(D::NAME);
    let bad = |why: &str| Read::Bad(format!("{} is ignored: {why}", path.display()));
    let bytes = match private::read(&path, MOST) {
        Ok(Some(bytes)) => bytes,
        // Unreadable is as good as not there: another user's home, a folder in its place.
        Ok(None) | Err(Fault::Io) => return Read::Nothing,
        Err(Fault::Said(why)) => return bad(why),
    };
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    match serde_json::from_slice::<Versioned>(&bytes) {
        Ok(Versioned { version: VERSION }) => {}
        Ok(Versioned { version }) if version > VERSION => {
            let path = path.display();
            let why = format!("{path} is ignored: a later version of hoist has written it");
            return Read::Later(why);
        }
        _ => return bad("it is damaged"),
    }
    match serde_json::from_slice(&bytes) {
        Ok(document) => Read::Whole(document),
        Err(_) => bad("it is damaged"),
    }
}

/// Reads the file again, changes it and puts the outcome in its place.
pub(super) fn update<D: Document>(folder: &Path, change: impl FnOnce(&mut D)) -> io::Result<()> {
    private::create_folder(folder)?;
    let lock = private::open(
        OpenOptions::new().create(true).write(true),
        &folder.join(LOCK),
    )?;
    acquire(&lock)?;
    let mut document: D = match read(folder) {
        Read::Whole(document) => document,
        Read::Nothing | Read::Bad(_) => D::default(),
        Read::Later(why) => return Err(io::Error::other(why)),
    };
    change(&mut document);
    let text = serde_json::to_vec(&document)?;
    let (beside, mut file) = private::create_beside(folder, D::NAME)?;
    let written = file
        .write_all(&text)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, folder.join(D::NAME)));
    if written.is_err() {
        // The first error is the one to tell.
        _ = fs::remove_file(&beside);
    }
    written
}

fn acquire(lock: &File) -> io::Result<()> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
}
