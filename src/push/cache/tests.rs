//! What is remembered, and for how long.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::tempdir;

use super::*;
use crate::registry::clock::Stop;

fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

fn service(realm: &str) -> TokenService {
    TokenService {
        realm: realm.to_owned(),
        service: Some("registry".to_owned()),
    }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn remember(cache: &Cache, folder: &Path, host: &Host, service: &TokenService, now: SystemTime) {
    cache.remember(&mut Turn::at(folder), host, service, now);
}

/// What a later push reads.
fn reopened(folder: &Path) -> Cache {
    let (cache, warning) = Cache::open(folder);
    assert_eq!(warning, None);
    cache
}

#[test]
fn a_later_push_knows_what_an_earlier_one_was_told() {
    let dir = tempdir().unwrap();
    let folder = dir.path().join("not/there/yet");
    let (one, other) = (host("R.example:5000"), host("r.example"));
    let empty = reopened(&folder);
    assert_eq!(empty.token_service(&one, at(3)), None);
    remember(
        &empty,
        &folder,
        &one,
        &service("https://auth.example/a"),
        at(1),
    );
    remember(&empty, &folder, &other, &service("/token"), at(2));
    let cache = reopened(&folder);
    let known = cache.token_service(&host("r.EXAMPLE:5000"), at(3));
    assert_eq!(known, Some(service("https://auth.example/a")));
    assert_eq!(cache.token_service(&other, at(3)), Some(service("/token")));
    remember(&cache, &folder, &other, &service("/elsewhere"), at(3));
    assert_eq!(
        reopened(&folder).token_service(&other, at(3)),
        Some(service("/elsewhere"))
    );
}

#[test]
fn what_was_told_long_ago_is_asked_again() {
    let dir = tempdir().unwrap();
    let host = host("r.example");
    let told = 10 * LONGEST_TRUST;
    let empty = reopened(dir.path());
    remember(&empty, dir.path(), &host, &service("/token"), at(told));
    let cache = reopened(dir.path());
    for (now, trusted) in [
        (told, true),
        (told + LONGEST_TRUST, true),
        (told + LONGEST_TRUST + 1, false),
        // The clock was wrong then, or is now.
        (told - LONGEST_TRUST - 1, false),
        (0, false),
    ] {
        let known = cache.token_service(&host, at(now));
        assert_eq!(known.is_some(), trusted, "{now}");
    }
}

#[test]
fn the_file_is_written_when_there_is_something_new() {
    let dir = tempdir().unwrap();
    let (host, service) = (host("r.example"), service("/token"));
    let path = dir.path().join("cache.json");
    let empty = reopened(dir.path());
    remember(&empty, dir.path(), &host, &service, at(1000));
    let cache = reopened(dir.path());
    for (now, written) in [
        (1000, false),
        (1000 + STALE, false),
        (1001 + STALE, true),
        (0, false),
    ] {
        fs::remove_file(&path).ok();
        remember(&cache, dir.path(), &host, &service, at(now));
        assert_eq!(path.exists(), written, "{now}");
    }
    fs::remove_file(&path).ok();
    for realm in ["https://user:pass@auth.example/", &"x".repeat(LONGEST + 1)] {
        let other = TokenService {
            realm: realm.to_owned(),
            ..service.clone()
        };
        remember(&cache, dir.path(), &host, &other, at(1000));
        assert!(!path.exists(), "{realm:.40}");
    }
}

#[test]
fn the_oldest_make_room() {
    let dir = tempdir().unwrap();
    for number in 0..MOST_HOSTS + 2 {
        let host = host(&format!("r{number}.example"));
        // The second one is the oldest.
        let now = if number == 1 { 1 } else { 10 + number as u64 };
        let cache = reopened(dir.path());
        remember(&cache, dir.path(), &host, &service("/token"), at(now));
    }
    let cache = reopened(dir.path());
    assert_eq!(cache.known.hosts.len(), MOST_HOSTS);
    for (number, there) in [(0, false), (1, false), (2, true), (MOST_HOSTS + 1, true)] {
        let known = cache.token_service(&host(&format!("r{number}.example")), at(1));
        assert_eq!(known.is_some(), there, "{number}");
    }
}

#[test]
fn what_is_wrong_with_the_file_is_said_once_and_then_it_is_replaced() {
    let later = r#"{"version": 2, "hosts": 7}"#;
    for (text, why) in [
        ("", "it is damaged"),
        ("{", "it is damaged"),
        (r#"{"hosts": {}}"#, "it is damaged"),
        (r#"{"version": "1"}"#, "it is damaged"),
        (r#"{"version": 0, "hosts": {}}"#, "it is damaged"),
        (r#"{"version": 1, "hosts": {"r": {}}}"#, "it is damaged"),
        (&" ".repeat((4 << 20) + 1), "it is too big"),
        (later, "a later version of hoist has written it"),
    ] {
        let dir = tempdir().unwrap();
        let path = dir.path().join("cache.json");
        fs::write(&path, text).unwrap();
        let (cache, warning) = Cache::open(dir.path());
        let expected = format!("{} is ignored: {why}", path.display());
        assert_eq!(warning, Some(expected), "{text:.40}");
        let host = host("r.example");
        remember(&cache, dir.path(), &host, &service("/token"), at(1));
        if text == later {
            assert_eq!(fs::read_to_string(&path).unwrap(), later);
        } else {
            let known = reopened(dir.path()).token_service(&host, at(1));
            assert!(known.is_some(), "{text:.40}");
        }
    }
    // Fields of a later hoist that keeps to version 1.
    let dir = tempdir().unwrap();
    let more = r#"{"version":1,"more":[],"hosts":{"r.example":{"realm":"/t","told":1,"new":{}}}}"#;
    fs::write(dir.path().join("cache.json"), more).unwrap();
    let known = reopened(dir.path()).token_service(&host("r.example"), at(1));
    assert_eq!(known.map(|known| known.realm), Some("/t".to_owned()));
}

#[test]
fn a_file_that_was_cut_is_damaged_and_then_replaced() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("cache.json");
    let hosts = ["one.example", "r.example:5000", "new.example"].map(host);
    for host in &hosts[..2] {
        let cache = reopened(dir.path());
        remember(&cache, dir.path(), host, &service("/token"), at(1));
    }
    let whole = fs::read(&path).unwrap();
    let expected = format!("{} is ignored: it is damaged", path.display());
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let (cache, warning) = Cache::open(dir.path());
        assert_eq!(warning.as_ref(), Some(&expected), "{length}");
        remember(&cache, dir.path(), &hosts[2], &service("/token"), at(1));
        let known = hosts.each_ref().map(|host| {
            let known = reopened(dir.path()).token_service(host, at(1));
            known.is_some()
        });
        assert_eq!(known, [false, false, true], "{length}");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(reopened(dir.path()).known.hosts.len(), 2);
}

#[cfg(unix)]
#[test]
fn it_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempdir().unwrap();
    let folder = dir.path().join("hoist");
    remember(
        &reopened(&folder),
        &folder,
        &host("r.example"),
        &service("/token"),
        at(1),
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let path = folder.join("cache.json");
    assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600));
    let names = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    assert_eq!(names, ["cache.json", "cache.lock"]);

    fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
    let (cache, warning) = Cache::open(&folder);
    let expected = format!("{} is ignored: others can write to it", path.display());
    assert_eq!(warning, Some(expected));
    assert_eq!(cache.token_service(&host("r.example"), at(1)), None);
}

#[test]
fn pushes_at_the_same_time_lose_nothing_and_wait_for_nobody() {
    let dir = tempdir().unwrap();
    thread::scope(|scope| {
        for number in 0..8 {
            let folder = dir.path();
            scope.spawn(move || {
                let host = host(&format!("r{number}.example"));
                let cache = reopened(folder);
                remember(&cache, folder, &host, &service("/token"), at(1));
            });
        }
    });
    assert_eq!(reopened(dir.path()).known.hosts.len(), 8);

    let lock = fs::File::open(dir.path().join("cache.lock")).unwrap();
    lock.lock().unwrap();
    let cache = reopened(dir.path());
    let mut turn = Turn::at(dir.path());
    let mut took = (0..8).map(|number| {
        let (host, began) = (host(&format!("late{number}.example")), Instant::now());
        cache.remember(&mut turn, &host, &service("/token"), at(1));
        began.elapsed()
    });
    // It waits for the first, and not for each.
    let first = took.next().unwrap();
    assert!(first >= Duration::from_millis(300), "{first:?}");
    let rest: Duration = took.sum();
    assert!(rest < first, "{rest:?} {first:?}");
    assert_eq!(reopened(dir.path()).known.hosts.len(), 8);
}

#[test]
fn a_lock_that_goes_from_hand_to_hand_is_waited_for() {
    let dir = tempdir().unwrap();
    let (one, other) = (host("one.example"), host("other.example"));
    remember(
        &reopened(dir.path()),
        dir.path(),
        &one,
        &service("/token"),
        at(1),
    );
    let lock = fs::File::options()
        .write(true)
        .open(dir.path().join("cache.lock"))
        .unwrap();
    lock.lock().unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            remember(
                &reopened(dir.path()),
                dir.path(),
                &other,
                &service("/token"),
                at(1),
            );
        });
        // Twice as long as for one who hangs.
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(600) {
            lock.set_modified(SystemTime::now()).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
        assert!(!waiting.is_finished());
        lock.unlock().unwrap();
    });
    assert_eq!(reopened(dir.path()).known.hosts.len(), 2);
}

#[test]
fn the_word_to_stop_ends_the_wait_for_the_lock() {
    let dir = tempdir().unwrap();
    let lock = fs::File::create(dir.path().join("cache.lock")).unwrap();
    lock.lock().unwrap();
    let stop = Stop::default();
    stop.stop();
    let mut turn = Turn::at(dir.path()).until(&stop);
    let error = turn.begin().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Interrupted);
}

#[test]
fn what_cannot_be_written_is_no_failure() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for folder in [&file, Path::new("/proc/hoist")] {
        let cache = reopened(folder);
        remember(
            &cache,
            folder,
            &host("r.example"),
            &service("/token"),
            at(1),
        );
        assert_eq!(
            reopened(folder).token_service(&host("r.example"), at(1)),
            None
        );
    }
    fs::create_dir(dir.path().join("cache.json")).unwrap();
    let (cache, warning) = Cache::open(dir.path());
    assert!(warning.is_some_and(|warning| warning.ends_with("it is no file")));
    remember(
        &cache,
        dir.path(),
        &host("r.example"),
        &service("/token"),
        at(1),
    );
}
