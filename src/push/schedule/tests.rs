//! Schedules played against a registry that is nothing but a few sets.

mod former;
mod large;
mod link;
mod long_link;
mod offers;
mod recall;
mod verify;
mod world;

use super::*;
use crate::image::digest::Digest;
use crate::image::manifest::Descriptor;
use crate::image::source::{Content, Image, Layer, LayerForm, Place, Source, Stored};
use crate::observe::event::ImageStatus;
use crate::push::plan::Origin;
use crate::push::report::{ErrorReport, FailureKind};
use crate::registry::client::Presence;
use world::{Tape, World, compressed, docker, image, index, node, schedule, statuses, without};

#[test]
fn a_new_image_asks_twice_brings_its_blobs_and_puts_its_tag() {
    let mut world = World::default();
    let mut schedule = schedule(&[(image(vec![node(&["config", "layer one", "two"])]), &["a:1"])]);
    world.play(&mut schedule);
    let verbs: Vec<&str> = world
        .log
        .iter()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(
        verbs,
        ["HEAD", "HEAD", "Uploaded", "Uploaded", "Uploaded", "PUT"]
    );
    assert!(
        world.log[2].ends_with(Digest::of(b"layer one").short()),
        "biggest first"
    );
    assert_eq!(world.log[5], "PUT a:1");
    assert_eq!(statuses(&schedule), [ImageStatus::Pushed]);
}

#[test]
fn a_known_image_costs_one_question_and_a_new_tag_three() {
    let mut world = World::default();
    let content = || image(vec![node(&["config", "layer"])]);
    world.play(&mut schedule(&[(content(), &["a:1"])]));
    world.log.clear();
    let mut again = schedule(&[(content(), &["a:1"])]);
    world.play(&mut again);
    assert_eq!(world.log, ["HEAD a:1"]);
    assert_eq!(statuses(&again), [ImageStatus::Present]);
    world.log.clear();
    world.play(&mut schedule(&[(content(), &["a:2"])]));
    assert_eq!(world.log.len(), 3, "{:?}", world.log);
    assert_eq!(world.log[2], "PUT a:2");
    world.log.clear();
    let mut both = schedule(&[(content(), &["a:1", "a:3"])]);
    world.play(&mut both);
    assert_eq!(world.log, ["HEAD a:1", "HEAD a:3", "PUT a:3"]);
    assert_eq!(statuses(&both), [ImageStatus::Pushed]);
}

#[test]
fn of_an_index_only_the_changed_child_is_sent_and_children_come_first() {
    let mut world = World::default();
    let same = node(&["config", "layer"]);
    let (old, new) = (
        node(&["config b", "layer b"]),
        node(&["config c", "layer c"]),
    );
    let first = [same.clone(), old];
    let root = index(&first);
    world.play(&mut schedule(&[(
        image([first.to_vec(), vec![root]].concat()),
        &["a:1"],
    )]));
    let root_put = world.log.iter().position(|line| line == "PUT a:1").unwrap();
    assert_eq!(
        root_put,
        world.log.len() - 1,
        "children before parents: {:?}",
        world.log
    );
    world.log.clear();
    let second = [same, new];
    let new_root = index(&second);
    world.play(&mut schedule(&[(
        image([second.to_vec(), vec![new_root]].concat()),
        &["a:1"],
    )]));
    assert_eq!(
        world.count("HEAD"),
        4,
        "tag, root and two children: {:?}",
        world.log
    );
    assert_eq!(world.count("Uploaded"), 2);
    assert_eq!(world.count("PUT"), 2);
}

