//! `hoist::net` against servers and networks that behave, and that do not: every kind of failure,
//! answers in the middle of a body, connections that are used again, and the way out.

use std::fs;
use std::io::{self, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use hoist::net::{Failure, FailureKind, Http, Method, Payload, Request, Response, Settings};
use rustix::net::{AddressFamily, SocketType};
use tempfile::TempDir;

use crate::support::proxy::{Down, Fault, Proxy, Up};
use crate::support::scripted::{
    Gate, Scripted, Seen, Then, answer, close_after, early, endless_headers, held, on, pass,
    pass_and_close, raw, wrong_length,
};
use crate::support::tls::{Authority, Identity};

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

// What goes well.

#[test]
fn one_connection_carries_request_after_request() {
    let server = Scripted::start([
        on("GET", "/found").then(answer(200).header("X-Thing", " a ").body("hello")),
        on("HEAD", "/found").then(answer(200).body("hello")),
        on("DELETE", "/gone").then(answer(204)),
        on("PUT", "/moved").then(answer(307).header("Location", "/elsewhere").body("go on")),
        on("GET", "/broken").then(answer(500).body("sorry")),
    ]);
    let http = http();
    let found = get(&http, &server.url("/found")).unwrap();
    assert_eq!((found.status, &found.body[..]), (200, &b"hello"[..]));
    assert_eq!(found.header("x-thing"), Some("a"));
    let head = send(&http, Method::Head, &server.url("/found"), Payload::Empty).unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("Content-Length"), Some("5"));
    let gone = send(&http, Method::Delete, &server.url("/gone"), Payload::Empty).unwrap();
    assert_eq!(gone.status, 204);
    let moved = put(&http, &server.url("/moved"), 100_000).unwrap();
    assert_eq!(
        (moved.status, moved.header("location")),
        (307, Some("/elsewhere"))
    );
    assert_eq!(get(&http, &server.url("/broken")).unwrap().status, 500);
    assert_eq!(server.connections(), 1);
}

#[test]
fn requests_that_could_have_a_body_say_when_they_have_none() {
    let server = Scripted::start([on("*", "/").then(answer(201))]);
    let http = http();
    let without = [Method::Get, Method::Head, Method::Delete];
    for method in without
        .into_iter()
        .chain([Method::Post, Method::Put, Method::Patch])
    {
        let empty = send(&http, method, &server.url("/"), Payload::Empty).unwrap();
        assert_eq!(empty.status, 201);
    }
    let seen = server.requests();
    let lengths = seen.iter().map(|one| one.header("content-length"));
    let zero = Some("0");
    assert_eq!(
        lengths.collect::<Vec<_>>(),
        [None, None, None, zero, zero, zero]
    );
    for one in &seen {
        assert_eq!(one.header("accept-encoding"), Some("identity"));
        assert!(one.header("user-agent").unwrap().starts_with("hoist/"));
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn bodies_arrive_as_they_were() {
    let server = Scripted::start([on("*", "/").then(answer(201))]);
    let http = http();
    let text: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
    let (mut sized, mut chunked) = (&text[..], &text[..]);
    // The reader has more than was announced: no more is taken.
    let first = Payload::Sized(&mut sized, 150_000);
    let put = send(&http, Method::Put, &server.url("/sized"), first).unwrap();
    assert_eq!(put.body_sent, 150_000);
    assert_eq!(sized.len(), 50_000);
    let second = Payload::Chunked(&mut chunked);
    let patched = send(&http, Method::Patch, &server.url("/chunked"), second).unwrap();
    assert_eq!(patched.body_sent, 200_000);
    let seen = server.requests();
    assert_eq!(seen[0].header("content-length"), Some("150000"));
    assert_eq!(seen[1].header("transfer-encoding"), Some("chunked"));
    assert_eq!((seen[0].body_len, seen[1].body_len), (150_000, 200_000));
    assert_eq!(seen[0].body, text[..64 << 10]);
    assert_eq!(seen[1].body, text[..64 << 10]);
    assert_eq!(server.connections(), 1);
}

#[test]
fn localhost_and_names_below_it_need_no_name_service() {
    let server = Scripted::start([on("*", "/").then(answer(200))]);
    let port = server.address().port();
    for host in ["localhost", "LocalHost", "registry.localhost", "127.0.0.1"] {
        let response = get(&http(), &format!("http://{host}:{port}/")).unwrap();
        assert_eq!(response.status, 200, "{host}");
    }
}

#[test]
fn every_address_of_a_name_is_tried() {
    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        return; // A machine without IPv6.
    };
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).unwrap();
        io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let response = get(&http(), &format!("http://localhost:{port}/")).unwrap();
    assert_eq!(response.status, 200);
}

