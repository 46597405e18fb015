//! What is remembered of a registry's blobs, and for how long.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::{TempDir, tempdir};

use super::*;
use crate::push::cache::file::Document as _;

struct Site {
    dir: TempDir,
    host: Host,
}

impl Site {
    fn new() -> Self {
        Self {
            dir: tempdir().unwrap(),
            host: Host::parse("R.example:5000").unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(name(&key(&self.host)))
    }

    /// What a later push reads.
    fn open(&self) -> Blobs {
        let (blobs, warning) = Blobs::open(self.dir.path(), &self.host);
        assert_eq!(warning, None);
        blobs
    }

    /// Leaves what a push does that sees some on that day, and misses others.
    fn push(&self, seen: &[(&str, &str)], missed: &[(&str, &str)], day: u64) {
        self.write(&self.open(), seen, missed, day);
    }

    fn write(&self, blobs: &Blobs, seen: &[(&str, &str)], missed: &[(&str, &str)], day: u64) {
        let named = |names: &[(&str, &str)]| -> Vec<(Repository, Digest)> {
            let parse = |(name, blob): &(&str, &str)| (repository(name), digest(blob));
            names.iter().map(parse).collect()
        };
        let (seen, missed) = (named(seen), named(missed));
        let seen: Vec<_> = seen.iter().map(|(name, digest)| (name, digest)).collect();
        let missed = missed.iter().map(|(name, digest)| (name, key_of(digest)));
        let missed: Vec<_> = missed.collect();
        let findings = Findings {
            forgotten: missed,
            ..found(seen)
        };
        blobs.remember(&mut Turn::at(self.dir.path()), &findings, at(day));
    }

    fn knows(&self, name: &str, blob: &str) -> bool {
        let holdings = self.open().holdings(at(0));
        holdings.has(&repository(name), &digest(blob))
    }
}

fn found<'a>(seen: Vec<(&'a Repository, &'a Digest)>) -> Findings<'a> {
    Findings {
        seen,
        forgotten: Vec::new(),
        checks: None,
        misled: false,
        keeps: None,
        loses: false,
    }
}

fn repository(name: &str) -> Repository {
    Repository::parse(name).unwrap()
}

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

fn key_of(digest: &Digest) -> Key {
    Key::of(digest).unwrap()
}

fn at(day: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(day * DAY + 5)
}

#[test]
fn a_later_push_knows_what_an_earlier_one_has_seen() {
    let site = Site::new();
    site.push(&[("a", "x"), ("team/b", "x"), ("a", "y")], &[], 3);
    for (name, blob, known) in [
        ("a", "x", true),
        ("a", "y", true),
        ("team/b", "x", true),
        ("team/b", "y", false),
        ("c", "x", false),
    ] {
        assert_eq!(site.knows(name, blob), known, "{name} {blob}");
    }
    // What it missed, though not what it then brought there.
    site.push(&[("a", "y")], &[("a", "x"), ("a", "y")], 3);
    assert!(site.knows("a", "y") && site.knows("team/b", "x"));
    assert!(!site.knows("a", "x"));
    let other = Host::parse("r.example").unwrap();
    let (blobs, warning) = Blobs::open(site.dir.path(), &other);
    assert_eq!(warning, None);
    let known = blobs.holdings(at(0)).has(&repository("a"), &digest("y"));
    assert!(!known, "of another port");
}

/// What a push finds that sees a registry which looks like that, or shows the contrary.
type Finding = fn(Option<&'static str>, bool) -> Findings<'static>;
/// What a later one is told.
type Told = fn(&Holdings) -> Option<&str>;

#[test]
fn that_a_registry_checks_manifests_is_known_for_a_week() {
    let finding: Finding = |checks, misled| Findings {
        checks,
        misled,
        ..found(Vec::new())
    };
    is_known_for_a_week(finding, Holdings::looks);
}

#[test]
fn that_a_registry_keeps_cut_bodies_is_known_for_a_week() {
    let finding: Finding = |keeps, loses| Findings {
        keeps,
        loses,
        ..found(Vec::new())
    };
    is_known_for_a_week(finding, Holdings::keeps_cut_bodies);
}

fn is_known_for_a_week(finding: Finding, told: Told) {
    let site = Site::new();
    let push = |looks: Option<&'static str>, contrary: bool, day: u64| {
        let mut turn = Turn::at(site.dir.path());
        let findings = finding(looks, contrary);
        site.open().remember(&mut turn, &findings, at(day));
    };
    let looks = |day: u64| told(&site.open().holdings(at(day))).map(str::to_owned);
    push(None, false, 100);
    assert!(!site.path().exists());
    push(Some("abc"), false, 100);
    for (day, known) in [
        (100, true),
        (107, true),
        (108, false),
        (93, true),
        (92, false),
    ] {
        assert_eq!(looks(day).is_some(), known, "{day}");
    }
    // It was not shown again, which says nothing.
    push(None, false, 105);
    assert_eq!(looks(107).as_deref(), Some("abc"));
    push(Some("abd"), false, 105);
    assert_eq!(looks(112).as_deref(), Some("abd"));
    push(None, true, 105);
    assert_eq!(looks(105), None);
}

#[test]
fn the_file_of_another_registry_is_none() {
    let site = Site::new();
    site.push(&[("a", "x")], &[], 3);
    let text = fs::read_to_string(site.path()).unwrap();
    fs::write(site.path(), text.replace("r.example", "q.example")).unwrap();
    assert!(!site.knows("a", "x"));
    site.push(&[("a", "y")], &[], 3);
    assert!(site.knows("a", "y") && !site.knows("a", "x"));
}

#[test]
fn the_file_is_written_when_there_is_something_new() {
    let site = Site::new();
    site.push(&[("a", "x")], &[], 1000);
    let blobs = site.open();
    let [x, y] = [("a", "x"), ("a", "y")];
    for (seen, missed, day, written) in [
        (&[x][..], &[][..], 1000, false),
        (&[x], &[], 1001, false),
        (&[x], &[], 1002, true),
        (&[x], &[], 0, true),
        (&[x, y], &[], 1000, true),
        (&[], &[], 1000, false),
        (&[], &[y], 1000, false),
        (&[], &[x], 1000, true),
    ] {
        fs::remove_file(site.path()).ok();
        site.write(&blobs, seen, missed, day);
        assert_eq!(site.path().exists(), written, "{seen:?} {missed:?} {day}");
    }
}

/// What `numbers` stand for, in one of three repositories each.
fn many(numbers: std::ops::Range<usize>) -> Vec<(Repository, Digest)> {
    let number = |number: usize| {
        (
            repository(["a", "b", "c"][number % 3]),
            digest(&number.to_string()),
        )
    };
    numbers.map(number).collect()
}

#[test]
fn the_least_recently_seen_make_room() {
    let site = Site::new();
    let see = |numbers: std::ops::Range<usize>, day: u64| {
        let seen = many(numbers);
        let seen: Vec<_> = seen.iter().map(|(name, digest)| (name, digest)).collect();
        let mut turn = Turn::at(site.dir.path());
        site.open().remember(&mut turn, &found(seen), at(day));
    };
    see(0..MOST_ENTRIES, 10);
    // All but three are seen again.
    see(3..MOST_ENTRIES, 20);
    see(MOST_ENTRIES..MOST_ENTRIES + 2, 15);
    let blobs = site.open();
    assert_eq!(blobs.known.entries(), MOST_ENTRIES);
    let holdings = blobs.holdings(at(0));
    let all = many(0..MOST_ENTRIES + 2);
    let lost = all
        .iter()
        .filter(|(name, digest)| !holdings.has(name, digest));
    assert_eq!(lost.count(), 2);
    assert!(
        all[3..]
            .iter()
            .all(|(name, digest)| holdings.has(name, digest))
    );
    let size = fs::metadata(site.path()).unwrap().len();
    assert!(size <= Document::MOST_BYTES as u64, "{size}");
}

/// Repositories of one blob each, with names as long as they may be.
#[test]
fn the_file_stays_small_whatever_it_holds() {
    let site = Site::new();
    let names: Vec<Repository> = (0..8000)
        .map(|number| repository(&format!("{number:0>200}")))
        .collect();
    let x = digest("x");
    let seen: Vec<_> = names.iter().map(|name| (name, &x)).collect();
    let mut turn = Turn::at(site.dir.path());
    site.open().remember(&mut turn, &found(seen), at(10));
    let size = fs::metadata(site.path()).unwrap().len();
    let most = Document::MOST_BYTES as u64;
    assert!(size <= most && size > most / 2, "{size}");
    assert!(!site.open().known.repositories.is_empty());
}

#[test]
fn pushes_at_the_same_time_lose_nothing() {
    let site = Site::new();
    let names: Vec<String> = (0..8).map(|number| format!("r{number}")).collect();
    site.push(&[("old", "x")], &[], 3);
    std::thread::scope(|scope| {
        for name in &names {
            let (site, blobs) = (&site, site.open());
            scope.spawn(move || site.write(&blobs, &[(name, "x")], &[("old", "x")], 3));
        }
    });
    assert!(names.iter().all(|name| site.knows(name, "x")));
    assert!(!site.knows("old", "x"));
}

/// A warning, and what it says. Whatever it is, the next push writes over it.
fn damage(site: &Site, bytes: &[u8]) -> Option<String> {
    fs::write(site.path(), bytes).unwrap();
    let (blobs, warning) = Blobs::open(site.dir.path(), &site.host);
    site.write(&blobs, &[("new", "x")], &[], 9);
    assert!(site.knows("new", "x"));
    warning
}

#[test]
fn a_file_that_was_cut_is_none_or_damaged() {
    let site = Site::new();
    site.push(&[("a", "x"), ("team/b", "x"), ("a", "y")], &[], 3);
    site.push(&[("a", "z")], &[], 8);
    let whole = fs::read(site.path()).unwrap();
    let expected = format!("{} is ignored: it is damaged", site.path().display());
    for length in 0..whole.len() {
        let said = damage(&site, &whole[..length]);
        assert_eq!(said.as_ref(), Some(&expected), "{length}");
    }
    assert_eq!(damage(&site, &whole), None);
}

#[test]
fn what_is_no_list_of_blobs_is_damaged() {
    let hex = digest("x").encoded().to_owned();
    let site = Site::new();
    let of = |days: &str| {
        format!(
            r#"{{"version":1,"host":"r.example:5000","new":{{}},"repositories":{{"a":{days}}}}}"#
        )
    };
    for (text, is_damaged) in [
        (of(&format!(r#"{{"3":"{hex}"}}"#)), false),
        (of(r#"{"3":""}"#), false),
        (of("{}"), false),
        (of(&format!(r#"{{"3":"{}"}}"#, &hex[1..])), true),
        (of(&format!(r#"{{"3":"{hex}0"}}"#)), true),
        (of(&format!(r#"{{"3":"{}"}}"#, hex.to_uppercase())), true),
        (of(&format!(r#"{{"-3":"{hex}"}}"#)), true),
        (of(&format!(r#"{{"x":"{hex}"}}"#)), true),
        (of("[]"), true),
        (r#"{"version":1}"#.to_owned(), true),
        (r#"{"version":0,"host":"r.example:5000"}"#.to_owned(), true),
        ("\0\u{1}\u{7f}".to_owned(), true),
    ] {
        assert_eq!(
            damage(&site, text.as_bytes()).is_some(),
            is_damaged,
            "{text}"
        );
    }
}

#[test]
fn what_a_later_version_wrote_is_left_alone() {
    let site = Site::new();
    let later = r#"{"version": 2, "host": 7}"#;
    fs::write(site.path(), later).unwrap();
    let (blobs, warning) = Blobs::open(site.dir.path(), &site.host);
    assert!(warning.is_some_and(|why| why.ends_with("a later version of hoist has written it")));
    site.write(&blobs, &[("new", "x")], &[], 9);
    // It came between reading and writing.
    site.write(
        &Blobs {
            foreign: false,
            ..blobs
        },
        &[("new", "x")],
        &[],
        9,
    );
    assert_eq!(fs::read_to_string(site.path()).unwrap(), later);
}

#[cfg(unix)]
#[test]
fn what_others_may_have_written_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::new();
    site.push(&[("a", "x")], &[], 3);
    let mode =
        |mode: u32| fs::set_permissions(site.path(), fs::Permissions::from_mode(mode)).unwrap();
    let found = fs::metadata(site.path()).unwrap().permissions().mode();
    assert_eq!(found & 0o777, 0o600);
    mode(0o602);
    let (blobs, warning) = Blobs::open(site.dir.path(), &site.host);
    assert!(warning.is_some_and(|why| why.ends_with("others can write to it")));
    assert!(!blobs.holdings(at(0)).has(&repository("a"), &digest("x")));
}
