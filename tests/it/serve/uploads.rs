//! Blobs on their way in: sessions, chunks, cuts, mounts; and reading them in parts.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use hoist::image::digest::{Algorithm, Digest, Hasher};

use super::raw;
use crate::support::http::Reply;
use crate::support::registry::{Kind, Registry, available, path_of};

/// The Location of a new session.
fn open(registry: &Registry, repository: &str) -> String {
    let opened = registry.request(
        "POST",
        &format!("/v2/{repository}/blobs/uploads/"),
        &[],
        b"",
    );
    assert_eq!(opened.status, 202, "{}", opened.text());
    location(&opened)
}

fn location(reply: &Reply) -> String {
    path_of(&reply.header("location").unwrap())
}

fn close(registry: &Registry, location: &str, digest: &Digest, body: &[u8]) -> Reply {
    let separator = if location.contains('?') { '&' } else { '?' };
    let path = format!("{location}{separator}digest={digest}");
    registry.request("PUT", &path, &[], body)
}

fn blob_file(registry: &Registry, repository: &str, digest: &Digest) -> PathBuf {
    let layout = registry.storage().join(repository).join("_");
    layout.join("blobs/sha256").join(digest.encoded())
}

/// Bytes in which no piece is like another.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        u8::try_from(state >> 56).unwrap()
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn chunks_are_taken_in_order_only() {
    let strict = |kind: &Kind| matches!(kind, Kind::Serve | Kind::Distribution3);
    for kind in available().into_iter().filter(strict) {
        let registry = Registry::start(kind);
        let blob = noise(25);
        let first = open(&registry, "a/b");
        let patch = |location: &str, range: &str, body: &[u8]| {
            let headers = [
                ("content-range", range),
                ("content-type", "application/octet-stream"),
            ];
            registry.request("PATCH", location, &headers, body)
        };
        assert_eq!(patch(&first, "3-24", &blob[3..]).status, 416, "{kind:?}");
        let taken = patch(&first, "0-2", &blob[..3]);
        assert_eq!(
            (taken.status, taken.header("range").unwrap()),
            (202, "0-2".into())
        );
        // The Location that is no longer the newest: nothing is written to it, yet it can be asked.
        assert_eq!(patch(&first, "0-2", &blob[..3]).status, 416, "{kind:?}");
        let status = registry.get(&first);
        assert_eq!(
            (status.status, status.header("range").unwrap()),
            (204, "0-2".into())
        );
        let stored = close(
            &registry,
            &location(&status),
            &Digest::of(&blob),
            &blob[3..],
        );
        assert_eq!(stored.status, 201, "{kind:?}: {}", stored.text());
        assert_eq!(registry.blob("a/b", Digest::of(&blob).as_str()).body, blob);
        assert_eq!(
            registry.get(&first).code(),
            "BLOB_UPLOAD_UNKNOWN",
            "{kind:?}"
        );
    }
}

#[test]
fn a_wrong_chunk_is_told_where_to_go_on() {
    let registry = Registry::start(Kind::Serve);
    let session = open(&registry, "a");
    let taken = registry.request("PATCH", &session, &[], b"0123456789");
    let newest = location(&taken);
    let wrong = registry.request("PATCH", &newest, &[("content-range", "5-6")], b"xx");
    assert_eq!(wrong.status, 416);
    assert_eq!(wrong.code(), "BLOB_UPLOAD_INVALID");
    assert_eq!(wrong.header("range").as_deref(), Some("0-9"));
    assert_eq!(location(&wrong), newest);
    for (range, code) in [
        ("bytes=10-11", "BLOB_UPLOAD_INVALID"),
        ("10-14", "SIZE_INVALID"),
    ] {
        let refused = registry.request("PATCH", &newest, &[("content-range", range)], b"xx");
        assert_eq!(
            (refused.status, refused.code()),
            (400, code.into()),
            "{range}"
        );
    }
    let last = registry.request(
        "PUT",
        &format!("{newest}&digest={}", Digest::of(b"0123456789ab")),
        &[("content-range", "10-11")],
        b"ab",
    );
    assert_eq!(last.status, 201, "{}", last.text());
}

