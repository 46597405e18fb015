//! No room, or no folder, where hoist or a registry would write.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use tempfile::tempdir;

use crate::support::archives::{ImageSpec, Layout, layout, noise, oci_archive};
use crate::support::command::{Output, hoist};
use crate::support::mounted::Mounted;
use crate::support::pushing::{push, read_back};
use crate::support::registry::{Kind, Registry, available};

fn image(dir: &Path, size: usize) -> PathBuf {
    let path = dir.join("image");
    layout(&path, &[ImageSpec::new("app:1").layer(1, size)]);
    path
}

/// A folder in which nobody can write a byte.
fn full(dir: &Path) -> Option<Mounted> {
    let mounted = Mounted::new(&dir.join("full"), "64k")?;
    let filler = mounted.path().join("filler");
    // It is full when this fails.
    let filled = fs::write(filler, noise(1, 1 << 20));
    assert!(filled.is_err());
    Some(mounted)
}

#[test]
fn a_push_needs_no_room_for_what_it_remembers() {
    let dir = tempdir().unwrap();
    let Some(full) = full(dir.path()) else { return };
    let registry = Registry::start(Kind::Serve);
    let source = image(dir.path(), 5 << 20);
    let folders = [full.path().to_path_buf(), full.path().join("deeper")];
    for (number, folder) in folders.iter().enumerate() {
        let place = folder.to_str().unwrap();
        let options = ["--cache-dir", place, "--state-dir", place];
        let repository = format!("app{number}");
        let output = push(&source, &registry, &repository, &options).expect_code(0);
        read_back(&registry, &output.json());
        goes_unnoticed(&output);
    }
}

/// Nothing is lost that somebody would have to know of.
#[track_caller]
fn goes_unnoticed(output: &Output) {
    let warnings = &output.json()["warnings"];
    assert!(warnings.as_array().unwrap().len() <= 1, "{output}");
    assert!(output.stderr.matches("warning").count() <= 1, "{output}");
}

/// There is room for the first bytes of something, or for the first few files.
#[test]
fn room_that_ends_in_the_middle_is_missed_by_nobody() {
    let dir = tempdir().unwrap();
    let registry = Registry::start(Kind::Serve);
    let source = dir.path().join("image");
    let spec = (0..9).fold(ImageSpec::new("app:1"), |spec, seed| {
        spec.layer(seed, 100_000)
    });
    layout(&source, &[spec]);
    for pages in 1..4 {
        let Some(small) = Mounted::new(&dir.path().join("small"), "64k") else {
            return;
        };
        let filler = small.path().join("filler");
        fs::write(&filler, noise(1, (16 - pages) << 12)).unwrap();
        let place = small.path().to_str().unwrap();
        let options = ["--cache-dir", place, "--state-dir", place];
        let path = |number| format!("app{pages}-{number}:1");
        let output = push(&source, &registry, &path(1), &options).expect_code(0);
        read_back(&registry, &output.json());
        goes_unnoticed(&output);
        fs::remove_file(filler).unwrap();
        // What was left is whole, or nothing.
        let again = push(&source, &registry, &path(2), &options).expect_code(0);
        read_back(&registry, &again.json());
        assert_eq!(again.json()["warnings"], serde_json::json!([]), "{again}");
    }
}

#[test]
fn a_list_of_digests_that_has_no_room_is_told() {
    let dir = tempdir().unwrap();
    let Some(full) = full(dir.path()) else { return };
    let registry = Registry::start(Kind::Serve);
    let source = image(dir.path(), 5_000);
    let list = full.path().join("digests");
    let options = ["--digest-file", list.to_str().unwrap()];
    let output = push(&source, &registry, "app", &options).expect_code(1);
    let report = output.json();
    assert_eq!(report["images"][0]["status"], "pushed");
    let message = report["errors"][0]["message"].as_str().unwrap();
    let expected = format!(
        "writing the digest file {} failed: No space left",
        list.display()
    );
    assert!(message.starts_with(&expected), "{message}");
    assert_eq!(report["errors"][0]["side"], "local");
    assert!(!list.exists());
}

#[test]
fn a_pipe_that_has_no_room_is_told() {
    let dir = tempdir().unwrap();
    let Some(full) = full(dir.path()) else { return };
    let archive = dir.path().join("oci.tar");
    oci_archive(&archive, &[ImageSpec::new("app:1").layer(1, 200_000)]);
    hoist(["push", "-", "127.0.0.1:9/t/"])
        .stdin(fs::read(archive).unwrap())
        .env("TMPDIR", full.path())
        .run()
        .expect_code(3)
        .expect_stderr("No space left on device")
        .expect_stderr("set TMPDIR to a folder with more room");
}

/// What is too large for the registry's disk fails, what is there or fits does not.
#[test]
fn a_registry_without_room_is_named() {
    let dir = tempdir().unwrap();
    let mut both = Layout::create(dir.path());
    both.enter_all(&[
        ImageSpec::new("large:1").layer(1, 12 << 20),
        ImageSpec::new("small:1").layer(2, 5_000),
    ]);
    both.finish();
    let check = |kind: Kind| {
        let registry = Registry::start(kind);
        let Some(_mounted) = Mounted::new(&registry.storage(), "3m") else {
            return;
        };
        let options = ["--retries", "1", "-j", "1"];
        let output = push(dir.path(), &registry, "t/", &options);
        assert_eq!(output.code(), Some(1), "{kind:?}: {output}");
        let report = output.json();
        let images = report["images"].as_array().unwrap();
        let large = images.iter().find(|image| image["status"] == "failed");
        let error = &large.unwrap()["error"];
        assert_eq!(error["side"], "registry", "{kind:?}: {output}");
        assert_eq!(error["kind"], "refused", "{kind:?}: {output}");
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with("upload of "), "{kind:?}: {message}");
        assert!(
            message.contains("registry answered 50"),
            "{kind:?}: {message}"
        );
        assert!(
            report["requests"].as_u64().unwrap() < 40,
            "{kind:?}: {output}"
        );
    };
    thread::scope(|scope| {
        for kind in available() {
            scope.spawn(move || check(kind));
        }
    });
}

#[test]
fn folders_that_cannot_be_had_are_done_without() {
    let dir = tempdir().unwrap();
    let registry = Registry::start(Kind::Serve);
    let source = image(dir.path(), 5_000);
    let file = dir.path().join("file");
    fs::write(&file, "a file").unwrap();
    let read_only = dir.path().join("read-only");
    fs::create_dir(&read_only).unwrap();
    let mode = |mode: &str| {
        let chmod = Command::new("chmod").arg(mode).arg(&read_only).status();
        assert!(chmod.unwrap().success());
    };
    // For root it can be written to all the same.
    mode("555");
    let mut places = vec![
        dir.path().join("not/there/yet"),
        file.clone(),
        file.join("below"),
        PathBuf::from("/dev/null"),
        PathBuf::from("/proc/hoist"),
        read_only.clone(),
        read_only.join("below"),
    ];
    let mounted = Mounted::new(&dir.path().join("mounted"), "64k");
    if let Some(mounted) = &mounted {
        mounted.protect();
        places.extend([mounted.path().to_path_buf(), mounted.path().join("below")]);
    }
    for (number, place) in places.iter().enumerate() {
        for option in ["--cache-dir", "--state-dir"] {
            let repository = format!("app{number}{option}");
            let options = [option, place.to_str().unwrap()];
            let output = push(&source, &registry, &repository, &options);
            let output = output.expect_code(0);
            read_back(&registry, &output.json());
            assert!(output.stderr.matches("warning").count() <= 1, "{output}");
        }
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "a file");
    mode("755");
}
