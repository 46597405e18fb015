//! Manifests that go first, to a registry that is sure to take none that lacks anything.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use hoist::image::digest::Digest;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use super::{Cost, cost, of, total};
use crate::support::archives::{Form, ImageSpec, docker_archive, layout};
use crate::support::command::{Output, hoist};
use crate::support::pushing::{count, read_back, requests};
use crate::support::registry::{Kind, Registry, available};
use crate::support::scripted::{Scripted, Seen, answer, computed, on};

/// Those that check and name everything.
fn kinds() -> impl Iterator<Item = Kind> {
    available().into_iter().filter(|kind| *kind != Kind::Zot)
}

/// Pushes an image that nobody knows, by which the registry shows what it is, and then `spec`. Returns what
/// the second one cost.
fn second(registry: &Registry, spec: &ImageSpec) -> Cost {
    let dir = after_another(spec);
    let mut cost = cost(registry, dir.path(), "", &["--images", "1"]);
    // What is new costs two requests a blob and three more.
    for (what, spent) in [
        ("HEAD manifest", 2),
        ("POST mount", 2),
        ("PUT upload", 2),
        ("PUT manifest", 1),
    ] {
        *cost.get_mut(what).unwrap() -= spent;
    }
    cost.retain(|_, count| *count > 0);
    cost
}

/// A folder of two layouts: an image like no other, and `spec`.
fn after_another(spec: &ImageSpec) -> TempDir {
    static NUMBER: AtomicU64 = AtomicU64::new(1 << 32);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let dir = tempdir().unwrap();
    let news = ImageSpec::new(&format!("news:{number}")).layer(number, 100);
    layout(&dir.path().join("1"), &[news]);
    layout(&dir.path().join("2"), std::slice::from_ref(spec));
    dir
}

/// An image of ten blobs, one of which is its config.
fn app(name: &str, last: u64) -> ImageSpec {
    let spec = (0..8).fold(ImageSpec::new(name), |spec, seed| spec.layer(seed, 900));
    spec.layer(last, 900)
}

#[test]
fn what_is_there_is_not_asked_for() {
    for kind in kinds() {
        let registry = Registry::start(kind);
        let step = |what: &str, spec: &ImageSpec, sent: usize, offers: usize, requests: usize| {
            let cost = second(&registry, spec);
            let expected = [
                ("HEAD manifest", 1),
                ("POST mount", sent),
                ("PUT upload", sent),
                ("PUT manifest", offers),
            ];
            assert_eq!(cost, of(&expected), "{kind:?}: {what}");
            assert_eq!(total(&cost), requests, "{what}");
        };
        step("new image", &app("app:1", 100), 10, 2, 2 * 10 + 3);
        step("new tag", &app("app:2", 100), 0, 1, 2);
        step(
            "a layer and its config are new",
            &app("app:1", 101),
            2,
            2,
            2 * 2 + 3,
        );
        step("a tag that moves back", &app("app:1", 100), 0, 1, 2);
        for (what, spec, but) in [
            ("all but one blob are there", app("app:3", 102), 1),
            ("all but the manifest is there", app("app:4", 103), 0),
        ] {
            put_blobs(&registry, "app", &spec, but);
            step(what, &spec, but, but + 1, 2 * but + 2 + but);
        }
    }
}

/// All blobs of `spec` but so many.
fn put_blobs(registry: &Registry, repository: &str, spec: &ImageSpec, but: usize) {
    let config = spec.config();
    registry.put_blob(repository, spec.config_digest().as_str(), &config);
    for layer in &spec.layers[..spec.layers.len() - but] {
        let bytes = layer.stored(Form::Gzip);
        let digest = Digest::of(&bytes);
        registry.put_blob(repository, digest.as_str(), &bytes);
    }
}

#[test]
fn every_registry_is_asked_before_its_first_upload_shows_what_it_is() {
    let spec = app("app:1", 100);
    let dir = tempdir().unwrap();
    layout(dir.path(), std::slice::from_ref(&spec));
    for kind in available() {
        let registry = Registry::start(kind);
        put_blobs(&registry, "app", &spec, 1);
        let expected = [
            ("HEAD manifest", 2),
            ("POST mount", 10),
            ("PUT upload", 1),
            ("PUT manifest", 1),
        ];
        assert_eq!(
            cost(&registry, dir.path(), "", &[]),
            of(&expected),
            "{kind:?}"
        );
    }
}