#[test]
fn what_arrived_before_a_cut_is_kept_to_the_byte_and_over_a_restart() {
    let blob = noise(1_000_000);
    let digest = Digest::of(&blob);
    for (method, framing) in [
        ("PATCH", "Content-Length: 1000000\r\n\r\n"),
        ("PATCH", "Transfer-Encoding: chunked\r\n\r\nF4240\r\n"),
        ("PUT", "Content-Length: 1000000\r\n\r\n"),
    ] {
        let mut registry = Registry::start(Kind::Serve);
        let session = open(&registry, "a");
        let target = match method {
            "PUT" => format!("{session}&digest={digest}"),
            _ => session.clone(),
        };
        let head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{framing}");
        let mut stream = raw(registry.address(), head.as_bytes());
        stream.write_all(&blob[..345_678]).unwrap();
        drop(stream);
        registry.wait_for_access(&target);
        assert_eq!(registry.access().last().unwrap().status, 499);
        registry.kill();
        registry.start_again();
        let status = registry.get(&session);
        assert_eq!(
            status.header("range").as_deref(),
            Some("0-345677"),
            "{method}"
        );
        let absent = registry.request("HEAD", &format!("/v2/a/blobs/{digest}"), &[], b"");
        assert_eq!(absent.status, 404, "a torn upload is visible");
        let stored = close(&registry, &location(&status), &digest, &blob[345_678..]);
        assert_eq!(stored.status, 201, "{method}: {}", stored.text());
        assert_eq!(registry.blob("a", digest.as_str()).body, blob);
    }
}

#[test]
fn a_session_is_taken_over_from_a_connection_that_hangs() {
    let registry = Registry::start(Kind::Serve);
    let session = open(&registry, "a");
    let head = format!("PATCH {session} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n");
    let mut hanging = raw(registry.address(), head.as_bytes());
    let blob = b"from the second";
    let stored = close(&registry, &session, &Digest::of(blob), blob);
    assert_eq!(stored.status, 201, "{}", stored.text());
    hanging.write_all(b"too late.").unwrap();
    let answer = super::last_answers(hanging);
    // It may also have come to the session only after its end.
    let refused = ["HTTP/1.1 416 ", "HTTP/1.1 404 "];
    assert!(
        refused.iter().any(|line| answer.starts_with(line)),
        "{answer}"
    );
    assert_eq!(registry.blob("a", Digest::of(blob).as_str()).body, blob);
}

#[test]
fn bytes_with_another_digest_leave_nothing() {
    let registry = Registry::start(Kind::Serve);
    let session = open(&registry, "a");
    let wrong = close(&registry, &session, &Digest::of(b"this"), b"that");
    assert_eq!((wrong.status, wrong.code()), (400, "DIGEST_INVALID".into()));
    assert_eq!(registry.get(&session).status, 404);
    assert_eq!(registry.get("/v2/a/tags/list").code(), "NAME_UNKNOWN");
    for digest in [Digest::of(b"this"), Digest::of(b"that")] {
        assert_eq!(registry.blob("a", digest.as_str()).code(), "BLOB_UNKNOWN");
    }
    let second = open(&registry, "a");
    for query in ["", "&digest=", "&digest=sha256:abc", "&digest=blake3:abc"] {
        let refused = registry.request("PUT", &format!("{second}{query}"), &[], b"that");
        assert_eq!(
            (refused.status, refused.code()),
            (400, "DIGEST_INVALID".into()),
            "{query}"
        );
    }
    assert_eq!(registry.request("DELETE", &second, &[], b"").status, 204);
    assert_eq!(registry.get(&second).status, 404);
}

#[test]
fn a_session_belongs_to_its_repository() {
    let registry = Registry::start(Kind::Serve);
    let session = open(&registry, "a");
    for stranger in [
        session.replace("/v2/a/", "/v2/b/"),
        "/v2/a/blobs/uploads/0123456789abcdef0123456789abcdef".into(),
        "/v2/a/blobs/uploads/..%2F..%2Fa".into(),
    ] {
        assert_eq!(registry.get(&stranger).status, 404, "{stranger}");
    }
    let own = registry.get(&session);
    assert_eq!(own.status, 204, "{}", own.text());
}

