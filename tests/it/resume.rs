//! Uploads that one process leaves open, and the next one goes on with.
#![cfg(target_os = "linux")]

mod interrupted;
mod left;
mod places;
mod together;
mod unheard;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::support::archives::{Form, ImageSpec, LayerSpec, docker_archive, layout};
use crate::support::command::{Command, Output, Running, hoist};
use crate::support::proxy::{Fault, Proxy, Up};
use crate::support::pushing::read_back;
use crate::support::registry::{self, Kind, Registry};
use crate::support::scripted::{Rule, Scripted};
use crate::support::waiting::wait_until;

const LARGE: usize = 12 << 20;
const CUT: u64 = 3_000_000;
const SMALL: usize = 3 << 20;
const SMALL_CUT: u64 = 1_000_000;
/// Headers, the config and what else is sent anew.
const SLACK: u64 = 200_000;

/// A source, a state folder, and a registry behind a proxy.
struct Site {
    dir: TempDir,
    registry: Registry,
    front: Option<Scripted>,
    proxy: Proxy,
}

impl Site {
    fn new(kind: Kind) -> Self {
        let registry = Registry::start(kind);
        Self {
            dir: tempdir().unwrap(),
            proxy: Proxy::to(registry.address()),
            front: None,
            registry,
        }
    }

    /// With what the scripted server in front of the registry does, and with a smaller layer.
    fn scripted(rules: impl IntoIterator<Item = Rule>) -> Self {
        let registry = Registry::start(Kind::Serve);
        let front = Scripted::before(registry.address(), rules);
        let site = Self {
            dir: tempdir().unwrap(),
            proxy: Proxy::to(front.address()),
            front: Some(front),
            registry,
        };
        layout(&site.dir.path().join("source"), &[small()]);
        site
    }

    /// With another folder, in which a source is.
    fn of(self, dir: TempDir) -> Self {
        Self { dir, ..self }
    }

    fn small(kind: Kind) -> Self {
        let site = Self::new(kind);
        layout(&site.dir.path().join("source"), &[small()]);
        site
    }

    fn layout(self) -> Self {
        layout(&self.dir.path().join("source"), &[image()]);
        self
    }

    fn archive(self) -> Self {
        docker_archive(&self.dir.path().join("source"), &[image()]);
        self
    }

    fn push(&self) -> Command {
        let destination = format!("{}/team/app:1", self.proxy.address());
        hoist(["push", "-o", "json", "--progress", "none", "--state-dir"])
            .arg(self.dir.path().join("state"))
            .arg(self.dir.path().join("source"))
            .arg(destination)
    }

    /// A push that has sent about so much when everything stands still.
    fn stalled(&self, command: Command, bytes: u64) -> Running {
        let before = self.proxy.bytes(Up);
        self.proxy.arm(Fault::stall(Up).after(bytes));
        let running = command.spawn();
        wait_until(|| self.proxy.bytes(Up) >= before + bytes);
        running
    }

    /// The same, killed there.
    fn killed(&self, bytes: u64) {
        drop(self.stalled(self.push(), bytes));
        self.proxy.hang_up();
    }

    /// A push that succeeds, and what it sent.
    fn finished(&self) -> (Output, u64) {
        self.finished_by(self.push())
    }

    fn finished_by(&self, push: Command) -> (Output, u64) {
        let before = self.proxy.bytes(Up);
        let output = push.run().expect_code(0);
        let sent = self.proxy.bytes(Up) - before;
        read_back(&self.registry, &output.json());
        (output, sent)
    }

