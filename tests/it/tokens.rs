//! Registries that verify signed tokens: distribution 2.8 and 3 with `auth: token`, and an issuer that
//! gives much, little or nothing.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hoist::image::digest::Digest;
use hoist::registry::client::{Arrival, Credentials, Keychain, Login, Presence, Settings};
use hoist::registry::error::ErrorKind;
use tempfile::TempDir;

use crate::support::archives::{ImageSpec, layout};
use crate::support::command::{Command, hoist};
use crate::support::issuer::{Issuer, Terms};
use crate::support::proxy::Proxy;
use crate::support::registry::{ALL_MANIFESTS, Kind, Registry, Setup};
use crate::wire::{Wire, manifest, noise, settings, user};

/// The kinds that verify tokens, as far as they are there.
fn verifying() -> impl Iterator<Item = Kind> {
    let kinds = [Kind::Distribution2, Kind::Distribution3];
    kinds.into_iter().filter(|kind| kind.is_available())
}

fn registry(kind: Kind, issuer: &Issuer) -> Registry {
    let setup = Setup {
        token: Some(issuer.auth()),
        ..Setup::default()
    };
    Registry::start_with(kind, setup)
}

fn for_me(terms: Terms) -> Terms {
    Terms {
        login: Some(("me".into(), "secret".into())),
        ..terms
    }
}

fn known(keychain: Arc<dyn Keychain>) -> Settings {
    Settings {
        keychain,
        // Nothing has to be found out about the host.
        plain_http: true,
        ..settings()
    }
}

fn identity_token(token: &str) -> Arc<dyn Keychain> {
    Arc::new(Credentials {
        login: Login::IdentityToken(token.into()),
        origin: "~/.docker/config.json".into(),
    })
}

fn push(source: &Path, destination: &str) -> Command {
    hoist(["push", "-o", "json", "--progress", "none", "-v"])
        .arg(source)
        .arg(destination)
        .args(["-u", "me", "--password-stdin"])
        .stdin("secret")
}

fn image(layers: u64) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut spec = ImageSpec::new("app:1");
    for n in 0..layers {
        spec = spec.layer(n, 3_000 + n as usize);
    }
    layout(dir.path(), &[spec]);
    dir
}

#[test]
fn a_push_takes_one_token() {
    let source = image(3);
    for kind in verifying() {
        let issuer = Issuer::start(for_me(Terms::default()));
        let registry = registry(kind, &issuer);
        let target = format!("{}/team/app:1", registry.host());
        let output = push(source.path(), &target).run().expect_code(0);
        let said = format!(
            "credentials for {} are from --password-stdin",
            registry.host()
        );
        let output = output.expect_stderr(&said);
        assert!(!output.stderr.contains("secret"), "{output}");
        assert_eq!(issuer.asked(), ["repository:team/app:pull,push"]);
        let tokens = issuer.requests();
        let asked =
            "/token?service=registry.test&scope=repository%3Ateam%2Fapp%3Apull%2Cpush&account=me";
        assert_eq!(tokens[0].target, asked);
        // One is refused; the rest is as without tokens: 2b + 3.
        let access = registry.access();
        let refused = access.iter().filter(|access| access.status == 401).count();
        assert_eq!((refused, access.len()), (1, 1 + 2 * 4 + 3), "{access:#?}");
        let pass = issuer.pass_for("team/app");
        let headers = [("accept", ALL_MANIFESTS), ("authorization", pass.as_str())];
        let reply = registry.request("GET", "/v2/team/app/manifests/1", &headers, b"");
        assert_eq!(reply.status, 200, "{}", reply.text());
        let digest = Digest::of(&reply.body);
        assert_eq!(output.json()["images"][0]["digest"], digest.as_str());
    }
}

#[test]
fn a_known_token_service_saves_a_question() {
    for kind in verifying() {
        let issuer = Issuer::start(for_me(Terms::default()));
        let registry = registry(kind, &issuer);
        let image = manifest(&[b"config"]);
        let first = Wire::with(registry.host(), known(user("me", "secret")));
        assert_eq!(first.client.token_service(), None);
        first.push("app", b"config").unwrap();
        first.put("app", "1", &image).unwrap();
        let service = first.client.token_service().unwrap();
        assert_eq!(service.realm, issuer.auth().realm);
        let before = registry.access().len();
        let second = Wire::with(
            registry.host(),
            Settings {
                known_service: Some(service),
                ..known(user("me", "secret"))
            },
        );
        let there = Presence::Present(image.digest().clone());
        assert_eq!(second.check("app", "1").unwrap(), there);
        // A known image is one request, and a token.
        let access = registry.access();
        assert_eq!(access.len(), before + 1);
        assert_eq!(access[before].status, 200);
        assert_eq!(issuer.given().len(), 2);
        assert_eq!(second.client.totals().requests, 2);
    }
}

