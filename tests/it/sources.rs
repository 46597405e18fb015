//! Sources that are as they should be: each form is found, named and read.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::Path;

use hoist::image::digest::Digest;
use hoist::image::discover::{Found, Options, discover};
use hoist::image::source::{Body, Content, Image, LayerForm, Parts, Tree};
use serde_json::json;
use tar::EntryType;
use tempfile::tempdir;

use crate::support::archives::{
    CONFIG, Form, ImageSpec, LayerSpec, Layout, containerd_archive, docker_archive,
    docker25_archive, layout, oci_archive,
};
use crate::support::members::Members;

/// All of `path`, which must hold nothing broken and nothing to warn of.
pub(crate) fn whole(path: &Path) -> Vec<Image> {
    let found = discover(path, Options::default()).unwrap();
    assert_silent(&found);
    found.images
}

fn assert_silent(found: &Found) {
    for broken in &found.broken {
        panic!("broken: {:?}", broken.problems);
    }
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
}

fn names(image: &Image) -> Vec<String> {
    let name = |name: &hoist::image::name::FoundName| {
        let repository = name.repository.as_ref();
        let repository = repository.map(|(host, path)| format!("{host}/{path}"));
        let tag = name.tag.as_ref().map_or("", |tag| tag.as_str());
        format!("{}:{tag}", repository.unwrap_or_default())
    };
    image.names.iter().map(name).collect()
}

fn tree(image: &Image) -> &Tree {
    match &image.content {
        Content::Found(tree) => tree,
        Content::Made(_) => panic!("a manifest is to be made"),
    }
}

fn parts(image: &Image) -> &Parts {
    match &image.content {
        Content::Found(_) => panic!("a manifest was found"),
        Content::Made(parts) => parts,
    }
}

fn bytes(body: &impl Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    body.open(0).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, body.size());
    bytes
}

fn formed(seed: u64, form: Form) -> LayerSpec {
    LayerSpec {
        seed,
        size: 3000,
        form: Some(form),
    }
}

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
            .with(formed(3, Form::Zstd)),
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
    assert!(a.layers[0].stored.same_bytes(&b.layers[0].stored));
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

    let images = whole(&path);
    assert_eq!(images.len(), 1);
    assert_eq!(images[0].identity().as_str(), here["digest"]);
    assert_eq!(names(&images[0]), ["docker.io/team/app:1"]);
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

    let found = discover(dir.path(), Options { follow_links: true }).unwrap();
    assert_silent(&found);
    assert_eq!(found.images.len(), 1);
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
