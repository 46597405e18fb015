//! Reading back, in schedules that are played.

use super::world::*;
use super::*;
use crate::image::digest::Digest;
use crate::observe::event::ImageStatus;
use crate::push::delivery::Stage;
use crate::push::homes::State;
use crate::push::plan::Blob;
use crate::registry::client::Arrival;

fn verifying(images: &[(Image, &[&str])]) -> Schedule {
    let limits = Limits {
        verify: true,
        ..schedule(&[]).limits
    };
    Schedule::new(schedule(images).plan, limits)
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

#[test]
fn what_images_share_is_read_once_in_each_repository() {
    let first = || image(vec![node(&["config", "layer"])]);
    let second = || image(vec![node(&["other", "layer"])]);
    let images = || {
        [
            (first(), &["a:1", "a:2"] as &[&str]),
            (second(), &["a:3", "b:1"]),
        ]
    };
    let mut world = World::default();
    // Sent now, and then all there.
    for status in [ImageStatus::Pushed, ImageStatus::Present] {
        world.log.clear();
        let mut played = verifying(&images());
        world.play(&mut played);
        assert_eq!(statuses(&played), [status; 2]);
        let layer = digest("layer");
        let layer = layer.short();
        for (line, times) in [
            (format!("READ a@{layer}"), 1),
            (format!("READ b@{layer}"), 1),
            ("READ a:".to_owned(), 3),
            ("READ b:".to_owned(), 1),
            // Of a three blobs and two manifests, of b two and one.
            ("READ a@".to_owned(), 5),
            ("READ b@".to_owned(), 3),
        ] {
            assert_eq!(world.count(&line), times, "{line}: {:#?}", world.log);
        }
        let reading = played.readings.get(&digest("layer"), 0).unwrap();
        assert!(reading.is_right());
    }
}

#[test]
fn what_stays_wrong_fails_those_who_need_it() {
    let images = || {
        [
            (image(vec![node(&["config", "bad"])]), &["a:1"] as &[&str]),
            (image(vec![node(&["other", "good"])]), &["a:2", "a:3"]),
            (image(vec![node(&["third", "bad"])]), &["a:4"]),
        ]
    };
    let (failed, pushed) = (ImageStatus::Failed, ImageStatus::Pushed);
    let manifest = node(&["other", "good"]).manifest.digest().to_string();
    for (rotten, expected, tags_failed) in [
        (
            digest("bad").to_string(),
            [failed, pushed, failed],
            [1, 0, 1],
        ),
        ("2".to_owned(), [pushed, failed, pushed], [0, 1, 0]),
        (manifest, [pushed, failed, pushed], [0, 2, 0]),
    ] {
        let mut world = World::default();
        world.rotten.insert(rotten.clone());
        let mut played = verifying(&images());
        world.play(&mut played);
        assert_eq!(statuses(&played), expected, "{rotten}");
        for (image, tags) in tags_failed.into_iter().enumerate() {
            let all = played.deliveries_of(image).iter().flat_map(|d| &d.tags);
            let bad = all.filter(|(_, state)| state.error().is_some()).count();
            assert_eq!(bad, tags, "{rotten}");
        }
        assert!(played.is_over() && played.active == 0);
        let bad = digest("bad");
        let is_remembered = played.seen().iter().any(|(_, seen)| **seen == bad);
        assert_eq!(is_remembered, rotten != bad.as_str(), "{rotten}");
        assert!(played.next().is_none());
    }
}

#[test]
fn what_was_sent_again_counts_as_sent_and_is_told() {
    let mut world = World::default();
    let content = || image(vec![node(&["config", "layer"])]);
    world.play(&mut schedule(&[(content(), &["a:1"])]));
    world.mended.insert(digest("layer").to_string());
    let mut played = verifying(&[(content(), &["a:1"])]);
    world.play(&mut played);
    assert_eq!(statuses(&played), [ImageStatus::Present]);
    let arrived = |text: &str| {
        let blobs = &played.plan.blobs;
        let is_it = |b: &Blob| b.resolved.as_ref().is_some_and(|(d, _)| *d == digest(text));
        let home = played.homes.get(blobs.iter().position(is_it).unwrap(), 0);
        match &home.unwrap().state {
            State::Arrived(delivery) => delivery.arrival,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(arrived("layer"), Arrival::Uploaded);
    assert_eq!(arrived("config"), Arrival::Present);
    let told = played
        .take_events()
        .into_iter()
        .find_map(|event| match event {
            Event::Warning { message } => Some(message),
            _ => None,
        });
    let layer = digest("layer");
    let expected = format!("a: {layer} is missing: it was sent again");
    assert_eq!(told, Some(expected));
}

#[test]
fn whoever_is_stopped_while_reading_is_not_through() {
    let mut played = verifying(&[(image(vec![node(&["config"])]), &["a:1"])]);
    let mut world = World::default();
    while let Some(task) = played.next() {
        if matches!(task, Task::Verify(_)) {
            break;
        }
        let how = world.answer(&played, task);
        played.ended(task, how);
    }
    played.halt();
    assert!(played.next().is_none());
    assert!(!played.is_over());
    assert!(matches!(
        played.deliveries[0].stage,
        Stage::Verifying { .. }
    ));
}
