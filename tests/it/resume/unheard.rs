//! A layer that is compressed on the way and is complete at the registry, of which the process that sent it
//! died before it heard: the next one finds it there, by what was written down before it was closed.

use std::fs;
use std::path::Path;
use std::thread;

use tempfile::tempdir;

use super::{files, small};
use crate::support::archives::docker_archive;
use crate::support::command::hoist;
use crate::support::pushing::read_back;
use crate::support::registry::{self, Kind, Registry};
use crate::support::scripted::{Gate, Scripted, on, pass_and_hold};

/// The config, and nothing of the layer.
const LITTLE: u64 = 10_000;

#[test]
fn a_compressed_layer_that_arrived_unheard_is_not_sent_again() {
    let chunked = ["--chunk-size", "1MiB"];
    thread::scope(|scope| {
        for kind in registry::available() {
            for options in [&[][..], &["--no-cache"], &["--no-state"]] {
                scope.spawn(move || is_not_sent_again(kind, options));
            }
        }
        scope.spawn(move || {
            is_not_sent_again(Kind::Serve, &[&chunked[..], &["--no-cache"]].concat())
        });
        scope.spawn(move || {
            is_not_sent_again(Kind::Serve, &[&chunked[..], &["--no-state"]].concat())
        });
    });
}

#[test]
fn a_wrong_size_that_was_written_down_ends_up_in_no_manifest() {
    let sent = sent_again(Kind::Serve, &["--no-cache"], |uploads| {
        let [file] = files(uploads).try_into().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let (before, made) = text.split_once("\"made\"").unwrap();
        let damaged = made.replacen("\"size\":", "\"size\":1", 1);
        assert_ne!(made, damaged);
        fs::write(file, format!("{before}\"made\"{damaged}")).unwrap();
    });
    assert!(sent > LITTLE, "{sent} bytes");
}

fn is_not_sent_again(kind: Kind, options: &[&str]) {
    let sent = sent_again(kind, options, |_| ());
    assert!(sent < LITTLE, "{sent} bytes to {kind:?} with {options:?}");
}

/// How many bytes of blobs the second push sends, before which `damage` was done to the folder of uploads.
fn sent_again(kind: Kind, options: &[&str], damage: impl Fn(&Path)) -> u64 {
    let (dir, gate) = (tempdir().unwrap(), Gate::new());
    let source = dir.path().join("source");
    let config = docker_archive(&source, &[small()]).remove(0);
    let registry = Registry::start(kind);
    let closing = on("PUT", "/v2/team/app/blobs/uploads/").without(config.encoded());
    let swallowed = closing.times(1).then(pass_and_hold(&gate));
    let front = Scripted::before(registry.address(), [swallowed]);
    let push = || {
        hoist(["push", "-o", "json", "--progress", "none"])
            .args(options)
            .env("HOIST_STATE_DIR", dir.path().join("state"))
            .env("HOIST_CACHE_DIR", dir.path().join("cache"))
            .arg(&source)
            .arg(format!("{}/team/app:1", front.address()))
    };
    let running = push().spawn();
    gate.wait_for(1);
    drop(running);
    gate.open();
    let uploads = dir.path().join("state/uploads");
    damage(&uploads);
    let before = front.requests().len();
    let output = push().run().expect_code(0);
    let story = format!("{kind:?} {options:?}: {output}");
    read_back(&registry, &output.json());
    if options.contains(&"--no-cache") {
        assert!(files(&uploads).is_empty(), "{story}");
    }
    let requests = front.requests();
    let sent = requests[before..]
        .iter()
        .filter(|seen| seen.target.contains("/blobs/uploads/"));
    sent.map(|seen| seen.body_len).sum()
}
