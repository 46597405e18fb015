//! `hoist::net` against servers and networks that behave, and that do not: every kind of failure,
//! answers in the middle of a body, connections that are used again, and the way out.

mod damaged;
mod early;
mod failures;
mod files;
mod malformed;
mod shutdown;
mod trust;
mod well;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use hoist::net::{Failure, FailureKind, Http, Method, Payload, Request, Response, Settings};

const LIMIT: u64 = 1 << 20;
const BIG: u64 = 256 << 20;
/// Short enough for a test to wait for, long enough for a busy machine.
const STALL: Duration = Duration::from_millis(400);

fn http() -> Http {
    Http::new(&Settings::default()).unwrap()
}

fn impatient() -> Http {
    let settings = Settings {
        stall_timeout: STALL,
        connect_timeout: STALL,
        ..Settings::default()
    };
    Http::new(&settings).unwrap()
}

fn trusting(ca_certs: Vec<PathBuf>) -> Http {
    let settings = Settings {
        ca_certs,
        ..Settings::default()
    };
    Http::new(&settings).unwrap()
}

fn send<'a>(
    http: &Http,
    method: Method,
    url: &'a str,
    payload: Payload<'a>,
) -> Result<Response, Failure> {
    let request = Request {
        method,
        url,
        headers: &[],
        payload,
        answer_timeout: Duration::from_secs(20),
        pace: None,
    };
    http.send(request, LIMIT)
}

fn get(http: &Http, url: &str) -> Result<Response, Failure> {
    send(http, Method::Get, url, Payload::Empty)
}

fn put(http: &Http, url: &str, size: u64) -> Result<Response, Failure> {
    send(
        http,
        Method::Put,
        url,
        Payload::Sized(&mut io::repeat(7), size),
    )
}

/// Waits for the answer no longer than a stall.
fn get_now(http: &Http, url: &str) -> Result<Response, Failure> {
    let request = Request {
        method: Method::Get,
        url,
        headers: &[],
        payload: Payload::Empty,
        answer_timeout: STALL,
        pace: None,
    };
    http.send(request, LIMIT)
}

#[track_caller]
fn assert_failure(outcome: Result<Response, Failure>, kind: FailureKind, part: &str) -> Failure {
    let failure = outcome.unwrap_err();
    assert_eq!(failure.kind, kind, "{failure:?}");
    assert!(failure.message.contains(part), "{failure:?}");
    failure
}

/// An address of loopback where nobody listens.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}
