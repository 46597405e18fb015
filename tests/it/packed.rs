//! Archives that are compressed as a whole: read like the plain ones, in any order, without a copy.

use std::cell::RefCell;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::thread;

use hoist::image::digest::Digest;
use hoist::image::discover::{News, Options, Watch, discover_watched};
use hoist::image::source::{Body as _, Content, Image, Stored};
use tempfile::tempdir;

use crate::support::archives::{
    ImageSpec, containerd_archive, docker_archive, docker25_archive, gzip, oci_archive,
};
use crate::support::command::hoist;
use crate::support::images::{bytes, names, whole};
use crate::support::packing::{frames, members, with_window, zst};
use crate::support::proxy::{Fault, Proxy, Up};
use crate::support::pushing::{arrived, push, read_back};
use crate::support::registry::{Kind, Registry, available};

type Write = fn(&Path, &[ImageSpec]) -> Vec<Digest>;
type Pack = fn(&[u8]) -> Vec<u8>;

const FORMS: [(&str, Write); 4] = [
    ("docker", docker_archive),
    ("docker25", docker25_archive),
    ("containerd", containerd_archive),
    ("oci", oci_archive),
];

const PACKINGS: [(&str, Pack); 4] = [
    ("gzip", gzip),
    ("members.gz", members),
    ("zstd", zst),
    ("frames.zst", frames),
];

fn spec(name: &str, seed: u64) -> ImageSpec {
    let image = ImageSpec::new(name).layer(seed, 300_000);
    image.layer(1, 9_000).layer(seed + 1, 70_000)
}

/// Writes `plain.tar` and the same compressed.
fn pack(dir: &Path, write: Write, pack: Pack) -> [std::path::PathBuf; 2] {
    let [plain, packed] = ["plain.tar", "packed"].map(|name| dir.join(name));
    write(&plain, &[spec("team/app:1", 10), spec("team/web:2", 20)]);
    fs::write(&packed, pack(&fs::read(&plain).unwrap())).unwrap();
    [plain, packed]
}

fn stored(image: &Image) -> Vec<&Stored> {
    match &image.content {
        Content::Found(tree) => {
            let blobs = tree.nodes.iter().flat_map(|node| &node.blobs);
            blobs.map(|(_, stored)| stored).collect()
        }
        Content::Made(parts) => parts.layers.iter().map(|layer| &layer.stored).collect(),
    }
}

#[test]
fn every_form_is_read_as_when_it_is_plain_and_in_any_order() {
    let dir = tempdir().unwrap();
    for (form, write) in FORMS {
        for (packing, compress) in PACKINGS {
            let [plain, packed] = pack(dir.path(), write, compress);
            let (plain, packed) = (whole(&plain), whole(&packed));
            assert_eq!(packed.len(), 2, "{form} {packing}");
            for (one, other) in plain.iter().zip(&packed) {
                assert_eq!(one.identity(), other.identity(), "{form} {packing}");
                assert_eq!(names(one), names(other), "{form} {packing}");
                assert!(other.source.is_sequential() && !one.source.is_sequential());
            }
            let pairs: Vec<(&Stored, &Stored)> = plain
                .iter()
                .zip(&packed)
                .flat_map(|(one, other)| stored(one).into_iter().zip(stored(other)))
                .collect();
            for (one, other) in pairs.iter().chain(pairs.iter().rev()) {
                assert!(bytes(*one) == bytes(*other), "{form} {packing} {other:?}");
            }
        }
    }
}

#[test]
fn readers_that_meet_or_stop_half_way_all_get_their_bytes() {
    let dir = tempdir().unwrap();
    for (packing, compress) in PACKINGS {
        let [plain, packed] = pack(dir.path(), docker_archive, compress);
        let (plain, packed) = (whole(&plain), whole(&packed));
        let expected: Vec<Vec<u8>> = stored(&plain[0]).into_iter().map(bytes).collect();
        let layers = stored(&packed[0]);
        let tail = |layer: usize, offset: usize| {
            let mut read = Vec::new();
            let mut reader = layers[layer].open(offset as u64).unwrap();
            reader.read_to_end(&mut read).unwrap();
            assert!(read == expected[layer][offset..], "{packing} {layer}");
        };
        // Half-way, then ahead of it, then behind it.
        let mut half = layers[0].open(0).unwrap();
        half.read_exact(&mut [0; 100_000]).unwrap();
        drop(half);
        tail(0, 200_000);
        tail(0, 1);
        // Two at once, each on its own way.
        let mut first = layers[0].open(0).unwrap();
        tail(2, 0);
        let mut all = Vec::new();
        first.read_to_end(&mut all).unwrap();
        assert!(all == expected[0], "{packing}");
        thread::scope(|scope| {
            for layer in [2, 0, 1, 0, 2, 1] {
                scope.spawn(move || tail(layer, 0));
            }
        });
    }
}

