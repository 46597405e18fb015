//! Files of the cache: whatever is in them, they are read, and written again with what is new.

use std::cell::OnceCell;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::image::compress::Method;
use crate::image::digest::Digest;
use crate::image::reference::{Host, Repository};
use crate::image::source::Summary;
use crate::push::cache::{Blobs, Cache, Findings, Layers, Turn};
use crate::push::plan::Compressed;
use crate::registry::client::TokenService;
use crate::soak::{Outcome, Target};

const WORDS: &str = "\"version\":1 \"version\":2 \"hosts\": \"realm\": \"service\": \"told\": \"layers\": \"digest\": \"size\": \
    \"used\": \"repositories\": \"host\": \"r.example\" \"checks\": \"looks\": \"a/b\" 18446744073709551615 4294967295 null sha256:";

pub(in crate::push) fn targets() -> Vec<Target> {
    let target = |name, file: &'static str, example: String, read: fn(&Path) -> Outcome| {
        let folder: OnceCell<TempDir> = OnceCell::new();
        Target::new(name, [example], move |input| {
            let folder = folder.get_or_init(|| tempfile::tempdir().unwrap()).path();
            for entry in fs::read_dir(folder).unwrap() {
                fs::remove_file(entry.unwrap().path()).unwrap();
            }
            fs::write(folder.join(file), input).unwrap();
            read(folder)
        })
        .words(WORDS.split(' '))
    };
    let digest = Digest::of(b"a");
    let hosts = r#"{"version":1,"hosts":{"r.example":{"realm":"https://auth.example/token","service":"r","told":1800000000},"z.example":{"realm":"/t","told":5}}}"#;
    let layers = format!(
        r#"{{"version":1,"layers":{{"x {digest}":{{"digest":"{digest}","size":5,"used":1800000000}}}}}}"#
    );
    vec![
        target("cache.json", "cache.json", hosts.into(), services),
        target("layers.json", "layers.json", layers, compressed),
        target("blobs of a registry", BLOBS, blobs_file(), held),
    ]
}

/// The file of `r.example`.
const BLOBS: &str = "blobs-f366f6eff53e4bee.json";

/// As it is written.
fn blobs_file() -> String {
    let folder = tempfile::tempdir().unwrap();
    remember_blob(folder.path());
    fs::read_to_string(folder.path().join(BLOBS)).unwrap()
}

fn host() -> Host {
    Host::parse("r.example").unwrap()
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn said(warning: Option<String>, folder: &Path) -> Outcome {
    match warning {
        None => Outcome::accepted(),
        Some(why) => Outcome::refused(why.replace(&*folder.to_string_lossy(), "")),
    }
}

fn services(folder: &Path) -> Outcome {
    let (cache, warning) = Cache::open(folder);
    let known = cache.token_service(&host(), now()).is_some();
    let service = TokenService {
        realm: "https://new.example/".into(),
        service: None,
    };
    cache.remember(&mut Turn::at(folder), &host(), &service, now());
    let (again, still) = Cache::open(folder);
    let later = warning.as_ref().is_some_and(|why| why.contains("later"));
    assert!(later || still.is_none(), "{still:?}");
    assert!(later || again.token_service(&host(), now()) == Some(service));
    said(warning, folder).with(known)
}

fn compressed(folder: &Path) -> Outcome {
    let (layers, warning) = Layers::open(folder);
    let (diff_id, method) = (Digest::of(b"layer"), Method::Gzip { level: 6 });
    let summary = Summary {
        digest: Digest::of(b"packed"),
        size: 6,
    };
    let known = layers.find(&diff_id, method).is_some();
    let fresh = Compressed {
        diff_id: diff_id.clone(),
        method,
        summary: summary.clone(),
    };
    layers.remember(&mut Turn::at(folder), &[fresh], now());
    let (again, still) = Layers::open(folder);
    let later = warning.as_ref().is_some_and(|why| why.contains("later"));
    assert!(later || still.is_none(), "{still:?}");
    assert!(later || again.find(&diff_id, method) == Some(summary));
    said(warning, folder).with(known)
}

fn held(folder: &Path) -> Outcome {
    let (before, warning) = Blobs::open(folder, &host());
    let known = format!("{:?}", before.holdings(now())).len();
    remember_blob(folder);
    let (again, still) = Blobs::open(folder, &host());
    let later = warning.as_ref().is_some_and(|why| why.contains("later"));
    assert!(later || still.is_none(), "{still:?}");
    let repository = Repository::parse("a/b").unwrap();
    assert!(later || again.holdings(now()).has(&repository, &Digest::of(b"blob")));
    said(warning, folder).with(known.min(50))
}

fn remember_blob(folder: &Path) {
    let (blobs, _) = Blobs::open(folder, &host());
    let (repository, digest) = (Repository::parse("a/b").unwrap(), Digest::of(b"blob"));
    let findings = Findings {
        seen: vec![(&repository, &digest)],
        forgotten: Vec::new(),
        checks: Some("0123456789ab"),
        misled: false,
        keeps: Some("0123456789ab"),
        loses: false,
    };
    blobs.remember(&mut Turn::at(folder), &findings, now());
}
