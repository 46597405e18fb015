//! Layouts and folders that are as they should be: what is in them is found, named and read.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;

use hoist::image::digest::Digest;
use hoist::image::discover::{Options, discover, discover_until};
use hoist::image::source::Body as _;
use serde_json::json;
use tempfile::tempdir;

use crate::support::archives::{
    CONFIG, Form, ImageSpec, LayerSpec, Layout, containerd_archive, docker_archive,
    docker25_archive, layout, oci_archive,
};
use crate::support::images::{assert_silent, bytes, names, refusal, tree, whole};
use crate::support::members::Members;

#[test]
fn the_same_description_gives_the_same_bytes() {
    let dir = tempdir().unwrap();
    let specs = [
        ImageSpec::new("team/app:1")
            .also("team/app:2")
            .layer(1, 4096),
        ImageSpec::unnamed()
            .architecture("arm64")
            .layer(1, 4096)
            .with(LayerSpec {
                seed: 3,
                size: 5000,
                form: Some(Form::Zstd),
            }),
    ];
    let write = |round: &str| -> Vec<Digest> {
        let at = |name: &str| dir.path().join(format!("{name}-{round}"));
        layout(&at("layout"), &specs);
        docker_archive(&at("docker"), &specs);
        docker25_archive(&at("docker25"), &specs);
        containerd_archive(&at("containerd"), &specs);
        oci_archive(&at("oci"), &specs);
        Members::of_folder(&at("layout")).write(&at("copy"));
        ["docker", "docker25", "containerd", "oci", "copy"]
            .map(|name| Digest::of(&fs::read(at(name)).unwrap()))
            .into()
    };
    let first = write("a");
    assert_eq!(first, write("b"));
    assert_eq!(first[3], first[4]);
}

#[test]
fn a_layout_gives_its_images_with_all_their_bytes() {
    let dir = tempdir().unwrap();
    let first = ImageSpec::new("registry.example/team/app:1.2").layer(1, 5000);
    let second = ImageSpec::new("nginx:latest").also("nginx:1").layer(2, 70);
    let roots = layout(dir.path(), &[first.clone(), second]);
    let images = whole(dir.path());
    assert_eq!(names(&images[0]), ["registry.example/team/app:1.2"]);
    assert_eq!(
        names(&images[1]),
        [
            "docker.io/library/nginx:latest",
            "docker.io/library/nginx:1"
        ]
    );
    assert_eq!(images.len(), 2);
    assert_eq!(images[0].identity(), &roots[0]);
    assert_eq!(images[0].platforms()[0].to_string(), "linux/amd64");
    let blobs = &tree(&images[0]).root().blobs;
    assert_eq!(blobs.len(), 2);
    assert_eq!(bytes(&blobs[0].1), first.config());
    for (descriptor, stored) in blobs {
        assert!(descriptor.digest.matches(&bytes(stored)));
        let mut rest = Vec::new();
        stored.open(7).unwrap().read_to_end(&mut rest).unwrap();
        assert_eq!(rest, bytes(stored)[7..]);
    }
}

#[test]
fn an_index_comes_after_its_children_and_each_once() {
    let dir = tempdir().unwrap();
    let mut layout = Layout::create(dir.path());
    let amd64 = layout.image(&ImageSpec::unnamed().layer(1, 100));
    let arm64 = layout.image(&ImageSpec::unnamed().architecture("arm64").layer(1, 100));
    let mut attestation = layout.manifest(&json!({
        "config": layout.blob(CONFIG, b"{}"),
        "layers": [layout.blob("application/vnd.in-toto+json", b"{\"statement\":1}")],
    }));
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    let inner = layout.index(&[amd64.clone(), attestation.clone()]);
    let outer = layout.index(&[inner.clone(), arm64.clone(), amd64.clone()]);
    layout.enter(outer.clone(), Some("team/app:1"));
    layout.finish();
    let images = whole(dir.path());
    let nodes = &tree(&images[0]).nodes;
    let found: Vec<&str> = nodes.iter().map(|n| n.manifest.digest().as_str()).collect();
    let expected = [&amd64, &attestation, &inner, &arm64, &outer];
    assert_eq!(found, expected.map(|d| d["digest"].as_str().unwrap()));
    let platforms: Vec<String> = images[0]
        .platforms()
        .iter()
        .map(|p| p.to_string())
        .collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
}

