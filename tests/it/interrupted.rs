//! Ctrl-C while hoist is busy with local files: the push ends at once, whatever their size.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tar::EntryType;
use tempfile::tempdir;

use crate::support::archives::{Form, ImageSpec};
use crate::support::command::hoist;
use crate::support::members::Members;
use crate::support::packing::{zeros, zst};
use crate::support::registry::{Kind, Registry};
use crate::support::waiting::wait_until;

/// One second is promised; the rest is for a loaded machine.
const AT_ONCE: Duration = Duration::from_millis(2500);

/// A docker archive whose one layer begins as `head` says and goes on with 64 GiB of holes.
fn large_layer(path: &Path, head: &[u8]) {
    let size = 64_u64 << 30;
    let mut members = Members::new();
    members.raw_sized(EntryType::Regular, b"layer.tar", head, size);
    let start = members.into_bytes();
    let spec = ImageSpec::unnamed().layer(1, 1);
    let mut rest = Members::new();
    rest.file("config.json", &spec.config());
    let list = json!([{"Config": "config.json", "Layers": ["layer.tar"]}]);
    rest.file("manifest.json", list.to_string().as_bytes());
    let file = File::create(path).unwrap();
    file.write_all_at(&start[..512 + head.len()], 0).unwrap();
    file.write_all_at(&rest.into_bytes(), 512 + size).unwrap();
}

#[test]
fn hashing_and_compressing_end_at_once() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("large.tar");
    let registry = Registry::start(Kind::Serve);
    let gzip = ImageSpec::unnamed().layer(1, 100).layers[0].stored(Form::Gzip);
    for (head, options) in [
        (&gzip[..], &[][..]),
        (b"", &[]),
        (b"", &["--compression", "none"]),
    ] {
        large_layer(&path, head);
        let destination = format!("{}/t/", registry.host());
        let mut running = hoist(["push", "-o", "json", "--progress", "plain"])
            .args(options.iter().copied())
            .arg(&path)
            .arg(destination)
            .spawn();
        running.wait_for_stderr("to push:");
        let begun = Instant::now();
        running.signal("INT");
        let output = running.wait().expect_code(130);
        assert!(begun.elapsed() < AT_ONCE, "{options:?}: {output}");
        let report = output.json();
        assert_eq!(report["outcome"], "interrupted", "{output}");
        let error = &report["images"][0]["error"];
        assert_eq!(error["kind"], "interrupted", "{output}");
    }
}

/// `hoist push SOURCE` of what is not read to its end for a long time.
fn busy(source: &Path, stdin: Stdio, tmpdir: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_hoist"))
        .args(["push", "--progress", "plain"])
        .arg(source)
        .arg("127.0.0.1:9/t/")
        .env_clear()
        .env("TMPDIR", tmpdir)
        .stdin(stdin)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[track_caller]
fn ends_at_once(child: Child) {
    let begun = Instant::now();
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(begun.elapsed() < AT_ONCE, "{:?}: {said}", begun.elapsed());
    assert!(said.contains("error: interrupted"), "{said}");
}

/// Whether the process has taken signals for itself, as its status in proc(5) says.
fn await_signals(child: &Child) {
    let path = format!("/proc/{}/status", child.id());
    wait_until(|| {
        let status = fs::read_to_string(&path).unwrap();
        let caught = status.lines().find_map(|l| l.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
        // SIGINT is the second one.
        caught & 2 != 0
    });
}

#[test]
fn decoding_and_reading_standard_input_end_at_once() {
    let dir = tempdir().unwrap();
    let mut bomb = Members::new();
    bomb.raw_sized(EntryType::Regular, b"zeros", b"", 64 << 30);
    let mut packed = zst(&bomb.into_bytes()[..512]);
    packed.extend(zeros(64 << 10));
    let path = dir.path().join("large.tar.zst");
    fs::write(&path, packed).unwrap();
    let decoding = busy(&path, Stdio::null(), dir.path());
    await_signals(&decoding);
    ends_at_once(decoding);

    // From somebody who writes nothing, and from somebody who never stops.
    let mut waiting = busy(Path::new("-"), Stdio::piped(), dir.path());
    let silent = waiting.stdin.take();
    await_signals(&waiting);
    ends_at_once(waiting);
    drop(silent);
    let endless = File::open("/dev/zero").unwrap();
    let reading = busy(Path::new("-"), endless.into(), dir.path());
    await_signals(&reading);
    ends_at_once(reading);
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
