//! Blobs, streams and manifests go to every registry found here, in as few requests as it takes.

use std::thread;

use hoist::image::digest::Digest;
use hoist::registry::client::{Arrival, ManifestFailure, Presence};

use crate::support::registry::{self, Kind, Registry};
use crate::wire::{Wire, manifest, noise, repo};

const MIB: usize = 1 << 20;

fn everywhere(test: impl Fn(&Registry, &Wire)) {
    for kind in registry::available() {
        eprintln!("on {}", kind.name());
        let registry = Registry::start(kind);
        let wire = Wire::new(registry.host());
        test(&registry, &wire);
        assert_eq!(wire.retries(), [], "{}", kind.name());
    }
}

fn assert_arrived(registry: &Registry, repository: &str, bytes: &[u8]) {
    let digest = Digest::of(bytes);
    let there = registry.blob(repository, digest.as_str());
    assert_eq!(there.status, 200, "{digest} in {repository}");
    assert_eq!(there.body, bytes, "{digest} in {repository}");
}

#[test]
fn a_blob_arrives_once() {
    everywhere(|registry, wire| {
        for size in [0, 1, 70_000, 3 * MIB] {
            let bytes = noise(size, 1);
            assert_eq!(
                wire.push("team/app", &bytes).unwrap().arrival,
                Arrival::Uploaded
            );
            assert_arrived(registry, "team/app", &bytes);
            let before = wire.client.totals().requests;
            assert_eq!(
                wire.push("team/app", &bytes).unwrap().arrival,
                Arrival::Present
            );
            assert_eq!(wire.client.totals().requests - before, 1);
        }
    });
}

#[test]
fn a_blob_is_mounted_from_where_it_is() {
    everywhere(|registry, wire| {
        let bytes = noise(2 * MIB, 2);
        wire.push("one", &bytes).unwrap();
        let delivery = wire.push_from("two", &bytes, Some("one")).unwrap();
        assert_eq!(delivery.arrival, Arrival::Mounted);
        assert_eq!(delivery.from, Some(repo("one")));
        assert!(!delivery.mount_refused);
        assert_arrived(registry, "two", &bytes);
        let other = noise(MIB, 3);
        let refused = wire.push_from("two", &other, Some("nowhere")).unwrap();
        assert_eq!(refused.arrival, Arrival::Uploaded);
        assert!(refused.mount_refused);
        assert_arrived(registry, "two", &other);
    });
}

#[test]
fn a_stream_arrives_whatever_its_size() {
    everywhere(|registry, wire| {
        for size in [0, 5000, MIB, MIB + 1, 5 * MIB] {
            let bytes = noise(size, 4);
            let (summary, delivery) = wire.stream("team/app", &bytes).unwrap();
            assert_eq!(summary.digest, Digest::of(&bytes));
            assert_eq!(summary.size, size as u64);
            assert_eq!(delivery.arrival, Arrival::Uploaded, "{size}");
            assert_arrived(registry, "team/app", &bytes);
        }
        // Up to 1 MiB it is finished first and asked for; above it is sent again.
        let small = wire.stream("team/app", &noise(MIB, 4)).unwrap();
        assert_eq!(small.1.arrival, Arrival::Present);
        let large = wire.stream("team/app", &noise(MIB + 1, 4)).unwrap();
        assert_eq!(large.1.arrival, Arrival::Uploaded);
    });
}

#[test]
fn a_new_image_takes_two_requests_a_blob_and_one_a_manifest() {
    everywhere(|registry, wire| {
        let (config, layer) = (noise(900, 5), noise(60_000, 6));
        let image = manifest(&[&config, &layer]);
        assert_eq!(wire.check("app", "1.0").unwrap(), Presence::Absent);
        wire.push("app", &config).unwrap();
        wire.push("app", &layer).unwrap();
        wire.put("app", "1.0", &image).unwrap();
        assert_eq!(registry.access().len(), 1 + 2 * 2 + 1);
        let known = Presence::Present(image.digest().clone());
        assert_eq!(wire.check("app", "1.0").unwrap(), known);
        assert_eq!(registry.access().len(), 7, "a known image takes one");
        assert_eq!(wire.client.totals().requests, 7);
        assert_eq!(registry.manifest("app", "1.0").body, &**image.bytes());
    });
}

#[test]
fn many_threads_share_a_client() {
    everywhere(|registry, wire| {
        let blobs: Vec<Vec<u8>> = (0..24).map(|n| noise(200_000, n)).collect();
        thread::scope(|scope| {
            for half in [0, 1] {
                for blob in &blobs {
                    let repository = format!("app{half}");
                    scope.spawn(move || wire.push(&repository, blob).unwrap());
                }
            }
        });
        for blob in &blobs {
            assert_arrived(registry, "app0", blob);
            assert_arrived(registry, "app1", blob);
        }
    });
}

#[test]
fn a_manifest_whose_blobs_are_missing_names_them() {
    everywhere(|registry, wire| {
        let (config, layer) = (noise(900, 7), noise(5000, 8));
        wire.push("app", &config).unwrap();
        let failure = wire.put("app", "1.0", &manifest(&[&config, &layer]));
        let Err(ManifestFailure::Missing {
            digests,
            lists_all,
            error,
        }) = failure
        else {
            panic!("{}: {failure:?}", registry.kind().name())
        };
        assert_eq!(digests, [Digest::of(&layer)]);
        assert!(lists_all || registry.kind() == Kind::Zot);
        assert_eq!(wire.client.may_offer_manifests(), lists_all);
        assert!(
            error.to_string().contains("upload of manifest app:1.0"),
            "{error}"
        );
        let lost = wire.client.await_blobs(&repo("app"), &digests).unwrap();
        assert_eq!(lost, [Digest::of(&layer)]);
        let slept: u64 = wire.clock.slept().iter().map(|wait| wait.as_secs()).sum();
        assert_eq!(slept, 7);
    });
}
