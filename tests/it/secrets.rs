//! Nothing that hoist writes holds a secret: whatever is asked for, whatever registries repeat, whether the
//! push succeeds or fails.

mod home;

use std::fs;

use self::home::{Files, Home};
use crate::support::command::hoist;
use crate::support::registry::{Kind, Registry, Setup};
use crate::support::scripted::{Answer, Gate, Rule, Scripted, answer, held, on};

const PASSWORD: &str = "hunter2 \"Pass\"/wörd";
/// `robot:` and the password, as RFC 7617 has it.
const BASIC: &str = "cm9ib3Q6aHVudGVyMiAiUGFzcyIvd8O2cmQ=";
const SIGNATURE: &str = "5igned5ignature";

/// What the user talks about.
const ASKED: [&[&str]; 5] = [
    &["-vv"],
    &["-o", "json"],
    &["-vvv", "-o", "json", "--progress", "bar"],
    &["-q"],
    &[],
];

/// The password itself in the forms that others write it in, and what is made of it.
const OF_PASSWORD: [&str; 5] = [
    PASSWORD,
    BASIC,
    "hunter2",
    "hunter2 \\\"Pass\\\"/wörd",
    "hunter2%20%22Pass%22%2Fw%C3%B6rd",
];

fn login<'a>(options: &[&'a str]) -> Vec<&'a str> {
    let login = ["-u", "robot", "--password-stdin"];
    login.iter().chain(options).copied().collect()
}

/// A registry that asks for the password, and says to it all that it could say wrong.
fn indiscreet() -> [Answer; 6] {
    let page = format!("<html><title>401 for robot:{PASSWORD}</title></html>");
    let errors = |message: &str| {
        let error = serde_json::json!({"code": "DENIED", "message": message});
        serde_json::json!({"errors": [error]}).to_string()
    };
    let echo =
        format!("wrong header Authorization: Basic {BASIC} from http://robot:{PASSWORD}@here/");
    let form = "grant=password&password=hunter2%20%22Pass%22%2Fw%C3%B6rd";
    let seen = serde_json::json!({"user": "robot", "password": PASSWORD});
    let trace = serde_json::json!({"message": seen.to_string()});
    [
        answer(403).body(errors(&format!("{PASSWORD} is not the password of robot"))),
        answer(403).body(errors(&echo)),
        answer(401)
            .header("WWW-Authenticate", format!("Basic realm=\"{BASIC}\""))
            .header("Warning", format!("299 - \"{BASIC}\""))
            .body(page),
        answer(500).body(form),
        answer(400).body(format!("got: {echo}")),
        answer(403).body(trace.to_string()),
    ]
}

fn challenge() -> Rule {
    let basic = answer(401).header("WWW-Authenticate", "Basic realm=\"r\"");
    on("*", "/").times(1).then(basic)
}

#[test]
fn a_password_is_not_shown_whatever_a_registry_says_about_it() {
    let home = Home::new();
    for said in indiscreet() {
        for asked in ASKED {
            let server = Scripted::start([challenge(), on("*", "/").then(said.clone())]);
            let host = server.address().to_string();
            let output = home.push(&host, &login(asked)).stdin(PASSWORD).run();
            assert_ne!(output.code(), Some(0), "{output}");
            let carried = server.requests();
            let basic = format!("Basic {BASIC}");
            let mut carried = carried
                .iter()
                .filter_map(|seen| seen.header("authorization"));
            assert!(carried.any(|value| value == basic), "{output}");
            home.unseen(&Files::new(), &output, &OF_PASSWORD);
        }
    }
}

/// A way to give the password.
struct Given {
    options: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
    /// `HOST` is the registry, `PASSWORD` and `BASIC` what they are.
    file: (&'static str, &'static str),
    code: i32,
}

