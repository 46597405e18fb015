//! Compressed archives that are cut, damaged, nested, too greedy, or no archives at all.

use std::fs;
use std::path::Path;
use std::process::Command;

use hoist::image::error::ErrorKind;
use tempfile::tempdir;

use crate::support::archives::{ImageSpec, docker_archive, gzip, layout, noise};
use crate::support::images::{looked, refusal, whole};
use crate::support::members::Members;
use crate::support::packing::{skippable, with_window, zeros, zst};

fn docker_tar(dir: &Path) -> Vec<u8> {
    let path = dir.join("plain.tar");
    docker_archive(&path, &[ImageSpec::new("app:1").layer(1, 200_000)]);
    fs::read(&path).unwrap()
}

#[test]
fn what_is_in_them_is_no_archive() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("file");
    let tar = docker_tar(dir.path());
    let mut members = Members::new();
    members.file("images/app.tar", &tar);
    let nested_plain = dir.path().join("nested");
    members.write(&nested_plain);
    let nested = fs::read(&nested_plain).unwrap();
    let expected = "is a tar file with archives in it, which are not looked into";
    assert!(refusal(&nested_plain).message().starts_with(expected));
    let too_large =
        "a window of 256 MiB, and none above 128 MiB is read: compress it with zstd --long=27";
    for (bytes, kind, words) in [
        (gzip(b"text"), ErrorKind::NotAnImage, "no archive"),
        (zst(&noise(1, 9000)), ErrorKind::NotAnImage, "no archive"),
        (gzip(b""), ErrorKind::NotAnImage, "no archive"),
        (gzip(&nested), ErrorKind::NotAnImage, expected),
        (zst(&nested), ErrorKind::NotAnImage, expected),
        (
            gzip(&zst(&tar)),
            ErrorKind::NotAnImage,
            "is a zstd file compressed once more with gzip",
        ),
        (
            zst(&gzip(&tar)),
            ErrorKind::NotAnImage,
            "is a gzip file compressed once more with zstd",
        ),
        (b"\x1f\x8b".to_vec(), ErrorKind::NotAnImage, "is cut off"),
        (
            b"\x1f\x8b\x09\0\0\0\0\0\0\0\0".to_vec(),
            ErrorKind::NotAnImage,
            "cannot be read",
        ),
        (zst(&tar)[..5].to_vec(), ErrorKind::NotAnImage, "no frame"),
        (skippable(b"only"), ErrorKind::NotAnImage, "no frame"),
        (with_window(28, &tar), ErrorKind::Unsupported, too_large),
        (with_window(31, &tar), ErrorKind::Unsupported, "of 2048 MiB"),
        (
            [skippable(b""), with_window(41, &tar)].concat(),
            ErrorKind::Unsupported,
            "--long",
        ),
    ] {
        fs::write(&path, bytes).unwrap();
        let error = refusal(&path);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(words), "{error}");
        assert_eq!(error.path(), path);
    }
}

#[test]
fn a_cut_gives_a_sentence_and_never_a_panic() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("file.tgz");
    let tar = docker_tar(dir.path());
    for (form, packed) in [("gzip", gzip(&tar)), ("zstd", zst(&tar))] {
        let whole_length = packed.len();
        let mut broken = 0;
        for length in (2..whole_length).step_by(whole_length / 40) {
            fs::write(&path, &packed[..length]).unwrap();
            let found = match hoist::image::discover::discover(&path, Default::default()) {
                Ok(found) => found,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NotAnImage, "{error}");
                    continue;
                }
            };
            assert!(found.images.is_empty(), "{form} {length}");
            let problem = found.broken[0].problems[0].to_string();
            let expected =
                format!("the archive is damaged: its {form} data is cut off after {length} bytes");
            assert!(problem.ends_with(&expected), "{problem}");
            assert!(problem.contains("file.tgz"));
            broken += 1;
        }
        assert!(broken > 10, "{form}: {broken}");
    }
}