#[test]
fn two_hundred_images_send_what_they_share_once() {
    let names: Vec<[String; 1]> = (0..200).map(|i| [format!("team/app{i}:1")]).collect();
    let texts: Vec<String> = (0..200).map(|i| format!("config {i}")).collect();
    let names: Vec<[&str; 1]> = names
        .iter()
        .map(|name| name.each_ref().map(|n| &**n))
        .collect();
    let images: Vec<(Image, &[&str])> = (texts.iter().zip(&names))
        .map(|(text, name)| {
            (
                image(vec![node(&[text, "base layer", "other"])]),
                name.as_slice(),
            )
        })
        .collect();
    let mut schedule = schedule(&images);
    let mut world = World::default();
    world.play(&mut schedule);
    assert_eq!(world.count("Uploaded"), 202);
    assert_eq!(world.count("Mounted"), 2 * 199);
    assert_eq!(world.count("PUT"), 200);
    assert!(
        statuses(&schedule)
            .iter()
            .all(|status| *status == ImageStatus::Pushed)
    );
}

#[test]
fn refused_mounts_are_uploads() {
    let shared = || image(vec![node(&["config", "layer"])]);
    let images: [(Image, &[&str]); 2] = [(shared(), &["a:1"]), (shared(), &["b:1"])];
    let mut world = World {
        refuse_mounts: true,
        ..World::default()
    };
    let mut played = schedule(&images);
    world.play(&mut played);
    assert_eq!(world.count("Uploaded"), 4);
    assert_eq!(statuses(&played), [ImageStatus::Pushed; 2]);
}

#[test]
fn a_broken_blob_fails_the_images_that_need_it_and_no_other() {
    let images: [(Image, &[&str]); 3] = [
        (image(vec![node(&["config", "bad"])]), &["a:1"]),
        (image(vec![node(&["config", "good"])]), &["a:2"]),
        (image(vec![node(&["other", "bad"])]), &["b:1"]),
    ];
    let mut world = World::default();
    world.broken.insert(Digest::of(b"bad"));
    let mut played = schedule(&images);
    world.play(&mut played);
    let expected = [
        ImageStatus::Failed,
        ImageStatus::Pushed,
        ImageStatus::Failed,
    ];
    assert_eq!(statuses(&played), expected);
    let error = played.image_status(0).1.unwrap();
    assert_eq!(error.kind, FailureKind::Source);
    assert_eq!(world.count("PUT"), 1);
}

#[test]
fn with_fail_fast_nothing_starts_after_a_failure() {
    let images: [(Image, &[&str]); 2] = [
        (image(vec![node(&["config", "the bad layer"])]), &["a:1"]),
        (image(vec![node(&["other", "good"])]), &["b:1"]),
    ];
    let mut world = World::default();
    world.broken.insert(Digest::of(b"the bad layer"));
    let mut played = schedule(&images);
    played.limits.fail_fast = true;
    world.play(&mut played);
    assert_eq!(
        statuses(&played),
        [ImageStatus::Failed, ImageStatus::Skipped]
    );
    assert_eq!(world.count("PUT"), 0);
}

#[test]
fn a_manifest_is_made_when_its_layers_have_digests() {
    let layers = [("plain one", LayerForm::Plain), ("gzip", LayerForm::Gzip)];
    let images: [(Image, &[&str]); 1] = [(docker(&layers), &["a:1", "b:1"])];
    let mut world = World::default();
    let mut played = schedule(&images);
    world.play(&mut played);
    assert_eq!(statuses(&played), [ImageStatus::Pushed]);
    assert_eq!(
        (
            world.count("hash"),
            world.count("Uploaded"),
            world.count("Mounted")
        ),
        (1, 3, 3)
    );
    let PlannedContent::Manifests(nodes) = &played.plan.images[0].content else {
        panic!("no manifest was made")
    };
    let described: Vec<&Descriptor> = nodes[0].manifest.blobs().skip(1).collect();
    assert_eq!(described[1].digest, Digest::of(b"hashed"));
    assert_eq!(described[0].size, 3);
    assert_eq!(world.tags.len(), 2);
}

