//! Wire rule 1: what each kind of push costs, counted at the registry, request by request.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::tempdir;

use crate::support::archives::{ImageSpec, Layout, layout};
use crate::support::pushing::{push, requests};
use crate::support::registry::{Kind, Registry, available};

mod offers;
mod warm;

/// How often each kind of request was made.
type Cost = BTreeMap<String, usize>;

/// Pushes, and returns what that cost. The report says the same.
fn cost(registry: &Registry, source: &Path, target: &str, options: &[&str]) -> Cost {
    let before = registry.access().len();
    let report = push(source, registry, target, options)
        .expect_code(0)
        .json();
    let sent = requests(registry, before);
    assert_eq!(report["requests"], sent.len(), "{sent:#?}");
    let mut cost = Cost::new();
    for request in sent {
        *cost.entry(request).or_default() += 1;
    }
    cost
}

/// `of(&[("HEAD manifest", 2)])`; what costs nothing is not there.
fn of(parts: &[(&str, usize)]) -> Cost {
    let parts = parts.iter().filter(|(_, count)| *count > 0);
    parts
        .map(|(what, count)| (what.to_string(), *count))
        .collect()
}

fn total(cost: &Cost) -> usize {
    cost.values().sum()
}

/// All that manifests cost, together: some are asked for by digest, some are offered, as it happens.
fn merged(mut cost: Cost) -> Cost {
    let kinds = ["HEAD manifest", "PUT manifest"].map(|kind| cost.remove(kind));
    let manifests = kinds.into_iter().flatten().sum();
    cost.insert("manifest".into(), manifests);
    cost
}

/// A layout of one image with these layers; with its config it has one blob more.
fn image(dir: &Path, name: &str, seeds: impl IntoIterator<Item = u64>) -> PathBuf {
    let spec = ImageSpec::new("team/app:1");
    let spec = seeds
        .into_iter()
        .fold(spec, |spec, seed| spec.layer(seed, 2_000));
    layout(&dir.join(name), &[spec]);
    dir.join(name)
}

#[test]
fn one_image_costs_what_the_budget_says() {
    let dir = tempdir().unwrap();
    for layers in [0, 1, 9] {
        let app = image(dir.path(), &format!("app{layers}"), 0..layers);
        let blobs = usize::try_from(layers).unwrap() + 1;
        for kind in available() {
            let registry = Registry::start(kind);
            let step = |what: &str, target: &str, requests: usize, parts: &[(&str, usize)]| {
                let cost = cost(&registry, &app, target, &[]);
                assert_eq!(cost, of(parts), "{kind:?}, {layers} layers: {what}");
                assert_eq!(total(&cost), requests, "{what}");
            };
            let new = [
                ("HEAD manifest", 2),
                ("POST mount", blobs),
                ("PUT upload", blobs),
                ("PUT manifest", 1),
            ];
            step("new image", "team/app:1", 2 * blobs + 3, &new);
            step("known image", "team/app:1", 1, &[("HEAD manifest", 1)]);
            let tagged = [("HEAD manifest", 2), ("PUT manifest", 1)];
            step("new tag", "team/app:2", 3, &tagged);
            step(
                "known by another tag",
                "team/app:2",
                1,
                &[("HEAD manifest", 1)],
            );
        }
    }
}

/// One repository gets the blobs, the others mount them.
#[test]
fn more_repositories_cost_a_mount_for_each_blob() {
    let dir = tempdir().unwrap();
    let names = ImageSpec::new("team/one:1")
        .also("team/two:1")
        .also("team/three:1")
        .also("team/three:2");
    layout(dir.path(), &[names.layer(3, 50_000).layer(4, 9_000)]);
    let blobs = 3;
    for kind in available() {
        let registry = Registry::start(kind);
        let first = cost(&registry, dir.path(), "all/", &[]);
        let expected = [
            ("POST mount", 3 * blobs),
            ("PUT upload", blobs),
            // Of one repository two tags are asked for.
            ("manifest", 3 * 3 + 2),
        ];
        assert_eq!(total(&first), (2 * blobs + 3) + 2 * (blobs + 3) + 2);
        assert_eq!(merged(first), of(&expected), "{kind:?}");
        let again = cost(&registry, dir.path(), "all/", &[]);
        assert_eq!(again, of(&[("HEAD manifest", 4)]), "{kind:?}");
    }
}

