//! What real tools write is found whole, under its names, with the bytes that its digests promise.

use std::path::{Path, PathBuf};
use std::process::Command;

use hoist::image::source::{Content, Image, LayerForm};

use crate::support::images::{bytes, names, whole};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// `file: names, how, platforms`.
fn describe(image: &Image) -> String {
    let path = image.source.path().strip_prefix(fixtures()).unwrap();
    let how = match &image.content {
        Content::Found(tree) => format!("{} manifests", tree.nodes.len()),
        Content::Made(parts) => {
            let plain = parts.layers.iter().all(|l| l.form == LayerForm::Plain);
            let form = if plain { "plain" } else { "compressed" };
            format!("{} {form} layers", parts.layers.len())
        }
    };
    let names = names(image).join(" ");
    let platforms: Vec<String> = image.platforms().iter().map(ToString::to_string).collect();
    format!(
        "{}: {names}, {how}, {}",
        path.display(),
        platforms.join(" ")
    )
}

#[test]
fn each_is_found_under_its_names() {
    let images = whole(&fixtures());
    let found: Vec<String> = images.iter().map(describe).collect();
    let expected = [
        "bazel.tar: hoist.example/bazel:1, 1 compressed layers, linux/amd64",
        "buildah: hoist.example/buildah:1, 1 manifests, linux/amd64",
        "buildah-oci.tar: hoist.example/buildah-oci:1, 1 manifests, linux/amd64",
        "buildx: docker.io/example/buildx:1, 5 manifests, linux/amd64 linux/arm64",
        "containerd.tar: hoist.example/containerd:1, 1 manifests, linux/amd64",
        "containerd.tar: hoist.example/containerd-multi:1, 3 manifests, linux/amd64 linux/arm64",
        "crane-legacy.tar: hoist.example/crane-legacy:1, 2 plain layers, ",
        "crane-multi: , 3 manifests, linux/amd64 linux/arm64",
        "crane-several.tar: hoist.example/crane-one:1, 2 compressed layers, ",
        "crane-several.tar: hoist.example/crane-twice:1, 2 compressed layers, ",
        "crane-several.tar: hoist.example/crane-two:1, 2 compressed layers, ",
        "crane.tar: hoist.example/crane:1, 2 compressed layers, ",
        "docker-24.tar: docker.io/library/docker-24:1, 1 plain layers, linux/amd64",
        "docker-24.tar: docker.io/library/docker-24-two:1, 2 plain layers, linux/amd64",
        "docker-25.tar: docker.io/library/docker-25:1 docker.io/library/docker-25:latest, \
         2 plain layers, linux/amd64",
        "docker-29.tar: docker.io/library/docker-29:1, 3 manifests, linux/amd64",
        "jib.tar: hoist.example/jib:1, 2 compressed layers, linux/amd64",
        "ko.tar: hoist.example/ko:1, 4 compressed layers, linux/amd64",
        "nix.tar.gz: docker.io/library/nix:1, 2 plain layers, linux/amd64",
        "oras: :1, 3 manifests, linux/amd64 linux/arm64",
        "podman-multi.tar: hoist.example/podman:1 hoist.example/podman:latest, \
         2 plain layers, linux/amd64",
        "podman-multi.tar: hoist.example/podman-two:1, 2 plain layers, linux/amd64",
        "podman-oci.tar: hoist.example/podman-oci:1, 1 manifests, linux/amd64",
        "podman-packed.tar.zst: hoist.example/podman-packed:1, 1 manifests, linux/amd64",
        "regctl-multi.tar: hoist.example/regctl-multi:1, 3 manifests, linux/amd64 linux/arm64",
        "regctl.tar: hoist.example/regctl:1, 1 manifests, linux/arm64",
        "skopeo-dir: , 3 manifests, linux/amd64 linux/arm64",
        "skopeo-oci.tar: hoist.example/skopeo-oci:1, 1 manifests, linux/amd64",
        "skopeo-zstd: hoist.example/skopeo-zstd:1, 1 manifests, linux/amd64",
        "skopeo.tar: hoist.example/skopeo:1, 2 plain layers, linux/amd64",
        "umoci: :1.0, 1 manifests, linux/amd64",
        "umoci: :1.1, 1 manifests, linux/amd64",
    ];
    assert_eq!(found, expected);
}

#[test]
fn each_blob_has_the_bytes_its_digest_promises() {
    for image in whole(&fixtures()) {
        match &image.content {
            Content::Found(tree) => {
                for (descriptor, stored) in tree.nodes.iter().flat_map(|node| &node.blobs) {
                    let found = bytes(stored);
                    assert!(descriptor.digest.matches(&found), "{}", describe(&image));
                }
            }
            Content::Made(parts) => {
                assert!(parts.config_digest.matches(&parts.config));
                for layer in &parts.layers {
                    let stored = bytes(&layer.stored);
                    let plain = match layer.form {
                        LayerForm::Gzip => gunzip(&stored),
                        LayerForm::Plain | LayerForm::Zstd => stored,
                    };
                    assert!(layer.diff_id.matches(&plain), "{}", describe(&image));
                }
            }
        }
    }
}

/// skopeo reads folders too; what it calls the manifest is what we call it.
#[test]
fn skopeo_finds_the_same_manifests() {
    for (transport, folder) in [
        ("oci", "buildah"),
        ("oci", "buildx"),
        ("oci", "crane-multi"),
        ("dir", "skopeo-dir"),
        ("oci", "skopeo-zstd"),
    ] {
        let path = fixtures().join(folder);
        let source = format!("{transport}:{}", path.display());
        let Ok(output) = Command::new("skopeo")
            .args(["inspect", "--raw", &source])
            .output()
        else {
            return;
        };
        assert!(output.status.success(), "{output:?}");
        assert!(
            whole(&path)[0].identity().matches(&output.stdout),
            "{folder}"
        );
    }
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    std::io::copy(&mut flate2::read::GzDecoder::new(bytes), &mut plain).unwrap();
    plain
}
