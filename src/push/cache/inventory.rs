//! What lies in the folder of the cache: shown, kept within bounds, pruned, cleared. Nothing but the cache's own
//! files is ever touched.

use std::cmp::Reverse;
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::push::cache::file::{self, Turn};
use crate::push::cache::{blobs, layers, seconds};

/// Bytes of all files together.
pub(crate) const MOST_BYTES: u64 = 4 << 20;
/// Of those about the blobs of registries, one for each.
const MOST_BYTES_OF_BLOBS: u64 = 2 << 20;
const MOST_FILES_OF_BLOBS: usize = 50;
/// How far the clock may have been ahead when an entry was used, in seconds.
const AHEAD: u64 = 24 * 3600;

/// What a file is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    TokenServices,
    Layers,
    Blobs,
}

/// One file.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The registries it speaks of.
    pub(crate) hosts: Vec<String>,
    pub(crate) entries: usize,
    pub(crate) bytes: u64,
    /// When its entries were used, in seconds since 1970.
    pub(crate) oldest: Option<u64>,
    pub(crate) newest: Option<u64>,
    /// Why it is not used.
    pub(crate) problem: Option<String>,
}

/// What is not there any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Freed {
    pub(crate) files: usize,
    pub(crate) entries: usize,
    pub(crate) bytes: u64,
}

/// The files in `folder`, by kind; none where it is not there.
///
/// # Errors
/// A folder that cannot be read.
pub(crate) fn show(folder: &Path) -> io::Result<Vec<Entry>> {
    let files = found(folder)?.into_iter();
    let files = files.filter_map(|file| Some((file.kind?, file)));
    let entry = |(kind, file): (Kind, Found)| match kind {
        Kind::TokenServices => inspect::<super::Document>(folder, kind, file),
        Kind::Layers => inspect::<layers::Document>(folder, kind, file),
        Kind::Blobs => inspect::<blobs::Document>(folder, kind, file),
    };
    let mut entries: Vec<Entry> = files.map(entry).collect();
    entries.sort_by(|a, b| (a.kind, &a.hosts, &a.name).cmp(&(b.kind, &b.hosts, &b.name)));
    Ok(entries)
}

fn inspect<D: file::Document>(folder: &Path, kind: Kind, found: Found) -> Entry {
    let (document, _, problem) = file::read::<D>(folder, &found.name).known();
    let uses = document.uses();
    Entry {
        kind,
        hosts: document.hosts(),
        entries: uses.len(),
        bytes: found.bytes,
        oldest: uses.iter().min().copied(),
        newest: uses.iter().max().copied(),
        problem,
        name: found.name,
    }
}

/// Drops what was used last before `age`, what cannot be read, and what is over the bounds. What a later version has
/// written stays.
///
/// # Errors
/// A folder or file that cannot be changed, or another hoist that is at it for long.
pub(crate) fn prune(folder: &Path, age: Duration, now: SystemTime) -> io::Result<Freed> {
    let files = found(folder)?;
    let mut freed = Freed::default();
    if files.is_empty() {
        return Ok(freed);
    }
    let now = seconds(now);
    let times = now.saturating_sub(age.as_secs())..=now.saturating_add(AHEAD);
    let mut turn = Turn::at(folder);
    turn.begin()?;
    for found in files {
        match found.kind {
            Some(Kind::TokenServices) => {
                freed.take(prune_file::<super::Document>(folder, &found, &times)?);
            }
            Some(Kind::Layers) => {
                freed.take(prune_file::<layers::Document>(folder, &found, &times)?);
            }
            Some(Kind::Blobs) => {
                freed.take(prune_file::<blobs::Document>(folder, &found, &times)?);
            }
            None => {}
        }
    }
    freed.take(sweep(folder, None)?);
    Ok(freed)
}

