//! Images of which a part is not in their source: found at the target, cut down, or refused.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hoist::image::digest::Digest;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::support::archives::{CONFIG, Form, ImageSpec, Layout, MANIFEST};
use crate::support::command::hoist;
use crate::support::images::{bytes, looked, problems, tree, whole};
use crate::support::members::Members;
use crate::support::pushing::{arrived, count, push, read_back, requests};
use crate::support::registry::{Kind, Registry, available};

const FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";

/// A layout of `team/app:1` for three platforms, the first two with an attestation.
struct Platforms {
    dir: TempDir,
    images: Vec<Value>,
    root: Value,
}

impl Platforms {
    fn new() -> Self {
        Self::with(&["amd64", "arm64", "s390x"])
    }

    fn with(platforms: &[&str]) -> Self {
        let dir = tempdir().unwrap();
        let mut layout = Layout::create(dir.path());
        let spec = |name: &&str| {
            let seed = name.len() as u64 * 100 + u64::from(name.as_bytes()[1]);
            let spec = ImageSpec::unnamed().architecture(name);
            layout.image(&spec.layer(seed, 3000).layer(9, 5000))
        };
        let images: Vec<Value> = platforms.iter().map(spec).collect();
        let mut entries = images.clone();
        for image in &images[..2] {
            entries.push(attestation(&layout, image));
        }
        let root = layout.index(&entries);
        layout.enter(root.clone(), Some("team/app:1"));
        layout.finish();
        Self { dir, images, root }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn lose(&self, descriptor: &Value) {
        let name = digest(descriptor).replace(':', "/");
        fs::remove_file(self.path().join("blobs").join(name)).unwrap();
    }

    fn manifest(&self, number: usize) -> Value {
        let name = digest(&self.images[number]).replace(':', "/");
        let bytes = fs::read(self.path().join("blobs").join(name)).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }
}

fn attestation(layout: &Layout, image: &Value) -> Value {
    let about = digest(image);
    let config = layout.blob(CONFIG, format!("{{\"about\":\"{about}\"}}").as_bytes());
    let layer = layout.blob("application/vnd.in-toto+json", about.as_bytes());
    let mut descriptor = layout.manifest(&json!({"config": config, "layers": [layer]}));
    descriptor["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    descriptor["annotations"] = json!({
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": about,
    });
    descriptor
}

fn digest(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().unwrap()
}

/// The one image of a report.
fn image(report: &Value) -> &Value {
    let images = report["images"].as_array().unwrap();
    assert_eq!(images.len(), 1, "{report:#}");
    &images[0]
}

fn warnings(report: &Value) -> String {
    report["warnings"].to_string()
}

#[test]
fn what_the_target_has_already_counts_as_present() {
    for kind in available() {
        let registry = Registry::start(kind);
        let half = Platforms::new();
        half.lose(&half.images[1]);
        let layer = half.manifest(0)["layers"][0].clone();
        half.lose(&layer);

        let before = registry.access().len();
        let refused = push(half.path(), &registry, "demo/", &[]).expect_code(1);
        let report = refused.json();
        let error = &image(&report)["error"];
        assert_eq!(error["side"], "source", "{kind:?}");
        let message = error["message"].as_str().unwrap();
        for part in [
            format!("manifest {}", digest(&half.images[1])),
            format!("layer {}", digest(&layer)),
            "demo/team/app".to_owned(),
        ] {
            assert!(message.contains(&part), "{kind:?}: {message}");
        }
        assert!(
            error["hint"]
                .as_str()
                .unwrap()
                .starts_with("--partial-index"),
            "{error}"
        );
        let asked = requests(&registry, before);
        assert_eq!(count(&asked, "POST upload"), 0, "{kind:?}: {asked:?}");
    }
}

#[test]
fn an_index_goes_whole_where_the_target_has_the_rest() {
    for kind in available() {
        let registry = Registry::start(kind);
        push(
            Platforms::new().path(),
            &registry,
            "demo/",
            &["--tag", "other"],
        )
        .expect_code(0);
        // New but for two platforms, of which one lacks its manifest and the other a layer.
        let thin = Platforms::with(&["amd64", "arm64", "riscv64"]);
        thin.lose(&thin.images[1]);
        thin.lose(&thin.manifest(0)["layers"][0]);
        let before = registry.access().len();
        let report = push(thin.path(), &registry, "demo/", &[])
            .expect_code(0)
            .json();
        read_back(&registry, &report);
        assert_eq!(arrived(&report)["demo/team/app:1"], digest(&thin.root));
        let asked = requests(&registry, before);
        assert!(count(&asked, "HEAD blob") > 0, "{kind:?}: {asked:?}");
    }
}

