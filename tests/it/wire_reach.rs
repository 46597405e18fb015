//! How hosts are reached: http or https, TLS, who we are, hosts that are away, and the word to stop.

use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hoist::image::source::{Stream, StreamBody};
use hoist::net;
use hoist::registry::client::{Arrival, Presence, Settings};
use hoist::registry::error::ErrorKind;

use crate::support::proxy::Proxy;
use crate::support::registry::{Kind, Registry, Setup, Tls};
use crate::support::scripted::{Gate, Scripted, answer, held, on};
use crate::support::tls::Authority;
use crate::wire::{Wire, manifest, noise, plain, settings, shape, telling_session, user};

#[test]
fn https_is_found_on_loopback() {
    let authority = Authority::new("tests");
    let dir = tempfile::tempdir().unwrap();
    let server = Scripted::start_tls(
        authority.issue(&["127.0.0.1"]).server(),
        [
            on("POST", "/v2/").then(telling_session()),
            on("PUT", "/v2/").then(answer(201)),
        ],
    );
    let trusting = net::Settings {
        ca_certs: vec![authority.write(dir.path())],
        ..net::Settings::default()
    };
    let wire = Wire::over(server.address(), settings(), &trusting);
    assert_eq!(wire.push("app", b"x").unwrap().arrival, Arrival::Uploaded);
    assert_eq!(shape(&server.requests()), ["POST mount", "PUT upload"]);

    let error = Wire::new(server.address()).push("app", b"x").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    assert!(error.hint.unwrap().contains("--ca-cert"));

    let insecure = Settings {
        insecure: true,
        ..settings()
    };
    Wire::with(server.address(), insecure)
        .push("app", b"x")
        .unwrap();

    let confused = Wire::with(server.address(), plain(1))
        .push("app", b"x")
        .unwrap_err();
    assert!(
        confused.reason.starts_with("no answer from 127.0.0.1:"),
        "{confused}"
    );
}

#[test]
fn registries_with_tls_and_passwords_are_pushed_to() {
    let authority = Authority::new("tests");
    let dir = tempfile::tempdir().unwrap();
    let ca = authority.write(dir.path());
    let (certificate, key) = authority
        .issue(&["localhost", "127.0.0.1"])
        .write(dir.path());
    for kind in [Kind::Distribution2, Kind::Distribution3] {
        if !kind.is_available() {
            continue;
        }
        let registry = Registry::start_with(
            kind,
            Setup {
                basic: Some(("me".into(), "secret".into())),
                tls: Some(Tls {
                    certificate: certificate.clone(),
                    key: key.clone(),
                    ca: ca.clone(),
                }),
                ..Setup::default()
            },
        );
        let http = net::Settings {
            ca_certs: vec![ca.clone()],
            ..net::Settings::default()
        };
        let push = |username: &str, password: &str| {
            let known = Settings {
                keychain: user(username, password),
                ..settings()
            };
            let wire = Wire::over(registry.host(), known, &http);
            (
                wire.push("app", b"hello").map(|d| d.arrival),
                wire.client.totals().requests,
            )
        };
        // One http request that is refused, one 401, then mount and PUT.
        let (arrival, requests) = push("me", "secret");
        assert_eq!(arrival.unwrap(), Arrival::Uploaded);
        assert_eq!(requests, 4, "{}", kind.name());
        let (refused, _) = push("me", "wrong");
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Auth);
        assert!(
            refused
                .reason
                .contains("of me (from --username) were refused"),
            "{refused}"
        );
        let nobody = Wire::over(registry.host(), settings(), &http);
        let error = nobody.push("app", b"hello").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Auth);
        assert!(
            error.reason.contains("no credentials were given"),
            "{error}"
        );
        assert_eq!(nobody.check("app", "1").unwrap(), Presence::Unknown);
    }
}

#[test]
fn a_host_that_is_not_there_is_given_up_after_half_a_minute() {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let wire = Wire::new(address);
    let error = wire.check("app", "1").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    let expected = format!("cannot connect to {address}: ");
    assert!(error.reason.starts_with(&expected), "{error}");
    assert!(error.reason.ends_with(", for 30 s"), "{error}");
    let slept: Duration = wire.clock.slept().iter().sum();
    assert!((30..=34).contains(&slept.as_secs()), "{slept:?}");
    // Whoever comes next fails at once.
    let waits = wire.clock.slept().len();
    let next = wire.push("app", b"x").unwrap_err();
    assert_eq!(next.kind, ErrorKind::Unreachable);
    assert_eq!(next.operation, "upload of sha256:2d711642b726…");
    assert_eq!(wire.clock.slept().len(), waits);
    assert_eq!(wire.pressures(), 0);

    let impatient = Wire::with(
        address,
        Settings {
            retries: 0,
            ..settings()
        },
    );
    assert_eq!(
        impatient.check("app", "1").unwrap_err().kind,
        ErrorKind::Unreachable
    );
    assert!(impatient.clock.slept().is_empty());
}

