//! Checks and mounts: what they may conclude, and that they never fail a push.

use std::time::Duration;

use hoist::image::digest::Digest;
use hoist::registry::client::{Arrival, ManifestFailure, Presence, Settings};
use hoist::registry::error::ErrorKind;

use crate::support::scripted::{Answer, Scripted, answer, on};
use crate::wire::{Wire, code, manifest, noise, plain, repo, session, shape, telling_session};

#[test]
fn checks_never_fail_a_push() {
    let page = answer(200).header("Content-Type", "text/html; charset=utf-8");
    let head = |a: Answer| vec![on("HEAD", "/v2/app/manifests/").then(a)];
    for (rules, expected) in [
        (head(answer(404)), Presence::Absent),
        (head(answer(400)), Presence::Unknown),
        (head(answer(401)), Presence::Unknown),
        (head(answer(403)), Presence::Unknown),
        (head(answer(405)), Presence::Unknown),
        (head(answer(500)), Presence::Unknown),
        (head(page), Presence::Unknown),
        (
            head(answer(302).header("Location", "/v2/app/manifests/1.0")),
            Presence::Unknown,
        ),
        (
            head(answer(200).header("Docker-Content-Digest", Digest::of(b"x").as_str())),
            Presence::Present(Digest::of(b"x")),
        ),
        (
            vec![
                on("HEAD", "/v2/app/").then(answer(200)),
                on("GET", "/v2/app/manifests/1.0").then(answer(200).body("bytes")),
            ],
            Presence::Present(Digest::of(b"bytes")),
        ),
        (
            vec![
                on("HEAD", "/v2/app/").then(answer(200).header("Docker-Content-Digest", "../../x")),
                on("GET", "/v2/app/").then(answer(404)),
            ],
            Presence::Absent,
        ),
    ] {
        let server = Scripted::start(rules);
        let wire = Wire::with(server.address(), plain(2));
        assert_eq!(wire.check("app", "1.0").unwrap(), expected);
        assert!(
            server.requests()[0]
                .header("accept")
                .unwrap()
                .contains("manifest.list.v2")
        );
    }
}

#[test]
fn a_manifest_without_end_is_not_read() {
    let huge = answer(200).header("Content-Length", (1_u64 << 40).to_string());
    let server = Scripted::start([
        on("HEAD", "/v2/app/").then(answer(200)),
        on("GET", "/v2/app/").then(huge),
    ]);
    let wire = Wire::with(server.address(), plain(0));
    assert_eq!(wire.check("app", "1.0").unwrap(), Presence::Unknown);
}

#[test]
fn a_mount_is_no_answer_where_it_says_nothing() {
    let (small, large) = (noise(1000, 1), noise(70_000, 2));
    let rules = |post: Answer| {
        [
            on("POST", "/v2/app/").containing("mount=").then(post),
            on("POST", "/v2/app/").then(session()),
            on("HEAD", "/v2/app/").then(answer(404)),
            on("PUT", "/v2/app/").then(answer(201)),
        ]
    };
    for (post, small_shape, large_shape) in [
        (
            session(),
            "POST mount, PUT upload",
            "POST mount, HEAD blob, PUT upload",
        ),
        (
            telling_session(),
            "POST mount, PUT upload",
            "POST mount, PUT upload",
        ),
        (
            answer(401),
            "POST mount, POST upload, PUT upload",
            "POST mount, HEAD blob, POST upload, PUT upload",
        ),
        (
            answer(500),
            "POST mount, POST upload, PUT upload",
            "POST mount, HEAD blob, POST upload, PUT upload",
        ),
    ] {
        for (bytes, expected) in [(&small, small_shape), (&large, large_shape)] {
            let server = Scripted::start(rules(post.clone()));
            let wire = Wire::with(server.address(), plain(5));
            wire.push("app", bytes).unwrap();
            let mut seen = shape(&server.requests());
            seen.retain(|request| request != "GET /v2/");
            assert_eq!(seen.join(", "), expected);
            assert_eq!(
                server.requests().last().unwrap().body_len,
                bytes.len() as u64
            );
        }
    }
}

#[test]
fn harbor_is_asked_by_head() {
    let challenge = "Bearer realm=\"/service/token\",service=\"harbor-registry\"";
    let server = Scripted::start([
        on("HEAD", "/v2/app/manifests/")
            .times(1)
            .then(answer(401).header("WWW-Authenticate", challenge)),
        on("HEAD", "/v2/app/manifests/").then(answer(404)),
        on("GET", "/service/token").then(answer(200).body("{\"token\":\"t\"}")),
        on("HEAD", "/v2/app/blobs/").then(answer(404)),
        on("POST", "/v2/app/").then(telling_session()),
        on("PUT", "/v2/app/").then(answer(201)),
    ]);
    let wire = Wire::with(server.address(), plain(0));
    assert_eq!(wire.check("app", "1").unwrap(), Presence::Absent);
    let delivery = wire.push_from("app", b"x", Some("other")).unwrap();
    assert!(delivery.mount_refused);
    let pushed = ["HEAD blob", "POST upload", "PUT upload"];
    assert_eq!(shape(&server.requests())[3..], pushed);
    // The next time that is known before the registry has said anything.
    let known = Settings {
        known_service: wire.client.token_service(),
        ..plain(0)
    };
    Wire::with(server.address(), known)
        .push_from("app", b"x", Some("other"))
        .unwrap();
    let seen = shape(&server.requests());
    assert!(seen[6].starts_with("GET /service/token"), "{seen:?}");
    assert_eq!(seen[7..], pushed);
}