#[test]
fn what_is_remembered_wrongly_heals() {
    let Some(kind) = verifying().next() else {
        return;
    };
    let nowhere = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let issuer = Issuer::start(for_me(Terms::default()));
    let other = Issuer::start(Terms::default());
    let registry = registry(kind, &issuer);
    for realm in [
        format!("http://{nowhere}/token"),
        issuer.auth().realm.replace("/token", "/moved"),
        other.auth().realm,
        "http://elsewhere.invalid/token".to_owned(),
        "no url".to_owned(),
    ] {
        let wire = Wire::with(
            registry.host(),
            Settings {
                known_service: Some(hoist::registry::client::TokenService {
                    realm: realm.clone(),
                    service: Some("registry.test".to_owned()),
                }),
                retries: 0,
                ..known(user("me", "secret"))
            },
        );
        let bytes = noise(100, realm.len() as u64);
        wire.push("app", &bytes)
            .unwrap_or_else(|e| panic!("{realm}: {e}"));
        assert_eq!(
            wire.client.token_service().unwrap().realm,
            issuer.auth().realm
        );
        assert_eq!(wire.retries(), []);
    }
}

#[test]
fn a_mount_has_a_token_of_its_own() {
    let bytes = noise(3_000, 1);
    for kind in verifying() {
        // What the issuer thinks of reading `mine`, and what comes of it.
        for (terms, arrival, asked) in [
            (Terms::default(), Arrival::Mounted, 3),
            (
                Terms {
                    one_repository: true,
                    ..Terms::default()
                },
                Arrival::Uploaded,
                4,
            ),
        ] {
            let issuer = Issuer::start(terms);
            let registry = registry(kind, &issuer);
            let wire = Wire::new(registry.host());
            wire.push("mine", &bytes).unwrap();
            wire.push("yours", b"first").unwrap();
            let delivery = wire.push_from("yours", &bytes, Some("mine")).unwrap();
            assert_eq!(delivery.arrival, arrival);
            let scopes = issuer.asked();
            assert_eq!(scopes.len(), asked, "{scopes:?}");
            let mount = "repository:yours:pull,push repository:mine:pull";
            assert_eq!(scopes[2], mount);
        }
    }
}

#[test]
fn a_refused_mount_token_means_no_mount() {
    let Some(kind) = verifying().next() else {
        return;
    };
    let bytes = noise(3_000, 1);
    for status in [400, 401, 403, 404, 500] {
        let issuer = Issuer::start(Terms {
            refused: Some(("secret".to_owned(), status)),
            ..Terms::default()
        });
        let registry = registry(kind, &issuer);
        let wire = Wire::new(registry.host());
        let delivery = wire.push_from("yours", &bytes, Some("secret")).unwrap();
        assert_eq!(delivery.arrival, Arrival::Uploaded);
        assert!(delivery.mount_refused);
        assert_eq!(wire.retries(), [], "{status}");
        assert_eq!(issuer.asked(), ["repository:yours:pull,push"]);
    }
}

#[test]
fn tokens_that_allow_too_little_are_asked_for_once_more() {
    for kind in verifying() {
        let narrowed = vec![("app".to_owned(), "push".to_owned())];
        let issuer = Issuer::start(for_me(Terms {
            narrowed,
            ..Terms::default()
        }));
        let registry = registry(kind, &issuer);
        let wire = Wire::with(registry.host(), known(user("me", "secret")));
        assert_eq!(wire.check("app", "1").unwrap(), Presence::Absent);
        for _ in 0..3 {
            let error = wire.push("app", b"x").unwrap_err();
            assert_eq!(error.kind, ErrorKind::Auth);
            let sentence = "(the token for the credentials of me (from --username) does not allow repository:app:";
            assert!(error.reason.contains(sentence), "{error}");
            let hint = "check what the user me may do there";
            assert_eq!(error.hint.as_deref(), Some(hint));
        }
        assert_eq!(issuer.given().len(), 2);
    }
}

#[test]
fn identity_tokens_are_posted() {
    let Some(kind) = verifying().next() else {
        return;
    };
    for (no_post, methods) in [
        (None, &["POST"][..]),
        (Some(404), &["POST", "GET", "GET"]),
        (Some(401), &["POST", "GET", "GET"]),
        (Some(405), &["POST", "GET", "GET"]),
    ] {
        let issuer = Issuer::start(Terms {
            login: Some(("<token>".into(), "refresh-me".into())),
            no_post,
            ..Terms::default()
        });
        let registry = registry(kind, &issuer);
        let wire = Wire::with(registry.host(), known(identity_token("refresh-me")));
        wire.push("app", b"x").unwrap();
        if no_post.is_some() {
            wire.push("other", b"x").unwrap();
        }
        let requests = issuer.requests();
        let seen: Vec<&str> = requests.iter().map(|seen| seen.method.as_str()).collect();
        assert_eq!(seen, methods);
        assert!(
            requests
                .iter()
                .all(|one| !one.target.contains("refresh-me"))
        );
    }
    let issuer = Issuer::start(for_me(Terms::default()));
    let registry = registry(kind, &issuer);
    let wire = Wire::with(registry.host(), known(identity_token("stale")));
    let error = wire.push("app", b"x").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Auth);
    let sentence = format!(
        "token service {} answered 401 Unauthorized: incorrect username or password \
         (the identity token (from ~/.docker/config.json) was refused)",
        issuer.address()
    );
    assert_eq!(error.reason, sentence);
}

