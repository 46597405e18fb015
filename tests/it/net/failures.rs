//! No connection, a connection that ends or stalls, a payload that breaks.

use std::io::{self, Read};
use std::thread;
use std::time::Instant;

use hoist::net::{FailureKind, Http, Method, Payload, Request, Settings};

use super::{BIG, LIMIT, STALL, assert_failure, get, get_now, http, impatient, nobody, put, send};
use crate::support::proxy::{Down, Fault, Proxy, Up};
use crate::support::scripted::{
    Gate, Scripted, Seen, answer, close_after, held, on, pass, pass_and_close,
};

#[test]
fn a_refused_connection_names_the_address() {
    let address = nobody();
    let failure = assert_failure(
        get(&http(), &format!("http://{address}/")),
        FailureKind::Connect,
        &format!("{address}: connection refused"),
    );
    assert!(!failure.reused);
    let port = address.port();
    assert_failure(
        get(&http(), &format!("http://localhost:{port}/")),
        FailureKind::Connect,
        &format!("[::1]:{port}"),
    );
}

#[test]
fn a_name_that_is_none_does_not_resolve() {
    // Longer than a label may be: no resolver asks anybody.
    let host = "a".repeat(64);
    assert_failure(
        get(&http(), &format!("http://{host}/")),
        FailureKind::Resolve,
        "does not resolve",
    );
}

#[test]
fn requests_that_cannot_be_sent_say_so() {
    let http = http();
    for url in [
        "",
        "/path",
        "ftp://host/",
        "http://",
        "http://ho st/",
        "http://[::1/",
    ] {
        assert_failure(get(&http, url), FailureKind::Invalid, "");
    }
    let request = Request {
        method: Method::Get,
        url: "http://127.0.0.1/",
        headers: &[("Authorization", "Basic se\r\ncret".to_owned())],
        payload: Payload::Empty,
        answer_timeout: STALL,
        pace: None,
    };
    let failure = assert_failure(
        http.send(request, LIMIT),
        FailureKind::Invalid,
        "Authorization",
    );
    assert!(!failure.message.contains("cret"));
    let settings = Settings {
        user_agent: "line\nbreak".to_owned(),
        ..Settings::default()
    };
    let problem = Http::new(&settings).err().unwrap();
    assert!(problem.contains("user agent"), "{problem}");
}

#[test]
fn a_connection_that_ends_without_an_answer_is_closed() {
    let server = Scripted::start([
        on("GET", "/").then(close_after(0)),
        on("PUT", "/").then(close_after(100_000)),
    ]);
    let http = http();
    let failure = assert_failure(get(&http, &server.url("/")), FailureKind::Closed, "");
    assert_eq!((failure.reused, failure.body_sent), (false, 0));
    let halfway = assert_failure(put(&http, &server.url("/"), BIG), FailureKind::Closed, "");
    assert!(halfway.body_sent >= 100_000 && halfway.body_sent < BIG);
    assert!(!halfway.reused);
}

#[test]
fn a_failure_tells_whether_the_connection_was_used_before() {
    let server = Scripted::start([
        on("GET", "/").nth(1).then(answer(200)),
        on("GET", "/").nth(2).then(close_after(0)),
        on("GET", "/").then(answer(200)),
    ]);
    let http = http();
    get(&http, &server.url("/")).unwrap();
    let failure = assert_failure(
        get(&http, &server.url("/")),
        FailureKind::Closed,
        "without an answer",
    );
    assert!(failure.reused);
    get(&http, &server.url("/")).unwrap();
    assert_eq!(server.connections(), 2);
}

#[test]
fn an_idle_connection_that_was_closed_is_not_used() {
    let server = Scripted::start([on("GET", "/").then(answer(200))]);
    let http = http();
    get(&http, &server.url("/")).unwrap();
    server.hang_up();
    get(&http, &server.url("/")).unwrap();
    assert_eq!(server.connections(), 2);
}

