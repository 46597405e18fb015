//! The keychain as the wire sees it: one registry, many repositories, many who ask at once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::sync::{Barrier, Mutex};

use hoist::image::reference::{Host, Repository};
use hoist::observe::event::{Emit, Event};
use hoist::registry::client::{Keychain as _, Login};
use hoist::registry::clock::Stop;
use hoist::registry::keychain::{Keys, Whereabouts};

use crate::credentials::home::Home;
use crate::credentials::{DOCKER, RUNTIME};

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Emit for Heard {
    fn emit(&self, event: Event) {
        if let Event::Warning { message } = event {
            self.0.lock().unwrap().push(message);
        }
    }
}

fn keys(home: &Home) -> Keys {
    let path = format!("{}:/usr/bin:/bin", home.path("bin"));
    let env = [
        ("HOME", home.path("")),
        ("XDG_RUNTIME_DIR", home.path("run")),
        ("PATH", path),
        ("HELPER_STATE", home.path("")),
    ];
    let env = env.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let whereabouts = Whereabouts {
        env: &BTreeMap::from(env),
        user_id: 0,
        auth_file: None,
        stop: &Stop::default(),
    };
    Keys::new(&Host::parse(&home.host()).unwrap(), &whereabouts).unwrap()
}

fn user(keys: &Keys, repository: Option<&str>, heard: &Heard) -> Option<String> {
    let repository = repository.map(|name| Repository::parse(name).unwrap());
    match keys.find(repository.as_ref(), heard)?.login {
        Login::Password { username, .. } => Some(username),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_repository_gets_the_entry_with_the_longest_key() {
    let home = Home::new();
    let first = r#"{"auths":{"HOST/team":{"auth":"BASE64(team:x)"},"HOST/team/bad":{"auth":"!"},
        "HOST/team/app":{"auth":"BASE64(app:x)"}}}"#;
    let second = r#"{"auths":{"https://HOST/v1/":{"auth":"BASE64(whole:x)"}}}"#;
    home.write(&[(RUNTIME, first), (DOCKER, second)]);
    let (keys, heard) = (keys(&home), Heard::default());
    for (repository, expected) in [
        (None, "whole"),
        (Some("team"), "team"),
        (Some("team/app"), "app"),
        (Some("team/app/deep"), "app"),
        (Some("team/apps"), "team"),
        (Some("teams"), "whole"),
        (Some("team/bad"), "whole"),
        (Some("team/bad/x"), "whole"),
    ] {
        let found = user(&keys, repository, &heard);
        assert_eq!(found.as_deref(), Some(expected), "{repository:?}");
    }
    let warning = home.filled(
        "~/run/containers/auth.json is passed over: it has auths.\"HOST/team/bad\".auth that is not base64",
    );
    assert_eq!(*heard.0.lock().unwrap(), [warning]);
}

#[test]
fn it_shows_without_asking_whether_there_may_be_credentials() {
    for (text, expected) in [
        ("{}", false),
        ("nonsense", false),
        (
            r#"{"auths":{"elsewhere.test":{"auth":"BASE64(me:x)"}}}"#,
            false,
        ),
        (r#"{"auths":{"HOST/team":{"auth":"BASE64(me:x)"}}}"#, true),
        (r#"{"auths":{"HOST/other":{"auth":"BASE64(me:x)"}}}"#, false),
        (r#"{"credHelpers":{"HOST":"counted"}}"#, true),
        (r#"{"credsStore":"counted"}"#, true),
        (
            r#"{"credsStore":"counted","credHelpers":{"HOST":""}}"#,
            false,
        ),
    ] {
        let home = Home::new();
        home.helper("counted");
        home.write(&[(DOCKER, text)]);
        let keys = keys(&home);
        let team = Repository::parse("team/app").unwrap();
        assert_eq!(keys.may_find(&team), expected, "{text}");
        let asked = fs::exists(home.path("count")).unwrap();
        assert!(!asked, "{text}: the helper was run");
    }
}

#[test]
fn a_helper_is_run_once_however_many_ask() {
    for (suffix, expected) in [("counted", Some("robot")), ("missing", None)] {
        let home = Home::new();
        home.helper("counted");
        home.write(&[(DOCKER, &format!(r#"{{"credsStore":"{suffix}"}}"#))]);
        let (keys, heard) = (keys(&home), Heard::default());
        let start = Barrier::new(8);
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (keys, heard, start) = (&keys, &heard, &start);
                scope.spawn(move || {
                    start.wait();
                    let found = user(keys, Some(&format!("team/app{number}")), heard);
                    assert_eq!(found.as_deref(), expected);
                });
            }
        });
        let heard = heard.0.into_inner().unwrap();
        if expected.is_some() {
            let count = fs::read_to_string(home.path("count")).unwrap();
            assert_eq!((count.as_str(), heard.len()), ("once\n", 0));
        } else {
            assert_eq!(heard.len(), 1, "{heard:?}");
        }
    }
}
