//! How much memory a push takes, whatever the size of its layers.
#![cfg(target_os = "linux")]

use std::fs;

use crate::support::archives::{Form, ImageSpec, LayerSpec, docker_archive};
use crate::support::command::hoist;
use crate::support::packing::with_window;
use crate::support::registry::{Kind, Registry};
use crate::support::scripted::{Gate, Scripted, held, on, pass};

const MIB: u64 = 1 << 20;

/// The peak of a push of twenty layers over sixteen jobs, read when all of them have arrived. The
/// archive lies there as `pack` makes it.
fn peak(compression: &str, pack: fn(Vec<u8>) -> Vec<u8>) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("image.tar");
    let layers = (0..20).map(|seed| LayerSpec {
        seed,
        size: 6 << 20,
        form: Some(Form::Plain),
    });
    let image = layers.fold(ImageSpec::new("app:1"), ImageSpec::with);
    docker_archive(&archive, &[image]);
    fs::write(&archive, pack(fs::read(&archive).unwrap())).unwrap();
    let registry = Registry::start(Kind::Serve);
    let gate = Gate::new();
    let manifest = on("PUT", "/v2/").containing("/manifests/");
    let held = manifest.then(held(&gate, pass()));
    let server = Scripted::before(registry.address(), [held]);
    let running = hoist(["push", "-j", "16", "--compression", compression])
        .arg(archive)
        .arg(format!("{}/", server.address()))
        .spawn();
    gate.wait_for(1);
    let peak = running.peak_memory();
    gate.open();
    running.wait().expect_code(0);
    peak
}

#[test]
fn sixteen_jobs_stay_below_sixteen_mebibytes_without_compression() {
    let peak = peak("none", |tar| tar);
    assert!(peak < 16 * MIB, "{} KiB", peak >> 10);
}

/// On two processors; each further one compresses a block of its own meanwhile.
#[test]
fn and_below_forty_eight_with_it() {
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let most = 48 * MIB + processors.saturating_sub(2) * 6 * MIB;
    let peak = peak("gzip", |tar| tar);
    assert!(peak < most, "{} KiB on {processors} processors", peak >> 10);
}

/// The blocks are four times as large, and a context of libzstd has tables of its own.
#[test]
fn with_zstd_below_ninety_six() {
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let most = 96 * MIB + processors.saturating_sub(2) * 16 * MIB;
    let peak = peak("zstd", |tar| tar);
    assert!(peak < most, "{} KiB on {processors} processors", peak >> 10);
}

/// A window of 8 MiB and the documents of the archive are on top.
#[test]
fn an_archive_compressed_as_a_whole_stays_below_sixty_four() {
    let peak = peak("gzip", |tar| with_window(23, &tar));
    assert!(peak < 64 * MIB, "{} KiB", peak >> 10);
}
