//! How exactly a rate is kept, by a clock that is moved by hand: it stands while bytes go out, so that all the time
//! there is was waited for.

use std::time::Duration;

use tempfile::tempdir;

use super::*;
use crate::wire::ManualClock;

const RATE: u64 = 1 << 20;
const SIZE: usize = 3 << 20;

fn limited(address: String, tls: Option<&Tls>, chunk_size: Option<u64>) -> Wire {
    let settings = Settings {
        limits: Limits {
            requests: None,
            bytes: Rate::per_second(RATE as f64),
        },
        chunk_size,
        plain_http: tls.is_none(),
        ..plain(0)
    };
    let http = net::Settings {
        ca_certs: tls.into_iter().map(|files| files.ca.clone()).collect(),
        ..net::Settings::default()
    };
    Wire::under(ManualClock::scripted(), address, settings, &http)
}

#[test]
fn a_rate_is_kept_to_within_a_twentieth() {
    let dir = tempdir().unwrap();
    let files = tls(dir.path());
    let mut registries = vec![(Registry::start(Kind::Serve), None)];
    let kinds = [Kind::Distribution3, Kind::Distribution2];
    if let Some(kind) = kinds.into_iter().find(|kind| kind.is_available()) {
        let setup = Setup {
            tls: Some(files.clone()),
            ..Setup::default()
        };
        registries.push((Registry::start_with(kind, setup), Some(&files)));
    }
    // What may go at once, and is not waited for.
    let burst = RATE / 10;
    let expected = Duration::from_secs_f64((SIZE as u64 - burst) as f64 / RATE as f64);
    for (registry, trusted) in &registries {
        let kind = registry.kind();
        let with = |chunk| limited(registry.host(), *trusted, chunk);
        let bytes = noise(SIZE, 1);
        for (way, wire) in [("whole", with(None)), ("in chunks", with(Some(700_000)))] {
            wire.push(&format!("app/{}", way.len()), &bytes).unwrap();
            expect_near(&wire, expected, &format!("{kind:?} {way}"));
        }
        let made = with(None);
        made.stream("made", &noise(SIZE, 2)).unwrap();
        expect_near(&made, expected, &format!("{kind:?} made on the way"));
    }
}

#[track_caller]
fn expect_near(wire: &Wire, expected: Duration, what: &str) {
    let took = slept(wire);
    let (least, most) = (expected.mul_f64(0.95), expected.mul_f64(1.05));
    assert!((least..most).contains(&took), "{what}: {took:?}");
    assert_eq!(wire.client.totals().waited.bandwidth, took, "{what}");
}
