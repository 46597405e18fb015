//! `hoist list`: what it says of good, broken and missing images, and with which code.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::support::archives::{Form, ImageSpec, LayerSpec, Layout, docker_archive, layout};
use crate::support::command::{Output, hoist};
use crate::support::pushing::{arrived, push};
use crate::support::registry::{Kind, Registry};

/// A layout with two images and an archive with one.
fn images() -> TempDir {
    let dir = tempdir().unwrap();
    let specs = [
        ImageSpec::new("registry.local/team/app:1").layer(1, 1000),
        ImageSpec::new("registry.local/team/web:2")
            .layer(1, 1000)
            .layer(2, 2000)
            .architecture("arm64"),
    ];
    layout(&dir.path().join("layout"), &specs);
    let archived = ImageSpec::new("nginx:1.25").also("nginx:stable");
    docker_archive(&dir.path().join("nginx.tar"), &[archived.layer(3, 500)]);
    dir
}

/// A layout whose only image lacks a blob.
fn broken(dir: &Path) {
    layout(dir, &[ImageSpec::new("broken:1").layer(4, 1000)]);
    let blobs = dir.join("blobs/sha256");
    let files = fs::read_dir(blobs)
        .unwrap()
        .map(|file| file.unwrap().path());
    let largest = files.max_by_key(|path| fs::metadata(path).unwrap().len());
    fs::remove_file(largest.unwrap()).unwrap();
}

fn list(args: &[&str], path: &Path) -> Output {
    hoist(["list"].iter().chain(args)).arg(path).run()
}

#[test]
fn a_pipe_gets_one_line_per_image() {
    let dir = images();
    let output = list(&[], dir.path()).expect_code(0);
    assert!(output.stderr.is_empty(), "{output}");
    let lines = output.stdout_lines();
    let mut rows: Vec<Vec<&str>> = lines
        .iter()
        .map(|line| line.split('\t').collect())
        .collect();
    rows.sort();
    assert_eq!(rows.len(), 3, "{output}");
    let [nginx, app, web] = [&rows[0], &rows[1], &rows[2]];
    assert_eq!(
        nginx[0],
        "docker.io/library/nginx:1.25,docker.io/library/nginx:stable"
    );
    assert_eq!(app[..3], ["registry.local/team/app:1", "linux/amd64", "1"]);
    assert_eq!(web[..3], ["registry.local/team/web:2", "linux/arm64", "2"]);
    assert_eq!(nginx[4], "-", "its manifest is still to be made");
    for row in [app, web] {
        assert!(
            row[4].starts_with("sha256:") && row[4].len() == 71,
            "{output}"
        );
        assert!(row[5].ends_with("/layout"), "{output}");
    }
}

#[test]
fn a_document_has_the_same_and_more() {
    let dir = images();
    let output = list(&["-o", "json", "--include", "**nginx:*"], dir.path()).expect_code(0);
    let document = output.json();
    assert_eq!(document["version"], 1);
    assert_eq!(document["outcome"], "ok");
    assert_eq!(document["exit_code"], 0);
    let images = document["images"].as_array().unwrap();
    assert_eq!(images.len(), 1, "{output}");
    let nginx = &images[0];
    assert_eq!(nginx["names"][1], "docker.io/library/nginx:stable");
    assert_eq!(nginx["platforms"], json!(["linux/amd64"]));
    assert_eq!(nginx["digest"], json!(null));
    assert!(nginx["config"].as_str().unwrap().starts_with("sha256:"));
    assert!(nginx["size"].as_u64().unwrap() >= 500);
    for list in ["broken", "errors", "warnings"] {
        assert_eq!(document[list], json!([]), "{output}");
    }
}

