//! Standard input as a source: a redirected file is read in place, all else is kept in a file without
//! a name until the push ends, since what is read must be readable again.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::image::archive;
use crate::image::error::{ErrorKind, ImageError};
use crate::image::file::SourceFile;
use crate::image::found::{Found, News, Watch};

/// The SOURCE that means standard input.
pub const NAME: &str = "-";

/// Read and written at once.
const BLOCK: usize = 256 << 10;

/// Bytes between two words about progress.
const NEWS: u64 = 16 << 20;

/// Names that are tried for the file before the folder is given up.
const TRIES: u32 = 100;

/// Standard input, which can be looked into once. Clones share it.
#[derive(Clone)]
pub struct StandardInput {
    input: Arc<Mutex<Option<Input>>>,
    folder: PathBuf,
}

/// What standard input is.
pub enum Input {
    /// A file that stands at its start.
    File(File),
    Pipe(Box<dyn Read + Send>),
}

impl fmt::Debug for StandardInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StandardInput({})", self.folder.display())
    }
}

/// What a source is called in sentences.
pub fn subject(path: &Path) -> String {
    if path == Path::new(NAME) {
        "standard input".into()
    } else {
        path.display().to_string()
    }
}

impl StandardInput {
    /// `folder`: where a pipe is kept, in a file that is removed as soon as it is open.
    pub fn new(input: Input, folder: PathBuf) -> Self {
        Self {
            input: Arc::new(Mutex::new(Some(input))),
            folder,
        }
    }

    /// The images of the archive that comes in.
    ///
    /// # Errors
    /// Those of an archive; and when there is no room to keep it.
    pub fn discover(&self, watch: Watch<'_>) -> Result<Found, ImageError> {
        let path = Path::new(NAME);
        let wrong = |message: String| ImageError::new(ErrorKind::Unreadable, path, message);
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match input.take() {
            None => return Err(wrong("was read before".into())),
            Some(Input::File(file)) => file,
            Some(Input::Pipe(pipe)) => self.spool(pipe, watch).map_err(wrong)?,
        };
        drop(input);
        let file = SourceFile::held(path, file);
        archive::read_file(file.map_err(|e| ImageError::unreadable(path, &e))?, watch)
    }

    /// The error is a sentence without its subject.
    fn spool(&self, mut pipe: Box<dyn Read + Send>, watch: Watch<'_>) -> Result<File, String> {
        let folder = self.folder.display();
        let mut file = unnamed(&self.folder).map_err(|error| {
            format!("cannot be kept while it is pushed, in {folder} ($TMPDIR): {error}")
        })?;
        let mut block = vec![0; BLOCK];
        let (mut size, mut told) = (0_u64, 0);
        loop {
            if (watch.stopped)() {
                return Err("was not read to its end: interrupted".into());
            }
            let n = match pipe.read(&mut block) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("cannot be read: {error}")),
            };
            file.write_all(&block[..n]).map_err(|error| {
                format!(
                    "cannot be kept while it is pushed: writing to {folder} failed after {} MiB: \
                     {error} (set TMPDIR to a folder with more room, or redirect a file instead)",
                    size >> 20
                )
            })?;
            size += n as u64;
            if size >= told + NEWS {
                told = size;
                (watch.telling)(News::Reading {
                    path: Path::new(NAME),
                    read: size,
                    size: None,
                });
            }
        }
        (watch.telling)(News::Spooled {
            folder: &self.folder,
            size,
        });
        Ok(file)
    }
}

/// A file that nobody else can open, and that is gone when it is closed.
fn unnamed(folder: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let process = std::process::id();
    for number in 0..TRIES {
        let path = folder.join(format!(".hoist-{process}-{number}"));
        match options.open(&path) {
            Ok(file) => {
                fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_file_has_no_name_and_takes_what_is_written() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..3 {
            let taken = format!(".hoist-{}-{number}", std::process::id());
            std::os::unix::fs::symlink("/nonexistent/elsewhere", dir.path().join(taken)).unwrap();
        }
        let mut file = unnamed(dir.path()).unwrap();
        file.write_all(b"kept").unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        assert_eq!(file.metadata().unwrap().len(), 4);
        assert!(unnamed(Path::new("/nonexistent")).is_err());
    }
}
