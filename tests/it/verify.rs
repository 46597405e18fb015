//! `--verify`: what was pushed, or was there, is read back; what is wrong is sent again.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::support::archives::{ImageSpec, layout};
use crate::support::command::hoist;
use crate::support::pushing::{count, largest, push, read_back, requests_of};
use crate::support::registry::{Kind, Registry, available};
use crate::support::sources::Sources;

mod cuts;
mod refusals;
mod stalls;

/// `app:1` of two layers in one folder, `other:1` of one in another.
fn images(dir: &Path) {
    layout(
        &dir.join("app"),
        &[ImageSpec::new("app:1").layer(1, 300_000).layer(2, 5_000)],
    );
    layout(
        &dir.join("other"),
        &[ImageSpec::new("other:1").layer(3, 40_000)],
    );
}

#[track_caller]
fn expect_verified(report: &Value) {
    for image in report["images"].as_array().unwrap() {
        for blob in image["blobs"].as_array().unwrap() {
            assert_eq!(blob["verified"], true, "{report:#}");
        }
    }
}

#[test]
fn what_is_right_is_read_once_and_nothing_is_sent() {
    let dir = tempdir().unwrap();
    let sources = Sources::new(dir.path());
    // Its blobs, its manifests and tags.
    for (source, blobs, manifests) in [
        (&sources.simple, 3, 1 + 1),
        (&sources.nested, 5, 4 + 1),
        (&sources.docker, 6, 3 + 3),
    ] {
        for kind in available() {
            let registry = Registry::start(kind);
            let first = push(source, &registry, "here/", &["--verify"]).expect_code(0);
            expect_verified(&first.json());
            let sent = requests_of(&first.json(), &registry, 0);
            let what = format!("{kind:?} {}: {sent:#?}", source.display());
            assert_eq!(count(&sent, "GET blob"), blobs, "{what}");
            read_back(&registry, &first.json());

            let before = registry.access().len();
            let again = push(source, &registry, "here/", &["--verify"]).expect_code(0);
            let report = again.json();
            let asked = requests_of(&report, &registry, before);
            expect_verified(&report);
            assert_eq!(count(&asked, "GET blob"), blobs, "{asked:#?}");
            let writes = asked.iter().filter(|r| r.starts_with('P')).count();
            // A docker archive without a cache is looked up by its tag.
            let looks = count(&asked, "HEAD manifest") + count(&asked, "GET manifest");
            let tags = looks - manifests;
            assert_eq!((writes, asked.len()), (0, blobs + looks), "{asked:#?}");
            assert!(tags == 1 || tags == 2, "{asked:#?}");
            assert_eq!(report["requests"], asked.len());
            assert_eq!(report["images"][0]["status"], "present");
            assert_eq!(report["bytes"]["uploaded"], 0);
            assert_eq!(report["bytes"]["read_back"], report["bytes"]["total"]);
            assert_eq!(report["warnings"].as_array().unwrap().len(), 0);
        }
    }
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

fn lose(path: &Path) {
    fs::remove_file(path).unwrap();
}

/// What somebody does to the file of a blob, and what is said of it then.
type Deed = (fn(&Path), &'static str);
const DEEDS: [Deed; 3] = [
    (flip, "it has the digest sha256:"),
    (cut, "bytes long instead of"),
    (lose, "it is missing"),
];

/// Pushes two images, does that to a blob of the first, and verifies; the report, and the blob's digest.
fn verify_after(dir: &Path, registry: &Registry, (deed, words): Deed) -> (Value, String) {
    let first = push(dir, registry, "t/", &[]).expect_code(0).json();
    let (digest, size) = largest(&first, "t/app");
    deed(&registry.stored(&digest));
    let before = registry.access().len();
    let report = push(dir, registry, "t/", &["--verify"]).json();
    let sent = requests_of(&report, registry, before);
    for (what, times) in [
        ("GET blob", 5 + 1),
        ("POST upload", 1),
        ("PUT upload", 1),
        ("HEAD blob", 0),
    ] {
        let kind = registry.kind();
        assert_eq!(count(&sent, what), times, "{kind:?} {words}: {sent:#?}");
    }
    assert_eq!(report["bytes"]["uploaded"], size, "{report:#}");
    (report, digest)
}

fn image_of<'a>(report: &'a Value, name: &str) -> &'a Value {
    let mut images = report["images"].as_array().unwrap().iter();
    let is_it = |image: &&Value| image["source"].as_str().unwrap().ends_with(name);
    images.find(is_it).unwrap()
}

