//! Open uploads on disk, for the next run to go on with: one small file for each registry, repository
//! and blob, held by a lock as long as a process is at it.
//!
//! Nothing here is needed: what is not there, is not to be trusted or cannot be written costs bytes that
//! are sent again, never a push. What is written is not waited for to reach the disk: that of a large blob
//! gets there while the blob is sent, and of the others a machine that loses power forgets what was opened
//! in the last half minute or so.
//!
//! The lock on a file is its owner's, and whoever gets it looks whether the file still has its name. A file
//! without anything in it is none. A process that ends in whatever way lets go of its locks.
//!
//! What a file costs is worth it for what takes longer to be sent: see [`worth`].

mod document;
#[cfg(test)]
pub(super) mod soak;
mod worth;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::push::private;
use crate::push::state::document::{Document, Read};
pub(crate) use crate::push::state::worth::Worth;
use crate::registry::sessions::{Claim, Kept, Remembered, Sessions, Upload};

/// distribution purges sessions after so long, and others sooner:
/// <https://distribution.github.io/distribution/about/configuration/#uploadpurging>
const EXPIRES: Duration = Duration::from_secs(7 * 24 * 3600);
/// Files of blobs of so many bytes, or of nobody knows how many, are forced to the disk.
const LASTING: u64 = 16 << 20;
/// Longer than this nobody waits for what is left over to be looked through.
const SWEEP: Duration = Duration::from_millis(20);
/// Files that took the place of the one whose lock was got, one after the other.
const MOST_REPLACED: usize = 16;

/// The folder, and what is wrong with what is in it.
#[derive(Clone, Debug)]
pub(crate) struct State(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    /// Others may put there what they like.
    shared: bool,
    made: OnceLock<bool>,
    complaint: Mutex<Option<String>>,
    worth: Worth,
}

/// One upload that has no file, because it is over in a moment.
struct Spared {
    state: State,
    size: u64,
    begun: Instant,
}

/// One upload whose lock is held.
struct Held {
    state: State,
    path: PathBuf,
    document: Document,
    left: Option<Remembered>,
    /// Holds the lock.
    lock: File,
    begun: Instant,
}

impl State {
    /// In `folder`, which need not be there. What is too old to be of use is removed.
    pub(crate) fn open(folder: &Path, worth: Worth) -> Self {
        let folder = folder.join("uploads");
        let shared = fs::metadata(&folder).is_ok_and(|metadata| !private::is_ours(&metadata));
        let state = Self(Arc::new(Inner {
            shared,
            made: OnceLock::new(),
            complaint: Mutex::default(),
            worth,
            folder,
        }));
        if shared {
            let place = state.0.folder.display();
            state.complain(format!("{place} is ignored: others can write to it"));
        } else {
            state.sweep();
        }
        state
    }

    /// Makes its folder, where there is none. Of one that others can write to there is a complaint.
    pub(crate) fn make_folder(&self) -> io::Result<()> {
        match self.0.shared {
            true => Ok(()),
            false => private::claim_folder(&self.0.folder),
        }
    }

