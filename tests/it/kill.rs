//! A push that is killed in the middle, and run again: how much is sent twice, and whether the image is
//! right.
//!
//!     make test                                        2 seeds
//!     make faults                                      12 seeds
//!     HOIST_KILL_SEED=17 cargo test --test it kill     this one
//!     HOIST_KILL_SEEDS=40 …                            so many; or 100-199, these

mod image;

use std::collections::BTreeMap;
use std::path::Path;

use tempfile::tempdir;

pub(crate) use image::LargeImage;

use crate::support::archives::{ImageSpec, docker_archive};
use crate::support::command::{Command, hoist};
use crate::support::counting::{Counter, Uploads, upload};
use crate::support::fault::Random;
use crate::support::pushing::read_layers;
use crate::support::registry::{Kind, Registry, Setup, available};
use crate::support::seeds::asked;

const MIB: usize = 1 << 20;
const SEEDS: u64 = 2;

/// Every second seed is of the one where it is about bytes.
fn kind_of(seed: u64) -> Kind {
    let kinds = available();
    match kinds.contains(&Kind::Distribution3) && seed.is_multiple_of(2) {
        true => Kind::Distribution3,
        false => kinds[seed as usize / 2 % kinds.len()],
    }
}

/// Where the push with that seed is killed, out of `size` bytes: anywhere, or near the end, where small
/// blobs go.
fn moment(seed: u64, size: u64) -> u64 {
    let mut random = Random::new(seed);
    let percent = match random.once_in(3) {
        true => 93 + random.below(6),
        false => 2 + random.below(91),
    };
    size / 100 * percent + random.below(size / 100)
}

pub(crate) fn registry_with_room(kind: Kind, bytes: u64) -> Registry {
    let setup = Setup {
        room: bytes * 2,
        ..Setup::default()
    };
    Registry::start_with(kind, setup)
}

/// A push through `counter` that keeps what it remembers in that folder.
pub(crate) fn push(source: &Path, counter: &Counter, remembered: &Path) -> Command {
    hoist(["push", "--progress", "none"])
        .arg(source)
        .arg(format!("{}/team/app:1", counter.address()))
        .env("HOIST_STATE_DIR", remembered.join("state"))
        .env("HOIST_CACHE_DIR", remembered.join("cache"))
}

/// What two runs sent.
struct Runs {
    first: Uploads,
    second: Uploads,
    /// Digests and sizes of what the registry had said it has, before the second.
    finished: BTreeMap<String, u64>,
    story: String,
}

impl Runs {
    /// Pushes `source`, kills that after so many bytes, and pushes again.
    fn of(source: &Path, registry: &Registry, at: u64, seed: u64) -> Self {
        let (counter, remembered) = (Counter::before(registry), tempdir().unwrap());
        let running = push(source, &counter, remembered.path()).spawn();
        counter.kill_at(at, running.id());
        let killed = running.wait();
        assert_eq!(killed.code(), None, "it was too late: {killed}");
        // What it had sent may still be on its way, and is not the second's.
        counter.wait_for_end();
        let first = counter.take();
        let finished = finished(registry);
        let output = push(source, &counter, remembered.path())
            .run()
            .expect_code(0);
        let second = counter.take();
        let kind = registry.kind();
        let (one, two) = (total(&first), total(&second));
        let story = format!("seed {seed}, {kind:?}, killed at {at}: sent {one} + {two}: {output}");
        Self {
            first,
            second,
            finished,
            story,
        }
    }

    /// Little more than `size` was sent, or no finished blob again.
    fn judge(&self, kind: Kind, size: u64) {
        let finished: u64 = self.finished.values().sum();
        let (resumed, left) = (total(&self.second), size - finished + size / 50);
        assert!(
            resumed <= left,
            "{finished} bytes were there: {}",
            self.story
        );
        match kind {
            Kind::Serve | Kind::Distribution3 => {
                let (sent, most) = (total(&self.first) + total(&self.second), size + size / 50);
                assert!(sent <= most, "{sent} bytes for {size}: {}", self.story);
            }
            Kind::Distribution2 | Kind::Zot => {
                for digest in self.finished.keys() {
                    let again = self.second.get(digest);
                    assert_eq!(again, None, "{digest} was there: {}", self.story);
                }
            }
        }
    }
}

/// Digests of blobs whose upload has been answered with 201, and what the registry says of their sizes.
fn finished(registry: &Registry) -> BTreeMap<String, u64> {
    let done = registry.access().into_iter();
    done.filter(|access| access.method == "PUT" && access.status == 201)
        .filter_map(|access| upload(&access.target))
        .map(|digest| {
            let path = format!("/v2/team/app/blobs/{digest}");
            let reply = registry.request("HEAD", &path, &[], b"");
            let size = reply.header("content-length").unwrap().parse().unwrap();
            (digest, size)
        })
        .collect()
}

pub(crate) fn total(uploads: &Uploads) -> u64 {
    uploads.values().sum()
}

#[test]
fn a_layout_is_sent_little_more_than_once() {
    // More than 256 MiB.
    let large = [104, 96, 24, 16, 8].map(|size| size * MIB);
    let small = (0..100).map(|number| 2_000 + number * 1_999);
    let image = LargeImage::new(large.into_iter().chain(small));
    for seed in asked("KILL", SEEDS) {
        let kind = kind_of(seed);
        let registry = registry_with_room(kind, image.size());
        let runs = Runs::of(&image.path(), &registry, moment(seed, image.size()), seed);
        runs.judge(kind, image.size());
        image.assert_is_in(&registry, &runs.story);
    }
}

#[test]
fn an_archive_that_is_compressed_on_the_way_is_sent_little_more_than_once() {
    let dir = tempdir().unwrap();
    let archive = dir.path().join("image.tar");
    let large = [40 * MIB, 24 * MIB, 8 * MIB];
    let sizes = large
        .into_iter()
        .chain((1..20).map(|number| number * 9_999));
    let spec = sizes
        .enumerate()
        .fold(ImageSpec::new("app:1"), |spec, (seed, size)| {
            spec.layer(seed as u64, size)
        });
    docker_archive(&archive, &[spec]);
    for seed in asked("KILL", SEEDS) {
        let kind = kind_of(seed);
        let registry = registry_with_room(kind, 100 * MIB as u64);
        // Half of it compresses away.
        let at = moment(seed, 36 * MIB as u64);
        let runs = Runs::of(&archive, &registry, at, seed);
        let manifest = registry.manifest("team/app", "1").json();
        runs.judge(kind, read_layers(&registry, "team/app", &manifest));
    }
}