#[test]
fn connections_opened_ahead_are_used() {
    let gate = Gate::new();
    let server = Scripted::start([on("*", "/").then(held(&gate, answer(200)))]);
    let url = server.url("/");
    let http = http();
    http.preconnect(&url, 3);
    http.preconnect(&url, 4);
    thread::scope(|scope| {
        let asking = || get(&http, &url).unwrap();
        let all: Vec<_> = (0..4).map(|_| scope.spawn(asking)).collect();
        gate.wait_for(4);
        gate.open();
        for one in all {
            assert_eq!(one.join().unwrap().status, 200);
        }
    });
    assert_eq!(server.connections(), 4);
    get(&http, &url).unwrap();
    assert_eq!(server.connections(), 4);
}

#[test]
fn connections_opened_ahead_may_fail() {
    let http = http();
    let url = format!("http://{}/", nobody());
    http.preconnect(&url, 4);
    http.preconnect("no URL", 4);
    let failure = assert_failure(get(&http, &url), FailureKind::Connect, "refused");
    assert!(!failure.reused);
    let server = Scripted::start([on("*", "/").then(answer(200))]);
    http.preconnect(&server.url("/"), 1);
    while server.connections() == 0 {
        thread::yield_now();
    }
    server.hang_up();
    assert_eq!(get(&http, &server.url("/")).unwrap().status, 200);
}

// No connection.

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
    };
    let failure = assert_failure(
        http.send(request, LIMIT),
        FailureKind::Invalid,
        "Authorization",
    );
    assert!(!failure.message.contains("cret"));
}

// Answers that come early.

/// What a server may do when it has seen enough of a body.
const EARLY: [(u16, Then); 3] = [
    (413, Then::Close),
    (401, Then::KeepOpen),
    (401, Then::Drain),
];

fn assert_answered_early(server: &Scripted, http: &Http, status: u16) {
    let before = server.connections();
    for round in 0..5 {
        let mut reader = io::repeat(7).take(BIG);
        let payload = match round % 2 {
            0 => Payload::Sized(&mut reader, BIG),
            _ => Payload::Chunked(&mut reader),
        };
        let response = send(http, Method::Put, &server.url("/early"), payload).unwrap();
        assert_eq!((response.status, &response.body[..]), (status, &b"no"[..]));
        assert!(response.body_sent >= 100_000 && response.body_sent < BIG);
        // The filler that ureq wants is not taken from the reader.
        assert_eq!(response.body_sent, BIG - reader.limit());
    }
    // A connection with half a body on it is not used again.
    assert_eq!(server.connections(), before + 5);
}

#[test]
fn an_early_answer_stops_the_body() {
    for (status, then) in EARLY {
        let rule = on("PUT", "/early").then(early(100_000, answer(status).body("no"), then));
        assert_answered_early(&Scripted::start([rule]), &http(), status);
    }
}

#[test]
fn an_early_answer_stops_the_body_under_tls() {
    let dir = TempDir::new().unwrap();
    let authority = Authority::new("tests");
    let config = authority.issue(&["127.0.0.1"]).server();
    let http = trusting(vec![authority.write(dir.path())]);
    for (status, then) in EARLY {
        let rule = on("PUT", "/early").then(early(100_000, answer(status).body("no"), then));
        let server = Scripted::start_tls(Arc::clone(&config), [rule]);
        assert_answered_early(&server, &http, status);
    }
}