/// An index of two platforms and an attestation that share layers.
fn platforms(dir: &Path) {
    let mut layout = Layout::create(dir);
    let shared = |architecture: &str, seed| {
        let spec = ImageSpec::unnamed().architecture(architecture);
        spec.layer(1, 3000).layer(seed, 1000)
    };
    let amd64 = layout.image(&shared("amd64", 2));
    let arm64 = layout.image(&shared("arm64", 3));
    let root = layout.index(&[amd64, arm64]);
    layout.enter(root, Some("team/multi:1"));
    layout.finish();
}

#[test]
fn each_blob_is_listed_once_with_all_that_need_it() {
    let dir = tempdir().unwrap();
    platforms(&dir.path().join("multi"));
    let document = list(&["--long", "-o", "json"], dir.path())
        .expect_code(0)
        .json();
    let image = &document["images"][0];
    let blobs = image["blobs"].as_array().unwrap();
    let kinds: Vec<&str> = blobs.iter().map(|b| b["kind"].as_str().unwrap()).collect();
    let first = ["config", "layer", "layer", "manifest"];
    let second = ["config", "layer", "manifest", "index"];
    assert_eq!(kinds, [first, second].concat(), "{document}");
    let sizes = blobs.iter().map(|blob| blob["size"].as_u64().unwrap());
    assert_eq!(sizes.sum::<u64>(), image["size"].as_u64().unwrap());
    let both = json!(["linux/amd64", "linux/arm64"]);
    let shared = blobs.iter().filter(|blob| blob["platforms"] == both);
    let shared: Vec<&Value> = shared.map(|blob| &blob["kind"]).collect();
    assert_eq!(shared, ["layer"]);
    let index = &blobs[7];
    assert_eq!(index["digest"], image["digest"]);
    assert_eq!(index["platforms"], json!([]));

    let lines = list(&["--long"], dir.path()).expect_code(0);
    let digests: Vec<&str> = lines
        .stdout
        .lines()
        .map(|line| line.split('\t').nth(4).unwrap())
        .collect();
    let expected: Vec<&str> = blobs
        .iter()
        .map(|b| b["digest"].as_str().unwrap())
        .collect();
    assert_eq!(digests, expected, "{lines}");
}

#[test]
fn layers_that_have_no_digest_yet_are_told_by_their_diff_id() {
    let dir = tempdir().unwrap();
    let plain = LayerSpec {
        seed: 1,
        size: 100,
        form: None,
    };
    let spec = ImageSpec::new("app:1")
        .with(plain)
        .with(plain)
        .with(LayerSpec {
            seed: 2,
            size: 200,
            form: Some(Form::Gzip),
        });
    docker_archive(&dir.path().join("app.tar"), std::slice::from_ref(&spec));
    let document = list(&["--long", "-o", "json"], dir.path())
        .expect_code(0)
        .json();
    let image = &document["images"][0];
    let blobs = image["blobs"].as_array().unwrap();
    assert_eq!(blobs[0]["digest"], spec.config_digest().as_str());
    let layers: Vec<_> = blobs[1..]
        .iter()
        .map(|b| (&b["diff_id"], &b["form"]))
        .collect();
    let diff_ids = [spec.layers[0].diff_id(), spec.layers[2].diff_id()].map(Value::from);
    let forms = ["tar", "tar+gzip"].map(Value::from);
    assert_eq!(
        layers,
        [(&diff_ids[0], &forms[0]), (&diff_ids[1], &forms[1])]
    );
    assert!(
        blobs.iter().all(|blob| blob["media_type"].is_null()),
        "{document}"
    );
    let sizes = blobs.iter().map(|blob| blob["size"].as_u64().unwrap());
    assert_eq!(sizes.sum::<u64>(), image["size"].as_u64().unwrap());
}

#[test]
fn without_long_the_document_has_no_blobs() {
    let dir = images();
    let document = list(&["-o", "json"], dir.path()).expect_code(0).json();
    assert!(document["images"][0].get("blobs").is_none(), "{document}");
}

