//! What is kept in the folder, and what is taken out of it.

use std::fs::File;
use std::time::UNIX_EPOCH;

use tempfile::{TempDir, tempdir};

use super::*;

const DAY: u64 = 24 * 3600;
const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn blobs(number: u64) -> String {
    format!("blobs-{number:016x}.json")
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn names(dir: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(dir.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

const HOSTS: &str = r#"{"version":1,"hosts":{
    "a.example":{"realm":"/token","told":8640000},"b.example":{"realm":"/token","told":1}}}"#;

fn known(host: &str) -> String {
    format!(
        r#"{{"version":1,"host":"{host}","repositories":{{"a":{{"2":"{HEX}","100":"{}"}}}}}}"#,
        HEX.replace('0', "f")
    )
}

#[test]
fn files_are_told_by_what_they_hold() {
    let (one, other) = (blobs(1), blobs(2));
    let dir = folder(&[
        ("cache.json", HOSTS),
        ("layers.json", "{"),
        (&one, &known("r.example:5000")),
        (&other, r#"{"version":2}"#),
        ("notes.txt", "mine"),
        ("blobs-1.json", "mine too"),
        (".cache.json.12.0", "half"),
    ]);
    let shown = show(dir.path()).unwrap();
    let told = |entry: &Entry| (entry.kind, entry.entries, entry.oldest, entry.newest);
    let told: Vec<_> = shown.iter().map(told).collect();
    assert_eq!(
        told,
        [
            (Kind::TokenServices, 2, Some(1), Some(8_640_000)),
            (Kind::Layers, 0, None, None),
            (Kind::Blobs, 0, None, None),
            (Kind::Blobs, 2, Some(2 * DAY), Some(100 * DAY)),
        ]
    );
    assert_eq!(shown[0].hosts, ["a.example", "b.example"]);
    assert_eq!(shown[3].hosts, ["r.example:5000"]);
    for (entry, problem) in shown.iter().zip([
        None,
        Some("it is damaged"),
        Some("a later version of hoist has written it"),
        None,
    ]) {
        let said = entry.problem.as_deref();
        assert_eq!(said.is_some(), problem.is_some(), "{entry:?}");
        assert!(said.is_none_or(|said| said.ends_with(problem.unwrap())));
    }
}

#[test]
fn what_was_not_used_for_long_is_pruned() {
    let (one, other) = (blobs(1), blobs(2));
    let dir = folder(&[
        ("cache.json", HOSTS),
        ("layers.json", "{"),
        (&one, &known("r.example")),
        (&other, r#"{"version":2}"#),
        ("notes.txt", "mine"),
        (".cache.json.12.0", "half"),
    ]);
    let freed = prune(dir.path(), Duration::from_secs(10 * DAY), at(100 * DAY + 7)).unwrap();
    assert_eq!((freed.files, freed.entries), (2, 2), "{freed:?}");
    let left = ["cache.json", "cache.lock", "notes.txt"];
    let left: Vec<&str> = [one.as_str(), other.as_str()]
        .into_iter()
        .chain(left)
        .collect();
    assert_eq!(names(&dir), left);
    let entries: Vec<usize> = show(dir.path())
        .unwrap()
        .iter()
        .map(|e| e.entries)
        .collect();
    assert_eq!(entries, [1, 0, 1]);
    let nothing = prune(dir.path(), Duration::from_secs(10 * DAY), at(100 * DAY + 7)).unwrap();
    assert_eq!(nothing, Freed::default());
    // A clock that was ahead.
    let back = prune(dir.path(), Duration::from_secs(10 * DAY), at(50 * DAY)).unwrap();
    assert_eq!((back.files, back.entries), (2, 2), "{back:?}");
}

#[test]
fn only_what_is_of_the_cache_is_cleared() {
    let (one, other) = (blobs(1), blobs(2));
    let dir = folder(&[
        ("cache.json", HOSTS),
        (&one, &known("r.example")),
        (&other, r#"{"version":2}"#),
        ("notes.txt", "mine"),
        ("blobs-1.json", "mine too"),
        (".layers.json.12.0", "half"),
        (".layers.json.12", "mine"),
        (".layers.json.x.0", "mine"),
        (".notes.12.0", "mine"),
    ]);
    fs::create_dir(dir.path().join("layers.json")).unwrap();
    let freed = clear(dir.path()).unwrap();
    assert_eq!((freed.files, freed.entries), (4, 4));
    let left = [
        ".layers.json.12",
        ".layers.json.x.0",
        ".notes.12.0",
        "blobs-1.json",
        "cache.lock",
        "layers.json",
        "notes.txt",
    ];
    assert_eq!(names(&dir), left);
    assert_eq!(clear(dir.path()).unwrap(), Freed::default());
}

#[test]
fn of_many_registries_those_stay_that_were_pushed_to_last() {
    let dir = folder(&[]);
    let size = MOST_BYTES_OF_BLOBS / 4;
    for number in 0..6 {
        let path = dir.path().join(blobs(number));
        fs::write(&path, " ".repeat(size as usize)).unwrap();
        let file = File::options().write(true).open(path).unwrap();
        // The first one was written last.
        file.set_modified(at(1000 - number)).unwrap();
    }
    sweep(dir.path(), Some(&blobs(5))).unwrap();
    assert_eq!(names(&dir), [0, 1, 2, 5].map(blobs));
}

#[test]
fn there_are_not_too_many_files() {
    let dir = folder(&[]);
    for number in 0..MOST_FILES_OF_BLOBS as u64 + 2 {
        let path = dir.path().join(blobs(number));
        fs::write(&path, "").unwrap();
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(at(1000 + number)).unwrap();
    }
    sweep(dir.path(), None).unwrap();
    let left = names(&dir);
    assert_eq!((left.len(), &left[0]), (MOST_FILES_OF_BLOBS, &blobs(2)));
}

#[test]
fn a_folder_that_is_not_there_stays_so() {
    let dir = folder(&[("file", "")]);
    let nowhere = dir.path().join("no/where");
    assert!(show(&nowhere).unwrap().is_empty());
    assert_eq!(clear(&nowhere).unwrap(), Freed::default());
    assert_eq!(
        prune(&nowhere, Duration::ZERO, at(0)).unwrap(),
        Freed::default()
    );
    assert!(!dir.path().join("no").exists());
    assert!(show(&dir.path().join("file")).is_err());
}

#[test]
fn whoever_writes_is_not_disturbed() {
    let dir = folder(&[("cache.json", HOSTS), ("cache.lock", "")]);
    let lock = File::open(dir.path().join("cache.lock")).unwrap();
    lock.lock().unwrap();
    for outcome in [clear(dir.path()), prune(dir.path(), Duration::ZERO, at(0))] {
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
    assert_eq!(names(&dir), ["cache.json", "cache.lock"]);
}