#[test]
fn a_registry_that_goes_away_is_waited_for() {
    let registry = Registry::start(Kind::Serve);
    let proxy = Arc::new(Mutex::new(Proxy::to(registry.address())));
    let address = proxy.lock().unwrap().address();
    let wire = Wire::with(address, plain(1));
    wire.push("app", b"one").unwrap();
    let leave = || {
        let mut proxy = proxy.lock().unwrap();
        proxy.go_away();
        proxy.hang_up();
    };
    leave();
    let returning = Arc::clone(&proxy);
    wire.clock
        .at_sleep(4, move || returning.lock().unwrap().come_back());
    wire.push("app", b"two").unwrap();
    assert!(wire.retries().len() >= 3, "{:?}", wire.retries());
    assert!(wire.pressures() >= 1);
    leave();
    let error = wire.push("app", b"three").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
}

#[test]
fn the_word_to_stop_ends_waits_and_requests() {
    let busy = answer(503).header("Retry-After", "60");
    let server = Scripted::start([on("*", "/").then(busy)]);
    let wire = Wire::with(server.address(), plain(5));
    wire.clock.stop();
    let error = wire.push("app", b"x").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Interrupted);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_registry_that_hangs_over_a_small_blob_is_not_waited_for_as_over_a_large_one() {
    let gate = Gate::new();
    let server = Scripted::start([
        on("POST", "/v2/").then(telling_session()),
        on("PUT", "/v2/").then(held(&gate, answer(201))),
        on("*", "/").then(answer(404)),
    ]);
    let hasty = net::Settings {
        stall_timeout: Duration::from_millis(300),
        ..net::Settings::default()
    };
    let wire = Wire::over(server.address(), plain(0), &hasty);
    let error = wire.push("app", &noise(100, 1)).unwrap_err();
    gate.open();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    assert!(error.reason.contains("no answer within"), "{error}");
}

#[test]
fn a_registry_that_hangs_over_a_manifest_is_not_waited_for_long() {
    let gate = Gate::new();
    let server = Scripted::start([
        on("POST", "/v2/").then(telling_session()),
        on("PUT", "/v2/").then(held(&gate, answer(201))),
        on("*", "/").then(answer(404)),
    ]);
    let hasty = net::Settings {
        stall_timeout: Duration::from_millis(300),
        ..net::Settings::default()
    };
    let wire = Wire::over(server.address(), plain(0), &hasty);
    let error = wire.put("app", "1", &manifest(&[b"{}"])).unwrap_err();
    let error = error.into_error();
    assert!(error.reason.contains("no answer within 600ms"), "{error}");
    gate.open();
}

#[test]
fn a_shutdown_ends_what_is_in_flight() {
    let gate = Gate::new();
    let server = Scripted::start([on("*", "/").then(held(&gate, answer(200)))]);
    let wire = Wire::with(server.address(), plain(5));
    let error = thread::scope(|scope| {
        let pushing = scope.spawn(|| wire.push("app", &noise(100, 1)).unwrap_err());
        gate.wait_for(1);
        wire.http.shutdown();
        pushing.join().unwrap()
    });
    gate.open();
    assert_eq!(error.kind, ErrorKind::Interrupted, "{error}");
}

/// A source that fails after so many bytes.
struct Broken(u64);

impl StreamBody for Broken {
    fn open(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(Breaking(self.0)))
    }
}

struct Breaking(u64);

impl io::Read for Breaking {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = buf.len().min(usize::try_from(self.0).unwrap());
        if read == 0 {
            return Err(io::Error::other("the disk is broken"));
        }
        self.0 -= read as u64;
        Ok(read)
    }
}

impl Stream for Breaking {
    fn finish(self: Box<Self>) -> io::Result<hoist::image::source::Summary> {
        Err(io::Error::other("not at the end"))
    }
}

#[test]
fn local_bytes_that_cannot_be_read_are_the_fault_of_the_source() {
    let registry = Registry::start(Kind::Serve);
    let wire = Wire::new(registry.host());
    for size in [1000, 3 << 20] {
        let error = wire.stream_of("app", &Broken(size), size).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Source, "{error}");
        assert!(error.reason.contains("the disk is broken"), "{error}");
    }
    assert_eq!(wire.retries(), []);
}
