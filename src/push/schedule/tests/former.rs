//! What tags stand for already, in schedules that are played.

use super::world::{self, World, docker, schedule, statuses};
use super::*;

#[test]
fn an_image_that_is_there_is_known_by_its_config_and_one_look_for_each_repository() {
    let layers = [("plain", LayerForm::Plain), ("other", LayerForm::Plain)];
    let images = |tags: &'static [&'static str]| schedule(&[(docker(&layers), tags)]);
    let mut world = World::default();
    let mut first = images(&["a:1"]);
    world.play(&mut first);
    assert_eq!(world.log[0], "GET a:1");
    assert_eq!(world.count("HEAD"), 0, "{:?}", world.log);
    world.log.clear();
    let mut again = images(&["a:1", "b:1", "a:2"]);
    world.play(&mut again);
    assert_eq!(world.log[..3], ["GET a:1", "GET a:2", "GET b:1"]);
    let rest = [
        world.count("HEAD b@"),
        world.count("Mounted"),
        world.count("PUT"),
    ];
    assert_eq!((rest, world.log.len()), ([1, 3, 2], 9), "{:?}", world.log);
    assert_eq!(again.root_digest(0), first.root_digest(0));
    world.log.clear();
    let mut last = images(&["a:1", "b:1", "a:2"]);
    world.play(&mut last);
    assert_eq!(world.log.len(), 3, "{:?}", world.log);
    assert_eq!(statuses(&last), [ImageStatus::Present]);
    // What was told is nothing to remember.
    assert_eq!(first.plan.compressed().len(), 2);
    assert!(last.plan.compressed().is_empty());
}

#[test]
fn a_look_at_a_tag_may_fail_or_be_old() {
    let layers = [("plain", LayerForm::Plain)];
    let images: [(Image, &[&str]); 1] = [(docker(&layers), &["a:1", "b:1"])];
    let mut world = World::default();
    world.play(&mut schedule(&images));
    // The manifest itself cannot be had: its tag is looked at again when ours is made.
    world.kept.clear();
    world.log.clear();
    world.play(&mut schedule(&images));
    assert_eq!(world.log[..2], ["GET a:1", "GET b:1"]);
    let asked = [
        world.count("HEAD a:1"),
        world.count("HEAD b:1"),
        world.count("PUT"),
    ];
    assert_eq!(asked, [1, 1, 0], "{:?}", world.log);

    for failing in [0..1, 1..2, 0..2] {
        let mut played = schedule(&images);
        while let Some(task) = played.next() {
            let how = match task {
                Task::Look { delivery, .. } if failing.contains(&delivery) => {
                    Ended::Failed(world::refused())
                }
                _ => world.answer(&played, task),
            };
            played.ended(task, how);
        }
        let failed = played
            .deliveries
            .iter()
            .map(|delivery| delivery.tags[0].1.status());
        let expected = |at| match failing.contains(&at) {
            true => ImageStatus::Failed,
            false => ImageStatus::Present,
        };
        assert_eq!(failed.collect::<Vec<_>>(), [expected(0), expected(1)]);
        assert_eq!(played.active, 0);
    }
}