// Connections that end.

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
    proxy.arm(Fault::stall(Down).after(50_000));
    assert_failure(
        get(&http, &url),
        FailureKind::Stalled,
        "no byte of the answer",
    );
    proxy.arm(Fault::stall(Down).after(0));
    assert_failure(
        get_now(&http, &url),
        FailureKind::Stalled,
        "no answer within 400ms",
    );
    assert_eq!(proxy.connections(), 9);
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

// Answers that are none.

#[test]
fn answers_that_are_no_http_are_malformed() {
    let cases: [(&str, Vec<u8>); 6] = [
        ("/garbage", b"\x00\x01\x02 what is this\r\n\r\n".to_vec()),
        ("/html", b"<html>502 Bad Gateway</html>\r\n\r\n".to_vec()),
        ("/status", b"HTTP/1.1 abc OK\r\n\r\n".to_vec()),
        (
            "/chunk",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        ),
        (
            "/length",
            b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n".to_vec(),
        ),
        (
            "/many",
            format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(1000)).into_bytes(),
        ),
    ];
    let http = http();
    for (path, bytes) in cases {
        let server = Scripted::start([on("GET", path).then(raw(bytes))]);
        assert_failure(
            get(&http, &server.url(path)),
            FailureKind::Malformed,
            "the answer",
        );
    }
}

#[test]
fn endless_and_oversized_answers_are_malformed() {
    let endless = [
        b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
        vec![b'x'; LIMIT as usize + 1],
    ];
    let server = Scripted::start([
        on("GET", "/headers").then(endless_headers()),
        on("GET", "/announced").then(answer(200).body(vec![b'x'; LIMIT as usize + 1])),
        on("GET", "/unannounced").then(raw(endless.concat())),
        on("GET", "/fits").then(answer(200).body(vec![b'x'; LIMIT as usize])),
    ]);
    let http = http();
    for (path, part) in [
        ("/headers", "header is larger than 16 KiB"),
        ("/announced", "body is larger than 1048576 bytes"),
        ("/unannounced", "body is larger than 1048576 bytes"),
    ] {
        assert_failure(get(&http, &server.url(path)), FailureKind::Malformed, part);
    }
    assert_eq!(
        get(&http, &server.url("/fits")).unwrap().body.len() as u64,
        LIMIT
    );
}

#[test]
fn a_wrong_content_length_never_hangs() {
    let body = || answer(200).body("hello");
    let server = Scripted::start([
        on("GET", "/more").then(wrong_length(body(), 1000)),
        on("GET", "/less").then(wrong_length(body(), 3)),
        on("GET", "/half").then(raw("HTTP/1.1 200 OK\r\nContent-Le")),
    ]);
    let http = http();
    let more = get(&http, &server.url("/more"));
    assert_failure(more, FailureKind::Closed, "before the answer was complete");
    assert_eq!(get(&http, &server.url("/less")).unwrap().body, b"hel");
    assert_failure(get(&http, &server.url("/half")), FailureKind::Closed, "");
    // The two bytes too many were not taken for the next answer.
    assert_eq!(server.connections(), 3);
}

// Payloads that break.

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

// TLS.

#[test]
fn trust_comes_from_files_with_any_number_of_certificates() {
    let dir = TempDir::new().unwrap();
    let (one, two) = (Authority::new("one"), Authority::new("two"));
    let both = dir.path().join("both.pem");
    fs::write(&both, format!("# mine\n{}\n{}", one.pem(), two.pem())).unwrap();
    let http = trusting(vec![both]);
    for authority in [&one, &two] {
        let config = authority.issue(&["127.0.0.1", "localhost"]).server();
        let server = Scripted::start_tls(config, [on("GET", "/").then(answer(200).body("hi"))]);
        let port = server.address().port();
        for host in ["127.0.0.1", "localhost"] {
            for _ in 0..3 {
                let response = get(&http, &format!("https://{host}:{port}/")).unwrap();
                assert_eq!(response.body, b"hi");
            }
        }
        assert_eq!(server.connections(), 2);
    }
}

