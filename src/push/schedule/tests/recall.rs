//! What earlier pushes have brought to the registry.

use std::collections::BTreeMap;

use super::*;
use crate::push::holdings::{Holdings, Key};

/// `a` has held these.
fn in_a(blobs: &[&str]) -> Holdings {
    let keys = blobs
        .iter()
        .map(|blob| Key::of(&Digest::of(blob.as_bytes())).unwrap());
    let keys: BTreeMap<Key, u32> = keys.map(|key| (key, 1)).collect();
    Holdings::new([("a", &keys)].into_iter())
}

fn world(blobs: &[&str]) -> World {
    let there = blobs.iter().map(|text| Digest::of(text.as_bytes()));
    World {
        blobs: there.map(|digest| ("a".to_string(), digest)).collect(),
        ..World::default()
    }
}

#[test]
fn a_blob_is_mounted_from_where_an_earlier_push_has_brought_it() {
    let mut world = world(&["config", "base"]);
    let images: [(Image, &[&str]); 2] = [
        (image(vec![node(&["config", "base", "own"])]), &["b:1"]),
        (image(vec![node(&["other", "base"])]), &["c:1"]),
    ];
    let mut played = schedule(&images).knowing(in_a(&["config", "base"]));
    world.play(&mut played);
    assert_eq!(
        statuses(&played),
        [ImageStatus::Pushed; 2],
        "{:?}",
        world.log
    );
    assert_eq!(world.count("Mounted"), 3, "{:?}", world.log);
    assert_eq!(world.count("Uploaded"), 2, "{:?}", world.log);
    let seen = played.seen();
    let base = Digest::of(b"base");
    for name in ["b", "c"] {
        let is_it = |(repository, digest): &(&Repository, &Digest)| {
            repository.as_str() == name && **digest == base
        };
        assert_eq!(seen.iter().filter(|seen| is_it(seen)).count(), 1, "{name}");
    }
    // Five blobs and two manifests.
    assert_eq!(seen.len(), 7, "{seen:?}");
}

#[test]
fn where_it_is_not_any_more_it_is_forgotten_and_mounts_go_on() {
    let mut world = world(&["base"]);
    let root = image(vec![node(&["config", "base"])]);
    let mut played = schedule(&[(root, &["b:1", "c:1"])]).knowing(in_a(&["config", "base"]));
    world.play(&mut played);
    assert_eq!(statuses(&played), [ImageStatus::Pushed], "{:?}", world.log);
    assert_eq!(world.count("Uploaded"), 1, "{:?}", world.log);
    assert_eq!(world.count("Mounted"), 3, "{:?}", world.log);
    let forgotten: Vec<_> = played.holdings.forgotten().collect();
    assert_eq!(forgotten.len(), 1);
    assert_eq!(Some(forgotten[0].1), Key::of(&Digest::of(b"config")));
}

#[test]
fn where_nothing_is_mounted_nothing_is_looked_for() {
    for refuse in [true, false] {
        let mut world = world(&["config", "base"]);
        world.refuse_mounts = refuse;
        let root = image(vec![node(&["config", "base"])]);
        let mut played = schedule(&[(root, &["b:1"])]).knowing(in_a(&["config", "base"]));
        played.allow_mounts(refuse);
        world.play(&mut played);
        assert_eq!(statuses(&played), [ImageStatus::Pushed]);
        assert_eq!(world.count("Uploaded"), 2, "{:?}", world.log);
        let forgotten = if refuse { 2 } else { 0 };
        assert_eq!(played.holdings.forgotten().count(), forgotten);
    }
}

/// One that checks manifests, and has not shown it to this push.
fn checking(blobs: &[&str]) -> World {
    World {
        names_missing: Some(100),
        is_known_to_check: true,
        ..world(blobs)
    }
}

#[test]
fn a_manifest_of_which_most_is_known_goes_first() {
    let four = ["config", "one", "two", "three"];
    for (known, there, offers, uploaded) in [
        (&four[..], &four[..], 1, 0),
        (&four[..3], &four[..], 1, 0),
        (&four[..2], &four[..2], 1, 2),
        (&four[..1], &four[..], 0, 0),
        (&four[..], &four[..1], 1, 3),
        (&[], &four[..], 0, 0),
    ] {
        let mut world = checking(there);
        let mut played = schedule(&[(image(vec![node(&four)]), &["a:1"])]).knowing(in_a(known));
        world.play(&mut played);
        let context = format!("{known:?} {there:?}: {:?}", world.log);
        assert_eq!(statuses(&played), [ImageStatus::Pushed], "{context}");
        assert_eq!(world.count("OFFER"), offers, "{context}");
        assert_eq!(world.count("Uploaded"), uploaded, "{context}");
        let lost = known.len().saturating_sub(there.len());
        assert_eq!(played.holdings.forgotten().count(), lost, "{context}");
    }
}

#[test]
fn who_misleads_is_offered_nothing_more() {
    let mut world = checking(&["config"]);
    world.names_missing = Some(1);
    let images: [(Image, &[&str]); 2] = [
        (image(vec![node(&["config", "one", "two"])]), &["a:1"]),
        (image(vec![node(&["config", "one", "three"])]), &["a:2"]),
    ];
    let mut played = schedule(&images).knowing(in_a(&["config", "one", "two", "three"]));
    played.limits.images = 1;
    world.play(&mut played);
    assert_eq!(
        statuses(&played),
        [ImageStatus::Pushed; 2],
        "{:?}",
        world.log
    );
    assert_eq!(world.count("OFFER"), 1, "{:?}", world.log);
    assert!(played.is_misled());
}
