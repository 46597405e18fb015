//! A process that stood still for longer than anybody waits for it, as in a suspend or after Ctrl-Z, and what has
//! become of its connections meanwhile.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::thread;
use std::time::Duration;

use tempfile::tempdir;

use crate::support::archives::{Form, ImageSpec, LayerSpec, docker_archive, layout};
use crate::support::command::hoist;
use crate::support::proxy::{Fault, Proxy, Up};
use crate::support::pushing::read_back;
use crate::support::registry::{Kind, Registry};
use crate::support::waiting::wait_until;

const STALL: Duration = Duration::from_millis(500);
/// More than what sockets hold, so that a body is on its way for as long as the proxy reads slowly.
const LARGE: usize = 12 << 20;

/// What has happened to the connections of somebody who was silent for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    /// The other side has closed them.
    Closed,
    /// What is sent gets nowhere, and nobody says so.
    Forgotten,
}

impl Meanwhile {
    fn happen(self, proxy: &Proxy) {
        match self {
            Self::Nothing => {}
            Self::Closed => proxy.hang_up(),
            Self::Forgotten => proxy.arm(Fault::stall(Up).after(proxy.bytes(Up) + 1_000_000)),
        }
    }
}

#[test]
fn a_push_that_was_stopped_for_long_goes_on() {
    let dir = tempdir().unwrap();
    let (folder, archive) = (dir.path().join("folder"), dir.path().join("archive"));
    let layer = LayerSpec {
        seed: 1,
        size: LARGE,
        form: Some(Form::Plain),
    };
    let spec = ImageSpec::new("app:1").layer(2, 3_000).with(layer);
    layout(&folder, std::slice::from_ref(&spec));
    docker_archive(&archive, &[spec]);
    let runs = [
        (&folder, Meanwhile::Nothing),
        (&folder, Meanwhile::Closed),
        (&folder, Meanwhile::Forgotten),
        (&archive, Meanwhile::Closed),
    ];
    thread::scope(|scope| {
        for (source, meanwhile) in runs {
            scope.spawn(move || stop_in_the_middle(source, meanwhile));
        }
    });
}

fn stop_in_the_middle(source: &Path, meanwhile: Meanwhile) {
    let registry = Registry::start(Kind::Serve);
    let proxy = Proxy::to(registry.address());
    proxy.slow_down(3_000_000);
    let running = hoist(["push", "-o", "json", "--no-state"])
        .arg("--stall-timeout")
        .arg(format!("{}ms", STALL.as_millis()))
        .arg(source)
        .arg(format!("{}/app:1", proxy.address()))
        .spawn();
    wait_until(|| proxy.bytes(Up) >= 600_000);
    running.signal("STOP");
    // The time itself is what is tried.
    thread::sleep(STALL * 3 / 2);
    meanwhile.happen(&proxy);
    proxy.slow_down(0);
    running.signal("CONT");
    let output = running.wait().expect_code(0);
    let report = output.json();
    read_back(&registry, &report);
    let bytes = |name: &str| report["bytes"][name].as_u64().unwrap();
    if meanwhile == Meanwhile::Nothing {
        assert_eq!(report["retries"], 0, "{output}");
        assert_eq!(bytes("uploaded"), bytes("total"), "{output}");
    } else {
        assert!(
            report["retries"].as_u64() > Some(0),
            "{meanwhile:?}: {output}"
        );
        assert!(bytes("resumed") > 500_000, "{meanwhile:?}: {output}");
    }
}