#[track_caller]
fn expect_mended(registry: &Registry, report: &Value, digest: &str) {
    assert_eq!(report["exit_code"], 0, "{report:#}");
    expect_verified(report);
    let warning = report["warnings"][0].as_str().unwrap();
    let begins = format!("t/app: {digest} ");
    assert!(warning.starts_with(&begins), "{warning}");
    assert!(warning.ends_with("it was sent again"), "{warning}");
    read_back(registry, report);
}

#[track_caller]
fn expect_hopeless(report: &Value, digest: &str, words: &str) {
    assert_eq!(report["exit_code"], 1, "{report:#}");
    let error = &image_of(report, "app")["error"];
    assert_eq!(error["kind"], "refused");
    assert_eq!(error["side"], "registry");
    let message = error["message"].as_str().unwrap();
    let begins = format!("verification of {digest}: it ");
    assert!(message.starts_with(&begins), "{message}");
    assert!(message.contains(words), "{message}");
    let ends = "also after it was sent again";
    assert!(message.ends_with(ends), "{message}");
}

/// distribution keeps what it has under a digest, whatever that is, and takes no other bytes for it.
#[test]
fn what_is_wrong_is_sent_again_or_fails_its_image_alone() {
    let dir = tempdir().unwrap();
    images(dir.path());
    // What zot does with other bytes for a digest that it has was not looked at.
    let kinds = available().into_iter().filter(|kind| *kind != Kind::Zot);
    for kind in kinds {
        for (number, deed) in DEEDS.into_iter().enumerate() {
            let registry = Registry::start(kind);
            let (report, digest) = verify_after(dir.path(), &registry, deed);
            assert_eq!(image_of(&report, "other")["status"], "present");
            if kind == Kind::Serve || number == 2 {
                expect_mended(&registry, &report, &digest);
            } else {
                expect_hopeless(&report, &digest, deed.1);
            }
        }
    }
}

#[test]
fn manifests_and_tags_that_are_wrong_are_put_again() {
    let dir = tempdir().unwrap();
    images(dir.path());
    for kind in [Kind::Distribution2, Kind::Distribution3] {
        if !kind.is_available() {
            continue;
        }
        let registry = Registry::start(kind);
        let report = push(&dir.path().join("app"), &registry, "app", &[]).expect_code(0);
        let digest = report.json()["images"][0]["digest"]
            .as_str()
            .unwrap()
            .to_string();
        lose(&registry.stored(&digest));
        let again = push(&dir.path().join("app"), &registry, "app", &["--verify"]).expect_code(0);
        expect_verified(&again.json());
        read_back(&registry, &again.json());
    }
}

#[test]
fn all_is_sent_and_read_with_both_options() {
    let dir = tempdir().unwrap();
    images(dir.path());
    for kind in available() {
        let registry = Registry::start(kind);
        push(dir.path(), &registry, "t/", &[]).expect_code(0);
        let before = registry.access().len();
        let options = ["--verify", "--force"];
        let report = push(dir.path(), &registry, "t/", &options)
            .expect_code(0)
            .json();
        let sent = requests_of(&report, &registry, before);
        expect_verified(&report);
        let total = &report["bytes"]["total"];
        assert_eq!(report["bytes"]["uploaded"], *total);
        assert_eq!(report["bytes"]["read_back"], *total);
        for (what, times) in [
            ("PUT upload", 5),
            ("PUT manifest", 2),
            ("GET blob", 5),
            ("GET manifest", 4),
            ("HEAD blob", 0),
            ("HEAD manifest", 0),
        ] {
            assert_eq!(count(&sent, what), times, "{kind:?} {what}: {sent:#?}");
        }
    }
}

#[test]
fn people_are_told_what_was_read() {
    let dir = tempdir().unwrap();
    images(dir.path());
    let registry = Registry::start(Kind::Serve);
    let output = hoist(["push", "-v", "--verify"])
        .arg(dir.path())
        .arg(format!("{}/t/", registry.host()))
        .run()
        .expect_code(0)
        .expect_stderr("all to be read back")
        .expect_stderr("verified: sha256:");
    assert!(output.stderr.contains(" read back, "), "{output}");
    assert_eq!(output.stdout_lines().len(), 2, "{output}");
}