/// What remembered layers have become is not believed for a manifest that was taken.
#[test]
fn remembered_layers_are_asked_for_one_by_one() {
    for kind in kinds() {
        let registry = Registry::start(kind);
        let dir = tempdir().unwrap();
        let cache = dir.path().join("cache");
        let options = ["--images", "1", "--cache-dir", cache.to_str().unwrap()];
        let sources = dir.path().join("sources");
        fs::create_dir(&sources).unwrap();
        let archive = |name: &str| {
            docker_archive(
                &sources.join("2.tar"),
                &[ImageSpec::new(name).layer(1, 5_000)],
            );
            cost(&registry, &sources, "", &options)
        };
        archive("app:1");
        // Of that very manifest it would be known that it was taken.
        for entry in fs::read_dir(&cache).unwrap() {
            let path = entry.unwrap().path();
            if path.to_str().unwrap().contains("blobs-") {
                fs::remove_file(path).unwrap();
            }
        }
        layout(
            &sources.join("1"),
            &[ImageSpec::new("news:1").layer(3, 100)],
        );
        assert_eq!(archive("app:2")["HEAD manifest"], 4, "{kind:?}");
    }
}

/// A registry that takes manifests whose blobs it lacks gets none before them.
#[test]
fn who_has_not_shown_that_he_checks_is_offered_nothing() {
    let taken = |body: &[u8]| {
        let digest = Digest::of(body);
        answer(201).header("Docker-Content-Digest", digest.as_str())
    };
    let location = "/v2/app/blobs/uploads/1";
    let server = Scripted::start([
        on("HEAD", "/v2/").then(answer(404)),
        on("POST", "/v2/").then(answer(202).header("Location", location)),
        on("PUT", location).then(answer(201)),
        on("PUT", "/v2/")
            .containing("/manifests/")
            .then(computed(move |seen| taken(&seen.body))),
    ]);
    let dir = after_another(&app("app:1", 100));
    push_to(&server, dir.path()).expect_code(0);
    let seen = server.requests();
    let at = |method: &str, part: &str| -> Vec<usize> {
        let fits = |at: &usize| seen[*at].method == method && seen[*at].target.contains(part);
        (0..seen.len()).filter(fits).collect()
    };
    assert_eq!(at("HEAD", "/manifests/").len(), 4);
    let manifests = at("PUT", "/manifests/");
    assert_eq!(manifests.len(), 2);
    assert_eq!(manifests.last(), Some(&(seen.len() - 1)), "after all blobs");
}

fn push_to(server: &Scripted, source: &Path) -> Output {
    let destination = format!("{}/", server.address());
    hoist(["push", "-o", "json", "--progress", "none", "--images", "1"])
        .arg(source)
        .arg(destination)
        .run()
}

/// Refusals that do not name everything, or something else, or fail: the push goes on as if nothing had
/// been offered, and without a pause.
#[test]
fn a_wrong_answer_to_an_offer_costs_requests_and_nothing_else() {
    let spec = app("app:1", 100);
    let first = Digest::of(&spec.layers[0].stored(Form::Gzip));
    let refusal = |detail: Value| {
        let error = json!({"code": "MANIFEST_BLOB_UNKNOWN", "message": "x", "detail": detail});
        answer(400).body(json!({"errors": [error]}).to_string())
    };
    let names_one = || refusal(json!(first.as_str()));
    // With requests for the manifest beyond the three that it takes.
    for (what, wrong, more) in [
        ("one of ten", names_one(), 1),
        ("none", refusal(json!(null)), 1),
        (
            "another code",
            answer(400).body(r#"{"errors":[{"code":"DENIED"}]}"#),
            2,
        ),
        ("forbidden", answer(403), 2),
    ] {
        let registry = Registry::start(Kind::Serve);
        let offer = on("PUT", "/v2/app/manifests/").times(1).then(wrong);
        let server = Scripted::before(registry.address(), [offer]);
        let dir = after_another(&spec);
        let report = push_to(&server, dir.path()).expect_code(0).json();
        read_back(&registry, &report);
        assert_eq!(report["waited_ms"], 0, "{what}");
        assert_eq!(
            report["bytes"]["uploaded"], report["bytes"]["total"],
            "{what}"
        );
        let sent = requests(&registry, 0);
        assert_eq!(count(&sent, "PUT upload"), 2 + 10, "{what}");
        let manifests = server.requests();
        let of_app = |seen: &&Seen| seen.target.starts_with("/v2/app/manifests/");
        let asked = manifests.iter().filter(of_app).count();
        assert_eq!(asked, 3 + more, "{what}");
    }
}