#[test]
fn a_whole_one_in_another_source_helps() {
    let (thin, whole, dir) = (Platforms::new(), Platforms::new(), tempdir().unwrap());
    thin.lose(&thin.images[1]);
    thin.lose(&thin.manifest(0)["layers"][0]);
    // The thin one is found first.
    for (name, platforms) in [("a", &thin), ("b", &whole)] {
        let path = dir.path().join(name);
        Members::of_folder(platforms.path()).write(&path);
    }
    let registry = Registry::start(Kind::Serve);
    let report = push(dir.path(), &registry, "demo/", &["--fail-fast"])
        .expect_code(0)
        .json();
    read_back(&registry, &report);
    let images = report["images"].as_array().unwrap();
    assert!(images.iter().all(|image| image["status"] == "pushed"));
    assert_eq!(images.len(), 2);
}

#[test]
fn docker_archives_push_the_platforms_they_hold() {
    for kind in available() {
        let registry = Registry::start(kind);
        for (lost, kept) in [(&[1, 2][..], 1), (&[1], 3)] {
            let platforms = Platforms::new();
            for number in lost {
                platforms.lose(&platforms.images[*number]);
            }
            let manifest = platforms.manifest(0);
            let file =
                |descriptor: &Value| format!("blobs/{}", digest(descriptor).replace(':', "/"));
            let layers = manifest["layers"].as_array().unwrap();
            let items = json!([{
                "Config": file(&manifest["config"]),
                "RepoTags": ["team/app:1"],
                "Layers": layers.iter().map(file).collect::<Vec<_>>(),
            }]);
            fs::write(platforms.path().join("manifest.json"), items.to_string()).unwrap();
            let archive = tempdir().unwrap();
            let path = archive.path().join("saved.tar");
            Members::of_folder(platforms.path()).write(&path);

            let prefix = format!("kept-{kept}/");
            let report = push(&path, &registry, &prefix, &[]).expect_code(0).json();
            read_back(&registry, &report);
            let said = warnings(&report);
            assert!(said.contains("team/app:1 is here only in part"), "{said}");
            assert!(said.contains("linux/arm64"), "{said}");
            let reply = registry.manifest(&format!("{prefix}team/app"), "1").json();
            match kept {
                1 => assert_eq!(image(&report)["digest"], platforms.images[0]["digest"]),
                _ => assert_eq!(reply["manifests"].as_array().unwrap().len(), kept),
            }
        }
    }
}

#[test]
fn elsewhere_the_option_says_so() {
    let platforms = Platforms::new();
    platforms.lose(&platforms.images[2]);
    let registry = Registry::start(Kind::Serve);
    let report = push(platforms.path(), &registry, "demo/", &["--partial-index"])
        .expect_code(0)
        .json();
    read_back(&registry, &report);
    assert!(warnings(&report).contains("without linux/s390x"));
    let reply = registry.manifest("demo/team/app", "1").json();
    assert_eq!(reply["manifests"].as_array().unwrap().len(), 4);

    let listed = hoist(["list", "-o", "json", "--partial-index"])
        .arg(platforms.path())
        .run()
        .expect_code(0)
        .json();
    assert_eq!(listed["images"][0]["digest"], image(&report)["digest"]);
    assert!(warnings(&listed).contains("without linux/s390x"));
    // A list has no target that could hold the rest.
    let plain = hoist(["list", "-o", "json"])
        .arg(platforms.path())
        .run()
        .expect_code(1)
        .json();
    let said = plain["broken"][0]["problems"].to_string();
    let missing = format!("manifest {} is missing", digest(&platforms.images[2]));
    assert!(said.contains(&missing), "{said}");
    // A platform that is whole needs nothing else.
    let one = hoist(["list", "-o", "json", "--platform", "linux/arm64"])
        .arg(platforms.path())
        .run()
        .expect_code(0)
        .json();
    assert_eq!(one["images"][0]["digest"], platforms.images[1]["digest"]);
    assert_eq!(one["warnings"], json!([]));
}

