//! Layouts whose documents or blobs are wrong: each gives a sentence that names the digest.

use std::fs;
use std::os::unix::fs::symlink;

use hoist::image::digest::Digest;
use hoist::image::discover::{Options, discover};
use hoist::image::manifest::MAX_MANIFEST;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::archives::{CONFIG, Form, INDEX, ImageSpec, Layout, MANIFEST, layout};
use crate::support::images::{looked, problems, whole};

/// A layout with one image, of which `wrong` makes a descriptor.
fn bad_layout(wrong: impl Fn(&Layout) -> Value) -> Vec<String> {
    let dir = tempdir().unwrap();
    let mut layout = Layout::create(dir.path());
    let descriptor = wrong(&layout);
    layout.enter(descriptor, Some("app:1"));
    layout.finish();
    problems(dir.path())
}

fn usual() -> ImageSpec {
    ImageSpec::unnamed().layer(1, 2000)
}

#[test]
fn all_that_is_wrong_with_an_image_is_told_at_once() {
    let dir = tempdir().unwrap();
    let mut layout = Layout::create(dir.path());
    let spec = ImageSpec::unnamed()
        .layer(1, 100)
        .layer(2, 200)
        .layer(3, 300);
    let layers: Vec<Value> = spec.layers.iter().map(|l| layout.layer(l)).collect();
    let path = |n: usize| layout.blob_path(layers[n]["digest"].as_str().unwrap());
    let digest = |n: usize| layers[n]["digest"].as_str().unwrap().to_owned();
    let size = |n: usize| layers[n]["size"].as_u64().unwrap();
    let descriptor = layout.image(&spec);
    fs::remove_file(path(0)).unwrap();
    fs::write(path(1), b"short").unwrap();
    fs::write(path(2), vec![1; 5000]).unwrap();
    layout.enter(descriptor, Some("team/app:1"));
    let expected = [
        format!("layer {} is missing", digest(0)),
        format!(
            "layer {} has 5 bytes, its descriptor says {}",
            digest(1),
            size(1)
        ),
        format!(
            "layer {} has 5000 bytes, its descriptor says {}",
            digest(2),
            size(2)
        ),
    ];
    layout.finish();
    assert_eq!(problems(dir.path()), expected);
    assert_eq!(looked(dir.path()).broken[0].names, ["team/app:1"]);
}

#[test]
fn manifests_that_are_wrong_are_told() {
    let elsewhere = Digest::of(b"elsewhere");
    let missing =
        bad_layout(|_| json!({"mediaType": MANIFEST, "digest": elsewhere.as_str(), "size": 9}));
    assert_eq!(missing, [format!("manifest {elsewhere} is missing")]);

    let other = bad_layout(|layout| {
        let descriptor = layout.image(&usual());
        let path = layout.blob_path(descriptor["digest"].as_str().unwrap());
        let mut bytes = fs::read(&path).unwrap();
        bytes.reverse();
        fs::write(path, bytes).unwrap();
        descriptor
    });
    assert!(
        other[0].ends_with("has other content than its digest says"),
        "{other:?}"
    );

    let huge = bad_layout(|layout| {
        let size = usize::try_from(MAX_MANIFEST).unwrap();
        layout.blob(MANIFEST, &vec![b' '; size + 1])
    });
    assert!(
        huge[0].ends_with("has 4194305 bytes, more than 4 MiB"),
        "{huge:?}"
    );

    let lying = bad_layout(|layout| {
        let mut descriptor = layout.image(&usual());
        descriptor["size"] = 7.into();
        descriptor
    });
    assert!(lying[0].ends_with("its descriptor says 7"), "{lying:?}");

    let unknown = bad_layout(|layout| {
        let mut descriptor = layout.image(&usual());
        descriptor["digest"] = "blake3:abcdef".into();
        descriptor
    });
    let expected = "manifest blake3:abcdef has a digest of the unknown algorithm \"blake3\"";
    assert_eq!(unknown, [expected]);
}

