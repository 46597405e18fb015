//! `hoist login` and `hoist logout`: what is kept where, in whose form, and what is left alone.

mod registries;
mod terminal;
mod tokens;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::credentials::home::Home;
use crate::credentials::{DOCKER, RUNTIME};
use crate::support::command::{Output, hoist};
use crate::support::scripted::{Scripted, answer, on};

const TYPED: [&str; 3] = ["-u", "robot", "--password-stdin"];

fn log_in(home: &Home, env: &[(&str, &str)], args: &[&str]) -> Output {
    let args = [&TYPED, args].concat();
    home.log("login", env, &args).stdin("s3cret\n").run()
}

fn log_out(home: &Home, env: &[(&str, &str)], args: &[&str]) -> Output {
    home.log("logout", env, args).run()
}

/// What a login by [`TYPED`] leaves in an empty file.
const FRESH: &str =
    "{\n\t\"auths\": {\n\t\t\"HOST\": {\n\t\t\t\"auth\": \"BASE64(robot:s3cret)\"\n\t\t}\n\t}\n}\n";

#[test]
fn a_login_is_kept_where_the_contract_says() {
    let other = r#"{"auths":{"other.io":{"auth":"BASE64(a:b)"}}}"#;
    let has = r#"{"auths":{"HOST":{"auth":"BASE64(old:old)"}}}"#;
    let namespaced = r#"{"auths":{"HOST/team":{"auth":"BASE64(a:b)"}}}"#;
    let helped = r#"{"credHelpers":{"HOST":""}}"#;
    for (files, env, args, kept) in [
        (&[][..], &[][..], &[][..], DOCKER),
        (&[], &[("DOCKER_CONFIG", "HOME/d")], &[], "d/config.json"),
        (&[(RUNTIME, other)], &[], &[], DOCKER),
        (&[(RUNTIME, namespaced)], &[], &[], DOCKER),
        (&[(RUNTIME, has)], &[], &[], RUNTIME),
        (&[(RUNTIME, helped)], &[], &[], RUNTIME),
        (
            &[(RUNTIME, has), ("named", other)],
            &[("REGISTRY_AUTH_FILE", "HOME/named")],
            &[],
            "named",
        ),
        (
            &[(RUNTIME, has)],
            &[("REGISTRY_AUTH_FILE", "HOME/a/b/new")],
            &[],
            "a/b/new",
        ),
        (
            &[(RUNTIME, has), ("named", has)],
            &[("REGISTRY_AUTH_FILE", "HOME/named")],
            &["--auth-file", "HOME/flag"],
            "flag",
        ),
    ] {
        let home = Home::welcome();
        home.write(files);
        let output = log_in(&home, env, args).expect_code(0);
        let line = format!("logged in to {} as robot, kept in ~/{kept}\n", home.host());
        let output = output.expect_stdout(&line);
        assert_eq!(output.stderr, "", "{files:?}");
        let text = fs::read_to_string(home.path(kept)).unwrap();
        assert!(
            text.contains(&home.filled("BASE64(robot:s3cret)")),
            "{text}"
        );
        let mode = fs::metadata(home.path(kept)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{kept}");
        for (name, before) in files.iter().filter(|(name, _)| *name != kept) {
            let after = fs::read_to_string(home.path(name)).unwrap();
            assert_eq!(after, home.filled(before), "{name}");
        }
        assert_eq!(home.shown().as_deref(), Some("robot:s3cret"));
        // And found again, and taken away.
        let pushed = home.push(env, args).run();
        let origin = format!("credentials for {} are from ", home.host());
        let pushed = pushed.expect_stderr(&origin);
        // An earlier file that has some for the repository goes before.
        let narrower = files.iter().any(|(_, before)| *before == namespaced);
        let expected = if narrower { "a:b" } else { "robot:s3cret" };
        assert_eq!(home.shown().as_deref(), Some(expected), "{pushed}");
        let gone = log_out(&home, env, args).expect_code(0);
        assert!(gone.stdout.starts_with("logged out from "), "{gone}");
        assert!(gone.stdout.contains(&format!("~/{kept}")), "{gone}");
        let left = fs::read_to_string(home.path(kept)).unwrap();
        assert!(
            !left.contains(&home.filled("BASE64(robot:s3cret)")),
            "{left}"
        );
    }
}

#[test]
fn what_else_is_in_a_file_stays_as_it_is() {
    let home = Home::welcome();
    let before = "{\n\t\"HttpHeaders\": {\"X-Y\": [\"z\"]},\n\t\"auths\": {\n\t\t\"z.io\": {\n\t\t\t\"auth\": \"BASE64(z:z)\"\n\t\t},\n\t\t\"HOST\": {\n\t\t\t\"auth\": \"BASE64(old:old)\",\n\t\t\t\"email\": \"me@there\"\n\t\t},\n\t\t\"a.io\": {}\n\t},\n\t\"detachKeys\": \"ctrl-e,e\",\n\t\"big\": 123456789012345678901234567890\n}";
    home.write(&[("real.json", before)]);
    fs::create_dir(home.path(".docker")).unwrap();
    symlink("../real.json", home.path(DOCKER)).unwrap();
    fs::set_permissions(home.path("real.json"), Permissions::from_mode(0o644)).unwrap();
    log_in(&home, &[], &[]).expect_code(0);
    assert!(
        fs::symlink_metadata(home.path(DOCKER))
            .unwrap()
            .is_symlink()
    );
    let real = || fs::read_to_string(home.path("real.json")).unwrap();
    let after = before.replace("BASE64(old:old)", "BASE64(robot:s3cret)");
    assert_eq!(real(), home.filled(&after));
    let mode = fs::metadata(home.path("real.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    log_out(&home, &[], &[]).expect_code(0);
    let mine = "\t\t\"HOST\": {\n\t\t\t\"auth\": \"BASE64(old:old)\",\n\t\t\t\"email\": \"me@there\"\n\t\t},\n";
    assert_eq!(real(), home.filled(&before.replace(mine, "")));
    // Nothing lies beside them.
    assert_eq!(fs::read_dir(home.path(".docker")).unwrap().count(), 1);
}

#[test]
fn a_fresh_file_is_as_docker_and_podman_write_it() {
    let home = Home::welcome();
    home.write(&[("token", "abc.def\n")]);
    log_in(&home, &[], &[]).expect_code(0);
    let text = fs::read_to_string(home.path(DOCKER)).unwrap();
    assert_eq!(text, home.filled(FRESH));
    let mode = fs::metadata(home.path(".docker"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_login_that_is_refused_or_goes_nowhere_is_not_kept() {
    let home = Home::new();
    let host = home.host();
    let refused = log_in(&home, &[], &[]).expect_code(4);
    let refused = refused.expect_stderr(&format!("error: login to {host} failed: "));
    let refused = refused.expect_stderr("401 Unauthorized").expect_stdout("");
    assert!(!refused.stderr.contains("s3cret"), "{refused}");

    let broken = Scripted::start([on("*", "/").then(answer(500))]);
    let no_registry = Scripted::start([on("*", "/").then(answer(404))]);
    let gone = Scripted::start([]).address();
    for (address, code, why) in [
        (broken.address(), 1, "500"),
        (no_registry.address(), 1, "404 Not Found"),
        (gone, 5, "cannot connect to"),
    ] {
        let login = hoist(["login"]).args(TYPED).arg(address.to_string());
        let output = home.at_home(login, &[]).stdin("s3cret").run();
        let sentence = format!("error: login to {address} failed: ");
        let output = output.expect_code(code).expect_stderr(&sentence);
        let output = output.expect_stderr(why).expect_stdout("");
        assert!(!output.stderr.contains("s3cret"), "{output}");
    }
    assert!(!fs::exists(home.path(".docker")).unwrap());
}

#[test]
fn a_registry_that_asks_nobody_is_a_warning() {
    let home = Home {
        registry: Scripted::start([on("GET", "/v2/").then(answer(200))]),
        ..Home::new()
    };
    let output = log_in(&home, &[], &[]).expect_code(0);
    let host = home.host();
    let warning =
        format!("warning: {host} answers everybody: whether this login is right is not known\n");
    assert_eq!(output.stderr, warning);
    let quiet = log_in(&home, &[], &["-q"]).expect_code(0);
    assert_eq!((quiet.stderr.as_str(), quiet.stdout), ("", output.stdout));
    assert_eq!(home.shown(), None);
}

#[test]
fn wrong_usage_is_said_before_anybody_is_asked() {
    let home = Home::welcome();
    home.write(&[("damaged", "hunter2"), ("a", "a"), ("empty", "")]);
    let host = home.host();
    let url = format!("https://{host}/v1/");
    let advice = format!("error: {url:?} is no registry\ntry: hoist login {host}\n");
    let auth_file = home.path("damaged");
    for (args, why) in [
        (
            &["login"][..],
            "error: no registry\ntry: hoist login HOST\n",
        ),
        (&["logout"], "error: no registry\ntry: hoist logout HOST\n"),
        (
            &["login", "a.io", "b.io"],
            "error: one registry at a time: what is \"b.io\"?\n",
        ),
        (&["login", &url], &advice),
        (
            &["login", "not a host"],
            "error: \"not a host\" is not a host",
        ),
        (
            &["login", &host],
            "error: no user, and standard input is no terminal to ask for one\ntry: --username NAME --password-stdin\n",
        ),
        (
            &["login", "-u", "me", &host],
            "error: no password, and standard input is no terminal to ask for one\n",
        ),
        (
            &["login", "-u", "me", "--password-stdin", &host],
            "error: --password-stdin: there is nothing in it\n",
        ),
        (
            &["login", "--password-stdin", &host],
            "error: --password-stdin needs a user\n",
        ),
        (
            &["login", "-u", "a:b", "--password-stdin", &host],
            "error: the value of --username has a colon behind \"a\": ",
        ),
        (
            &[
                "login",
                "--auth-file",
                &auth_file,
                "-u",
                "me",
                "--password-stdin",
                &host,
            ],
            "error: --auth-file ~/damaged is no JSON (line 1, column 1)\n",
        ),
        (
            &["logout", "--auth-file", &auth_file, &host],
            "error: --auth-file ~/damaged is no JSON (line 1, column 1)\n",
        ),
        (
            &["login", "--jobs", "3", &host],
            "error: --jobs is an option of hoist push, not of hoist login\n",
        ),
    ] {
        let output = home.at_home(hoist(args), &[]).run();
        output.expect_code(2).expect_stderr(why).expect_stdout("");
    }
    let nowhere = hoist(["login", &host]).args(TYPED).env("HOME", "");
    let nowhere = nowhere.stdin("p").run().expect_code(2);
    nowhere.expect_stderr(
        "error: there is no file to keep the login in: neither HOME nor DOCKER_CONFIG is set\n",
    );
    assert_eq!(fs::read_to_string(auth_file).unwrap(), "hunter2");
    assert!(home.registry.requests().is_empty());
}

#[test]
fn logins_at_the_same_time_are_all_kept() {
    let home = Home::new();
    let registries: Vec<Home> = (0..8).map(|_| Home::welcome()).collect();
    let running: Vec<_> = registries
        .iter()
        .map(|registry| {
            let command = hoist(["login"]).args(TYPED).arg(registry.host());
            home.at_home(command, &[]).stdin("s3cret").spawn()
        })
        .collect();
    for command in running {
        command.wait().expect_code(0);
    }
    let text = fs::read_to_string(home.path(DOCKER)).unwrap();
    for registry in &registries {
        assert!(text.contains(&registry.host()), "{text}");
    }
}

#[test]
fn what_cannot_be_written_is_exit_1() {
    let home = Home::welcome();
    home.write(&[("file", "")]);
    let output = log_in(
        &home,
        &[],
        &[
            "--auth-file",
            "HOME/folder-to-be/x/../../../../proc/nowhere/auth.json",
        ],
    );
    let output = output.expect_code(1).expect_stdout("");
    let sentence = format!("error: login to {} failed: writing ", home.host());
    let output = output.expect_stderr(&sentence);
    assert!(!output.stderr.contains("s3cret"), "{output}");
}

#[test]
fn helpers_keep_what_a_file_says_they_keep() {
    for (config, field) in [
        (r#"{"credsStore":"store","x":1}"#, "credsStore"),
        (r#"{"credHelpers":{"HOST":"store"},"x":1}"#, "credHelpers"),
    ] {
        let home = Home::welcome();
        home.helper("store");
        home.write(&[(DOCKER, config)]);
        let host = home.host();
        let helper = format!("docker-credential-store ({field} in ~/.docker/config.json)");
        let output = log_in(&home, &[], &[]).expect_code(0);
        output.expect_stdout(&format!("logged in to {host} as robot, kept in {helper}\n"));
        let stored = fs::read_to_string(home.path("stored")).unwrap();
        let answer = format!(r#"{{"ServerURL":"{host}","Username":"robot","Secret":"s3cret"}}"#);
        assert_eq!(stored, answer);
        let text = fs::read_to_string(home.path(DOCKER)).unwrap();
        assert!(text.contains(&format!("\"{host}\": {{}}")), "{text}");
        assert!(text.contains("\"x\": 1"), "{text}");
        assert!(!text.contains("auth\""), "{text}");

        let pushed = home.push(&[], &[]).run();
        let origin = format!("credentials for {host} are from {helper}\n");
        pushed.expect_stderr(&origin);

        let gone = log_out(&home, &[], &[]).expect_code(0);
        let line = format!("logged out from {host}, removed from ~/{DOCKER} and {helper}\n");
        gone.expect_stdout(&line);
        assert!(!fs::exists(home.path("stored")).unwrap());
        let again = log_out(&home, &[], &[]).expect_code(0);
        again.expect_stdout(&format!(
            "nothing to remove: no login to {host} in ~/{DOCKER}\n"
        ));
    }
}

#[test]
fn a_helper_that_fails_keeps_nothing_and_the_file_stays() {
    for (suffix, why) in [
        ("fails", "failed (exit status: 1)"),
        ("missing", "is not on PATH"),
    ] {
        let home = Home::welcome();
        if suffix == "fails" {
            home.helper(suffix);
        }
        let config = format!(r#"{{"credsStore":"{suffix}","auths":{{"HOST":{{}}}}}}"#);
        home.write(&[(DOCKER, &config)]);
        let host = home.host();
        let helper = format!("docker-credential-{suffix} (credsStore in ~/.docker/config.json)");
        let output = log_in(&home, &[], &[]).expect_code(1).expect_stdout("");
        let output =
            output.expect_stderr(&format!("error: login to {host} failed: {helper} {why}\n"));
        assert!(!output.stderr.contains("s3cret"), "{output}");
        assert!(!output.stderr.contains("hunter2"), "{output}");
        let text = fs::read_to_string(home.path(DOCKER)).unwrap();
        assert_eq!(text, home.filled(&config));
        // The file's own entry goes nevertheless.
        let gone = log_out(&home, &[], &[]).expect_code(1);
        let sentence = format!("error: logout from {host} failed: {helper} {why}\n");
        let gone = gone.expect_stderr(&sentence);
        gone.expect_stdout(&format!(
            "logged out from {host}, removed from ~/{DOCKER}\n"
        ));
    }
}

#[test]
fn a_logout_takes_everything_and_says_when_there_was_nothing() {
    let home = Home::new();
    let host = home.host();
    let none = log_out(&home, &[], &[]).expect_code(0);
    none.expect_stdout(&format!(
        "nothing to remove: no file with logins is there, for {host} or another\n"
    ));
    let entry = r#"{"auths":{"HOST":{"auth":"BASE64(a:b)"},"HOST/team":{"auth":"BASE64(a:b)"}}}"#;
    home.write(&[
        (RUNTIME, entry),
        (DOCKER, entry),
        (".config/containers/auth.json", "damaged"),
    ]);
    let variable = [("DOCKER_AUTH_CONFIG", entry)];
    let output = log_out(&home, &variable, &[]).expect_code(0);
    let output = output.expect_stdout(&format!(
        "logged out from {host}, removed from ~/{RUNTIME} and ~/{DOCKER}\n"
    ));
    let output = output.expect_stderr(&format!(
        "warning: DOCKER_AUTH_CONFIG has credentials for {host} too"
    ));
    output.expect_stderr(
        "warning: ~/.config/containers/auth.json is no JSON (line 1, column 1): left as it is\n",
    );
    for file in [RUNTIME, DOCKER] {
        let text = fs::read_to_string(home.path(file)).unwrap();
        assert_eq!(text, "{\n\t\"auths\": {}\n}");
    }
    assert!(home.registry.requests().is_empty());
}
