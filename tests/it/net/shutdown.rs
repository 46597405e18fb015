//! The way out: what is in flight ends at once.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use hoist::net::{Failure, FailureKind, Http, Response};
use rustix::net::{AddressFamily, SocketType};

use super::files::put_hole;
use super::{BIG, STALL, assert_failure, get, http, impatient, put};
use crate::support::scripted::{Gate, Scripted, answer, held, on};

/// Shuts down while `work` is blocked, and sees it end.
fn assert_ends(
    work: impl FnOnce(&Http) -> Result<Response, Failure> + Send,
    blocked: impl FnOnce(),
) {
    let http = http();
    thread::scope(|scope| {
        let working = scope.spawn(|| work(&http));
        blocked();
        let started = Instant::now();
        http.shutdown();
        let outcome = working.join().unwrap();
        assert!(started.elapsed() < Duration::from_secs(1));
        assert_failure(outcome, FailureKind::Shutdown, "");
    });
    assert_failure(get(&http, "http://127.0.0.1:1/"), FailureKind::Shutdown, "");
}

#[test]
fn shutdown_ends_what_waits_for_an_answer() {
    let gate = Gate::new();
    let server = Scripted::start([on("*", "/").then(held(&gate, answer(200)))]);
    let url = server.url("/");
    assert_ends(|http| get(http, &url), || gate.wait_for(1));
    assert_ends(|http| put(http, &url, 1000), || gate.wait_for(2));
    gate.open();
}

#[test]
fn shutdown_ends_what_is_being_sent() {
    let gate = Gate::new();
    // Nobody reads the body: the client is stuck as soon as the buffers are full.
    let server = Scripted::start([on("*", "/").then(held(&gate, answer(200)))]);
    let url = server.url("/");
    assert_ends(|http| put(http, &url, BIG), || gate.wait_for(1));
    assert_ends(|http| put_hole(http, &url, BIG), || gate.wait_for(2));
    gate.open();
}

#[test]
fn a_connect_that_hangs_ends_in_time_and_with_shutdown() {
    let full = FullBacklog::new();
    let url = format!("http://{}/", full.address);
    assert_failure(
        get(&impatient(), &url),
        FailureKind::Connect,
        "no answer in time",
    );
    assert_ends(|http| get(http, &url), || thread::sleep(STALL / 4));
}

/// A listener that accepts nobody and has no more room: whoever connects gets no answer.
struct FullBacklog {
    address: SocketAddr,
    _held: (OwnedFd, Vec<TcpStream>),
}

impl FullBacklog {
    fn new() -> Self {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        rustix::net::bind(&socket, &any).unwrap();
        rustix::net::listen(&socket, 0).unwrap();
        let bound = rustix::net::getsockname(&socket).unwrap();
        let address = SocketAddr::try_from(bound).unwrap();
        let connect = || TcpStream::connect_timeout(&address, STALL).ok();
        let queued = std::iter::from_fn(connect).take(64).collect();
        Self {
            address,
            _held: (socket, queued),
        }
    }
}

#[test]
fn shutdown_ends_a_handshake() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let held = OnceLock::new();
    let connected = || held.set(silent.accept().unwrap()).unwrap();
    assert_ends(|http| get(http, &url), connected);
}
