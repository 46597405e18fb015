//! A runner that remembers nothing finds out from the tag's image what need not be compressed again.

mod lies;

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::support::archives::{ImageSpec, docker_archive, layout};
use crate::support::command::{Output, hoist};
use crate::support::pushing::{arrived, count, push, read_back, requests};
use crate::support::registry::{Kind, Registry, available};
use crate::support::scripted::{Scripted, answer, on};

/// A registry, and an archive that is pushed there by somebody without a cache.
struct Site {
    registry: Registry,
    dir: TempDir,
    spec: ImageSpec,
}

impl Site {
    /// Nothing is pushed yet.
    fn new(kind: Kind) -> Self {
        let spec = ImageSpec::new("app:1");
        let site = Self {
            registry: Registry::start(kind),
            dir: tempdir().unwrap(),
            spec: spec
                .layer(1, 1_200_000)
                .layer(2, 90_000)
                .layer(3, 70_000)
                .layer(4, 1_200_000),
        };
        site.write();
        site
    }

    fn archive(&self) -> PathBuf {
        self.dir.path().join("app.tar")
    }

    fn write(&self) {
        docker_archive(&self.archive(), std::slice::from_ref(&self.spec));
    }

    /// Builds it again with another layer at the top.
    fn rebuild(&mut self) {
        self.spec.layers.pop();
        self.spec = self.spec.clone().layer(5, 1_200_000);
        self.write();
    }

    /// Whoever compresses one of these layers from now on finds that it is not what the config says.
    fn damage(&self, layers: std::ops::Range<usize>) {
        let mut bytes = fs::read(self.archive()).unwrap();
        for layer in &self.spec.layers[layers] {
            let tar = layer.tar();
            let piece = &tar[512..2048];
            let at = bytes.windows(piece.len()).position(|part| part == piece);
            bytes[at.unwrap()] ^= 1;
        }
        fs::write(self.archive(), bytes).unwrap();
    }

    fn push(&self, path: &str, options: &[&str]) -> Output {
        let options = [options, &["--no-cache"]].concat();
        push(&self.archive(), &self.registry, path, &options)
    }

    /// The report of a push that goes well, and its requests.
    fn pushed(&self, path: &str, options: &[&str]) -> (Value, Vec<String>) {
        let before = self.registry.access().len();
        let report = self.push(path, options).expect_code(0).json();
        (report, requests(&self.registry, before))
    }

    /// What the archive becomes where nobody knows anything of it.
    fn right(&self) -> Value {
        let elsewhere = Registry::start(Kind::Serve);
        let report = push(&self.archive(), &elsewhere, "app:1", &["--no-cache"]);
        report.expect_code(0).json()["images"][0]["digest"].clone()
    }

    /// What another tool makes of the same image: other bytes, the same config.
    fn push_as_another(&self, path: &str) -> Value {
        let folder = self.dir.path().join("layout");
        layout(&folder, std::slice::from_ref(&self.spec));
        let report = push(&folder, &self.registry, path, &["--no-cache"]).expect_code(0);
        report.json()["images"][0]["digest"].clone()
    }

    fn layers(&self, tag: &str) -> Vec<Value> {
        let manifest = self.registry.manifest("app", tag).json();
        manifest["layers"].as_array().unwrap().clone()
    }
}

#[test]
fn an_archive_that_is_there_costs_one_request_and_is_not_read() {
    for kind in available() {
        let site = Site::new(kind);
        let (first, new) = site.pushed("app:1", &[]);
        assert_eq!(count(&new, "HEAD manifest"), 0, "{kind:?}: {new:#?}");
        let digest = &first["images"][0]["digest"];
        site.damage(0..4);
        let (again, sent) = site.pushed("app:1", &[]);
        assert_eq!(sent, ["GET manifest"], "{kind:?}");
        assert_eq!(again["images"][0]["digest"], *digest);
        assert_eq!(again["images"][0]["status"], "present");
        let total = &first["bytes"]["total"];
        let bytes = json!({"total": total, "uploaded": 0, "resumed": 0, "mounted": 0, "present": total, "read_back": 0});
        assert_eq!(again["bytes"], bytes, "{kind:?}");
        // A new tag alone tells nothing, one that is there beside it does.
        site.push("app:2", &[]).expect_code(1);
        let (tagged, asked) = site.pushed("app:2", &["--tag", "1"]);
        let put = ["GET manifest", "GET manifest", "PUT manifest"];
        assert_eq!(asked, put, "{kind:?}");
        assert_eq!(arrived(&tagged)["app:2"], digest.as_str().unwrap());
        read_back(&site.registry, &tagged);
    }
}

#[test]
fn what_is_there_in_another_form_is_made_anew() {
    for kind in available() {
        let site = Site::new(kind);
        let (first, _) = site.pushed("app:1", &[]);
        let digest = &first["images"][0]["digest"];
        site.damage(0..4);
        // Of a level manifests know nothing.
        let is_known = |options: &[&str], request: &str| {
            let (_, sent) = site.pushed("app:1", options);
            assert_eq!(sent, [request], "{kind:?}: {options:?}");
        };
        is_known(&["--compression-level", "9"], "GET manifest");
        let (docker, asked) = site.pushed("app:1", &["--format", "docker"]);
        assert_eq!(count(&asked, "GET blob"), 0, "{kind:?}: {asked:#?}");
        assert_eq!(docker["bytes"]["uploaded"], 0, "{kind:?}: {asked:#?}");
        assert_ne!(docker["images"][0]["digest"], *digest);
        read_back(&site.registry, &docker);
        is_known(&["--format", "docker"], "GET manifest");
        let others = [
            (["--compression", "zstd"], "GET manifest"),
            (["--compression", "none"], "HEAD manifest"),
        ];
        for (options, _) in others {
            site.push("app:1", &options).expect_code(1);
        }
        site.write();
        for (options, request) in others {
            let (other, _) = site.pushed("app:1", &options);
            assert_ne!(other["images"][0]["digest"], *digest, "{options:?}");
            read_back(&site.registry, &other);
            is_known(&options, request);
        }
    }
}

