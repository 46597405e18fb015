//! Bodies that are cut on their way: taken up where the registry allows it, sent again where not.

use hoist::image::digest::Digest;
use hoist::net;
use hoist::registry::client::{Arrival, Settings};
use hoist::registry::error::ErrorKind;
use std::time::Duration;

use crate::support::proxy::{Fault, Proxy, Up};
use crate::support::registry::{self, Kind, Registry};
use crate::support::scripted::{Scripted, Then, answer, close_after, early, on, pass_and_close};
use crate::wire::{Wire, code, noise, plain, session, settings, shape};

const MIB: usize = 1 << 20;
/// More than what sockets hold, so that a cut is seen while the body goes out.
const LARGE: usize = 24 * MIB;

/// The kinds that keep what arrived before a cut, to the byte.
fn keeps(kind: Kind) -> bool {
    matches!(kind, Kind::Serve | Kind::Distribution3)
}

#[test]
fn a_cut_blob_arrives_and_is_taken_up_where_that_is_possible() {
    let bytes = noise(LARGE, 1);
    for kind in registry::available() {
        let registry = Registry::start(kind);
        let proxy = Proxy::to(registry.address());
        proxy.arm(Fault::cut(Up).after(9_000_000));
        let wire = Wire::new(proxy.address());
        let delivery = wire.push("app", &bytes).unwrap();
        assert_eq!(delivery.arrival, Arrival::Uploaded);
        let name = kind.name();
        assert!(!wire.retries().is_empty(), "{name}");
        assert_eq!(delivery.resumed_at.is_some(), keeps(kind), "{name}");
        if let Some(at) = delivery.resumed_at {
            assert!((1..9_000_000).contains(&at), "{name}: {at}");
        }
        let digest = Digest::of(&bytes);
        assert_eq!(registry.blob("app", digest.as_str()).body, bytes, "{name}");
    }
}

#[test]
fn a_cut_stream_arrives_and_is_taken_up_where_that_is_possible() {
    let bytes = noise(LARGE, 2);
    for kind in registry::available() {
        let registry = Registry::start(kind);
        let proxy = Proxy::to(registry.address());
        proxy.arm(Fault::reset(Up).after(9_000_000));
        let wire = Wire::new(proxy.address());
        let (summary, delivery) = wire.stream("app", &bytes).unwrap();
        let name = kind.name();
        assert_eq!(summary.digest, Digest::of(&bytes), "{name}");
        assert!(!wire.retries().is_empty(), "{name}");
        assert_eq!(delivery.arrival, Arrival::Uploaded);
        if !keeps(kind) {
            assert_eq!(delivery.resumed_at, None, "{name}");
        }
        let stored = registry.blob("app", summary.digest.as_str());
        assert_eq!(stored.body, bytes, "{name}");
    }
}

#[test]
fn a_stalled_body_is_taken_up() {
    let bytes = noise(LARGE, 3);
    let registry = Registry::start(Kind::Serve);
    let proxy = Proxy::to(registry.address());
    proxy.arm(Fault::stall(Up).after(9_000_000));
    let http = net::Settings {
        stall_timeout: Duration::from_secs(1),
        ..net::Settings::default()
    };
    let wire = Wire::over(proxy.address(), settings(), &http);
    wire.push("app", &bytes).unwrap();
    let retries = wire.retries();
    assert!(retries[0].0.contains("no byte"), "{retries:?}");
    let digest = Digest::of(&bytes);
    assert_eq!(registry.blob("app", digest.as_str()).body, bytes);
}

