//! Manifests that go first, where the registry takes none that lacks anything.

use super::*;
use crate::image::source::Summary;
use crate::push::homes::State;
use crate::registry::client::Arrival;

const BLOBS: [&str; 4] = ["config", "layer one", "layer two", "layer three"];

fn whole() -> Image {
    image(vec![node(&BLOBS)])
}

/// A registry that has those blobs in `a`, and takes only manifests that lack nothing.
fn having(blobs: &[&str]) -> World {
    let mut world = World {
        names_missing: Some(100),
        ..World::default()
    };
    let there = blobs.iter().map(|text| Digest::of(text.as_bytes()));
    world.blobs = there.map(|digest| ("a".to_string(), digest)).collect();
    world
}

/// What playing `image` to `targets` costs, by kind.
fn played(world: &mut World, image: Image, targets: &[&str]) -> Vec<(&'static str, usize)> {
    world.log.clear();
    let mut schedule = schedule(&[(image, targets)]);
    world.play(&mut schedule);
    assert_eq!(
        statuses(&schedule),
        [ImageStatus::Pushed],
        "{:?}",
        world.log
    );
    let kinds = ["HEAD", "OFFER", "Present", "Uploaded", "REFUSED", "PUT"];
    let counts = kinds.map(|kind| (kind, world.count(kind)));
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[test]
fn an_offer_costs_no_more_than_the_question_for_the_root() {
    for (there, uploaded) in [(0, 4), (1, 3), (3, 1), (4, 0)] {
        let mut world = having(&BLOBS[..there]);
        let cost = played(&mut world, whole(), &["a:1"]);
        let expected = match uploaded {
            0 => vec![("HEAD", 1), ("OFFER", 1)],
            _ => vec![
                ("HEAD", 1),
                ("OFFER", 1),
                ("Uploaded", uploaded),
                ("PUT", 1),
            ],
        };
        assert_eq!(cost, expected, "{there} of 4: {:?}", world.log);
        let root = world.tags[&("a".into(), "1".into())].clone();
        // Another tag, and one that stands for something else.
        world
            .tags
            .insert(("a".into(), "3".into()), Digest::of(b"other"));
        for tag in ["a:2", "a:3"] {
            let again = played(&mut world, whole(), &[tag]);
            assert_eq!(again, [("HEAD", 1), ("OFFER", 1)], "{tag}: {:?}", world.log);
        }
        assert!(world.tags.values().all(|digest| *digest == root));
    }
}

#[test]
fn the_other_tags_follow_an_offer_that_was_taken() {
    let mut world = having(&BLOBS);
    let cost = played(&mut world, whole(), &["a:1", "a:2", "a:3"]);
    assert_eq!(
        cost,
        [("HEAD", 3), ("OFFER", 1), ("PUT", 2)],
        "{:?}",
        world.log
    );
    assert_eq!(world.tags.len(), 3);
}

/// Whoever names one at a time gets no further offers; all blobs are asked for once.
#[test]
fn what_a_refusal_did_not_name_is_asked_for_when_it_is_missing_after_all() {
    let mut world = having(&BLOBS[..1]);
    world.names_missing = Some(1);
    let other = ["config", "layer one", "of another"];
    let images: [(Image, &[&str]); 2] =
        [(whole(), &["a:1"]), (image(vec![node(&other)]), &["a:2"])];
    let mut schedule = schedule(&images);
    schedule.limits.images = 1;
    world.play(&mut schedule);
    assert_eq!(
        statuses(&schedule),
        [ImageStatus::Pushed; 2],
        "{:?}",
        world.log
    );
    assert_eq!(world.count("OFFER"), 1, "{:?}", world.log);
    assert_eq!(world.count("REFUSED"), 1, "{:?}", world.log);
    assert_eq!(world.count("Present"), 1, "{:?}", world.log);
    assert_eq!(world.count("Uploaded"), 4, "{:?}", world.log);
    let arrived = schedule.homes.iter().filter(|(_, home)| {
        matches!(&home.state, State::Arrived(delivery)
            if delivery.arrival == Arrival::Uploaded)
    });
    assert_eq!(arrived.count(), 4);
}

#[test]
fn an_offer_that_fails_is_a_question_without_an_answer() {
    let mut world = having(&BLOBS);
    world.protected.insert("1".into());
    let mut played = schedule(&[(whole(), &["a:1", "a:2"])]);
    world.play(&mut played);
    let log: Vec<&str> = world
        .log
        .iter()
        .map(|line| &line[..line.len().min(12)])
        .collect();
    assert_eq!(log[..3], ["HEAD a:1", "HEAD a:2", "OFFER a:1"]);
    assert_eq!(world.log[log.len() - 2..], ["REFUSED a:1", "PUT a:2"]);
    assert_eq!(world.count("OFFER"), 1);
    assert_eq!(world.count("Present"), 4);
    assert_eq!(statuses(&played), [ImageStatus::Failed]);
}

#[test]
fn nothing_is_offered_that_the_registry_does_not_look_at() {
    let child = node(&BLOBS);
    let root = index(std::slice::from_ref(&child));
    for image in [image(vec![child, root]), without(whole(), &[], &BLOBS[3..])] {
        let cost = played(&mut having(&BLOBS), image, &["a:1"]);
        assert!(!cost.iter().any(|(kind, _)| *kind == "OFFER"), "{cost:?}");
    }
    let mut unknown = World {
        names_missing: None,
        ..having(&BLOBS)
    };
    let cost = played(&mut unknown, whole(), &["a:1"]);
    assert_eq!(cost, [("HEAD", 2), ("Present", 4), ("PUT", 1)]);
}

#[test]
fn nothing_is_offered_that_was_only_remembered() {
    let mut recalled = schedule(&[(docker(&[("plain", LayerForm::Plain)]), &["a:1"])]);
    let summary = Summary {
        digest: Digest::of(b"remembered"),
        size: 10,
    };
    recalled.plan.recall(|_, _| Some(summary.clone()));
    let mut world = having(&["config", "remembered"]);
    world.play(&mut recalled);
    assert_eq!(world.count("OFFER"), 0, "{:?}", world.log);
    assert_eq!(statuses(&recalled), [ImageStatus::Pushed]);
}