#[test]
fn equal_layers_of_one_image_go_up_once() {
    let layers = [("same", LayerForm::Plain), ("same", LayerForm::Plain)];
    let images: [(Image, &[&str]); 1] = [(docker(&layers), &["a:1"])];
    let mut world = World::default();
    let mut played = schedule(&images);
    world.play(&mut played);
    assert_eq!(world.count("Uploaded"), 2);
    let PlannedContent::Manifests(nodes) = &played.plan.images[0].content else {
        panic!("no manifest was made")
    };
    assert_eq!(nodes[0].manifest.blobs().count(), 3);
}

#[test]
fn at_most_so_many_images_are_worked_on() {
    let texts: Vec<String> = (0..5).map(|i| format!("config {i}")).collect();
    let names: [[&str; 1]; 5] = [["a:1"], ["b:1"], ["c:1"], ["d:1"], ["e:1"]];
    let images: Vec<(Image, &[&str])> = (texts.iter().zip(&names))
        .map(|(text, name)| (image(vec![node(&[text])]), name.as_slice()))
        .collect();
    let mut played = schedule(&images);
    played.limits.images = 2;
    let first: Vec<Task> = std::iter::from_fn(|| played.next()).collect();
    assert_eq!(first.len(), 2, "one question for each of two images");
}

#[test]
fn images_made_of_a_layer_that_failed_before_fail_once_each() {
    let layers = [("bad", LayerForm::Plain), ("good", LayerForm::Plain)];
    let images: [(Image, &[&str]); 3] = [
        (docker(&layers), &["a:1"]),
        (docker(&layers), &["a:2"]),
        (docker(&layers[..1]), &["a:3"]),
    ];
    let mut world = World::default();
    let mut played = schedule(&images);
    played.limits.images = 1;
    let bad = (played.plan.blobs.iter())
        .position(|blob| matches!(&blob.origin, Origin::Compressed { diff_id, .. } if *diff_id == Digest::of(b"bad")))
        .unwrap();
    world.broken.insert(compressed(bad));
    world.play(&mut played);
    assert_eq!(statuses(&played), [ImageStatus::Failed; 3]);
    assert_eq!(world.count("FAIL"), 1);
    assert!(played.images.iter().all(|image| image.deliveries_left == 0));
}

#[test]
fn what_is_found_below_one_index_counts_for_the_others() {
    let (shared, other) = (node(&["config", "layer"]), node(&["sent before all"]));
    let outer = index(std::slice::from_ref(&shared));
    let inner = index(&[shared.clone(), other.clone()]);
    let root = index(&[outer.clone(), inner.clone()]);
    let nodes = vec![shared, other, outer, inner, root];
    let mut played = schedule(&[(image(nodes), &["a:1"])]);
    let mut world = World::default();
    // Somebody else brings the first index while its image is on the way for the second.
    let mut late = None;
    while let Some(task) = played.next() {
        if matches!(task, Task::CheckNode { node: 2, .. }) {
            late = Some(task);
            continue;
        }
        let waits_for_one_image = played.deliveries[0].nodes[1] == NodeState::Settled;
        if let Some(check) = late.take_if(|_| waits_for_one_image) {
            let found = played.nodes(0).unwrap()[2].manifest.digest().clone();
            played.ended(check, Ended::Checked(Presence::Present(found)));
        }
        let how = world.answer(&played, task);
        played.ended(task, how);
    }
    assert_eq!(statuses(&played), [ImageStatus::Pushed], "{:?}", world.log);
}

