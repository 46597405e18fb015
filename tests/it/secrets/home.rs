//! A home, and everything that is written in it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::{TempDir, tempdir};

use crate::support::archives::{ImageSpec, layout};
use crate::support::command::{Command, Output, hoist};

/// The home of a user, where all that a push leaves behind ends up.
pub(super) struct Home(pub(super) TempDir);

/// Every file in a home, with what it holds.
pub(super) type Files = Vec<(String, Vec<u8>)>;

impl Home {
    pub(super) fn new() -> Self {
        let home = Self(tempdir().unwrap());
        let spec = ImageSpec::new("team/app:1").layer(1, 5000);
        layout(&home.path("source"), &[spec.layer(2, 200_000)]);
        home
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(super) fn push(&self, host: &str, options: &[&str]) -> Command {
        let command = hoist(["push", "--retries", "0", "--digest-file"]);
        command
            .arg(self.path("digests"))
            .args(options)
            .arg(self.path("source"))
            .arg(format!("{host}/demo/"))
            .env("HOME", self.0.path())
            .env("TMPDIR", self.0.path())
            .env("HOIST_LOG", "trace")
    }

    pub(super) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    }

    pub(super) fn files(&self) -> Files {
        let mut files = Files::new();
        collect(self.0.path(), &mut files);
        files
    }

    /// Everything that was written: to both streams, and below the home, where `before` was already.
    #[track_caller]
    pub(super) fn unseen(&self, before: &Files, output: &Output, secrets: &[&str]) {
        let mut written = self.files();
        written.retain(|file| !before.contains(file));
        written.push(("standard output".to_owned(), output.stdout.clone().into()));
        written.push(("standard error".to_owned(), output.stderr.clone().into()));
        for (place, bytes) in written {
            for secret in secrets {
                let seen = bytes
                    .windows(secret.len())
                    .any(|part| part == secret.as_bytes());
                assert!(!seen, "{secret:?} in {place}: {output}");
            }
        }
    }
}

fn collect(folder: &Path, found: &mut Files) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}
