//! Registries and proxies that go away in the middle of a push and come back, and registries that are
//! several.

use std::os::unix::fs::symlink;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::archives::{ImageSpec, docker_archive, layout};
use crate::support::command::{Command, Output, hoist};
use crate::support::fronts::{Front, balancer, tinyproxy};
use crate::support::proxy::{Fault, Proxy, Up};
use crate::support::pushing::{arrived, read_back};
use crate::support::registry::{Kind, Registry, Setup, available};
use crate::support::waiting::wait_until;

/// Four layers of `size` before compression, and four small ones.
fn spec(size: usize) -> ImageSpec {
    let large = (0..4).fold(ImageSpec::new("app:1"), |spec, seed| spec.layer(seed, size));
    (4..8).fold(large, |spec, seed| spec.layer(seed, 2_000))
}

/// Layers that take a moment.
fn image() -> TempDir {
    image_of(3_000_000)
}

fn image_of(size: usize) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    layout(dir.path(), &[spec(size)]);
    dir
}

fn push(source: &std::path::Path, host: impl std::fmt::Display, path: &str) -> Command {
    hoist([
        "push",
        "-o",
        "json",
        "--progress",
        "none",
        "--stall-timeout",
        "2s",
    ])
    .arg(source)
    .arg(format!("{host}/{path}/"))
}

#[track_caller]
fn pushed(out: Output, registry: &Registry) -> serde_json::Value {
    let report = out.expect_code(0).json();
    assert_eq!(arrived(&report).len(), 1, "{report}");
    read_back(registry, &report);
    report
}

#[test]
fn a_registry_that_restarts_in_the_middle_is_waited_for() {
    let dir = image();
    for kind in available() {
        let mut registry = Registry::start(kind);
        let proxy = Proxy::to(registry.address());
        proxy.slow_down(2_000_000);
        let running = push(dir.path(), proxy.address(), "t").spawn();
        wait_until(|| proxy.bytes(Up) >= 500_000);
        registry.kill();
        proxy.slow_down(0);
        registry.start_again();
        pushed(running.wait(), &registry);
    }
}

#[test]
fn a_proxy_that_restarts_in_the_middle_is_waited_for() {
    let Some(forward) = tinyproxy("ConnectPort 443") else {
        return;
    };
    let dir = image();
    let config = dir.path().join("config.json");
    let registry = Registry::start(Kind::Serve);
    let before = Proxy::to(forward.address());
    before.arm(Fault::restart(Up, Duration::from_millis(300)).after(600_000));
    let url = format!("http://{}", before.address());
    let sections =
        serde_json::json!({"registries": {registry.address().to_string(): {"proxy": url}}});
    std::fs::write(&config, sections.to_string()).unwrap();
    let out = push(dir.path(), registry.address(), "t")
        .arg("--config")
        .arg(config)
        .run();
    assert_eq!(before.struck().len(), 1, "{out}");
    pushed(out, &registry);
}

/// One more process over the same data.
fn replica(of: &Registry) -> Registry {
    let dir = tempfile::tempdir().unwrap();
    symlink(of.storage(), dir.path().join("data")).unwrap();
    Registry::start_in(dir, of.kind(), Setup::default())
}

/// Two of them, and the balancer before them.
fn replicas(kind: Kind) -> Option<(Registry, Registry, Front)> {
    if !kind.is_available() {
        return None;
    }
    let registry = Registry::start(kind);
    let other = replica(&registry);
    let front = balancer(&[registry.address(), other.address()])?;
    Some((registry, other, front))
}

#[test]
fn replicas_that_share_no_secret_are_pushed_to() {
    for kind in [Kind::Distribution2, Kind::Distribution3] {
        let Some((registry, _other, front)) = replicas(kind) else {
            continue;
        };
        // What distribution reads of a body that it refuses: after more nginx finds a connection that was
        // reset, and says 502 whatever the answer was.
        let folder = image_of(300_000);
        let made = tempfile::tempdir().unwrap();
        let archive = made.path().join("a.tar");
        docker_archive(&archive, &[spec(300_000)]);
        for (path, source, jobs) in [
            ("one", folder.path(), "-j1"),
            ("many", folder.path(), "-j16"),
            ("made", &archive, "-j4"),
        ] {
            let out = push(source, front.address(), path).arg(jobs).run();
            let report = pushed(out, &registry);
            // With two of them about every second session is met by the wrong one.
            assert!(report["requests"].as_u64().unwrap() > 20, "{report}");
            assert!(report["retries"].as_u64().unwrap() < 10, "{report}");
        }
    }
}

#[test]
fn replicas_behind_a_gateway_that_gives_up_are_pushed_to() {
    let dir = tempfile::tempdir().unwrap();
    // Too much for the sockets on the way: nginx is still writing when the wrong one hangs up.
    let (folder, archive) = (dir.path().join("layout"), dir.path().join("a.tar"));
    layout(&folder, &[spec(16_000_000)]);
    docker_archive(&archive, &[spec(16_000_000)]);
    for (kind, source) in [
        (Kind::Distribution2, folder),
        (Kind::Distribution3, archive),
    ] {
        let Some((registry, _other, front)) = replicas(kind) else {
            continue;
        };
        let out = push(&source, front.address(), "large").arg("-j1").run();
        let report = pushed(out, &registry);
        // One at a time goes to each in turn: what is begun anew meets the wrong one again.
        assert!(report["retries"].as_u64().unwrap() < 4, "{report}");
    }
}
