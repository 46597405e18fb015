//! The static binary where there is nothing else: an empty root with it and the fixtures.
//!
//! `make static` leaves it in `target/static`, `HOIST_STATIC` names another one. No `/etc/hosts`
//! there, no certificates, no `/tmp`, no `/proc`: what works here works on any Linux.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::programs::copy_program;
use crate::support::registry::{Kind, Registry};

/// 4 MiB, as the README says.
const LARGEST: u64 = 4 << 20;

#[test]
fn an_empty_root_is_enough_to_push() {
    let Some(root) = EmptyRoot::new() else { return };
    let registry = Registry::start(Kind::Serve);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    copy(&fixtures, &root.dir.path().join("images"));

    let pushed = root.run(&["push", "/images", &format!("{}/all/", registry.host())]);

    let said = String::from_utf8_lossy(&pushed.stderr);
    assert_eq!(pushed.status.code(), Some(0), "{said}");
    let targets = String::from_utf8(pushed.stdout).unwrap();
    assert!(targets.lines().count() > 1, "{targets}{said}");
    for target in targets.lines() {
        let (name, digest) = target.split_once('@').unwrap();
        let (repository, tag) = name.rsplit_once(':').unwrap();
        let repository = repository.split_once('/').unwrap().1;
        let stored = registry.manifest(repository, tag);
        assert_eq!(stored.status, 200, "{target}");
        assert_eq!(
            stored.header("docker-content-digest").as_deref(),
            Some(digest)
        );
    }
}

#[test]
fn an_empty_root_is_enough_to_ask_for_the_version() {
    let Some(root) = EmptyRoot::new() else { return };
    let version = root.run(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    let expected = format!("hoist {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(String::from_utf8_lossy(&version.stdout), expected);
}

#[test]
fn it_is_no_larger_than_promised() {
    let Some(root) = EmptyRoot::new() else { return };
    let size = fs::metadata(root.dir.path().join("hoist")).unwrap().len();
    assert!(
        size <= LARGEST,
        "{size} bytes, {LARGEST} at most; rustup needs its rust-src for that"
    );
}

/// A folder with the binary in it, to be the root of the file system.
struct EmptyRoot {
    dir: TempDir,
}

impl EmptyRoot {
    /// `None` where it cannot be had, which is said.
    fn new() -> Option<Self> {
        let binary = std::env::var_os("HOIST_STATIC").map_or_else(built, PathBuf::from);
        if !binary.is_file() {
            return skip(&format!("no {}: make static", binary.display()));
        }
        if fs::metadata("/proc/self").map_or(1, |me| me.uid()) != 0 {
            return skip("only root may change the root");
        }
        let dir = tempfile::tempdir().unwrap();
        copy_program(&binary, &dir.path().join("hoist"));
        Some(Self { dir })
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new("chroot")
            .arg(self.dir.path())
            .arg("/hoist")
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

/// Beside the folder of the tests' own binary, `target/debug/deps`.
fn built() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_hoist"));
    let target = binary.ancestors().nth(2).unwrap();
    target.join("static/hoist")
}

fn skip(why: &str) -> Option<EmptyRoot> {
    // Not `eprintln`, which the harness swallows.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "skipped, the static binary: {why}").unwrap();
    None
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, copied) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&source, &copied);
        } else {
            fs::copy(source, copied).unwrap();
        }
    }
}
