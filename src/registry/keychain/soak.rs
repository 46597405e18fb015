//! Credential files and the answers of helpers: what is wrong with them is said without their values.

use crate::image::reference::Host;
use crate::registry::credentials::Login;
use crate::registry::keychain::document::Document;
use crate::registry::keychain::edit;
use crate::registry::keychain::object::Object;
use crate::registry::keychain::programs::answer_of;
use crate::registry::keychain::server::Server;
use crate::registry::soak::kind;
use crate::soak::{CANARY, Outcome, Target, with_secrets};

pub(in crate::registry) fn targets() -> Vec<Target> {
    let words = "\"auths\": \"auth\":\"@64\" \"identitytoken\":\"@@\" \"registrytoken\":\"@@\" \
        \"username\":\"me\" \"password\":\"@@\" \"credHelpers\": \"credsStore\":\"x\" \"r.example\" \
        \"https://r.example/v1/\" \"r.example/team\" https://index.docker.io/v1/ :\"@64\" :\"@@\" null";
    vec![
        Target::text("credential file", FILES, file).words(words.split(' ')),
        Target::text("edited credential file", FILES, edited).words(words.split(' ')),
        Target::text("answer of a helper", HELPERS, helper).words([
            "\"Username\":",
            "\"Secret\":",
            "\"ServerURL\":",
            "<token>",
            ":\"@@\"",
        ]),
        Target::text(
            "key of a credential file",
            ["https://r.example/v1/", "r.example/team"],
            key,
        )
        .words([
            "http://",
            "https://",
            "r.example",
            "/v2",
            "/team",
            "/team/app",
        ]),
    ]
}

const FILES: [&str; 4] = [
    "{\n\t\"auths\": {\n\t\t\"r.example\": {\n\t\t\t\"auth\":\"@64\"\n\t\t},\n\t\t\"z.example\": {\"auth\":\"@64\", \"email\": 1}\n\t},\n\t\"HttpHeaders\": {\"a\": 1}\n}\n",
    r#"{"auths":{"r.example/team":{"username":"me","password":"@@"},"https://r.example/v1/":{"identitytoken":"@@"}},"credHelpers":{"other.example":"x"}}"#,
    r#"{"auths":{"r.example":{"registrytoken":"@@","auth":"@64"},"docker.io":{}},"credsStore":"desktop","auths":{"R.Example":{"auth":"@64"}}}"#,
    "\u{feff}",
];

const HELPERS: [&str; 2] = [
    r#"{"ServerURL":"https://r.example","Username":"me","Secret":"@@"}"#,
    r#"{"Username":"<token>","Secret":"@@"}"#,
];

fn server() -> Server {
    Server::new(&Host::parse("r.example").unwrap())
}

fn file(text: &str) -> Outcome {
    let text = with_secrets(text);
    let document = match Document::parse(&text) {
        Ok(document) => document,
        Err(damage) => return Outcome::refused(format!("config.json {damage}")),
    };
    let mut outcome = Outcome::accepted().with(document.names(&server()));
    for repository in [None, Some("team/app")] {
        match document.look_up(&server(), repository) {
            Ok(said) => {
                // The name of a helper is no secret, whatever the file gives as one.
                assert!(!format!("{:?}", said.login).contains(CANARY));
                outcome = outcome.with(said.helper.is_some());
                outcome = match said.login {
                    Some(Ok(login)) => outcome.with(kind(&login)),
                    Some(Err(damage)) => outcome.saying(format!("config.json {damage}")),
                    None => outcome,
                };
            }
            Err(damage) => outcome = outcome.saying(format!("config.json {damage}")),
        }
    }
    match document.check(&server()) {
        Ok(()) => outcome,
        Err(damage) => outcome.saying(format!("config.json {damage}")),
    }
}

fn edited(text: &str) -> Outcome {
    let text = with_secrets(text);
    let login = Login::new("somebody".into(), "else".into());
    let put = match edit::put(&text, &server(), Some(&login)) {
        Ok(put) => put,
        Err(damage) => return Outcome::refused(format!("config.json {damage}")),
    };
    assert_eq!(others(&put), others(&text));
    let document = Document::parse(&put).unwrap();
    let said = document.look_up(&server(), None).unwrap();
    let found = said.login.expect("it was put there");
    assert_eq!(found.unwrap().username(), Some("somebody"));
    assert_eq!(*edit::put(&put, &server(), Some(&login)).unwrap(), *put);

    let removed = edit::remove(&put, &server()).unwrap();
    let removed = removed.expect("there was something");
    assert_eq!(others(&removed), others(&text));
    let rest = Document::parse(&removed).unwrap();
    assert!(
        rest.look_up(&server(), Some("team/app"))
            .unwrap()
            .login
            .is_none()
    );
    assert!(edit::remove(&removed, &server()).unwrap().is_none());
    Outcome::accepted().with(others(&text).len().min(5))
}

/// What is about other registries: fields in order, and entries.
fn others(text: &str) -> Vec<(String, String)> {
    let text = text.trim_start_matches('\u{feff}');
    let fields = Object::parse(text).unwrap_or_default();
    let auths = fields
        .get("auths")
        .and_then(|auths| Object::parse(auths.get()).ok());
    let auths = auths.unwrap_or_default().0.into_iter();
    let auths = auths.filter(|(key, _)| !server().owns(key));
    let fields = fields.0.into_iter().filter(|(name, _)| name != "auths");
    let pairs = fields.chain(auths);
    pairs
        .map(|(name, value)| (name, value.get().to_owned()))
        .collect()
}

fn helper(text: &str) -> Outcome {
    let answer = answer_of(with_secrets(text).as_bytes());
    assert!(!format!("{answer:?}").contains(CANARY));
    let who = answer.as_ref().ok().and_then(Option::as_ref).map(kind);
    Outcome::of(answer.map_err(|trouble| format!("docker-credential-x {trouble}"))).with(who)
}

fn key(text: &str) -> Outcome {
    let server = server();
    let ranks = [None, Some("team"), Some("team/app")].map(|name| server.rank(text, name));
    assert!(server.owns(text) || ranks.iter().all(Option::is_none));
    match server.owns(text) {
        true => Outcome::accepted().with(format!("{ranks:?}")),
        false => Outcome::refused("another registry's"),
    }
}
