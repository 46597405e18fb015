//! What cannot be verified is not called right.

use serde_json::json;

use super::*;
use crate::support::archives::{CONFIG, Layout, MANIFEST, noise};
use crate::support::pushing::requests;
use crate::support::scripted::{Gate, Scripted, answer, held, on, pass};

#[test]
fn who_may_not_read_cannot_verify() {
    let dir = tempdir().unwrap();
    images(dir.path());
    let registry = Registry::start(Kind::Serve);
    let rules = [on("GET", "/v2/app/blobs/").then(answer(403))];
    let server = Scripted::before(registry.address(), rules);
    let output = hoist(["push", "--verify", "-o", "json"])
        .arg(dir.path().join("app"))
        .arg(format!("{}/app", server.address()))
        .run()
        .expect_code(4);
    let report = output.json();
    let target = &report["images"][0]["targets"][0];
    assert_eq!(target["status"], "failed");
    let message = target["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("verification of sha256:"), "{message}");
    assert!(message.contains("403 Forbidden"), "{message}");
    assert_eq!(report["images"][0]["blobs"][0]["verified"], false);
}

#[test]
fn whoever_ends_it_before_it_was_read_is_not_through() {
    let dir = tempdir().unwrap();
    images(dir.path());
    let registry = Registry::start(Kind::Serve);
    let gate = Gate::new();
    let rules = [on("GET", "/v2/app/blobs/").then(held(&gate, pass()))];
    let server = Scripted::before(registry.address(), rules);
    let running = hoist(["push", "--verify", "-o", "json"])
        .arg(dir.path().join("app"))
        .arg(format!("{}/app", server.address()))
        .spawn();
    gate.wait_for(1);
    running.signal("INT");
    let output = running.wait().expect_code(130);
    gate.open();
    let report = output.json();
    assert_eq!(report["outcome"], "interrupted", "{output}");
    assert_eq!(report["images"][0]["status"], "failed", "{output}");
}

#[test]
fn foreign_layers_are_not_looked_for() {
    let dir = tempdir().unwrap();
    let mut made = Layout::create(dir.path());
    let mut image = ImageSpec::new("app:1").layer(1, 5_000);
    image.names.clear();
    let config = made.blob(CONFIG, &image.config());
    let layer = made.layer(&image.layers[0]);
    let foreign = json!({
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "digest": hoist::image::digest::Digest::of(b"far away").as_str(),
        "size": 8, "urls": ["https://vendor.example/layer"],
    });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [foreign, layer],
    });
    let descriptor = made.manifest(&manifest);
    made.enter(descriptor, Some("app:1"));
    made.finish();
    let registry = Registry::start(Kind::Serve);
    let report = push(dir.path(), &registry, "app", &["--verify"])
        .expect_code(0)
        .json();
    expect_verified(&report);
    assert_eq!(count(&requests(&registry, 0), "GET blob"), 2);
}

/// The source lacks a layer that the registry has, in a way.
#[test]
fn what_no_source_has_cannot_be_sent_again() {
    let dir = tempdir().unwrap();
    images(dir.path());
    let registry = Registry::start(Kind::Serve);
    let app = dir.path().join("app");
    let report = push(&app, &registry, "app", &[]).expect_code(0).json();
    let (digest, size) = largest(&report, "app");
    let hex = digest.strip_prefix("sha256:").unwrap();
    fs::remove_file(app.join("blobs/sha256").join(hex)).unwrap();
    push(&app, &registry, "app", &["--verify"]).expect_code(0);
    fs::write(registry.stored(&digest), noise(7, size as usize)).unwrap();
    let output = push(&app, &registry, "app", &["--verify"]).expect_code(1);
    let message = output.json()["images"][0]["error"]["message"].to_string();
    assert!(
        message.contains(&format!("verification of {digest}: it has")),
        "{message}"
    );
    assert!(message.contains("no source has it"), "{message}");
}
