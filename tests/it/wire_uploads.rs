//! Uploads that meet limits, slow commits, lost answers and wrong digests.

use std::time::Duration;

use hoist::image::digest::Digest;
use hoist::registry::client::{Arrival, Settings};
use hoist::registry::error::ErrorKind;

use crate::support::registry::{Kind, Registry};
use crate::support::scripted::{Scripted, Then, answer, early, on, pass_and_close};
use crate::wire::{Wire, code, manifest, noise, plain, repo, shape, telling_session};

const MIB: usize = 1 << 20;

#[test]
fn bodies_shrink_until_they_fit() {
    let registry = Registry::start(Kind::Serve);
    let bytes = noise(9 * MIB, 4);
    // What a proxy does that lets 1 MiB through: it looks at the length, answers, and closes.
    let limit = |size: &str| on("*", "/v2/").containing(size);
    let too_large = || early(0, answer(413).header("Connection", "close"), Then::Close);
    let server = Scripted::before(
        registry.address(),
        [
            limit("/uploads/")
                .containing("digest=")
                .times(1)
                .then(too_large()),
            on("PATCH", "/v2/").times(1).then(too_large()),
        ],
    );
    let wire = Wire::with(server.address(), plain(0));
    wire.push("app", &bytes).unwrap();
    let digest = Digest::of(&bytes);
    assert_eq!(registry.blob("app", digest.as_str()).body, bytes);
    let seen = server.requests();
    let patches: Vec<u64> = seen
        .iter()
        .filter(|s| s.method == "PATCH")
        .map(|s| s.body_len)
        .collect();
    // 9 MiB whole, then 4 refused, then 1 each, the last one in the PUT.
    assert_eq!(patches[1..], [1 << 20; 8]);
    let last = seen.last().unwrap();
    assert_eq!((last.method.as_str(), last.body_len), ("PUT", 1 << 20));
    assert_eq!(last.header("content-range"), Some("8388608-9437183"));
    // It is remembered.
    let before = seen.len();
    wire.push("app", &noise(2 * MIB, 5)).unwrap();
    assert_eq!(
        shape(&server.requests()[before..]),
        ["POST mount", "PATCH upload", "PUT upload"]
    );
}

#[test]
fn a_413_that_nothing_helps_against_says_what_may_be_the_limit() {
    let rules = vec![
        on("POST", "/v2/").then(telling_session()),
        on("*", "/v2/").then(answer(413).header("Content-Type", "text/html")),
    ];
    let server = Scripted::start(rules);
    let wire = Wire::with(server.address(), plain(5));
    let error = wire.push("app", &noise(3 * MIB, 6)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert_eq!(error.status, Some(413));
    let sentence = "registry answered 413 Payload Too Large to 1 MiB (a proxy limit such as client_max_body_size)";
    assert_eq!(error.reason, sentence);
    assert_eq!(error.hint.as_deref(), Some("--chunk-size 512KiB"));
    assert_eq!(
        shape(&server.requests()),
        ["POST mount", "PUT upload", "PATCH upload"]
    );
}

#[test]
fn chunks_are_never_below_what_the_registry_asks_for() {
    let least = telling_session().header("OCI-Chunk-Min-Length", "700000");
    let moved = || answer(202).header("Location", "/v2/app/blobs/uploads/2");
    let server = Scripted::start([
        on("POST", "/v2/").then(least),
        on("PATCH", "/v2/").then(moved()),
        on("PUT", "/v2/").then(answer(201)),
    ]);
    let asked = Settings {
        chunk_size: Some(1000),
        ..plain(0)
    };
    Wire::with(server.address(), asked)
        .push("app", &noise(1_500_000, 7))
        .unwrap();
    let seen = server.requests();
    let sizes: Vec<u64> = seen.iter().map(|s| s.body_len).collect();
    assert_eq!(sizes, [0, 700_000, 700_000, 100_000]);
    assert_eq!(seen[1].header("content-range"), Some("0-699999"));
    assert!(seen[2].target.starts_with("/v2/app/blobs/uploads/2"));
}

#[test]
fn a_slow_commit_is_looked_for_before_the_blob_is_sent_again() {
    let server = Scripted::start([
        on("POST", "/v2/").then(telling_session()),
        on("PUT", "/v2/").then(answer(504)),
        on("HEAD", "/v2/").times(2).then(answer(404)),
        on("HEAD", "/v2/").then(answer(200)),
    ]);
    let wire = Wire::with(server.address(), plain(0));
    let delivery = wire.push("app", b"hello").unwrap();
    assert_eq!(delivery.arrival, Arrival::Uploaded);
    let seen = shape(&server.requests());
    assert_eq!(
        seen,
        [
            "POST mount",
            "PUT upload",
            "HEAD blob",
            "HEAD blob",
            "HEAD blob"
        ]
    );
    assert_eq!(wire.clock.slept(), [1, 2].map(Duration::from_secs));
    assert_eq!(wire.retries(), []);
}

#[test]
fn an_answer_that_got_lost_is_looked_for() {
    let registry = Registry::start(Kind::Serve);
    let lost = |method: &str, part: &str| {
        on(method, "/v2/")
            .containing(part)
            .times(1)
            .then(pass_and_close())
    };
    let server = Scripted::before(
        registry.address(),
        [lost("PUT", "digest="), lost("PUT", "/manifests/")],
    );
    let wire = Wire::with(server.address(), plain(0));
    let (config, layer) = (noise(500, 8), noise(2 * MIB, 9));
    let image = manifest(&[&config, &layer]);
    assert_eq!(wire.push("app", &layer).unwrap().arrival, Arrival::Uploaded);
    wire.push("app", &config).unwrap();
    wire.put("app", "1", &image).unwrap();
    let puts = shape(&server.requests());
    assert_eq!(
        puts.iter().filter(|shape| *shape == "PUT manifest").count(),
        1
    );
    assert_eq!(
        puts.iter().filter(|shape| *shape == "PUT upload").count(),
        2
    );
    assert_eq!(wire.retries(), []);
}

#[test]
fn a_digest_that_is_wrong_there_is_tried_once_more() {
    let wrong = code(400, "DIGEST_INVALID", "provided digest did not match");
    let server = Scripted::start([
        on("POST", "/v2/").then(telling_session()),
        on("PUT", "/v2/").then(wrong),
    ]);
    let wire = Wire::with(server.address(), plain(5));
    let error = wire.push("app", b"hello").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(
        error.reason.contains("while the local ones are right"),
        "{error}"
    );
    assert_eq!(shape(&server.requests()).len(), 4);
}

#[test]
fn a_digest_that_is_wrong_here_is_the_fault_of_the_source() {
    let registry = Registry::start(Kind::Serve);
    let wire = Wire::new(registry.host());
    let body: std::sync::Arc<[u8]> = b"other bytes"[..].into();
    let error = wire
        .client
        .push_blob(&hoist::registry::client::BlobTask {
            repository: &repo("app"),
            digest: &Digest::of(b"hello"),
            body: &body,
            mount_from: None,
            no_mount: false,
            force: false,
            made_of: None,
            meter: &hoist::observe::event::Meter::default(),
        })
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Source);
    assert!(
        error
            .reason
            .starts_with("the local bytes do not have the digest"),
        "{error}"
    );
    assert_eq!(wire.retries(), []);
}
