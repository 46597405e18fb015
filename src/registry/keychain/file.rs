//! Reads credential files: not more than they may hold, and never one that would not end.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use zeroize::Zeroizing;

/// A file given by mistake is larger.
pub const LARGEST: u64 = 1 << 20;

/// A file as it was read.
pub struct Content {
    pub text: Zeroizing<String>,
    /// Its permissions, when they let everybody on the machine read it.
    pub open_mode: Option<u32>,
}

/// The whole of a file; a fragment that follows its name says why not.
///
/// Files that somebody named may be pipes, as a shell makes them.
pub fn read(path: &Path, may_be_pipe: bool) -> Result<Content, String> {
    let metadata = std::fs::metadata(path).map_err(|error| fault(&error))?;
    if metadata.is_dir() {
        return Err("is a folder".to_owned());
    }
    if !metadata.is_file() && !may_be_pipe {
        return Err("is no regular file".to_owned());
    }
    let file = File::open(path).map_err(|error| fault(&error))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(
        usize::try_from(metadata.len().min(LARGEST)).unwrap_or_default() + 1,
    ));
    let read = file.take(LARGEST + 1).read_to_end(&mut bytes);
    read.map_err(|error| fault(&error))?;
    if bytes.len() as u64 > LARGEST {
        return Err("is larger than 1 MiB".to_owned());
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| "is not UTF-8".to_owned())?;
    Ok(Content {
        text: Zeroizing::new(text.to_owned()),
        open_mode: open_mode(&metadata),
    })
}

/// A fragment that follows the file's name.
pub(super) fn fault(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => "is not there".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

fn open_mode(metadata: &Metadata) -> Option<u32> {
    let mode = metadata.permissions().mode() & 0o777;
    (metadata.is_file() && mode & 0o004 != 0).then_some(mode)
}