#[test]
fn what_is_wrong_is_never_what_is_elsewhere() {
    let platforms = Platforms::new();
    platforms.lose(&platforms.images[2]);
    let layer = platforms.manifest(0)["layers"][0].clone();
    let name = digest(&layer).replace(':', "/");
    fs::write(platforms.path().join("blobs").join(name), b"cut").unwrap();
    let said = problems(platforms.path());
    assert!(
        said[0].contains("has 3 bytes, its descriptor says"),
        "{said:?}"
    );
    let missing = format!("manifest {} is missing", digest(&platforms.images[2]));
    assert!(said.contains(&missing), "{said:?}");
    let registry = Registry::start(Kind::Serve);
    push(platforms.path(), &registry, "demo/", &["--partial-index"]).expect_code(1);
}

#[test]
fn an_index_of_nothing_that_is_here_is_asked_for_only_so_often() {
    for (children, words) in [
        (1000, None),
        (1001, Some("more than 1000 blobs and manifests are missing")),
    ] {
        let dir = tempdir().unwrap();
        let mut layout = Layout::create(dir.path());
        let child = |n: usize| {
            let digest = Digest::of(n.to_string().as_bytes());
            json!({"mediaType": MANIFEST, "digest": digest.as_str(), "size": 9})
        };
        let root = layout.index(&(0..children).map(child).collect::<Vec<_>>());
        layout.enter(root, Some("many:1"));
        layout.finish();
        match words {
            None => assert_eq!(tree(&whole(dir.path())[0]).missing().len(), children),
            Some(words) => assert_eq!(problems(dir.path())[0], words),
        }
    }
}

#[test]
fn bytes_in_descriptors_count_as_present() {
    let dir = tempdir().unwrap();
    let mut layout = Layout::create(dir.path());
    let spec = ImageSpec::unnamed().layer(1, 300);
    let inline = |bytes: &[u8], descriptor: &mut Value| {
        descriptor["data"] = STANDARD.encode(bytes).into();
        fs::remove_file(layout.blob_path(digest(descriptor))).unwrap();
    };
    let mut config = layout.blob(CONFIG, &spec.config());
    let mut layer = layout.layer(&spec.layers[0]);
    inline(&spec.config(), &mut config);
    inline(&spec.layers[0].stored(Form::Gzip), &mut layer);
    let mut manifest = layout.manifest(&json!({"config": config, "layers": [layer]}));
    let path = layout.blob_path(digest(&manifest));
    inline(&fs::read(path).unwrap(), &mut manifest);
    let root = layout.index(&[manifest]);
    layout.enter(root, Some("team/inline:1"));
    layout.finish();
    let images = whole(dir.path());
    let tree = tree(&images[0]);
    assert!(tree.missing().is_empty());
    assert_eq!(images[0].platforms()[0].to_string(), "linux/amd64");
    for (descriptor, stored) in &tree.nodes[0].blobs {
        assert!(descriptor.digest.matches(&bytes(stored)));
    }
    for kind in available() {
        let registry = Registry::start(kind);
        let report = push(dir.path(), &registry, "demo/", &[])
            .expect_code(0)
            .json();
        read_back(&registry, &report);
    }
}

#[test]
fn data_that_is_something_else_is_told() {
    let good = STANDARD.encode(b"{}");
    let other = STANDARD.encode(b"[]");
    for (data, size, words) in [
        ("%%%", 2, "the data in its descriptor is no base64"),
        (
            &other,
            2,
            "the data in its descriptor is not what that describes",
        ),
        (
            &good,
            3,
            "the data in its descriptor is not what that describes",
        ),
    ] {
        let dir = tempdir().unwrap();
        let mut layout = Layout::create(dir.path());
        let spec = ImageSpec::unnamed().layer(1, 300);
        let config = json!({
            "mediaType": CONFIG, "digest": Digest::of(b"{}").as_str(), "size": size, "data": data,
        });
        let layer = layout.layer(&spec.layers[0]);
        let manifest = layout.manifest(&json!({"config": config, "layers": [layer]}));
        layout.enter(manifest, Some("app:1"));
        layout.finish();
        let said = problems(dir.path());
        assert!(said[0].contains(words), "{said:?}");
    }
}

