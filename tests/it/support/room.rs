//! Folders for much data: in a file system in memory, where there is one with room.

use std::path::Path;

use rustix::fs::statvfs;
use tempfile::TempDir;

const MEMORY: &str = "/dev/shm";

/// A folder for so many bytes.
pub(crate) fn room(bytes: u64) -> TempDir {
    let is_roomy = |path: &Path| {
        let free = statvfs(path).map(|system| system.f_bavail * system.f_frsize);
        // Other tests want some of it.
        free.is_ok_and(|free| free / 4 > bytes)
    };
    match Path::new(MEMORY) {
        memory if is_roomy(memory) => tempfile::tempdir_in(memory).unwrap(),
        _ => tempfile::tempdir().unwrap(),
    }
}
