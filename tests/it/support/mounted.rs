//! Small file systems in memory, for disks that are full: only who may mount has them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One that goes when this is dropped.
pub(crate) struct Mounted(PathBuf);

/// Whether this process may mount.
pub(crate) fn may_mount() -> bool {
    let dir = tempfile::tempdir().unwrap();
    Mounted::new(&dir.path().join("try"), "64k").is_some()
}

impl Mounted {
    /// Of `size`, as mount(8) writes it, over a folder that is made when it is missing. `None` where that is
    /// not allowed.
    pub(crate) fn new(path: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let options = format!("size={size},mode=777");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "hoist-test"])
            .arg(path)
            .output();
        let mounted = mount.is_ok_and(|output| output.status.success());
        mounted.then(|| Self(path.to_path_buf()))
    }

    /// Nobody writes there any more, not even root.
    pub(crate) fn protect(&self) {
        let mount = Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(&self.0)
            .status();
        assert!(mount.unwrap().success());
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a registry may still have files open there.
        drop(Command::new("umount").arg("-l").arg(&self.0).output());
    }
}
