//! Every rule about names, destinations and choosing: what is found, what is typed, where it goes.
//!
//! One table, pushed row by row through the binary into `hoist serve`.

mod rows;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use hoist::image::digest::Digest;
use serde_json::{Value, json};

use crate::naming::rows::{ROWS, Row};
use crate::support::archives::{Form, ImageSpec, Layout, docker_archive};
use crate::support::command::{Output, hoist};
use crate::support::pushing::{arrived, read_back};
use crate::support::registry::{Kind, Registry};

#[test]
fn every_rule_of_naming_holds() {
    let registry = Registry::start(Kind::Serve);
    for row in ROWS {
        let dir = tempfile::tempdir().unwrap();
        let output = push(row, dir.path(), &registry);
        let rule = row.rule;
        assert_eq!(output.code(), Some(row.code), "{rule}: {output}");
        let report = output.json();
        let found: BTreeSet<String> = arrived(&report).into_keys().collect();
        let expected = row.targets.split_whitespace().map(filled);
        assert_eq!(found, expected.collect(), "{rule}: {output}");
        read_back(&registry, &report);
        for part in row.said {
            let part = filled(&part.replace('@', &registry.host()));
            let said = output.stdout.contains(&part);
            assert!(said, "{rule}: no {part:?} in the report: {output}");
        }
    }
}

/// A name of an image that is broken is no typing error: the others are pushed.
#[test]
fn a_map_may_name_what_turns_out_to_be_broken() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write(&at("in/good/"), &[("a", &["good:1"])]);
    write(&at("in/bad/"), &[("b", &["q.io/bad:1", "=2"])]);
    write(&at("in/unnamed/"), &[("c", &[])]);
    for (folder, content) in [("bad", "b"), ("unnamed", "c")] {
        let layer = Digest::of(&spec(content).layers[0].stored(Form::Gzip));
        let blobs = at("in").join(folder).join("blobs/sha256");
        fs::remove_file(blobs.join(layer.encoded())).unwrap();
    }
    fs::write(at("map"), "good:1 x\nq.io/bad:1 y\nunnamed z\n").unwrap();
    let registry = Registry::start(Kind::Serve);
    let destination = format!("{}/t/", registry.host());
    let output = hoist(["push", "-o", "json", "--map", "map", "in", &destination])
        .current_dir(dir.path())
        .run()
        .expect_code(1);
    let report = output.json();
    assert_eq!(arrived(&report).into_keys().collect::<Vec<_>>(), ["t/x:1"]);
    assert_eq!(report["errors"], json!([]), "{output}");
}

#[test]
fn a_map_that_cannot_be_one_is_refused_before_anything_is_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("huge"), vec![b'#'; (8 << 20) + 1]).unwrap();
    fs::write(dir.path().join("odd"), b"a b\n\xff c\n").unwrap();
    for (map, said) in [
        ("huge", "--map huge: has more than 8 MiB"),
        ("odd", "--map odd line 2: is not UTF-8"),
        (".", "--map .: Is a directory"),
    ] {
        let push = hoist(["push", "--map", map, "nowhere", "localhost:1/"]);
        let output = push.current_dir(dir.path()).run().expect_code(2);
        let output = output.expect_stderr(said);
        assert!(!output.stderr.contains("nowhere"), "{output}");
    }
}

/// The row's command, in a folder that holds its sources below `in/` and its map.
fn push(row: &Row, dir: &Path, registry: &Registry) -> Output {
    fs::create_dir(dir.join("in")).unwrap();
    for (path, images) in row.sources {
        write(&dir.join("in").join(path), images);
    }
    fs::write(dir.join("map"), filled(row.map)).unwrap();
    let line = row.line.replace("@@", "\0").replace('@', &registry.host());
    let line = filled(&line.replace('\0', "@"));
    let words = line.split_whitespace().map(str::to_owned);
    hoist(["push", "-o", "json", "--progress", "none", "in"].map(str::to_owned))
        .args(words)
        .current_dir(dir)
        .run()
}

/// `{a}` stands for the first digits of the digest that the image with the content "a" has in layouts.
fn filled(text: &str) -> String {
    let mut text = text.to_owned();
    for content in ["a", "b"] {
        let place = format!("{{{content}}}");
        if text.contains(&place) {
            let dir = tempfile::tempdir().unwrap();
            let layout = Layout::create(dir.path());
            let digest = layout.image(&spec(content))["digest"].to_string();
            let hex = digest.trim_matches('"').trim_start_matches("sha256:");
            text = text.replace(&place, &hex[..12]);
        }
    }
    text
}

/// An image that only its content tells from others.
fn spec(content: &str) -> ImageSpec {
    let seed = u64::from(content.as_bytes()[0]);
    let size = if content == "huge" { 500_000 } else { 2_000 };
    let spec = ImageSpec::unnamed().layer(seed, size);
    match content {
        "arm" => spec.architecture("arm64"),
        _ => spec,
    }
}

/// A `docker save` archive, or a layout where the path ends in a slash.
fn write(path: &Path, images: &[(&str, &[&str])]) {
    if !path.to_str().unwrap().ends_with('/') {
        let spec = |(content, names): &(&str, &[&str])| ImageSpec {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..spec(content)
        };
        let specs: Vec<ImageSpec> = images.iter().map(spec).collect();
        docker_archive(path, &specs);
        return;
    }
    let mut layout = Layout::create(path);
    for (content, names) in images {
        let image = layout.image(&spec(content));
        if names.is_empty() {
            layout.enter(image.clone(), None);
        }
        for name in *names {
            enter(&mut layout, &image, name);
        }
    }
    layout.finish();
}

/// `=x` is `org.opencontainers.image.ref.name`, `+x` an artifact about the image, all else the name
/// that containerd gives.
fn enter(layout: &mut Layout, image: &Value, name: &str) {
    let mut entry = image.clone();
    if let Some(name) = name.strip_prefix('=') {
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    } else if let Some(name) = name.strip_prefix('+') {
        let config = layout.blob("application/vnd.oci.empty.v1+json", b"{}");
        let fields = json!({"config": config, "layers": [], "subject": image});
        entry = layout.manifest(&fields);
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    } else {
        entry["annotations"] = json!({"io.containerd.image.name": name});
    }
    layout.enter(entry, None);
}