#[test]
fn of_an_index_only_what_changed_is_sent() {
    let dir = tempdir().unwrap();
    let write = |name: &str, last: u64| {
        let mut layout = Layout::create(&dir.path().join(name));
        let children: Vec<_> = (0..10)
            .map(|number| {
                let seed = if number == 9 { last } else { 100 + number };
                let spec = ImageSpec::unnamed().architecture(&format!("a{number}"));
                layout.image(&spec.layer(seed, 3_000))
            })
            .collect();
        let root = layout.index(&children);
        layout.enter(root, Some("team/app:1"));
        layout.finish();
        dir.path().join(name)
    };
    let (old, new) = (write("old", 500), write("new", 501));
    for kind in available() {
        let registry = Registry::start(kind);
        let whole = [
            ("HEAD manifest", 2 + 10),
            ("POST mount", 20),
            ("PUT upload", 20),
            ("PUT manifest", 10 + 1),
        ];
        assert_eq!(
            cost(&registry, &old, "team/app:1", &[]),
            of(&whole),
            "{kind:?}"
        );
        // The config and the layer of the one child that is new.
        let changed = [
            ("HEAD manifest", 2 + 10),
            ("POST mount", 2),
            ("PUT upload", 2),
            ("PUT manifest", 1 + 1),
        ];
        assert_eq!(
            cost(&registry, &new, "team/app:1", &[]),
            of(&changed),
            "{kind:?}"
        );
    }
}

/// Ten images or hundreds: each costs the same, however much they share.
#[test]
fn many_images_cost_each_the_same_and_send_what_they_share_once() {
    let (shared, own) = (3, 2);
    for images in [10, 40, 200] {
        let dir = tempdir().unwrap();
        layout(
            dir.path(),
            &ImageSpec::many("many/app", images, shared, 500),
        );
        let distinct = shared + own * images;
        for kind in available() {
            // The files of hundreds of repositories take those on a disk their time.
            if images > 50 && kind != Kind::Serve {
                continue;
            }
            let registry = Registry::start(kind);
            let apart = cost(&registry, dir.path(), "all/", &[]);
            let expected = [
                ("POST mount", (shared + own) * images),
                ("PUT upload", distinct),
                ("manifest", 3 * images),
            ];
            assert_eq!(merged(apart), of(&expected), "{kind:?}: {images}");
            let again = cost(&registry, dir.path(), "all/", &[]);
            assert_eq!(again, of(&[("HEAD manifest", images)]), "{kind:?}");
        }
    }
}

/// Tags of one repository: what they share is asked for once, by whoever comes first.
#[test]
fn in_one_repository_what_is_shared_is_asked_for_once() {
    let (shared, own, images) = (3, 2, 40);
    let dir = tempdir().unwrap();
    let mut specs = ImageSpec::many("many", images, shared, 500);
    for (number, spec) in specs.iter_mut().enumerate() {
        spec.names = vec![format!("many/app:{number}")];
    }
    layout(dir.path(), &specs);
    for kind in available() {
        let registry = Registry::start(kind);
        let distinct = shared + own * images;
        let expected = [
            ("POST mount", distinct),
            ("PUT upload", distinct),
            ("manifest", 3 * images),
        ];
        let first = cost(&registry, dir.path(), "all/", &[]);
        assert_eq!(merged(first), of(&expected), "{kind:?}");
        let again = cost(&registry, dir.path(), "all/", &[]);
        assert_eq!(again, of(&[("HEAD manifest", images)]), "{kind:?}");
    }
}
