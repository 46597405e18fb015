//! Ctrl-C while a push waits for something: it ends at once, and the next one goes on where it was.

use std::time::{Duration, Instant};

use hoist::image::digest::Digest;
use tempfile::tempdir;

use super::together::waiting;
use super::{SLACK, SMALL, SMALL_CUT, Site, outcome, small, wait_until};
use crate::bad_tokens::bearer;
use crate::support::archives::{Form, ImageSpec, layout};
use crate::support::command::{Output, Running, hoist};
use crate::support::proxy::{Proxy, Up};
use crate::support::registry::Kind;
use crate::support::scripted::{Answer, Scripted, answer, on};

/// Half a second is promised; the rest is for a loaded machine. What is waited for takes far longer.
const AT_ONCE: Duration = Duration::from_millis(2500);

fn busy() -> Answer {
    answer(429).header("Retry-After", "60")
}

#[track_caller]
fn interrupted(running: Running, signal: &str) -> Output {
    let begun = Instant::now();
    running.signal(signal);
    let code = if signal == "INT" { 130 } else { 143 };
    let output = running.wait().expect_code(code);
    assert!(begun.elapsed() < AT_ONCE, "{:?}: {output}", begun.elapsed());
    let report = output.json();
    assert_eq!(report["outcome"], "interrupted", "{output}");
    assert_eq!(
        report["images"][0]["error"]["kind"], "interrupted",
        "{output}"
    );
    output
}

#[test]
fn a_pause_that_the_registry_asks_for_ends_at_once() {
    for (signal, piece) in [("INT", 1 << 20), ("TERM", 512 << 10)] {
        let site = Site::scripted([on("PATCH", "/v2/").nth(2).then(busy())]);
        let size = piece.to_string();
        let push = site.push().args(["-vv", "--chunk-size", &size]);
        let mut running = push.spawn();
        running.wait_for_stderr(" 429 ");
        interrupted(running, signal);
        assert_eq!(site.uploads().len(), 1);
        let (output, sent) = site.finished();
        let (_, _, at) = outcome(&output.json());
        assert_eq!(at, Some(piece), "{output}");
        assert!(sent < SMALL as u64 - piece + SLACK, "{sent}: {output}");
        assert!(site.uploads().is_empty());
    }
}

#[test]
fn a_wait_for_another_process_ends_at_once() {
    let site = Site::small(Kind::Serve);
    let first = site.stalled(site.push(), SMALL_CUT);
    for signal in ["INT", "TERM"] {
        interrupted(waiting(&site), signal);
        // What the first one knows is its own.
        assert_eq!(site.uploads().len(), 1);
    }
    drop(first);
    site.proxy.hang_up();
    let (output, _) = site.finished();
    let (_, _, at) = outcome(&output.json());
    assert!(at.is_some_and(|at| at >= SMALL_CUT - SLACK), "{output}");
}

#[test]
fn a_wait_for_a_token_ends_at_once() {
    let dir = tempdir().unwrap();
    layout(dir.path(), &ImageSpec::many("app", 20, 2, 100));
    let server = Scripted::start([
        on("GET", "/token").then(busy()),
        on("*", "/v2/").then(bearer("/token")),
    ]);
    let mut running = hoist(["push", "-o", "json", "-vv"])
        .arg(dir.path())
        .arg(format!("{}/t/", server.address()))
        .spawn();
    running.wait_for_stderr(" 429 ");
    interrupted(running, "INT");
}

/// The tries to connect, and the look for a blob whose upload was answered by a gateway only.
#[test]
fn a_wait_between_tries_ends_at_once() {
    let dir = tempdir().unwrap();
    layout(dir.path(), &[small()]);
    let registry = Scripted::start([on("*", "/").then(answer(404))]);
    let mut proxy = Proxy::to(registry.address());
    proxy.go_away();
    let mut away = hoist(["push", "-o", "json", "--progress", "plain", "--plain-http"])
        .arg(dir.path())
        .arg(format!("{}/t/", proxy.address()))
        .spawn();
    away.wait_for_stderr("retry 1 in");
    interrupted(away, "INT");
    assert_eq!(proxy.bytes(Up), 0);

    let layer = Digest::of(&small().layers[0].stored(Form::Plain));
    let of_layer = |method| on(method, "/v2/").containing(layer.encoded());
    let site = Site::scripted([
        of_layer("HEAD").then(answer(404)),
        of_layer("PUT").then(answer(504)),
    ]);
    let looks = || {
        let all = site.front.as_ref().unwrap().requests().into_iter();
        let mine = all.filter(|seen| seen.target.contains(layer.encoded()));
        let after = mine.skip_while(|seen| seen.method != "PUT");
        after.filter(|seen| seen.method == "HEAD").count()
    };
    let looking = site.push().spawn();
    // After 0, 1, 2, 4 and 8 s.
    wait_until(|| looks() >= 3);
    interrupted(looking, "INT");
    assert_eq!(site.uploads().len(), 1);
}
