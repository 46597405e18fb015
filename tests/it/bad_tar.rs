//! Tar files that are cut, lie or lead elsewhere: what their headers say is never trusted, be they plain
//! or compressed as a whole.

use std::fs;
use std::path::Path;

use hoist::image::discover::{Options, discover};
use hoist::image::error::ImageError;
use hoist::image::source::{Content, Image};
use serde_json::{Value, json};
use tar::EntryType;
use tempfile::{TempDir, tempdir};

use crate::support::archives::{
    ImageSpec, containerd_archive, docker_archive, docker25_archive, gzip, noise, oci_archive,
};
use crate::support::images::{bytes, looked, problems, refusal, whole};
use crate::support::members::Members;
use crate::support::packing::zst;

/// A docker archive of these members, `manifest.json` last.
struct Docker {
    dir: TempDir,
    members: Members,
    spec: ImageSpec,
}

impl Docker {
    /// An image of one layer, the config written and the layer not.
    fn new() -> Self {
        let spec = ImageSpec::new("app:1").layer(1, 2000);
        let mut members = Members::new();
        members.file("config.json", &spec.config());
        Self {
            dir: tempdir().unwrap(),
            members,
            spec,
        }
    }

    fn layer(&self) -> Vec<u8> {
        self.spec.layers[0].tar()
    }

    fn list(layer: &str) -> Value {
        json!([{"Config": "config.json", "RepoTags": ["app:1"], "Layers": [layer]}])
    }

    /// The problems when `layer` is the name of the only layer.
    fn problems(mut self, layer: &str) -> Vec<String> {
        let list = Self::list(layer).to_string();
        self.members.file("manifest.json", list.as_bytes());
        let path = self.dir.path().join("app.tar");
        self.members.write(&path);
        let plain = problems(&path);
        for packed in pack(&path) {
            fs::write(&path, packed).unwrap();
            assert_eq!(problems(&path), plain);
        }
        plain
    }
}

/// The file compressed as a whole, once in each way.
fn pack(path: &Path) -> [Vec<u8>; 2] {
    let tar = fs::read(path).unwrap();
    [gzip(&tar), zst(&tar)]
}

/// Wherever it is cut, what is found is whole, and something says that the archive is damaged.
#[test]
fn archives_that_are_cut_off_say_so() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("app.tar");
    let spec = [ImageSpec::new("app:1").layer(1, 2000)];
    for write in [docker_archive, docker25_archive, oci_archive] {
        write(&path, &spec);
        let uncut = fs::read(&path).unwrap();
        let identity = whole(&path)[0].identity().clone();
        for length in (512..uncut.len() - 1024).step_by(256) {
            fs::write(&path, &uncut[..length]).unwrap();
            let found = match discover(&path, Options::default()) {
                Ok(found) => found,
                Err(error) => {
                    assert!(error.message().contains("damaged"), "{length}: {error}");
                    continue;
                }
            };
            let problems = found.broken.iter().flat_map(|broken| &broken.problems);
            let mut told = problems.chain(&found.warnings).map(ImageError::message);
            assert!(told.any(|m| m.contains("is damaged: ")), "{length}");
            assert_eq!(found.images.len() + found.broken.len(), 1, "{length}");
            for image in &found.images {
                assert_eq!(image.identity(), &identity);
            }
        }
    }
}

#[test]
fn a_member_behind_the_end_is_named_with_both_lengths() {
    let mut docker = Docker::new();
    let list = Docker::list("layer.tar").to_string();
    docker.members.file("manifest.json", list.as_bytes());
    docker
        .members
        .raw_sized(EntryType::Regular, b"layer.tar", b"short", 1 << 50);
    let path = docker.dir.path().join("app.tar");
    docker.members.write(&path);
    let problems = problems(&path);
    assert!(
        problems[0].contains("in the middle of a member"),
        "{problems:?}"
    );
    assert_eq!(
        problems[1],
        "layer \"layer.tar\" reaches behind the end of the file"
    );
}

