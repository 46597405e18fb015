//! Archives that somebody writes to while they are pushed: an error that names the file, never wrong
//! bytes and never a hang.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use hoist::image::source::Body as _;
use tempfile::tempdir;

use crate::support::archives::{ImageSpec, docker_archive, gzip, layout, noise, oci_archive};
use crate::support::command::{Output, hoist};
use crate::support::images::{parts, whole};
use crate::support::packing::zst;
use crate::support::pushing::push;
use crate::support::registry::{Kind, Registry};
use crate::support::scripted::{Gate, Scripted, held, on, pass};

/// What somebody does to a file.
type Deed = fn(&Path);

fn grow(path: &Path) {
    let mut file = File::options().append(true).open(path).unwrap();
    file.write_all(&[0; 4096]).unwrap();
}

fn shrink(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

fn replace(path: &Path) {
    let other = path.with_extension("other");
    fs::copy(path, &other).unwrap();
    fs::rename(other, path).unwrap();
}

fn overwrite(path: &Path) {
    let length = fs::metadata(path).unwrap().len();
    fs::write(path, noise(9, length.try_into().unwrap())).unwrap();
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

const CHANGED: &str = "the file was changed since it was looked into";
const DEEDS: [(&str, Deed, &str); 5] = [
    ("grows", grow, CHANGED),
    ("shrinks", shrink, CHANGED),
    ("is replaced", replace, CHANGED),
    ("is overwritten", overwrite, CHANGED),
    ("is removed", remove, "No such file or directory"),
];

/// Layers that do not fit into what is compressed ahead.
fn image() -> ImageSpec {
    ImageSpec::new("app:1")
        .layer(1, 300_000)
        .layer(2, 9_000_000)
}

fn push_while(act: Deed, path: &Path, registry: &Registry, prefix: &str) -> Output {
    let gate = Gate::new();
    let first = on("*", "/v2/").then(held(&gate, pass()));
    let server = Scripted::before(registry.address(), [first]);
    let running = hoist(["push", "-o", "json", "--retries", "1"])
        .arg(path)
        .arg(format!("{}/{prefix}/", server.address()))
        .spawn();
    gate.wait_for(1);
    act(path);
    gate.open();
    running.wait()
}

#[track_caller]
fn expect_error(output: &Output, path: &Path, words: &str) {
    assert_eq!(output.code(), Some(1), "{output}");
    let error = &output.json()["images"][0]["error"];
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(words), "{output}");
    let subject = format!("{}: ", path.display());
    assert!(message.contains(&subject), "{output}");
    assert_eq!(error["side"], "source", "{output}");
}

#[test]
fn a_push_says_that_its_archive_was_changed() {
    let dir = tempdir().unwrap();
    let plain = dir.path().join("plain");
    let registry = Registry::start(Kind::Serve);
    oci_archive(&plain, &[image()]);
    let tar = fs::read(plain).unwrap();
    for (deed, act, words) in DEEDS {
        for (name, bytes) in [
            ("oci.tar", tar.clone()),
            ("oci.tar.gz", gzip(&tar)),
            ("oci.tar.zst", zst(&tar)),
        ] {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            let output = push_while(act, &path, &registry, &deed.replace(' ', "-"));
            expect_error(&output, &path, words);
        }
    }
}

/// Of the blobs in a layout only the size was looked at.
#[test]
fn a_push_says_that_a_blob_of_a_layout_was_cut() {
    let dir = tempdir().unwrap();
    let registry = Registry::start(Kind::Serve);
    layout(dir.path(), &[image()]);
    let cut = |folder: &Path| {
        let blobs = fs::read_dir(folder.join("blobs/sha256")).unwrap();
        let paths = blobs.map(|entry| entry.unwrap().path());
        let size = |path: &PathBuf| fs::metadata(path).unwrap().len();
        shrink(&paths.max_by_key(size).unwrap());
    };
    let output = push_while(cut, dir.path(), &registry, "cut");
    expect_error(&output, dir.path(), "bytes early: was it changed");
}

/// Layers that are compressed on the way are read ahead, from a file that stays open: where its bytes
/// are still those they arrive.
#[test]
fn what_was_open_before_is_right_or_an_error() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("docker.tar");
    let registry = Registry::start(Kind::Serve);
    docker_archive(&path, &[image()]);
    let tar = fs::read(&path).unwrap();
    let expected = push(&path, &registry, "before/", &[]).expect_code(0).json();
    for (deed, act, _) in DEEDS {
        fs::write(&path, &tar).unwrap();
        let prefix = deed.replace(' ', "-");
        let output = push_while(act, &path, &registry, &prefix);
        if output.code() == Some(0) {
            let digest = &output.json()["images"][0]["digest"];
            assert_eq!(*digest, expected["images"][0]["digest"], "{deed}");
        } else {
            expect_error(&output, &path, "");
        }
    }
}

#[test]
fn a_reader_that_meets_the_new_end_says_so() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("app.tar");
    let image = ImageSpec::new("app:1").layer(1, 2_000_000);
    for pack in [|tar: Vec<u8>| tar, |tar: Vec<u8>| gzip(&tar)] {
        docker_archive(&path, std::slice::from_ref(&image));
        fs::write(&path, pack(fs::read(&path).unwrap())).unwrap();
        let images = whole(&path);
        let mut reader = parts(&images[0]).layers[0].stored.open(0).unwrap();
        reader.read_exact(&mut [0; 1000]).unwrap();
        shrink(&path);
        assert!(reader.read_to_end(&mut Vec::new()).is_err());
    }
}
