//! Answers that are no, not yet, elsewhere or no HTTP at all: the kind of error, its sentence, and what
//! the server saw.

use std::thread;
use std::time::Duration;

use hoist::registry::client::{Presence, Settings};
use hoist::registry::error::ErrorKind;

use crate::support::registry::{Kind, Registry};
use crate::support::scripted::{
    Gate, Scripted, answer, close_after, endless_headers, held, on, pass, raw, wrong_length,
};
use crate::wire::{Wire, code, fails, noise, plain, session, shape, telling_session, user};

#[test]
fn refusals_say_why_and_are_not_repeated() {
    let html =
        "<html><head><title>413 Request Entity Too Large</title></head><body>x</body></html>";
    for (post, kind, sentence) in [
        (
            code(400, "NAME_INVALID", "bad\u{1b}[31m name"),
            ErrorKind::Refused,
            "registry answered 400 Bad Request: NAME_INVALID: bad [31m name",
        ),
        (
            code(404, "NAME_UNKNOWN", "no such repository"),
            ErrorKind::Refused,
            "registry answered 404 Not Found: NAME_UNKNOWN: no such repository",
        ),
        (
            code(403, "DENIED", "read only"),
            ErrorKind::Auth,
            "registry answered 403 Forbidden: DENIED: read only",
        ),
        (
            answer(401),
            ErrorKind::Auth,
            "registry answered 401 Unauthorized (no credentials were given)",
        ),
        (
            answer(401).header("WWW-Authenticate", "Bearer realm=\"ftp://t/\""),
            ErrorKind::Auth,
            "registry answered 401 Unauthorized (the token service it names is neither http nor https)",
        ),
        (
            answer(501).header("Content-Type", "text/html").body(html),
            ErrorKind::Refused,
            "registry answered 501 Not Implemented: 413 Request Entity Too Large",
        ),
        (
            answer(200).body(html),
            ErrorKind::Refused,
            "registry answered 200 OK where an upload begins, which is none",
        ),
        (
            answer(202),
            ErrorKind::Refused,
            "registry opened an upload, but sent no Location",
        ),
        (
            answer(202).header("Location", "ftp://x/"),
            ErrorKind::Refused,
            "registry opened an upload, but its Location is neither http nor https",
        ),
    ] {
        let (error, wire, server) = fails(vec![on("POST", "/v2/app/").then(post)], 5);
        assert_eq!(error.kind, kind, "{error}");
        assert_eq!(error.reason, sentence);
        assert_eq!(error.operation, "upload of sha256:2cf24dba5fb0…");
        assert_eq!(wire.retries(), []);
        assert!(server.requests().len() <= 3, "{sentence}");
    }
}

#[test]
fn what_is_no_http_is_tried_again_and_then_named() {
    for (action, kind, sentence) in [
        (close_after(0), ErrorKind::Unreachable, "no answer from"),
        (
            endless_headers(),
            ErrorKind::Refused,
            "header is larger than",
        ),
        (
            raw("SSH-2.0-OpenSSH_9.6\r\n"),
            ErrorKind::Refused,
            "no answer from",
        ),
        (
            wrong_length(answer(500).body("half"), 1000),
            ErrorKind::Unreachable,
            "no answer from",
        ),
    ] {
        let (error, wire, server) = fails(vec![on("*", "/").then(action)], 2);
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.reason.contains(sentence), "{error}");
        assert!(error.reason.ends_with("(tried 3 times)"), "{error}");
        assert_eq!(wire.retries().len(), 2);
        assert_eq!(server.requests().len(), 3, "{error}");
    }
}