#[test]
fn idle_connections_that_are_dead_without_a_word_cost_one_stall_in_all() {
    let gate = Gate::new();
    let server = Scripted::start([on("GET", "/").then(held(&gate, answer(200)))]);
    let proxy = Proxy::to(server.address());
    let url = format!("http://{}/", proxy.address());
    let http = impatient();
    thread::scope(|scope| {
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(|| get(&http, &url))).collect();
        gate.wait_for(4);
        gate.open();
        for asked in asking {
            asked.join().unwrap().unwrap();
        }
    });
    assert_eq!(proxy.connections(), 4);
    proxy.forget();
    let failure = assert_failure(get_now(&http, &url), FailureKind::Stalled, "no answer");
    assert!(failure.reused);
    get_now(&http, &url).unwrap();
    assert_eq!(proxy.connections(), 5);
}

#[test]
fn cuts_and_resets_are_told_from_stalls() {
    let server = Scripted::start([on("*", "/").then(answer(200).body(vec![b'x'; 100_000]))]);
    let proxy = Proxy::to(server.address());
    let url = format!("http://{}/", proxy.address());
    let http = impatient();
    for fault in [Fault::cut(Up), Fault::reset(Up)] {
        proxy.arm(fault.after(3_000_000));
        let failure = assert_failure(put(&http, &url, BIG), FailureKind::Closed, "");
        assert!(failure.body_sent > 2_900_000 && failure.body_sent < BIG);
    }
    for fault in [Fault::cut(Down), Fault::reset(Down)] {
        proxy.arm(fault.clone().after(0));
        assert_failure(get(&http, &url), FailureKind::Closed, "");
        proxy.arm(fault.after(50_000));
        assert_failure(get(&http, &url), FailureKind::Closed, "");
    }
    proxy.arm(Fault::stall(Up).after(3_000_000));
    let failure = assert_failure(
        put(&http, &url, BIG),
        FailureKind::Stalled,
        "no byte was taken",
    );
    assert!(failure.body_sent > 2_900_000 && failure.body_sent < BIG);
    // In the middle of the header, and of the body.
    for after in [10, 50_000] {
        proxy.arm(Fault::stall(Down).after(after));
        assert_failure(
            get(&http, &url),
            FailureKind::Stalled,
            "no byte of the answer",
        );
    }
    proxy.arm(Fault::stall(Down).after(0));
    assert_failure(
        get_now(&http, &url),
        FailureKind::Stalled,
        "no answer within 400ms",
    );
    assert_eq!(proxy.connections(), 10);
    get(&http, &url).unwrap();
}

#[test]
fn a_slow_body_is_no_stall() {
    let server = Scripted::start([on("*", "/").then(answer(200))]);
    let proxy = Proxy::to(server.address());
    proxy.slow_down(8 << 20);
    let url = format!("http://{}/", proxy.address());
    // Takes several times as long as a stall may, with bytes moving all the time.
    let started = Instant::now();
    put(&impatient(), &url, 16 << 20).unwrap();
    assert!(started.elapsed() > STALL * 2);
}

#[test]
fn an_answer_may_take_longer_than_a_stall() {
    let gate = Gate::new();
    let server = Scripted::start([on("PUT", "/").then(held(&gate, answer(201)))]);
    let opening = thread::spawn(move || {
        gate.wait_for(1);
        thread::sleep(STALL * 2);
        gate.open();
    });
    assert_eq!(
        put(&impatient(), &server.url("/"), 1000).unwrap().status,
        201
    );
    opening.join().unwrap();
}

#[test]
fn a_server_that_is_away_and_comes_back_is_found_again() {
    let server = Scripted::start([on("*", "/").then(answer(200))]);
    let mut proxy = Proxy::to(server.address());
    let url = format!("http://{}/", proxy.address());
    let http = http();
    proxy.go_away();
    assert_failure(get(&http, &url), FailureKind::Connect, "refused");
    proxy.come_back();
    get(&http, &url).unwrap();
    assert!(proxy.bytes(Up) > 0 && proxy.bytes(Down) > 0);
}

