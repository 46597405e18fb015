//! How much memory a push takes, whatever the size of its layers.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use hoist::image::digest::{Algorithm, Digest, Hasher};
use serde_json::json;
use tar::{EntryType, Header};

use crate::support::archives::{
    CONFIG, Form, ImageSpec, LayerSpec, Layout, docker_archive, layout,
};
use crate::support::command::hoist;
use crate::support::packing::with_window;
use crate::support::proxy::{Down, Fault, Proxy, Up};
use crate::support::pushing::push;
use crate::support::registry::{Kind, Registry};
use crate::support::scripted::{Gate, Scripted, answer, computed, held, on, pass};
use crate::support::waiting::wait_until;

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
    peak_of(&archive, compression)
}

/// The peak of a push to `hoist serve`.
fn peak_of(archive: &Path, compression: &str) -> u64 {
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

#[test]
fn a_blob_of_hundreds_of_mebibytes_takes_no_more_than_a_small_one() {
    let size = 256 << 20;
    let dir = tempfile::tempdir().unwrap();
    let mut layout = Layout::create(dir.path());
    // Nobody hashes what the registry hashes, and this one does not.
    let wrong = Digest::of(b"what these bytes are not");
    let blob = File::create(layout.blob_path(wrong.as_str())).unwrap();
    blob.set_len(size).unwrap();
    let layer = json!({
        "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
        "digest": wrong.as_str(),
        "size": size,
    });
    let config = layout.blob(CONFIG, &ImageSpec::unnamed().config());
    let manifest = layout.manifest(&json!({"config": config, "layers": [layer]}));
    layout.enter(manifest, Some("app:1"));
    layout.finish();

    let gate = Gate::new();
    let location = "/v2/library/app/blobs/uploads/1?_state=1";
    let taken = computed(|seen| {
        let digest = Digest::of(&seen.body);
        answer(201).header("Docker-Content-Digest", digest.as_str())
    });
    let server = Scripted::start([
        on("HEAD", "/v2/").then(answer(404)),
        on("POST", "/v2/").then(answer(202).header("Location", location)),
        on("PUT", "/v2/").containing("/blobs/").then(answer(201)),
        on("PUT", "/v2/").then(held(&gate, taken)),
    ]);
    let running = hoist(["push"])
        .arg(dir.path())
        .arg(format!("{}/", server.address()))
        .spawn();
    gate.wait_for(1);
    let peak = running.peak_memory();
    gate.open();
    running.wait().expect_code(0);
    let seen = server.requests();
    assert!(seen.iter().any(|request| request.body_len == size));
    assert!(peak < 16 * MIB, "{} KiB", peak >> 10);
}

/// Looked at when most of it has been read.
#[test]
fn nor_does_one_that_is_read_back() {
    let size = 40 << 20;
    let dir = tempfile::tempdir().unwrap();
    let mut layout = Layout::create(dir.path());
    let digest = Digest::of(&vec![0; size]);
    let blob = File::create(layout.blob_path(digest.as_str())).unwrap();
    blob.set_len(size as u64).unwrap();
    let layer = json!({
        "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
        "digest": digest.as_str(),
        "size": size,
    });
    let config = layout.blob(CONFIG, &ImageSpec::unnamed().config());
    let manifest = layout.manifest(&json!({"config": config, "layers": [layer]}));
    layout.enter(manifest, Some("app:1"));
    layout.finish();
    let registry = Registry::start(Kind::Serve);
    push(dir.path(), &registry, "app:1", &[]).expect_code(0);
    let proxy = Proxy::to(registry.address());
    let most_of_it = (size - (4 << 20)) as u64;
    proxy.arm(Fault::stall(Down).after(most_of_it));
    let running = hoist(["push", "--verify"])
        .arg(dir.path())
        .arg(format!("{}/app:1", proxy.address()))
        .spawn();
    wait_until(|| proxy.bytes(Down) >= most_of_it);
    let peak = running.peak_memory();
    assert!(peak < 16 * MIB, "{} KiB", peak >> 10);
}

/// The peak of a push whose connections are reset three times, each after `part` bytes, looked at when the
/// fourth has brought `rest` more.
fn peak_with_resets(source: &Path, part: u64, rest: u64) -> u64 {
    let registry = Registry::start(Kind::Serve);
    let proxy = Proxy::to(registry.address());
    proxy.arm(Fault::reset(Up).after(part).times(3));
    proxy.arm(Fault::stall(Up).after(rest));
    let running = hoist(["push"])
        .arg(source)
        .arg(format!("{}/app:1", proxy.address()))
        .spawn();
    wait_until(|| proxy.bytes(Up) >= 3 * part + rest);
    let peak = running.peak_memory();
    let struck = proxy.struck();
    let resets = struck.iter().filter(|fault| fault.contains(": Reset Up"));
    assert_eq!(resets.count(), 3, "{struck:?}");
    peak
}

#[test]
fn nor_does_one_whose_connections_are_reset() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    let layer = LayerSpec {
        seed: 1,
        size: 48 << 20,
        form: Some(Form::Plain),
    };
    layout(&path, &[ImageSpec::new("app:1").with(layer)]);
    let peak = peak_with_resets(&path, 6 * MIB, 20 * MIB);
    assert!(peak < 16 * MIB, "{} KiB", peak >> 10);
}

/// It is compressed again from its beginning each time; half of it stays.
#[test]
fn nor_does_one_that_is_compressed_then() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.tar");
    docker_archive(&path, &[ImageSpec::new("app:1").layer(1, 24 << 20)]);
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let most = 32 * MIB + processors.saturating_sub(2) * 6 * MIB;
    let peak = peak_with_resets(&path, 2 * MIB, 3 * MIB);
    assert!(peak < most, "{} KiB on {processors} processors", peak >> 10);
}

#[test]
fn nor_does_a_plain_layer() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("image.tar");
    archive_of_zeros(&archive, 256 << 20);
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let most = 32 * MIB + processors.saturating_sub(2) * 6 * MIB;
    let peak = peak_of(&archive, "gzip");
    assert!(peak < most, "{} KiB on {processors} processors", peak >> 10);
}

/// A docker archive of one image `app:1` of one plain layer of `size` bytes, most of which take no place
/// on the disk.
fn archive_of_zeros(path: &Path, size: u64) {
    let header = |name: &str, bytes: u64| {
        let mut header = Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_entry_type(EntryType::Regular);
        header.set_size(bytes);
        header.set_mode(0o644);
        header.set_cksum();
        header
    };
    let inner = header("zeros", size - 3 * 512);
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(inner.as_bytes());
    let piece = vec![0; 1 << 20];
    let mut left = size - 512;
    while left > 0 {
        let part = left.min(1 << 20);
        hasher.update(&piece[..usize::try_from(part).unwrap()]);
        left -= part;
    }
    let diff_id = hasher.finish();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [diff_id.as_str()]},
    });
    let item = json!({"Config": "config.json", "RepoTags": ["app:1"], "Layers": ["layer.tar"]});
    let mut file = File::create(path).unwrap();
    file.write_all(header("layer.tar", size).as_bytes())
        .unwrap();
    file.write_all(inner.as_bytes()).unwrap();
    file.seek(SeekFrom::Current(i64::try_from(size - 512).unwrap()))
        .unwrap();
    for (name, document) in [("config.json", config), ("manifest.json", json!([item]))] {
        let mut bytes = document.to_string().into_bytes();
        file.write_all(header(name, bytes.len() as u64).as_bytes())
            .unwrap();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        file.write_all(&bytes).unwrap();
    }
    file.write_all(&[0; 1024]).unwrap();
}
