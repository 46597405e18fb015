//! The files themselves: read with suspicion, replaced whole.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::ops::RangeInclusive;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::push::cache::VERSION;
use crate::push::private::{self, Fault};
use crate::registry::clock::Stop;

/// Held by whoever reads a file in order to replace it.
const LOCK: &str = "cache.lock";
/// Between two looks whether the lock is free.
const LOOK: Duration = Duration::from_millis(5);
/// Whoever holds it is done within milliseconds, or hangs: so many looks, that is 300 ms, while it stays in
/// one hand. Where the machine is so busy that each look is late that hand is slow, too.
const LOOKS_AT_ONE: u32 = 60;
/// However many come before us.
const MOST_LOOKS: u32 = 600;
/// What is read of one, in bytes: more than any has.
pub(super) const MOST: u64 = 4 << 20;

/// What a file holds.
pub(super) trait Document: Default + Serialize + DeserializeOwned {
    const MOST_ENTRIES: usize;
    const MOST_BYTES: usize;

    fn entries(&self) -> usize;

    /// When each entry was used, in seconds since 1970.
    fn uses(&self) -> Vec<u64>;

    /// The registries it speaks of by name.
    fn hosts(&self) -> Vec<String>;

    /// Leaves what was used then.
    fn keep_used(&mut self, times: &RangeInclusive<u64>);

    /// Leaves `most` entries, those that were used last.
    fn keep(&mut self, most: usize);
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

pub(super) fn read<D: Document>(folder: &Path, name: &str) -> Read<D> {
    let path = folder.join(name);
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

/// The turn of one process at the files of a folder: the lock is waited for once, however many files change.
pub(crate) struct Turn<'a> {
    folder: &'a Path,
    stop: Option<&'a Stop>,
    lock: Option<File>,
    /// It did not come.
    over: bool,
}

impl<'a> Turn<'a> {
    /// Takes no lock before there is something to change.
    pub(crate) fn at(folder: &'a Path) -> Self {
        Self {
            folder,
            stop: None,
            lock: None,
            over: false,
        }
    }

    /// Does not wait beyond `stop`.
    pub(crate) fn until(self, stop: &'a Stop) -> Self {
        let stop = Some(stop);
        Self { stop, ..self }
    }

    pub(super) fn folder(&self) -> &'a Path {
        self.folder
    }

    /// Reads a file again, changes it and puts the outcome in its place. `lasting`: it survives a loss of power
    /// for certain.
    pub(super) fn update<D: Document>(
        &mut self,
        name: &str,
        lasting: bool,
        change: impl FnOnce(&mut D),
    ) -> io::Result<()> {
        self.begin()?;
        let mut document: D = match read(self.folder, name) {
            Read::Whole(document) => document,
            Read::Nothing | Read::Bad(_) => D::default(),
            Read::Later(why) => return Err(io::Error::other(why)),
        };
        change(&mut document);
        write(self.folder, name, &within_bounds(&mut document)?, lasting)
    }

    /// Waits for the lock.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        if self.over {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if self.lock.is_none() {
            self.over = true;
            private::create_folder(self.folder)?;
            let path = self.folder.join(LOCK);
            let lock = private::open(OpenOptions::new().create(true).write(true), &path)?;
            self.acquire(&lock)?;
            self.lock = Some(lock);
            self.over = false;
        }
        Ok(())
    }

    fn acquire(&self, lock: &File) -> io::Result<()> {
        let (mut hand, mut looks_at_one) = (None, 0);
        for _ in 0..MOST_LOOKS {
            match lock.try_lock() {
                Ok(()) => {
                    // Those who wait see by it that it goes from hand to hand; no harm where they do not.
                    let _ = lock.set_modified(SystemTime::now());
                    return Ok(());
                }
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => {}
            }
            let taken = lock.metadata()?.modified().ok();
            let is_same = std::mem::replace(&mut hand, taken) == taken;
            looks_at_one = if is_same { looks_at_one + 1 } else { 0 };
            if looks_at_one > LOOKS_AT_ONE {
                break;
            }
            self.pause()?;
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    fn pause(&self) -> io::Result<()> {
        match self.stop {
            Some(stop) if stop.wait(LOOK) => Err(io::ErrorKind::Interrupted.into()),
            Some(_) => Ok(()),
            None => {
                thread::sleep(LOOK);
                Ok(())
            }
        }
    }
}

/// The text of what may be kept of `document`.
pub(super) fn within_bounds<D: Document>(document: &mut D) -> io::Result<Vec<u8>> {
    if document.entries() > D::MOST_ENTRIES {
        document.keep(D::MOST_ENTRIES);
    }
    loop {
        let text = serde_json::to_vec(document)?;
        let entries = document.entries();
        if text.len() <= D::MOST_BYTES || entries == 0 {
            return Ok(text);
        }
        document.keep((entries * D::MOST_BYTES / text.len()).min(entries - 1));
    }
}

pub(super) fn write(folder: &Path, name: &str, text: &[u8], lasting: bool) -> io::Result<()> {
    let (beside, mut file) = private::create_beside(folder, name)?;
    let written = file
        .write_all(text)
        .and_then(|()| if lasting { file.sync_all() } else { Ok(()) })
        .and_then(|()| fs::rename(&beside, folder.join(name)));
    if written.is_err() {
        // The first error is the one to tell.
        _ = fs::remove_file(&beside);
    }
    written
}
