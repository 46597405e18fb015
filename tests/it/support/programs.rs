//! Programs on this machine that tests make use of, or do without.

use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Programs that are no registries and without which tests do nothing; see [`program`].
pub(crate) const PROGRAMS: [&str; 5] = ["nginx", "openssl", "podman", "skopeo", "tinyproxy"];

/// Where one of [`PROGRAMS`] is; servers are not always on `PATH`.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    assert!(
        PROGRAMS.contains(&name),
        "{name} is not named when it is missing"
    );
    on_path(name).or_else(|| {
        let file = Path::new("/usr/sbin").join(name);
        file.is_file().then_some(file)
    })
}

/// Copies a program that is to be run. Not by this process: what another test starts meanwhile would hold the copy open
/// for writing for a moment, and no system runs what somebody may still write to.
pub(crate) fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "{} cannot be copied", from.display());
}
