//! Hosts that ask for a longer pause than hoist waits: nothing more is sent there, by nobody.

use std::time::Duration;

use hoist::image::digest::Digest;
use hoist::image::reference::Tag;
use hoist::registry::error::{Error, ErrorKind};
use tempfile::tempdir;

use crate::bad_tokens::{as_me, bearer};
use crate::support::archives::{ImageSpec, layout};
use crate::support::command::hoist;
use crate::support::registry::{Kind, Registry};
use crate::support::scripted::{Answer, Gate, Rule, Scripted, answer, held, on};
use crate::wire::{Wire, plain, repo, telling_session};

const SENTENCE: &str =
    "answered 429 Too Many Requests and asks to wait 3600 s, longer than 5 minutes";

fn busy(after: &str) -> Answer {
    answer(429).header("Retry-After", after)
}

#[track_caller]
fn is_left(outcome: Result<impl Sized, Error>, operation: &str) {
    let Err(error) = outcome else {
        panic!("{operation} went well");
    };
    assert_eq!(error.kind, ErrorKind::Pressure, "{error}");
    assert!(error.operation.starts_with(operation), "{error}");
    assert!(error.reason.contains(SENTENCE), "{error}");
}

#[test]
fn a_push_that_is_told_to_wait_an_hour_sends_nothing_more() {
    const JOBS: usize = 6;
    let dir = tempdir().unwrap();
    layout(dir.path(), &ImageSpec::many("app", 40, 2, 100));
    let gate = Gate::new();
    let server = Scripted::start([on("*", "/").then(held(&gate, busy("3600")))]);
    let jobs = JOBS.to_string();
    let running = hoist(["push", "-o", "json", "--plain-http", "-j", &jobs])
        .arg(dir.path())
        .arg(format!("{}/t/", server.address()))
        .spawn();
    gate.wait_for(JOBS);
    gate.open();
    let output = running.wait().expect_code(1);
    // Those that were under way.
    assert_eq!(server.requests().len(), JOBS, "{output}");
    let report = output.json();
    let images = report["images"].as_array().unwrap();
    assert_eq!(images.len(), 40);
    for image in images {
        let error = &image["error"];
        assert_eq!(error["kind"], "pressure", "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(SENTENCE), "{error}");
    }
}

#[test]
fn whatever_was_asked_for_when_it_was_said_nothing_else_is_asked() {
    let tag = Tag::parse("1").unwrap();
    let date = "Sun, 06 Nov 1994 09:49:37 GMT";
    let asks: [&dyn Fn(&Wire); 4] = [
        &|wire| is_left(wire.push("app", b"one"), "upload of sha256:"),
        &|wire| is_left(wire.check("app", "1"), "check of manifest"),
        // Reading fails nothing.
        &|wire| {
            let seen = wire.client.look_at_tag(&repo("app"), &tag);
            assert!(seen.unwrap().is_none());
        },
        &|wire| {
            let digest = Digest::of(b"x");
            assert_eq!(wire.client.read_blob(&repo("app"), &digest, 1), None);
        },
    ];
    for (number, ask) in asks.iter().enumerate() {
        for after in ["3600", date] {
            // The manual clock says 08:49:37.
            let server = Scripted::start([on("*", "/").then(busy(after))]);
            let wire = Wire::with(server.address(), plain(5));
            ask(&wire);
            is_left(wire.push("other", b"two"), "upload of sha256:");
            is_left(wire.check("other", "1"), "check of manifest");
            is_left(wire.stream("other", b"three"), "upload of sha256:");
            assert_eq!(server.requests().len(), 1, "{number} {after}");
            assert!(wire.clock.slept().is_empty());
            assert_eq!(wire.pressures(), 0);
        }
    }
}

#[test]
fn a_token_service_or_a_store_that_says_so_is_left_alone_and_nobody_else() {
    let issuer = Scripted::start([on("*", "/").then(busy("3600"))]);
    let realm = issuer.url("/token");
    let asking = Scripted::start([on("*", "/v2/").then(bearer(&realm))]);
    let wire = Wire::with(asking.address(), as_me(5));
    for (repository, bytes) in [("app", b"one"), ("app", b"two"), ("other", b"six")] {
        is_left(wire.push(repository, bytes), "upload of sha256:");
    }
    assert_eq!(issuer.requests().len(), 1);

    let store = Scripted::start([on("*", "/").then(busy("3600"))]);
    let location = format!("http://localhost:{}/store/1", store.address().port());
    let mut parts: Vec<Rule> =
        vec![on("POST", "/v2/far/").then(answer(202).header("Location", location))];
    parts.push(on("POST", "/v2/near/").then(telling_session()));
    parts.push(on("PUT", "/v2/").then(answer(201)));
    let server = Scripted::start(parts);
    let far = Wire::with(server.address(), plain(5));
    is_left(far.push("far", b"one"), "upload of sha256:");
    is_left(far.push("far", b"two"), "upload of sha256:");
    far.push("near", b"three").unwrap();
    assert_eq!(store.requests().len(), 1);
}

/// As with a host that nobody reaches: all give up together, and not each after its own time.
#[test]
fn a_registry_that_asks_for_nothing_but_pauses_is_left_alone_after_five_minutes() {
    let server = Scripted::start([on("*", "/").then(busy("60"))]);
    let wire = Wire::with(server.address(), plain(5));
    for bytes in [b"one", b"two"] {
        let error = wire.push("app", bytes).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Pressure);
        let sentence = "asks to wait 60 s, longer than 5 minutes in all";
        assert!(error.reason.contains(sentence), "{error}");
    }
    assert_eq!(server.requests().len(), 6);
    assert_eq!(wire.clock.slept(), [Duration::from_secs(60); 5]);
}

#[test]
fn where_something_else_is_answered_in_between_each_has_five_minutes_of_its_own() {
    let registry = Registry::start(Kind::Serve);
    let rule = on("PUT", "/v2/").then(busy("60"));
    let server = Scripted::before(registry.address(), [rule]);
    let wire = Wire::with(server.address(), plain(5));
    for bytes in [b"one", b"two"] {
        wire.push("app", bytes).unwrap_err();
    }
    let requests = server.requests().into_iter();
    let puts = requests.filter(|seen| seen.method == "PUT");
    assert_eq!(puts.count(), 12);
}
