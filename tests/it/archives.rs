//! Archives that are as they should be: docker-save and OCI, in every form that tools write.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;

use hoist::image::digest::Digest;
use hoist::image::source::{Body as _, Image, LayerForm};
use serde_json::json;
use tar::EntryType;
use tempfile::tempdir;

use crate::support::archives::{
    Form, ImageSpec, LayerSpec, Layout, containerd_archive, docker_archive, docker25_archive,
    oci_archive,
};
use crate::support::images::{bytes, looked, names, parts, tree, whole};
use crate::support::members::Members;

fn formed(seed: u64, form: Form) -> LayerSpec {
    LayerSpec {
        seed,
        size: 3000,
        form: Some(form),
    }
}

#[test]
fn an_oci_archive_gives_what_its_layout_gives() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("app.anything");
    let specs = ImageSpec::many("team/app", 3, 2, 2000);
    let roots = oci_archive(&path, &specs);
    let images = whole(&path);
    let found: Vec<&Digest> = images.iter().map(Image::identity).collect();
    assert_eq!(found, roots.iter().collect::<Vec<_>>());
    for (descriptor, stored) in &tree(&images[2]).root().blobs {
        assert!(descriptor.digest.matches(&bytes(stored)));
    }
}

#[test]
fn a_docker_archive_gives_configs_and_layers() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("saved");
    let shared = ImageSpec::new("a:1").layer(1, 3000);
    let specs = [
        shared.clone(),
        ImageSpec::new("b:1").layer(1, 3000).layer(2, 10),
    ];
    let configs = docker_archive(&path, &specs);
    let images = whole(&path);
    assert_eq!(images[0].identity(), &configs[0]);
    assert_eq!(names(&images[1]), ["docker.io/library/b:1"]);
    let (a, b) = (parts(&images[0]), parts(&images[1]));
    assert_eq!(a.config.as_ref(), shared.config());
    assert_eq!(a.platform.as_ref().unwrap().to_string(), "linux/amd64");
    // The second image has the first layer as a symbolic link.
    assert!(a.layers[0].stored.place() == b.layers[0].stored.place());
    for layer in &b.layers {
        assert_eq!(layer.form, LayerForm::Plain);
        assert!(layer.diff_id.matches(&bytes(&layer.stored)));
    }
}

#[test]
fn layers_are_looked_at_one_by_one() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("mixed.tar");
    let spec = ImageSpec::new("mixed:1")
        .with(formed(1, Form::Gzip))
        .with(formed(2, Form::Plain))
        .with(formed(3, Form::Zstd));
    docker_archive(&path, &[spec]);
    let images = whole(&path);
    let forms: Vec<LayerForm> = parts(&images[0]).layers.iter().map(|l| l.form).collect();
    assert_eq!(forms, [LayerForm::Gzip, LayerForm::Plain, LayerForm::Zstd]);
}

#[test]
fn a_manifest_over_plain_layers_is_no_original() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("docker25.tar");
    let spec = ImageSpec::new("team/app:1")
        .also("team/app:2")
        .layer(1, 3000);
    let configs = docker25_archive(&path, &[spec]);
    let images = whole(&path);
    assert_eq!(images.len(), 1);
    assert_eq!(images[0].identity(), &configs[0]);
    assert_eq!(
        names(&images[0]),
        ["docker.io/team/app:1", "docker.io/team/app:2"]
    );
    let layer = &parts(&images[0]).layers[0];
    assert_eq!(layer.form, LayerForm::Plain);
}

#[test]
fn a_manifest_over_compressed_layers_is_pushed_as_it_is() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("containerd.tar");
    let specs = [
        ImageSpec::new("team/app:1").layer(1, 3000),
        ImageSpec::new("team/web:1").with(formed(2, Form::Zstd)),
    ];
    let roots = containerd_archive(&path, &specs);
    let images = whole(&path);
    for (image, root) in images.iter().zip(&roots) {
        assert_eq!(image.identity(), root);
        assert_eq!(tree(image).root().blobs.len(), 2);
    }
    assert_eq!(names(&images[1]), ["docker.io/team/web:1"]);
}

/// `docker save` over the containerd store lists all platforms and stores those it has.
#[test]
fn the_platform_that_is_there_keeps_its_manifest() {
    let dir = tempdir().unwrap();
    let amd64 = ImageSpec::unnamed().layer(1, 3000);
    let arm64 = ImageSpec::unnamed().architecture("arm64").layer(2, 3000);
    let folder = dir.path().join("layout");
    let mut layout = Layout::create(&folder);
    let (here, elsewhere) = (layout.image(&amd64), layout.image(&arm64));
    fs::remove_file(layout.blob_path(elsewhere["digest"].as_str().unwrap())).unwrap();
    let index = layout.index(&[here.clone(), elsewhere]);
    layout.enter(index, Some("docker.io/team/app:1"));
    layout.finish();
    let blob = |text: &str| format!("blobs/{}", text.replace(':', "/"));
    let layer = Digest::of(&amd64.layers[0].stored(Form::Gzip));
    let list = json!([{
        "Config": blob(amd64.config_digest().as_str()),
        "RepoTags": ["team/app:1"],
        "Layers": [blob(layer.as_str())],
    }]);
    fs::write(folder.join("manifest.json"), list.to_string()).unwrap();
    let path = dir.path().join("saved.tar");
    Members::of_folder(&folder).write(&path);

    let found = looked(&path);
    assert!(found.broken.is_empty(), "{:?}", found.broken);
    let images = found.images;
    assert_eq!(images.len(), 1);
    assert_eq!(images[0].identity().as_str(), here["digest"]);
    assert_eq!(names(&images[0]), ["docker.io/team/app:1"]);
    let said = found.warnings[0].message();
    assert!(said.ends_with("without linux/arm64"), "{said}");
}

