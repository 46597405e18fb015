//! Tokens in the place of passwords: what is shown to the registry, and how it is kept.

use std::fs;

use crate::credentials::DOCKER;
use crate::credentials::home::Home;
use crate::support::scripted::{Scripted, answer, on};

#[test]
fn a_bearer_is_shown_as_it_is_and_kept_as_such() {
    let home = Home::welcome();
    home.write(&[("token", "abc.def\n")]);
    let log_in = home.log("login", &[], &["--token-file", "HOME/token"]);
    let line = format!(
        "logged in to {} with a token, kept in ~/{DOCKER}\n",
        home.host()
    );
    log_in.run().expect_code(0).expect_stdout(&line);
    let bearer = |at: &Home| {
        let seen = at.registry.requests();
        let last = seen
            .iter()
            .rev()
            .find_map(|seen| seen.header("authorization"));
        last.map(str::to_owned)
    };
    assert_eq!(bearer(&home).as_deref(), Some("Bearer abc.def"));
    let text = fs::read_to_string(home.path(DOCKER)).unwrap();
    let entry =
        "{\n\t\"auths\": {\n\t\t\"HOST\": {\n\t\t\t\"registrytoken\": \"abc.def\"\n\t\t}\n\t}\n}\n";
    assert_eq!(text, home.filled(entry));

    let refusing = Home::new();
    let kept = r#"{"auths":{"HOST":{"registrytoken":"abc.def"}}}"#;
    refusing.write(&[(DOCKER, kept)]);
    let pushed = refusing.push(&[], &[]).run().expect_code(4);
    assert_eq!(bearer(&refusing).as_deref(), Some("Bearer abc.def"));
    assert!(!pushed.stderr.contains("abc.def"), "{pushed}");
}

#[test]
fn an_identity_token_goes_to_the_token_service_and_is_kept_as_docker_keeps_it() {
    let ask = answer(401).header(
        "WWW-Authenticate",
        "Bearer realm=\"/token\",service=\"test\"",
    );
    let token = answer(200).body(r#"{"access_token":"short"}"#);
    let home = Home {
        registry: Scripted::start([
            on("GET", "/v2/").nth(1).then(ask),
            on("GET", "/v2/").then(answer(200)),
            on("POST", "/token").then(token),
        ]),
        ..Home::new()
    };
    home.write(&[("token", "r3fresh")]);
    let log_in = home.log(
        "login",
        &[],
        &["-u", "<token>", "--token-file", "HOME/token"],
    );
    let output = log_in.run().expect_code(0);
    assert!(
        output.stdout.contains(" with a token, kept in "),
        "{output}"
    );
    let seen = home.registry.requests();
    let asked = seen.iter().find(|seen| seen.method == "POST").unwrap();
    let form = String::from_utf8(asked.body.clone()).unwrap();
    assert!(form.contains("refresh_token=r3fresh"), "{form}");
    let last = seen.last().unwrap();
    assert_eq!(last.header("authorization"), Some("Bearer short"));
    let text = fs::read_to_string(home.path(DOCKER)).unwrap();
    let expected = "\"auth\": \"BASE64(<token>:)\",\n\t\t\t\"identitytoken\": \"r3fresh\"\n";
    assert!(text.contains(&home.filled(expected)), "{text}");
}

#[test]
fn a_helper_keeps_identity_tokens_and_no_bearers() {
    let home = Home::welcome();
    home.helper("store");
    home.write(&[(DOCKER, r#"{"credsStore":"store"}"#), ("token", "abc.def")]);
    let log_in = home.log("login", &[], &["--token-file", "HOME/token"]);
    let why = format!(
        "error: login to {} failed: docker-credential-store (credsStore in ~/{DOCKER}) keeps passwords and identity tokens, and this is neither\n",
        home.host()
    );
    log_in.run().expect_code(1).expect_stderr(&why);
    assert!(!fs::exists(home.path("stored")).unwrap());
}