const GIVEN: [Given; 10] = [
    Given {
        options: &["-u", "robot", "--password-file", "HOME/pw"],
        env: &[],
        file: ("pw", "PASSWORD\n"),
        code: 4,
    },
    Given {
        options: &[],
        env: &[("HOIST_USERNAME", "robot"), ("HOIST_PASSWORD", "PASSWORD")],
        file: ("unused", ""),
        code: 4,
    },
    Given {
        options: &["--config", "HOME/config.json"],
        env: &[("HOIST_PASSWORD", "PASSWORD")],
        file: (
            "config.json",
            r#"{"registries": {"HOST": {"username": "robot"}}}"#,
        ),
        code: 4,
    },
    Given {
        options: &[],
        env: &[],
        file: (
            ".docker/config.json",
            r#"{"auths": {"HOST": {"auth": "BASIC"}}}"#,
        ),
        code: 4,
    },
    Given {
        options: &["--auth-file", "HOME/auth.json"],
        env: &[],
        file: ("auth.json", r#"{"auths": {"HOST": {"auth": "BASIC"}}}"#),
        code: 4,
    },
    Given {
        options: &[],
        env: &[(
            "DOCKER_AUTH_CONFIG",
            r#"{"auths": {"HOST": {"auth": "BASIC"}}}"#,
        )],
        file: ("unused", ""),
        code: 4,
    },
    // Damaged in ways that an error could quote.
    Given {
        options: &[],
        env: &[(
            "DOCKER_AUTH_CONFIG",
            r#"{"auths": {"HOST": {"auth": "BASIC"}}} BASIC"#,
        )],
        file: ("unused", ""),
        code: 2,
    },
    Given {
        options: &["--auth-file", "HOME/auth.json"],
        env: &[],
        file: ("auth.json", r#"{"auths": {"HOST": {"auth": ["BASIC"]}}}"#),
        code: 2,
    },
    Given {
        options: &["--config", "HOME/config.json"],
        env: &[],
        file: (
            "config.json",
            r#"{"registries": {"HOST": {"password": "BASIC"}}}"#,
        ),
        code: 2,
    },
    Given {
        options: &["--password-stdin"],
        env: &[("HOIST_USERNAME", "robot:BASIC")],
        file: ("unused", ""),
        code: 2,
    },
];

#[test]
fn a_password_is_not_shown_wherever_it_comes_from() {
    for given in GIVEN {
        for asked in &ASKED[..3] {
            let home = Home::new();
            let echo = answer(403).body(PASSWORD);
            let server = Scripted::start([challenge(), on("*", "/").then(echo)]);
            let host = server.address().to_string();
            let filled = |text: &str| {
                let text = text.replace("HOST", &host).replace("BASIC", BASIC);
                let text = text.replace("HOME", home.0.path().to_str().unwrap());
                text.replace("PASSWORD", PASSWORD)
            };
            home.write(given.file.0, &filled(given.file.1));
            let before = home.files();
            let options: Vec<String> = given.options.iter().map(|option| filled(option)).collect();
            let mut push = home.push(&host, asked).args(options);
            for (name, value) in given.env {
                push = push.env(name, filled(value));
            }
            let output = push.run().expect_code(given.code);
            home.unseen(&before, &output, &OF_PASSWORD);
            if given.code == 4 {
                let basic = format!("Basic {BASIC}");
                let carried = server.requests();
                let carried = carried
                    .iter()
                    .filter_map(|seen| seen.header("authorization"));
                assert!(carried.clone().any(|value| value == basic), "{output}");
            }
        }
    }
}

/// No form that gives it away by itself.
const TOKEN: &str = "0paque T0ken";
const REFRESH: &str = "refresh/me+now \"quoted\"";
const OF_TOKENS: [&str; 6] = [
    TOKEN,
    "0paque%20T0ken",
    REFRESH,
    "refresh/me+now \\\"quoted\\\"",
    "refresh%2Fme%2Bnow%20%22quoted%22",
    "refresh/me",
];

/// Tokens, and what they are got with, as registries and token services could repeat them.
#[test]
fn tokens_are_not_shown_whatever_is_said_about_them() {
    let given = answer(200).body(format!(
        "{{\"token\": \"{TOKEN}\", \"refresh_token\": \"{TOKEN}\"}}"
    ));
    let errors = |text: &str| {
        let error = serde_json::json!({"code": "DENIED", "message": text});
        serde_json::json!({"errors": [error]}).to_string()
    };
    let form = "refresh_token=refresh%2Fme%2Bnow%20%22quoted%22&x=y";
    let odd = serde_json::json!({"token": [TOKEN], "refresh_token": REFRESH}).to_string();
    for (service, registry) in [
        (
            given.clone(),
            answer(403).body(errors(&format!("{TOKEN} is not enough"))),
        ),
        (
            given.clone(),
            answer(401).body(format!("Authorization: Bearer {TOKEN}")),
        ),
        (given, answer(500).body(format!("x={}", OF_TOKENS[1]))),
        (
            answer(403).body(errors(&format!("{REFRESH} has expired"))),
            answer(404),
        ),
        (answer(401).body(form), answer(404)),
        (answer(400).body(errors(form)), answer(404)),
        (
            answer(500).body(format!("cannot parse {REFRESH}")),
            answer(404),
        ),
        (answer(200).body(odd), answer(404)),
        (
            answer(200).body(format!("<title>{REFRESH}</title>")),
            answer(404),
        ),
        (
            answer(200).body(format!("{{\"token\": \"{TOKEN}\\n\"}}")),
            answer(404),
        ),
    ] {
        for asked in &ASKED[..3] {
            let home = Home::new();
            let bearer = "Bearer realm=\"/token?x=y\",service=\"r\"";
            let bearer = answer(401).header("WWW-Authenticate", bearer);
            let server = Scripted::start([
                on("*", "/token").then(service.clone()),
                on("*", "/").times(1).then(bearer),
                on("*", "/").then(registry.clone()),
            ]);
            let host = server.address().to_string();
            let auths = serde_json::json!({"auths": {&host: {"identitytoken": REFRESH}}});
            let file = home.write("auth.json", &auths.to_string());
            let before = home.files();
            let push = home.push(&host, asked).args(["--auth-file", &file]);
            let output = push.run();
            assert_ne!(output.code(), Some(0), "{output}");
            let asked_for = server.requests();
            let mut asked_for = asked_for
                .iter()
                .filter(|seen| seen.target.starts_with("/token"));
            assert!(asked_for.any(|seen| seen.method == "POST"), "{output}");
            home.unseen(&before, &output, &OF_TOKENS);
        }
    }
}

#[test]
fn a_login_leaves_nothing_behind() {
    let kinds = [Kind::Distribution2, Kind::Distribution3];
    for kind in kinds.into_iter().filter(|kind| kind.is_available()) {
        let basic = Some(("robot".to_owned(), PASSWORD.to_owned()));
        let setup = Setup {
            basic,
            ..Setup::default()
        };
        let registry = Registry::start_with(kind, setup);
        for (given, code) in [(PASSWORD, 0), ("hunter2 but wrong", 4)] {
            let home = Home::new();
            for asked in ASKED {
                let push = home.push(&registry.host(), &login(asked)).stdin(given);
                let output = push.run().expect_code(code);
                home.unseen(&Files::new(), &output, &OF_PASSWORD);
                home.unseen(&Files::new(), &output, &["hunter2", "cm9ib3Q6aHVudGVy"]);
            }
        }
    }
}

/// A URL whose query is all that is asked for, in a Location, and repeated by who refuses it.
#[test]
fn signed_urls_are_shown_without_their_signature() {
    let home = Home::new();
    for stored in [
        answer(201),
        answer(403).body(format!(
            "<p>/up?X-Amz-Signature={SIGNATURE} has expired</p>"
        )),
        answer(403).body(format!("signature={SIGNATURE}&x=1 is not allowed")),
        answer(403).body(format!("{{\"message\": \"GET /up?x={SIGNATURE}: no\"}}")),
    ] {
        for asked in &ASKED[..2] {
            let storage = Scripted::start([on("*", "/").then(stored.clone())]);
            let url = storage.url(&format!("/up?X-Amz-Signature={SIGNATURE}"));
            let redirect = answer(307).header("Location", url.clone());
            let server = Scripted::start([
                on("POST", "/").then(answer(202).header("Location", url)),
                on("HEAD", "/").containing("/blobs/").then(redirect),
                on("HEAD", "/").then(answer(404)),
                on("PUT", "/manifests/").then(answer(201)),
            ]);
            // The storage is another host by name: `127.0.0.1`.
            let host = format!("localhost:{}", server.address().port());
            let output = home.push(&host, asked).run();
            assert!(storage.requests().iter().any(|seen| seen.method == "PUT"));
            home.unseen(&Files::new(), &output, &[SIGNATURE]);
        }
    }
}

#[test]
fn users_in_a_location_are_not_shown() {
    let home = Home::new();
    let url = format!("http://robot:{SIGNATURE}@localhost/up");
    let server = Scripted::start([
        on("POST", "/").then(answer(307).header("Location", url)),
        on("HEAD", "/").then(answer(404)),
    ]);
    let host = server.address().to_string();
    let output = home.push(&host, ASKED[0]).run().expect_code(1);
    home.unseen(&Files::new(), &output, &[SIGNATURE]);
    output.expect_stderr("the Location carries a user name");
}

/// What should not have been typed is at least not repeated.
#[test]
fn passwords_in_urls_are_not_repeated() {
    let home = Home::new();
    let config = home.write(
        "config.json",
        "{\"registries\": {\"https://robot:hunter2@h\": {}}}",
    );
    for words in [
        &["push", "source", "https://robot:hunter2@localhost/demo/"][..],
        &["push", "source", "http://hunter2@localhost/demo"],
        &["push", "-u", "robot:hunter2", "source", "localhost:1/"],
        &[
            "push",
            "--rename",
            "https://robot:hunter2@h=x",
            "source",
            "h/",
        ],
        &["push", "--config", &config, "source", "localhost:1/"],
        &["login", "https://robot:hunter2@localhost/"],
        &["login", "robot:hunter2@localhost"],
        &["login", "-u", "robot:hunter2", "localhost"],
    ] {
        for json in [&["-o", "json"][..], &[]] {
            let json = json.iter().filter(|_| words[0] == "push");
            let command = hoist(words.iter().chain(json));
            let output = command.current_dir(home.0.path()).run().expect_code(2);
            home.unseen(&home.files(), &output, &["hunter2"]);
        }
    }
}

/// Only docker's file has the password, and nobody is told.
#[test]
fn a_login_that_is_kept_is_told_to_nobody() {
    for code in [200, 401, 403] {
        let home = Home::new();
        let before = home.files();
        let said = answer(code).body(format!("{PASSWORD} {BASIC}"));
        let server = Scripted::start([challenge(), on("*", "/").then(said)]);
        let host = server.address().to_string();
        let login = hoist(["login", "-vv", "-u", "robot", "--password-stdin"]).arg(host);
        let login = login.stdin(PASSWORD).env("HOME", home.0.path());
        let output = login.run();
        assert_eq!(output.code() == Some(0), code == 200, "{output}");
        if code == 200 {
            let kept = home.files();
            let docker = home.path(".docker/config.json").display().to_string();
            assert!(kept.iter().any(|(path, _)| *path == docker), "{output}");
            home.unseen(&kept, &output, &OF_PASSWORD);
        } else {
            home.unseen(&before, &output, &OF_PASSWORD);
        }
    }
}

/// `robot:hunter2`, RFC 7617.
const PROXY: [&str; 3] = ["hunter2", "h%75nter2", "cm9ib3Q6aHVudGVyMg=="];

#[test]
fn what_a_proxy_is_told_is_told_to_nobody_else() {
    let home = Home::new();
    let challenge = answer(407).header("Proxy-Authenticate", "Basic realm=\"p\"");
    for said in [
        challenge.clone(),
        challenge.body(format!("Proxy-Authorization: Basic {}", PROXY[2])),
        answer(403).body("<title>robot with password hunter2 may not</title>"),
        answer(502).body(format!("{{\"message\": \"{}\"}}", PROXY[2])),
    ] {
        for asked in &ASKED[..3] {
            for scheme in ["http", "https"] {
                let proxy = Scripted::start([on("*", "").then(said.clone())]);
                let url = format!("http://robot:h%75nter2@{}", proxy.address());
                let plain = (scheme == "http").then_some("--plain-http");
                let push = home.push("registry.example", asked).args(plain);
                let name = format!("{}_PROXY", scheme.to_uppercase());
                let output = push.env(name.to_lowercase(), url).run();
                assert_ne!(output.code(), Some(0), "{output}");
                let told = proxy.requests();
                let basic = format!("Basic {}", PROXY[2]);
                let mut told = told
                    .iter()
                    .filter_map(|seen| seen.header("proxy-authorization"));
                assert!(told.any(|value| value == basic), "{output}");
                home.unseen(&Files::new(), &output, &PROXY);
            }
        }
    }
    for url in [
        "ftp://robot:hunter2@h:1",
        "http://robot:hunter2@h:99999",
        "http://robot:hunter2@",
        "robot:hunter2@h:1/?x",
        "http://robot:hunter2@h:1/x y",
    ] {
        let sections = serde_json::json!({"registries": {"registry.example": {"proxy": url}}});
        let config = home.write("config.json", &sections.to_string());
        let before = home.files();
        let pushing = |asked| home.push("registry.example", &[asked]);
        for push in [
            pushing("-ojson").args(["--config", &config]),
            pushing("-vv").env("https_proxy", url),
        ] {
            let output = push.run();
            assert_ne!(output.code(), Some(0), "{output}");
            home.unseen(&before, &output, &PROXY);
        }
    }
}

/// proc_pid_cmdline(5): what everybody on the machine can see.
#[cfg(target_os = "linux")]
#[test]
fn a_running_push_has_no_secret_among_its_arguments() {
    let home = Home::new();
    let gate = Gate::new();
    let server = Scripted::start([on("*", "/").then(held(&gate, answer(503)))]);
    let push = home.push(&server.address().to_string(), &login(&[]));
    let running = push.stdin(PASSWORD).spawn();
    gate.wait_for(1);
    let arguments = fs::read(format!("/proc/{}/cmdline", running.id())).unwrap();
    let arguments = String::from_utf8(arguments).unwrap();
    assert!(arguments.contains("--password-stdin"), "{arguments}");
    assert!(!arguments.contains("hunter2"), "{arguments}");
}
