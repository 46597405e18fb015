//! Every form of source to every registry, read back by digest, and pushed again.

use std::path::Path;

use hoist::image::digest::Digest;
use serde_json::{Value, json};

use crate::support::archives::{
    Form, ImageSpec, LayerSpec, Layout, containerd_archive, docker_archive, docker25_archive,
    layout,
};
use crate::support::command::hoist;
use crate::support::pushing::{arrived, count, push, read_back, requests};
use crate::support::registry::{Kind, Registry, available, on_path};

/// A folder with one source of each form; returns the names and digests that are known beforehand.
fn one_of_each(dir: &Path) -> Vec<(&'static str, Digest)> {
    let spec = |name: &str, seed: u64| ImageSpec::new(name).layer(seed, 70_000).layer(1, 9_000);
    let mut known = Vec::new();
    let found = layout(
        &dir.join("layout"),
        &[spec("forms/layout:1", 10).also("forms/layout:2")],
    );
    known.push(("forms/layout:1", found[0].clone()));
    docker_archive(
        &dir.join("old.tar"),
        &[
            spec("forms/old:1", 20),
            spec("forms/old-second:1", 21).also("forms/old-second:again"),
        ],
    );
    docker25_archive(&dir.join("new.tar"), &[spec("forms/new:1", 30)]);
    let from_containerd = containerd_archive(
        &dir.join("containerd.tar"),
        &[spec("forms/containerd:1", 40)],
    );
    known.push(("forms/containerd:1", from_containerd[0].clone()));
    let mixed = [Form::Plain, Form::Gzip, Form::Zstd]
        .into_iter()
        .enumerate();
    let mixed = mixed.fold(ImageSpec::new("forms/mixed:1"), |image, (seed, form)| {
        image.with(LayerSpec {
            seed: 50 + seed as u64,
            size: 5_000,
            form: Some(form),
        })
    });
    docker_archive(&dir.join("mixed.tar"), &[mixed]);
    known.push((
        "forms/platforms:1",
        platforms(&dir.join("deep/er/platforms")),
    ));
    known
}

/// An index of an index of two images and one image; returns its digest.
fn platforms(dir: &Path) -> Digest {
    let mut layout = Layout::create(dir);
    let image = |into: &Layout, architecture: &str, seed| {
        let spec = ImageSpec::unnamed()
            .architecture(architecture)
            .layer(seed, 4_000);
        into.image(&spec.layer(1, 9_000))
    };
    let inner = layout.index(&[image(&layout, "amd64", 60), image(&layout, "arm64", 61)]);
    let root = layout.index(&[inner, image(&layout, "s390x", 62)]);
    let digest = Digest::parse(root["digest"].as_str().unwrap()).unwrap();
    layout.enter(root, Some("forms/platforms:1"));
    layout.finish();
    digest
}

#[test]
fn every_form_arrives_at_every_registry_and_the_second_run_sends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let known = one_of_each(dir.path());
    for kind in available() {
        let registry = Registry::start(kind);
        let report = push(dir.path(), &registry, "demo/", &[])
            .expect_code(0)
            .json();
        let found = arrived(&report);
        assert_eq!(found.len(), 9, "{kind:?}: {found:#?}");
        for (name, digest) in &known {
            assert_eq!(
                found[&format!("demo/{name}")],
                digest.as_str(),
                "{kind:?}: {name}"
            );
        }
        read_back(&registry, &report);

        let again = push(dir.path(), &registry, "demo/", &[])
            .expect_code(0)
            .json();
        assert_eq!(arrived(&again), found, "{kind:?}");
        assert_eq!(again["bytes"]["uploaded"], 0, "{kind:?}: {again:#}");
        assert_eq!(again["outcome"], "ok");
    }
}

#[test]
fn the_fixtures_arrive_everywhere_and_a_known_image_costs_one_request() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let listed = hoist(["list", "-o", "json"])
        .arg(&fixtures)
        .run()
        .expect_code(0)
        .json();
    let images = listed["images"].as_array().unwrap();
    for kind in available() {
        let registry = Registry::start(kind);
        let report = push(&fixtures, &registry, "demo/", &[])
            .expect_code(0)
            .json();
        read_back(&registry, &report);
        tools_agree(&registry, &report);
        let before = registry.access().len();
        let again = push(&fixtures, &registry, "demo/", &[])
            .expect_code(0)
            .json();
        assert_eq!(arrived(&again), arrived(&report), "{kind:?}");
        assert_eq!(again["bytes"]["uploaded"], 0, "{kind:?}");
        let log = registry.access().split_off(before);
        for (image, pushed) in images.iter().zip(again["images"].as_array().unwrap()) {
            // Without a digest in the source its manifest is made, and its blobs are asked for.
            if image["digest"].is_null() {
                continue;
            }
            assert_eq!(image["digest"], pushed["digest"], "{kind:?}");
            for target in pushed["targets"].as_array().unwrap() {
                let name = target["name"].as_str().unwrap();
                let repository = name.split_once('/').unwrap().1.rsplit_once(':').unwrap().0;
                let part = format!("/v2/{repository}/");
                let asked = log
                    .iter()
                    .filter(|access| access.target.starts_with(&part))
                    .count();
                let targets = arrived(&again);
                let tags = targets
                    .keys()
                    .filter(|t| t.starts_with(&format!("{repository}:")));
                assert_eq!(asked, tags.count(), "{kind:?}: {name}: {log:#?}");
            }
        }
    }
}

