//! Where credentials come from: files, variables, helpers and options, row by row, and what is said of
//! those that are not as they should be.

pub(crate) mod home;
mod keys;
mod programs;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use crate::credentials::home::{Home, found};
use crate::support::command::hoist;

pub(crate) const RUNTIME: &str = "run/containers/auth.json";
const CONFIG: &str = ".config/containers/auth.json";
pub(crate) const DOCKER: &str = ".docker/config.json";

fn entry(user: &str) -> String {
    format!(r#"{{"auths":{{"HOST":{{"auth":"BASE64({user}:secret)"}}}}}}"#)
}

#[test]
fn each_place_counts_before_those_behind_it() {
    let text = entry("text");
    let home = Home::new();
    let mut env = Vec::new();
    // From the weakest on, each added to those before.
    for (user, file, variable, args, origin) in [
        ("home", DOCKER, None, &[][..], "~/.docker/config.json"),
        (
            "docker",
            "dockers/config.json",
            Some(("DOCKER_CONFIG", "HOME/dockers")),
            &[],
            "DOCKER_CONFIG ~/dockers/config.json",
        ),
        (
            "config",
            CONFIG,
            None,
            &[],
            "~/.config/containers/auth.json",
        ),
        ("runtime", RUNTIME, None, &[], "~/run/containers/auth.json"),
        (
            "text",
            "unused",
            Some(("DOCKER_AUTH_CONFIG", &text)),
            &[],
            "DOCKER_AUTH_CONFIG",
        ),
        (
            "named",
            "named.json",
            Some(("REGISTRY_AUTH_FILE", "HOME/named.json")),
            &[],
            "REGISTRY_AUTH_FILE ~/named.json",
        ),
        (
            "flag",
            "flag.json",
            None,
            &["--auth-file", "HOME/flag.json"],
            "--auth-file ~/flag.json",
        ),
    ] {
        home.write(&[(file, &entry(user))]);
        env.extend(variable);
        let output = home.push(&env, args).run();
        found(&home, output, origin, &format!("{user}:secret"));
    }
    // What was said here comes before all of them.
    env.extend([
        ("HOIST_USERNAME", "variable"),
        ("HOIST_PASSWORD", "its own"),
    ]);
    let said = home.push(&env, &[]).run();
    found(&home, said, "HOIST_PASSWORD", "variable:its own");
    let typed = home.push(&env, &["-u", "typed", "--password-stdin"]);
    let typed = typed.stdin("and read\n").run();
    found(&home, typed, "--password-stdin", "typed:and read");
}

#[test]
fn what_is_not_about_the_registry_is_passed_over_in_silence() {
    for (file, text) in [
        (RUNTIME, ""),
        (RUNTIME, "{}"),
        (RUNTIME, r#"{"auths":{"HOST":{}}}"#),
        (RUNTIME, r#"{"auths":{"other.io":{"auth":"not base64"}}}"#),
        (CONFIG, r#"{"auths":{"HOST/other":{"auth":"BASE64(a:b)"}}}"#),
        ("dockers/config.jsonx", "folder without a config.json"),
    ] {
        let home = Home::new();
        home.write(&[(file, text), (DOCKER, &entry("last"))]);
        let output = home.push(&[("DOCKER_CONFIG", "HOME/dockers")], &[]).run();
        let output = found(&home, output, "~/.docker/config.json", "last:secret");
        assert!(!output.stderr.contains("warning"), "{output}");
    }
}

#[test]
fn nobody_is_looked_for_where_nobody_is_asked_for() {
    let home = Home::new();
    home.write(&[(DOCKER, "damaged")]);
    let list = hoist(["list", "-v"]).arg(home.path("image"));
    let listed = list.env("HOME", home.dir.path()).run().expect_code(0);
    assert_eq!(listed.stderr, "");
    let output = home.push(&[], &[]).run().expect_code(4);
    let none = format!(
        "there are no credentials for {} on this machine",
        home.host()
    );
    let output = output.expect_stderr(&none);
    assert_eq!(home.shown(), None, "{output}");
}

#[test]
fn a_damaged_file_that_was_found_is_a_warning_and_one_that_was_named_is_wrong_usage() {
    let huge = " ".repeat((1 << 20) + 1);
    for (text, why) in [
        ("hunter2", "is no JSON (line 1, column 1)"),
        (r#"["hunter2"]"#, "is no JSON object"),
        (r#"{"auths":"hunter2"}"#, "has auths that is no object"),
        (
            r#"{"auths":{"HOST":"hunter2"}}"#,
            "has auths.\"HOST\" that is no object",
        ),
        (
            r#"{"auths":{"HOST":{"auth":"hunter2?"}}}"#,
            "has auths.\"HOST\".auth that is not base64",
        ),
        (
            r#"{"auths":{"HOST":{"auth":"BASE64(hunter2)"}}}"#,
            "has auths.\"HOST\".auth that has no colon inside its base64",
        ),
        (
            r#"{"credHelpers":{"HOST":["hunter2"]}}"#,
            "has credHelpers that is no text",
        ),
        (&huge, "is larger than 1 MiB"),
    ] {
        let home = Home::new();
        home.write(&[(RUNTIME, text), (DOCKER, &entry("last"))]);
        let why = home.filled(why);
        let output = home.push(&[], &["-o", "json"]).run();
        let output = found(&home, output, "~/.docker/config.json", "last:secret");
        let warning = format!("~/run/containers/auth.json is passed over: it {why}");
        assert_eq!(output.json()["warnings"][0], warning.as_str(), "{output}");
        let output = output.expect_stderr(&format!("warning: {warning}\n"));
        assert!(!output.stderr.contains("hunter2"), "{output}");

        home.write(&[("dockers/config.json", text)]);
        let file = format!("HOME/{RUNTIME}");
        let (by_flag, by_variable) = (["--auth-file", &file], [("REGISTRY_AUTH_FILE", &*file)]);
        for (env, args, called) in [
            (
                &[][..],
                &by_flag[..],
                "--auth-file ~/run/containers/auth.json",
            ),
            (
                &by_variable,
                &[],
                "REGISTRY_AUTH_FILE ~/run/containers/auth.json",
            ),
            (
                &[("DOCKER_CONFIG", "HOME/dockers")],
                &[],
                "DOCKER_CONFIG ~/dockers/config.json",
            ),
        ] {
            let refused = home.push(env, args).run().expect_code(2);
            let sentence = format!("error: {called}");
            let refused = refused.expect_stderr(&sentence).expect_stderr(&why);
            assert!(!refused.stderr.contains("hunter2"), "{refused}");
        }
        if text.len() < 1000 {
            let refused = home.push(&[("DOCKER_AUTH_CONFIG", text)], &[]).run();
            let refused = refused.expect_code(2).expect_stderr(&why);
            let refused = refused.expect_stderr("error: DOCKER_AUTH_CONFIG");
            assert!(!refused.stderr.contains("hunter2"), "{refused}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_passed_over_where_it_was_found() {
    // Reading the first gives an error, to root as well; opening the second would wait for ever.
    for (target, why) in [
        ("/proc/self/mem", "cannot be read: "),
        ("pipe", "is no regular file\n"),
        ("folder", "is a folder\n"),
        ("loop", "cannot be read: "),
    ] {
        let home = Home::new();
        home.write(&[("run/containers/x", ""), (DOCKER, &entry("last"))]);
        let pipe = home.path("run/containers/pipe");
        let made = Command::new("mkfifo").arg(pipe).status();
        assert!(made.unwrap().success());
        fs::create_dir(home.path("run/containers/folder")).unwrap();
        symlink("loop", home.path("run/containers/loop")).unwrap();
        symlink(target, home.path(RUNTIME)).unwrap();
        let output = home.push(&[], &[]).run();
        let output = found(&home, output, "~/.docker/config.json", "last:secret");
        let warning = "warning: ~/run/containers/auth.json is passed over: it ";
        output.expect_stderr(&format!("{warning}{why}"));
    }
}

#[test]
fn a_named_file_has_to_be_there_and_readable() {
    let home = Home::new();
    fs::create_dir_all(home.path("folder")).unwrap();
    home.write(&[
        (DOCKER, &entry("last")),
        ("empty", ""),
        ("two", "a b"),
        ("a", "a"),
    ]);
    fs::write(home.path("bytes"), [0xff, 0xfe]).unwrap();
    fs::write(home.path("long"), "x".repeat((64 << 10) + 1)).unwrap();
    fs::write(home.path("huge"), vec![b'x'; (1 << 20) + 1]).unwrap();
    for (args, why) in [
        (
            &["--auth-file", "HOME/missing"][..],
            "--auth-file ~/missing: is not there",
        ),
        (
            &["--auth-file", "HOME/folder"],
            "--auth-file ~/folder: is a folder",
        ),
        (
            &["--auth-file", "HOME/bytes"],
            "--auth-file ~/bytes: is not UTF-8",
        ),
        (
            &["--auth-file", "/dev/zero"],
            "--auth-file /dev/zero: is larger than 1 MiB",
        ),
        (
            &["--auth-file", "/proc/self/mem"],
            "--auth-file /proc/self/mem: cannot be read: Input/output error (os error 5)",
        ),
        (
            &["-u", "me", "--password-file", "HOME/missing"],
            "--password-file HOME/missing: is not there",
        ),
        (
            &["-u", "me", "--password-file", "HOME/folder"],
            "--password-file HOME/folder: is a folder",
        ),
        (
            &["-u", "me", "--password-file", "HOME/empty"],
            "--password-file HOME/empty: there is nothing in it",
        ),
        (
            &["-u", "me", "--password-file", "HOME/bytes"],
            "--password-file HOME/bytes: is not UTF-8",
        ),
        (
            &["-u", "me", "--password-file", "HOME/long"],
            "--password-file HOME/long: more than 64 KiB are no secret",
        ),
        (
            &["-u", "me", "--password-file", "HOME/huge"],
            "--password-file HOME/huge: is larger than 1 MiB",
        ),
        (
            &["--token-file", "HOME/two"],
            "--token-file HOME/two: there is more in it than a token",
        ),
        (
            &["--password-file", "HOME/a"],
            "--password-file HOME/a needs a user",
        ),
        (
            &["-u", "me", "--token-file", "HOME/a"],
            "--username and --token-file contradict each other: a token says itself who the user is",
        ),
        (
            &["-u", "me", "--password-file", "HOME/a", "--password-stdin"],
            "--password-file and --password-stdin contradict each other: one secret is enough",
        ),
        (
            &["--token-file", "HOME/a", "--password-stdin"],
            "--token-file and --password-stdin contradict each other: one secret is enough",
        ),
        (
            &["--password-file", "HOME/a", "--token-file", "HOME/a"],
            "--password-file and --token-file contradict each other: one secret is enough",
        ),
        (
            &["-u", "me"],
            "no password for user \"me\": a password is never an argument",
        ),
        (&["--password", "hunter2"], "unknown option --password"),
    ] {
        let output = home.push(&[], args).run().expect_code(2);
        output.expect_stderr(&format!("error: {}\n", home.filled(why)));
    }
    for (env, why) in [
        (
            &[("REGISTRY_AUTH_FILE", "HOME/missing")][..],
            "REGISTRY_AUTH_FILE ~/missing: is not there",
        ),
        (
            &[("HOIST_PASSWORD", "hunter2")],
            "HOIST_PASSWORD needs a user",
        ),
        (&[("HOIST_USERNAME", "me")], "no password for user \"me\""),
    ] {
        let output = home.push(env, &[]).run().expect_code(2);
        let output = output.expect_stderr(&format!("error: {why}"));
        assert!(!output.stderr.contains("hunter2"), "{output}");
    }
    assert!(home.registry.requests().is_empty());
}

#[test]
fn passwords_come_from_files_and_weaker_ones_give_way() {
    let home = Home::new();
    home.write(&[
        ("password", "pass word\n"),
        (
            "config.json",
            r#"{"registries": {"HOST": {"username": "section", "password-file": "password"}}}"#,
        ),
    ]);
    let variables = [("HOIST_USERNAME", "variable"), ("HOIST_PASSWORD", "p")];
    let file = "--password-file HOME/password";
    let typed = ["-u", "typed", "--password-file", "HOME/password"];
    let configured = ["--config", "HOME/config.json"];
    for (env, args, origin, pair) in [
        (&[][..], &typed[..], file, "typed:pass word"),
        (&[], &configured, file, "section:pass word"),
        (&variables, &configured, "HOIST_PASSWORD", "variable:p"),
        (&variables, &typed, file, "typed:pass word"),
    ] {
        found(&home, home.push(env, args).run(), origin, pair);
    }
}

#[test]
fn a_file_that_everybody_can_read_is_used_with_a_warning() {
    let home = Home::new();
    home.write(&[(DOCKER, &entry("open")), ("password", "p")]);
    for name in [DOCKER, "password"] {
        fs::set_permissions(home.path(name), Permissions::from_mode(0o644)).unwrap();
    }
    let file = "--password-file HOME/password";
    for (args, origin, pair, warning) in [
        (
            &[][..],
            "~/.docker/config.json",
            "open:secret",
            "the credentials in ~/.docker/config.json (mode 0644): chmod 600 ~/.docker/config.json",
        ),
        (
            &["-u", "me", "--password-file", "HOME/password"],
            file,
            "me:p",
            "--password-file HOME/password (mode 0644): chmod 600 HOME/password",
        ),
    ] {
        let command = home.push(&[], args).args(["-o", "json"]);
        let output = found(&home, command.run(), origin, pair);
        let warning = home.filled(&format!("everybody on this machine can read {warning}"));
        assert_eq!(output.json()["warnings"][0], warning.as_str());
        assert_eq!(output.stderr.matches(&warning).count(), 1, "{output}");
    }
    let quiet = hoist(["push", "-q"]).arg(home.path("image"));
    let quiet = quiet
        .arg(format!("{}/", home.host()))
        .env("HOME", home.dir.path());
    let quiet = quiet.run().expect_code(4);
    assert!(!quiet.stderr.contains("everybody"), "{quiet}");
}
