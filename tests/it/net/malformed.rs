//! Answers that are no HTTP, never end, or lie about their length.

use hoist::net::FailureKind;

use super::{LIMIT, assert_failure, get, http};
use crate::support::scripted::{Scripted, answer, endless_headers, on, raw, wrong_length};

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