#[test]
fn what_the_source_lacks_must_be_at_the_target_before_anything_is_sent() {
    let (there, gone) = (node(&["config", "layer"]), node(&["other", "far away"]));
    let root = index(&[there.clone(), gone.clone()]);
    let whole = || image(vec![there.clone(), gone.clone(), root.clone()]);
    let partial = || without(whole(), &[&gone], &["layer"]);
    let mut world = World::default();
    let mut refused = schedule(&[(partial(), &["a:1"])]);
    world.play(&mut refused);
    assert_eq!(statuses(&refused), [ImageStatus::Failed]);
    assert_eq!(world.count("EXPECT"), 2);
    assert_eq!(world.log.len(), 4, "two questions before: {:?}", world.log);
    let error = refused.image_status(0).1.unwrap();
    assert_eq!(error.kind, FailureKind::Source);
    let manifest = format!("manifest {}", gone.manifest.digest());
    let layer = format!("layer {}", Digest::of(b"layer"));
    let expected =
        format!("nowhere: missing, and not found in a at the target either: {manifest}, {layer}");
    assert_eq!(error.message, expected);
    assert!(error.hint.unwrap().contains("--partial-index"));

    // Each image of its own, and then the index of both by a source that has half of it.
    world.play(&mut schedule(&[
        (image(vec![there.clone()]), &["a:there"]),
        (image(vec![gone.clone()]), &["a:gone"]),
    ]));
    world.log.clear();
    let mut found = schedule(&[(partial(), &["a:1"])]);
    world.play(&mut found);
    assert_eq!(statuses(&found), [ImageStatus::Pushed], "{:?}", world.log);
    assert_eq!(world.count("EXPECT"), 2);
    assert_eq!(world.count("Uploaded"), 0, "{:?}", world.log);
    assert_eq!(world.log.last().unwrap(), "PUT a:1");
    world.log.clear();
    world.play(&mut schedule(&[(partial(), &["a:1"])]));
    assert_eq!(world.log, ["HEAD a:1"]);
}

#[test]
fn with_fail_fast_nothing_is_sent_before_every_image_is_known_to_be_whole() {
    let names: Vec<String> = (0..5).map(|i| format!("config {i}")).collect();
    let whole = |at: usize| image(vec![node(&[&names[at], "layer"])]);
    let lacking = |at: usize| without(whole(at), &[], &["layer"]);
    for lacks in [true, false] {
        let mut world = World::default();
        world.play(&mut schedule(&[(whole(4), &["a:tagged"])]));
        let sent = world.log.len();
        if lacks {
            world.blobs.clear();
        }
        let images: [(Image, &[&str]); 3] = [
            (image(vec![node(&["other"])]), &["b:1"]),
            (lacking(2), &["a:2"]),
            (lacking(3), &["a:3"]),
        ];
        let fail_fast = Limits {
            images: 1,
            fail_fast: true,
            force: false,
            verify: false,
        };
        let mut played = Schedule::new(schedule(&images).plan, fail_fast);
        world.play(&mut played);
        let asked = &world.log[sent..];
        if lacks {
            assert!(
                asked.iter().all(|line| !line.starts_with("PUT")),
                "{asked:?}"
            );
            assert!(
                asked.iter().all(|line| !line.starts_with("Upl")),
                "{asked:?}"
            );
            assert!(statuses(&played).contains(&ImageStatus::Failed));
        } else {
            assert_eq!(statuses(&played), [ImageStatus::Pushed; 3], "{asked:?}");
        }
        assert_eq!(played.unsure == 0, !lacks);
    }
}

#[test]
fn what_one_source_lacks_another_may_have() {
    let content = || image(vec![node(&["config", "layer"])]);
    let lacking = || without(content(), &[], &["layer"]);
    for images in [
        [(lacking(), &["a:1"] as &[&str]), (content(), &["b:1"])],
        [(content(), &["a:1"]), (lacking(), &["b:1"])],
    ] {
        let mut world = World::default();
        let mut played = schedule(&images);
        world.play(&mut played);
        assert_eq!(statuses(&played), [ImageStatus::Pushed; 2]);
        assert_eq!(world.count("EXPECT"), 0, "{:?}", world.log);
        assert_eq!(world.count("Uploaded"), 2, "{:?}", world.log);
    }
    // Its digest shows only when it is hashed.
    let hashed = || without(image(vec![node(&["config", "hashed"])]), &[], &["hashed"]);
    let docker = docker(&[("gzip", LayerForm::Gzip)]);
    let mut played = schedule(&[(docker, &["a:1"] as &[&str]), (hashed(), &["a:2"])]);
    played.limits.images = 1;
    let mut world = World::default();
    world.play(&mut played);
    assert_eq!(
        statuses(&played),
        [ImageStatus::Pushed; 2],
        "{:?}",
        world.log
    );
}

