//! Files that are no archives, and docker archives whose lists or configs are wrong: each gives a
//! sentence, never a panic.

use std::fs;
use std::path::Path;

use hoist::image::error::ErrorKind;
use serde_json::json;
use tempfile::tempdir;

use crate::support::archives::{
    ImageSpec, LayerSpec, docker_archive, docker25_archive, gzip, noise, zstd,
};
use crate::support::images::{looked, problems, refusal};
use crate::support::members::Members;

#[test]
fn files_that_are_no_archives_are_refused_with_a_sentence() {
    let dir = tempdir().unwrap();
    let tar = LayerSpec {
        seed: 1,
        size: 10,
        form: None,
    }
    .tar();
    let rows: [(&[u8], ErrorKind, &str); 10] = [
        (b"", ErrorKind::NotAnImage, "is empty"),
        (b"x", ErrorKind::NotAnImage, "is no archive"),
        (&noise(7, 100_000), ErrorKind::NotAnImage, "is no archive"),
        (&[0; 10240], ErrorKind::NotAnImage, "is no archive"),
        (&tar, ErrorKind::NotAnImage, "without manifest.json"),
        (&tar[..600], ErrorKind::NotAnImage, "damaged tar file"),
        (&gzip(&tar), ErrorKind::NotAnImage, "without manifest.json"),
        (&zstd(&tar), ErrorKind::NotAnImage, "without manifest.json"),
        (b"\xfd7zXZ\0\0\x04", ErrorKind::Unsupported, "with xz"),
        (b"BZh91AY&SY", ErrorKind::Unsupported, "with bzip2"),
    ];
    for (bytes, kind, words) in rows {
        let path = dir.path().join("file.tar");
        fs::write(&path, bytes).unwrap();
        let error = refusal(&path);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(words), "{error}");
        assert_eq!(error.path(), path);
    }
    let missing = refusal(&dir.path().join("nowhere"));
    assert_eq!(missing.kind(), ErrorKind::Unreadable);
    assert_eq!(
        refusal(Path::new("/dev/null")).kind(),
        ErrorKind::NotAnImage
    );
}

#[test]
fn in_a_folder_compressions_that_are_not_read_warn_and_other_files_do_not() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("a.gz"), gzip(b"anything")).unwrap();
    fs::write(dir.path().join("a.xz"), b"\xfd7zXZ\0\0\x04").unwrap();
    fs::write(dir.path().join("b"), noise(1, 5000)).unwrap();
    docker_archive(
        &dir.path().join("c"),
        &[ImageSpec::new("app:1").layer(1, 1)],
    );
    let found = looked(dir.path());
    assert_eq!(found.images.len(), 1);
    assert!(found.broken.is_empty());
    assert_eq!(found.warnings.len(), 1, "{:?}", found.warnings);
    assert!(
        found.warnings[0]
            .to_string()
            .contains("a.xz: is compressed with xz")
    );
}

