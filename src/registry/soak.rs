//! What this room reads, for the mutation loop.

use std::time::{Duration, Instant};

use crate::image::digest::Digest;
use crate::image::reference::Host;
use crate::net::Response;
use crate::registry::answer::{Refusal, clean, is_page};
use crate::registry::challenge::{Challenge, parse};
use crate::registry::classify::chunk_size;
use crate::registry::credentials::Login;
use crate::registry::endpoint::{Endpoint, Target as Place};
use crate::registry::limit::bucket::Rate;
use crate::registry::limit::told::Told;
use crate::registry::limit::{Limit, retry_after};
use crate::registry::retry::{Budget, Class, Decision};
use crate::registry::upload::{Held, Next, Session, parse_range, read_reply};
use crate::registry::url::Scheme;
use crate::registry::{auth, keychain};
use crate::soak::{CANARY, Outcome, Target};

pub(crate) fn targets() -> Vec<Target> {
    let mut targets = vec![
        Target::text("WWW-Authenticate", CHALLENGES, challenges).words(words(
            "Bearer Basic Negotiate realm=\" service=\" scope=\" error=\" , \\\" \" repository:a/b:pull",
        )),
        Target::text("Location", LOCATIONS, location).words(words(
            "http:// https:// // @ : :443 :5000 r.example other.example [::1] ?_state= # /../ /./ %2e",
        )),
        Target::text("Range", ["0-99", "bytes=0-0", "0--1", "0-18446744073709551614"], range)
            .words(words("bytes= 0- - 18446744073709551615")),
        Target::text("Retry-After", WAITS, asked_to_wait).words(words("GMT Mon, Jan 9999 00:00:60")),
        Target::text("RateLimit", [RATE_LIMITS], limits)
            .words(words("x-ratelimit- : reset ;w= t= reset=")),
        Target::text("error body", ERRORS, error_body).words(words(
            "\"errors\": \"code\": \"message\": \"detail\": BLOB_UPLOAD_INVALID <html> <title> </title> sha256: @@",
        )),
        Target::text("text of a server", [SENTENCE], |text| {
            Outcome::accepted().saying(format!("it said: {}", clean(text, 200)))
        })
        .words(words("Bearer eyJ password= token= https://a:b@c/ ?sig=")),
        Target::text("413", ["1073741824"], |text| match text.parse::<u64>() {
            Ok(sent) if sent >= 2048 => Outcome::accepted().with(chunk_size(sent / 2)),
            _ => Outcome::refused("no size of a body"),
        }),
    ];
    targets.extend(auth::soak::targets());
    targets.extend(keychain::soak::targets());
    targets
}

/// One on each line.
const CHALLENGES: [&str; 4] = [
    r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:a/b:pull,push""#,
    "Basic realm=\"Registry\"\nBearer realm=\"/token\"",
    r#"Bearer realm="x\"y\\z" , error=invalid_token, Basic realm=y, NTLM"#,
    r#"Bearer realm="http://169.254.169.254/",scope="repository:a:pull repository:a:push registry:catalog:*""#,
];

const LOCATIONS: [&str; 5] = [
    "/v2/a/b/blobs/uploads/1?_state=x",
    "https://r.example:5000/v2/a/b/blobs/uploads/1",
    "http://other.example/x/../y?z#top",
    "../up/./1",
    "//[2001:db8::1]:8443",
];

const ERRORS: [&str; 6] = [
    r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"no \u001b[31m such","detail":{"digest":"sha256:9ce2c9120783a3d1feb6e38b737ad0f86212be2107db6583ae31cd78adc433b8"}}]}"#,
    r#"{"errors":[{"code":"UNAUTHORIZED","message":"for Bearer @@"},{"code":"DIGEST_INVALID"}]}"#,
    r#"{"details":"wrong password @@"}"#,
    "<html><head><title>413 Request Entity Too Large</title></head>",
    "<html><body>token=@@ <b>was refused",
    "slow down, please",
];

const WAITS: [&str; 2] = [
    "120",
    "Sun, 06 Nov 1994 08:49:37 GMT\nSun, 06 Nov 1994 08:49:17 GMT",
];

const RATE_LIMITS: &str =
    "ratelimit-limit: 100;w=21600\nRateLimit: \"d\";r=5;t=30\nX-RateLimit-Reset: 9";

const SENTENCE: &str = "no \u{1b}[31m such \u{202e} user at https://a.example/b?sig=x";

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

fn challenges(text: &str) -> Outcome {
    let found = parse(text.lines());
    assert!(found.len() <= 16);
    let written: Vec<String> = found.iter().map(Challenge::written).collect();
    assert_eq!(
        parse(written.iter().map(String::as_str)),
        found,
        "{written:?}"
    );
    let outcome = found.iter().fold(
        match found.is_empty() {
            true => Outcome::refused("no challenge"),
            false => Outcome::accepted(),
        },
        |outcome, challenge| {
            let known = ["basic", "bearer"]
                .iter()
                .position(|one| *one == challenge.scheme);
            outcome.with(known)
        },
    );
    found.iter().fold(outcome, auth::soak::judge)
}