    fn uploads(&self) -> Vec<PathBuf> {
        files(&self.dir.path().join("state/uploads"))
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn image() -> ImageSpec {
    ImageSpec::new("app:1").layer(2, 3_000).with(LayerSpec {
        seed: 1,
        size: LARGE,
        form: Some(Form::Plain),
    })
}

/// One layer, small enough to be sent before anybody notices that nobody reads it.
fn small() -> ImageSpec {
    ImageSpec::new("app:1").with(LayerSpec {
        seed: 2,
        size: SMALL,
        form: Some(Form::Plain),
    })
}

/// What was sent, and where the large layer was taken up.
fn outcome(report: &Value) -> (u64, u64, Option<u64>) {
    let blobs = report["images"][0]["blobs"].as_array().unwrap();
    let resumed = blobs.iter().find_map(|blob| blob["resumed_at"].as_u64());
    let bytes = |name: &str| report["bytes"][name].as_u64().unwrap();
    (bytes("uploaded"), bytes("resumed"), resumed)
}

/// The kinds that keep what arrived before a cut, to the byte.
fn keeps(kind: Kind) -> bool {
    matches!(kind, Kind::Serve | Kind::Distribution3)
}

#[test]
fn the_rest_of_what_a_killed_push_was_sending_is_sent_by_the_next_one() {
    for kind in registry::available() {
        let site = Site::new(kind).layout();
        site.killed(CUT);
        assert_eq!(site.uploads().len(), 1, "{}", kind.name());
        let (output, sent) = site.finished();
        let (uploaded, resumed, at) = outcome(&output.json());
        if keeps(kind) {
            // What was on its way when the process died arrives, but for what the proxy held back.
            let least = CUT - SLACK;
            assert!(
                at.is_some_and(|at| at >= least),
                "{}: {output}",
                kind.name()
            );
            assert_eq!(at, Some(resumed), "{output}");
            assert!(sent < LARGE as u64 - least + SLACK, "{sent}: {output}");
            assert!(uploaded <= sent, "{output}");
        } else {
            assert_eq!((at, resumed), (None, 0), "{}: {output}", kind.name());
        }
        assert!(site.uploads().is_empty(), "{}", kind.name());
    }
}

#[test]
fn the_tail_of_a_layer_that_is_compressed_on_the_way_is_made_again() {
    for kind in registry::available()
        .into_iter()
        .filter(|kind| keeps(*kind))
    {
        let site = Site::new(kind).archive();
        site.killed(CUT);
        let (output, sent) = site.finished();
        let (_, resumed, at) = outcome(&output.json());
        assert!(at.is_some_and(|at| at >= CUT - SLACK), "{output}");
        assert_eq!(at, Some(resumed), "{output}");
        let total = output.json()["bytes"]["total"].as_u64().unwrap();
        assert!(
            sent < total - resumed + SLACK,
            "{sent} of {total}: {output}"
        );
        assert!(site.uploads().is_empty());
    }
}

/// Slower, in smaller pieces: over the same bytes all the same.
#[test]
fn the_rest_of_what_was_sent_at_a_limited_rate_is_sent() {
    let site = |kind, made| match made {
        true => {
            let site = Site::new(kind);
            docker_archive(&site.dir.path().join("source"), &[small()]);
            site
        }
        false => Site::small(kind),
    };
    let kinds = registry::available().into_iter();
    std::thread::scope(|scope| {
        for kind in kinds.filter(|kind| keeps(*kind)) {
            for made in [false, true] {
                scope.spawn(move || {
                    let site = site(kind, made);
                    let limited = |rate| site.push().args(["--limit-rate", rate]);
                    drop(site.stalled(limited("3M"), SMALL_CUT));
                    site.proxy.hang_up();
                    let (output, sent) = site.finished_by(limited("6M"));
                    let report = output.json();
                    let (uploaded, resumed, at) = outcome(&report);
                    assert!(at.is_some_and(|at| at >= SMALL_CUT - SLACK), "{output}");
                    assert_eq!(at, Some(resumed), "{output}");
                    let bytes = |what: &str| report["bytes"][what].as_u64().unwrap();
                    let rest = bytes("total") - bytes("present") - resumed;
                    assert_eq!(uploaded, rest, "{output}");
                    assert!(sent < uploaded + SLACK, "{sent}: {output}");
                });
            }
        }
    });
}

#[test]
fn what_ended_before_its_end_is_gone_on_with_too() {
    let site = Site::small(Kind::Serve);
    for signal in ["INT", "TERM"] {
        let running = site.stalled(site.push(), SMALL_CUT);
        running.signal(signal);
        let code = if signal == "INT" { 130 } else { 143 };
        running.wait().expect_code(code);
        assert_eq!(site.uploads().len(), 1, "{signal}");
        site.proxy.hang_up();
    }
    site.proxy.arm(Fault::cut(Up).after(SMALL_CUT));
    let failed = site.push().args(["--retries", "0"]).run().expect_code(5);
    assert_eq!(site.uploads().len(), 1, "{failed}");
    // Each of the three brought its part.
    let (output, sent) = site.finished();
    let (_, _, at) = outcome(&output.json());
    let least = 3 * (SMALL_CUT - SLACK);
    assert!(at.is_some_and(|at| at >= least), "{output}");
    assert!(sent < SMALL as u64 - least + SLACK, "{sent}: {output}");
    assert!(site.uploads().is_empty());
}
