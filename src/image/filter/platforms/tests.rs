//! Indexes made up in memory, and what is left of them.

use serde_json::json;

use super::*;
use crate::image::filter::Filter;
use crate::image::filter::tests::{left_out, names, platforms, source, taken};
use crate::image::media;
use crate::image::source::{Content, Image, Place, Stored};

/// Makes trees: children first, as sources do.
#[derive(Default)]
pub(super) struct Builder {
    nodes: Vec<Node>,
    entries: Vec<Value>,
}

impl Builder {
    /// A manifest for `platform` whose one layer has `size` bytes.
    pub(super) fn image(mut self, platform: &str, size: u64) -> Self {
        let layer = Descriptor::new(media::OCI_LAYER_GZIP, Digest::of(platform.as_bytes()), size);
        let document = json!({
            "schemaVersion": 2,
            "config": Descriptor::new(media::OCI_CONFIG, Digest::of(b"{}"), 2),
            "layers": [layer],
        });
        let platform: Platform = platform.parse().unwrap();
        let entry = json!({"platform": platform, "x-unknown": [1, {"kept": true}]});
        let stored = Stored::new(source(), Place::Blob(layer.digest.clone()), size);
        self.add(&document, media::OCI_MANIFEST, entry);
        let node = self.nodes.last_mut().unwrap();
        node.platform = Some(platform);
        node.blobs.push((layer, stored));
        self
    }

    /// What is about the image before it.
    pub(super) fn attestation(mut self) -> Self {
        let about = self.entries.last().unwrap()["digest"].clone();
        let document = json!({
            "schemaVersion": 2,
            "config": Descriptor::new(media::OCI_CONFIG, Digest::of(b"{}"), 2),
            "layers": [Descriptor::new("application/vnd.in-toto+json", Digest::of(about.to_string().as_bytes()), 7)],
        });
        let unknown: Platform = "unknown/unknown".parse().unwrap();
        let entry = json!({"platform": unknown, "annotations": {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": about,
        }});
        self.add(&document, media::OCI_MANIFEST, entry);
        self.nodes.last_mut().unwrap().platform = Some(unknown);
        self
    }

    /// What refers to the image before it by `subject`.
    pub(super) fn referrer(mut self) -> Self {
        let mut document: Value =
            serde_json::from_slice(self.nodes.last().unwrap().manifest.bytes()).unwrap();
        let subject = self.entries.last().unwrap();
        document["subject"] = json!({
            "mediaType": media::OCI_MANIFEST, "digest": subject["digest"], "size": subject["size"],
        });
        self.add(&document, media::OCI_MANIFEST, json!({}));
        self
    }

    /// All of `nested` behind an index of its own.
    pub(super) fn index(mut self, nested: Self) -> Self {
        let document = json!({"schemaVersion": 2, "manifests": nested.entries});
        self.nodes.extend(nested.nodes);
        self.add(&document, media::OCI_INDEX, json!({}));
        self
    }

    fn add(&mut self, document: &Value, media_type: &str, mut entry: Value) {
        let bytes = serde_json::to_vec(document).unwrap();
        let manifest = Manifest::parse(bytes, Some(&media_type.into()), None).unwrap();
        entry["mediaType"] = media_type.into();
        entry["digest"] = manifest.digest().as_str().into();
        entry["size"] = manifest.bytes().len().into();
        self.entries.push(entry);
        self.nodes.push(Node {
            manifest: Arc::new(manifest),
            blobs: Vec::new(),
            foreign: Vec::new(),
            platform: None,
        });
    }

    pub(super) fn alone(self) -> Image {
        let content = Content::Found(Tree {
            nodes: self.nodes,
            elsewhere: Vec::new(),
        });
        Image {
            source: source(),
            names: names(&["a:1"]),
            content,
        }
    }

    pub(super) fn under(self, media_type: &str) -> Image {
        let document = json!({
            "schemaVersion": 2, "mediaType": media_type, "manifests": self.entries,
            "annotations": {"org.example": "stays"}, "x-unknown": 1.5,
        });
        let mut root = Self {
            nodes: self.nodes,
            entries: Vec::new(),
        };
        root.add(&document, media_type, json!({}));
        root.alone()
    }
}

pub(super) fn tree(image: &Image) -> &Tree {
    match &image.content {
        Content::Found(tree) => tree,
        Content::Made(_) => panic!("not found but made"),
    }
}

fn document(image: &Image) -> Value {
    serde_json::from_slice(tree(image).root().manifest.bytes()).unwrap()
}

/// Digests of the root's entries, shortened to their platform.
fn entries(image: &Image) -> Vec<String> {
    let shown = |child: &Descriptor| {
        child
            .platform
            .as_ref()
            .map_or("-".into(), Platform::to_string)
    };
    tree(image)
        .root()
        .manifest
        .children()
        .iter()
        .map(shown)
        .collect()
}

fn three() -> Builder {
    Builder::default()
        .image("linux/amd64", 1_000_000)
        .attestation()
        .image("linux/arm64/v8", 2_000_000)
        .attestation()
        .image("linux/arm/v6", 4_000_000)
        .referrer()
}

#[test]
fn one_platform_of_an_index_is_its_manifest() {
    let whole = three().under(media::OCI_INDEX);
    let image = taken(&platforms(&["linux/arm64"]), whole.clone());
    assert_eq!(tree(&image).nodes.len(), 1);
    let expected = &tree(&whole).nodes[2];
    assert_eq!(image.identity(), expected.manifest.digest());
    assert_eq!(tree(&image).root().platform, expected.platform);
    assert_eq!(tree(&image).root().blobs.len(), 1);

    let told = left_out(&platforms(&["linux/s390x"]), whole);
    assert!(
        told.contains("it is for linux/amd64, linux/arm64/v8, linux/arm/v6, not for"),
        "{told}"
    );
}