#[test]
fn other_tools_read_what_was_pushed() {
    let dir = tempfile::tempdir().unwrap();
    one_of_each(dir.path());
    let registry = Registry::start(Kind::Serve);
    let report = push(dir.path(), &registry, "demo/", &[])
        .expect_code(0)
        .json();
    tools_agree(&registry, &report);
}

/// What skopeo and crane, where they are on `PATH`, say of each target.
fn tools_agree(registry: &Registry, report: &Value) {
    for (name, digest) in arrived(report) {
        let reference = format!("{}/{name}", registry.host());
        if on_path("skopeo").is_some() {
            let raw = std::process::Command::new("skopeo")
                .args(["inspect", "--raw", "--tls-verify=false"])
                .arg(format!("docker://{reference}"))
                .output()
                .unwrap();
            assert_eq!(Digest::of(&raw.stdout).as_str(), digest, "{name}");
        }
        // To crane, layers that are zstd are none, and attestations are images without layers.
        let beyond_crane = ["mixed", "zstd", "buildx", "docker-29"];
        let is_known = !beyond_crane.iter().any(|part| name.contains(part));
        if on_path("crane").is_some() && is_known {
            let valid = std::process::Command::new("crane")
                .args(["validate", "--insecure", "--remote", &reference])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&valid.stderr).into_owned();
            assert!(valid.status.success(), "{name}: {said}");
        }
    }
}

#[test]
fn docker_types_and_plain_or_zstd_layers_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("a.tar");
    docker_archive(&archive, &[ImageSpec::new("team/app:1").layer(1, 5_000)]);
    let registry = Registry::start(Kind::Serve);
    for (options, manifest_type, layer_type) in [
        (
            ["--format", "docker", "--compression", "gzip"],
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        ),
        (
            ["--format", "oci", "--compression", "none"],
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.oci.image.layer.v1.tar",
        ),
        (
            ["--format", "oci", "--compression", "zstd"],
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.oci.image.layer.v1.tar+zstd",
        ),
    ] {
        let report = push(&archive, &registry, "x/y:z", &options)
            .expect_code(0)
            .json();
        read_back(&registry, &report);
        let manifest = registry.manifest("x/y", "z").json();
        assert_eq!(manifest["mediaType"], manifest_type);
        assert_eq!(manifest["layers"][0]["mediaType"], layer_type);
    }
}

#[test]
fn one_platform_is_a_manifest_and_several_are_an_index() {
    let dir = tempfile::tempdir().unwrap();
    platforms(dir.path());
    let registry = Registry::start(Kind::Serve);
    let one = push(
        dir.path(),
        &registry,
        "p/one",
        &["--platform", "linux/arm64"],
    );
    read_back(&registry, &one.expect_code(0).json());
    let manifest = registry.manifest("p/one", "1").json();
    assert!(manifest.get("config").is_some(), "{manifest:#}");
    let options = ["--platform", "linux/arm64", "--platform", "linux/s390x"];
    let two = push(dir.path(), &registry, "p/two", &options)
        .expect_code(0)
        .json();
    read_back(&registry, &two);
    let index = registry.manifest("p/two", "1").json();
    let platforms: Vec<_> = (index["manifests"].as_array().unwrap().iter())
        .map(|entry| entry["platform"]["architecture"].clone())
        .collect();
    assert_eq!(json!(platforms), json!(["arm64", "s390x"]));
    let none = push(
        dir.path(),
        &registry,
        "p/none",
        &["--platform", "linux/riscv64"],
    );
    none.expect_code(3).expect_stderr("linux/riscv64");
}

