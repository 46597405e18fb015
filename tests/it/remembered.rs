//! What plain layers became is remembered: they are read again only when a registry lacks them.

use std::fs;
use std::path::{Path, PathBuf};

use hoist::image::digest::Digest;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::support::archives::{ImageSpec, docker_archive};
use crate::support::command::Output;
use crate::support::pushing::{arrived, count, push, read_back, requests};
use crate::support::registry::{Kind, Registry, available};

/// An archive of one image, pushed to `app:1` of a registry of its own with a cache of its own.
struct Site {
    registry: Registry,
    dir: TempDir,
    spec: ImageSpec,
    first: Value,
}

impl Site {
    fn new(kind: Kind) -> Self {
        let spec = ImageSpec::new("app:1");
        let mut site = Self {
            registry: Registry::start(kind),
            dir: tempdir().unwrap(),
            spec: spec.layer(1, 3 << 20).layer(2, 90_000),
            first: Value::Null,
        };
        site.write();
        site.first = site.push("app:1", &[]).expect_code(0).json();
        read_back(&site.registry, &site.first);
        site
    }

    fn archive(&self) -> PathBuf {
        self.dir.path().join("app.tar")
    }

    fn write(&self) {
        docker_archive(&self.archive(), std::slice::from_ref(&self.spec));
    }

    /// Whoever compresses that layer from now on finds that it is not what the config says.
    fn damage(&self, layer: usize) {
        let mut bytes = fs::read(self.archive()).unwrap();
        let tar = self.spec.layers[layer].tar();
        let piece = &tar[512..2048];
        let at = bytes.windows(piece.len()).position(|part| part == piece);
        bytes[at.unwrap()] ^= 1;
        fs::write(self.archive(), bytes).unwrap();
    }

    fn push(&self, path: &str, options: &[&str]) -> Output {
        let cache = self.dir.path().join("cache");
        let mut all = options.to_vec();
        if !all.contains(&"--no-cache") {
            all.extend(["--cache-dir", cache.to_str().unwrap()]);
        }
        push(&self.archive(), &self.registry, path, &all)
    }

    /// The report of a push that goes well, and its requests.
    fn pushed(&self, path: &str, options: &[&str]) -> (Value, Vec<String>) {
        let before = self.registry.access().len();
        let report = self.push(path, options).expect_code(0).json();
        (report, requests(&self.registry, before))
    }

    fn remembered(&self) -> PathBuf {
        self.dir.path().join("cache/layers.json")
    }

    fn digest(&self) -> &Value {
        &self.first["images"][0]["digest"]
    }

    /// Digest and size of a layer in the registry, by its number in the archive.
    fn blob(&self, layer: usize) -> (String, u64) {
        let manifest = self.registry.manifest("app", "1").json();
        let layer = &manifest["layers"][layer];
        let digest = layer["digest"].as_str().unwrap().to_string();
        (digest, layer["size"].as_u64().unwrap())
    }
}

#[test]
fn a_known_archive_costs_one_request_and_its_layers_are_not_read() {
    for kind in available() {
        let site = Site::new(kind);
        assert_eq!(site.first["bytes"]["present"], 0);
        site.damage(0);
        site.damage(1);
        let (again, sent) = site.pushed("app:1", &[]);
        assert_eq!(sent, ["HEAD manifest"], "{kind:?}");
        assert_eq!(again["images"][0]["digest"], *site.digest());
        assert_eq!(again["images"][0]["status"], "present");
        assert_eq!(again["requests"], 1);
        let total = &site.first["bytes"]["total"];
        let bytes = json!({"total": total, "uploaded": 0, "resumed": 0, "mounted": 0, "present": total, "read_back": 0});
        assert_eq!(again["bytes"], bytes, "{kind:?}");
        let (tagged, asked) = site.pushed("app:2", &[]);
        assert_eq!(asked, ["HEAD manifest", "PUT manifest"], "{kind:?}");
        read_back(&site.registry, &tagged);

        for options in [&["--no-cache"][..], &["--compression-level", "3"]] {
            let output = site.push("app:new", options).expect_code(1);
            let error = output.json()["images"][0]["error"]["message"].to_string();
            assert!(error.contains("diff_id"), "{options:?}: {error}");
        }
        site.write();
        let (other, _) = site.pushed("app:3", &["--compression-level", "3"]);
        assert_ne!(other["images"][0]["digest"], *site.digest());
        site.pushed("app:4", &["--compression", "zstd"]);
        for (tag, options) in [
            ("app:1", &[][..]),
            ("app:3", &["--compression-level", "3"]),
            ("app:4", &["--compression", "zstd"]),
        ] {
            let (_, known) = site.pushed(tag, options);
            assert_eq!(known, ["HEAD manifest"], "{kind:?}: {tag}");
        }
    }
}

