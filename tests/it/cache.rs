//! What a push leaves in the cache for later ones, and that it needs none.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::support::archives::{ImageSpec, layout};
use crate::support::command::{Command, hoist};
use crate::support::registry::{Kind, Registry};
use crate::support::scripted::{Scripted, Seen, answer, on};

/// A registry that asks once for a token of the service at `/token`, and then lets everybody in.
struct Site {
    server: Scripted,
    _registry: Registry,
    dir: TempDir,
}

impl Site {
    fn new(questions: usize) -> Self {
        let registry = Registry::start(Kind::Serve);
        let bearer =
            answer(401).header("WWW-Authenticate", "Bearer realm=\"/token\",service=\"r\"");
        let token = answer(200).body("{\"token\": \"t0ps3cret\", \"expires_in\": 300}");
        let rules = [
            on("GET", "/token").then(token),
            on("*", "/v2/").times(questions).then(bearer),
        ];
        let dir = tempdir().unwrap();
        let spec = ImageSpec::new("team/app:1").layer(1, 5000);
        layout(&dir.path().join("source"), &[spec]);
        Self {
            server: Scripted::before(registry.address(), rules),
            _registry: registry,
            dir,
        }
    }

    fn host(&self) -> String {
        self.server.address().to_string()
    }

    fn push(&self) -> Command {
        let command = hoist(["push", "--retries", "0", "-u", "robot", "--password-stdin"]);
        // Otherwise the scheme of a loopback host is found out first, without a token.
        command
            .arg("--plain-http")
            .stdin("hunter2")
            .arg(self.dir.path().join("source"))
            .arg(format!("{}/demo/", self.host()))
    }

    /// The requests of one successful push.
    fn pushed(&self, command: Command) -> Vec<Seen> {
        let before = self.server.requests().len();
        command.run().expect_code(0);
        self.server.requests().split_off(before)
    }
}

fn read(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("cache.json")).unwrap();
    assert!(
        !text.contains("hunter2") && !text.contains("t0ps3cret"),
        "{text}"
    );
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_known_host_costs_one_request_less() {
    let site = Site::new(1);
    let cache = site.dir.path().join("cache");
    let pushed = || site.pushed(site.push().arg("--cache-dir").arg(&cache));
    let first = pushed();
    assert_eq!(first[0].header("authorization"), None);
    assert!(first[1].target.starts_with("/token?"), "{:?}", first[1]);
    let known = read(&cache);
    assert_eq!(known["version"], 1);
    let host = &known["hosts"][&site.host()];
    assert_eq!(
        (&host["realm"], &host["service"]),
        (&json!("/token"), &json!("r"))
    );

    let second = pushed();
    assert!(second[0].target.starts_with("/token?"), "{:?}", second[0]);
    for seen in &second[1..] {
        assert_eq!(
            seen.header("authorization"),
            Some("Bearer t0ps3cret"),
            "{seen:?}"
        );
    }
    // One HEAD for what is there, and its token.
    assert_eq!(second.len(), 2, "{second:?}");
}

/// A service that is still there, and is not the registry's any more, sees no password after a week.
#[test]
fn what_is_remembered_is_asked_for_again() {
    const WEEK: u64 = 7 * 24 * 3600;
    for (age, asked) in [(60, true), (WEEK + 60, false)] {
        let site = Site::new(1);
        let old = Scripted::start([on("GET", "/token").then(answer(403))]);
        let cache = site.dir.path().join("cache");
        fs::create_dir(&cache).unwrap();
        let known = json!({"realm": old.url("/token"), "told": seconds() - age});
        let known = json!({"version": 1, "hosts": {site.host(): known}});
        fs::write(cache.join("cache.json"), known.to_string()).unwrap();
        site.pushed(site.push().arg("--cache-dir").arg(&cache));
        assert_eq!(!old.requests().is_empty(), asked, "{age}");
        assert_eq!(read(&cache)["hosts"][site.host()]["realm"], "/token");
    }
}

fn seconds() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs()
}

