//! `--force`: what a registry says it has counts for nothing.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::tempdir;

use crate::support::archives::{ImageSpec, docker_archive, layout};
use crate::support::command::hoist;
use crate::support::pushing::{count, largest, push, read_back, requests};
use crate::support::registry::{Kind, Registry, Setup, available};
use crate::support::scripted::{Scripted, close_after, on};
use crate::support::sources::Sources;

/// What is sent by force, and nothing besides.
const FORCED: [&str; 4] = ["POST upload", "PATCH upload", "PUT upload", "PUT manifest"];

#[track_caller]
fn expect_all_uploaded(report: &Value) {
    for image in report["images"].as_array().unwrap() {
        assert_eq!(image["status"], "pushed", "{report:#}");
        for blob in image["blobs"].as_array().unwrap() {
            assert_eq!(blob["status"], "uploaded", "{report:#}");
        }
    }
    assert_eq!(report["bytes"]["uploaded"], report["bytes"]["total"]);
}

/// A descriptor cache in memory goes on saying that the blob is there: by HEAD, by mount, and when a
/// manifest names it.
#[test]
fn a_blob_that_was_lost_without_a_trace_is_brought_back() {
    for kind in [Kind::Distribution2, Kind::Distribution3] {
        if !kind.is_available() {
            continue;
        }
        let setup = Setup {
            remembers_blobs: true,
            ..Setup::default()
        };
        let registry = Registry::start_with(kind, setup);
        let dir = tempdir().unwrap();
        layout(
            dir.path(),
            &[ImageSpec::new("app:1").layer(1, 300_000).layer(2, 5_000)],
        );
        let first = push(dir.path(), &registry, "app", &[]).expect_code(0);
        let lost = registry.stored(&largest(&first.json(), "app").0);
        fs::remove_file(&lost).unwrap();
        for destination in ["app", "app:2"] {
            push(dir.path(), &registry, destination, &[]).expect_code(0);
            assert!(!lost.exists(), "{kind:?} {destination}");
        }
        let before = registry.access().len();
        let forced = push(dir.path(), &registry, "app", &["--force"]).expect_code(0);
        let sent = requests(&registry, before);
        expect_all_uploaded(&forced.json());
        assert_eq!(count(&sent, "HEAD blob"), 0, "{kind:?}: {sent:?}");
        assert_eq!(count(&sent, "POST mount"), 0, "{kind:?}: {sent:?}");
        read_back(&registry, &forced.json());
    }
}

#[test]
fn all_is_sent_and_nothing_is_asked() {
    let dir = tempdir().unwrap();
    let sources = Sources::new(dir.path());
    // Sessions, blobs and manifests: of the index are two configs, three layers and four manifests.
    for (source, blobs, manifests) in [
        (&sources.simple, 3, 1),
        (&sources.nested, 5, 4),
        (&sources.docker, 6, 3),
    ] {
        for kind in available() {
            let registry = Registry::start(kind);
            let cache = dir.path().join(format!("{kind:?}"));
            let options = ["--cache-dir", cache.to_str().unwrap()];
            let plain = push(source, &registry, "here/", &options).expect_code(0);
            let before = registry.access().len();
            let forced = [&options[..], &["--force"]].concat();
            let report = push(source, &registry, "here/", &forced)
                .expect_code(0)
                .json();
            let sent = requests(&registry, before);
            let what = format!("{kind:?} {}: {sent:#?}", source.display());
            assert!(sent.iter().all(|r| FORCED.contains(&r.as_str())), "{what}");
            assert_eq!(count(&sent, "POST upload"), blobs, "{what}");
            assert_eq!(count(&sent, "PUT upload"), blobs, "{what}");
            assert_eq!(count(&sent, "PUT manifest"), manifests, "{what}");
            assert_eq!(report["requests"], sent.len());
            expect_all_uploaded(&report);
            let digest = |of: &Value| of["images"][0]["digest"].clone();
            assert_eq!(digest(&report), digest(&plain.json()));
            read_back(&registry, &report);
        }
    }
}

/// A closing request went out whole and got no answer. Elsewhere that the blob is there would settle it.
#[test]
fn an_answer_that_is_lost_is_not_made_up_for_by_a_question() {
    let dir = tempdir().unwrap();
    let registry = Registry::start(Kind::Serve);
    let forced = |source: &Path, again: bool| {
        push(source, &registry, "app", &[]).expect_code(0);
        let lost = on("PUT", "/v2/app/blobs/").nth(1);
        let lost = lost.then(close_after(u64::MAX));
        let server = Scripted::before(registry.address(), [lost]);
        let report = hoist(["push", "--force", "-o", "json", "-j", "1"])
            .arg(source)
            .arg(format!("{}/app", server.address()))
            .run()
            .expect_code(0)
            .json();
        assert_eq!(report["retries"], u32::from(again));
        let sent = report["bytes"]["uploaded"].as_u64().unwrap();
        let total = report["bytes"]["total"].as_u64().unwrap();
        let again = if again { largest(&report, "app").1 } else { 0 };
        assert!(sent >= total + again, "{report:#}");
        assert!(server.requests().iter().all(|r| r.method != "HEAD"));
        read_back(&registry, &report);
    };
    let stored = dir.path().join("stored");
    layout(&stored, &[ImageSpec::new("app:1").layer(1, 300_000)]);
    forced(&stored, true);
    let made = dir.path().join("made.tar");
    docker_archive(&made, &[ImageSpec::new("app:1").layer(2, 300_000)]);
    forced(&made, true);
    // All went out before the closing request, which carries nothing.
    docker_archive(&made, &[ImageSpec::new("app:1").layer(3, 4 << 20)]);
    forced(&made, false);
}
