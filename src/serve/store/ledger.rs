//! The `index.json` of one repository, kept parsed for as long as the file is the one it was read from.
//!
//! Changes that come while the file is being written are written together after that, so that the
//! tags of a repository do not cost a file of all of them each.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::index::Index;
use super::layout::{absent_as_none, damaged};

#[derive(Default)]
pub(super) struct Ledger {
    state: Mutex<State>,
    /// Held while the file is written. Never asked for while `state` is held.
    writing: Mutex<()>,
}

#[derive(Default)]
struct State {
    known: Option<Known>,
    /// Changes so far; the number of the last one.
    changes: u64,
    /// The last one that the file has.
    written: u64,
    /// The last one that will never be written, the disk having failed.
    lost: u64,
}

struct Known {
    index: Index,
    /// Of the file with all changes but those that wait to be written; `None` when there is no file.
    stamp: Option<Stamp>,
}

/// What tells one `index.json` from another that took its place.
#[derive(PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Ledger {
    /// What `look` sees in the index that is at `path`, an empty one where there is none.
    pub(super) fn read<T>(&self, path: &Path, look: impl FnOnce(&Index) -> T) -> io::Result<T> {
        let mut state = lock(&self.state);
        Ok(look(&state.current(path)?.index))
    }

    /// Changes the index and returns when the change is on the disk, brought there by this `write` or by
    /// another's. `change` says whether it did anything; when it fails it has not.
    pub(super) fn change<T>(
        &self,
        path: &Path,
        change: impl FnOnce(&mut Index) -> io::Result<Option<T>>,
        write: impl FnOnce(&[u8]) -> io::Result<Stamp>,
    ) -> io::Result<Option<T>> {
        let mut state = lock(&self.state);
        let Some(done) = change(&mut state.current(path)?.index)? else {
            return Ok(None);
        };
        state.changes += 1;
        let mine = state.changes;
        drop(state);
        self.write(mine, write).map(|()| Some(done))
    }

    /// Returns when the change `mine` is on the disk.
    fn write(&self, mine: u64, write: impl FnOnce(&[u8]) -> io::Result<Stamp>) -> io::Result<()> {
        let _writing = lock(&self.writing);
        let waiting = lock(&self.state).to_be_written(mine)?;
        let Some((bytes, last)) = waiting else {
            return Ok(());
        };
        let written = write(&bytes);
        let mut state = lock(&self.state);
        match written {
            Ok(stamp) => {
                state.written = last;
                if let Some(known) = &mut state.known {
                    known.stamp = Some(stamp);
                }
                Ok(())
            }
            Err(error) => {
                // What is in memory is not what is on the disk, and will not be.
                state.known = None;
                state.lost = state.changes;
                Err(error)
            }
        }
    }
}

impl State {
    /// The index as it is, read again when the file is another one and nothing waits to be written.
    fn current(&mut self, path: &Path) -> io::Result<&mut Known> {
        let file = absent_as_none(File::open(path))?;
        let stamp = match &file {
            Some(file) => Some(Stamp::from(&file.metadata()?)),
            None => None,
        };
        let waiting = self.changes > self.written.max(self.lost);
        let known = self.known.take();
        let known = match known.filter(|known| waiting || known.stamp == stamp) {
            Some(known) => known,
            None => Known {
                index: file.map_or_else(|| Ok(Index::new()), |file| parse(file, path))?,
                stamp,
            },
        };
        Ok(self.known.insert(known))
    }

    /// The file with all changes so far, and the number of the last one; `None` when it has `mine`.
    fn to_be_written(&self, mine: u64) -> io::Result<Option<(Vec<u8>, u64)>> {
        if self.written >= mine {
            return Ok(None);
        }
        match self.known.as_ref().filter(|_| self.lost < mine) {
            Some(known) => Ok(Some((known.index.to_bytes()?, self.changes))),
            None => Err(io::Error::other("index.json could not be written")),
        }
    }
}

fn parse(mut file: File, path: &Path) -> io::Result<Index> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Index::parse(&bytes).map_err(|error| damaged(path, &error))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::image::manifest::Manifest;
    use crate::image::reference::{Repository, Tag};

    fn set(index: &mut Index, tag: &str) -> io::Result<Option<()>> {
        let bytes = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
        let manifest = Manifest::parse(bytes.to_vec(), None, None).unwrap();
        let repository = Repository::parse("a").unwrap();
        index.set(&repository, &Tag::parse(tag).unwrap(), &manifest);
        Ok(Some(()))
    }

    /// Writes and says how many tags there are then.
    fn write(path: &Path, bytes: &[u8]) -> (io::Result<Stamp>, usize) {
        std::fs::write(path, bytes).unwrap();
        let stamp = Stamp::from(&path.metadata().unwrap());
        (Ok(stamp), Index::parse(bytes).unwrap().tags().count())
    }

    #[test]
    fn changes_that_come_during_a_write_are_written_together() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.json");
        let ledger = Ledger::default();
        let (tell, told) = channel();
        std::thread::scope(|scope| {
            let first = ledger.change(
                &path,
                |index| set(index, "first"),
                |bytes| {
                    for number in 0..4 {
                        let (ledger, path, tell) = (&ledger, &path, tell.clone());
                        scope.spawn(move || {
                            let change = |index: &mut Index| set(index, &format!("more{number}"));
                            let written = ledger.change(path, change, |all| {
                                let (stamp, tags) = write(path, all);
                                tell.send(tags).unwrap();
                                stamp
                            });
                            assert!(written.unwrap().is_some());
                        });
                    }
                    while ledger.read(&path, |index| index.tags().count()).unwrap() < 5 {
                        std::thread::yield_now();
                    }
                    let (stamp, tags) = write(&path, bytes);
                    tell.send(tags).unwrap();
                    stamp
                },
            );
            assert!(first.unwrap().is_some());
        });
        drop(tell);
        assert_eq!(told.iter().collect::<Vec<_>>(), [1, 5]);
        assert_eq!(ledger.read(&path, |index| index.tags().count()).unwrap(), 5);
    }

    #[test]
    fn a_write_that_fails_loses_the_changes_that_waited_for_it_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index.json");
        let ledger = Ledger::default();
        let change = |tag: &'static str| move |index: &mut Index| set(index, tag);
        std::thread::scope(|scope| {
            let failed = ledger.change(&path, change("first"), |_| {
                scope.spawn(|| {
                    let other = ledger.change(&path, change("other"), |_| unreachable!());
                    assert!(other.is_err());
                });
                while ledger.read(&path, |index| index.tags().count()).unwrap() < 2 {
                    std::thread::yield_now();
                }
                Err(io::ErrorKind::StorageFull.into())
            });
            assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
        });
        let tags = || ledger.read(&path, |index| index.tags().count()).unwrap();
        assert_eq!(tags(), 0);
        let later = ledger.change(&path, change("later"), |bytes| write(&path, bytes).0);
        assert!(later.unwrap().is_some());
        assert_eq!(tags(), 1);
    }
}
