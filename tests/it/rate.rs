//! `--requests-per-second` and `--limit-rate`: a registry gets no more than it is to get, nothing that is
//! held back is taken for a stall, and the report says what was waited for.

mod exact;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hoist::net::{self, Http, Method, Pace, Payload, Request};
use hoist::registry::client::{Limits, Presence, Rate, Settings, TokenService};
use serde_json::Value;
use tempfile::tempdir;

use crate::support::archives::{Form, ImageSpec, LayerSpec, docker_archive, layout};
use crate::support::command::{Output, hoist};
use crate::support::proxy::{Proxy, Up};
use crate::support::pushing::{arrived, push, read_back};
use crate::support::registry::{Kind, Registry, Setup, Tls, available};
use crate::support::scripted::{Rule, Scripted, Then, answer, computed, early, on};
use crate::support::tls::Authority;
use crate::support::waiting::wait_until;
use crate::wire::{Wire, noise, plain, repo};

/// A push that takes longer than this hangs, whatever else the machine has to do.
const MUCH_TOO_LONG: u64 = 60_000;
/// 200 ms are promised; the rest is for a loaded machine.
const AT_ONCE: Duration = Duration::from_millis(2500);

fn image(layers: u64, size: usize) -> ImageSpec {
    let stored = |seed| LayerSpec {
        seed,
        size,
        form: Some(Form::Gzip),
    };
    let image = ImageSpec::new("app:1");
    (1..=layers).fold(image, |image, seed| image.with(stored(seed)))
}

fn ms(report: &Value, what: &str) -> u64 {
    report["waited"][what].as_u64().unwrap()
}

/// So many requests per second, one after the other, by a clock that is moved by hand.
fn limited(address: impl ToString, requests: f64) -> Wire {
    let settings = Settings {
        limits: Limits {
            requests: Rate::per_second(requests),
            bytes: None,
        },
        ..plain(3)
    };
    Wire::with(address, settings)
}

fn slept(wire: &Wire) -> Duration {
    wire.clock.slept().iter().sum()
}

#[test]
fn every_request_has_its_turn() {
    let registry = Registry::start(Kind::Serve);
    let wire = limited(registry.address(), 2.0);
    for n in 0..4 {
        wire.push("app", &noise(70_000, n)).unwrap();
    }
    let totals = wire.client.totals();
    // Two at once, then one every half second.
    let waits = u32::try_from(totals.requests - 2).unwrap();
    assert!(waits > 4, "{waits}");
    assert_eq!(
        wire.clock.slept(),
        vec![Duration::from_millis(500); waits as usize]
    );
    assert_eq!(totals.waited.requests, slept(&wire));
    assert_eq!(totals.waited.total(), slept(&wire));
}

#[test]
fn nobody_moves_up_while_the_registry_has_asked_for_a_pause() {
    let registry = Registry::start(Kind::Serve);
    let busy = answer(429).header("Retry-After", "7");
    let rule = on("POST", "/v2/").nth(2).then(busy);
    let server = Scripted::before(registry.address(), [rule]);
    let wire = limited(server.address(), 0.5);
    wire.push("app", b"one").unwrap();
    wire.push("app", b"two").unwrap();
    let requests = u32::try_from(server.requests().len()).unwrap();
    let waited = wire.client.totals().waited;
    assert_eq!(waited.pause, Duration::from_secs(7));
    assert_eq!(waited.requests, Duration::from_secs(2) * (requests - 1));
    assert_eq!(wire.pressures(), 1);
}