#[test]
fn bad_json_in_a_docker_archive_is_told() {
    let deep = format!("[{}", "[".repeat(10_000));
    let deep_item = format!("[{}{}]", "[".repeat(10_000), "]".repeat(10_000));
    let deep_config = format!(
        r#"[{{"Config":{}{}}}]"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let huge = format!("[{}]", " ".repeat(17 << 20));
    let long = format!(r#"[{{"Config":{{"{}":1}}}}]"#, "x".repeat(100_000));
    let wide = format!("[\"{}\"]", "x".repeat(100_000));
    let many = format!("[{}{{}}]", "{},".repeat(1_000_000));
    let rows = [
        ("[", "manifest.json cannot be read: EOF"),
        (
            "[{}]",
            "image 1 of manifest.json cannot be read: missing field `Config`",
        ),
        (
            "[1]",
            "image 1 of manifest.json cannot be read: invalid type: integer `1`",
        ),
        (
            r#"[{"Config":7}]"#,
            "invalid type: integer `7`, expected a string",
        ),
        (
            r#"[{"Config":"c","Layers":"x"}]"#,
            "invalid type: string \"x\", expected a sequence",
        ),
        (
            r#"[{"Config":"nowhere.json"}]"#,
            "config \"nowhere.json\" is missing",
        ),
        (&deep, "manifest.json cannot be read: EOF"),
        (&deep_item, "image 1 of manifest.json cannot be read"),
        (&deep_config, "image 1 of manifest.json cannot be read"),
        (&huge, "manifest.json has 17825794 bytes, more than 16 MiB"),
        (&long, "image 1 of manifest.json cannot be read"),
        (&wide, "image 1 of manifest.json cannot be read"),
        (&many, "manifest.json lists 1000001 images, more than 10000"),
    ];
    for (json, words) in rows {
        let dir = tempdir().unwrap();
        let path = dir.path().join("app.tar");
        let mut members = Members::new();
        members.file("manifest.json", json.as_bytes());
        members.write(&path);
        let problems = problems(&path);
        assert!(problems[0].contains(words), "{problems:?}");
        assert!(problems[0].len() < 300, "{} bytes", problems[0].len());
    }
}

#[test]
fn lists_of_something_else_make_no_image_archive() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("site.tar");
    for (name, json) in [
        ("manifest.json", r#"{"manifest_version": 3}"#),
        ("index.json", r#"["page one"]"#),
    ] {
        let mut members = Members::new();
        members.file(name, json.as_bytes());
        members.write(&path);
        assert_eq!(refusal(&path).kind(), ErrorKind::NotAnImage, "{name}");
    }
}

#[test]
fn a_config_that_does_not_fit_is_told() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("app.tar");
    let named = format!("{}.json", "a".repeat(64));
    let huge = vec![b' '; (4 << 20) + 1];
    let spec = ImageSpec::unnamed().layer(1, 1);
    let two = ImageSpec::unnamed().layer(1, 1).layer(2, 1).config();
    let twice = spec.clone().layer(2, 1);
    let unknown = json!({"rootfs": {"diff_ids": ["blake3:abcd"]}}).to_string();
    let rows: [(&str, &[u8], &[&str], &str); 6] = [
        (
            "c.json",
            &two,
            &["l"],
            "manifest.json lists 1 layers, its config \"c.json\" 2",
        ),
        (
            "c.json",
            b"[[",
            &["l"],
            "config \"c.json\" cannot be read: ",
        ),
        (
            "c.json",
            &huge,
            &["l"],
            "config \"c.json\" has 4194305 bytes, more than 4 MiB",
        ),
        (
            &named,
            &spec.config(),
            &["l"],
            "has other content than its name says",
        ),
        (
            "c.json",
            &twice.config(),
            &["l", "l"],
            "layer \"l\" is listed with two diff_ids",
        ),
        (
            "c.json",
            unknown.as_bytes(),
            &["l"],
            "unknown algorithm \"blake3\"",
        ),
    ];
    for (name, config, layers, words) in rows {
        let mut members = Members::new();
        members.file(name, config);
        members.file("l", &spec.layers[0].tar());
        let list = json!([{"Config": name, "Layers": layers}]).to_string();
        members.file("manifest.json", list.as_bytes());
        members.write(&path);
        let problems = problems(&path);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(words), "{problems:?}");
    }
}

#[test]
fn one_broken_image_leaves_the_others_of_an_archive() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("app.tar");
    let spec = ImageSpec::new("app:1").layer(1, 10);
    let mut members = Members::new();
    members.file("c.json", &spec.config());
    members.file("l", &spec.layers[0].tar());
    let list = json!([
        {"Config": "c.json", "RepoTags": ["good:1"], "Layers": ["l"]},
        {"Config": "c.json", "RepoTags": ["bad:1"], "Layers": ["nowhere"]},
        {"Config": 3},
    ]);
    members.file("manifest.json", list.to_string().as_bytes());
    members.write(&path);
    let found = looked(&path);
    assert_eq!(found.images.len(), 1);
    assert_eq!(found.broken.len(), 2);
    assert_eq!(found.broken[0].names, ["bad:1"]);
    let sentence = found.broken[0].problems[0].to_string();
    assert_eq!(
        sentence,
        format!("{}: layer \"nowhere\" is missing", path.display())
    );
}

/// What `docker save` wrote before its manifests were right; its `manifest.json` is.
#[test]
fn an_index_json_that_is_wrong_gives_way_to_manifest_json() {
    let dir = tempdir().unwrap();
    let spec = ImageSpec::new("app:1").layer(1, 10);
    let written = dir.path().join("written.tar");
    docker25_archive(&written, &[spec]);
    let folder = dir.path().join("folder");
    tar::Archive::new(fs::File::open(&written).unwrap())
        .unpack(&folder)
        .unwrap();
    for index in [
        "{",
        r#"{"manifests":null}"#,
        r#"{"manifests":[{"size":"big"}]}"#,
    ] {
        fs::write(folder.join("index.json"), index).unwrap();
        let path = dir.path().join("app.tar");
        Members::of_folder(&folder).write(&path);
        let found = looked(&path);
        assert_eq!(found.images.len(), 1, "{index}");
        assert!(found.broken.is_empty(), "{index}: {:?}", found.broken);
    }
}