#[test]
fn manifests_that_say_wrong_things_are_told() {
    let deep = format!("{{\"schemaVersion\":2,\"config\":{}", "[".repeat(10_000));
    let rows: [(&str, &str); 8] = [
        (&deep, "is no valid manifest: "),
        ("", "is no valid manifest: EOF"),
        ("[]", "is no valid manifest: "),
        ("{}", "has schemaVersion none, only 2 can be pushed"),
        (r#"{"schemaVersion":1}"#, "has schemaVersion 1"),
        (r#"{"schemaVersion":2}"#, "has no config"),
        (
            r#"{"schemaVersion":2,"mediaType":"x/y"}"#,
            "says that it is x/y, while its descriptor",
        ),
        (
            r#"{"schemaVersion":2,"config":{"mediaType":"a","digest":"../x","size":1}}"#,
            "is no digest",
        ),
    ];
    for (json, words) in rows {
        let problems = bad_layout(|layout| layout.blob(MANIFEST, json.as_bytes()));
        assert!(problems[0].contains(words), "{problems:?}");
    }
}

#[test]
fn blobs_of_unknown_algorithms_and_sizes_below_zero_are_told() {
    let config = |layout: &Layout| layout.blob(CONFIG, &usual().config());
    let unknown = bad_layout(|layout| {
        let layer = json!({"mediaType": "x", "digest": "blake3:ab", "size": 1});
        layout.manifest(&json!({"config": config(layout), "layers": [layer]}))
    });
    assert_eq!(
        unknown,
        ["layer blake3:ab has a digest of the unknown algorithm \"blake3\""]
    );
    let negative = bad_layout(|layout| {
        let mut layer = layout.layer(&usual().layers[0]);
        layer["size"] = json!(-1);
        layout.manifest(&json!({"config": config(layout), "layers": [layer]}))
    });
    assert!(
        negative[0].contains("invalid value: integer `-1`"),
        "{negative:?}"
    );
}

#[test]
fn index_json_that_is_wrong_is_told() {
    let deep = format!(
        "{{\"manifests\":[{}{}]}}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let rows = [
        ("", "index.json cannot be read: EOF"),
        ("[]", "index.json is a list instead of an object"),
        (
            r#"{"manifests":{}}"#,
            "index.json cannot be read: invalid type: map",
        ),
        (
            r#"{"manifests":[7]}"#,
            "entry 1 of index.json cannot be read",
        ),
        (&deep, "entry 1 of index.json cannot be read: "),
    ];
    for (json, words) in rows {
        let dir = tempdir().unwrap();
        layout(dir.path(), &[]);
        fs::write(dir.path().join("index.json"), json).unwrap();
        let problems = problems(dir.path());
        assert!(problems[0].contains(words), "{problems:?}");
    }
    let dir = tempdir().unwrap();
    layout(dir.path(), &[]);
    fs::remove_file(dir.path().join("index.json")).unwrap();
    assert_eq!(problems(dir.path()), ["index.json is missing"]);
}

#[test]
fn a_million_bad_entries_are_not_a_million_errors() {
    let dir = tempdir().unwrap();
    layout(dir.path(), &[]);
    let many = format!("{{\"manifests\":[{}{{}}]}}", "{},".repeat(1_000_000));
    fs::write(dir.path().join("index.json"), many).unwrap();
    let told = looked(dir.path()).broken;
    let told: Vec<&str> = told.iter().map(|b| b.problems[0].message()).collect();
    assert_eq!(told.len(), 11, "the others are counted");
    assert_eq!(told[10], "999991 more entries of index.json cannot be read");
}

#[test]
fn a_thousand_missing_layers_are_counted() {
    let dir = tempdir().unwrap();
    let mut layout = Layout::create(dir.path());
    let config = layout.blob(CONFIG, b"{}");
    let layers: Vec<Value> = (0..1001)
        .map(|n| json!({"mediaType": "x/y", "digest": format!("sha256:{n:064}"), "size": 1}))
        .collect();
    let root = layout.manifest(&json!({"config": config, "layers": layers}));
    layout.enter(root, Some("app:1"));
    layout.finish();
    let problems = problems(dir.path());
    assert_eq!(problems.len(), 21);
    assert_eq!(problems[20], "and 982 more");
}

#[test]
fn indexes_without_end_are_given_up() {
    let nested = bad_layout(|layout| {
        let mut descriptor = layout.image(&usual());
        for _ in 0..20 {
            descriptor = layout.index(&[descriptor]);
        }
        descriptor
    });
    assert!(
        nested[0].contains("is nested more than 8 deep"),
        "{nested:?}"
    );
    let large = bad_layout(|layout| {
        let padding = "x".repeat(4_000_000);
        let children: Vec<Value> = (0..20)
            .map(|n| {
                let document = json!({"schemaVersion": 2, "manifests": [], "n": n, "pad": padding});
                layout.blob(INDEX, document.to_string().as_bytes())
            })
            .collect();
        layout.index(&children)
    });
    assert!(large[0].contains("more than 64 MiB together"), "{large:?}");
}

#[test]
fn blobs_that_are_no_files_are_not_opened() {
    let dir = tempdir().unwrap();
    let spec = usual();
    layout(dir.path(), std::slice::from_ref(&spec));
    let digest = Digest::of(&spec.layers[0].stored(Form::Gzip));
    let blob = dir.path().join("blobs/sha256").join(digest.encoded());
    let expect =
        |words: &str| assert_eq!(problems(dir.path()), [format!("layer {digest} {words}")]);

    let bytes = fs::read(&blob).unwrap();
    fs::remove_file(&blob).unwrap();
    fs::create_dir(&blob).unwrap();
    expect("is no regular file");
    fs::remove_dir(&blob).unwrap();

    let outside = tempdir().unwrap();
    let target = outside.path().join("blob");
    fs::write(&target, &bytes).unwrap();
    symlink(&target, &blob).unwrap();
    expect("is a link that leaves the layout (--follow-links allows it)");
    let followed = discover(dir.path(), Options { follow_links: true }).unwrap();
    assert_eq!(followed.images.len(), 1);

    let inside = dir.path().join("blobs/inside");
    fs::rename(&target, &inside).unwrap();
    fs::remove_file(&blob).unwrap();
    symlink("../inside", &blob).unwrap();
    assert_eq!(whole(dir.path()).len(), 1);
}

#[test]
fn a_name_that_is_none_is_a_warning() {
    let dir = tempdir().unwrap();
    let mut layout = Layout::create(dir.path());
    let descriptor = layout.image(&usual());
    layout.enter(descriptor, Some("Not A Name"));
    layout.finish();
    let found = looked(dir.path());
    assert_eq!(found.images.len(), 1);
    assert!(found.images[0].names.is_empty());
    let warning = found.warnings[0].to_string();
    assert!(
        warning.contains("a name in index.json is passed over: "),
        "{warning}"
    );
}
