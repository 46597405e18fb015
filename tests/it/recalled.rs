//! What earlier pushes have brought to a registry is made use of by later ones, from the cache.

use std::fs;

use serde_json::Value;

use crate::support::archives::{ImageSpec, docker_archive, layout};
use crate::support::command::hoist;
use crate::support::pushing::count;
use crate::support::registry::{Kind, available};
use crate::support::site::Site;

fn app() -> ImageSpec {
    (0..4).fold(ImageSpec::new("app:1"), |spec, seed| {
        spec.layer(seed, 90_000)
    })
}

#[test]
fn what_an_earlier_push_brought_is_mounted() {
    for kind in available() {
        let site = Site::new(kind);
        let source = site.layout(&app());
        site.pushed(&source, "one:1");
        let (report, sent) = site.pushed(&source, "two:1");
        let image = &report["images"][0];
        for blob in image["blobs"].as_array().unwrap() {
            assert_eq!(
                (&blob["status"], &blob["from"]),
                (&"mounted".into(), &"one".into())
            );
        }
        assert_eq!(count(&sent, "POST mount"), 5, "{kind:?}: {sent:#?}");
        assert_eq!(sent.len(), 5 + 3, "{kind:?}: {sent:#?}");
        let bytes = &report["bytes"];
        assert_eq!(bytes["mounted"], bytes["total"], "{kind:?}");
        // A layer more: what is known of `two` is asked for there.
        let (again, _) = site.pushed(&site.layout(&app().layer(9, 50_000)), "two:2");
        let statuses = again["images"][0]["blobs"].as_array().unwrap().iter();
        let mut statuses: Vec<_> = statuses.map(|blob| blob["status"].clone()).collect();
        statuses.sort_by_key(Value::to_string);
        let (present, uploaded) = ("present", "uploaded");
        let expected = [present, present, present, present, uploaded, uploaded];
        assert_eq!(statuses, expected, "{kind:?}: {again:#}");
    }
}

/// Layers are neither read nor compressed for that.
#[test]
fn compressed_layers_are_mounted_too() {
    for kind in available() {
        let site = Site::new(kind);
        let archive = site.dir.path().join("app.tar");
        docker_archive(&archive, &[app()]);
        let (first, _) = site.pushed(&archive, "one:1");
        let mut damaged = fs::read(&archive).unwrap();
        for layer in &app().layers {
            let tar = layer.tar();
            let piece = &tar[512..2048];
            let at = damaged.windows(piece.len()).position(|part| part == piece);
            damaged[at.unwrap()] ^= 1;
        }
        fs::write(&archive, damaged).unwrap();
        let (report, sent) = site.pushed(&archive, "two:1");
        assert_eq!(report["images"][0]["digest"], first["images"][0]["digest"]);
        let bytes = &report["bytes"];
        assert_eq!(bytes["mounted"], bytes["total"], "{kind:?}");
        // Each layer is weighed.
        assert_eq!(count(&sent, "HEAD blob"), 4, "{kind:?}: {sent:#?}");
        assert_eq!(count(&sent, "POST mount"), 5, "{kind:?}: {sent:#?}");
    }
}

#[test]
fn what_is_gone_is_uploaded_and_forgotten() {
    for kind in available() {
        let site = Site::new(kind);
        let source = site.layout(&app());
        let (first, _) = site.pushed(&source, "one:1");
        let root = first["images"][0]["digest"].as_str().unwrap();
        let lost = first["images"][0]["blobs"][1]["digest"].as_str().unwrap();
        let (_, lost_hex) = lost.split_once(':').unwrap();
        assert!(fs::read_to_string(site.known()).unwrap().contains(lost_hex));
        for path in [
            format!("/v2/one/manifests/{root}"),
            format!("/v2/one/blobs/{lost}"),
        ] {
            let reply = site.registry.request("DELETE", &path, &[], b"");
            assert_eq!(reply.status, 202, "{kind:?}: {path}: {}", reply.text());
        }
        let (report, _) = site.pushed(&source, "two:1");
        let blobs = report["images"][0]["blobs"].as_array().unwrap();
        for blob in blobs {
            let expected = if blob["digest"] == lost {
                "uploaded"
            } else {
                "mounted"
            };
            assert_eq!(blob["status"], expected, "{kind:?}: {blob}");
        }
        let known: Value = serde_json::from_slice(&fs::read(site.known()).unwrap()).unwrap();
        let holds = |repository: &str| {
            let days = &known["repositories"][repository];
            let mut days = days.as_object().unwrap().values();
            days.any(|day| day.as_str().unwrap().contains(lost_hex))
        };
        assert!(holds("two") && !holds("one"), "{kind:?}: {known:#}");
    }
}

/// Another registry at the same address, or one that was emptied: what was known costs some requests.
#[test]
fn a_registry_that_has_lost_all_gets_all() {
    for kind in available() {
        let mut site = Site::new(kind);
        site.pushed(&site.layout(&app()), "one:1");
        site.lose_all();
        let source = site.layout(&app());
        let (report, sent) = site.pushed(&source, "two:1");
        let bytes = &report["bytes"];
        assert_eq!(bytes["uploaded"], bytes["total"], "{kind:?}: {report:#}");
        assert_eq!(report["retries"], 0);
        // At most a HEAD for each blob that could not be mounted.
        assert!(sent.len() <= 3 * 5 + 3, "{kind:?}: {sent:#?}");
        assert_eq!(report["warnings"], Value::Array(Vec::new()));
    }
}

/// Two pushes at a time write one file, and it keeps what both have found out.
#[test]
fn pushes_at_the_same_time_keep_what_each_has_seen() {
    let site = Site::new(Kind::Serve);
    let cache = site.cache();
    let running: Vec<_> = (0..4)
        .map(|number: u64| {
            let path = site.dir.path().join(number.to_string());
            layout(&path, &[ImageSpec::new("app:1").layer(number, 3_000)]);
            let target = format!("{}/app{number}:1", site.registry.host());
            hoist(["push", "--cache-dir", cache.to_str().unwrap()])
                .arg(path)
                .arg(target)
                .spawn()
        })
        .collect();
    for push in running {
        push.wait().expect_code(0);
    }
    let known: Value = serde_json::from_slice(&fs::read(site.known()).unwrap()).unwrap();
    let repositories = known["repositories"].as_object().unwrap();
    let names: Vec<&String> = repositories.keys().collect();
    assert_eq!(names, ["app0", "app1", "app2", "app3"]);
}
