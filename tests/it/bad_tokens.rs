//! Token services and challenges that are no good, and where credentials go.

use std::sync::Arc;
use std::time::Duration;

use hoist::image::reference::Repository;
use hoist::net;
use hoist::observe::event::Emit;
use hoist::registry::client::{Credentials, Keychain, Login, Settings, TokenService};
use hoist::registry::error::{Error, ErrorKind};

use crate::support::archives::{ImageSpec, layout};
use crate::support::command::hoist;
use crate::support::scripted::{Answer, Rule, Scripted, Seen, answer, computed, on};
use crate::support::tls::Authority;
use crate::wire::{Wire, code, noise, plain, session, shape, telling_session, user};

pub(crate) fn bearer(realm: &str) -> Answer {
    let challenge =
        format!("Bearer realm=\"{realm}\",service=\"s\",scope=\"repository:app:pull,push\"");
    code(401, "UNAUTHORIZED", "").header("WWW-Authenticate", challenge)
}

pub(crate) fn token(value: &str) -> Answer {
    answer(200).body(format!(r#"{{"token":"{value}"}}"#))
}

/// A registry that takes any token, with these ahead of its own rules.
pub(crate) fn registry(rules: impl IntoIterator<Item = Rule>) -> Scripted {
    let granted = |seen: &Seen, answer: Answer| match seen.header("authorization") {
        Some(value) if value.starts_with("Bearer ") => answer,
        _ => bearer("/token"),
    };
    let mut all: Vec<Rule> = rules.into_iter().collect();
    all.extend([
        on("HEAD", "/v2/").then(computed(move |seen| granted(seen, answer(404)))),
        on("POST", "/v2/").then(computed(move |seen| granted(seen, telling_session()))),
        on("PUT", "/v2/").then(computed(move |seen| granted(seen, answer(201)))),
        on("GET", "/token").then(token("t")),
    ]);
    Scripted::start(all)
}

pub(crate) fn as_me(retries: u32) -> Settings {
    Settings {
        keychain: user("me", "secret"),
        ..plain(retries)
    }
}

/// Somebody with credentials that are not a user and a password.
fn with(login: Login) -> Settings {
    Settings {
        keychain: Arc::new(Credentials {
            login,
            origin: "a file".into(),
        }),
        ..plain(0)
    }
}

fn fails(server: &Scripted, settings: Settings) -> Error {
    let wire = Wire::with(server.address(), settings);
    wire.push("app", b"hello").unwrap_err()
}

#[test]
fn what_is_no_token_is_said() {
    let long = "x".repeat(64 << 10);
    let page = "<html><head><title>Please log in</title></head></html>";
    for (answered, sentence) in [
        (
            answer(200).body(page),
            "sent an answer that is no token: Please log in",
        ),
        (answer(200), "sent an empty answer"),
        (answer(204), "sent an empty answer"),
        (answer(200).body("{}"), "sent an answer without a token"),
        (
            token(&long),
            "sent a token of 64 KiB, and no header takes more than 16 KiB",
        ),
        (
            token("a\\r\\nX-Evil: 1"),
            "sent a token with characters that no header takes",
        ),
        (
            answer(403).body(r#"{"errors":[{"code":"DENIED","message":"not you"}]}"#),
            "answered 403 Forbidden: DENIED: not you (to the credentials of me (from --username), \
             for repository:app:pull,push)",
        ),
        (
            answer(400).body(r#"{"error":"invalid_scope"}"#),
            "answered 400 Bad Request: invalid_scope (to the credentials of me (from --username), \
             for repository:app:pull,push)",
        ),
        (
            answer(401).body(r#"{"details":"password secret is wrong"}"#),
            "answered 401 Unauthorized: password *** is wrong (the credentials of me (from --username) were refused)",
        ),
        (
            answer(302).header("Location", "/token?again"),
            "answered 302 Found after 5 redirects",
        ),
        (
            answer(302).header("Location", "ftp://elsewhere/"),
            "sent us on, but the Location is neither http nor https",
        ),
    ] {
        let server = registry([on("GET", "/token").then(answered)]);
        let error = fails(&server, as_me(5));
        assert_eq!(error.kind, ErrorKind::Auth, "{error}");
        let expected = format!("token service {} {sentence}", server.address());
        assert_eq!(error.reason, expected);
        let requests = server.requests();
        let asked = requests
            .iter()
            .filter(|seen| seen.target.starts_with("/token"));
        let most = if sentence.contains("after 5") { 6 } else { 1 };
        assert_eq!(asked.count(), most, "{sentence}");
    }
}

#[test]
fn an_answer_without_end_is_not_read() {
    let server = registry([on("GET", "/token").then(token(&"x".repeat(2 << 20)))]);
    let error = fails(&server, as_me(0));
    assert!(
        error.reason.contains("larger than 1048576 bytes"),
        "{error}"
    );
}

#[test]
fn troubles_of_a_token_service_pass() {
    let busy = answer(429).header("Retry-After", "7");
    let server = registry([
        on("GET", "/token").nth(1).then(answer(500)),
        on("GET", "/token").nth(2).then(busy),
        on("GET", "/token").nth(3).then(answer(503)),
    ]);
    let wire = Wire::with(server.address(), as_me(2));
    wire.push("app", b"hello").unwrap();
    let retries = wire.retries();
    assert_eq!(retries.len(), 3);
    let said = format!("token service {} answered 500", server.address());
    assert!(retries[0].0.starts_with(&said), "{retries:?}");
    assert_eq!(retries[1].1, Duration::from_secs(7));
    assert_eq!(wire.pressures(), 2);
}

#[test]
fn a_token_service_that_only_fails_is_given_up() {
    let server = registry([on("GET", "/token").then(answer(500))]);
    let error = fails(&server, as_me(2));
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(
        error
            .reason
            .ends_with("answered 500 Internal Server Error (tried 3 times)")
    );
}

#[test]
fn a_token_service_that_is_not_there_is_given_up_once() {
    let gone = Scripted::start([]).address();
    let server = Scripted::start([on("*", "/v2/").then(bearer(&format!("http://{gone}/token")))]);
    let wire = Wire::with(server.address(), as_me(5));
    let error = wire.push("app", b"hello").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
    let expected = format!("cannot connect to {gone}: ");
    assert!(error.reason.starts_with(&expected), "{error}");
    assert!(error.reason.contains(", for 30 s"), "{error}");
    let slept = wire.clock.slept().len();
    let other = wire.push("other", b"hello").unwrap_err();
    assert_eq!(other.reason, error.reason);
    assert_eq!(wire.clock.slept().len(), slept);
}

/// A realm by http on another host.
const ELSEWHERE: &str = "http://elsewhere.invalid/token";
const BASIC: Option<&str> = Some("Basic bWU6c2VjcmV0");

#[test]
fn credentials_do_not_go_to_another_host_over_http() {
    let server = Scripted::start([on("*", "/v2/").then(bearer(ELSEWHERE))]);
    let error = fails(&server, as_me(0));
    assert_eq!(error.kind, ErrorKind::Auth);
    let sentence = "registry answered 401 Unauthorized: UNAUTHORIZED (the token service it names is plain \
                    http on elsewhere.invalid)";
    assert_eq!(error.reason, sentence);
}

#[test]
fn basic_is_taken_where_tokens_cannot_be_had() {
    let both = bearer(ELSEWHERE).header("WWW-Authenticate", "Basic realm=\"r\"");
    let server = Scripted::start([
        on("POST", "/v2/").times(1).then(both),
        on("POST", "/v2/").then(session()),
        on("PUT", "/v2/").then(answer(201)),
    ]);
    let wire = Wire::with(server.address(), as_me(0));
    wire.push("app", b"hello").unwrap();
    let seen = server.requests();
    assert_eq!(seen[0].header("authorization"), None);
    let rest = &seen[1..];
    assert!(rest.iter().all(|one| one.header("authorization") == BASIC));
}

#[test]
fn credentials_do_not_go_where_a_token_service_sends_us() {
    let second = Scripted::start([on("GET", "/second").then(token("t"))]);
    let away = || answer(307).header("Location", second.url("/second"));
    let server = registry([
        on("GET", "/token").then(away()),
        on("POST", "/token").then(away()),
    ]);
    let wire = Wire::with(server.address(), as_me(0));
    wire.push("app", b"hello").unwrap();
    assert_eq!(second.requests()[0].header("authorization"), None);
    assert_eq!(server.requests()[1].header("authorization"), BASIC);
    let error = fails(&server, with(Login::IdentityToken("secret".into())));
    let sentence = "which is not to see what we sent";
    assert!(error.reason.ends_with(sentence), "{error}");
    assert_eq!(second.requests().len(), 1);
}

/// What is remembered gets passwords from runs that verify certificates.
#[test]
fn a_token_service_is_remembered_where_nobody_can_have_forged_its_name() {
    let authority = Authority::new("tests");
    let identity = authority.issue(&["127.0.0.1", "localhost"]);
    let dir = tempfile::tempdir().unwrap();
    let tokens = Scripted::start_tls(identity.server(), [on("GET", "/token").then(token("t"))]);
    let elsewhere = tokens.url("/token").replace("127.0.0.1", "localhost");
    for (insecure, realm, remembered) in [
        (false, "/token", true),
        (false, &elsewhere, true),
        (true, "/token", true),
        (true, &elsewhere, false),
    ] {
        let asks = bearer(realm);
        let server = Scripted::start_tls(
            identity.server(),
            [
                on("POST", "/v2/").times(1).then(asks),
                on("POST", "/v2/").then(session()),
                on("PUT", "/v2/").then(answer(201)),
                on("GET", "/token").then(token("t")),
            ],
        );
        let settings = Settings {
            insecure,
            plain_http: false,
            ..as_me(0)
        };
        let http = net::Settings {
            insecure,
            ca_certs: vec![authority.write(dir.path())],
            ..net::Settings::default()
        };
        let wire = Wire::over(server.address(), settings, &http);
        wire.push("app", b"hello").unwrap();
        let known = wire.client.token_service();
        let expected = remembered.then_some(realm);
        assert_eq!(known.as_ref().map(|known| known.realm.as_str()), expected);
    }
}

#[test]
fn a_challenge_without_a_service_next_to_basic_is_met() {
    let gitea = answer(401)
        .header("WWW-Authenticate", "Bearer realm=\"/token\"")
        .header("WWW-Authenticate", "Basic");
    let server = registry([on("POST", "/v2/").times(1).then(gitea)]);
    let wire = Wire::with(server.address(), as_me(0));
    wire.push("app", b"hello").unwrap();
    let requests = server.requests();
    let asked = "/token?scope=repository%3Aapp%3Apull%2Cpush&account=me";
    assert_eq!(requests[1].target, asked);
    assert_eq!(requests[1].header("authorization"), BASIC);
    assert_eq!(requests[2].header("authorization"), Some("Bearer t"));
}

#[test]
fn a_token_of_the_users_is_sent_as_it_is() {
    for challenge in ["Basic realm=\"r\"", "Bearer realm=\"/token\""] {
        let asks = answer(401).header("WWW-Authenticate", challenge);
        let server = registry([on("POST", "/v2/").times(1).then(asks)]);
        let wire = Wire::with(server.address(), with(Login::Bearer("mine".into())));
        wire.push("app", b"hello").unwrap();
        let requests = server.requests();
        assert_eq!(shape(&requests), ["POST mount", "POST mount", "PUT upload"]);
        assert_eq!(requests[1].header("authorization"), Some("Bearer mine"));
    }
    let deaf = Scripted::start([on("*", "/").then(bearer("/token"))]);
    let error = fails(&deaf, with(Login::Bearer("mine".into())));
    let sentence = "(the token (from a file) was refused)";
    assert!(error.reason.ends_with(sentence), "{error}");
}

#[test]
fn an_identity_token_is_no_password() {
    let basic = answer(401).header("WWW-Authenticate", "Basic realm=\"r\"");
    let server = Scripted::start([on("*", "/").then(basic)]);
    let error = fails(&server, with(Login::IdentityToken("refresh".into())));
    let sentence = "(it asks for a password, and there is a token only)";
    assert!(error.reason.ends_with(sentence), "{error}");
}

#[test]
fn a_401_for_ever_ends() {
    for (challenged, sentence) in [
        (
            bearer("/token"),
            "(the token for the credentials of me (from --username) does not allow repository:app:pull,push)",
        ),
        (
            answer(401).header(
                "WWW-Authenticate",
                "Bearer realm=\"/token\",error=\"invalid_token\"",
            ),
            "(each token for the credentials of me (from --username) was refused)",
        ),
    ] {
        let server = Scripted::start([
            on("GET", "/token").then(token("t")),
            on("*", "/").then(challenged),
        ]);
        let wire = Wire::with(server.address(), as_me(5));
        for _ in 0..10 {
            let error = wire.push("app", b"hello").unwrap_err();
            assert_eq!(error.kind, ErrorKind::Auth);
            assert!(error.reason.ends_with(sentence), "{error}");
        }
        assert_eq!(wire.retries(), []);
        let requests = server.requests();
        let tokens = requests
            .iter()
            .filter(|seen| seen.target.starts_with("/token"));
        assert_eq!(tokens.count(), 2);
    }
}

/// Each repository has credentials of its own, asked for once, and only when they are needed.
#[derive(Debug, Default)]
struct Guarded(std::sync::Mutex<Vec<String>>);

impl Keychain for Guarded {
    fn find(&self, repository: Option<&Repository>, _: &dyn Emit) -> Option<Credentials> {
        let name = repository?.to_string();
        self.0.lock().unwrap().push(name.clone());
        Some(Credentials {
            login: Login::Password {
                username: name,
                password: "p".into(),
            },
            origin: "a test".into(),
        })
    }
}

#[test]
fn each_repository_has_credentials_of_its_own() {
    let keychain = Arc::new(Guarded::default());
    let settings = || Settings {
        keychain: keychain.clone(),
        ..plain(0)
    };
    let open = Scripted::start([
        on("POST", "/v2/").then(session()),
        on("PUT", "/v2/").then(answer(201)),
    ]);
    Wire::with(open.address(), settings())
        .push("a", b"x")
        .unwrap();
    assert!(keychain.0.lock().unwrap().is_empty());
    let server = registry([]);
    let wire = Wire::with(server.address(), settings());
    for (repository, seed) in [("a", 1), ("b/c", 2), ("a", 3), ("b/c", 4)] {
        wire.push(repository, &noise(10, seed)).unwrap();
    }
    assert_eq!(*keychain.0.lock().unwrap(), ["a", "b/c"]);
    let requests = server.requests();
    let asked = |seen: &Seen| Some(seen.target.split_once("account=")?.1.to_owned());
    let accounts: Vec<String> = requests.iter().filter_map(asked).collect();
    assert_eq!(accounts, ["a", "b%2Fc"]);
}

#[test]
fn a_registry_that_has_changed_its_mind_is_heard() {
    // It was known for tokens, and wants a password now.
    let basic = answer(401).header("WWW-Authenticate", "Basic realm=\"r\"");
    let taken = |seen: &Seen| seen.header("authorization") == Some("Basic bWU6c2VjcmV0");
    let server = Scripted::start([
        on("GET", "/token").then(token("t")),
        on("POST", "/v2/").then(computed(move |seen| match taken(seen) {
            true => session(),
            false => basic.clone(),
        })),
        on("PUT", "/v2/").then(answer(201)),
    ]);
    let settings = Settings {
        known_service: Some(TokenService {
            realm: "/token".to_owned(),
            service: None,
        }),
        ..as_me(0)
    };
    let wire = Wire::with(server.address(), settings);
    wire.push("app", b"hello").unwrap();
    assert_eq!(wire.client.token_service(), None);
    let seen = shape(&server.requests());
    assert_eq!(seen[1..], ["POST mount", "POST mount", "PUT upload"]);
}

#[test]
fn each_end_has_its_code() {
    let dir = tempfile::tempdir().unwrap();
    layout(dir.path(), &[ImageSpec::new("app:1").layer(1, 3_000)]);
    let gone = Scripted::start([]).address();
    for (rules, realm, code, kind) in [
        (answer(200).body("<html>"), "/token".to_owned(), 4, "auth"),
        (answer(403), "/token".to_owned(), 4, "auth"),
        (answer(500), "/token".to_owned(), 1, "refused"),
        (answer(429), "/token".to_owned(), 1, "pressure"),
        (token("t"), "/token".to_owned(), 4, "auth"),
        (token("t"), ELSEWHERE.to_owned(), 4, "auth"),
        (token("t"), format!("http://{gone}/token"), 5, "unreachable"),
    ] {
        let server = Scripted::start([
            on("GET", "/token").then(rules),
            on("*", "/").then(bearer(&realm)),
        ]);
        let output = hoist(["push", "-o", "json", "--progress", "none", "--retries", "0"])
            .arg(dir.path())
            .arg(format!("{}/app:1", server.address()))
            .args(["-u", "me", "--password-stdin"])
            .stdin("secret")
            .run()
            .expect_code(code);
        let report = output.json();
        assert_eq!(report["images"][0]["error"]["kind"], kind, "{output}");
        assert!(!output.to_string().contains("secret"), "{output}");
    }
}
