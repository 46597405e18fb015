//! `hoist cache`: shown, pruned, cleared.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::support::archives::{ImageSpec, docker_archive};
use crate::support::command::{Output, hoist};
use crate::support::pushing::push;
use crate::support::registry::{Kind, Registry};

/// A cache that a push has filled.
struct Site {
    registry: Registry,
    dir: TempDir,
}

impl Site {
    fn new() -> Self {
        let site = Self {
            registry: Registry::start(Kind::Serve),
            dir: tempdir().unwrap(),
        };
        let archive = site.dir.path().join("app.tar");
        docker_archive(&archive, &[ImageSpec::new("app:1").layer(1, 5_000)]);
        let folder = site.folder();
        let options = ["--cache-dir", folder.to_str().unwrap()];
        push(&archive, &site.registry, "one:1", &options).expect_code(0);
        push(&archive, &site.registry, "two:1", &options).expect_code(0);
        site
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn cache(&self, args: &[&str]) -> Output {
        cache(&self.folder(), args)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

fn cache(folder: &Path, args: &[&str]) -> Output {
    let command = hoist(["cache"]).args(args.iter().copied());
    command.arg("--cache-dir").arg(folder).run()
}

#[test]
fn it_says_what_is_kept() {
    let site = Site::new();
    let text = site.cache(&[]).expect_code(0).stdout;
    assert_eq!(site.cache(&["show"]).expect_code(0).stdout, text);
    let folder = site.folder().display().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with(&format!("{folder}: 2 files, ")),
        "{text}"
    );
    assert!(lines[0].ends_with(" of at most 4.0 MiB"), "{text}");
    let words =
        |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
    assert_eq!(lines.len(), 4, "{text}");
    assert_eq!(
        words(lines[1]),
        ["WHAT", "REGISTRY", "ENTRIES", "SIZE", "OLDEST", "NEWEST"]
    );
    assert_eq!(words(lines[2])[..3], ["layers", "-", "1"]);
    // Config, layer and manifest in two repositories.
    assert_eq!(words(lines[3])[..3], ["blobs", &site.registry.host(), "6"]);
    assert!(lines[3].ends_with("today"), "{text}");

    let told = site.cache(&["-o", "json"]).expect_code(0).json();
    assert_eq!(
        (&told["version"], &told["exit_code"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(told["folder"], folder);
    assert_eq!(told["freed"], Value::Null);
    let blobs = &told["files"][1];
    assert_eq!(
        (&blobs["kind"], &blobs["entries"]),
        (&json!("blobs"), &json!(6))
    );
    assert_eq!(blobs["hosts"], json!([site.registry.host()]));
    let bytes = |file: &Value| file["bytes"].as_u64().unwrap();
    let files = told["files"].as_array().unwrap().iter();
    assert_eq!(bytes(&told), files.map(bytes).sum::<u64>());
}

#[test]
fn it_is_pruned_and_cleared() {
    let site = Site::new();
    let whole = site.names();
    let kept = site.cache(&["prune"]).expect_code(0);
    assert!(
        kept.stdout
            .starts_with("freed 0 B: 0 entries, 0 files removed\n"),
        "{kept}"
    );
    assert_eq!(site.names(), whole);
    let path = site.folder().join("layers.json");
    let text = fs::read_to_string(&path).unwrap();
    let (before, after) = text.split_once("\"used\":").unwrap();
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
    fs::write(&path, format!("{before}\"used\":1000{after}")).unwrap();
    let pruned = site.cache(&["prune", "--older-than", "30d", "-o", "json"]);
    let freed = &pruned.expect_code(0).json()["freed"];
    assert_eq!((&freed["files"], &freed["entries"]), (&json!(1), &json!(1)));
    assert!(!path.exists());
    let cleared = site.cache(&["clear"]).expect_code(0);
    assert!(
        cleared.stdout.contains(": 6 entries, 1 file removed\n"),
        "{cleared}"
    );
    assert_eq!(site.names(), ["cache.lock"]);
    let empty = site.cache(&["-o", "json"]).expect_code(0).json();
    assert_eq!((&empty["files"], &empty["bytes"]), (&json!([]), &json!(0)));
}

#[test]
fn what_cannot_be_used_is_said_and_cleared() {
    let site = Site::new();
    let path = site.folder().join("cache.json");
    let damaged = format!("warning: {} is ignored: it is damaged", path.display());
    let later = format!("{} is ignored: a later version of hoist", path.display());
    for (text, said, pruned) in [
        ("{\"version\":1", &damaged, true),
        ("{\"version\":9}", &later, false),
    ] {
        fs::write(&path, text).unwrap();
        site.cache(&[]).expect_code(0).expect_stderr(said);
        let left = site.cache(&["prune"]).expect_code(0);
        assert_eq!(left.stderr.contains(said.as_str()), !pruned, "{left}");
        assert_eq!(path.exists(), !pruned);
    }
    site.cache(&["clear"]).expect_code(0);
    assert_eq!(site.names(), ["cache.lock"]);
}

#[test]
fn where_there_is_nothing_nothing_is_done() {
    let dir = tempdir().unwrap();
    let nowhere = dir.path().join("no/where");
    for args in [&[][..], &["prune"], &["clear"]] {
        let output = cache(&nowhere, args).expect_code(0);
        assert!(
            output.stdout.contains(": 0 files, 0 B of at most"),
            "{output}"
        );
    }
    assert!(!dir.path().join("no").exists());
    let none = hoist(["cache"]).run().expect_code(2);
    none.expect_stderr("there is no cache: no home to keep it in");
}

#[test]
fn what_cannot_be_changed_is_an_error() {
    let site = Site::new();
    let whole = site.names();
    let lock = site.folder().join("cache.lock");
    let held = fs::File::open(&lock).unwrap();
    held.lock().unwrap();
    for deed in ["prune", "clear"] {
        let output = site.cache(&[deed]).expect_code(1);
        output.expect_stderr("failed: another hoist is writing to it");
    }
    drop(held);
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    for deed in ["prune", "clear"] {
        let told = site.cache(&[deed, "-o", "json"]).expect_code(1).json();
        assert_eq!(told["exit_code"], 1);
        assert_eq!(told["errors"].as_array().unwrap().len(), 1, "{told:#}");
        assert_eq!(told["files"].as_array().unwrap().len(), 2);
    }
    assert_eq!(site.names(), whole);
    cache(&lock.join("x").join("y"), &[]).expect_code(0);
    let file = site.dir.path().join("app.tar");
    cache(&file, &[]).expect_code(1).expect_stderr("reading ");
}

#[test]
fn what_it_cannot_do_is_wrong_usage() {
    let dir = tempdir().unwrap();
    for (args, message) in [
        (&["purge"][..], "hoist cache cannot \"purge\""),
        (&["prune", "clear"], "one at a time: what is \"clear\"?"),
        (&["--older-than", "7d"], "--older-than is for pruning"),
        (
            &["clear", "--older-than", "7d"],
            "--older-than is for pruning",
        ),
        (
            &["prune", "--older-than", "soon"],
            "\"soon\" is not legal for --older-than",
        ),
    ] {
        cache(dir.path(), args)
            .expect_code(2)
            .expect_stderr(message);
    }
}