fn ask(identity: &Identity, http: &Http) -> Result<Response, Failure> {
    let server = Scripted::start_tls(identity.server(), [on("GET", "/").then(answer(200))]);
    get(http, &server.url("/"))
}

#[test]
fn a_certificate_that_is_not_trusted_says_why() {
    let dir = TempDir::new().unwrap();
    let authority = Authority::new("tests");
    let http = trusting(vec![authority.write(dir.path())]);
    let year = rcgen::date_time_ymd;
    let local = ["127.0.0.1"];
    let cases = [
        (
            Authority::new("stranger").issue(&local),
            "certificate is signed by an unknown issuer: try --ca-cert",
        ),
        (
            Identity::self_signed(&local),
            "certificate is signed by an unknown issuer: try --ca-cert",
        ),
        (
            authority.issue_with(&local, |params| params.not_after = year(2021, 5, 6)),
            "certificate has expired on Thu, 06 May 2021",
        ),
        (
            authority.issue_with(&local, |params| params.not_before = year(3021, 5, 6)),
            "certificate is not valid before Sun, 06 May 3021",
        ),
        (
            authority.issue(&["other.example", "10.1.2.3"]),
            "certificate is for other.example, 10.1.2.3, not for 127.0.0.1",
        ),
        (authority.issue(&[]), "certificate names no host"),
    ];
    for (identity, sentence) in cases {
        assert_failure(ask(&identity, &http), FailureKind::Trust, sentence);
        let careless = Settings {
            insecure: true,
            ..Settings::default()
        };
        assert_eq!(
            ask(&identity, &Http::new(&careless).unwrap())
                .unwrap()
                .status,
            200
        );
    }
}

#[test]
fn a_self_signed_certificate_can_be_trusted_as_it_is() {
    let dir = TempDir::new().unwrap();
    let identity = Identity::self_signed(&["127.0.0.1"]);
    let (certificate, _) = identity.write(dir.path());
    let http = trusting(vec![certificate]);
    assert_eq!(ask(&identity, &http).unwrap().status, 200);
    let elsewhere = Identity::self_signed(&["other.example"]);
    let (other, _) = elsewhere.write(dir.path());
    let strict = trusting(vec![other]);
    assert_failure(
        ask(&elsewhere, &strict),
        FailureKind::Trust,
        "not for 127.0.0.1",
    );
}

#[test]
fn http_and_https_are_told_apart() {
    let plain = Scripted::start([on("GET", "/").then(answer(200))]);
    let url = format!("https://{}/", plain.address());
    assert_failure(get(&http(), &url), FailureKind::Tls, "not TLS");
    let config = Authority::new("tests").issue(&["127.0.0.1"]).server();
    let secure = Scripted::start_tls(config, [on("GET", "/").then(answer(200))]);
    let wrong = format!("http://{}/", secure.address());
    assert_failure(
        get(&http(), &wrong),
        FailureKind::Malformed,
        "the answer is TLS",
    );
}

#[test]
fn a_silent_handshake_ends_in_time() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    assert_failure(
        get(&impatient(), &url),
        FailureKind::Connect,
        "TLS handshake",
    );
}

#[test]
fn a_ca_file_that_is_none_is_named() {
    let dir = TempDir::new().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let broken = "-----BEGIN CERTIFICATE-----\nnonsense!\n-----END CERTIFICATE-----\n";
    let wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (path, part) in [
        (dir.path().join("missing.pem"), "no such file"),
        (dir.path().to_owned(), "is a directory"),
        (write("empty.pem", ""), "holds no certificate"),
        (write("text.pem", "hello\n"), "holds no certificate"),
        (write("broken.pem", broken), "not readable as PEM"),
        (write("wrong.pem", wrong), "holds no usable certificate"),
        (Path::new("/dev/zero").to_owned(), "larger than"),
    ] {
        let settings = Settings {
            ca_certs: vec![path.clone()],
            ..Settings::default()
        };
        let problem = Http::new(&settings).err().unwrap();
        assert!(problem.contains(part), "{problem}");
        assert!(problem.contains(path.to_str().unwrap()), "{problem}");
    }
}

// The way out.

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