    /// What was not to be used, in one sentence for all of it.
    pub(crate) fn complaint(&self) -> Option<String> {
        let complaint = self.0.complaint.lock();
        complaint.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first one counts.
    fn complain(&self, sentence: String) {
        let complaint = self.0.complaint.lock();
        let mut complaint = complaint.unwrap_or_else(PoisonError::into_inner);
        complaint.get_or_insert(sentence);
    }

    fn path(&self, document: &Document) -> PathBuf {
        self.0.folder.join(document.name())
    }

    /// Removes what was left so long ago that no registry goes on with it.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.0.folder) else {
            return;
        };
        let (begun, now) = (Instant::now(), SystemTime::now());
        for entry in entries.flatten() {
            if begun.elapsed() > SWEEP {
                return;
            }
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            let changed = metadata.modified();
            if metadata.is_file() && changed.is_ok_and(|changed| is_over(changed, now)) {
                remove_unheld(&entry.path());
            }
        }
    }

    /// Takes the lock of the file that has the name `path`.
    fn take(&self, path: &Path) -> Result<Option<File>, Refused> {
        for _ in 0..MOST_REPLACED {
            // A pipe in its place would be waited for when it is opened.
            match fs::symlink_metadata(path) {
                Ok(metadata) if metadata.is_file() => {}
                Ok(_) => return Err(io::Error::other("it is no file").into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error.into()),
            }
            let file = match OpenOptions::new().read(true).write(true).open(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            match file.try_lock() {
                Ok(()) if is_named(&file, path) => return Ok(Some(file)),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(Refused::Busy),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        Err(Refused::Busy)
    }

    fn hold(&self, document: Document, left: Option<Remembered>, file: File) -> Claim {
        Claim::Ours(Box::new(Held {
            state: self.clone(),
            path: self.path(&document),
            document,
            left,
            lock: file,
            begun: Instant::now(),
        }))
    }

    /// Writes `document` to a new file, which has the lock from before there is anything in it.
    fn write(&self, document: &Document, create: Create) -> Result<(PathBuf, File), Refused> {
        let folder = &self.0.folder;
        let made = self.0.made.get_or_init(|| {
            let made = private::create_folder(folder);
            if let Err(error) = &made {
                let folder = folder.display();
                log::debug!("uploads are not remembered in {folder}: {error}");
            }
            made.is_ok()
        });
        if !made {
            return Err(io::Error::from(io::ErrorKind::NotFound).into());
        }
        let (path, mut file) = match create {
            Create::Itself => {
                let path = self.path(document);
                let options = &mut OpenOptions::new();
                let file = private::open(options.create_new(true).write(true), &path)?;
                (path, file)
            }
            Create::Beside => private::create_beside(folder, &document.name())?,
        };
        let written = match file.try_lock() {
            Ok(()) => file.write_all(&document.to_bytes()),
            // Whoever was quicker holds a file with nothing in it, and removes it.
            Err(TryLockError::WouldBlock) => return Err(Refused::Busy),
            Err(TryLockError::Error(error)) => Err(error),
        };
        if let Err(error) = written {
            discard(&path);
            return Err(error.into());
        }
        Ok((path, file))
    }

    /// Has a file reach the disk beside what else is done. The thread has it open a second time: the first
    /// has the lock, and is not held for as long as a busy disk takes.
    fn force(&self, path: PathBuf) {
        let folder = self.0.folder.clone();
        let force = move || {
            let forced = [&path, &folder].map(|path| File::open(path)?.sync_all());
            if let Some(error) = forced.into_iter().find_map(Result::err) {
                log::debug!(
                    "{} may not outlive a loss of power: {error}",
                    path.display()
                );
            }
        };
        let thread = thread::Builder::new().name("force".to_owned()).spawn(force);
        if let Err(error) = thread {
            log::debug!("no thread to force a file to the disk: {error}");
        }
    }

    fn not_written(&self, error: &io::Error) -> Claim {
        let folder = self.0.folder.display();
        log::debug!("an upload is not remembered in {folder}: {error}");
        Claim::Never
    }
}

impl Sessions for State {
    fn claim(&self, upload: &Upload<'_>) -> Claim {
        if self.0.shared {
            return Claim::Never;
        }
        let document = Document::of(upload);
        let path = self.path(&document);
        let file = match self.take(&path) {
            Ok(Some(file)) => file,
            Ok(None) => return Claim::Nothing,
            Err(Refused::Busy) => return Claim::Busy,
            Err(Refused::Io(error)) => return self.not_written(&error),
        };
        match document.read(&file) {
            Read::Left(left) => self.hold(document, Some(left), file),
            Read::Nothing => self.hold(document, None, file),
            Read::Later => {
                let path = path.display();
                self.complain(format!(
                    "{path} is ignored: a later version of hoist has written it"
                ));
                Claim::Never
            }
            Read::Bad(why) => {
                self.complain(format!("{} is ignored: {why}", path.display()));
                self.hold(document, None, file)
            }
        }
    }

    fn keep(&self, upload: &Upload<'_>, session: &Remembered, opened_in: Duration) -> Claim {
        if self.0.shared {
            return Claim::Never;
        }
        if let Some(size) = upload
            .size
            .filter(|size| self.0.worth.spares(*size, opened_in))
        {
            return Claim::Ours(Box::new(Spared {
                state: self.clone(),
                size,
                begun: Instant::now(),
            }));
        }
        let mut document = Document::of(upload);
        document.take(session, SystemTime::now());
        match self.write(&document, Create::Itself) {
            Ok((path, file)) => {
                if upload.size.is_none_or(|size| size >= LASTING) {
                    self.force(path);
                }
                self.hold(document, None, file)
            }
            Err(Refused::Busy) => Claim::Busy,
            Err(Refused::Io(error)) => self.not_written(&error),
        }
    }
}

impl Kept for Held {
    fn left(&self) -> Option<&Remembered> {
        self.left.as_ref()
    }

    fn replace(&mut self, session: &Remembered) -> bool {
        self.document.take(session, SystemTime::now());
        match self.rewrite() {
            Ok(lock) => {
                self.lock = lock;
                true
            }
            Err(Refused::Busy) => false,
            Err(Refused::Io(error)) => {
                self.state.not_written(&error);
                discard(&self.path);
                false
            }
        }
    }

    fn forget(self: Box<Self>) -> bool {
        discard(&self.path)
    }

    fn arrived(self: Box<Self>) {
        if let (Some(size), None) = (self.document.size(), &self.left) {
            self.state.0.worth.came(size, self.begun.elapsed());
        }
        discard(&self.path);
    }
}

impl Kept for Spared {
    fn left(&self) -> Option<&Remembered> {
        None
    }

    fn replace(&mut self, _: &Remembered) -> bool {
        true
    }

    fn forget(self: Box<Self>) -> bool {
        true
    }

    fn arrived(self: Box<Self>) {
        self.state.0.worth.came(self.size, self.begun.elapsed());
    }
}

impl Drop for Spared {
    fn drop(&mut self) {
        self.state.0.worth.over(self.size);
    }
}

impl Held {
    /// Puts a file in the place of this one: nobody finds less than a whole one there.
    fn rewrite(&self) -> Result<File, Refused> {
        let (beside, file) = self.state.write(&self.document, Create::Beside)?;
        let renamed = fs::rename(&beside, &self.path);
        if renamed.is_err() {
            discard(&beside);
        }
        Ok(renamed.map(|()| file)?)
    }
}

/// Where a file is made.
#[derive(Clone, Copy)]
enum Create {
    /// Where there is none.
    Itself,
    /// To take the place of another one.
    Beside,
}

/// Why the lock of a file was not got.
enum Refused {
    Busy,
    Io(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::WouldBlock => Self::Busy,
            _ => Self::Io(error),
        }
    }
}

/// A clock that was wrong when it was written must not keep a file for ever.
fn is_over(changed: SystemTime, now: SystemTime) -> bool {
    let apart = now
        .duration_since(changed)
        .unwrap_or_else(|error| error.duration());
    apart > EXPIRES
}

fn remove_unheld(path: &Path) {
    let Ok(file) = OpenOptions::new().read(true).write(true).open(path) else {
        return;
    };
    if file.try_lock().is_ok() && is_named(&file, path) {
        discard(path);
    }
}

/// False when it stays.
fn discard(path: &Path) -> bool {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            log::debug!("{} stays: {error}", path.display());
            false
        }
        _ => true,
    }
}

/// Whether `file` is what has the name `path`.
#[cfg(unix)]
fn is_named(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let same = |one: fs::Metadata, other: fs::Metadata| {
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    };
    file.metadata()
        .and_then(|one| Ok(same(one, fs::symlink_metadata(path)?)))
        .unwrap_or(false)
}

#[cfg(not(unix))]
fn is_named(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests;