#[test]
fn errors_of_the_server_are_repeated_within_the_budget() {
    let (error, wire, server) = fails(vec![on("*", "/").then(answer(502).body("upstream"))], 3);
    assert_eq!(error.kind, ErrorKind::Refused);
    let sentence = "registry answered 502 Bad Gateway: upstream (tried 4 times)";
    assert_eq!(error.reason, sentence);
    for (n, (_, wait)) in wire.retries().iter().enumerate() {
        assert!(*wait <= Duration::from_millis(500 << n), "{wait:?}");
    }
    // The mount is left alone after the first time.
    assert_eq!(shape(&server.requests())[0], "POST mount");
    let posts = shape(&server.requests());
    assert_eq!(
        posts.iter().filter(|post| *post == "POST upload").count(),
        4
    );
}

#[test]
fn pressure_is_waited_for_as_long_as_is_asked() {
    let registry = Registry::start(Kind::Serve);
    for (status, after, waited) in [(429, "7", 7), (503, "Sun, 06 Nov 1994 08:49:57 GMT", 20)] {
        let busy = answer(status).header("Retry-After", after);
        let rule = on("POST", "/v2/").times(1).then(busy);
        let server = Scripted::before(registry.address(), [rule]);
        let wire = Wire::with(server.address(), plain(1));
        wire.push("app", after.as_bytes()).unwrap();
        assert_eq!(wire.clock.slept(), [Duration::from_secs(waited)], "{after}");
        assert_eq!(wire.pressures(), 1);
        assert_eq!(
            wire.client.totals().waited.total(),
            Duration::from_secs(waited)
        );
    }
}

#[test]
fn many_refusals_at_once_are_one_pressure() {
    let registry = Registry::start(Kind::Serve);
    let gate = Gate::new();
    let busy = answer(429).header("Retry-After", "3");
    let server = Scripted::before(
        registry.address(),
        [
            on("POST", "/v2/").nth(1).then(pass()),
            on("POST", "/v2/").times(9).then(held(&gate, busy)),
        ],
    );
    let wire = Wire::with(server.address(), plain(5));
    // The first write to a repository goes ahead of the others.
    wire.push("app", b"first").unwrap();
    thread::scope(|scope| {
        for n in 0..8 {
            let wire = &wire;
            scope.spawn(move || wire.push("app", &noise(100, n)).unwrap());
        }
        gate.wait_for(8);
        gate.open();
    });
    assert_eq!(wire.retries().len(), 8);
    assert_eq!(wire.pressures(), 1);
}

#[test]
fn pressure_without_end_fails_and_says_so() {
    let busy = |after: &str| answer(429).header("Retry-After", after);
    for (seconds, hint) in [
        (301, "again in 6 minutes"),
        (400, "again in 7 minutes"),
        (3600, "again in 60 minutes"),
        (7201, "again in 3 hours"),
        (172_801, "again in 3 days"),
    ] {
        let after = seconds.to_string();
        let (error, wire, _server) = fails(vec![on("*", "/").then(busy(&after))], 5);
        assert_eq!(error.kind, ErrorKind::Pressure);
        let sentence = format!(
            "registry answered 429 Too Many Requests and asks to wait {seconds} s, longer than 5 minutes"
        );
        assert_eq!(error.reason, sentence);
        assert_eq!(error.hint.as_deref(), Some(hint));
        assert!(wire.clock.slept().is_empty());
    }
}

#[test]
fn pauses_are_free_but_not_for_ever() {
    for (retries, after, requests) in [(1, 60, 6), (5, 60, 6), (0, 1, 1)] {
        let busy = answer(429).header("Retry-After", after.to_string());
        let (error, wire, server) = fails(vec![on("*", "/").then(busy)], retries);
        assert_eq!(error.kind, ErrorKind::Pressure);
        assert_eq!(server.requests().len(), requests);
        let waits = vec![Duration::from_secs(after); requests - 1];
        assert_eq!(wire.clock.slept(), waits);
    }
}

