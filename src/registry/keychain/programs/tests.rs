//! Programs that behave badly, run for real with less patience.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::registry::clock::Stop;
use crate::registry::credentials::Login;
use crate::registry::keychain::programs::Programs;

/// One script that behaves by the name it is called by. It is not written here: a file that another
/// thread's child holds open for writing cannot be run.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/credential-helper.sh");

fn programs(dir: &Path, suffixes: &[&str], patience: Duration) -> Programs {
    for suffix in suffixes {
        symlink(SCRIPT, dir.join(format!("docker-credential-{suffix}"))).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", dir.display());
    let env = [
        ("PATH", path.as_str()),
        ("HELPER_STATE", dir.to_str().unwrap()),
        ("HOIST_PASSWORD", "hunter2"),
        ("DOCKER_AUTH_CONFIG", "hunter2"),
    ];
    let env = env.iter().map(|(name, value)| (name.into(), value.into()));
    Programs {
        patience,
        ..Programs::new(&env.collect::<BTreeMap<_, _>>(), &Stop::default())
    }
}

#[test]
fn answers_and_troubles_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let known = [
        "good", "token", "unknown", "fails", "garbage", "empty", "nobody", "endless", "deaf", "env",
    ];
    let programs = programs(dir.path(), &known, Duration::from_secs(20));
    for (suffix, expected) in [
        ("good", "robot r.io"),
        ("token", "identity r.io"),
        ("unknown", "nothing"),
        ("empty", "nothing"),
        ("deaf", "robot deaf"),
        // Neither its environment nor its arguments hold a secret.
        ("env", "robot get"),
        ("fails", "failed (exit status: 1)"),
        ("garbage", "printed something that is no credentials"),
        ("nobody", "printed something that is no credentials"),
        ("endless", "printed more than 256 KiB and was ended"),
        ("missing", "is not on PATH"),
        ("../good", "has a name that no program should have"),
        ("a b", "has a name that no program should have"),
    ] {
        let said = match programs.get(suffix, "r.io") {
            Ok(None) => "nothing".to_owned(),
            Ok(Some(Login::Password { username, password })) => {
                format!("{username} {}", password.expose())
            }
            Ok(Some(Login::IdentityToken(token))) => format!("identity {}", token.expose()),
            Ok(Some(Login::Bearer(_))) => "bearer".to_owned(),
            Err(trouble) => trouble.to_string(),
        };
        assert_eq!(said, expected, "{suffix}");
    }
}

#[test]
fn one_that_hangs_is_ended_with_all_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let programs = programs(dir.path(), &["hangs"], Duration::from_millis(1500));
    let begun = Instant::now();
    let trouble = programs.get("hangs", "r.io").unwrap_err().to_string();
    assert_eq!(trouble, "took longer than 1 s and was ended");
    assert!(begun.elapsed() < Duration::from_secs(15));
    // The script and the program it waits for, each by its number.
    for file in ["parent", "child"] {
        let id = std::fs::read_to_string(dir.path().join(file)).unwrap();
        // A signal takes a moment to arrive.
        while is_alive(id.trim()) {
            let late = begun.elapsed() > Duration::from_secs(60);
            assert!(!late, "{file} is still there");
            std::thread::yield_now();
        }
    }
}

#[test]
fn one_that_is_silent_and_does_not_end_is_ended_when_it_is_time_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let programs = programs(dir.path(), &["lingers"], Duration::from_secs(60));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| programs.get("lingers", "r.io").unwrap_err().to_string());
        while !dir.path().join("silent").exists() {
            std::thread::yield_now();
        }
        programs.stop.stop();
        assert_eq!(asking.join().unwrap(), "was ended");
    });
    assert!(begun.elapsed() < Duration::from_secs(30));
}

fn is_alive(id: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"));
    status.unwrap_or_default().lines().any(|line| {
        let state = line.strip_prefix("State:");
        state.is_some_and(|state| !state.trim().starts_with(['Z', 'X']))
    })
}

#[test]
fn what_is_stored_is_got_and_erased() {
    let dir = tempfile::tempdir().unwrap();
    let programs = programs(dir.path(), &["store"], Duration::from_secs(20));
    assert!(programs.get("store", "r.io").unwrap().is_none());
    assert!(!programs.erase("store", "r.io").unwrap());
    let secret = "it's \"two\" words \\ and more".into();
    programs.store("store", "r.io", "robot", &secret).unwrap();
    let found = programs.get("store", "r.io").unwrap();
    let Some(Login::Password { username, password }) = found else {
        panic!("{found:?}");
    };
    assert_eq!((username.as_str(), &password), ("robot", &secret));
    assert!(programs.erase("store", "r.io").unwrap());
    assert!(programs.get("store", "r.io").unwrap().is_none());
}
