//! Downloads that end early, or come from elsewhere.

use std::sync::Arc;

use hoist::image::digest::Digest;
use serde_json::Value;

use super::*;
use crate::support::scripted::{Answer, Rule, Scripted, Seen, answer, computed, on, wrong_length};

/// A registry that has `app:1`, and a blob of it.
struct Site {
    dir: TempDir,
    registry: Registry,
    digest: String,
    bytes: Arc<Vec<u8>>,
}

impl Site {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        images(dir.path());
        let registry = Registry::start(Kind::Serve);
        let app = dir.path().join("app");
        let report = push(&app, &registry, "app", &[]).expect_code(0).json();
        let (digest, _) = largest(&report, "app");
        let bytes = Arc::new(registry.blob("app", &digest).body);
        assert_eq!(Digest::of(&bytes).as_str(), digest);
        Self {
            dir,
            registry,
            digest,
            bytes,
        }
    }

    fn path(&self) -> String {
        format!("/v2/app/blobs/{}", self.digest)
    }

    /// Verifies behind these rules; the report, and what was asked for the blob.
    fn verify(&self, rules: impl IntoIterator<Item = Rule>, code: i32) -> (Value, Vec<Seen>) {
        let server = Scripted::before(self.registry.address(), rules);
        let report = hoist(["push", "--verify", "-o", "json"])
            .arg(self.dir.path().join("app"))
            .arg(format!("localhost:{}/app", server.address().port()))
            .run()
            .expect_code(code)
            .json();
        let mut asked = server.requests();
        asked.retain(|seen| seen.method == "GET" && seen.target == self.path());
        (report, asked)
    }

    /// The blob as far as there, where all is promised.
    fn cut_at(&self, at: usize) -> Answer {
        answer(200).body(&self.bytes[..at])
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

#[test]
fn a_cut_download_goes_on_where_it_ended() {
    let site = Site::new();
    let cut = wrong_length(site.cut_at(70_000), site.size());
    let rules = [on("GET", &site.path()).nth(1).then(cut)];
    let (report, asked) = site.verify(rules, 0);
    expect_verified(&report);
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1].header("range"), Some("bytes=70000-"));
    assert_eq!(report["bytes"]["read_back"], report["bytes"]["total"]);
    assert_eq!(report["bytes"]["uploaded"], 0);
    assert_eq!(report["retries"], 1);
}

/// Some give the whole where a part was asked for, some another part, and some none.
#[test]
fn where_there_are_no_parts_it_is_read_from_the_beginning() {
    let site = Site::new();
    let whole = Arc::clone(&site.bytes);
    let other = Arc::clone(&site.bytes);
    let total = site.size();
    let answers = [
        (computed(move |_| answer(200).body(whole.to_vec())), 1),
        (
            computed(move |_| {
                let range = format!("bytes 60000-{}/{total}", total - 1);
                let part = answer(206).body(&other[60_000..]);
                part.header("Content-Range", range)
            }),
            2,
        ),
        (answer(416).into(), 2),
    ];
    for (number, (second, retries)) in answers.into_iter().enumerate() {
        let cut = wrong_length(site.cut_at(70_000), site.size());
        let (report, asked) = site.verify(
            [
                on("GET", &site.path()).nth(1).then(cut),
                on("GET", &site.path()).nth(2).then(second),
            ],
            0,
        );
        expect_verified(&report);
        assert_eq!(report["retries"], retries, "{number}");
        assert_eq!(asked.len() as u64, retries + 1, "{number}");
        assert_eq!(report["bytes"]["uploaded"], 0, "{number}");
    }
}

/// Both parts come from a registry, but of different files.
#[test]
fn parts_that_do_not_fit_are_no_verdict() {
    let site = Site::new();
    let mut wrong = site.bytes.to_vec();
    wrong[3] ^= 1;
    let cut = wrong_length(answer(200).body(&wrong[..70_000]), site.size());
    let (report, asked) = site.verify([on("GET", &site.path()).nth(1).then(cut)], 0);
    expect_verified(&report);
    assert_eq!(asked.len(), 3);
    assert_eq!(asked[2].header("range"), None);
    assert_eq!(report["bytes"]["uploaded"], 0);
}

#[test]
fn what_always_ends_early_is_wrong() {
    let site = Site::new();
    for at in [0, 70_000] {
        let cut = wrong_length(site.cut_at(at), site.size());
        let (report, _) = site.verify([on("GET", &site.path()).then(cut)], 1);
        let error = &report["images"][0]["error"];
        assert_eq!(error["kind"], "refused", "{report:#}");
        let expected = format!(
            "verification of {}: it ends after {at} of {} bytes, also after it was sent again",
            site.digest,
            site.size()
        );
        assert_eq!(error["message"], expected);
        assert_eq!(report["bytes"]["uploaded"], site.size());
    }
}

/// Object stores are sent to without credentials.
#[test]
fn a_blob_may_lie_elsewhere() {
    if !Kind::Distribution2.is_available() {
        return;
    }
    let dir = tempdir().unwrap();
    images(dir.path());
    let setup = crate::support::registry::Setup {
        basic: Some(("robot".to_owned(), "secret".to_owned())),
        ..Default::default()
    };
    let registry = Registry::start_with(Kind::Distribution2, setup);
    let login = |source: &Path, host: &str, more: &[&str]| {
        hoist(["push", "-o", "json"])
            .args(more)
            .arg(source)
            .arg(format!("{host}/app"))
            .env("HOIST_USERNAME", "robot")
            .env("HOIST_PASSWORD", "secret")
            .run()
            .expect_code(0)
            .json()
    };
    let app = dir.path().join("app");
    let report = login(&app, &registry.host(), &[]);
    let (digest, size) = largest(&report, "app");
    let path = format!("/v2/app/blobs/{digest}");
    let bytes = registry.get(&path).body;
    assert_eq!(bytes.len() as u64, size);
    let store = Scripted::start([on("GET", "/bucket/").then(answer(200).body(bytes))]);
    let elsewhere = format!("http://{}/bucket/blob?signature=abc", store.address());
    let sent_on = answer(307).header("Location", elsewhere);
    let front = Scripted::before(registry.address(), [on("GET", &path).then(sent_on)]);
    let host = format!("localhost:{}", front.address().port());
    expect_verified(&login(&app, &host, &["--verify"]));
    let asked = store.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].header("authorization"), None);
    let at_front = front.requests();
    assert!(
        at_front
            .iter()
            .any(|seen| seen.header("authorization").is_some())
    );
}
