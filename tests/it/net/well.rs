//! What goes well: bodies and headers arrive, connections are used again or opened ahead.

use std::fs;
use std::io::{self, Read};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use hoist::net::{FailureKind, Http, Method, Payload};

use super::{assert_failure, get, http, nobody, put, send};
use crate::support::scripted::{Gate, Scripted, answer, held, on};
use crate::support::waiting::wait_until;

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
fn one_address_is_used_for_as_long_as_it_takes_connections() {
    let first = Scripted::start([on("*", "/").then(answer(200))]);
    let port = first.address().port();
    let Ok(second) = TcpListener::bind((Ipv6Addr::LOCALHOST, port)) else {
        return; // A machine without IPv6, or somebody else is there.
    };
    thread::spawn(move || {
        for mut stream in second.incoming().map_while(Result::ok) {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).unwrap();
            let text = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            io::Write::write_all(&mut stream, text).unwrap();
        }
    });
    let http = http();
    let status = || {
        let answer = get(&http, &format!("http://localhost:{port}/"));
        answer.unwrap().status
    };
    assert_eq!([status(), status()], [200, 200]);
    drop(first);
    assert_eq!(status(), 202);
    // Back again, and first in the order: but the other one is in use now.
    let deadline = Instant::now() + Duration::from_secs(10);
    let again = loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => break listener,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    assert_eq!([status(), status()], [202, 202]);
    again.set_nonblocking(true).unwrap();
    assert_eq!(
        again.accept().unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
}

#[test]
fn the_system_looks_after_silent_connections() {
    let server = Scripted::start([on("*", "/").then(answer(200))]);
    let http = http();
    get(&http, &server.url("/")).unwrap();
    // proc_net_tcp(5): addresses in hexadecimal, the state (01 is established), the timer (02 is
    // keep-alive).
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{:04X}", server.address().port());
    let rows = table.lines().map(|row| row.split_whitespace().collect());
    let timers: Vec<String> = rows
        .filter(|row: &Vec<&str>| row.len() > 5 && row[2].ends_with(&port) && row[3] == "01")
        .map(|row| row[5].to_owned())
        .collect();
    assert!(
        timers.len() == 1 && timers[0].starts_with("02:"),
        "{timers:?}"
    );
}

fn ask_four_at_once(http: &Http, url: &str, gate: &Gate) {
    thread::scope(|scope| {
        let asking = || get(http, url).unwrap();
        let all: Vec<_> = (0..4).map(|_| scope.spawn(asking)).collect();
        gate.wait_for(4);
        gate.open();
        for one in all {
            assert_eq!(one.join().unwrap().status, 200);
        }
    });
}

#[test]
fn connections_opened_ahead_are_used() {
    let gate = Gate::new();
    let server = Scripted::start([on("*", "/").then(held(&gate, answer(200)))]);
    let url = server.url("/");
    let http = http();
    http.preconnect(&url, 3);
    http.preconnect(&url, 4);
    ask_four_at_once(&http, &url, &gate);
    assert_eq!(server.connections(), 4);
    get(&http, &url).unwrap();
    assert_eq!(server.connections(), 4);
}

/// One after the other, where the first has shown how near that is.
#[test]
fn connections_are_opened_ahead_beside_one_that_is_there() {
    let gate = Gate::new();
    let server = Scripted::start([
        on("*", "/first").then(answer(200)),
        on("*", "/").then(held(&gate, answer(200))),
    ]);
    let (http, url) = (http(), server.url("/"));
    get(&http, &server.url("/first")).unwrap();
    http.preconnect(&url, 3);
    wait_until(|| server.connections() == 4);
    ask_four_at_once(&http, &url, &gate);
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
    wait_until(|| server.connections() > 0);
    server.hang_up();
    assert_eq!(get(&http, &server.url("/")).unwrap().status, 200);
}
