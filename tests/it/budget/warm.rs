//! What pushes cost that know from the cache what earlier ones have brought, each in a process of its own.

use std::fs;
use std::path::Path;

use hoist::image::digest::Digest;
use serde_json::{Value, json};

use super::{Cost, of, total};
use crate::support::archives::{ImageSpec, docker_archive, layout};
use crate::support::command::hoist;
use crate::support::registry::{Kind, available};
use crate::support::scripted::{Scripted, answer, computed, on};
use crate::support::site::Site;

/// What a push costs that knows what the cache does.
fn cost(site: &Site, source: &Path, target: &str, options: &[&str]) -> Cost {
    let cache = site.cache();
    let mut all = options.to_vec();
    all.extend(["--cache-dir", cache.to_str().unwrap()]);
    super::cost(&site.registry, source, target, &all)
}

fn cost_of(site: &Site, spec: &ImageSpec, target: &str) -> Cost {
    cost(site, &site.layout(spec), target, &[])
}

/// Those that check and name everything.
fn kinds() -> impl Iterator<Item = Kind> {
    available().into_iter().filter(|kind| *kind != Kind::Zot)
}

/// An image of ten blobs, one of which is its config.
fn app(last: u64) -> ImageSpec {
    let spec = (0..8).fold(ImageSpec::new("app:1"), |spec, seed| spec.layer(seed, 900));
    spec.layer(last, 900)
}

/// As offers are: HEAD, PUT, and for what is named two requests each and another PUT.
fn offered(sent: usize) -> Cost {
    of(&[
        ("HEAD manifest", 1),
        ("POST mount", sent),
        ("PUT upload", sent),
        ("PUT manifest", 1 + usize::from(sent > 0)),
    ])
}

#[test]
fn what_is_known_there_is_not_asked_for() {
    for kind in kinds() {
        let site = Site::new(kind);
        let first = cost_of(&site, &app(100), "app:1");
        assert_eq!(total(&first), 2 * 10 + 3, "{kind:?}: {first:?}");
        for (what, spec, target, sent, requests) in [
            ("known image", app(100), "app:1", None, 1),
            ("new tag", app(100), "app:2", Some(0), 2),
            (
                "a layer and its config are new",
                app(101),
                "app:1",
                Some(2),
                2 * 2 + 3,
            ),
            ("a tag that moves back", app(100), "app:1", Some(0), 2),
        ] {
            let cost = cost_of(&site, &spec, target);
            assert_eq!(total(&cost), requests, "{kind:?}: {what}: {cost:?}");
            if let Some(sent) = sent {
                assert_eq!(cost, offered(sent), "{kind:?}: {what}");
            }
        }
        let elsewhere = [
            ("HEAD manifest", 2),
            ("POST mount", 10),
            ("PUT manifest", 1),
        ];
        assert_eq!(
            cost_of(&site, &app(100), "new:1"),
            of(&elsewhere),
            "{kind:?}"
        );
    }
}

/// Its manifest is made of remembered layers, and is the one that was taken the last time.
#[test]
fn a_docker_archive_gets_another_tag_for_two_requests() {
    for kind in kinds() {
        let site = Site::new(kind);
        let archive = site.dir.path().join("app.tar");
        docker_archive(&archive, &[app(100)]);
        cost(&site, &archive, "app:1", &[]);
        assert_eq!(cost(&site, &archive, "app:2", &[]), offered(0), "{kind:?}");
    }
}

/// Another registry of the same kind at the same address: the budget of a new image, and no more.
#[test]
fn a_registry_that_has_lost_all_costs_what_a_new_one_does() {
    for kind in kinds() {
        let mut site = Site::new(kind);
        cost_of(&site, &app(100), "app:1");
        site.lose_all();
        let cost = cost_of(&site, &app(100), "app:1");
        assert_eq!(cost, offered(10), "{kind:?}");
        assert_eq!(cost_of(&site, &app(100), "app:2"), offered(0), "{kind:?}");
    }
}

#[test]
fn with_force_nothing_is_known() {
    for kind in kinds() {
        let site = Site::new(kind);
        let path = site.layout(&app(100));
        let first = cost(&site, &path, "app:1", &["--force"]);
        let again = cost(&site, &path, "app:2", &["--force"]);
        assert_eq!(again, first, "{kind:?}");
        assert_eq!(again["PUT upload"], 10, "{kind:?}");
    }
}

/// One that takes manifests whose blobs it lacks, where one was that does not.
#[test]
fn who_looks_otherwise_is_asked_before() {
    let site = Site::new(Kind::Serve);
    cost_of(&site, &app(100), "app:1");
    let old = fs::read_to_string(site.known()).unwrap();
    assert!(old.contains("\"checks\":{"), "{old}");
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
    let host = server.address().to_string();
    let text = old.replace(&site.registry.host(), &host);
    fs::write(site.known_of(&host), text).unwrap();
    let output = hoist(["push", "-o", "json", "--cache-dir"])
        .arg(site.cache())
        .arg(site.dir.path().join("layout"))
        .arg(format!("{host}/app:2"))
        .run();
    let report = output.expect_code(0).json();
    assert_eq!(report["bytes"]["uploaded"], report["bytes"]["total"]);
    let seen = server.requests();
    let put = seen
        .iter()
        .position(|seen| seen.method == "PUT" && seen.target.contains("/manifests/"));
    assert_eq!(put, Some(seen.len() - 1), "after all blobs");
}

/// What the cache says is there, and is not, is never told to be there.
#[test]
fn nothing_is_there_because_the_cache_says_so() {
    for kind in available() {
        let site = Site::new(kind);
        cost_of(&site, &app(100), "app:1");
        let path = site.known();
        let text = fs::read_to_string(&path).unwrap();
        let mut known: Value = serde_json::from_str(&text).unwrap();
        // It has all of an image that nobody has pushed, and its manifest.
        let spec = app(200);
        let source = site.dir.path().join("other");
        let root = layout(&source, std::slice::from_ref(&spec)).remove(0);
        let blobs = fs::read_dir(source.join("blobs/sha256")).unwrap();
        let mut all = root.encoded().to_owned();
        all.extend(blobs.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
        known["repositories"]["app"]["99999"] = json!(all);
        fs::write(&path, known.to_string()).unwrap();
        let cache = site.cache();
        let options = ["--cache-dir", cache.to_str().unwrap()];
        let report = crate::support::pushing::push(&source, &site.registry, "app:3", &options);
        let report = report.expect_code(0).json();
        crate::support::pushing::read_back(&site.registry, &report);
        let statuses = report["images"][0]["blobs"].as_array().unwrap();
        let uploaded = statuses.iter().filter(|blob| blob["status"] == "uploaded");
        assert_eq!(uploaded.count(), 2, "{kind:?}: {report:#}");
        let written = fs::read_to_string(&path).unwrap();
        let after: Value = serde_json::from_str(&written).unwrap();
        let left = after["repositories"]["app"]["99999"]
            .as_str()
            .unwrap_or_default();
        let lost = spec.config_digest();
        assert!(
            !left.contains(lost.encoded()),
            "{kind:?}: seen today instead"
        );
    }
}