#[test]
fn the_config_tells_the_platform_when_the_index_does_not() {
    let dir = tempdir().unwrap();
    let mut layout = Layout::create(dir.path());
    let mut image = layout.image(&ImageSpec::unnamed().architecture("riscv64"));
    image.as_object_mut().unwrap().remove("platform");
    layout.enter(image, None);
    layout.finish();
    let images = whole(dir.path());
    assert_eq!(images[0].platforms()[0].to_string(), "linux/riscv64");
    assert!(images[0].names.is_empty());
}

#[test]
fn one_digest_is_one_image_with_all_its_names() {
    let dir = tempdir().unwrap();
    let spec = ImageSpec::new("a:1").layer(1, 100);
    layout(
        &dir.path().join("layout"),
        &[spec.clone().also("b:1"), spec.clone()],
    );
    docker_archive(
        &dir.path().join("saved.tar"),
        &[spec.clone(), ImageSpec::new("b:1").layer(1, 100), spec],
    );
    let images = whole(dir.path());
    assert_eq!(images.len(), 2);
    for image in &images {
        let expected = ["docker.io/library/a:1", "docker.io/library/b:1"];
        assert_eq!(names(image), expected);
    }
}

#[test]
fn what_is_no_image_is_not_found() {
    let dir = tempdir().unwrap();
    let mut layout = Layout::create(dir.path());
    let image = layout.image(&ImageSpec::unnamed().layer(1, 100));
    let config = layout.blob(CONFIG, b"{}");
    let about = layout.manifest(&json!({"config": config, "layers": [], "subject": image}));
    let chart = layout.blob("application/vnd.cncf.helm.config.v1+json", b"{}");
    let chart = layout.manifest(&json!({"config": chart, "layers": []}));
    let typed = layout.manifest(&json!({
        "config": config, "layers": [], "artifactType": "application/vnd.example",
    }));
    let mut said = layout.image(&ImageSpec::unnamed().layer(3, 1));
    said["artifactType"] = "application/vnd.example".into();
    let unnamed = layout.image(&ImageSpec::unnamed().layer(2, 100));
    for (descriptor, name) in [
        (&about, "about:1"),
        (&chart, "chart:1"),
        (&typed, "typed:1"),
        (&said, "said:1"),
        (&image, "image:1"),
    ] {
        layout.enter(descriptor.clone(), Some(name));
    }
    layout.enter(unnamed, None);
    layout.finish();
    let images = whole(dir.path());
    assert_eq!(images.len(), 1);
    assert_eq!(images[0].identity().as_str(), image["digest"]);
}

#[test]
fn foreign_layers_stay_where_they_are() {
    let dir = tempdir().unwrap();
    let mut layout = Layout::create(dir.path());
    let foreign = json!({
        "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "digest": Digest::of(b"elsewhere").as_str(),
        "size": 9,
        "urls": ["https://example.com/layer"],
    });
    let config = layout.blob(CONFIG, &ImageSpec::unnamed().config());
    let manifest = layout.manifest(&json!({"config": config, "layers": [foreign]}));
    layout.enter(manifest, Some("windows:1"));
    layout.finish();
    let images = whole(dir.path());
    assert_eq!(tree(&images[0]).root().blobs.len(), 1);
}

