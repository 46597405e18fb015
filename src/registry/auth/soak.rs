//! Token services: challenges that name them, and their answers.

use std::time::Duration;

use crate::registry::auth::grant::Grant;
use crate::registry::auth::realm::TokenService;
use crate::registry::auth::scope::Scopes;
use crate::registry::challenge::Challenge;
use crate::registry::credentials::Login;
use crate::registry::url::{Scheme, Url};
use crate::soak::{CANARY, Outcome, Target, with_secrets};

pub(in crate::registry) fn targets() -> Vec<Target> {
    let words = "\"token\": \"access_token\": \"refresh_token\": \"expires_in\": \"issued_at\": :\"@@\" 1e308";
    vec![
        Target::text("answer with a token", ANSWERS, grant).words(words.split(' ')),
        Target::text(
            "scope",
            ["repository:a/b:pull,push registry:catalog:*"],
            scope,
        )
        .words(["repository:", ":pull", ",push", "*", " ", "a/b:c"]),
        Target::text("bearer token", ["eyJhbGciOi.x-y_z~+/=="], bearer),
    ]
}

const ANSWERS: [&str; 3] = [
    r#"{"token":"@@","expires_in":300,"issued_at":"2026-01-01T00:00:00Z"}"#,
    r#"{"access_token":"@@","refresh_token":"@@","expires_in":"60.5"}"#,
    r#"{"token":"","access_token":"a.b-c","expires_in":-1}"#,
];

fn grant(text: &str) -> Outcome {
    let parsed = Grant::parse(with_secrets(text).as_bytes());
    if let Ok(grant) = &parsed {
        assert!(grant.life <= Duration::from_secs(24 * 60 * 60));
        let token = grant.token.expose();
        assert!(!token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()));
        assert!(!format!("{grant:?}").contains(CANARY));
    }
    Outcome::of(parsed.map_err(|what| format!("token service sent {what}")))
}

fn scope(text: &str) -> Outcome {
    let scopes = Scopes::parse(text);
    let written = scopes.to_string();
    assert!(scopes.cover(&Scopes::parse(&written)), "{written}");
    assert!(scopes.cover(&scopes) && scopes.without(&scopes).is_empty());
    let mut both = scopes.clone();
    both.extend_within(&Scopes::parse("repository:z:pull"));
    assert!(both.cover(&scopes));
    match scopes.is_empty() {
        true => Outcome::refused("no scope"),
        false => Outcome::accepted().with(scopes.each().count()),
    }
}

fn bearer(text: &str) -> Outcome {
    match Login::bearer(text.into()) {
        Some(login) => {
            assert!(!format!("{login:?}").contains(text) || text.len() < 8);
            Outcome::accepted()
        }
        None => Outcome::refused("no token"),
    }
}

/// Where the tokens of a challenge come from: never from where nobody may send a password.
pub(in crate::registry) fn judge(outcome: Outcome, challenge: &Challenge) -> Outcome {
    let scope = challenge.param("scope").map(Scopes::parse);
    let Some(service) = TokenService::of(challenge) else {
        return outcome.with(scope.is_some());
    };
    let base = Url::new(Scheme::Https, "r.example", None, "/v2/".into());
    match service.url(&base, true) {
        Ok(url) => {
            assert_eq!(url.scheme(), Scheme::Https);
            assert!(
                url.host() == "r.example" || !crate::net::is_loopback(url.host()),
                "{url}"
            );
            assert_eq!(service.is_at(&base), url.host() == "r.example");
            outcome.with(url.host() == "r.example")
        }
        Err(why) => outcome.saying(format!("its token service {why}")),
    }
}
