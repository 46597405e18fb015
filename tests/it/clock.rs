//! System clocks that are wrong, or jump: what hoist waits for and how long things are good it counts by itself.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::tempdir;

use crate::support::archives::{ImageSpec, docker_archive};
use crate::support::command::{Command, hoist};
use crate::support::proxy::{Fault, Proxy, Up};
use crate::support::pushing::read_back;
use crate::support::registry::{Kind, Registry};
use crate::support::scripted::{Gate, Scripted, answer, held, on, pass};
use crate::support::waiting::wait_until;

/// What libfaketime lies by, where it is installed.
pub(crate) fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").unwrap();
    let beside = |folder: PathBuf| folder.join("faketime/libfaketimeMT.so.1");
    let mut places = folders.map(|entry| beside(entry.unwrap().path()));
    places.find(|place| place.is_file())
}

/// Under a clock that is a file's content ahead: "+3650d".
fn under(command: Command, library: &Path, ahead: &Path) -> Command {
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", ahead)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
}

#[test]
fn what_another_clock_has_left_is_of_no_harm() {
    let Some(library) = library() else { return };
    let dir = tempdir().unwrap();
    let (source, ahead) = (dir.path().join("app.tar"), dir.path().join("ahead"));
    docker_archive(&source, &[ImageSpec::new("app:1").layer(1, 2 << 20)]);
    let registry = Registry::start(Kind::Serve);
    for (number, offset) in ["+0", "-9000d", "+9000d", "-3650d", "+0"]
        .iter()
        .enumerate()
    {
        fs::write(&ahead, offset).unwrap();
        for repository in ["same".to_owned(), format!("app{number}")] {
            let push = hoist(["push", "-o", "json", "--cache-dir"]).arg(dir.path().join("cache"));
            let push = push.arg("--state-dir").arg(dir.path().join("state"));
            let push = push.arg(&source);
            let push = push.arg(format!("{}/{repository}:1", registry.host()));
            let output = under(push, &library, &ahead).run().expect_code(0);
            let report = output.json();
            assert_eq!(report["warnings"], json!([]), "{offset}: {output}");
            assert!(report["duration_ms"].as_u64().unwrap() < 60_000, "{offset}");
            read_back(&registry, &report);
        }
    }
}

/// An upload that a killed push has left under one clock, and the next one finds under another.
#[test]
fn an_upload_left_under_another_clock_is_gone_on_with_or_begun_again() {
    let Some(library) = library() else { return };
    let dir = tempdir().unwrap();
    let (source, ahead) = (dir.path().join("app.tar"), dir.path().join("ahead"));
    docker_archive(&source, &[ImageSpec::new("app:1").layer(1, 3 << 20)]);
    for (before, after) in [
        ("+0", "+2h"),
        ("+0", "+9000d"),
        ("+0", "-9000d"),
        ("-20000d", "+0"),
    ] {
        let registry = Registry::start(Kind::Serve);
        let proxy = Proxy::to(registry.address());
        let push = |offset: &str| {
            fs::write(&ahead, offset).unwrap();
            let push = hoist(["push", "-o", "json", "--no-cache", "--state-dir"]);
            let push = push.arg(dir.path().join("state")).arg(&source);
            let push = push.arg(format!("{}/app:1", proxy.address()));
            under(push, &library, &ahead)
        };
        proxy.arm(Fault::stall(Up).after(1_000_000));
        let running = push(before).spawn();
        wait_until(|| proxy.bytes(Up) >= 1_000_000);
        drop(running);
        proxy.hang_up();
        let output = push(after).run().expect_code(0);
        let report = output.json();
        assert_eq!(report["warnings"], json!([]), "{before} {after}: {output}");
        read_back(&registry, &report);
        let bytes = |name: &str| report["bytes"][name].as_u64().unwrap();
        let resumed = bytes("resumed");
        let all = bytes("uploaded") + bytes("present") + resumed;
        assert_eq!(all, bytes("total"), "{before} {after}: {output}");
        let is_near = after.ends_with('h');
        assert!(resumed > 800_000 || !is_near, "{before} {after}: {output}");
        let left = fs::read_dir(dir.path().join("state/uploads")).unwrap();
        assert_eq!(left.count(), 0, "{before} {after}");
    }
}

/// In the middle of a blob, with a token that is good for minutes.
#[test]
fn a_jump_ends_no_token_and_no_wait() {
    let Some(library) = library() else { return };
    let dir = tempdir().unwrap();
    let (source, ahead) = (dir.path().join("app.tar"), dir.path().join("ahead"));
    docker_archive(&source, &[ImageSpec::new("app:1").layer(1, 4 << 20)]);
    for offset in ["-3650d", "+3650d"] {
        fs::write(&ahead, "+0").unwrap();
        let registry = Registry::start(Kind::Serve);
        let gate = Gate::new();
        let bearer =
            answer(401).header("WWW-Authenticate", "Bearer realm=\"/token\",service=\"r\"");
        let token = answer(200).body("{\"token\": \"t0ken\", \"expires_in\": 300}");
        let server = Scripted::before(
            registry.address(),
            [
                on("GET", "/token").then(token),
                on("*", "/v2/").times(1).then(bearer),
                on("PATCH", "/v2/").nth(1).then(held(&gate, pass())),
                on("PUT", "/v2/")
                    .nth(1)
                    .then(answer(503).header("Retry-After", "1")),
            ],
        );
        let push = hoist(["push", "-o", "json", "--no-cache", "--no-state"]).arg(&source);
        let push = push.arg(format!("{}/app:1", server.address()));
        let running = under(push, &library, &ahead).spawn();
        gate.wait_for(1);
        fs::write(&ahead, offset).unwrap();
        gate.open();
        let output = running.wait().expect_code(0);
        let report = output.json();
        read_back(&registry, &report);
        let asked = server.requests();
        let tokens = asked
            .iter()
            .filter(|seen| seen.target.starts_with("/token"));
        assert_eq!(tokens.count(), 1, "{offset}: {output}");
        assert!(report["duration_ms"].as_u64().unwrap() < 60_000, "{output}");
        assert!(report["waited_ms"].as_u64().unwrap() < 30_000, "{output}");
    }
}