#[test]
fn sizes_that_overflow_are_damage() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("app.tar");
    for (records, size, words) in [
        (vec![], u64::MAX, "impossible size"),
        (vec![("size", "18446744073709551615")], 0, "impossible size"),
        (
            vec![("size", "99999999999999999999999")],
            0,
            "impossible size",
        ),
        (vec![("size", "-1")], 0, "impossible size"),
    ] {
        let mut members = Members::new();
        if !records.is_empty() {
            members.pax(&records);
        }
        members.raw_sized(EntryType::Regular, b"manifest.json", b"", size);
        members.write(&path);
        let message = refusal(&path).to_string();
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn names_that_lead_out_of_the_archive_are_never_used() {
    for name in ["../layer.tar", "/layer.tar", "a/../layer.tar"] {
        let mut docker = Docker::new();
        let layer = docker.layer();
        docker
            .members
            .raw(EntryType::Regular, name.as_bytes(), &layer);
        let list = Docker::list(name).to_string();
        docker.members.file("manifest.json", list.as_bytes());
        let path = docker.dir.path().join("app.tar");
        docker.members.write(&path);
        let expected = format!("layer {name:?} is a name that leads out of the archive");
        let plain = fs::read(&path).unwrap();
        for bytes in pack(&path).into_iter().chain([plain]) {
            fs::write(&path, bytes).unwrap();
            assert_eq!(problems(&path), [expected.as_str()]);
            let warning = looked(&path).warnings[0].to_string();
            assert!(
                warning.contains("1 members with names that lead out"),
                "{warning}"
            );
        }
    }
}

#[test]
fn links_that_leave_the_archive_are_refused() {
    for target in ["/etc/passwd", "../../etc/passwd", ".."] {
        let mut docker = Docker::new();
        docker.members.symlink("a/layer.tar", target);
        let problems = docker.problems("a/layer.tar");
        let words = if target == ".." {
            "is missing"
        } else {
            "is a link that leads out of the archive"
        };
        assert_eq!(problems, [format!("layer \"a/layer.tar\" {words}")]);
    }
    let mut hard = Docker::new();
    hard.members.hard_link("layer.tar", "/etc/passwd");
    let expected = "layer \"layer.tar\" is a link that leads out of the archive";
    assert_eq!(hard.problems("layer.tar"), [expected]);
}

#[test]
fn links_in_a_circle_end() {
    let mut docker = Docker::new();
    docker.members.symlink("a", "b");
    docker.members.hard_link("b", "a");
    let expected = "layer \"a\" is a link that leads in a circle";
    assert_eq!(docker.problems("a"), [expected]);
}

#[test]
fn sparse_members_are_refused_and_stepped_over() {
    let sparse = "layer \"layer.tar\" is stored as a sparse file, which cannot be read in place";
    // GNU's own form, its map going on in a block of its own.
    let mut docker = Docker::new();
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(512);
    header.as_gnu_mut().unwrap().set_is_extended(true);
    header.as_old_mut().name[..9].copy_from_slice(b"layer.tar");
    header.set_cksum();
    let mut blocks = [0; 1024];
    blocks[512..].fill(b'x');
    docker.members.header(&header, &blocks);
    assert_eq!(docker.problems("layer.tar"), [sparse]);
    let mut pax = Docker::new();
    pax.members.pax(&[
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.name", "layer.tar"),
        ("path", "GNUSparseFile.0/layer.tar"),
    ]);
    pax.members
        .raw(EntryType::Regular, b"GNUSparseFile.0/layer.tar", b"map");
    assert_eq!(pax.problems("layer.tar"), [sparse]);
}

#[test]
fn headers_without_measure_are_not_taken_into_memory() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("app.tar");
    for kind in [
        EntryType::GNULongName,
        EntryType::GNULongLink,
        EntryType::XHeader,
    ] {
        let mut members = Members::new();
        members.raw(kind, b"long", &vec![b'a'; 2 << 20]);
        members.file("manifest.json", b"[]");
        members.write(&path);
        let plain = fs::read(&path).unwrap();
        for bytes in pack(&path).into_iter().chain([plain]) {
            fs::write(&path, bytes).unwrap();
            let message = refusal(&path).to_string();
            assert!(message.contains("more than 1 MiB"), "{message}");
        }
    }
}

#[test]
fn an_archive_with_members_without_number_is_given_up() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("app.tar");
    let mut members = Members::new();
    for number in 0..6_000 {
        members.file(&format!("{number}-{}", "n".repeat(3000)), b"");
    }
    members.file("layer.tar", b"");
    members.file(
        "manifest.json",
        Docker::list("layer.tar").to_string().as_bytes(),
    );
    members.write(&path);
    let plain = fs::read(&path).unwrap();
    for bytes in pack(&path).into_iter().chain([plain]) {
        fs::write(&path, bytes).unwrap();
        let problems = problems(&path);
        assert!(problems[0].contains("too many members"), "{problems:?}");
    }
}

#[test]
fn a_layer_in_a_form_that_no_registry_knows_is_refused() {
    let mut docker = Docker::new();
    docker.members.file("layer.tar.xz", b"\xfd7zXZ\0\0\x04");
    let expected = "layer \"layer.tar.xz\" is compressed with xz, which is no layer form";
    assert_eq!(docker.problems("layer.tar.xz"), [expected]);
}

/// Whatever is written over in an archive: no panic, and what is found can be read to its end.
#[test]
fn archives_with_flipped_bytes_give_only_what_can_be_read() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("app.tar");
    let spec = [
        ImageSpec::new("app:1").layer(1, 700),
        ImageSpec::new("b:1").layer(2, 9),
    ];
    for write in [
        docker_archive,
        docker25_archive,
        containerd_archive,
        oci_archive,
    ] {
        write(&path, &spec);
        let plain = fs::read(&path).unwrap();
        for (good, seed) in pack(&path)
            .into_iter()
            .chain([plain])
            .flat_map(|good| (0..200).map(move |seed| (good.clone(), seed)))
        {
            let mut bad = good.clone();
            for place in noise(seed, 24).chunks(8) {
                let place: [u8; 8] = place.try_into().unwrap();
                let at = u64::from_le_bytes(place) % good.len() as u64;
                bad[usize::try_from(at).unwrap()] ^= place[0] | 1;
            }
            fs::write(&path, &bad).unwrap();
            let Ok(found) = discover(&path, Options::default()) else {
                continue;
            };
            for image in &found.images {
                read_all(image);
            }
        }
    }
}

fn read_all(image: &Image) {
    match &image.content {
        Content::Found(tree) => {
            for (descriptor, stored) in tree.nodes.iter().flat_map(|node| &node.blobs) {
                assert_eq!(bytes(stored).len() as u64, descriptor.size);
            }
        }
        Content::Made(parts) => {
            for layer in &parts.layers {
                bytes(&layer.stored);
            }
        }
    }
}
