//! Helpers: programs that keep credentials, in `tests/credential-helper.sh`.

use std::fs;

use crate::credentials::DOCKER;
use crate::credentials::home::{Home, found};
use crate::support::waiting::wait_until;

#[test]
fn a_signal_ends_a_helper_that_hangs_with_all_it_started() {
    let home = Home::welcome();
    home.helper("hangs");
    home.write(&[(DOCKER, r#"{"credsStore":"hangs"}"#)]);
    let log_in = home.log("login", &[], &["-u", "me", "--password-stdin"]);
    for (command, code) in [(home.push(&[], &[]), 130), (log_in.stdin("p"), 130)] {
        let running = command.spawn();
        let ids = ["parent", "child"].map(|name| home.path(name));
        let id = |file: &String| fs::read_to_string(file).unwrap_or_default();
        wait_until(|| ids.iter().all(|file| id(file).ends_with('\n')));
        running.signal("INT");
        running.wait().expect_code(code);
        for file in &ids {
            let process = format!("/proc/{}/status", id(file).trim());
            let alive = || {
                let status = fs::read_to_string(&process).unwrap_or_default();
                status.contains("State:") && !status.contains("State:\tZ")
            };
            wait_until(|| !alive());
            fs::remove_file(file).unwrap();
        }
    }
}

#[test]
fn helpers_are_asked_first_and_their_troubles_are_warnings() {
    let pass = r#"{"credsStore":"SUFFIX","auths":{"HOST":{"auth":"BASE64(file:secret)"}}}"#;
    let own = r#"{"credHelpers":{"HOST":"SUFFIX"},"credsStore":"missing"}"#;
    for (suffix, text, field, trouble) in [
        ("good", pass, "credsStore", None),
        ("good", own, "credHelpers", None),
        ("fails", pass, "credsStore", Some("failed (exit status: 1)")),
        ("missing", pass, "credsStore", Some("is not on PATH")),
        (
            "garbage",
            pass,
            "credsStore",
            Some("printed something that is no credentials"),
        ),
        (
            "endless",
            pass,
            "credsStore",
            Some("printed more than 256 KiB and was ended"),
        ),
        (
            "../bin/good",
            pass,
            "credsStore",
            Some("has a name that no program should have"),
        ),
    ] {
        let home = Home::new();
        home.write(&[(DOCKER, &text.replace("SUFFIX", suffix))]);
        if !["missing", "../bin/good"].contains(&suffix) {
            home.helper(suffix);
        }
        let output = home.push(&[], &["-o", "json"]).run();
        let name = format!("docker-credential-{suffix} ({field} in ~/.docker/config.json)");
        let Some(trouble) = trouble else {
            let pair = format!("robot:{}", home.host());
            found(&home, output, &name, &pair);
            continue;
        };
        let output = found(&home, output, "~/.docker/config.json", "file:secret");
        let warning = format!("{name} {trouble}: other credentials are looked for");
        assert_eq!(output.json()["warnings"][0], warning.as_str(), "{output}");
        let output = output.expect_stderr(&format!("warning: {warning}\n"));
        assert!(!output.stderr.contains("hunter2"), "{output}");
        assert!(!output.stdout.contains("hunter2"), "{output}");
    }
    // One that knows nobody is no trouble.
    let home = Home::new();
    home.helper("unknown");
    home.write(&[(DOCKER, &pass.replace("SUFFIX", "unknown"))]);
    let output = home.push(&[], &[]).run();
    let output = found(&home, output, "~/.docker/config.json", "file:secret");
    assert!(!output.stderr.contains("warning"), "{output}");
}