#[test]
fn a_redirected_check_counts_only_with_the_right_size() {
    let bytes = noise(70_000, 3);
    for (size, arrival) in [(70_000, Arrival::Present), (69_999, Arrival::Uploaded)] {
        let there = answer(200).header("Content-Length", size.to_string());
        let elsewhere = Scripted::start([on("HEAD", "/store").then(there)]);
        let port = elsewhere.address().port();
        let away = answer(307).header("Location", format!("http://localhost:{port}/store"));
        let server = Scripted::start([
            on("POST", "/v2/app/").then(session()),
            on("HEAD", "/v2/app/").then(away),
            on("PUT", "/v2/app/").then(answer(201)),
        ]);
        let wire = Wire::with(server.address(), plain(0));
        assert_eq!(wire.push("app", &bytes).unwrap().arrival, arrival);
        assert_eq!(elsewhere.requests().len(), 1);
    }
}

#[test]
fn a_manifest_that_the_tag_does_not_stand_for_is_put_again() {
    let image = manifest(&[b"config"]);
    let ours = image.digest().as_str();
    let names = |status: u16, digest: &str| answer(status).header("Docker-Content-Digest", digest);
    let other = Digest::of(b"other");
    // What the PUTs and the HEADs say, and what comes of it.
    for (put, heads, expected) in [
        (names(201, ours), vec![], Some(1)),
        (answer(201), vec![names(200, ours)], Some(2)),
        (answer(201), vec![answer(403)], Some(2)),
        // And one question what is asked for.
        (answer(201), vec![answer(401)], Some(3)),
        (
            answer(201),
            vec![names(200, other.as_str()), names(200, ours)],
            Some(4),
        ),
        (
            names(201, other.as_str()),
            vec![names(200, other.as_str()); 2],
            None,
        ),
        (answer(200), vec![answer(404), names(200, ours)], Some(4)),
        (
            code(400, "TAG_INVALID", "immutable"),
            vec![names(200, ours)],
            Some(2),
        ),
        (
            code(400, "TAG_INVALID", "immutable"),
            vec![answer(404)],
            None,
        ),
        (answer(500), vec![names(200, ours)], Some(2)),
    ] {
        let mut rules = vec![on("PUT", "/v2/app/manifests/1").then(put.clone())];
        for (n, head) in heads.into_iter().enumerate() {
            rules.push(on("HEAD", "/v2/app/manifests/1").nth(n + 1).then(head));
        }
        let server = Scripted::start(rules);
        let wire = Wire::with(server.address(), plain(1));
        let outcome = wire.put("app", "1", &image);
        match expected {
            Some(requests) => {
                outcome.unwrap_or_else(|error| panic!("{put:?}: {error:?}"));
                assert_eq!(server.requests().len(), requests, "{put:?}");
                let sent = &server.requests()[0];
                assert_eq!(sent.body, &**image.bytes());
                let expected_type = image.media_type().as_str();
                assert_eq!(sent.header("content-type"), Some(expected_type));
            }
            None => {
                let Err(ManifestFailure::Other(error)) = outcome else {
                    panic!("{put:?}: {outcome:?}")
                };
                assert_eq!(error.kind, ErrorKind::Refused, "{error}");
                assert_eq!(error.operation, "upload of manifest app:1");
            }
        }
    }
}

#[test]
fn blobs_that_come_late_are_waited_for() {
    let (late, never, child) = (
        Digest::of(b"late"),
        Digest::of(b"never"),
        Digest::of(b"child"),
    );
    let blob = |digest: &Digest| format!("/v2/app/blobs/{digest}");
    let server = Scripted::start([
        on("HEAD", &blob(&late)).times(1).then(answer(404)),
        on("HEAD", &blob(&late)).then(answer(200)),
        on("HEAD", &format!("/v2/app/manifests/{child}")).then(answer(200)),
        on("HEAD", "/v2/app/").then(answer(404)),
    ]);
    let wire = Wire::with(server.address(), plain(0));
    let asked = [late, never.clone(), child];
    let lost = wire.client.await_blobs(&repo("app"), &asked).unwrap();
    assert_eq!(lost, [never]);
    assert_eq!(wire.clock.slept(), [1, 2, 4].map(Duration::from_secs));
}