#[test]
fn refused_credentials_end_a_push_at_once() {
    let source = image(3);
    for kind in verifying() {
        let issuer = Issuer::start(for_me(Terms::default()));
        let registry = registry(kind, &issuer);
        let target = format!("{}/app:1", registry.host());
        let output = push(source.path(), &target).stdin("wrong").run();
        let refused = format!(
            "token service {} answered 401 Unauthorized: incorrect username or password (the credentials \
             of me (from --password-stdin) were refused)",
            issuer.address()
        );
        let output = output.expect_code(4).expect_stderr(&refused);
        let hint = format!("try: hoist login {}", registry.host());
        let output = output.expect_stderr(&hint);
        assert!(!output.stderr.contains("wrong"), "{output}");
        assert_eq!(issuer.requests().len(), 1);
        assert_eq!(registry.access().len(), 1);
    }
}

#[test]
fn tokens_that_say_nothing_of_their_life_live_for_a_minute() {
    let Some(kind) = verifying().next() else {
        return;
    };
    let issuer = Issuer::start(Terms {
        expires_in: None,
        ..Terms::default()
    });
    let registry = registry(kind, &issuer);
    let wire = Wire::new(registry.host());
    for (sleep, tokens) in [(0, 1), (29, 1), (2, 2), (25, 2), (6, 3)] {
        hoist::registry::clock::Clock::sleep(&*wire.clock, Duration::from_secs(sleep));
        wire.push("app", &noise(100, sleep)).unwrap();
        assert_eq!(issuer.given().len(), tokens);
    }
}

#[test]
fn tokens_that_are_dead_when_they_come_are_given_up() {
    for kind in verifying() {
        let issuer = Issuer::start(Terms {
            lives: -120,
            ..Terms::default()
        });
        let registry = registry(kind, &issuer);
        let wire = Wire::new(registry.host());
        for _ in 0..3 {
            let error = wire.push("app", b"x").unwrap_err();
            assert_eq!(error.kind, ErrorKind::Auth);
            let sentence = "(each token without credentials was refused)";
            assert!(error.reason.ends_with(sentence), "{error}");
        }
        assert_eq!(issuer.given().len(), 2);
    }
}

/// The promise of a long push: 200 blobs take longer than three tokens live, and neither does an upload
/// fail nor is the token service asked more often than every 5 s.
#[test]
fn a_push_outlives_its_tokens() {
    const BLOBS: u64 = 200;
    let source = image(BLOBS - 1);
    let check = |kind: Kind| {
        // distribution adds a minute: these live for the 6 s that are said.
        let issuer = Issuer::start(for_me(Terms {
            expires_in: Some(6),
            lives: -54,
            ..Terms::default()
        }));
        let registry = registry(kind, &issuer);
        let proxy = Proxy::to(registry.address());
        // 200 bodies of 2 KiB, and 400 heads of a KiB and more with their tokens.
        proxy.slow_down(15_000);
        let target = format!("localhost:{}/team/app:1", proxy.address().port());
        let output = push(source.path(), &target)
            .arg("-j")
            .arg("4")
            .run()
            .expect_code(0);
        assert!(
            output.elapsed > Duration::from_secs(18),
            "{:?}",
            output.elapsed
        );
        let report = output.json();
        assert_eq!(report["retries"], 0, "{}", output.stderr);
        let blobs = report["images"][0]["blobs"].as_array().unwrap();
        assert_eq!(blobs.len() as u64, BLOBS);
        assert!(blobs.iter().all(|blob| blob["status"] == "uploaded"));
        let access = registry.access();
        let refused: Vec<_> = access
            .iter()
            .filter(|access| access.status >= 400)
            .collect();
        // The challenge at the beginning, and what is not there yet: tag and digest.
        assert_eq!(refused.len(), 3, "{refused:#?}");
        let given = issuer.given();
        // Measured where they are given, a little after they were asked for.
        let whole = given[given.len() - 1].at - given[0].at + Duration::from_millis(500);
        let most = 1 + whole.as_secs() / 3;
        assert!((4..=most).contains(&(given.len() as u64)), "{given:?}");
    };
    thread::scope(|scope| {
        for kind in verifying() {
            scope.spawn(move || check(kind));
        }
    });
}
