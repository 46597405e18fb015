//! Sources that are as they should be: each form is found, named and read.

use std::fs;

use hoist::image::digest::Digest;

use crate::support::archives::{
    Form, ImageSpec, LayerSpec, containerd_archive, docker_archive, docker25_archive, layout,
    oci_archive,
};
use crate::support::members::Members;

#[test]
fn the_same_description_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let zstd = LayerSpec {
        seed: 3,
        size: 5000,
        form: Some(Form::Zstd),
    };
    let specs = [
        ImageSpec::new("team/app:1")
            .also("team/app:2")
            .layer(1, 4096),
        ImageSpec::unnamed()
            .architecture("arm64")
            .layer(1, 4096)
            .with(zstd),
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
    assert_eq!(ImageSpec::many("app", 200, 3, 1).len(), 200);
}