#[test]
fn of_a_rebuilt_image_only_the_new_layer_is_compressed() {
    for kind in available() {
        let mut site = Site::new(kind);
        site.pushed("app:1", &[]);
        site.rebuild();
        let right = site.right();
        site.damage(0..3);
        let (report, sent) = site.pushed("app:1", &[]);
        assert_eq!(report["images"][0]["digest"], right, "{kind:?}");
        for (what, expected) in [
            ("GET manifest", 1),
            ("GET blob", 1),
            ("HEAD blob", 3),
            ("PUT upload", 2),
            ("PUT manifest", 1),
            ("HEAD manifest", 0),
        ] {
            assert_eq!(count(&sent, what), expected, "{kind:?}: {what}: {sent:#?}");
        }
        assert_eq!(sent.len(), 10, "{kind:?}: {sent:#?}");
        assert_eq!(report["requests"], 10);
        read_back(&site.registry, &report);
        assert_eq!(report["warnings"], json!([]));
    }
}

#[test]
fn what_another_tool_pushed_counts_as_well_but_is_not_remembered() {
    for kind in available() {
        let mut site = Site::new(kind);
        let found = site.push_as_another("app:1");
        let right = site.right();
        assert_ne!(found, right);
        site.damage(0..4);
        let cache = site.dir.path().join("cache");
        let folder = cache.to_str().unwrap();
        let again = push(
            &site.archive(),
            &site.registry,
            "app:1",
            &["--cache-dir", folder],
        );
        let again = again.expect_code(0).json();
        assert_eq!(again["images"][0]["digest"], found, "{kind:?}");
        assert_eq!(again["requests"], 1);
        assert!(!cache.join("layers.json").exists());

        let theirs = site.layers("1");
        site.rebuild();
        site.damage(0..3);
        let rebuilt = push(
            &site.archive(),
            &site.registry,
            "app:1",
            &["--cache-dir", folder],
        );
        let rebuilt = rebuilt.expect_code(0).json();
        let ours = site.layers("1");
        assert_eq!(ours[..3], theirs[..3], "{kind:?}");
        assert_ne!(ours[3], theirs[3]);
        read_back(&site.registry, &rebuilt);
        let known = fs::read_to_string(cache.join("layers.json")).unwrap();
        let knows = |layer: &Value| known.contains(layer["digest"].as_str().unwrap());
        assert!(knows(&ours[3]) && !ours[..3].iter().any(knows), "{known}");
    }
}

#[test]
fn ten_images_that_are_there_cost_ten_requests() {
    for kind in available() {
        let registry = Registry::start(kind);
        let dir = tempdir().unwrap();
        let archive = dir.path().join("all.tar");
        docker_archive(&archive, &ImageSpec::many("team/app", 10, 3, 50_000));
        let all = || push(&archive, &registry, "", &["--no-cache"]).expect_code(0);
        let first = arrived(&all().json());
        assert_eq!(first.len(), 10);
        let before = registry.access().len();
        assert_eq!(arrived(&all().json()), first, "{kind:?}");
        let sent = requests(&registry, before);
        assert_eq!(sent, vec!["GET manifest"; 10], "{kind:?}");
    }
}

/// Found in one repository, wanted in two: the other one mounts.
#[test]
fn a_second_repository_gets_what_the_first_has() {
    for kind in available() {
        let mut site = Site::new(kind);
        let found = site.push_as_another("app:1");
        site.spec = site.spec.clone().also("team/second:1");
        site.write();
        site.damage(0..4);
        let (report, sent) = site.pushed("", &[]);
        let digest = found.as_str().unwrap();
        let names = arrived(&report);
        assert_eq!(names["app:1"], digest, "{kind:?}");
        assert_eq!(names["team/second:1"], digest, "{kind:?}");
        read_back(&site.registry, &report);
        assert_eq!(count(&sent, "POST mount"), 5, "{kind:?}: {sent:#?}");
        assert_eq!(sent.len(), 2 + 1 + 5 + 1, "{kind:?}: {sent:#?}");
    }
}

/// Where it can be neither found nor mounted, and becomes something else when it is compressed.
#[test]
fn what_cannot_be_had_is_compressed_after_all() {
    let mut site = Site::new(Kind::Serve);
    site.push_as_another("app:1");
    site.spec = site.spec.clone().also("team/second:1");
    site.write();
    let no_mounts = on("POST", "/v2/team/second/").containing("from=app");
    let before = site.registry.address();
    let server = Scripted::before(before, [no_mounts.then(answer(404))]);
    let destination = format!("localhost:{}/", server.address().port());
    let output = hoist(["push", "-o", "json", "--no-cache"])
        .arg(site.archive())
        .arg(destination)
        .run();
    let report = output.expect_code(0).json();
    assert!(report["warnings"].to_string().contains("beginning again"));
    let right = site.right();
    let names = arrived(&report);
    assert_eq!(names.len(), 2);
    assert!(names.values().all(|digest| *digest == right), "{names:?}");
    read_back(&site.registry, &report);
}
