//! The embedded registry as other tools see it.

use std::path::Path;
use std::process::Command;

use hoist::image::digest::Digest;
use hoist::image::media::OCI_MANIFEST;

use super::small_image;
use crate::support::programs::on_path;
use crate::support::registry::{Kind, Registry};

/// What the tool writes to standard output; none where it is not there.
fn output(program: &str, args: &[&str]) -> Option<Vec<u8>> {
    let ran = Command::new(on_path(program)?).args(args).output().unwrap();
    let stderr = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{program} {args:?}: {stderr}");
    Some(ran.stdout)
}

/// A registry with one image of a real layer, and the image's manifest.
fn filled() -> (Registry, Vec<u8>) {
    let registry = Registry::start(Kind::Serve);
    let mut layer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut layer, &[0; 10_240]).unwrap();
    let manifest = small_image(&registry, "team/app", &layer.finish().unwrap());
    let put = registry.put_manifest("team/app", "1.2", OCI_MANIFEST, &manifest);
    assert_eq!(put.status, 201, "{}", put.text());
    (registry, manifest)
}

#[test]
fn skopeo_copies_out_and_in() {
    let (registry, manifest) = filled();
    let (host, dir) = (registry.host(), tempfile::tempdir().unwrap());
    let layout = format!("oci:{}:x", dir.path().join("layout").display());
    let from = format!("docker://{host}/team/app:1.2");
    let Some(raw) = output("skopeo", &["inspect", "--raw", "--tls-verify=false", &from]) else {
        return;
    };
    assert_eq!(raw, manifest);
    let copy = [
        "copy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "--preserve-digests",
    ];
    let copy = |a: &str, b: &str| output("skopeo", &[&copy[..], &[a, b]].concat());
    copy(&from, &layout);
    copy(&layout, &format!("docker://{host}/other:y"));
    assert_eq!(registry.manifest("other", "y").body, manifest);
    // Straight from the folder.
    let folder = registry.storage().join("other/_");
    let kept = format!("oci:{}:y", folder.display());
    assert_eq!(
        output("skopeo", &["inspect", "--raw", &kept]).unwrap(),
        manifest
    );
}

#[test]
fn crane_copies_in_and_validates() {
    let (registry, manifest) = filled();
    let host = registry.host();
    let (from, to) = (format!("{host}/team/app:1.2"), format!("{host}/copy:z"));
    if output("crane", &["copy", "--insecure", &from, &to]).is_none() {
        return;
    }
    let digest = output("crane", &["digest", "--insecure", &to]).unwrap();
    assert_eq!(
        String::from_utf8(digest).unwrap().trim(),
        Digest::of(&manifest).as_str()
    );
    let catalog = output("crane", &["catalog", "--insecure", &host]).unwrap();
    assert_eq!(catalog, b"copy\nteam/app\n");
    let pulled = tempfile::tempdir().unwrap();
    let path = pulled.path().join("layout");
    let path = path.to_str().unwrap();
    output("crane", &["pull", "--insecure", "--format=oci", &to, path]);
    output(
        "crane",
        &["push", "--insecure", path, &format!("{host}/third:z")],
    );
    assert_eq!(registry.manifest("third", "z").body, manifest);
}

#[test]
fn a_layout_of_another_tool_is_served_after_a_restart() {
    let (mut registry, manifest) = filled();
    let from = format!("docker://{}/team/app:1.2", registry.host());
    let folder = registry.storage().join("by/hand/_");
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    let to = format!("oci:{}:9", Path::new(&folder).display());
    if output("skopeo", &["copy", "--src-tls-verify=false", &from, &to]).is_none() {
        return;
    }
    registry.kill();
    registry.start_again();
    assert_eq!(registry.manifest("by/hand", "9").body, manifest);
    let digest = Digest::of(&manifest);
    assert_eq!(registry.manifest("by/hand", digest.as_str()).body, manifest);
    let catalog = registry.get("/v2/_catalog").json();
    assert_eq!(
        catalog["repositories"],
        serde_json::json!(["by/hand", "team/app"])
    );
}