/// Wire rule 1: what each kind of push costs, counted at the registry.
#[test]
fn requests_stay_within_the_budget() {
    let dir = tempfile::tempdir().unwrap();
    let first = dir.path().join("first");
    layout(
        &first,
        &[ImageSpec::new("team/app:1")
            .layer(1, 50_000)
            .layer(2, 9_000)],
    );
    let both = dir.path().join("both");
    let names = ImageSpec::new("team/one:1").also("team/two:1");
    layout(&both, &[names.layer(3, 50_000).layer(4, 9_000)]);
    for kind in available() {
        let registry = Registry::start(kind);
        // Whether a refused mount means "absent" shows in the first answers of a registry.
        let step = |what: &str, source: &Path, target: &str, most: usize| {
            let before = registry.access().len();
            push(source, &registry, target, &[]).expect_code(0);
            let sent = requests(&registry, before);
            assert!(
                sent.len() <= most,
                "{kind:?}, {what}: {} > {most}: {sent:#?}",
                sent.len()
            );
        };
        let blobs = 3;
        step("new image", &first, "team/app:1", 2 * blobs + 3);
        step("known image", &first, "team/app:1", 1);
        step("new tag", &first, "team/app:2", 3);
        // Two names in one push: one repository gets the blobs, the other mounts them.
        step("two repositories", &both, "two/", 2 * blobs + 3 + blobs + 3);
    }
}

#[test]
fn of_an_index_only_what_changed_is_sent() {
    let dir = tempfile::tempdir().unwrap();
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
        push(&old, &registry, "team/app:1", &[]).expect_code(0);
        let before = registry.access().len();
        push(&new, &registry, "team/app:1", &[]).expect_code(0);
        let sent = requests(&registry, before);
        assert_eq!(count(&sent, "HEAD manifest"), 2 + 10, "{kind:?}: {sent:#?}");
        assert_eq!(count(&sent, "PUT manifest"), 2, "{kind:?}: {sent:#?}");
        assert_eq!(count(&sent, "PUT upload"), 2, "{kind:?}: {sent:#?}");
        // The config and the layer of the one child that is new.
        assert!(sent.len() <= 12 + 2 + 2 * 2, "{kind:?}: {sent:#?}");
    }
}

#[test]
fn two_hundred_images_send_their_base_once() {
    let dir = tempfile::tempdir().unwrap();
    layout(dir.path(), &ImageSpec::many("many/app", 200, 3, 2_000));
    for kind in available() {
        let registry = Registry::start(kind);
        let report = push(dir.path(), &registry, "all/", &[])
            .expect_code(0)
            .json();
        assert_eq!(arrived(&report).len(), 200);
        let log = registry.access();
        let seen = |method: &str, part: &str, status: u16| {
            let is_one = |access: &&crate::support::access::Access| {
                access.method == method && access.target.contains(part) && access.status == status
            };
            log.iter().filter(is_one).count()
        };
        let blobs = |status: &str| {
            let images = report["images"].as_array().unwrap().iter();
            let all = images.flat_map(|image| image["blobs"].as_array().unwrap());
            all.filter(|blob| blob["status"] == status).count()
        };
        // Three shared layers, and of each image its own layer and its config.
        assert_eq!(blobs("uploaded"), 3 + 200 * 2, "{kind:?}");
        assert_eq!(blobs("mounted"), 199 * 3, "{kind:?}");
        assert_eq!(
            seen("PUT", "/blobs/uploads/", 201),
            blobs("uploaded"),
            "{kind:?}"
        );
        assert_eq!(seen("POST", "mount=", 201), blobs("mounted"), "{kind:?}");
        assert_eq!(seen("PUT", "/manifests/", 201), 200, "{kind:?}");
        assert_eq!(report["requests"], log.len(), "{kind:?}");
    }
}

#[test]
fn text_output_is_a_line_for_each_target() {
    let dir = tempfile::tempdir().unwrap();
    let digests = layout(
        dir.path(),
        &[ImageSpec::new("app:1").also("app:2").layer(1, 100)],
    );
    let registry = Registry::start(Kind::Serve);
    let destination = format!("{}/team/", registry.host());
    let out = hoist(["push"])
        .arg(dir.path())
        .arg(&destination)
        .run()
        .expect_code(0);
    let line = |tag: &str| format!("{destination}app:{tag}@{}", digests[0]);
    assert_eq!(out.stdout_lines(), [line("1"), line("2")]);
}

#[test]
fn options_for_made_manifests_say_when_none_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let (found, made) = (dir.path().join("layout"), dir.path().join("old.tar"));
    layout(&found, &[ImageSpec::new("app:1").layer(1, 100)]);
    docker_archive(&made, &[ImageSpec::new("app:2").layer(1, 100)]);
    let registry = Registry::start(Kind::Serve);
    let options = ["--format", "docker", "--compression-level", "1"];
    let idle = push(&found, &registry, "t/", &options).expect_code(0);
    let warnings = idle.json()["warnings"].to_string();
    for option in ["--format has no effect", "--compression has no effect"] {
        assert!(warnings.contains(option), "{idle}");
    }
    let used = push(&made, &registry, "t/", &options).expect_code(0);
    assert_eq!(used.json()["warnings"], json!([]), "{used}");
}