fn location(text: &str) -> Outcome {
    let registry = Endpoint::new(&Host::parse("r.example:5000").unwrap());
    let own = Place::Own("/v2/a/b/blobs/uploads/?mount=x".into());
    let other = registry.resolve(&own, Scheme::Https, "https://store.example/a/b");
    let mut outcome: Option<Outcome> = None;
    for (base, scheme) in [
        (own.clone(), Scheme::Https),
        (own, Scheme::Http),
        (other.unwrap(), Scheme::Https),
    ] {
        let resolved = registry.resolve(&base, scheme, text);
        if let Ok(place) = &resolved {
            stays_in_place(&registry, scheme, place);
        }
        if let Ok(place) = registry.redirect(&base, scheme, text) {
            stays_in_place(&registry, scheme, &place);
        }
        let said = match &resolved {
            Ok(place) => Outcome::accepted().with(place.is_own()),
            Err(why) => Outcome::refused(format!("registry sent a Location that {why}")),
        };
        outcome.get_or_insert(said);
    }
    outcome.unwrap()
}

/// What was resolved is what others make of it: nothing in it moves on to another host.
fn stays_in_place(registry: &Endpoint, scheme: Scheme, place: &Place) {
    let url = registry.url(place, scheme);
    assert!(url.bytes().all(|b| b.is_ascii_graphic()), "{url}");
    let uri: ureq::http::Uri = match url.parse() {
        Ok(uri) => uri,
        // Refused when it is to be sent.
        Err(_) => return,
    };
    let host = uri.host().unwrap();
    assert!(
        uri.authority()
            .is_some_and(|authority| !authority.as_str().contains('@'))
    );
    assert_eq!(
        host == registry.host(),
        place.is_own() || host == "r.example",
        "{url}"
    );
    if url.len() < 8000 {
        let again = registry.resolve(&Place::Own("/v2/".into()), scheme, &url);
        let again = again.map(|same| registry.url(&same, scheme));
        // What only changes the scheme or the port of the registry is its own again.
        let same = again.as_ref().is_ok_and(|again| *again == url);
        assert!(
            same || host == registry.host() || scheme == Scheme::Https,
            "{url}: {again:?}"
        );
    }
}

fn range(text: &str) -> Outcome {
    let held = parse_range(text);
    let mut session = Session::new(Place::Own("/u/1".into()), 0, Duration::ZERO);
    session.doubt();
    if let Some(held) = held {
        let size = 1000;
        let goes_on = session.settled(held, size);
        assert!(session.held() <= size);
        for chunk in [None, Some(1), Some(u64::MAX)] {
            match session.next(size, chunk) {
                Next::Status => panic!("it was asked already"),
                Next::Chunk { from, to } => assert!(from < to && to < size),
                Next::Close { from } => assert!(from <= size),
            }
        }
        if let Held::Bytes(bytes) = held {
            assert_eq!(
                parse_range(&format!("0-{}", bytes - 1)).filter(|_| bytes > 1),
                Some(held).filter(|_| bytes > 1)
            );
            assert_eq!(goes_on, bytes <= size);
        }
        return Outcome::accepted().with(format!("{held:?}").len());
    }
    Outcome::refused("no range")
}

/// The field, and on a second line the date of the answer.
fn asked_to_wait(text: &str) -> Outcome {
    let (text, date) = text.split_once('\n').unwrap_or((text, ""));
    let now = Instant::now();
    let Some(after) = retry_after::parse(text, Some(date), 784_111_000) else {
        return Outcome::refused("no time");
    };
    assert!(after > Duration::ZERO);
    let mut budget = Budget::for_soak(3);
    let limit = Limit::new(Rate::per_second(5.0));
    for _ in 0..3 {
        limit.press(now, now, after, false);
        limit.pending(now);
        let place = limit.line_up(|| "r.example".into(), now).unwrap();
        limit.until_turn(&place, now);
        let class = Class::Pressure { after: Some(after) };
        if let Decision::Wait(wait) = budget.decide(class, now) {
            assert!(wait <= Duration::from_secs(300));
        }
    }
    Outcome::accepted().with(after.as_secs().leading_zeros())
}

/// A header on each line.
fn limits(text: &str) -> Outcome {
    let headers = text.lines().filter_map(|line| line.split_once(':'));
    let response = Response {
        status: 200,
        headers: headers
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        ..Response::default()
    };
    match Told::default().news("r.example", &response) {
        Some(line) => Outcome::accepted().saying(line),
        None => Outcome::refused("nothing is said"),
    }
}

fn error_body(text: &str) -> Outcome {
    let response = Response {
        status: 400,
        headers: vec![("Content-Type".into(), text.chars().take(20).collect())],
        body: text.replace("@@", CANARY).into_bytes(),
        carried: vec![CANARY.into()],
        ..Response::default()
    };
    let refusal = Refusal::read(&response);
    assert!(refusal.codes.len() <= 8 && refusal.digests.len() <= 4096);
    assert!(
        refusal
            .digests
            .iter()
            .all(|digest| Digest::parse(digest.as_str()).is_ok())
    );
    let replies = [201, 202, 404, 400, 416].map(|status| read_reply(true, status, &refusal));
    let outcome = match refusal.suffix().is_empty() {
        true => Outcome::refused("says nothing"),
        false => Outcome::accepted().saying(format!("registry answered 400{}", refusal.suffix())),
    };
    let kinds = replies.map(|reply| format!("{reply:?}"));
    let outcome = outcome.with(kinds).with(is_page(&response));
    outcome.with(refusal.digests.len().min(5))
}

/// For [`keychain::soak`]: what somebody is, without who.
pub(super) fn kind(login: &Login) -> &'static str {
    match login {
        Login::Password { .. } => "password",
        Login::IdentityToken(_) => "identity token",
        Login::Bearer(_) => "bearer",
    }
}