#[test]
fn every_form_arrives_everywhere_without_room_for_a_copy() {
    let dir = tempdir().unwrap();
    let plain = tempdir().unwrap();
    let packings = [("tar.gz", gzip as Pack), ("tar.zst", zst)];
    for (number, (form, write)) in FORMS.into_iter().enumerate() {
        for (ending, compress) in packings {
            let name = format!("{form}-{ending}:1").replace('.', "-");
            let path = plain.path().join(&name);
            write(&path, &[spec(&name, 100 * number as u64)]);
            let packed = compress(&fs::read(&path).unwrap());
            fs::write(dir.path().join(format!("{form}.{ending}")), packed).unwrap();
        }
    }
    for kind in available() {
        let registry = Registry::start(kind);
        let run = |source: &Path| {
            let command = hoist(["push", "-o", "json", "--progress", "none"]);
            let command = command.env("TMPDIR", "/nonexistent").arg(source);
            let output = command.arg(format!("{}/demo/", registry.host())).run();
            output.expect_code(0).json()
        };
        let report = run(dir.path());
        assert_eq!(arrived(&report).len(), 8, "{kind:?}: {report:#}");
        read_back(&registry, &report);
        assert_eq!(arrived(&run(plain.path())), arrived(&report), "{kind:?}");
        let again = run(dir.path());
        assert_eq!(again["bytes"]["uploaded"], 0, "{kind:?}: {again:#}");
    }
}

#[test]
fn a_cut_upload_decodes_again() {
    let check = |form: &str, write: Write| {
        let dir = tempdir().unwrap();
        let [_, packed] = pack(dir.path(), write, zst);
        let registry = Registry::start(Kind::Serve);
        let proxy = Proxy::to(registry.address());
        proxy.arm(Fault::reset(Up).after(100_000).times(3));
        let destination = format!("{}/demo/", proxy.address());
        let command = hoist(["push", "-o", "json", "--progress", "none"]);
        let report = command.arg(packed).arg(destination).run();
        let report = report.expect_code(0).json();
        assert!(
            report["retries"].as_u64().unwrap() > 0,
            "{form}: {report:#}"
        );
        assert_eq!(arrived(&report).len(), 2, "{form}");
        read_back(&registry, &report);
    };
    // Most of it is the waiting before a retry.
    thread::scope(|scope| {
        for (form, write) in FORMS {
            scope.spawn(move || check(form, write));
        }
    });
}

#[test]
fn the_first_pass_says_how_far_it_is() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("app.tar");
    let image = ImageSpec::new("app:1").layer(1, 36 << 20);
    docker_archive(&path, &[image]);
    // Blocks that are not compressed: it is the bytes of the file that are counted.
    fs::write(&path, with_window(20, &fs::read(&path).unwrap())).unwrap();
    let length = path.metadata().unwrap().len();
    let told = RefCell::new(Vec::new());
    let telling = |news: News<'_>| {
        let News::Reading {
            path: of,
            read,
            size,
        } = news
        else {
            panic!("{news:?}");
        };
        assert_eq!((of, size), (path.as_path(), Some(length)));
        told.borrow_mut().push(read);
    };
    let watch = Watch {
        stopped: &|| false,
        telling: &telling,
    };
    let found = discover_watched(&path, Options::default(), watch).unwrap();
    assert_eq!(found.images.len(), 1);
    let told = told.into_inner();
    assert_eq!(told.len(), 2, "every 16 MiB: {told:?}");
    assert!(told.is_sorted() && told[1] <= length, "{told:?}");
}

#[test]
fn a_large_window_is_read_and_announced() {
    let dir = tempdir().unwrap();
    let plain = dir.path().join("plain.tar");
    docker_archive(&plain, &[spec("app:1", 1)]);
    let tar = fs::read(&plain).unwrap();
    let path = dir.path().join("long.tar.zst");
    for (log, warned) in [(23, None), (24, Some("16 MiB")), (27, Some("128 MiB"))] {
        fs::write(&path, with_window(log, &tar)).unwrap();
        let registry = Registry::start(Kind::Serve);
        let report = push(&path, &registry, "demo/app:1", &[]).expect_code(0);
        let warnings = report.json()["warnings"].as_array().unwrap().clone();
        assert_eq!(
            warnings.len(),
            usize::from(warned.is_some()),
            "{warnings:?}"
        );
        for (warning, expected) in warnings.iter().zip(warned) {
            let text = format!("a window of {expected}: reading it takes as much memory");
            assert!(warning.as_str().unwrap().contains(&text), "{warning}");
        }
        read_back(&registry, &report.json());
    }
}