#[test]
fn a_lost_answer_is_a_closed_connection() {
    let behind = Scripted::start([on("*", "/").then(answer(201).body("done"))]);
    let server = Scripted::before(
        behind.address(),
        [
            on("PUT", "/")
                .containing("lost")
                .times(1)
                .then(pass_and_close()),
            on("DELETE", "/").then(answer(405)),
            on("HEAD", "/").then(pass()),
        ],
    );
    let http = http();
    let mut data = io::repeat(7).take(300_000);
    let payload = Payload::Chunked(&mut data);
    let lost = send(&http, Method::Put, &server.url("/a?lost"), payload);
    assert_failure(lost, FailureKind::Closed, "without an answer");
    assert_eq!(
        put(&http, &server.url("/a?lost"), 300_000).unwrap().body,
        b"done"
    );
    let url = server.url("/b");
    assert_eq!(
        send(&http, Method::Delete, &url, Payload::Empty)
            .unwrap()
            .status,
        405
    );
    assert_eq!(
        send(&http, Method::Head, &url, Payload::Empty)
            .unwrap()
            .status,
        201
    );
    let arrived = behind.requests();
    let short = |seen: &Seen| format!("{} {} {}", seen.method, seen.target, seen.body_len);
    assert_eq!(
        arrived.iter().map(short).collect::<Vec<_>>(),
        ["PUT /a?lost 300000", "PUT /a?lost 300000", "HEAD /b 0"],
    );
    // The first connection was closed, the second carried the rest.
    let connections: Vec<usize> = server
        .requests()
        .iter()
        .map(|seen| seen.connection)
        .collect();
    assert_eq!(connections, [0, 1, 1, 1]);
}

#[test]
fn the_next_connections_are_cut_as_often_as_asked() {
    let server = Scripted::start([on("*", "/").then(answer(200))]);
    let proxy = Proxy::to(server.address());
    let url = format!("http://{}/", proxy.address());
    let http = http();
    proxy.arm(Fault::cut(Down).times(2));
    proxy.arm(Fault::cut(Up).on(3));
    for expected in [false, false, true, true] {
        assert_eq!(get(&http, &url).is_ok(), expected);
    }
    proxy.hang_up();
    assert!(get(&http, &url).is_err());
    assert!(get(&http, &url).is_ok());
    assert_eq!(proxy.connections(), 5);
}

/// Gives some bytes, then fails.
struct Failing(u64);

impl Read for Failing {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "layer.tar is damaged",
            ));
        }
        let len = buf.len().min(usize::try_from(self.0).unwrap());
        self.0 -= len as u64;
        Ok(len)
    }
}

#[test]
fn a_payload_that_fails_is_not_the_servers_fault() {
    let server = Scripted::start([on("*", "/").then(answer(201))]);
    let http = http();
    let url = server.url("/");
    let sized = send(
        &http,
        Method::Put,
        &url,
        Payload::Sized(&mut Failing(300_000), BIG),
    );
    let chunked = send(
        &http,
        Method::Put,
        &url,
        Payload::Chunked(&mut Failing(300_000)),
    );
    for outcome in [sized, chunked] {
        let failure = assert_failure(outcome, FailureKind::Payload, "layer.tar is damaged");
        assert!(failure.body_sent <= 300_000);
        let error = failure.payload_error.unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
    let mut short = io::repeat(7).take(300_000);
    let outcome = send(
        &http,
        Method::Put,
        &url,
        Payload::Sized(&mut short, 300_001),
    );
    let failure = assert_failure(outcome, FailureKind::Payload, "ended 1 bytes early");
    assert_eq!(failure.body_sent, 300_000);
    let error = failure.payload_error.unwrap();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    // What was half sent is not continued.
    assert_eq!(get(&http, &url).unwrap().status, 201);
    assert_eq!(server.connections(), 4);
}
