//! Payloads that lie in files: over plain connections the system sends them without our having read
//! them, and all that is promised of payloads holds for those, too.

use std::fs::{self, File};
use std::sync::Arc;
use std::time::Instant;

use hoist::net::{Failure, FailureKind, FilePart, Http, Method, Payload, Response};
use tempfile::{TempDir, tempfile};

use super::{BIG, STALL, assert_failure, get, http, impatient, send, trusting};
use crate::support::proxy::{Down, Fault, Proxy, Up};
use crate::support::scripted::{Scripted, answer, close_after, on};
use crate::support::tls::Authority;

/// A file that has only a size.
pub(super) fn hole(size: u64) -> Arc<File> {
    let file = tempfile().unwrap();
    file.set_len(size).unwrap();
    Arc::new(file)
}

/// Sends `size` bytes of a file from `position` on; `each` hears of every piece of it.
fn put_part(
    http: &Http,
    url: &str,
    (file, position, size): (&Arc<File>, u64, u64),
    each: &mut (dyn FnMut(u64) + Send),
) -> Result<Response, Failure> {
    let part = FilePart {
        file: Arc::clone(file),
        position,
        size,
        taken: each,
    };
    send(http, Method::Put, url, Payload::File(part))
}

pub(super) fn put_hole(http: &Http, url: &str, size: u64) -> Result<Response, Failure> {
    put_part(http, url, (&hole(size), 0, size), &mut |_| ())
}

#[test]
fn a_part_of_a_file_arrives_as_it_is() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("text");
    let text: Vec<u8> = (0..150_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(&path, &text).unwrap();
    let file = Arc::new(File::open(&path).unwrap());
    let authority = Authority::new("tests");
    let config = authority.issue(&["127.0.0.1"]).server();
    let rules = || [on("*", "/").then(answer(201))];
    let http = trusting(vec![authority.write(dir.path())]);
    for server in [
        Scripted::start(rules()),
        Scripted::start_tls(config, rules()),
    ] {
        let url = server.url("/");
        let parts = [(0, 600_000), (1, 1), (300_001, 299_999), (600_000, 0)];
        for (position, size) in parts {
            let mut taken = 0;
            let each = &mut |bytes| taken += bytes;
            let response = put_part(&http, &url, (&file, position, size), each).unwrap();
            assert_eq!((response.body_sent, taken), (size, size));
        }
        for (seen, (position, size)) in server.requests().iter().zip(parts) {
            let length = size.to_string();
            assert_eq!(seen.header("content-length"), Some(length.as_str()));
            assert_eq!(seen.body_len, size);
            let rest = &text[usize::try_from(position).unwrap()..];
            assert_eq!(seen.body, rest[..seen.body.len()]);
            assert_eq!(seen.body.len() as u64, size.min(64 << 10));
        }
        assert_eq!(server.connections(), 1);
    }
}

/// What is no file on a disk may be readable and nothing more.
#[test]
#[cfg(target_os = "linux")]
fn a_file_that_the_system_does_not_send_from_is_read() {
    let path = "/proc/self/auxv";
    let bytes = fs::read(path).unwrap();
    let file = Arc::new(File::open(path).unwrap());
    assert!(rustix::fs::sendfile(tempfile().unwrap(), &file, Some(&mut 0), 1).is_err());
    let server = Scripted::start([on("*", "/").then(answer(201))]);
    let part = (&file, 16, bytes.len() as u64 - 16);
    put_part(&http(), &server.url("/"), part, &mut |_| ()).unwrap();
    assert_eq!(server.requests()[0].body, bytes[16..]);
}

#[test]
fn a_file_that_ends_early_is_not_the_servers_fault() {
    let server = Scripted::start([on("*", "/").then(answer(201))]);
    let url = server.url("/");
    let http = http();
    for (there, position, size, sent) in [
        (300_000, 7, 300_001, 299_993),
        (300_000, 0, 300_001, 300_000),
        (10, 20, 5, 0),
    ] {
        let outcome = put_part(&http, &url, (&hole(there), position, size), &mut |_| ());
        let words = format!("ended {} bytes early", size - sent);
        let failure = assert_failure(outcome, FailureKind::Payload, &words);
        assert_eq!(failure.body_sent, sent);
    }
    // Cut while it is being sent.
    let file = hole(BIG);
    let mut taken = 0;
    let mut each = |bytes| {
        taken += bytes;
        if taken > 2_000_000 {
            file.set_len(1_500_000).unwrap();
        }
    };
    let cut = put_part(&http, &url, (&file, 0, BIG), &mut each);
    let failure = assert_failure(cut, FailureKind::Payload, "bytes early");
    assert!(failure.body_sent < 2_000_000 + (128 << 10), "{failure:?}");
    let folder = Arc::new(File::open("/").unwrap());
    let outcome = put_part(&http, &url, (&folder, 0, 5), &mut |_| ());
    assert_failure(outcome, FailureKind::Payload, "directory");
    // What was half sent is not continued.
    assert_eq!(get(&http, &url).unwrap().status, 201);
    assert_eq!(server.connections(), 6);
}

#[test]
fn cuts_and_stalls_are_told_while_a_file_goes_out() {
    let server = Scripted::start([
        on("PUT", "/closes").then(close_after(100_000)),
        on("*", "/").then(answer(200)),
    ]);
    let http = impatient();
    let closed = put_hole(&http, &server.url("/closes"), BIG);
    let halfway = assert_failure(closed, FailureKind::Closed, "");
    assert!(halfway.body_sent >= 100_000 && halfway.body_sent < BIG);
    let proxy = Proxy::to(server.address());
    let url = format!("http://{}/", proxy.address());
    for (fault, kind, part) in [
        (Fault::cut(Up), FailureKind::Closed, ""),
        (Fault::reset(Up), FailureKind::Closed, ""),
        (Fault::stall(Up), FailureKind::Stalled, "no byte was taken"),
    ] {
        proxy.arm(fault.after(3_000_000));
        let failure = assert_failure(put_hole(&http, &url, BIG), kind, part);
        assert!(failure.body_sent > 2_900_000 && failure.body_sent < BIG);
    }
    assert_eq!(put_hole(&http, &url, 3_000_000).unwrap().status, 200);
    assert!(proxy.bytes(Down) > 0);
}

#[test]
fn a_file_that_goes_out_slowly_is_no_stall() {
    let server = Scripted::start([on("*", "/").then(answer(200))]);
    let proxy = Proxy::to(server.address());
    proxy.slow_down(8 << 20);
    let url = format!("http://{}/", proxy.address());
    let started = Instant::now();
    put_hole(&impatient(), &url, 16 << 20).unwrap();
    assert!(started.elapsed() > STALL * 2);
}