/// A registry that wants a token from `realm`, and knows no blobs.
fn asking(realm: &str) -> [Rule; 3] {
    let challenge = format!("Bearer realm=\"{realm}\",service=\"s\"");
    let token = answer(200).body(r#"{"token": "t", "expires_in": 3600}"#);
    [
        on("GET", "/token").then(token),
        on("HEAD", "/v2/")
            .times(1)
            .then(answer(401).header("WWW-Authenticate", challenge)),
        on("HEAD", "/v2/").then(answer(404)),
    ]
}

#[test]
fn a_token_service_has_a_line_of_its_own_unless_it_is_the_registry() {
    let digest = hoist::image::digest::Digest::of(b"x");
    let issuer = Scripted::start(asking("none"));
    for (realm, waits) in [("/token", 3), (issuer.url("/token").as_str(), 2)] {
        let server = Scripted::start(asking(realm));
        let wire = limited(server.address(), 1.0);
        for _ in 0..2 {
            let seen = wire.client.check_blob(&repo("app"), &digest, 1).unwrap();
            assert_eq!(seen, Presence::Absent);
        }
        // 401, 404, 404, and the token.
        assert_eq!(wire.client.totals().requests, 4, "{realm}");
        assert_eq!(slept(&wire), Duration::from_secs(waits), "{realm}");
    }
    let known = |realm: String| TokenService {
        realm,
        service: None,
    };
    let settings = Settings {
        known_service: Some(known(issuer.url("/token"))),
        ..plain(0)
    };
    let unlimited = Wire::with(issuer.address(), settings);
    unlimited
        .client
        .check_blob(&repo("app"), &digest, 1)
        .unwrap();
    assert_eq!(slept(&unlimited), Duration::ZERO);
}

#[test]
fn a_pause_is_kept_to_where_the_question_is_not_asked_again() {
    let tag = hoist::image::reference::Tag::parse("1").unwrap();
    let digest = hoist::image::digest::Digest::of(b"x");
    let date = "Sun, 06 Nov 1994 09:00:00 GMT";
    let after = "Sun, 06 Nov 1994 09:00:09 GMT";
    // The manual clock says 08:49:37.
    let busy = answer(429)
        .header("Date", date)
        .header("Retry-After", after);
    let registry = Registry::start(Kind::Serve);
    let server = Scripted::before(registry.address(), [on("GET", "/v2/").then(busy)]);
    let wire = Wire::with(server.address(), plain(3));
    assert!(
        wire.client
            .look_at_tag(&repo("app"), &tag)
            .unwrap()
            .is_none()
    );
    assert_eq!((wire.pressures(), slept(&wire)), (1, Duration::ZERO));
    assert_eq!(wire.client.read_blob(&repo("app"), &digest, 1), None);
    assert_eq!(slept(&wire), Duration::from_secs(9));
    wire.push("app", b"x").unwrap();
    assert_eq!(slept(&wire), Duration::from_secs(18));
    assert_eq!(wire.client.totals().waited.pause, Duration::from_secs(18));
    assert_eq!((wire.pressures(), wire.retries()), (2, vec![]));
}

/// Whether it was the limit that the push took so long for, and not the machine: then it waited for it.
#[track_caller]
fn assert_took(output: &Output, least: u64) -> bool {
    let took = output.json()["duration_ms"].as_u64().unwrap();
    assert!((least..MUCH_TOO_LONG).contains(&took), "{least}: {output}");
    took < least + least / 2
}

#[test]
fn requests_are_spread_over_time_at_every_registry() {
    let dir = tempdir().unwrap();
    layout(dir.path(), &[image(3, 3_000)]);
    for kind in available() {
        let registry = Registry::start(kind);
        let limit = ["--requests-per-second", "6"];
        let output = push(dir.path(), &registry, "t/", &limit).expect_code(0);
        let report = output.json();
        read_back(&registry, &report);
        let requests = report["requests"].as_u64().unwrap();
        // Six at once, and a connection that was closed meanwhile costs none of its own.
        let least = (requests - 6 - 1) * 1000 / 6;
        assert!(least > 400, "{kind:?}: {output}");
        if assert_took(&output, least) {
            assert!(ms(&report, "requests_ms") > 0, "{kind:?}: {output}");
            let said = "waited for --requests-per-second";
            assert!(output.stderr.contains(said), "{output}");
        }
        assert_eq!(report["waited_ms"], ms(&report, "requests_ms"), "{output}");
    }
}

#[test]
fn all_workers_stand_in_one_line() {
    const RATE: usize = 10;
    let dir = tempdir().unwrap();
    layout(dir.path(), &ImageSpec::many("app", 24, 1, 100));
    let registry = Registry::start(Kind::Serve);
    let first = push(dir.path(), &registry, "t/", &[]).expect_code(0);
    let there = arrived(&first.json());
    let came: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let seen = Arc::clone(&came);
    let tell = computed(move |request| {
        seen.lock().unwrap().push(Instant::now());
        let target = request.target.trim_start_matches("/v2/");
        let (repository, tag) = target.split_once("/manifests/").unwrap();
        let digest = &there[&format!("{repository}:{tag}")];
        answer(200).header("Docker-Content-Digest", digest)
    });
    let server = Scripted::start([on("HEAD", "/v2/").then(tell)]);
    let begun = Instant::now();
    let limit = RATE.to_string();
    let output = hoist([
        "push",
        "-o",
        "json",
        "-j",
        "8",
        "--requests-per-second",
        &limit,
    ])
    .arg(dir.path())
    .arg(format!("{}/t/", server.address()))
    .run()
    .expect_code(0);
    assert_eq!(output.json()["requests"], 24, "{output}");
    let mut came = came.lock().unwrap().clone();
    came.sort();
    // No window has more than what was there at its beginning and what came in meanwhile.
    for (number, at) in came.iter().enumerate().skip(RATE) {
        let turn = Duration::from_secs(1) * (number + 1 - RATE) as u32 / RATE as u32;
        assert!(at.duration_since(begun) >= turn, "{number}: {output}");
    }
}

/// Every way that bytes go: from a file by the system, in chunks, made while they are sent, over TLS.
#[test]
fn bytes_are_spread_over_time_whichever_way_they_go() {
    let dir = tempdir().unwrap();
    let (folder, archive) = (dir.path().join("folder"), dir.path().join("archive"));
    layout(&folder, &[image(1, 2_400_000)]);
    docker_archive(&archive, &[ImageSpec::new("app:1").layer(2, 2_400_000)]);
    let files = tls(dir.path());
    let ca = files.ca.clone();
    let secure = Setup {
        tls: Some(files),
        ..Setup::default()
    };
    let mut runs = vec![
        (&folder, Registry::start(Kind::Serve), vec![]),
        (
            &folder,
            Registry::start(Kind::Serve),
            vec!["--chunk-size", "100K"],
        ),
        (&archive, Registry::start(Kind::Serve), vec![]),
    ];
    if Kind::Distribution3.is_available() {
        let registry = Registry::start_with(Kind::Distribution3, secure);
        runs.push((&folder, registry, vec!["--ca-cert", ca.to_str().unwrap()]));
        runs.push((&archive, Registry::start(Kind::Distribution3), vec![]));
    }
    thread::scope(|scope| {
        for (source, registry, options) in &runs {
            scope.spawn(move || {
                let mut all = vec!["--limit-rate", "1M"];
                all.extend(options);
                let output = push(source, registry, "t/", &all).expect_code(0);
                assert_limited(&output, 1 << 20);
                read_back(registry, &output.json());
            });
        }
    });
}

/// Files of a server on loopback.
fn tls(dir: &Path) -> Tls {
    let authority = Authority::new("tests");
    let (certificate, key) = authority.issue(&["localhost"]).write(dir);
    Tls {
        certificate,
        key,
        ca: authority.write(dir),
    }
}

/// All bytes but the burst and the last pieces came at this rate.
#[track_caller]
fn assert_limited(output: &Output, rate: u64) {
    let report = output.json();
    let sent = report["bytes"]["uploaded"].as_u64().unwrap();
    let burst = (rate / 10).max(64 << 10);
    let least = sent.saturating_sub(burst + rate / 16) * 1000 / rate;
    assert!(least > 800, "{output}");
    if assert_took(output, least) {
        assert!(ms(&report, "bandwidth_ms") > least / 2, "{output}");
        assert!(output.stderr.contains(" waited"), "{output}");
        assert!(output.stderr.contains("for --limit-rate"), "{output}");
    }
    assert_eq!(report["retries"], 0, "{output}");
}

#[test]
fn many_connections_share_a_low_rate_and_none_of_them_stalls() {
    let dir = tempdir().unwrap();
    layout(dir.path(), &[image(16, 12_000)]);
    let registry = Registry::start(Kind::Serve);
    let options = ["--limit-rate", "24K", "-j", "16", "--stall-timeout", "5s"];
    let output = push(dir.path(), &registry, "t/", &options).expect_code(0);
    assert_limited(&output, 24 << 10);
    read_back(&registry, &output.json());
}

#[test]
fn an_answer_that_comes_while_bytes_are_held_back_is_not_waited_for() {
    let dir = tempdir().unwrap();
    layout(dir.path(), &[image(1, 2_000_000)]);
    let session = answer(202).header("Location", "/v2/t/app/blobs/uploads/1?_state=x");
    let denied = answer(403).header("Content-Type", "application/json");
    let server = Scripted::start([
        on("POST", "/v2/").then(session),
        on("PUT", "/v2/").then(early(70_000, denied, Then::KeepOpen)),
        on("*", "/v2/").then(answer(404)),
    ]);
    let output = hoist(["push", "-o", "json", "--limit-rate", "32K", "-j", "1"])
        .arg(dir.path())
        .arg(format!("{}/t/", server.address()))
        .run()
        .expect_code(4);
    let sent = output.json()["bytes"]["uploaded"].as_u64().unwrap();
    assert!((70_000..140_000).contains(&sent), "{output}");
}

/// Lets a piece of 1000 bytes go after each hold.
struct Slow(Duration, AtomicUsize);

impl Pace for Slow {
    fn piece(&self) -> usize {
        1000
    }

    fn pass(&self, bytes: usize) -> Option<bool> {
        assert!(bytes <= 1000);
        self.1.fetch_add(bytes, Ordering::SeqCst);
        thread::sleep(self.0);
        Some(true)
    }
}

#[test]
fn what_is_held_back_for_longer_than_a_stall_is_no_stall() {
    let server = Scripted::start([on("PUT", "/").then(answer(201))]);
    let settings = net::Settings {
        stall_timeout: Duration::from_millis(150),
        ..net::Settings::default()
    };
    let http = Http::new(&settings).unwrap();
    let pace = Slow(Duration::from_millis(400), AtomicUsize::new(0));
    let url = server.url("/x");
    let mut bytes = &noise(2_500, 1)[..];
    let request = Request {
        method: Method::Put,
        url: &url,
        headers: &[],
        payload: Payload::Sized(&mut bytes, 2_500),
        answer_timeout: Duration::from_secs(20),
        pace: Some(&pace),
    };
    assert_eq!(http.send(request, 100).unwrap().status, 201);
    assert_eq!(pace.1.load(Ordering::SeqCst), 2_500);
    assert_eq!(server.requests()[0].body_len, 2_500);
}

#[test]
fn a_limited_push_ends_at_once_when_it_is_told_to() {
    let dir = tempdir().unwrap();
    layout(dir.path(), &[image(4, 2_000_000)]);
    for limit in [["--limit-rate", "8K"], ["--requests-per-second", "0.02"]] {
        let registry = Registry::start(Kind::Serve);
        let proxy = Proxy::to(registry.address());
        let mut running = hoist(["push", "-o", "json", "--progress", "plain"])
            .args(limit)
            .arg(dir.path())
            .arg(format!("{}/t/", proxy.address()))
            .spawn();
        running.wait_for_stderr("to push:");
        let least = if limit[0] == "--limit-rate" {
            64 << 10
        } else {
            100
        };
        wait_until(|| proxy.bytes(Up) >= least);
        let begun = Instant::now();
        running.signal("INT");
        let output = running.wait().expect_code(130);
        assert!(begun.elapsed() < AT_ONCE, "{:?}: {output}", begun.elapsed());
        let report = output.json();
        assert_eq!(report["outcome"], "interrupted", "{output}");
        let error = &report["images"][0]["error"];
        assert_eq!(error["kind"], "interrupted", "{output}");
        // Nothing stands in the way of the next one.
        let again = push(dir.path(), &registry, "t/", &[]).expect_code(0);
        read_back(&registry, &again.json());
    }
}

#[test]
fn limits_of_one_registry_stand_in_the_file() {
    let dir = tempdir().unwrap();
    layout(&dir.path().join("image"), &[image(2, 100_000)]);
    let config = dir.path().join("config.json");
    let registry = Registry::start(Kind::Serve);
    let host = registry.host();
    // Nine requests and 107000 bytes.
    for (limit, what, least) in [
        (r#""requests-per-second": 4.5"#, "requests_ms", 950),
        (r#""limit-rate": "64K""#, "bandwidth_ms", 550),
    ] {
        let there = format!(r#"{{"registries": {{"{host}": {{{limit}}}}}}}"#);
        let elsewhere = format!(r#"{{"registries": {{"other": {{{limit}}}}}}}"#);
        let all = format!("{{{limit}}}");
        for (text, limits) in [(there, true), (all, true), (elsewhere, false)] {
            fs::write(&config, &text).unwrap();
            let path = format!("{what}{limits}{}/", text.len());
            let config = ["--config", config.to_str().unwrap()];
            let source = dir.path().join("image");
            let output = push(&source, &registry, &path, &config).expect_code(0);
            let waited = ms(&output.json(), what) > 0;
            let must_wait = limits && assert_took(&output, least);
            assert!((must_wait..=limits).contains(&waited), "{text}: {output}");
        }
    }
}

#[test]
fn limits_that_are_none_are_refused() {
    for (option, values, legal) in [
        (
            "--requests-per-second",
            &["0", "-1", "NaN", "inf", "ten", ""][..],
            "a number above 0, such as 10 or 0.5",
        ),
        (
            "--limit-rate",
            &["0", "100", "2T", "1M/s", ""],
            "bytes per second, from 1KiB to 1TiB, such as 500K or 10MiB",
        ),
    ] {
        for value in values {
            let output = hoist(["push", option, value, "a", "localhost:1/"]).run();
            let output = output.expect_code(2);
            assert!(output.stderr.contains(option), "{output}");
            let sentence = format!("\"{value}\" is not legal for {option}: write {legal}");
            assert!(output.stderr.contains(&sentence), "{output}");
        }
    }
}

#[test]
fn what_a_registry_says_of_its_limits_is_logged_once() {
    let dir = tempdir().unwrap();
    layout(dir.path(), &[image(1, 100)]);
    let denied = answer(403)
        .header("RateLimit-Limit", "100;w=21600")
        .header("RateLimit-Remaining", "9\u{202e}9;w=21600")
        .header("X-RateLimit-Reset", "17");
    let server = Scripted::start([on("*", "/").then(denied)]);
    let run = |verbose: &str| {
        hoist(["push", "--retries", "0", verbose])
            .arg(Path::new(dir.path()))
            .arg(format!("{}/t/", server.address()))
            .run()
            .expect_code(4)
    };
    let output = run("-vv");
    assert!(server.requests().len() > 1);
    let line = format!(
        "{} says ratelimit-limit: 100;w=21600, ratelimit-remaining: 9 9;w=21600, x-ratelimit-reset: 17",
        server.address()
    );
    assert_eq!(output.stderr.matches(&line).count(), 1, "{output}");
    assert_eq!(output.stderr.matches(" says ").count(), 1, "{output}");
    assert!(!run("-v").stderr.contains("ratelimit"));
}
