//! Upload sessions: a file each, named by the session, in a folder per repository.
//!
//! The file's length is how far the session got, so sessions survive a restart to the byte; only the
//! running hash is lost then, and is made again from the file.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::image::digest::{Algorithm, Digest, Hasher};
use crate::image::reference::Repository;

use super::layout::{Layout, absent_as_none};
use super::{LAYOUT, is_full, token};

pub(in crate::serve) struct Sessions {
    dir: PathBuf,
    /// A session that nobody touched for so long is removed.
    age: Duration,
    durable: bool,
    /// Of those that were touched since the start.
    states: Mutex<HashMap<PathBuf, Arc<Mutex<State>>>>,
    swept: Mutex<Option<Instant>>,
}

struct State {
    offset: u64,
    /// Of the bytes before `offset`, where it has seen them all.
    hasher: Option<(Algorithm, Hasher)>,
    /// Goes up with each request that writes; an older one that still has a connection is over.
    writer: u64,
    ended: bool,
}

pub(in crate::serve) struct Session<'a> {
    sessions: &'a Sessions,
    name: String,
    path: PathBuf,
    state: Arc<Mutex<State>>,
}

/// The right to append to a session, until the next one asks for it.
pub(in crate::serve) struct Writer<'a> {
    session: &'a Session<'a>,
    file: File,
    number: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::serve) enum Finished {
    Stored,
    /// The bytes have another digest; they and the session are gone.
    Mismatch,
    /// Another request has taken the session over.
    Superseded,
}

const SWEEP_EVERY: Duration = Duration::from_secs(3600);
const REHASH_BLOCK: usize = 128 << 10;

impl Sessions {
    pub(super) fn open(dir: PathBuf, age: Duration, durable: bool) -> Self {
        Self {
            dir,
            age,
            durable,
            states: Mutex::default(),
            swept: Mutex::default(),
        }
    }

