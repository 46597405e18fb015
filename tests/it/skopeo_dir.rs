//! Folders that `skopeo copy … dir:` writes, good and bad.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use hoist::image::discover::{Options, discover};
use serde_json::json;
use tempfile::{TempDir, tempdir};

use crate::support::archives::{ImageSpec, Layout};
use crate::support::images::{bytes, looked, problems, tree, whole};
use crate::support::pushing::{arrived, push, read_back};
use crate::support::registry::{Registry, available};

/// An image for two platforms, as `skopeo copy --all` writes it.
fn folder() -> TempDir {
    let dir = tempdir().unwrap();
    let room = tempdir().unwrap();
    let layout = Layout::create(room.path());
    let image = |architecture, seed| {
        let spec = ImageSpec::unnamed().architecture(architecture);
        layout.image(&spec.layer(1, 4000).layer(seed, 900))
    };
    let children = [image("amd64", 2), image("arm64", 3)];
    let index = layout.index(&children);
    fs::write(
        dir.path().join("version"),
        "Directory Transport Version: 1.1\n",
    )
    .unwrap();
    for blob in fs::read_dir(room.path().join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        let hex = blob.file_name().into_string().unwrap();
        let is = |descriptor: &serde_json::Value| descriptor["digest"] == format!("sha256:{hex}");
        let name = match () {
            () if is(&index) => "manifest.json".to_owned(),
            () if children.iter().any(is) => format!("{hex}.manifest.json"),
            () => hex.clone(),
        };
        fs::copy(blob.path(), dir.path().join(name)).unwrap();
    }
    dir
}

/// The path of the layer that only the first platform has.
fn a_layer(dir: &Path) -> std::path::PathBuf {
    let images = whole(dir);
    let (descriptor, _) = &tree(&images[0]).nodes[0].blobs[2];
    dir.join(descriptor.digest.encoded())
}

#[test]
fn it_is_one_image_with_the_digest_it_had() {
    let dir = folder();
    let images = whole(dir.path());
    assert_eq!(images.len(), 1);
    let manifest = fs::read(dir.path().join("manifest.json")).unwrap();
    assert!(images[0].identity().matches(&manifest));
    assert!(images[0].names.is_empty());
    assert_eq!(images[0].platforms().len(), 2);
    for (descriptor, stored) in tree(&images[0]).nodes.iter().flat_map(|node| &node.blobs) {
        assert!(descriptor.digest.matches(&bytes(stored)));
    }
    // In a walk too, beside others.
    let above = tempdir().unwrap();
    fs::rename(dir.path(), above.path().join("My.App")).unwrap();
    fs::create_dir(dir.path()).unwrap();
    for kind in available() {
        let registry = Registry::start(kind);
        let report = push(above.path(), &registry, "t/", &[])
            .expect_code(0)
            .json();
        let found = arrived(&report);
        assert_eq!(found["t/my.app:latest"], images[0].identity().as_str());
        read_back(&registry, &report);
    }
}

#[test]
fn what_is_wrong_with_it_is_told() {
    for (name, content, words) in [
        (
            "manifest.json",
            "{",
            "manifest.json is no valid manifest: EOF",
        ),
        (
            "manifest.json",
            "",
            "manifest.json is no valid manifest: EOF",
        ),
        (
            "manifest.json",
            r#"{"schemaVersion":1}"#,
            "manifest.json has schemaVersion 1",
        ),
    ] {
        let dir = folder();
        fs::write(dir.path().join(name), content).unwrap();
        let problems = problems(dir.path());
        assert!(problems[0].starts_with(words), "{problems:?}");
    }
    let dir = folder();
    let huge = vec![b' '; (4 << 20) + 1];
    fs::write(dir.path().join("manifest.json"), huge).unwrap();
    let expected = "manifest.json has 4194305 bytes, more than 4 MiB";
    assert_eq!(problems(dir.path()), [expected]);
}

#[test]
fn a_blob_of_it_is_whole_or_missing_or_wrong() {
    let dir = folder();
    let layer = a_layer(dir.path());
    let hex = layer.file_name().unwrap().to_str().unwrap().to_owned();
    let expect = |words: &str| {
        let problems = problems(dir.path());
        let expected = format!("layer sha256:{hex} {words}");
        assert!(problems[0].starts_with(&expected), "{problems:?}");
        assert_eq!(problems.len(), 1);
    };
    fs::write(&layer, b"short").unwrap();
    expect("has 5 bytes, its descriptor says");
    fs::remove_file(&layer).unwrap();
    let images = whole(dir.path());
    let missing = tree(&images[0]).missing();
    assert_eq!(missing.len(), 1, "it may be at the target");
    let outside = tempdir().unwrap();
    fs::write(outside.path().join("blob"), b"elsewhere").unwrap();
    symlink(outside.path().join("blob"), &layer).unwrap();
    expect("is a link that leaves the layout (--follow-links allows it)");
}

#[test]
fn what_only_looks_like_one_is_none() {
    let dir = folder();
    for version in ["", "1.0\n", "Directory Transport Version"] {
        fs::write(dir.path().join("version"), version).unwrap();
        assert!(looked(dir.path()).images.is_empty(), "{version:?}");
    }
    fs::remove_file(dir.path().join("version")).unwrap();
    let fifo = dir.path().join("version");
    assert!(Command::new("mkfifo").arg(fifo).status().unwrap().success());
    assert!(looked(dir.path()).images.is_empty());

    // An artifact is one as little as elsewhere.
    let chart = tempdir().unwrap();
    let room = Layout::create(&chart.path().join("room"));
    let config = room.blob("application/vnd.cncf.helm.config.v1+json", b"{}");
    let manifest = room.manifest(&json!({"config": config, "layers": []}));
    let written = room.blob_path(manifest["digest"].as_str().unwrap());
    let path = chart.path().join("chart");
    fs::create_dir(&path).unwrap();
    fs::copy(written, path.join("manifest.json")).unwrap();
    fs::write(path.join("version"), "Directory Transport Version: 1.1\n").unwrap();
    let found = discover(&path, Options::default()).unwrap();
    assert!(found.images.is_empty() && found.broken.is_empty());
}
