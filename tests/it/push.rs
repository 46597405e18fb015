//! Every form of source to every registry, read back by digest, and pushed again.

use std::path::Path;
use std::process::Command;

use hoist::image::digest::Digest;
use serde_json::{Value, json};

use crate::support::archives::{
    Form, ImageSpec, LayerSpec, Layout, containerd_archive, docker_archive, docker25_archive,
    layout,
};
use crate::support::command::hoist;
use crate::support::programs::on_path;
use crate::support::pushing::{arrived, push, read_back};
use crate::support::registry::{Kind, Registry, available};

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
            let raw = short_lived("skopeo")
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
            let valid = short_lived("crane")
                .args(["validate", "--insecure", "--remote", &reference])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&valid.stderr).into_owned();
            assert!(valid.status.success(), "{name}: {said}");
        }
    }
}

/// A Go program that ends before its garbage matters.
fn short_lived(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("GOGC", "off");
    command
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
