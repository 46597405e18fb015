//! Pushes of which something fails: the rest arrives, and the report says what became of each.

use std::fs::File;

use hoist::image::digest::Digest;

use crate::support::archives::{ImageSpec, Layout, docker_archive, layout};
use crate::support::command::hoist;
use crate::support::pushing::{arrived, push, read_back};
use crate::support::registry::{Kind, Registry, available};
use crate::support::scripted::{Gate, Scripted, answer, held, on};
use crate::support::waiting::wait_until;

#[test]
fn a_broken_image_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut mixed = Layout::create(dir.path());
    mixed.enter_all(&[ImageSpec::new("good:1").layer(1, 5_000)]);
    let bad = ImageSpec::new("bad:1").layer(2, 5_000);
    mixed.enter_all(std::slice::from_ref(&bad));
    let lost = Digest::of(&bad.layers[0].stored(crate::support::archives::Form::Gzip));
    std::fs::remove_file(mixed.blob_path(lost.as_str())).unwrap();
    mixed.finish();
    let registry = Registry::start(Kind::Serve);
    let out = push(dir.path(), &registry, "t/", &[]).expect_code(1);
    let report = out.json();
    assert_eq!(report["outcome"], "partial");
    assert_eq!(
        arrived(&report).into_keys().collect::<Vec<_>>(),
        ["t/good:1"]
    );
    out.expect_stderr(lost.as_str());
}

#[test]
fn with_fail_fast_a_broken_image_keeps_all_from_being_sent() {
    let dir = tempfile::tempdir().unwrap();
    let mut mixed = Layout::create(dir.path());
    mixed.enter_all(&[ImageSpec::new("good:1").layer(1, 5_000)]);
    let config = mixed.blob("application/vnd.oci.image.config.v1+json", b"{}");
    std::fs::remove_file(mixed.blob_path(config["digest"].as_str().unwrap())).unwrap();
    let bad = mixed.manifest(&serde_json::json!({"config": config, "layers": []}));
    mixed.enter(bad, Some("bad:1"));
    mixed.finish();
    let registry = Registry::start(Kind::Serve);
    let out = push(dir.path(), &registry, "t/", &["--fail-fast"]).expect_code(1);
    // The registry might have had what is missing.
    let asked = registry.access();
    assert!(asked.iter().all(|one| one.method == "HEAD"), "{asked:?}");
    assert_eq!(out.json()["outcome"], "failed");
}

#[test]
fn with_fail_fast_a_refusal_ends_what_is_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let images = [("bad:1", 1), ("slow:1", 2)];
    let images = images.map(|(name, seed)| ImageSpec::new(name).layer(seed, 5_000));
    layout(dir.path(), &images);
    let registry = Registry::start(Kind::Serve);
    let (refusal, never) = (Gate::new(), Gate::new());
    let server = Scripted::before(
        registry.address(),
        [
            on("POST", "/v2/t/bad").then(held(&refusal, answer(403))),
            on("POST", "/v2/t/slow").then(held(&never, answer(500))),
        ],
    );
    let running = hoist(["push", "--fail-fast", "-o", "json"])
        .arg(dir.path())
        .arg(format!("{}/t/", server.address()))
        .spawn();
    never.wait_for(1);
    refusal.open();
    let out = running.wait().expect_code(4);
    let report = out.json();
    let status = |image: usize| report["images"][image]["status"].as_str().unwrap();
    assert_eq!((status(0), status(1)), ("failed", "skipped"), "{out}");
    assert_eq!(report["images"][1]["error"], serde_json::Value::Null);
    never.open();
}

#[test]
fn two_files_for_one_target_fail_both_and_are_named() {
    let dir = tempfile::tempdir().unwrap();
    layout(
        &dir.path().join("one"),
        &[ImageSpec::new("app:1").layer(1, 100)],
    );
    layout(
        &dir.path().join("two"),
        &[ImageSpec::new("app:1").layer(2, 100)],
    );
    layout(
        &dir.path().join("three"),
        &[ImageSpec::new("other:1").layer(2, 100)],
    );
    layout(
        &dir.path().join("four"),
        &[ImageSpec::new("other:1").layer(2, 100)],
    );
    let registry = Registry::start(Kind::Serve);
    let out = push(dir.path(), &registry, "t/", &[]).expect_code(1);
    let report = out.json();
    assert_eq!(
        arrived(&report).into_keys().collect::<Vec<_>>(),
        ["t/other:1"]
    );
    let puts = registry
        .access()
        .iter()
        .filter(|a| a.target.contains("/manifests/"))
        .count();
    assert_eq!(puts, 3, "the same image from two files is pushed once");
    out.expect_stderr("/one").expect_stderr("/two");
}