#[test]
fn a_lost_answer_about_what_is_missing_fails_that_image_alone() {
    let lacking = without(image(vec![node(&["config", "layer"])]), &[], &["layer"]);
    let other = image(vec![node(&["second"])]);
    let mut played = schedule(&[(lacking, &["a:1"] as &[&str]), (other, &["b:1"])]);
    let mut world = World::default();
    while let Some(task) = played.next() {
        let how = match task {
            Task::CheckExpected { .. } => Ended::Failed(ErrorReport::source("gone")),
            _ => world.answer(&played, task),
        };
        played.ended(task, how);
    }
    assert_eq!(
        statuses(&played),
        [ImageStatus::Failed, ImageStatus::Pushed]
    );
    assert_eq!(played.active, 0);
}

#[test]
fn a_protected_tag_does_not_keep_the_others_from_arriving() {
    for (protected, puts, expected) in [
        (&["1"][..], 2, ImageStatus::Failed),
        (&["2"], 2, ImageStatus::Failed),
        (&["1", "2", "3"], 0, ImageStatus::Failed),
        (&[], 3, ImageStatus::Pushed),
    ] {
        let mut world = World {
            protected: protected.iter().map(|tag| (*tag).to_owned()).collect(),
            ..World::default()
        };
        let targets: &[&str] = &["a:1", "a:2", "a:3"];
        let mut played = schedule(&[(image(vec![node(&["config"])]), targets)]);
        world.play(&mut played);
        assert_eq!(world.count("PUT"), puts, "{protected:?}: {:?}", world.log);
        assert_eq!(world.count("REFUSED"), protected.len(), "{protected:?}");
        assert_eq!(statuses(&played), [expected]);
        assert_eq!(played.active, 0, "{protected:?}");
    }
}

#[test]
fn what_is_broken_off_after_a_halt_has_not_failed() {
    let mut played = schedule(&[(image(vec![node(&["config"])]), &["a:1"])]);
    let task = played.next().unwrap();
    played.halt();
    played.ended(task, Ended::Failed(ErrorReport::interrupted()));
    assert_eq!(statuses(&played), [ImageStatus::Skipped]);
    assert_eq!(played.next(), None);
}

#[test]
fn a_source_that_is_read_in_order_gives_one_layer_at_a_time_from_the_front() {
    let tape: Arc<dyn Source> = Arc::new(Tape);
    let layer = |offset: u64, size: u64, form: LayerForm| Layer {
        stored: Stored::new(Arc::clone(&tape), Place::Extent { offset }, size),
        diff_id: Digest::of(&offset.to_le_bytes()),
        form,
    };
    let mut one = docker(&[]);
    let Content::Made(parts) = &mut one.content else {
        panic!("a docker image has parts")
    };
    parts.layers = vec![
        layer(500, 10, LayerForm::Plain),
        layer(100, 90, LayerForm::Plain),
        layer(900, 50, LayerForm::Gzip),
    ];
    let mut played = schedule(&[(one, &["a:1"])]);
    let mut world = World::default();
    let mut order = Vec::new();
    let mut running: Vec<Task> = Vec::new();
    loop {
        running.extend(std::iter::from_fn(|| played.next()));
        let spot = |task: &Task| match task {
            Task::Hash(blob) | Task::Transfer(Transfer { blob, .. }) => played.plan.spot(*blob),
            _ => None,
        };
        let reading: Vec<u64> = running.iter().filter_map(spot).map(|s| s.offset).collect();
        assert!(reading.len() <= 1, "two read at once: {reading:?}");
        let Some(task) = running.pop() else { break };
        order.extend(spot(&task).map(|s| s.offset));
        let how = world.answer(&played, task);
        played.ended(task, how);
    }
    assert_eq!(
        order,
        [900, 100, 500, 900],
        "the digest that is missing first"
    );
    assert_eq!(statuses(&played), [ImageStatus::Pushed]);
}
