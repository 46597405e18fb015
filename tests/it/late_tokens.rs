//! Tokens that many wait for, and those that are refused when a body is on its way.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hoist::image::digest::Digest;
use hoist::image::reference::Repository;
use hoist::observe::event::Emit;
use hoist::registry::client::{
    Arrival, Credentials, Keychain, Login, Presence, Settings, TokenService,
};
use hoist::registry::clock::Clock;
use hoist::registry::error::ErrorKind;

use crate::bad_tokens::{as_me, bearer, registry, token};
use crate::support::registry::{Registry, available};
use crate::support::scripted::{
    Gate, Scripted, Seen, Then, answer, computed, early, held, on, pass,
};
use crate::support::waiting::wait_until;
use crate::wire::{Wire, noise, plain, shape, telling_session, user};

#[test]
fn one_token_is_fetched_however_many_wait() {
    let gate = Gate::new();
    let server = registry([on("GET", "/token").then(held(&gate, token("t")))]);
    let wire = Wire::with(server.address(), as_me(0));
    assert!(thread::scope(|scope| {
        let all: Vec<_> = (0..16)
            .map(|n| {
                let wire = &wire;
                scope.spawn(move || wire.push("app", &noise(100, n)))
            })
            .collect();
        gate.wait_for(1);
        gate.open();
        all.into_iter().all(|one| one.join().unwrap().is_ok())
    }));
    let seen = shape(&server.requests());
    let count = |what: &str| seen.iter().filter(|seen| seen.starts_with(what)).count();
    // One write went ahead and was refused; all others carried a token at once.
    assert_eq!(
        (count("GET /token"), count("POST"), count("PUT")),
        (1, 17, 16)
    );
}

#[test]
fn a_refusal_reaches_all_who_wait() {
    let gate = Gate::new();
    let server = registry([on("GET", "/token").then(held(&gate, answer(401)))]);
    let wire = Wire::with(server.address(), as_me(0));
    thread::scope(|scope| {
        for n in 0..8 {
            let wire = &wire;
            scope.spawn(move || wire.push("app", &noise(100, n)).unwrap_err());
        }
        gate.wait_for(1);
        gate.open();
    });
    let seen = shape(&server.requests());
    let tokens = seen.iter().filter(|seen| seen.starts_with("GET /token"));
    assert_eq!(tokens.count(), 1, "{seen:?}");
}

#[test]
fn the_first_write_goes_ahead_where_everybody_may_read() {
    let gate = Gate::new();
    let server = registry([
        on("HEAD", "/v2/").then(answer(404)),
        on("POST", "/v2/app/")
            .nth(1)
            .then(held(&gate, bearer("/token"))),
    ]);
    let wire = Wire::with(server.address(), as_me(0));
    assert_eq!(wire.check("app", "1").unwrap(), Presence::Absent);
    thread::scope(|scope| {
        for n in 0..8 {
            let wire = &wire;
            scope.spawn(move || wire.push("app", &noise(100, n)).unwrap());
        }
        gate.wait_for(1);
        gate.open();
    });
    let requests = server.requests();
    let bare = |seen: &&Seen| seen.method == "POST" && seen.header("authorization").is_none();
    assert_eq!(requests.iter().filter(bare).count(), 1);
}

/// Somebody with credentials, of whom it takes a while to know that there are some.
#[derive(Debug)]
struct Slow {
    credentials: Credentials,
    asked: Sender<()>,
    answer: Mutex<Receiver<()>>,
}

impl Keychain for Slow {
    fn find(&self, _: Option<&Repository>, _: &dyn Emit) -> Option<Credentials> {
        Some(self.credentials.clone())
    }

    fn may_find(&self, _: &Repository) -> bool {
        self.asked.send(()).unwrap();
        self.answer.lock().unwrap().recv().is_ok()
    }
}