#[test]
fn a_folder_is_searched_in_the_order_of_names() {
    let dir = tempdir().unwrap();
    let at = |name: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    };
    let spec = |name: &str| [ImageSpec::new(name).layer(1, 100)];
    docker_archive(&at("b/c/saved.txt"), &spec("third:1"));
    layout(&at("b/a"), &spec("second:1"));
    oci_archive(&at(".hidden"), &spec("first:1"));
    layout(&at("store/team/app/_"), &spec("fourth:1"));
    layout(&at("store/team/app/more/_"), &spec("fifth:1"));
    docker_archive(&at("store/_uploads/1234"), &spec("unfinished:1"));
    fs::write(at("readme"), "no image").unwrap();
    fs::write(at("empty"), "").unwrap();
    let images = whole(dir.path());
    let found: Vec<String> = images.iter().flat_map(names).collect();
    let expected = ["first", "second", "third", "fourth", "fifth"];
    assert_eq!(found, expected.map(|n| format!("docker.io/library/{n}:1")));
}

#[test]
fn links_are_followed_when_asked_for_and_never_in_circles() {
    let dir = tempdir().unwrap();
    let elsewhere = tempdir().unwrap();
    let spec = [ImageSpec::new("app:1").layer(1, 100)];
    layout(&elsewhere.path().join("layout"), &spec);
    symlink(elsewhere.path(), dir.path().join("there")).unwrap();
    symlink(dir.path(), dir.path().join("up")).unwrap();
    symlink(elsewhere.path(), elsewhere.path().join("again")).unwrap();

    let found = discover(dir.path(), Options::default()).unwrap();
    assert!(found.images.is_empty());
    let warning = found.warnings[0].to_string();
    assert!(warning.ends_with("2 symbolic links were passed over (--follow-links follows them)"));

    let followed = discover(dir.path(), Options { follow_links: true }).unwrap();
    assert_silent(&followed);
    assert_eq!(followed.images.len(), 1);
}

#[test]
fn a_blob_that_shrinks_later_is_an_error_and_no_short_body() {
    let dir = tempdir().unwrap();
    layout(dir.path(), &[ImageSpec::new("app:1").layer(1, 5000)]);
    let images = whole(dir.path());
    let (descriptor, stored) = &tree(&images[0]).root().blobs[1];
    let path = dir.path().join(format!(
        "blobs/{}",
        descriptor.digest.as_str().replace(':', "/")
    ));
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(10)
        .unwrap();
    let error = stored
        .open(0)
        .unwrap()
        .read_to_end(&mut Vec::new())
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn a_search_ends_when_it_is_told_to() {
    let dir = tempdir().unwrap();
    let spec = |name: &str| [ImageSpec::new(name).layer(1, 100)];
    layout(&dir.path().join("a"), &spec("a:1"));
    docker_archive(&dir.path().join("b.tar"), &spec("b:1"));
    layout(&dir.path().join("c"), &spec("c:1"));
    let asked = Cell::new(0);
    let count = || asked.replace(asked.get() + 1) == usize::MAX;
    let whole = discover_until(dir.path(), Options::default(), &count).unwrap();
    assert_eq!(whole.images.len(), 3);
    // Wherever it is told: at the walk, at the headers of an archive, at the blobs of a layout.
    for most in 0..asked.get() {
        let again = Cell::new(0);
        let stopped = || again.replace(again.get() + 1) >= most;
        let found = discover_until(dir.path(), Options::default(), &stopped).unwrap();
        assert!(found.images.len() < 3, "after {most}");
        assert!(again.get() <= most + 10, "after {most}: {}", again.get());
    }
}

/// Opening one of these would wait for ever, or do something.
#[test]
fn what_is_neither_file_nor_folder_is_not_opened() {
    let dir = tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
    layout(
        &dir.path().join("z"),
        &[ImageSpec::new("app:1").layer(1, 1)],
    );
    assert_eq!(whole(dir.path()).len(), 1);
    let message = refusal(&fifo).to_string();
    assert!(
        message.ends_with("is neither a file nor a folder"),
        "{message}"
    );
}