#[test]
fn damage_behind_the_images_is_a_warning_and_before_them_is_not() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("file");
    let tar = docker_tar(dir.path());
    let mut packed = gzip(&tar);
    let checksum = packed.len() - 8;
    packed[checksum] ^= 1;
    fs::write(&path, &packed).unwrap();
    let found = looked(&path);
    assert_eq!(found.images.len(), 1);
    assert_eq!(found.warnings.len(), 1, "{:?}", found.warnings);
    let text = found.warnings[0].to_string();
    assert!(text.contains("its gzip data is damaged"), "{text}");
    // Frames may differ in their windows.
    let (one, other) = tar.split_at(tar.len() / 2);
    fs::write(&path, [zst(one), with_window(28, other)].concat()).unwrap();
    let problem = looked(&path).broken[0].problems[0].to_string();
    let expected = "has a window of more than 128 MiB (zstd --long above 27)";
    assert!(problem.ends_with(expected), "{problem}");
}

/// What follows the last member or frame.
#[test]
fn garbage_behind_the_end_leaves_the_images() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("file");
    let tar = docker_tar(dir.path());
    let garbage = noise(3, 3000);
    let looks_like_more = |magic: &[u8]| [magic, &garbage].concat();
    let rows: [(Vec<u8>, &[u8], Option<&str>); 8] = [
        (gzip(&tar), b"", None),
        (gzip(&tar), b"\0\0\0\0", None),
        (gzip(&tar), &garbage, None),
        (
            gzip(&tar),
            &looks_like_more(b"\x1f"),
            Some("gzip data is damaged"),
        ),
        (zst(&tar), b"", None),
        (zst(&tar), &[0; 4096], Some("zstd data is damaged")),
        (zst(&tar), &garbage, Some("zstd data is damaged")),
        (
            zst(&tar),
            &looks_like_more(b"\x28\xb5\x2f\xfd"),
            Some("zstd data is"),
        ),
    ];
    for (packed, behind, words) in rows {
        fs::write(&path, [&packed[..], behind].concat()).unwrap();
        let found = looked(&path);
        assert_eq!(found.images.len(), 1, "{words:?}");
        assert!(found.broken.is_empty(), "{:?}", found.broken);
        let warnings: Vec<String> = found.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), words.iter().len(), "{warnings:?}");
        for (warning, part) in warnings.iter().zip(words) {
            assert!(warning.contains(part), "{warning}");
        }
    }
}

#[test]
fn a_file_that_changes_after_it_was_looked_into_is_noticed() {
    use hoist::image::source::{Body as _, Content};
    let dir = tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, gzip(&docker_tar(dir.path()))).unwrap();
    let images = whole(&path);
    fs::write(&path, gzip(b"something else")).unwrap();
    let Content::Made(parts) = &images[0].content else {
        panic!("a manifest is to be made");
    };
    let Err(error) = parts.layers[0].stored.open(0) else {
        panic!("the layer of another file was opened");
    };
    assert!(error.to_string().contains("was changed"), "{error}");
}

/// Some 250 KiB that decompress to 4 GiB of zeros in a member before the image.
#[test]
fn a_bomb_takes_no_memory() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("bomb.tar.zst");
    let mut bomb = Members::new();
    let gibibytes = 4_u64;
    bomb.raw_sized(tar::EntryType::Regular, b"zeros", b"", gibibytes << 30);
    let mut packed = zst(&bomb.into_bytes()[..512]);
    packed.extend(zeros(4096));
    packed.extend(zst(&docker_tar(dir.path())));
    assert!(packed.len() < 300 << 10);
    fs::write(&path, packed).unwrap();
    let script = "ulimit -v 150000 && exec \"$0\" list \"$1\"";
    let hoist = env!("CARGO_BIN_EXE_hoist");
    let listed = Command::new("sh")
        .args(["-c", script, hoist])
        .arg(&path)
        .output()
        .unwrap();
    let (stdout, stderr) = (listed.stdout, listed.stderr);
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(listed.status.success(), "{stderr}");
    let stdout = String::from_utf8(stdout).unwrap();
    assert!(stdout.starts_with("docker.io/library/app:1\t"), "{stdout}");
}

#[test]
fn the_small_documents_are_kept_whatever_large_ones_there_are() {
    let dir = tempdir().unwrap();
    layout(dir.path(), &[ImageSpec::new("app:1").layer(1, 10)]);
    let mut members = Members::of_folder(dir.path());
    let large = [b"[".as_slice(), &vec![b' '; 2 << 20], b"]"].concat();
    for number in 0..20 {
        members.file(&format!("blobs/sha256/{number}"), &large);
    }
    let path = dir.path().join("packed");
    fs::write(&path, zst(&members.into_bytes())).unwrap();
    assert_eq!(whole(&path).len(), 1);
}