#[test]
fn a_first_write_carries_a_token_when_a_challenge_came_in_the_last_moment() {
    let (asked, is_asked) = channel();
    let (answer, answered) = channel();
    let keychain = Slow {
        credentials: Credentials {
            login: Login::Password {
                username: "me".into(),
                password: "secret".into(),
            },
            origin: "a file".into(),
        },
        asked,
        answer: Mutex::new(answered),
    };
    let server = registry([]);
    let settings = Settings {
        keychain: Arc::new(keychain),
        ..plain(0)
    };
    let wire = Wire::with(server.address(), settings);
    thread::scope(|scope| {
        let write = scope.spawn(|| wire.push("app", b"hello"));
        // It has seen that nothing is asked for, and is about to go.
        is_asked.recv().unwrap();
        assert_eq!(wire.check("app", "1").unwrap(), Presence::Absent);
        answer.send(()).unwrap();
        write.join().unwrap().unwrap();
    });
    let requests = server.requests();
    let bare = |seen: &&Seen| seen.method == "POST" && seen.header("authorization").is_none();
    assert_eq!(requests.iter().filter(bare).count(), 0);
}

/// The gate opens only when all are there.
#[test]
fn writes_do_not_wait_where_a_challenge_could_not_be_answered() {
    let gate = Gate::new();
    let server = Scripted::start([
        on("POST", "/v2/app/").then(held(&gate, telling_session())),
        on("PUT", "/v2/app/").then(answer(201)),
    ]);
    let wire = Wire::with(server.address(), plain(0));
    thread::scope(|scope| {
        for n in 0..8 {
            let wire = &wire;
            scope.spawn(move || wire.push("app", &noise(100, n)).unwrap());
        }
        gate.wait_for(8);
        gate.open();
    });
}

#[test]
fn a_late_401_costs_what_was_not_kept() {
    let bytes = noise(3_000_000, 7);
    for kind in available() {
        let behind = Registry::start(kind);
        // The body is refused in the middle; with the next token the session is asked and the blob sent.
        let server = Scripted::before(
            behind.address(),
            [
                on("GET", "/token").then(token("t")),
                on("PUT", "/v2/app/blobs/uploads/").times(1).then(early(
                    100_000,
                    bearer("/token"),
                    Then::Close,
                )),
                on("PUT", "/v2/app/blobs/uploads/").then(pass()),
            ],
        );
        let wire = Wire::with(server.address(), as_me(0));
        let delivery = wire.push("app", &bytes).unwrap();
        assert_eq!(delivery.arrival, Arrival::Uploaded, "{}", kind.name());
        assert_eq!(wire.retries(), []);
        let requests = server.requests();
        let puts = || requests.iter().filter(|seen| seen.method == "PUT");
        assert!(puts().next().unwrap().body_len < 2_000_000);
        assert_eq!(
            puts().next_back().unwrap().header("authorization"),
            Some("Bearer t")
        );
        assert_eq!(puts().next_back().unwrap().body_len, 3_000_000);
        let digest = Digest::of(&bytes);
        assert_eq!(behind.blob("app", digest.as_str()).body, bytes);
    }
}

#[test]
fn a_chunk_that_is_refused_late_is_sent_again_and_no_other() {
    let bytes = noise(300_000, 8);
    for kind in available() {
        let behind = Registry::start(kind);
        let server = Scripted::before(
            behind.address(),
            [
                on("GET", "/token").then(token("t")),
                on("PATCH", "/v2/app/blobs/uploads/")
                    .nth(2)
                    .then(bearer("/token")),
            ],
        );
        let settings = Settings {
            chunk_size: Some(100_000),
            ..as_me(0)
        };
        let wire = Wire::with(server.address(), settings);
        wire.push("app", &bytes).unwrap();
        let sent = server.requests();
        let sent: u64 = sent.iter().map(|seen| seen.body_len).sum();
        assert_eq!(sent, 400_000, "{}", kind.name());
        let streamed = wire.stream("app", &noise(2_000_000, 9)).unwrap();
        assert_eq!(streamed.0.size, 2_000_000);
        assert_eq!(wire.retries(), []);
    }
}

#[test]
fn a_stream_that_is_refused_late_goes_on() {
    let bytes = noise(4_000_000, 10);
    for kind in available() {
        for method in ["PATCH", "PUT"] {
            let behind = Registry::start(kind);
            let server = Scripted::before(
                behind.address(),
                [
                    on("GET", "/token").then(token("t")),
                    on(method, "/v2/app/blobs/uploads/")
                        .times(1)
                        .then(bearer("/token")),
                ],
            );
            let wire = Wire::with(server.address(), as_me(0));
            let (summary, _) = wire.stream("app", &bytes).unwrap();
            assert_eq!(behind.blob("app", summary.digest.as_str()).body, bytes);
            assert_eq!(wire.retries(), []);
            let requests = server.requests();
            let count = |one: &str| requests.iter().filter(|seen| seen.method == one).count();
            // An empty PUT that closes is repeated, and nothing else is.
            let expected = if method == "PUT" { (1, 2) } else { (2, 1) };
            assert_eq!((count("PATCH"), count("PUT")), expected, "{}", kind.name());
        }
    }
}