#[test]
fn redirects_end() {
    let around = answer(307).header("Location", "/v2/app/blobs/uploads/?again");
    let (error, wire, server) = fails(vec![on("POST", "/v2/").then(around)], 5);
    assert_eq!(error.kind, ErrorKind::Refused);
    let sentence = "registry answered 307 Temporary Redirect after 5 redirects";
    assert_eq!(error.reason, sentence);
    assert_eq!(wire.retries(), []);
    // The mount and the plain POST, each with five redirects.
    assert_eq!(server.requests().len(), 12);
}

#[test]
fn a_location_elsewhere_is_followed_without_credentials() {
    let elsewhere = Scripted::start([on("PUT", "/store/1").then(answer(201))]);
    let port = elsewhere.address().port();
    let location = format!("http://localhost:{port}/store/1?sig=s");
    let challenge = answer(401).header("WWW-Authenticate", "Basic realm=\"r\"");
    let server = Scripted::start([
        on("POST", "/v2/app/").times(1).then(challenge),
        on("POST", "/v2/app/").then(answer(202).header("Location", location)),
    ]);
    let wire = Wire::with(
        server.address(),
        Settings {
            keychain: user("me", "secret"),
            ..plain(0)
        },
    );
    wire.push("app", b"hello").unwrap();
    let seen = server.requests();
    assert_eq!(seen[0].header("authorization"), None);
    assert_eq!(seen[1].header("authorization"), Some("Basic bWU6c2VjcmV0"));
    let stored = elsewhere.requests();
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].header("authorization"), None);
    assert!(
        stored[0]
            .target
            .starts_with("/store/1?sig=s&digest=sha256:")
    );
    assert_eq!(stored[0].body, b"hello");
}

#[test]
fn refused_credentials_are_named_by_their_user() {
    let challenge = || answer(401).header("WWW-Authenticate", "Basic realm=\"r\"");
    let server = Scripted::start([on("*", "/").then(challenge())]);
    let known = Settings {
        keychain: user("me", "secret"),
        ..plain(5)
    };
    let error = Wire::with(server.address(), known)
        .push("app", b"x")
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Auth);
    let sentence =
        "registry answered 401 Unauthorized (the credentials of me (from --username) were refused)";
    assert_eq!(error.reason, sentence);
    assert!(!format!("{error:?}").contains("secret"));
    let unknown = Wire::with(server.address(), plain(5));
    let nobody = unknown.push("app", b"x").unwrap_err();
    assert!(
        nobody.reason.ends_with("(no credentials were given)"),
        "{nobody}"
    );
    let hint = format!(
        "hoist login {}, or --username NAME with --password-stdin",
        server.address()
    );
    assert_eq!(nobody.hint, Some(hint));
}

#[test]
fn a_401_without_a_challenge_is_asked_about() {
    let challenge = answer(401).header("WWW-Authenticate", "Basic realm=\"r\"");
    let server = Scripted::start([
        on("GET", "/v2/").then(challenge),
        on("POST", "/v2/app/").times(1).then(answer(401)),
        on("POST", "/v2/app/").then(session()),
        on("PUT", "/v2/app/").then(answer(201)),
    ]);
    let known = Settings {
        keychain: user("me", "secret"),
        ..plain(0)
    };
    Wire::with(server.address(), known)
        .push("app", b"x")
        .unwrap();
    let expected = ["POST mount", "GET /v2/", "POST mount", "PUT upload"];
    assert_eq!(shape(&server.requests()), expected);
}

#[test]
fn connections_that_went_stale_cost_nothing() {
    let server = Scripted::start([
        on("POST", "/v2/").then(telling_session()),
        on("PUT", "/v2/").then(answer(201)),
        on("HEAD", "/v2/").then(answer(404)),
    ]);
    let wire = Wire::with(server.address(), plain(0));
    wire.push("app", b"one").unwrap();
    server.hang_up();
    assert_eq!(wire.check("app", "1").unwrap(), Presence::Absent);
    server.hang_up();
    wire.push("app", b"two").unwrap();
    assert_eq!(wire.retries(), []);
}
