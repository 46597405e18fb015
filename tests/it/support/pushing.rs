//! Pushes through the binary and looks at what the registry has then.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use hoist::image::digest::Digest;
use serde_json::Value;

use super::access::Access;
use super::command::{Output, hoist};
use super::registry::Registry;
use super::waiting::wait_until;

/// `hoist push -o json SOURCE registry/DESTINATION OPTIONS…`
pub(crate) fn push(source: &Path, registry: &Registry, path: &str, options: &[&str]) -> Output {
    let destination = format!("{}/{path}", registry.host());
    let mut args = vec!["push", "-o", "json", "--progress", "none"];
    args.extend(options);
    let source = source.to_str().unwrap();
    hoist(args).arg(source).arg(destination).run()
}

/// The targets that a report names as in place, without the host: `team/app:1` → digest.
pub(crate) fn arrived(report: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for image in report["images"].as_array().unwrap() {
        for target in image["targets"].as_array().unwrap() {
            if target["status"] == "pushed" || target["status"] == "present" {
                let name = target["name"].as_str().unwrap();
                let (_, name) = name.split_once('/').unwrap();
                found.insert(
                    name.to_string(),
                    image["digest"].as_str().unwrap().to_string(),
                );
            }
        }
    }
    found
}

/// Reads every target of `report` back from the registry: manifest by tag, every child, every
/// blob, each hashed.
pub(crate) fn read_back(registry: &Registry, report: &Value) {
    for (name, digest) in arrived(report) {
        let (repository, tag) = name.rsplit_once(':').unwrap();
        let reply = registry.manifest(repository, tag);
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        assert_eq!(Digest::of(&reply.body).as_str(), digest, "{name}");
        read_manifest(registry, repository, &reply.json());
    }
}

pub(crate) fn read_manifest(registry: &Registry, repository: &str, manifest: &Value) {
    let list = |key: &str| manifest[key].as_array().cloned().unwrap_or_default();
    for child in list("manifests") {
        let digest = child["digest"].as_str().unwrap();
        let reply = registry.manifest(repository, digest);
        assert_eq!(reply.status, 200, "{repository}@{digest}: {}", reply.text());
        read_manifest(registry, repository, &reply.json());
    }
    let config = manifest.get("config").cloned();
    for blob in list("layers").into_iter().chain(config) {
        let digest = blob["digest"].as_str().unwrap();
        let reply = registry.blob(repository, digest);
        assert_eq!(reply.status, 200, "{repository}@{digest}: {}", reply.text());
        assert_eq!(Digest::of(&reply.body).as_str(), digest, "{repository}");
        assert_eq!(reply.body.len() as u64, blob["size"].as_u64().unwrap());
    }
}

/// Reads everything that `manifest` names, and what its layers hold when they are unpacked; its size.
pub(crate) fn read_layers(registry: &Registry, repository: &str, manifest: &Value) -> u64 {
    let read = |blob: &Value| {
        let digest = blob["digest"].as_str().unwrap();
        let bytes = registry.blob(repository, digest).body;
        assert_eq!(Digest::of(&bytes).as_str(), digest);
        bytes
    };
    let config = read(&manifest["config"]);
    let mut size = config.len() as u64;
    let config: Value = serde_json::from_slice(&config).unwrap();
    let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), diff_ids.len());
    for (layer, diff_id) in layers.iter().zip(diff_ids) {
        let (compressed, mut plain) = (read(layer), Vec::new());
        GzDecoder::new(&compressed[..])
            .read_to_end(&mut plain)
            .unwrap();
        assert_eq!(Digest::of(&plain).as_str(), diff_id);
        size += compressed.len() as u64;
    }
    size
}

/// The requests since `before`, as `METHOD what`: `HEAD manifest`, `POST mount`, `PUT blob`, ….
pub(crate) fn requests(registry: &Registry, before: usize) -> Vec<String> {
    registry.access()[before..].iter().map(kind_of).collect()
}

/// As [`requests`], when all that the push of `report` made are there: a log may be late by some.
#[track_caller]
pub(crate) fn requests_of(report: &Value, registry: &Registry, before: usize) -> Vec<String> {
    let made = report["requests"].as_u64().unwrap();
    wait_until(|| registry.access()[before..].len() as u64 >= made);
    requests(registry, before)
}

fn kind_of(access: &Access) -> String {
    let what = if access.target.contains("/manifests/") {
        "manifest"
    } else if access.target.contains("mount=") {
        "mount"
    } else if access.target.contains("/blobs/uploads/") {
        "upload"
    } else if access.target.contains("/blobs/") {
        "blob"
    } else {
        "other"
    };
    format!("{} {what}", access.method)
}

/// How many of `requests` are `kind`.
pub(crate) fn count(requests: &[String], kind: &str) -> usize {
    requests.iter().filter(|request| *request == kind).count()
}

/// Digest and size of the largest blob of the image that was pushed to `repository`.
pub(crate) fn largest(report: &Value, repository: &str) -> (String, u64) {
    let images = report["images"].as_array().unwrap();
    let blobs = images.iter().flat_map(|i| i["blobs"].as_array().unwrap());
    let blobs = blobs.filter(|blob| blob["repository"] == repository);
    let blob = blobs.max_by_key(|b| b["size"].as_u64().unwrap()).unwrap();
    let digest = blob["digest"].as_str().unwrap().to_string();
    (digest, blob["size"].as_u64().unwrap())
}
