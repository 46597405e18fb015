//! Bytes that are not what was sent, under TLS: the connection is over, as when it is cut.

use hoist::net::FailureKind;
use tempfile::TempDir;

use super::{assert_failure, get, put, trusting};
use crate::support::proxy::{Down, Fault, Proxy, Up};
use crate::support::scripted::{Scripted, answer, on};
use crate::support::tls::Authority;

#[test]
fn a_damaged_byte_ends_the_connection_it_came_over() {
    let dir = TempDir::new().unwrap();
    let authority = Authority::new("tests");
    let config = authority.issue(&["127.0.0.1"]).server();
    let http = trusting(vec![authority.write(dir.path())]);
    let server = Scripted::start_tls(
        config,
        [
            on("GET", "/").then(answer(200).body(vec![7; 9_000])),
            on("PUT", "/").then(answer(201)),
        ],
    );
    let proxy = Proxy::to(server.address());
    let url = format!("https://{}/", proxy.address());
    assert_eq!(get(&http, &url).unwrap().status, 200);

    proxy.arm(Fault::garble(Down).after(15_000));
    let failure = assert_failure(
        get(&http, &url),
        FailureKind::Closed,
        "the TLS connection broke: cannot decrypt peer's message",
    );
    assert!(failure.reused);

    proxy.arm(Fault::garble(Up).after(200_000));
    let cut = assert_failure(put(&http, &url, 8 << 20), FailureKind::Closed, "");
    assert!(cut.body_sent > 100_000, "{cut:?}");
    assert_eq!(put(&http, &url, 300_000).unwrap().status, 201);
    assert_eq!(proxy.struck().len(), 2);
}
