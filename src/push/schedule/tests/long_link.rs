//! What the order of things is worth where every request takes 50 ms.

use super::link::{Done, Link};
use super::world::{World, image, schedule, sized_node, statuses};
use super::*;
use std::cmp::Reverse;

const LINK: Link = Link {
    round_trip: 50_000,
    rate: 40_000_000,
    jobs: 16,
};
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const CONFIG: u64 = 2 * KIB;

/// An image of a config and layers of these sizes.
fn of_sizes(name: &str, sizes: &[u64]) -> Image {
    let names: Vec<String> = (0..sizes.len()).map(|at| format!("{name} {at}")).collect();
    let config = format!("{name} config");
    let layers = names.iter().map(String::as_str).zip(sizes.iter().copied());
    let blobs: Vec<(&str, u64)> = std::iter::once((config.as_str(), CONFIG))
        .chain(layers)
        .collect();
    image(vec![sized_node(&blobs)])
}

fn play(images: &[(Image, &[&str])], world: &mut World) -> (Vec<Done>, Schedule) {
    let mut schedule = schedule(images);
    // What large blobs wait for elsewhere is another matter.
    schedule.homes.allow_large(true);
    let done = LINK.play(world, &mut schedule);
    assert!(schedule.is_over());
    (done, schedule)
}

fn end(done: &[Done]) -> u64 {
    done.iter().map(|step| step.to).max().unwrap()
}

fn uploads(done: &[Done]) -> Vec<Done> {
    let mut uploads: Vec<Done> = done.iter().filter(|step| step.sent > 0).copied().collect();
    uploads.sort_by_key(|step| (step.from, Reverse(step.sent)));
    uploads
}

/// Sizes over three orders of magnitude, the same in every run.
fn mixed(count: u64) -> Vec<u64> {
    (0..count)
        .map(|at| KIB << (at * 7919 % 16))
        .zip(0..)
        .map(|(size, at)| size + at * 331)
        .collect()
}

/// Of a push of one image: how long, and how long at least.
fn timed(sizes: &[u64]) -> (Vec<Done>, f64) {
    let (done, _) = play(&[(of_sizes("a", sizes), &["a:1"])], &mut World::default());
    let least = LINK.least(&[sizes, &[CONFIG]].concat());
    let ratio = end(&done) as f64 / least as f64;
    (done, ratio)
}

#[test]
fn a_push_takes_little_longer_than_it_must() {
    let large_and_small = [vec![100 * KIB; 200], vec![10 * GIB]].concat();
    for (what, sizes, most) in [
        ("equal", vec![MIB; 41], 1.2),
        ("many small, one large", large_and_small, 1.01),
        ("many small", vec![4 * KIB; 1000], 1.02),
        ("mixed", mixed(200), 1.3),
        ("one more than connections", vec![GIB; 17], 1.01),
        ("fewer than connections", mixed(9), 1.01),
    ] {
        let (_, ratio) = timed(&sizes);
        assert!((1.0..most).contains(&ratio), "{what}: {ratio:.3}");
    }
}

#[test]
fn large_blobs_start_first_and_no_connection_is_alone_for_long() {
    for count in [17, 33, 60, 200] {
        let (done, _) = timed(&mixed(count));
        let uploads = uploads(&done);
        assert!(
            uploads.is_sorted_by_key(|step| Reverse(step.sent)),
            "{count}"
        );
        let mut ends: Vec<u64> = uploads.iter().map(|step| step.to).collect();
        ends.sort_unstable();
        let [.., last_but_one, last] = ends[..] else {
            panic!("{count} uploads")
        };
        let alone = (last - last_but_one) as f64 / last as f64;
        // The largest blob goes with the first, so nothing ends sooner.
        let largest = uploads[0].to == last;
        assert!(largest || alone < 0.1, "{count}: {alone:.3}");
    }
}

#[test]
fn small_blobs_do_not_wait_for_one_that_takes_minutes() {
    let sizes = [vec![100 * KIB; 200], vec![10 * GIB]].concat();
    let (done, _) = timed(&sizes);
    let (large, small): (Vec<Done>, Vec<Done>) = uploads(&done)
        .into_iter()
        .partition(|step| step.sent == 10 * GIB);
    let first = small.iter().map(|step| step.from).min().unwrap();
    assert_eq!(
        large[0].from, first,
        "it starts with the first of the others"
    );
    let over = small.iter().map(|step| step.to).max().unwrap();
    assert!(over < large[0].to / 20, "{over}");
}

/// A blob that waits to be mounted keeps none of the connections from being used.
#[test]
fn mounts_take_a_round_trip_each_and_nothing_waits_for_them() {
    let sizes = vec![MIB; 40];
    let one = of_sizes("a", &sizes);
    let alone = end(&play(&[(one.clone(), &["a:1"])], &mut World::default()).0);
    let targets = ["a:1", "b:1", "c:1", "d:1"];
    let mut world = World::default();
    let (done, schedule) = play(&[(one, &targets)], &mut world);
    assert_eq!(world.count("Uploaded"), 41);
    assert_eq!(world.count("Mounted"), 3 * 41);
    assert_eq!(statuses(&schedule), [ImageStatus::Pushed]);
    let mounts = (3 * 41_u64).div_ceil(LINK.jobs as u64);
    assert!(end(&done) <= alone + (mounts + 2) * LINK.round_trip);
}

#[test]
fn images_are_done_one_after_the_other_in_little_more_time() {
    let names: Vec<String> = (0..100).map(|at| format!("app{at}:1")).collect();
    let targets: Vec<[&str; 1]> = names.iter().map(|name| [name.as_str()]).collect();
    for sizes in [vec![MIB; 4], mixed(12)] {
        let images: Vec<(Image, &[&str])> = (names.iter().zip(&targets))
            .map(|(name, target)| (of_sizes(name, &sizes), target.as_slice()))
            .collect();
        let all_at_once = {
            let mut schedule = schedule(&images);
            schedule.limits.images = images.len();
            end(&LINK.play(&mut World::default(), &mut schedule))
        };
        let (done, schedule) = play(&images, &mut World::default());
        let mut states = statuses(&schedule).into_iter();
        assert!(states.all(|status| status == ImageStatus::Pushed));
        let of = |wanted: fn(&Task) -> bool| done.iter().filter(move |step| wanted(&step.task));
        let overs: Vec<u64> = of(|task| matches!(task, Task::Put { .. }))
            .map(|step| step.to)
            .collect();
        for (at, asked) in of(|task| matches!(task, Task::CheckTag { .. })).enumerate() {
            let over = overs.iter().filter(|over| **over <= asked.from).count();
            assert!(at - over < 8, "image {at} begins when {over} are over");
        }
        let took = end(&done);
        assert!(overs[0] < took / 8, "the first is over after {}", overs[0]);
        assert!(took < all_at_once / 10 * 11, "{took} and {all_at_once}");
    }
}