#[test]
fn a_manifest_without_an_index_is_taken_or_not() {
    let tree = Builder::default().image("linux/amd64", 1).alone();
    taken(&platforms(&["linux/amd64"]), tree.clone());
    left_out(&platforms(&["linux/arm64"]), tree);
}

#[test]
fn of_several_variants_the_usual_one_is_taken() {
    for (found, asked, expected) in [
        (
            &["linux/arm/v6", "linux/arm/v7", "linux/arm/v5"][..],
            "linux/arm",
            "linux/arm/v7",
        ),
        (
            &["linux/amd64/v3", "linux/amd64"],
            "linux/amd64",
            "linux/amd64",
        ),
        (
            &["linux/arm/v5", "linux/arm/v6"],
            "linux/arm",
            "linux/arm/v5",
        ),
        (
            &["linux/arm/v6", "linux/arm/v7"],
            "linux/arm/v6",
            "linux/arm/v6",
        ),
    ] {
        let builder = found
            .iter()
            .fold(Builder::default(), |b, platform| b.image(platform, 1));
        let image = taken(&platforms(&[asked]), builder.under(media::DOCKER_LIST));
        let platform = tree(&image).root().platform.as_ref().unwrap();
        assert_eq!(platform.to_string(), expected, "{found:?} {asked}");
    }
}

#[test]
fn several_platforms_are_an_index_of_those() {
    for media_type in [media::OCI_INDEX, media::DOCKER_LIST] {
        let whole = three().under(media_type);
        let image = taken(&platforms(&["linux/amd64", "linux/arm"]), whole.clone());
        let shown = ["linux/amd64", "unknown/unknown", "linux/arm/v6", "-"];
        assert_eq!(entries(&image), shown);
        assert_eq!(
            tree(&image).root().manifest.media_type().as_str(),
            media_type
        );
        assert_eq!(tree(&image).nodes.len(), 5);

        let (before, after) = (document(&whole), document(&image));
        assert_eq!(after["manifests"][0], before["manifests"][0]);
        assert_eq!(after["manifests"][2], before["manifests"][4]);
        for key in ["schemaVersion", "mediaType", "annotations", "x-unknown"] {
            assert_eq!(after[key], before[key], "{key}");
        }
        let again = taken(&platforms(&["linux/arm", "linux/amd64"]), whole);
        assert_eq!(again.identity(), image.identity());
        assert_eq!(image.stored_size() / 100_000, 50);
    }
}

#[test]
fn an_index_of_which_all_is_wanted_stays_as_it_is() {
    let whole = three().under(media::OCI_INDEX);
    let all = platforms(&["linux/amd64", "linux/arm64", "linux/arm/v6"]);
    assert_eq!(taken(&all, whole.clone()).identity(), whole.identity());
}

#[test]
fn nested_indexes_are_kept_whole_or_dissolved() {
    let whole = || {
        Builder::default()
            .index(
                Builder::default()
                    .image("linux/amd64", 1)
                    .image("linux/arm64", 2),
            )
            .image("linux/s390x", 3)
            .under(media::OCI_INDEX)
    };
    let dissolved = taken(&platforms(&["linux/arm64", "linux/s390x"]), whole());
    assert_eq!(entries(&dissolved), ["linux/arm64", "linux/s390x"]);
    assert_eq!(tree(&dissolved).nodes.len(), 3);

    let kept = taken(&platforms(&["linux/arm64", "linux/amd64"]), whole());
    assert_eq!(entries(&kept), ["-"]);
    assert_eq!(tree(&kept).nodes.len(), 4);

    let one = taken(&platforms(&["linux/arm64"]), whole());
    assert_eq!(
        tree(&one).root().platform,
        Some("linux/arm64".parse().unwrap())
    );
}

#[test]
fn indexes_that_name_each_other_twice_are_read_once() {
    let mut builder = Builder::default()
        .image("linux/amd64", 1)
        .image("linux/arm64", 2);
    for _ in 0..64 {
        let mut twice = builder;
        twice.entries.extend(twice.entries.clone());
        builder = Builder::default().index(twice);
    }
    let image = taken(
        &platforms(&["linux/amd64", "linux/s390x"]),
        builder.under(media::OCI_INDEX),
    );
    // The innermost names each image twice, and stays as it was.
    assert_eq!(entries(&image), ["linux/amd64", "linux/amd64"]);
    assert_eq!(tree(&image).nodes.len(), 2);
}

#[test]
fn what_an_index_names_and_does_not_hold_stays_named() {
    let mut builder = three();
    let missing = builder.nodes.remove(2).manifest.digest().clone();
    let image = taken(
        &platforms(&["linux/amd64", "linux/arm64"]),
        builder.under(media::OCI_INDEX),
    );
    let children = tree(&image).root().manifest.children();
    assert!(children.iter().any(|child| child.digest == missing));
    assert!(
        tree(&image)
            .nodes
            .iter()
            .all(|node| *node.manifest.digest() != missing)
    );
}

#[test]
fn the_size_is_that_of_the_platforms_left() {
    let filter = Filter {
        max_size: Some(2_000_000),
        ..platforms(&["linux/amd64"])
    };
    taken(&filter, three().under(media::OCI_INDEX));
    let all = Filter {
        max_size: Some(2_000_000),
        ..Filter::default()
    };
    left_out(&all, three().under(media::OCI_INDEX));
}
