//! Standard input as a source: redirected, piped, compressed, unnamed, without room.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::support::archives::{
    ImageSpec, docker_archive, docker25_archive, gzip, noise, oci_archive,
};
use crate::support::command::hoist;
use crate::support::packing::zst;
use crate::support::pushing::{arrived, push, read_back};
use crate::support::registry::{Kind, Registry, available};

fn archive(dir: &TempDir, name: &str) -> std::path::PathBuf {
    let path = dir.path().join("app.tar");
    let image = ImageSpec::new(name).layer(1, 300_000).layer(2, 70_000);
    docker25_archive(&path, &[image]);
    path
}

fn json(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {stderr}"))
}

/// `hoist push - host/path` with `file` as standard input, from where it stands.
fn redirected(file: File, registry: &Registry, path: &str, tmpdir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hoist"))
        .args(["push", "-o", "json", "--progress", "none", "-"])
        .arg(format!("{}/{path}", registry.host()))
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("TMPDIR", tmpdir)
        .stdin(Stdio::from(file))
        .output()
        .unwrap()
}

#[test]
fn a_redirected_file_is_read_in_place_and_a_pipe_is_kept_without_a_name() {
    let dir = tempdir().unwrap();
    let plain = archive(&dir, "team/app:1");
    let spool = tempdir().unwrap();
    for kind in available() {
        let registry = Registry::start(kind);
        let from_file = push(&plain, &registry, "file/", &[]).expect_code(0).json();
        let digest = &arrived(&from_file)["file/team/app:1"];
        let expect = |report: &Value, prefix: &str| {
            assert_eq!(report["outcome"], "ok", "{kind:?} {prefix}: {report:#}");
            assert_eq!(report["images"][0]["source"], "-");
            assert_eq!(&arrived(report)[&format!("{prefix}team/app:1")], digest);
            read_back(&registry, report);
        };
        let tar = fs::read(&plain).unwrap();
        let forms = [
            ("plain", tar.clone()),
            ("gz", gzip(&tar)),
            ("zst", zst(&tar)),
        ];
        for (form, bytes) in forms {
            let path = dir.path().join(form);
            fs::write(&path, &bytes).unwrap();
            let prefix = format!("redirected-{form}/");
            let file = File::open(&path).unwrap();
            let output = redirected(file, &registry, &prefix, Path::new("/nonexistent"));
            expect(&json(&output), &prefix);

            let destination = format!("{}/piped-{form}/", registry.host());
            let command = hoist(["push", "-o", "json", "-", &destination]).stdin(bytes);
            let piped = command.env("TMPDIR", spool.path()).run().expect_code(0);
            expect(&piped.json(), &format!("piped-{form}/"));
            piped.expect_stderr(&format!("kept in {} until", spool.path().display()));
            assert_eq!(fs::read_dir(spool.path()).unwrap().count(), 0);
        }
    }
}

#[test]
fn a_file_that_was_read_from_goes_on_where_that_ended() {
    let dir = tempdir().unwrap();
    let plain = archive(&dir, "team/app:1");
    let path = dir.path().join("with-a-line-before");
    let mut bytes = b"#!/bin/archive\n".to_vec();
    bytes.extend(fs::read(plain).unwrap());
    fs::write(&path, &bytes).unwrap();
    let mut file = File::open(&path).unwrap();
    file.seek(SeekFrom::Start(15)).unwrap();
    let registry = Registry::start(Kind::Serve);
    let report = json(&redirected(file, &registry, "demo/", dir.path()));
    assert_eq!(arrived(&report).len(), 1, "{report:#}");
    read_back(&registry, &report);
}

/// As `zstd -dc x.tar.zst | hoist push - host/app:1` does.
#[test]
fn a_pipe_that_comes_bit_by_bit_is_read_to_its_end() {
    let dir = tempdir().unwrap();
    let bytes = fs::read(archive(&dir, "other/name:2")).unwrap();
    let registry = Registry::start(Kind::Serve);
    let mut child = Command::new(env!("CARGO_BIN_EXE_hoist"))
        .args([
            "push",
            "-o",
            "json",
            "-",
            &format!("{}/app:1", registry.host()),
        ])
        .env_clear()
        .env("TMPDIR", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for piece in bytes.chunks(7777) {
        stdin.write_all(piece).unwrap();
        stdin.flush().unwrap();
    }
    drop(stdin);
    let mut stdout = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut stdout)
        .unwrap();
    assert!(child.wait().unwrap().success());
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert!(arrived(&report).contains_key("app:1"), "{report:#}");
    read_back(&registry, &report);
}

#[test]
fn it_is_listed_too() {
    let dir = tempdir().unwrap();
    let tar = fs::read(archive(&dir, "team/app:1")).unwrap();
    for bytes in [gzip(&tar), tar] {
        let output = hoist(["list", "-"]).stdin(bytes).run().expect_code(0);
        let line = output.stdout_lines()[0].to_owned();
        assert!(line.starts_with("docker.io/team/app:1\t"), "{line}");
        assert!(line.ends_with("\t-"), "{line}");
    }
}

#[test]
fn an_image_without_a_name_needs_one() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("unnamed.tar");
    docker_archive(&path, &[ImageSpec::unnamed().layer(1, 1000)]);
    let bytes = fs::read(&path).unwrap();
    let registry = Registry::start(Kind::Serve);
    let run = |target: &str| {
        let destination = format!("{}/{target}", registry.host());
        hoist(["push", "-", &destination])
            .stdin(bytes.clone())
            .run()
    };
    let sentence = "neither the image nor standard input gives it a name: name its repository";
    run("demo/").expect_code(1).expect_stderr(sentence);
    run("demo/app").expect_code(0);
    assert_eq!(registry.manifest("demo/app", "latest").status, 200);
}

#[test]
fn what_is_no_archive_or_has_no_room_is_told() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("oci.tar");
    oci_archive(&path, &[ImageSpec::new("app:1").layer(1, 200_000)]);
    let bytes = fs::read(&path).unwrap();
    let run = |stdin: &[u8], tmpdir: &str| {
        let command = hoist(["push", "-", "127.0.0.1:9/demo/"]).stdin(stdin);
        command.env("TMPDIR", tmpdir).run().expect_code(3)
    };
    let tmpdir = dir.path().to_str().unwrap();
    run(b"", tmpdir).expect_stderr("error: standard input: is empty");
    run(&noise(1, 100_000), tmpdir).expect_stderr("error: standard input: is no archive");
    run(b"\xfd7zXZ\0\0\x04", tmpdir).expect_stderr("standard input: is compressed with xz");
    run(&bytes, "/nonexistent").expect_stderr("in /nonexistent ($TMPDIR): No such file");
    // A limit on the size of files stands for a full disk: both end a write half-way.
    let script = "trap '' XFSZ; ulimit -f 100; exec \"$0\" push - 127.0.0.1:9/demo/";
    let mut child = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_hoist")])
        .env("TMPDIR", tmpdir)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It stops reading before the end.
    drop(stdin.write_all(&bytes));
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    let expected = format!("writing to {tmpdir} failed after 0 MiB: File too large");
    assert!(stderr.contains(&expected), "{stderr}");
    assert!(
        stderr.contains("set TMPDIR to a folder with more room"),
        "{stderr}"
    );
}
