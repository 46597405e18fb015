//! Downloads that stand still.

use std::time::Duration;

use super::*;
use crate::support::command::Output;
use crate::support::proxy::{Down, Fault, Proxy};
use crate::support::scripted::{Scripted, Seen};

/// Verifies `app` over a network with that fault; what was asked for its largest blob.
fn verify(retries: &str, fault: Fault) -> (Output, String, Vec<Seen>) {
    let dir = tempdir().unwrap();
    images(dir.path());
    let app = dir.path().join("app");
    let registry = Registry::start(Kind::Serve);
    let first = push(&app, &registry, "app", &[]).expect_code(0).json();
    let (digest, _) = largest(&first, "app");
    let server = Scripted::before(registry.address(), []);
    let proxy = Proxy::to(server.address());
    proxy.arm(fault);
    let output = hoist(["push", "--verify", "-o", "json", "--retries", retries])
        .args(["--stall-timeout", "400ms"])
        .arg(app)
        .arg(format!("{}/app", proxy.address()))
        .run();
    let mut asked = server.requests();
    let path = format!("/v2/app/blobs/{digest}");
    asked.retain(|seen| seen.method == "GET" && seen.target == path);
    (output, digest, asked)
}

#[test]
fn a_download_that_stands_still_goes_on_where_it_stood() {
    let (output, _, asked) = verify("5", Fault::stall(Down).after(100_000));
    let report = output.expect_code(0).json();
    expect_verified(&report);
    let ranges: Vec<_> = asked.iter().map(|seen| seen.header("range")).collect();
    let [None, Some(range)] = ranges[..] else {
        panic!("{ranges:?}");
    };
    let from = range.strip_prefix("bytes=").unwrap().strip_suffix('-');
    let from: u64 = from.unwrap().parse().unwrap();
    assert!((50_000..100_000).contains(&from), "{range}");
    let bytes = &report["bytes"];
    assert_eq!(bytes["read_back"], bytes["total"]);
    assert_eq!(bytes["uploaded"], 0);
    assert_eq!(report["retries"], 1);
}

#[test]
fn one_that_always_stands_still_ends() {
    let (output, digest, asked) = verify("1", Fault::stall(Down).after(10_000).always());
    let output = output.expect_code(1);
    let message = output.json()["images"][0]["error"]["message"].to_string();
    assert!(message.contains(&digest), "{output}");
    assert!(
        message.contains("no byte of the answer for 400ms"),
        "{output}"
    );
    assert!(asked.len() <= 4, "{output}");
    assert!(output.elapsed < Duration::from_secs(30), "{output}");
}
