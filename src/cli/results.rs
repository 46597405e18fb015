//! Results for programs: the lines of standard output, the digest file, the JSON document.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::observe::text::safe;
use crate::push::report::{ImageStatus, Report};

/// Modes of files: with no secret in them, and with one.
pub(crate) const ANYBODY: u32 = 0o666;
pub(crate) const OWNER: u32 = 0o600;

/// One line `host/repository:tag@digest` for each target that is in place, also when several sources
/// brought it about.
pub(crate) fn lines(report: &Report) -> String {
    let mut lines = String::new();
    let mut seen = HashSet::new();
    for image in &report.images {
        let Some(digest) = &image.digest else {
            continue;
        };
        for target in &image.targets {
            let there = matches!(target.status, ImageStatus::Pushed | ImageStatus::Present);
            if there && seen.insert(&target.name) {
                lines.push_str(&safe(&format!("{}@{digest}", target.name)));
                lines.push('\n');
            }
        }
    }
    lines
}

/// One line of JSON.
pub(crate) fn document(report: &impl Serialize) -> String {
    let json =
        serde_json::to_string(report).expect("reports have string keys and no failing parts");
    json + "\n"
}

/// Writes a file whole or not at all: readers see what was there before, or all of it.
///
/// What is no regular file (a pipe, a terminal) cannot be replaced and is written to as it is.
///
/// `mode` is that of the new file, but for what the umask takes from it.
pub(crate) fn write_file(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let place = match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            return OpenOptions::new()
                .write(true)
                .open(path)?
                .write_all(text.as_bytes());
        }
        // A link stays a link, and the file behind it is replaced.
        Ok(_) => fs::canonicalize(path)?,
        Err(_) => path.to_path_buf(),
    };
    let (beside, mut file) = create_beside(&place, mode)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&beside, &place));
    if written.is_err() {
        // The first error is the one to tell.
        _ = fs::remove_file(&beside);
    }
    written
}

/// A new file in the same folder.
fn create_beside(place: &Path, mode: u32) -> io::Result<(PathBuf, File)> {
    let name = place.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let process = std::process::id();
    for attempt in 0..100 {
        let mut beside = std::ffi::OsString::from(".");
        beside.push(name);
        beside.push(format!(".{process}.{attempt}"));
        let beside = place.with_file_name(beside);
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&beside)
        {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => return other.map(|file| (beside, file)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_stays_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("digests");
        write_file(&path, "one\n", ANYBODY).unwrap();
        write_file(&path, "two\n", ANYBODY).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(write_file(&dir.path().join("no/such/folder"), "x", ANYBODY).is_err());
        assert!(write_file(dir.path(), "x", ANYBODY).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_and_devices_stay_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("digests"), dir.path().join("link"));
        fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write_file(&link, "new", ANYBODY).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        write_file(Path::new("/dev/null"), "gone", ANYBODY).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