/// Many more cuts than retries, each of which lets a part of it through.
#[test]
fn a_link_that_is_cut_again_and_again_brings_a_blob_piece_by_piece() {
    let bytes = noise(LARGE, 12);
    for kind in registry::available().into_iter().filter(|k| keeps(*k)) {
        for is_stream in [false, true] {
            let registry = Registry::start(kind);
            let proxy = Proxy::to(registry.address());
            proxy.arm(Fault::cut(Up).after(3_000_000).always());
            let wire = Wire::with(proxy.address(), plain(2));
            let pushed = match is_stream {
                true => wire.stream("app", &bytes).map(drop),
                false => wire.push("app", &bytes).map(drop),
            };
            let story = format!("{} {is_stream}: {pushed:?}", kind.name());
            pushed.expect(&story);
            assert!(wire.retries().len() > 5, "{story}");
            let digest = Digest::of(&bytes);
            assert_eq!(registry.blob("app", digest.as_str()).body, bytes, "{story}");
        }
    }
}

#[test]
fn cuts_beyond_the_budget_fail_with_the_last_of_them() {
    let registry = Registry::start(Kind::Serve);
    let proxy = Proxy::to(registry.address());
    proxy.arm(Fault::cut(Up).after(100_000).times(100));
    let wire = Wire::with(proxy.address(), plain(2));
    let bytes = noise(LARGE, 4);
    let error = wire.push("app", &bytes).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    assert!(error.reason.ends_with("(tried 3 times)"), "{error}");
    let short = Digest::of(&bytes).short().to_owned();
    assert_eq!(error.operation, format!("upload of sha256:{short}…"));
}

/// A session that is asked after a cut gives these answers, one after the other.
fn asked(ranges: &[&str]) -> (Wire, Scripted) {
    let mut rules = vec![
        on("POST", "/v2/").then(session()),
        on("HEAD", "/v2/").then(answer(404)),
        on("PUT", "/v2/").nth(1).then(close_after(70_000)),
        on("PUT", "/v2/").then(answer(201)),
    ];
    for (n, range) in ranges.iter().enumerate() {
        let held = answer(204)
            .header("Range", *range)
            .header("Location", format!("/v2/app/blobs/uploads/s{n}"));
        rules.push(on("GET", "/v2/").nth(n + 1).then(held));
    }
    rules.push(on("GET", "/v2/").then(code(404, "BLOB_UPLOAD_UNKNOWN", "gone")));
    let server = Scripted::start(rules);
    (Wire::with(server.address(), plain(3)), server)
}

#[test]
fn a_session_is_believed_when_it_says_the_same_twice() {
    let bytes = noise(LARGE, 5);
    for (ranges, resumed_at, second_put) in [
        (
            &["0-69999", "0-69999"][..],
            Some(70_000),
            Some("70000-25165823"),
        ),
        (
            &["bytes=0-9", "0-69998", "0-69998"],
            Some(69_999),
            Some("69999-25165823"),
        ),
        (&["0-0", "0-0"], None, None),
        (&["0--1", "0--1"], None, None),
        (&["0-99999999", "0-99999999"], None, None),
        (&["5-9"], None, None),
        (&[], None, None),
    ] {
        let (wire, server) = asked(ranges);
        let delivery = wire.push("app", &bytes).unwrap();
        assert_eq!(delivery.resumed_at, resumed_at, "{ranges:?}");
        let seen = server.requests();
        let last = seen.last().unwrap();
        assert_eq!(last.header("content-range"), second_put, "{ranges:?}");
        assert_eq!(last.body_len, bytes.len() as u64 - resumed_at.unwrap_or(0));
        let posts = seen.iter().filter(|seen| seen.method == "POST").count();
        assert_eq!(
            posts,
            if resumed_at.is_some() { 1 } else { 2 },
            "{ranges:?}"
        );
        if resumed_at.is_some() {
            let newest = format!("/v2/app/blobs/uploads/s{}", ranges.len() - 1);
            assert!(last.target.starts_with(&newest), "{}", last.target);
        }
    }
}