#[test]
fn tokens_that_die_without_end_are_given_up() {
    let server = registry([
        on("PUT", "/v2/").then(bearer("/token")),
        on("GET", "/v2/").then(answer(404)),
    ]);
    let wire = Wire::with(server.address(), as_me(2));
    let error = wire.push("app", b"hello").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Auth);
    assert!(server.requests().len() < 20);
}

#[test]
fn a_challenge_that_is_asked_for_is_waited_for_by_all() {
    const REPOSITORIES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let gate = Gate::new();
    let mute = |seen: &Seen| match seen.header("authorization") {
        Some(_) => telling_session(),
        None => answer(401),
    };
    let server = registry([
        on("POST", "/v2/").then(computed(mute)),
        on("GET", "/v2/").then(held(&gate, bearer("/token"))),
    ]);
    let wire = Wire::with(server.address(), as_me(0));
    let posts = || {
        let requests = server.requests().into_iter();
        requests.filter(|seen| seen.method == "POST").count()
    };
    thread::scope(|scope| {
        let all = REPOSITORIES.map(|name| {
            let wire = &wire;
            scope.spawn(move || wire.push(name, b"x"))
        });
        wait_until(|| posts() == REPOSITORIES.len());
        gate.open();
        for one in all {
            one.join().unwrap().unwrap();
        }
    });
    let requests = server.requests();
    let pings = requests.iter().filter(|seen| seen.target == "/v2/");
    assert_eq!(pings.count(), 1);
}

#[test]
fn a_remembered_token_service_that_works_is_not_forgotten_for_a_trouble() {
    let server = registry([
        on("GET", "/token").nth(2).then(answer(500)),
        on("GET", "/token").then(token("t")),
    ]);
    let settings = Settings {
        known_service: Some(TokenService {
            realm: "/token".to_owned(),
            service: None,
        }),
        ..as_me(1)
    };
    let wire = Wire::with(server.address(), settings);
    wire.push("app", b"one").unwrap();
    // The token is over.
    Clock::sleep(&*wire.clock, Duration::from_secs(61));
    wire.push("app", b"two").unwrap();
    assert_eq!(wire.retries().len(), 1);
    let requests = server.requests();
    let bare =
        |seen: &&Seen| !seen.target.starts_with("/token") && seen.header("authorization").is_none();
    assert_eq!(requests.iter().filter(bare).count(), 0);
}

#[test]
fn nobody_begins_after_a_first_write_when_it_is_time_to_stop() {
    let gate = Gate::new();
    let server = Scripted::start([
        on("POST", "/v2/app/").then(held(&gate, telling_session())),
        on("PUT", "/v2/app/").then(answer(201)),
    ]);
    let wire = Wire::with(server.address(), as_me(5));
    thread::scope(|scope| {
        for n in 0..16 {
            let wire = &wire;
            scope.spawn(move || wire.push("app", &noise(100, n)).unwrap_err());
        }
        gate.wait_for(1);
        wire.clock.stop();
        gate.open();
    });
    assert_eq!(shape(&server.requests()), ["POST mount"]);
}

/// The port may be a tunnel's, with a registry behind it that wants https.
#[test]
fn nothing_secret_is_sent_before_it_is_known_how_to_speak_to_a_loopback_host() {
    for login in [None, Some(Login::Bearer("mine".into()))] {
        let server = registry([on("POST", "/v2/").times(1).then(answer(400))]);
        let keychain = login.map_or_else(
            || user("me", "secret"),
            |login| {
                Arc::new(Credentials {
                    login,
                    origin: "a file".into(),
                })
            },
        );
        let settings = Settings {
            known_service: Some(TokenService {
                realm: "/token".to_owned(),
                service: None,
            }),
            plain_http: false,
            keychain,
            ..as_me(0)
        };
        let wire = Wire::with(server.address(), settings);
        wire.push("app", b"hello").unwrap();
        let first = &server.requests()[0];
        assert_eq!(first.method, "POST");
        assert_eq!(first.header("authorization"), None);
    }
}