/// A layout with a foreign layer, which is there or not, and has a URL or not.
fn foreign(has_bytes: bool, has_url: bool) -> TempDir {
    let dir = tempdir().unwrap();
    let mut layout = Layout::create(dir.path());
    let spec = ImageSpec::unnamed().layer(1, 300).layer(2, 400);
    let config = layout.blob(CONFIG, &spec.config());
    let mut base = layout.layer(&spec.layers[0]);
    base["mediaType"] = FOREIGN.into();
    if has_url {
        base["urls"] = json!(["https://example.com/layer"]);
    }
    if !has_bytes {
        fs::remove_file(layout.blob_path(digest(&base))).unwrap();
    }
    let layers = [base, layout.layer(&spec.layers[1])];
    let manifest = layout.manifest(&json!({"config": config, "layers": layers}));
    layout.enter(manifest, Some("windows:1"));
    layout.finish();
    dir
}

#[test]
fn foreign_layers_are_sent_on_request() {
    // Bytes, URL, with --push-foreign: uploads, or none where it fails.
    for (has_bytes, has_url, asked, expected) in [
        (true, true, false, Some(2)),
        (true, true, true, Some(3)),
        (false, true, false, Some(2)),
        (false, true, true, Some(2)),
        (true, false, true, Some(3)),
        (true, false, false, None),
        (false, false, true, None),
    ] {
        let row = format!("bytes {has_bytes}, url {has_url}, asked {asked}");
        let dir = foreign(has_bytes, has_url);
        let registry = Registry::start(Kind::Serve);
        let options: &[&str] = if asked { &["--push-foreign"] } else { &[] };
        let output = push(dir.path(), &registry, "demo/", options);
        let report = output.json();
        match expected {
            Some(blobs) => {
                assert_eq!(report["exit_code"], 0, "{row}: {report:#}");
                let sent = image(&report)["blobs"].as_array().unwrap();
                assert_eq!(sent.len(), blobs, "{row}: {report:#}");
                assert!(
                    arrived(&report).contains_key("demo/library/windows:1")
                        || arrived(&report).contains_key("demo/windows:1"),
                    "{row}"
                );
            }
            None => {
                assert_eq!(report["exit_code"], 1, "{row}: {report:#}");
                let error = &image(&report)["error"];
                let hint = error["hint"].as_str().unwrap();
                assert!(hint.starts_with("--push-foreign"), "{row}: {hint}");
            }
        }
    }
}

#[test]
fn every_registry_takes_what_is_asked_of_foreign_layers() {
    let dir = foreign(true, false);
    for kind in available() {
        let registry = Registry::start(kind);
        let report = push(dir.path(), &registry, "demo/", &["--push-foreign"])
            .expect_code(0)
            .json();
        read_back(&registry, &report);
    }
}

#[test]
fn artifacts_and_referrers_are_no_images_and_attestations_stay() {
    let dir = tempdir().unwrap();
    let mut layout = Layout::create(dir.path());
    let spec = ImageSpec::unnamed().layer(1, 300);
    let image = layout.image(&spec);
    let config = layout.blob(CONFIG, &spec.config());
    let signature = layout.manifest(&json!({
        "config": config, "layers": [], "subject": {
            "mediaType": MANIFEST, "digest": image["digest"], "size": image["size"],
        },
    }));
    let chart = layout.blob("application/vnd.cncf.helm.config.v1+json", b"{}");
    let chart = layout.manifest(&json!({"config": chart, "layers": []}));
    let kind = layout.manifest(&json!({
        "artifactType": "application/example", "config": config, "layers": [],
    }));
    let about = attestation(&layout, &image);
    let root = layout.index(&[image, about]);
    for (entry, name) in [
        (root.clone(), "app:1"),
        (signature, "app:sig"),
        (chart, "chart:1"),
        (kind, "kind:1"),
    ] {
        layout.enter(entry, Some(name));
    }
    layout.finish();
    let found = looked(dir.path());
    assert!(found.broken.is_empty(), "{:?}", found.broken);
    assert_eq!(found.images.len(), 1);
    assert_eq!(found.images[0].identity().as_str(), digest(&root));
    assert_eq!(tree(&found.images[0]).nodes.len(), 3);
}