#[test]
fn a_chunk_out_of_step_is_asked_about() {
    let moved = |n: u32| answer(202).header("Location", format!("/v2/app/blobs/uploads/{n}"));
    let held = answer(204).header("Range", "0-1499");
    let server = Scripted::start([
        on("POST", "/v2/").then(session()),
        on("PATCH", "/v2/").nth(1).then(moved(2)),
        on("PATCH", "/v2/")
            .nth(2)
            .then(code(416, "RANGE_INVALID", "no")),
        on("PATCH", "/v2/").then(moved(3)),
        on("GET", "/v2/").then(held),
        on("PUT", "/v2/").then(answer(201)),
    ]);
    let chunks = Settings {
        chunk_size: Some(1000),
        ..plain(1)
    };
    let wire = Wire::with(server.address(), chunks);
    wire.push("app", &noise(4000, 6)).unwrap();
    let ranges: Vec<String> = server
        .requests()
        .iter()
        .filter_map(|seen| seen.header("content-range").map(str::to_owned))
        .collect();
    assert_eq!(
        ranges,
        ["0-999", "1000-1999", "1500-2499", "2500-3499", "3500-3999"]
    );
    assert_eq!(wire.retries().len(), 1);
}

#[test]
fn a_stream_goes_in_pieces_where_bodies_without_length_are_refused() {
    let bytes = noise(9 * MIB, 7);
    for kind in registry::available() {
        for status in [400, 411, 413, 501] {
            let registry = Registry::start(kind);
            let refusal = early(0, answer(status), Then::Close);
            let server = Scripted::before(
                registry.address(),
                [on("PATCH", "/v2/").times(1).then(refusal)],
            );
            let wire = Wire::with(server.address(), plain(0));
            let (summary, _) = wire.stream("app", &bytes).unwrap();
            let stored = registry.blob("app", summary.digest.as_str());
            assert_eq!(stored.body, bytes, "{} {status}", kind.name());
            let sizes: Vec<u64> = server
                .requests()
                .iter()
                .skip(2)
                .map(|s| s.body_len)
                .collect();
            assert_eq!(
                sizes,
                [0, 4 << 20, 4 << 20, 1 << 20],
                "{} {status}",
                kind.name()
            );
            // It is remembered.
            let before = server.requests().len();
            wire.stream("app", &noise(3 * MIB, 8)).unwrap();
            assert_eq!(
                shape(&server.requests()[before..]),
                ["POST upload", "PUT upload"]
            );
        }
    }
}

#[test]
fn a_stream_whose_last_answer_got_lost_is_found() {
    let bytes = noise(3 * MIB, 9);
    let registry = Registry::start(Kind::Serve);
    // The answer to the closing PUT gets lost; the blob is found.
    let lost = on("PUT", "/v2/").times(1).then(pass_and_close());
    let server = Scripted::before(registry.address(), [lost]);
    let wire = Wire::with(server.address(), plain(0));
    let (_, delivery) = wire.stream("one", &bytes).unwrap();
    assert_eq!(delivery.arrival, Arrival::Uploaded);
    // An empty PUT on a connection that had been used is sent twice, for it may have been stale.
    let expected = [
        "POST upload",
        "PATCH upload",
        "PUT upload",
        "PUT upload",
        "HEAD blob",
    ];
    assert_eq!(shape(&server.requests()), expected);
}

#[test]
fn a_stream_whose_session_is_gone_goes_as_any_other_blob() {
    let bytes = noise(3 * MIB, 9);
    let registry = Registry::start(Kind::Serve);
    let gone = code(404, "BLOB_UPLOAD_UNKNOWN", "gone");
    let server = Scripted::before(registry.address(), [on("PUT", "/v2/").times(1).then(gone)]);
    let wire = Wire::with(server.address(), plain(1));
    let (summary, _) = wire.stream("two", &bytes).unwrap();
    let seen = shape(&server.requests());
    assert_eq!(seen[3..], ["HEAD blob", "POST mount", "PUT upload"]);
    assert_eq!(registry.blob("two", summary.digest.as_str()).body, bytes);
}