    pub(in crate::serve) fn create(&self, repository: &Repository) -> io::Result<Session<'_>> {
        self.sweep();
        let dir = self.folder(repository);
        fs::create_dir_all(&dir)?;
        let name = token();
        let path = dir.join(&name);
        File::create_new(&path)?;
        Ok(self.session(name, path, 0))
    }

    /// None when there is no such session in this repository.
    pub(in crate::serve) fn find(
        &self,
        repository: &Repository,
        name: &str,
    ) -> io::Result<Option<Session<'_>>> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if name.len() != 32 || !name.bytes().all(hex) {
            return Ok(None);
        }
        let path = self.folder(repository).join(name);
        let found = absent_as_none(path.metadata())?;
        Ok(found.map(|found| self.session(name.to_string(), path, found.len())))
    }

    fn folder(&self, repository: &Repository) -> PathBuf {
        self.dir.join(repository.as_str()).join(LAYOUT)
    }

    fn session(&self, name: String, path: PathBuf, length: u64) -> Session<'_> {
        let new = || {
            Arc::new(Mutex::new(State {
                offset: length,
                hasher: None,
                writer: 0,
                ended: false,
            }))
        };
        let state = Arc::clone(self.states().entry(path.clone()).or_insert_with(new));
        Session {
            sessions: self,
            name,
            path,
            state,
        }
    }

    /// Removes what is too old; at most once an hour, by whoever opens a session then.
    fn sweep(&self) {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.is_some_and(|last| last.elapsed() < SWEEP_EVERY) {
            return;
        }
        *swept = Some(Instant::now());
        drop(swept);
        let now = SystemTime::now();
        self.sweep_folder(&self.dir, &|modified| {
            now.duration_since(modified).is_ok_and(|age| age > self.age)
        });
    }

    fn sweep_folder(&self, dir: &Path, is_old: &dyn Fn(SystemTime) -> bool) {
        let Ok(entries) = fs::read_dir(dir) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            match entry.metadata() {
                Ok(found) if found.is_dir() => self.sweep_folder(&path, is_old),
                Ok(found) if found.modified().is_ok_and(is_old) => {
                    if let Some(state) = self.states().remove(&path) {
                        lock(&state).ended = true;
                    }
                    let _ = fs::remove_file(path);
                }
                _ => {}
            }
        }
    }

    fn states(&self) -> MutexGuard<'_, HashMap<PathBuf, Arc<Mutex<State>>>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session<'_> {
    pub(in crate::serve) fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes it holds.
    pub(in crate::serve) fn offset(&self) -> u64 {
        lock(&self.state).offset
    }

    /// Takes the session over for writing when it stands where all of `expected` say; none otherwise.
    /// `algorithm` is the one the whole blob will be named by, where that is known.
    pub(in crate::serve) fn writer(
        &self,
        expected: &[u64],
        algorithm: Option<Algorithm>,
    ) -> io::Result<Option<Writer<'_>>> {
        let opened = OpenOptions::new().write(true).open(&self.path);
        let Some(file) = absent_as_none(opened)? else {
            return Ok(None);
        };
        let mut state = lock(&self.state);
        if state.ended || expected.iter().any(|offset| *offset != state.offset) {
            return Ok(None);
        }
        if state.offset == 0 {
            let algorithm = algorithm.unwrap_or(Algorithm::Sha256);
            state.hasher = Some((algorithm, Hasher::new(algorithm)));
        }
        state.writer += 1;
        Ok(Some(Writer {
            session: self,
            file,
            number: state.writer,
        }))
    }

    pub(in crate::serve) fn cancel(&self) -> io::Result<()> {
        self.end(&mut lock(&self.state))
    }

    fn end(&self, state: &mut State) -> io::Result<()> {
        state.ended = true;
        self.sessions.states().remove(&self.path);
        absent_as_none(fs::remove_file(&self.path)).map(drop)
    }

    /// The digest of everything written.
    fn digest(&self, state: &State, algorithm: Algorithm) -> io::Result<Digest> {
        if let Some((running, hasher)) = &state.hasher
            && *running == algorithm
        {
            return Ok(hasher.clone().finish());
        }
        let mut hasher = Hasher::new(algorithm);
        let mut file = File::open(&self.path)?.take(state.offset);
        let mut block = vec![0; REHASH_BLOCK];
        loop {
            match file.read(&mut block)? {
                0 => return Ok(hasher.finish()),
                count => hasher.update(&block[..count]),
            }
        }
    }
}

impl Writer<'_> {
    /// False when another request has taken over; nothing is written then.
    pub(in crate::serve) fn append(&self, bytes: &[u8]) -> io::Result<bool> {
        let mut state = lock(&self.session.state);
        if self.is_over(&state) {
            return Ok(false);
        }
        if let Err(error) = self.file.write_all_at(bytes, state.offset) {
            if is_full(&error) {
                // It would not get to its end, and another may with the room that it takes.
                _ = self.session.end(&mut state);
            }
            return Err(error);
        }
        state.offset += bytes.len() as u64;
        if let Some((_, hasher)) = &mut state.hasher {
            hasher.update(bytes);
        }
        Ok(true)
    }

    /// Ends the session: if its bytes have this digest, whose algorithm is a known one, they become a
    /// blob of the layout that is asked for then.
    pub(in crate::serve) fn finish(
        self,
        digest: &Digest,
        layout: impl FnOnce() -> io::Result<Layout>,
    ) -> io::Result<Finished> {
        let mut state = lock(&self.session.state);
        if self.is_over(&state) {
            return Ok(Finished::Superseded);
        }
        let found = match digest.algorithm() {
            Some(algorithm) => Some(self.session.digest(&state, algorithm)?),
            None => None,
        };
        if found.as_ref() != Some(digest) {
            self.session.end(&mut state)?;
            return Ok(Finished::Mismatch);
        }
        // A write that failed in the middle has left bytes behind the offset.
        if self.file.metadata()?.len() != state.offset {
            self.file.set_len(state.offset)?;
        }
        if self.session.sessions.durable {
            self.file.sync_data()?;
        }
        layout()?.adopt(&self.session.path, digest)?;
        self.session.end(&mut state)?;
        Ok(Finished::Stored)
    }

    fn is_over(&self, state: &State) -> bool {
        state.ended || state.writer != self.number
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