fn prune_file<D: file::Document>(
    folder: &Path,
    found: &Found,
    times: &RangeInclusive<u64>,
) -> io::Result<Freed> {
    let mut document: D = match file::read(folder, &found.name) {
        file::Read::Whole(document) => document,
        file::Read::Later(_) => return Ok(Freed::default()),
        file::Read::Nothing | file::Read::Bad(_) => return found.remove(folder, 0),
    };
    let entries = document.entries();
    document.keep_used(times);
    let text = file::within_bounds(&mut document)?;
    if document.entries() == 0 {
        return found.remove(folder, entries);
    }
    if document.entries() == entries {
        return Ok(Freed::default());
    }
    file::write(folder, &found.name, &text, true)?;
    Ok(Freed {
        files: 0,
        entries: entries - document.entries(),
        bytes: found.bytes.saturating_sub(text.len() as u64),
    })
}

/// Removes all files, whoever has written them.
///
/// # Errors
/// A folder or file that cannot be changed, or another hoist that is at it for long.
pub(crate) fn clear(folder: &Path) -> io::Result<Freed> {
    let entries = show(folder)?;
    let files = found(folder)?;
    let mut freed = Freed::default();
    if files.is_empty() {
        return Ok(freed);
    }
    let mut turn = Turn::at(folder);
    turn.begin()?;
    for found in files {
        let known = entries.iter().find(|entry| entry.name == found.name);
        freed.take(found.remove(folder, known.map_or(0, |entry| entry.entries))?);
    }
    Ok(freed)
}

/// Removes what writers that were killed have left, and files about blobs that are over the bounds, those first that
/// were written longest ago; not `kept`. For who has the lock.
pub(super) fn sweep(folder: &Path, kept: Option<&str>) -> io::Result<Freed> {
    let mut freed = Freed::default();
    let (mut blobs, others): (Vec<Found>, Vec<Found>) =
        (found(folder)?.into_iter()).partition(|found| found.kind == Some(Kind::Blobs));
    for found in others.iter().filter(|found| found.kind.is_none()) {
        freed.take(found.remove(folder, 0)?);
    }
    let order = |found: &Found| (kept != Some(found.name.as_str()), Reverse(found.written));
    blobs.sort_by_key(order);
    let mut bytes = 0;
    for (number, found) in blobs.iter().enumerate() {
        bytes += found.bytes;
        if number >= MOST_FILES_OF_BLOBS || bytes > MOST_BYTES_OF_BLOBS {
            bytes -= found.bytes;
            freed.take(found.remove(folder, 0)?);
        }
    }
    Ok(freed)
}

impl Freed {
    fn take(&mut self, more: Self) {
        self.files += more.files;
        self.entries += more.entries;
        self.bytes += more.bytes;
    }
}

/// A file of the cache.
struct Found {
    name: String,
    /// None of what a writer has left half done.
    kind: Option<Kind>,
    bytes: u64,
    written: SystemTime,
}

impl Found {
    fn remove(&self, folder: &Path, entries: usize) -> io::Result<Freed> {
        match fs::remove_file(folder.join(&self.name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(Freed {
                files: 1,
                entries,
                bytes: self.bytes,
            }),
        }
    }
}

fn found(folder: &Path) -> io::Result<Vec<Found>> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut all = Vec::new();
    for entry in listed {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let kind = Kind::of(&name);
        let metadata = entry.metadata()?;
        if metadata.is_dir() || (kind.is_none() && !is_leftover(&name)) {
            continue;
        }
        all.push(Found {
            name,
            kind,
            bytes: metadata.len(),
            written: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        });
    }
    Ok(all)
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        match name {
            super::NAME => Some(Self::TokenServices),
            layers::NAME => Some(Self::Layers),
            _ => blobs::is_name(name).then_some(Self::Blobs),
        }
    }
}

/// `.NAME.PROCESS.ATTEMPT`: a file that was to take the place of another.
fn is_leftover(name: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts = name.strip_prefix('.').and_then(|rest| {
        let (rest, attempt) = rest.rsplit_once('.')?;
        let (of, process) = rest.rsplit_once('.')?;
        Some((of, number(attempt) && number(process)))
    });
    parts.is_some_and(|(of, is_numbered)| is_numbered && Kind::of(of).is_some())
}

#[cfg(test)]
mod tests;