/// Names as tar writers have them: `./` in front, longer than a header holds, in PAX records.
#[test]
fn names_of_members_are_understood_in_every_spelling() {
    let dir = tempdir().unwrap();
    let spec = ImageSpec::new("app:1")
        .layer(1, 100)
        .layer(2, 200)
        .layer(3, 300)
        .layer(4, 4);
    let tar = |n: usize| spec.layers[n].tar();
    let long = format!("{}/layer.tar", "d".repeat(200));
    let mut members = Members::new();
    members.raw(EntryType::Regular, b"././first.tar", &tar(0));
    members.file(&long, &tar(1));
    members.pax(&[("comment", "line\nline"), ("path", "./third.tar")]);
    members.raw(EntryType::Regular, b"cut", &tar(2));
    members.file("fourth.tar", &tar(3));
    members.hard_link("linked.tar", "./fourth.tar");
    members.symlink("deep/er/link.tar", "../../linked.tar");
    members.raw(EntryType::Regular, b"\xff\xfe", b"not UTF-8");
    members.file("config.json", &spec.config());
    let list = json!([{
        "Config": "config.json",
        "RepoTags": null,
        "Layers": ["first.tar", &long, "./third.tar", "deep/er/link.tar"],
    }]);
    members.raw(
        EntryType::Regular,
        b"./manifest.json",
        list.to_string().as_bytes(),
    );
    let path = dir.path().join("app.tar");
    members.write(&path);
    let images = whole(&path);
    for (number, layer) in parts(&images[0]).layers.iter().enumerate() {
        assert_eq!(bytes(&layer.stored), tar(number), "layer {number}");
    }
}

#[test]
fn the_last_of_two_members_with_one_name_counts() {
    let dir = tempdir().unwrap();
    let spec = ImageSpec::new("app:1").layer(1, 100);
    let list = |config: &str| {
        let list = json!([{"Config": config, "RepoTags": ["app:1"], "Layers": ["layer.tar"]}]);
        list.to_string().into_bytes()
    };
    let mut members = Members::new();
    members.file("manifest.json", &list("nowhere.json"));
    members.file("layer.tar", b"old");
    members.file("layer.tar", &spec.layers[0].tar());
    members.file("config.json", &spec.config());
    members.file("manifest.json", &list("config.json"));
    let path = dir.path().join("app.tar");
    members.write(&path);
    let images = whole(&path);
    assert_eq!(
        bytes(&parts(&images[0]).layers[0].stored),
        spec.layers[0].tar()
    );
}

/// Once with the size in binary (GNU), once in a PAX record; the file has holes instead of bytes.
#[test]
fn members_may_be_larger_than_8_gib() {
    let size: u64 = (8 << 30) + 5;
    for pax in [false, true] {
        let dir = tempdir().unwrap();
        let path = dir.path().join("big.tar");
        let mut members = Members::new();
        if pax {
            members.pax(&[("size", &size.to_string())]);
            members.raw_sized(EntryType::Regular, b"layer.tar", b"", 0);
        } else {
            members.raw_sized(EntryType::Regular, b"layer.tar", b"", size);
        }
        let mut head = members.into_bytes();
        head.truncate(head.len() - 1024);
        let spec = ImageSpec::unnamed().layer(1, 1);
        let mut rest = Members::new();
        rest.file("config.json", &spec.config());
        let list = json!([{"Config": "config.json", "Layers": ["layer.tar"]}]);
        rest.file("manifest.json", list.to_string().as_bytes());
        let file = File::create(&path).unwrap();
        file.write_all_at(&head, 0).unwrap();
        let behind = head.len() as u64 + size.next_multiple_of(512);
        file.write_all_at(&rest.into_bytes(), behind).unwrap();
        let images = whole(&path);
        let layer = &parts(&images[0]).layers[0].stored;
        assert_eq!(layer.size(), size);
        let mut end = Vec::new();
        layer.open(size - 5).unwrap().read_to_end(&mut end).unwrap();
        assert_eq!(end, [0; 5]);
    }
}

#[test]
fn an_archive_is_read_again_only_while_it_is_the_same() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("app.tar");
    docker_archive(&path, &[ImageSpec::new("app:1").layer(1, 100)]);
    let images = whole(&path);
    let stored = &parts(&images[0]).layers[0].stored;
    bytes(stored);
    docker_archive(&path, &[ImageSpec::new("app:1").layer(1, 5000)]);
    let error = stored.open(0).err().unwrap();
    assert!(error.to_string().contains("was changed"), "{error}");
}