#[test]
fn the_cache_is_where_it_is_wanted_or_nowhere() {
    const HOME: (&str, &str) = ("HOME", "home");
    const XDG: (&str, &str) = ("XDG_CACHE_HOME", "xdg");
    const NAMED: (&str, &str) = ("HOIST_CACHE_DIR", "named");
    for (env, options, expected) in [
        (&[HOME][..], "", Some("home/.cache/hoist")),
        (&[HOME, XDG], "", Some("xdg/hoist")),
        (&[HOME, XDG, NAMED], "", Some("named")),
        (&[HOME, NAMED], "--cache-dir=typed", Some("typed")),
        (&[HOME, NAMED], "--no-cache", None),
        (&[HOME], "--no-cache", None),
        // No home is made where there is none.
        (&[("HOME", "nobody")], "", None),
    ] {
        let site = Site::new(1);
        let path = |name: &str| site.dir.path().join(name);
        fs::create_dir(path("home")).unwrap();
        let options = options.split_whitespace();
        let push = site.push().args(options).current_dir(site.dir.path());
        let push = env
            .iter()
            .fold(push, |push, (key, name)| push.env(*key, path(name)));
        site.pushed(push);
        for folder in [
            "home/.cache/hoist",
            "xdg/hoist",
            "named",
            "typed",
            "nobody/.cache/hoist",
        ] {
            let there = path(folder).join("cache.json").exists();
            assert_eq!(there, expected == Some(folder), "{env:?} {folder}");
        }
        assert!(!path("nobody").exists());
    }
}

#[test]
fn a_damaged_cache_is_one_warning() {
    let site = Site::new(1);
    let cache = site.dir.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::write(cache.join("cache.json"), "{\"version\": 1, \"hosts\": []}").unwrap();
    let push = || site.push().arg("--cache-dir").arg(&cache);
    let warning = format!(
        "{} is ignored: it is damaged",
        cache.join("cache.json").display()
    );
    let output = push().args(["-o", "json"]).run().expect_code(0);
    assert_eq!(output.json()["warnings"], json!([warning]), "{output}");
    assert_eq!(output.stderr.matches(&warning).count(), 1, "{output}");
    let again = push().run().expect_code(0);
    assert!(!again.stderr.contains("warning"), "{again}");
    assert!(read(&cache)["hosts"][site.host()].is_object());
}

#[test]
fn without_a_place_for_the_cache_nothing_is_lost() {
    for (env, folder) in [
        ("HOME", ""),
        ("HOME", "/proc"),
        ("HOIST_CACHE_DIR", "/proc/x"),
    ] {
        let site = Site::new(1);
        let output = site.push().env(env, folder).run().expect_code(0);
        assert!(!output.stderr.contains("warning"), "{output}");
    }
    let site = Site::new(1);
    let output = site
        .push()
        .args(["--cache-dir", "/proc/x", "-vv"])
        .run()
        .expect_code(0);
    output.expect_stderr("debug: nothing is remembered in /proc/x: ");
}

/// What was true the last time, and is not any more.
#[test]
fn a_registry_that_has_changed_is_pushed_to_all_the_same() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}/token", nobody.local_addr().unwrap());
    drop(nobody);
    for realm in [
        &closed,
        "/gone",
        "https://other.invalid/token",
        "http://elsewhere.example/",
        "",
    ] {
        for questions in [0, 1] {
            let site = Site::new(questions);
            let cache = site.dir.path().join("cache");
            fs::create_dir(&cache).unwrap();
            let known = json!({"realm": realm, "service": "old", "told": seconds()});
            let known = json!({"version": 1, "hosts": {site.host(): known}});
            fs::write(cache.join("cache.json"), known.to_string()).unwrap();
            site.pushed(site.push().arg("--cache-dir").arg(&cache));
            if questions > 0 {
                assert_eq!(
                    read(&cache)["hosts"][site.host()]["realm"],
                    "/token",
                    "{realm}"
                );
            }
        }
    }
}