#[test]
fn whole_blobs_come_in_one_request_too() {
    let registry = Registry::start(Kind::Serve);
    let mut sha512 = Hasher::new(Algorithm::Sha512);
    sha512.update(b"blob");
    for digest in [Digest::of(b"blob"), sha512.finish()] {
        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        let wrong = registry.request("POST", &path, &[], b"other");
        assert_eq!((wrong.status, wrong.code()), (400, "DIGEST_INVALID".into()));
        let stored = registry.request("POST", &path, &[], b"blob");
        assert_eq!(stored.status, 201, "{}", stored.text());
        let found = registry.get(&stored.header("location").unwrap());
        assert_eq!(found.body, b"blob");
        assert_eq!(
            found.header("docker-content-digest"),
            Some(digest.to_string())
        );
        // In two steps the algorithm is known only at the end.
        let chunk = registry.request("PATCH", &open(&registry, "b"), &[], b"blob");
        assert_eq!(
            close(&registry, &location(&chunk), &digest, b"").status,
            201
        );
        assert_eq!(registry.blob("b", digest.as_str()).body, b"blob");
    }
    let empty = Digest::of(b"");
    assert_eq!(
        close(&registry, &open(&registry, "a"), &empty, b"").status,
        201
    );
    let head = registry.request("HEAD", &format!("/v2/a/blobs/{empty}"), &[], b"");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("0".into()))
    );
}

#[test]
fn blobs_are_mounted_as_links() {
    let registry = Registry::start(Kind::Serve);
    let digest = Digest::of(b"shared");
    registry.put_blob("team/a", digest.as_str(), b"shared");
    let mount = |repository: &str, query: String| {
        let path = format!("/v2/{repository}/blobs/uploads/?{query}");
        registry.request("POST", &path, &[], b"")
    };
    for (repository, from) in [
        ("team/a", "&from=team/a"),
        ("b", "&from=team%2Fa"),
        ("c", ""),
    ] {
        let mounted = mount(repository, format!("mount={digest}{from}"));
        assert_eq!(
            mounted.status,
            201,
            "{repository}{from}: {}",
            mounted.text()
        );
        assert_eq!(registry.get(&location(&mounted)).body, b"shared");
    }
    let inode = |repository| {
        blob_file(&registry, repository, &digest)
            .metadata()
            .unwrap()
            .ino()
    };
    assert_eq!(inode("team/a"), inode("b"));
    assert_eq!(inode("team/a"), inode("c"));
    for query in [
        format!("mount={digest}&from=absent"),
        format!("mount={digest}&from=../team/a"),
        format!("mount={}&from=team/a", Digest::of(b"absent")),
        format!("mount={}", Digest::of(b"absent")),
        "mount=nonsense&from=team/a".into(),
    ] {
        let opened = mount("d", query.clone());
        assert_eq!(opened.status, 202, "{query}: {}", opened.text());
        assert_eq!(registry.get(&location(&opened)).status, 204, "{query}");
    }
    assert!(
        !registry.storage().join("d").exists(),
        "an open session makes no repository"
    );
}

#[test]
fn many_send_the_same_blob_at_once() {
    for kind in available() {
        let registry = Registry::start(kind);
        let blob = noise(300_000);
        let digest = Digest::of(&blob);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| registry.put_blob("a", digest.as_str(), &blob));
            }
        });
        assert_eq!(registry.blob("a", digest.as_str()).body, blob, "{kind:?}");
    }
}

#[test]
fn blobs_are_read_in_parts() {
    for kind in [Kind::Serve, Kind::Distribution3] {
        if !kind.is_available() {
            continue;
        }
        let registry = Registry::start(kind);
        let digest = Digest::of(b"0123456789");
        registry.put_blob("a", digest.as_str(), b"0123456789");
        let path = format!("/v2/a/blobs/{digest}");
        let part = |range: &str| registry.request("GET", &path, &[("range", range)], b"");
        for (range, body, of) in [
            ("bytes=0-3", "0123", "bytes 0-3/10"),
            ("bytes=8-", "89", "bytes 8-9/10"),
            ("bytes=-2", "89", "bytes 8-9/10"),
        ] {
            let found = part(range);
            assert_eq!(
                (found.status, found.text()),
                (206, body.into()),
                "{kind:?} {range}"
            );
            assert_eq!(
                found.header("content-range").as_deref(),
                Some(of),
                "{kind:?}"
            );
        }
        let outside = part("bytes=10-");
        assert_eq!(outside.status, 416, "{kind:?}");
        assert_eq!(
            outside.header("content-range").as_deref(),
            Some("bytes */10")
        );
        assert_eq!(
            registry.request("DELETE", &path, &[], b"").status,
            202,
            "{kind:?}"
        );
        assert_eq!(registry.get(&path).status, 404, "{kind:?}");
    }
}