#[test]
fn only_layers_that_the_registry_lacks_are_made_again() {
    for kind in available() {
        let mut site = Site::new(kind);
        let (lost, size) = site.blob(1);
        for path in [
            format!("/v2/app/manifests/{}", site.digest().as_str().unwrap()),
            format!("/v2/app/blobs/{lost}"),
        ] {
            let reply = site.registry.request("DELETE", &path, &[], b"");
            assert_eq!(reply.status, 202, "{kind:?}: {path}: {}", reply.text());
        }
        site.damage(0);
        let (again, sent) = site.pushed("app:1", &[]);
        assert_eq!(again["images"][0]["digest"], *site.digest(), "{kind:?}");
        assert_eq!(again["bytes"]["uploaded"], size, "{kind:?}: {sent:#?}");
        assert_eq!(count(&sent, "PUT upload"), 1, "{kind:?}: {sent:#?}");
        read_back(&site.registry, &again);

        // As when an image is built again over the same base.
        site.spec.layers.remove(1);
        site.spec = site.spec.clone().layer(3, 50_000);
        site.write();
        site.damage(0);
        let (rebuilt, asked) = site.pushed("app:1", &[]);
        assert_eq!(count(&asked, "HEAD blob"), 1, "{kind:?}: {asked:#?}");
        read_back(&site.registry, &rebuilt);

        // Nothing of it is in another registry.
        site.write();
        site.registry = Registry::start(kind);
        let (elsewhere, _) = site.pushed("app:1", &[]);
        assert_eq!(arrived(&elsewhere), arrived(&rebuilt), "{kind:?}");
        let bytes = &elsewhere["bytes"];
        assert_eq!(bytes["uploaded"], bytes["total"], "{kind:?}");
        read_back(&site.registry, &elsewhere);
    }
}

/// A cache that is wrong costs time, and is put right.
#[test]
fn a_wrong_memory_makes_no_wrong_image() {
    for kind in available() {
        let site = Site::new(kind);
        let right: Value = serde_json::from_slice(&fs::read(site.remembered()).unwrap()).unwrap();
        let of = |layer: usize| {
            let suffix = format!(" 2 {}", site.spec.layers[layer].diff_id());
            let layers = right["layers"].as_object().unwrap();
            layers.keys().find(|key| key.ends_with(&suffix)).unwrap()
        };
        let ((first, true_size), (second, _)) = (site.blob(0), site.blob(1));
        let nothing = Digest::of(b"nothing").to_string();
        for (number, (digest, size)) in [
            (&nothing, true_size),
            (&nothing, true_size - 1),
            (&nothing, 18),
            (&second, true_size),
            (&first, true_size + 1),
            (&first, true_size - 1),
        ]
        .into_iter()
        .enumerate()
        {
            let mut wrong = right.clone();
            wrong["layers"][of(0)] = json!({"digest": digest, "size": size, "used": 1});
            fs::write(site.remembered(), wrong.to_string()).unwrap();
            let tag = format!("app:wrong{number}");
            let (report, _) = site.pushed(&tag, &[]);
            let context = format!("{kind:?}: {digest} {size}: {report:#}");
            assert_eq!(report["images"][0]["digest"], *site.digest(), "{context}");
            let warnings = report["warnings"].to_string();
            assert!(warnings.contains("beginning again"), "{context}");
            read_back(&site.registry, &report);
            let (_, sent) = site.pushed(&tag, &[]);
            assert_eq!(sent, ["HEAD manifest"], "{context}");
        }
    }
}

/// Two repositories of a registry that has nothing yet: what was wrong reaches neither.
#[test]
fn a_wrong_memory_reaches_no_repository() {
    for kind in available() {
        let mut site = Site::new(kind);
        site.spec = site.spec.clone().also("team/second:1");
        site.write();
        let text = fs::read_to_string(site.remembered()).unwrap();
        let (first, _) = site.blob(0);
        let nothing = Digest::of(b"nothing").to_string();
        fs::write(site.remembered(), text.replace(&first, &nothing)).unwrap();
        site.registry = Registry::start(kind);
        let (report, _) = site.pushed("two/", &[]);
        assert!(report["warnings"].to_string().contains("beginning again"));
        let right = site.digest().as_str().unwrap();
        let found = arrived(&report);
        assert_eq!(found.len(), 2, "{kind:?}: {found:?}");
        assert!(found.values().all(|digest| digest == right), "{found:?}");
        read_back(&site.registry, &report);
        let (_, sent) = site.pushed("two/", &[]);
        assert_eq!(sent, ["HEAD manifest"; 2], "{kind:?}");
    }
}

#[test]
fn every_fixture_costs_a_request_for_each_of_its_tags_the_second_time() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for kind in available() {
        let registry = Registry::start(kind);
        let dir = tempdir().unwrap();
        let options = ["--cache-dir", dir.path().to_str().unwrap()];
        let all = || push(&fixtures, &registry, "demo/", &options).expect_code(0);
        let first = arrived(&all().json());
        let before = registry.access().len();
        let again = all().json();
        assert_eq!(arrived(&again), first, "{kind:?}");
        let sent = requests(&registry, before);
        assert_eq!(sent, vec!["HEAD manifest"; first.len()], "{kind:?}");
    }
}
