//! Large blobs: few at once, until the host has shown that it keeps what was sent of a cut one.

use super::world::{Tape, World, docker, image, schedule, sized_node, statuses};
use crate::image::digest::Digest;
use crate::image::source::{Content, Image, Layer, LayerForm, Place, Source, Stored};
use crate::observe::event::ImageStatus;
use crate::push::schedule::*;

const MIB: u64 = 1 << 20;

/// What may start now, as sizes in MiB, and the tasks of it.
fn started(schedule: &mut Schedule) -> (Vec<u64>, Vec<Task>) {
    let tasks: Vec<Task> = std::iter::from_fn(|| schedule.next()).collect();
    let size = |task: &Task| size_of(schedule, task);
    (tasks.iter().filter_map(size).collect(), tasks)
}

fn size_of(schedule: &Schedule, task: &Task) -> Option<u64> {
    match task {
        Task::Transfer(transfer) => Some(schedule.plan.blobs[transfer.blob].stored_size / MIB),
        _ => None,
    }
}

/// Answers everything that `tasks` ask, up to where transfers begin.
fn ask(world: &mut World, schedule: &mut Schedule) -> (Vec<u64>, Vec<Task>) {
    loop {
        let (sizes, tasks) = started(schedule);
        if !sizes.is_empty() {
            return (sizes, tasks);
        }
        assert!(!tasks.is_empty(), "nothing is being done");
        for task in tasks {
            let how = world.answer(schedule, task);
            schedule.ended(task, how);
        }
    }
}

fn end(world: &mut World, schedule: &mut Schedule, task: Task) {
    let how = world.answer(schedule, task);
    schedule.ended(task, how);
}

/// An image with blobs of these sizes in MiB.
fn of(names: &'static [&str], sizes: &[u64]) -> Image {
    let blobs: Vec<(&str, u64)> = (names.iter().zip(sizes))
        .map(|(name, size)| (*name, size * MIB))
        .collect();
    image(vec![sized_node(&blobs)])
}

const NAMES: &[&str] = &["a", "b", "c", "d", "e", "f", "g", "h"];

#[test]
fn smaller_ones_go_past_the_fifth_large_one() {
    let image = of(NAMES, &[0, 70, 100, 64, 65, 90, 80, 2]);
    let mut schedule = schedule(&[(image, &["a:1"])]);
    let mut world = World::default();
    let (sizes, tasks) = ask(&mut world, &mut schedule);
    assert_eq!(sizes, [100, 90, 80, 70, 64, 2, 0], "65 has to wait");
    end(&mut world, &mut schedule, tasks[5]);
    assert_eq!(schedule.next(), None, "a small one makes no room");
    end(&mut world, &mut schedule, tasks[2]);
    assert_eq!(started(&mut schedule).0, [65]);
}

#[test]
fn all_large_ones_go_where_cut_bodies_are_kept() {
    let image = of(NAMES, &[70, 71, 72, 73, 74, 75, 76, 77]);
    let mut schedule = schedule(&[(image, &["a:1"])]);
    let mut world = World::default();
    assert_eq!(ask(&mut world, &mut schedule).0, [77, 76, 75, 74]);
    schedule.homes.allow_large(true);
    assert_eq!(started(&mut schedule).0, [73, 72, 71, 70]);
}

#[test]
fn who_does_not_keep_them_after_all_gets_few_again() {
    let image = of(NAMES, &[70, 71, 72, 73, 74, 75, 76, 77]);
    let mut schedule = schedule(&[(image, &["a:1"])]);
    let mut world = World::default();
    let (_, tasks) = ask(&mut world, &mut schedule);
    schedule.homes.allow_large(true);
    assert!(matches!(schedule.next(), Some(Task::Transfer(_))));
    schedule.homes.allow_large(false);
    end(&mut world, &mut schedule, tasks[0]);
    let (sizes, _) = started(&mut schedule);
    assert!(sizes.is_empty(), "four are under way: {sizes:?}");
    end(&mut world, &mut schedule, tasks[1]);
    assert_eq!(started(&mut schedule).0, [72]);
}

#[test]
fn one_that_failed_makes_room() {
    let image = of(NAMES, &[70, 71, 72, 73, 74]);
    let other = of(&["x"], &[69]);
    let mut schedule = schedule(&[(image, &["a:1"]), (other, &["b:1"])]);
    let mut world = World::default();
    let (_, tasks) = ask(&mut world, &mut schedule);
    world.broken.insert(Digest::of(b"e"));
    end(&mut world, &mut schedule, tasks[0]);
    assert_eq!(started(&mut schedule).0, [69], "nobody waits for 70 now");
}

#[test]
fn what_is_mounted_is_not_counted() {
    let image = || of(NAMES, &[70, 71, 72, 73, 74]);
    let mut schedule = schedule(&[(image(), &["a:1", "b:1"])]);
    let mut world = World::default();
    let (sizes, mut tasks) = ask(&mut world, &mut schedule);
    assert_eq!(sizes, [74, 73, 72, 71]);
    end(&mut world, &mut schedule, tasks.remove(1));
    let (next_sizes, more) = started(&mut schedule);
    assert_eq!(next_sizes, [73, 70], "the first is mounted");
    for task in tasks.into_iter().chain(more) {
        end(&mut world, &mut schedule, task);
    }
    world.play(&mut schedule);
    assert_eq!(statuses(&schedule), [ImageStatus::Pushed]);
}

#[test]
fn large_ones_in_sources_that_are_read_in_order_wait_too() {
    let on_tape = |size: u64| {
        let tape: Arc<dyn Source> = Arc::new(Tape);
        let mut image = docker(&[]);
        let Content::Made(parts) = &mut image.content else {
            panic!("a docker image has parts")
        };
        parts.layers = [(0, size), (size, 1)]
            .map(|(offset, size)| Layer {
                stored: Stored::new(Arc::clone(&tape), Place::Extent { offset }, size * MIB),
                diff_id: Digest::of(format!("{size} at {offset}").as_bytes()),
                form: LayerForm::Plain,
            })
            .to_vec();
        image
    };
    let targets = ["a:1", "b:1", "c:1", "d:1", "e:1", "f:1"].map(|name| [name]);
    let images: Vec<(Image, &[&str])> = (targets.iter().zip([65, 66, 67, 68, 69, 10]))
        .map(|(target, size)| (on_tape(size), target.as_slice()))
        .collect();
    let mut schedule = schedule(&images);
    let mut world = World::default();
    let (sizes, tasks) = ask(&mut world, &mut schedule);
    let are_large = |of: &[u64]| of.iter().filter(|size| **size > 64).count();
    assert_eq!(are_large(&sizes), 4, "{sizes:?}");
    assert!(sizes.contains(&10), "{sizes:?}");
    let is_large = |task: &&Task| size_of(&schedule, task) > Some(64);
    let first = *tasks.iter().find(is_large).unwrap();
    end(&mut world, &mut schedule, first);
    let (next_sizes, _) = started(&mut schedule);
    assert_eq!(are_large(&next_sizes), 1, "{next_sizes:?}");
}
