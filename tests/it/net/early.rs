//! Answers that come while the body is still being sent.

use std::io::{self, Read};
use std::sync::Arc;

use hoist::net::{FilePart, Http, Method, Payload};
use tempfile::TempDir;

use super::files::hole;
use super::{BIG, http, send, trusting};
use crate::support::scripted::{Scripted, Then, answer, early, on};
use crate::support::tls::Authority;

/// What a server may do when it has seen enough of a body.
const EARLY: [(u16, Then); 3] = [
    (413, Then::Close),
    (401, Then::KeepOpen),
    (401, Then::Drain),
];

fn assert_answered_early(server: &Scripted, http: &Http, status: u16) {
    let before = server.connections();
    for round in 0..6 {
        let mut reader = io::repeat(7).take(BIG);
        let mut from_file = 0;
        let payload = match round % 3 {
            0 => Payload::Sized(&mut reader, BIG),
            1 => Payload::Chunked(&mut reader),
            _ => Payload::File(FilePart {
                file: hole(BIG),
                position: 0,
                size: BIG,
                taken: &mut |bytes| from_file += bytes,
            }),
        };
        let response = send(http, Method::Put, &server.url("/early"), payload).unwrap();
        assert_eq!((response.status, &response.body[..]), (status, &b"no"[..]));
        assert!(response.body_sent >= 100_000 && response.body_sent < BIG);
        // The filler that ureq wants is not taken from the payload.
        assert_eq!(response.body_sent, BIG - reader.limit() + from_file);
    }
    // A connection with half a body on it is not used again.
    assert_eq!(server.connections(), before + 6);
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