#[test]
fn the_folder_of_a_running_registry_is_listed_with_the_names_it_has_there() {
    let dir = images();
    let registry = Registry::start(Kind::Serve);
    let pushed = push(dir.path(), &registry, "store/", &["--tag", "extra"]).expect_code(0);
    let mut expected: Vec<(String, String)> = arrived(&pushed.json()).into_iter().collect();
    expected.sort();
    let document = list(&["-o", "json"], &registry.storage())
        .expect_code(0)
        .json();
    let images = document["images"].as_array().unwrap();
    let mut found: Vec<(String, String)> = Vec::new();
    for image in images {
        for name in image["names"].as_array().unwrap() {
            let (name, digest) = (name.as_str().unwrap(), image["digest"].as_str().unwrap());
            let (_, name) = name.split_once('/').unwrap();
            found.push((name.to_owned(), digest.to_owned()));
        }
    }
    found.sort();
    assert_eq!(found, expected, "{document}");
}

#[test]
fn a_broken_image_is_an_error_and_the_others_are_listed() {
    let dir = images();
    broken(&dir.path().join("bad"));
    let output = list(&[], dir.path()).expect_code(1);
    let output = output.expect_stderr("error: docker.io/library/broken:1 is broken: ");
    assert_eq!(output.stdout_lines().len(), 3, "{output}");

    let alone = list(&["-o", "json"], &dir.path().join("bad")).expect_code(1);
    let document = alone.json();
    assert_eq!(document["outcome"], "failed", "{alone}");
    assert_eq!(
        document["broken"][0]["problems"].as_array().unwrap().len(),
        1
    );
}

#[test]
fn nothing_to_list_is_exit_3_and_says_why() {
    let dir = images();
    let empty = tempdir().unwrap();
    for (args, path, said) in [
        (&[][..], empty.path(), "holds no image"),
        (&[], Path::new("/nonexistent"), "error: /nonexistent: "),
        (
            &["--include", "no/such"],
            dir.path(),
            "error: no image passes",
        ),
        (&["--min-size", "1G"], dir.path(), "error: no image passes"),
    ] {
        let output = list(args, path).expect_code(3).expect_stderr(said);
        assert!(output.stdout.is_empty(), "{output}");
        let args: Vec<&str> = args.iter().copied().chain(["-qo", "json"]).collect();
        let document = list(&args, path).expect_code(3).expect_stderr(said);
        assert_eq!(document.json()["outcome"], "nothing", "{document}");
    }
}

#[test]
fn a_source_that_gives_nothing_beside_others_is_exit_1() {
    let dir = images();
    let good = dir.path().join("nginx.tar");
    let output = list(&["/nonexistent"], &good).expect_code(1);
    assert_eq!(output.stdout_lines().len(), 1, "{output}");
}

#[test]
fn names_cannot_drive_the_terminal() {
    let dir = tempdir().unwrap();
    let evil = dir.path().join("evil\u{1b}[2J\n");
    let mut good = Layout::create(&evil);
    let image = good.image(&ImageSpec::unnamed().layer(5, 100));
    good.enter(image, None);
    good.finish();
    let output = list(&[], dir.path()).expect_code(0);
    assert_eq!(output.stdout_lines().len(), 1, "{output}");
    assert!(output.stdout.contains("evil\\u{1b}[2J\\n"), "{output}");
}

#[test]
fn paths_are_relative_to_where_the_command_runs() {
    let dir = images();
    let output = hoist(["list", "nginx.tar"])
        .current_dir(dir.path())
        .run()
        .expect_code(0);
    assert!(output.stdout.ends_with("\tnginx.tar\n"), "{output}");
}

/// A reader that goes away is the reader's business.
#[test]
fn a_closed_pipe_is_no_panic() {
    let dir = images();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hoist"));
    let ran = command
        .arg("list")
        .arg(dir.path())
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(0));
    assert!(
        ran.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

/// One that cannot take the results is not.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let dir = images();
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_hoist"));
    let ran = command
        .arg("list")
        .arg(dir.path())
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(
        said.starts_with("error: writing to standard output failed: "),
        "{said}"
    );
}
