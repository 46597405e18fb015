//! Logins to registries that check passwords, and files that podman and skopeo write and read.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::tempdir;

use crate::support::archives::{ImageSpec, layout};
use crate::support::command::hoist;
use crate::support::programs::program as program_at;
use crate::support::registry::{Kind, Registry, Setup};

const KINDS: [Kind; 2] = [Kind::Distribution2, Kind::Distribution3];

fn registry(kind: Kind) -> Option<Registry> {
    let setup = Setup {
        basic: Some(("robot".into(), "pass: word".into())),
        ..Setup::default()
    };
    kind.is_available()
        .then(|| Registry::start_with(kind, setup))
}

#[test]
fn what_a_registry_takes_is_kept_and_pushed_with() {
    for registry in KINDS.into_iter().filter_map(registry) {
        let home = tempdir().unwrap();
        layout(
            &home.path().join("image"),
            &ImageSpec::many("app", 1, 1, 10),
        );
        let log_in = |password: &str| {
            let command = hoist(["login", "-u", "robot", "--password-stdin"]);
            let command = command.arg(registry.host()).env("HOME", home.path());
            command.stdin(password).run()
        };
        let file = home.path().join(".docker/config.json");
        log_in("wrong").expect_code(4).expect_stdout("");
        assert!(!file.exists());
        log_in("pass: word\n").expect_code(0);
        let kept = fs::read(&file).unwrap();
        // One that is wrong does not take the place of one that is right.
        log_in("wrong").expect_code(4);
        assert_eq!(fs::read(&file).unwrap(), kept);
        let push = || {
            let command = hoist(["push"]).arg(home.path().join("image"));
            let command = command.arg(format!("{}/team/", registry.host()));
            command.env("HOME", home.path()).run()
        };
        push().expect_code(0);
        assert_eq!(registry.manifest("team/app-0", "1").status, 200);
        let log_out = hoist(["logout"]).arg(registry.host());
        log_out.env("HOME", home.path()).run().expect_code(0);
        push().expect_code(4);
    }
}

/// What it says on standard output; `None` where the tool is not there.
fn tool(program: &str, home: &Path, args: &[&str]) -> Option<String> {
    let mut command = Command::new(program_at(program)?);
    command.args(args).env("HOME", home).current_dir(home);
    for name in ["REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_CONFIG_HOME"] {
        command.env_remove(name);
    }
    let ran = command.env("XDG_RUNTIME_DIR", home).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{program} {args:?}: {said}");
    Some(String::from_utf8(ran.stdout).unwrap())
}

#[test]
fn files_of_skopeo_and_podman_are_read() {
    for registry in KINDS.into_iter().filter_map(registry) {
        for program in ["skopeo", "podman"] {
            let home = tempdir().unwrap();
            layout(
                &home.path().join("image"),
                &ImageSpec::many("app", 1, 1, 10),
            );
            let host = registry.host();
            let login = [
                "login",
                "--tls-verify=false",
                "-u",
                "robot",
                "-p",
                "pass: word",
            ];
            if tool(program, home.path(), &[&login[..], &[&host]].concat()).is_none() {
                continue;
            }
            let push = hoist(["push", "-v"]).arg(home.path().join("image"));
            let push = push.arg(format!("{host}/{program}/"));
            let push = push
                .env("HOME", home.path())
                .env("XDG_RUNTIME_DIR", home.path());
            let origin = format!("credentials for {host} are from ~/containers/auth.json\n");
            push.run().expect_code(0).expect_stderr(&origin);
        }
    }
}

#[test]
fn files_that_a_login_writes_are_read_by_skopeo_and_podman() {
    for registry in KINDS.into_iter().filter_map(registry) {
        let home = tempdir().unwrap();
        layout(
            &home.path().join("image"),
            &ImageSpec::many("app", 1, 1, 10),
        );
        let host = registry.host();
        for (file, options) in [
            (".docker/config.json", &[][..]),
            ("auth.json", &["--auth-file", "auth.json"]),
        ] {
            let log_in = hoist(["login", "-u", "robot", "--password-stdin"]).args(options);
            let log_in = log_in.arg(&host).current_dir(home.path());
            let log_in = log_in.env("HOME", home.path()).stdin("pass: word");
            log_in.run().expect_code(0);
            let push = hoist(["push"]).args(options).current_dir(home.path());
            let push = push.arg("image").arg(format!("{host}/team/"));
            push.env("HOME", home.path()).run().expect_code(0);

            let at = format!("docker://{host}/team/app-0:1");
            let inspect = ["inspect", "--tls-verify=false", "--authfile", file, &at];
            if let Some(said) = tool("skopeo", home.path(), &inspect) {
                assert!(said.contains("sha256:"), "{said}");
            }
            // Without the option it finds docker's file itself.
            if options.is_empty() {
                tool(
                    "skopeo",
                    home.path(),
                    &["inspect", "--tls-verify=false", &at],
                );
            }
            let whom = ["login", "--get-login", "--authfile", file, &host];
            if let Some(said) = tool("podman", home.path(), &whom) {
                assert_eq!(said.trim(), "robot");
            }
            // And what they take away is gone, with the rest of the file in order.
            let log_out = ["logout", "--authfile", file, &host];
            if tool("skopeo", home.path(), &log_out).is_some() {
                let left = hoist(["logout"]).args(options).arg(&host);
                let left = left.env("HOME", home.path()).current_dir(home.path());
                left.run().expect_code(0).expect_stdout(&format!(
                    "nothing to remove: no login to {host} in {}\n",
                    if options.is_empty() {
                        "~/.docker/config.json"
                    } else {
                        file
                    }
                ));
            }
            fs::remove_file(home.path().join(file)).unwrap();
        }
    }
}
