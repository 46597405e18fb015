//! Tags that come at once, and an `index.json` that others write or that cannot be read.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::thread;

use hoist::image::media::OCI_MANIFEST;
use serde_json::{Value, json};

use super::small_image;
use crate::support::registry::{Kind, Registry};

const TAG: &str = "org.opencontainers.image.ref.name";

fn index_json(registry: &Registry) -> PathBuf {
    registry.storage().join("a/_/index.json")
}

fn entries(registry: &Registry) -> Vec<Value> {
    let index: Value = serde_json::from_slice(&fs::read(index_json(registry)).unwrap()).unwrap();
    index["manifests"].as_array().unwrap().clone()
}

fn tags(registry: &Registry) -> Value {
    registry.get("/v2/a/tags/list").json()["tags"].take()
}

#[test]
fn tags_that_come_at_once_are_all_there_when_they_are_answered() {
    let mut registry = Registry::start(Kind::Serve);
    let images = [b"one".as_slice(), b"two"].map(|layer| small_image(&registry, "a", layer));
    let put = |tag: &str, image: &[u8]| {
        let stored = registry.put_manifest("a", tag, OCI_MANIFEST, image);
        assert_eq!(stored.status, 201, "{}", stored.text());
        let written = entries(&registry);
        assert!(written.iter().any(|entry| entry["annotations"][TAG] == tag));
    };
    thread::scope(|scope| {
        for worker in 0..8 {
            let (put, images) = (&put, &images);
            scope.spawn(move || {
                for number in 0..25 {
                    put(&format!("v{worker}-{number}"), &images[0]);
                    put("moved", &images[number % 2]);
                }
            });
        }
    });
    let names = |entries: &[Value]| -> BTreeSet<String> {
        let names = entries
            .iter()
            .map(|entry| entry["annotations"][TAG].as_str());
        names.map(|name| name.unwrap().to_owned()).collect()
    };
    let written = entries(&registry);
    assert_eq!(written.len(), 201, "each tag once");
    assert_eq!(names(&written).len(), 201);
    let before = tags(&registry);
    assert_eq!(before.as_array().unwrap().len(), 201);
    registry.kill();
    registry.start_again();
    assert_eq!(tags(&registry), before);
}

#[test]
fn what_others_write_into_the_index_counts() {
    let registry = Registry::start(Kind::Serve);
    let image = small_image(&registry, "a", b"layer");
    let put = |tag: &str| registry.put_manifest("a", tag, OCI_MANIFEST, &image).status;
    assert_eq!((put("x"), put("y")), (201, 201));
    let mut index = json!({"schemaVersion": 2, "manifests": entries(&registry)});
    index["manifests"][0]["annotations"][TAG] = json!("z");
    let new = registry.storage().join("new");
    fs::write(&new, index.to_string()).unwrap();
    fs::rename(&new, index_json(&registry)).unwrap();
    assert_eq!(tags(&registry), json!(["y", "z"]));
    assert_eq!(put("x"), 201);
    assert_eq!(tags(&registry), json!(["x", "y", "z"]));
    assert_eq!(entries(&registry).len(), 3);
}

#[test]
fn an_index_that_cannot_be_read_fails_what_needs_it_until_it_can() {
    let registry = Registry::start(Kind::Serve);
    let image = small_image(&registry, "a", b"layer");
    let put = |tag: &str| registry.put_manifest("a", tag, OCI_MANIFEST, &image).status;
    assert_eq!(put("x"), 201);
    let index = fs::read(index_json(&registry)).unwrap();
    fs::remove_file(index_json(&registry)).unwrap();
    fs::create_dir_all(index_json(&registry).join("in the way")).unwrap();
    assert_eq!(put("y"), 500);
    fs::remove_dir_all(index_json(&registry)).unwrap();
    fs::write(index_json(&registry), index).unwrap();
    assert_eq!(tags(&registry), json!(["x"]));
    assert_eq!(put("z"), 201);
    assert_eq!(tags(&registry), json!(["x", "z"]));
}
