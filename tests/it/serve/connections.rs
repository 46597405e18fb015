//! HTTP as clients speak it, well or badly, and what one client can take from others.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use hoist::image::digest::Digest;
use hoist::serve::{Limits, Options, Server};
use tempfile::TempDir;

use super::{answers, last_answers, raw};
use crate::support::registry::{Kind, Registry};

fn limited(limits: Limits) -> (Server, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        limits,
        durable: false,
        ..Options::new(dir.path())
    };
    (Server::start(options, Box::new(|_| {})).unwrap(), dir)
}

/// Reads one answer without a body.
fn head_of_answer(stream: &TcpStream) -> String {
    let mut lines = BufReader::with_capacity(1, stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(lines.read_line(&mut head).unwrap(), 0, "{head}");
    }
    head
}

#[test]
fn malformed_requests_get_an_answer_and_lose_the_connection() {
    let registry = Registry::start(Kind::Serve);
    let fields = "A: b\r\n".repeat(65);
    let long = format!("GET /v2/?{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(9000));
    let endless = "x".repeat(20_000);
    for (sent, status) in [
        ("\r\nnonsense\r\n\r\n".to_string(), 400),
        ("GET /v2/ HTTP/1.1\r\n\r\n".into(), 400),
        ("GET /v2/ HTTP/1.1\r\nHost : x\r\n\r\n".into(), 400),
        ("\u{16}\u{3}\u{1}\u{2}".into(), 400),
        (format!("GET /v2/ HTTP/1.1\r\nHost: x\r\n{fields}\r\n"), 431),
        (format!("GET /v2/ HTTP/1.1\r\nHost: {endless}"), 431),
        (long, 414),
        (
            "PUT /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".into(),
            400,
        ),
        ("GET /v2/ HTTP/9.9\r\nHost: x\r\n\r\n".into(), 505),
    ] {
        let answer = answers(raw(registry.address(), sent.as_bytes()));
        let line = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&line), "{sent:.60}: {answer}");
        assert!(answer.contains("Connection: close\r\n"), "{answer}");
    }
    assert_eq!(registry.get("/v2/").status, 200);
}

#[test]
fn malformed_chunks_end_the_connection_and_keep_what_came_before() {
    let registry = Registry::start(Kind::Serve);
    for (body, held) in [
        ("zz\r\nabc", 0),
        ("3\r\nabcX", 3),
        ("3\r\nabc\r\nffffffffffffffffff\r\n", 3),
    ] {
        let opened = registry.request("POST", "/v2/a/blobs/uploads/", &[], b"");
        let session = opened.header("location").unwrap();
        let head = format!(
            "PATCH {session} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}   "
        );
        let answer = answers(raw(registry.address(), head.as_bytes()));
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body}: {answer}");
        let range = registry.get(&session).header("range").unwrap();
        assert_eq!(range, format!("0-{}", usize::max(held, 1) - 1), "{body}");
    }
}

#[test]
fn one_connection_serves_many_requests() {
    let registry = Registry::start(Kind::Serve);
    let chunked = "POST /v2/a/blobs/uploads/?digest=DIGEST HTTP/1.1\r\nHost: x\r\n\
        Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: z\r\n\r\n"
        .replace("DIGEST", Digest::of(b"abcde").as_str());
    // A body nobody wants is read away when it is small.
    let unwanted = "PUT /v2/_/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody";
    let head = "HEAD /v2/ HTTP/1.1\r\nHost: x\r\n\r\n";
    let last = "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let sent = format!("{chunked}{unwanted}{head}{last}");
    let answer = answers(raw(registry.address(), sent.as_bytes()));
    let statuses: Vec<_> = answer
        .match_indices("HTTP/1.1 ")
        .map(|(at, found)| &answer[at + found.len()..at + found.len() + 3])
        .collect();
    assert_eq!(statuses, ["201", "400", "200", "200"], "{answer}");
    assert!(answer.ends_with("\r\n\r\n{}"), "{answer}");
    assert_eq!(
        answer.matches("{}").count(),
        1,
        "HEAD has no body: {answer}"
    );
}

#[test]
fn a_client_that_waits_for_a_word_gets_it() {
    let registry = Registry::start(Kind::Serve);
    let post = |digest: &str| {
        format!(
            "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\n\
             Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        )
    };
    let mut stream = raw(
        registry.address(),
        post(Digest::of(b"blob").as_str()).as_bytes(),
    );
    assert!(head_of_answer(&stream).starts_with("HTTP/1.1 100 "));
    stream.write_all(b"blob").unwrap();
    let answer = last_answers(stream);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let refused = answers(raw(registry.address(), post("nonsense").as_bytes()));
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
}

#[test]
fn an_early_answer_can_be_read_by_whoever_is_still_sending() {
    let registry = Registry::start(Kind::Serve);
    let head = "PUT /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n";
    let mut stream = raw(registry.address(), head.as_bytes());
    stream.write_all(&vec![b' '; 100_000]).unwrap();
    let answer = answers(stream);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("Connection: close\r\n"), "{answer}");
}

#[test]
fn silence_is_not_waited_for_for_ever() {
    let (server, _dir) = limited(Limits {
        head_timeout: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(100),
        stall_timeout: Duration::from_millis(100),
        ..Limits::default()
    });
    let path = format!("/v2/a/blobs/uploads/?digest={}", Digest::of(b"x"));
    let stalled = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx");
    for (sent, answered) in [
        ("", ""),
        ("GET /v2/ HTTP/1.1\r\nHo", "HTTP/1.1 408 "),
        (stalled.as_str(), "HTTP/1.1 408 "),
    ] {
        let answer = answers(raw(server.address(), sent.as_bytes()));
        assert!(answer.starts_with(answered), "{sent}: {answer}");
        assert_eq!(answer.is_empty(), answered.is_empty(), "{sent}: {answer}");
    }
}

#[test]
fn an_idle_connection_gives_way_when_all_places_are_taken() {
    let (server, _dir) = limited(Limits {
        connections: 2,
        ..Limits::default()
    });
    let ping = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n";
    let idle: Vec<_> = (0..2).map(|_| raw(server.address(), ping)).collect();
    for stream in &idle {
        assert!(head_of_answer(stream).starts_with("HTTP/1.1 200 "));
    }
    let third = raw(server.address(), ping);
    assert!(head_of_answer(&third).starts_with("HTTP/1.1 200 "));
}

#[test]
fn stopping_ends_connections_in_the_middle_of_a_body() {
    let (server, dir) = limited(Limits::default());
    let post = "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n\r\n";
    let stream = raw(server.address(), post.as_bytes());
    let opened = head_of_answer(&stream);
    let session = opened
        .lines()
        .find_map(|line| line.strip_prefix("Location: "));
    let head = format!(
        "PATCH {} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
        session.unwrap()
    );
    let mut stalled = raw(server.address(), head.as_bytes());
    assert!(head_of_answer(&stalled).starts_with("HTTP/1.1 100 "));
    let address = server.address();
    server.stop();
    let mut rest = Vec::new();
    // A reset is as good an end.
    let _ = stalled.read_to_end(&mut rest);
    assert_eq!(rest, b"");
    assert!(TcpStream::connect(address).is_err(), "it still listens");
    assert!(dir.path().join("_uploads/a/_").is_dir());
}