#[test]
fn a_layer_that_is_not_what_its_digest_says_is_the_sources_fault() {
    let dir = tempfile::tempdir().unwrap();
    let spec = ImageSpec::new("app:1").layer(1, 5_000);
    layout(dir.path(), std::slice::from_ref(&spec));
    let stored = spec.layers[0].stored(crate::support::archives::Form::Gzip);
    let digest = Digest::of(&stored);
    let mut wrong = stored;
    wrong[100] ^= 1;
    std::fs::write(
        dir.path().join("blobs/sha256").join(digest.encoded()),
        wrong,
    )
    .unwrap();
    for kind in available() {
        let registry = Registry::start(kind);
        let out = push(dir.path(), &registry, "t/", &[]).expect_code(1);
        let error = &out.json()["images"][0]["error"];
        assert_eq!(error["side"], "source", "{kind:?}: {out}");
        assert!(
            error["message"].as_str().unwrap().contains(digest.as_str()),
            "{kind:?}: {out}"
        );
        out.expect_stderr(dir.path().to_str().unwrap());
    }
}

#[test]
fn a_registry_that_dies_in_the_middle_ends_the_push_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let images: Vec<ImageSpec> = (0..4)
        .map(|number| ImageSpec::new(&format!("app{number}:1")).layer(number, 40 << 20))
        .collect();
    layout(dir.path(), &images);
    for kind in available() {
        let mut registry = Registry::start(kind);
        let destination = format!("{}/t/", registry.host());
        let running = hoist(["push", "--retries", "0", "-j", "2", "--progress", "plain"])
            .arg(dir.path())
            .arg(destination)
            .spawn();
        wait_until(|| registry.access().iter().any(|one| one.method == "POST"));
        registry.kill();
        let out = running.wait();
        assert!(matches!(out.code(), Some(1 | 5)), "{kind:?}: {out}");
        assert!(out.stderr.contains("error: push of"), "{kind:?}: {out}");
        assert!(!out.stderr.contains("panicked"), "{kind:?}: {out}");

        registry.start_again();
        let report = push(dir.path(), &registry, "t/", &[]).expect_code(0).json();
        assert_eq!(arrived(&report).len(), 4, "{kind:?}");
        read_back(&registry, &report);
    }
}

#[test]
fn nobody_there_is_exit_5() {
    let dir = tempfile::tempdir().unwrap();
    layout(dir.path(), &[ImageSpec::new("app:1").layer(1, 100)]);
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let out = hoist(["push", "--retries", "0"])
        .arg(dir.path())
        .arg(format!("localhost:{}/t/", free.port()))
        .run()
        .expect_code(5);
    out.expect_stderr("error: push of")
        .expect_stderr(&free.port().to_string());
}

#[test]
fn an_archive_cut_short_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("cut.tar");
    docker_archive(&archive, &[ImageSpec::new("a:1").layer(1, 90_000)]);
    let length = archive.metadata().unwrap().len();
    File::options()
        .write(true)
        .open(&archive)
        .unwrap()
        .set_len(length - 95_000)
        .unwrap();
    let registry = Registry::start(Kind::Serve);
    let out = push(&archive, &registry, "t/", &[]);
    assert!(matches!(out.code(), Some(1 | 3)), "{out}");
    assert_eq!(out.stderr.matches("cut.tar failed").count(), 1, "{out}");
    out.expect_stderr("failed: the archive is damaged: ");
}

#[test]
fn blobs_that_a_registry_wrongly_says_it_has_are_sent_when_it_refuses_the_manifest() {
    let dir = tempfile::tempdir().unwrap();
    layout(dir.path(), &[ImageSpec::new("app:1").layer(1, 5_000)]);
    let registry = Registry::start(Kind::Serve);
    let forgetful = Scripted::before(
        registry.address(),
        [
            on("POST", "/v2/").containing("mount=").then(answer(201)),
            on("HEAD", "/v2/").containing("/blobs/").then(answer(200)),
        ],
    );
    let target = format!("{}/t/app:1", forgetful.address());
    let out = hoist(["push", "-o", "json"])
        .arg(dir.path())
        .arg(target)
        .run()
        .expect_code(0);
    let report = out.json();
    read_back(&registry, &report);
    let blobs = report["images"][0]["blobs"].as_array().unwrap();
    assert_eq!(blobs.len(), 2);
    assert!(
        blobs.iter().all(|blob| blob["status"] == "uploaded"),
        "{out}"
    );
    assert!(
        blobs.iter().all(|blob| blob["sent"] == blob["size"]),
        "{out}"
    );
}
