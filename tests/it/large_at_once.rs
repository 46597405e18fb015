//! Of large blobs few are sent at once, as long as the host is not known to keep what arrived of one that
//! was cut. That is known from earlier pushes, too.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use hoist::image::digest::Digest;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::kill::{LargeImage, push};
use crate::support::access::Access;
use crate::support::archives::{CONFIG, Layout};
use crate::support::command::Command;
use crate::support::counting::Counter;
use crate::support::registry::{Kind, Registry, available};
use crate::support::waiting::wait_until;

const MIB: usize = 1 << 20;
const LARGE: u64 = 65 << 20;
const MANY: u64 = 6;
const MANY_CONFIG: &[u8] = br#"{"architecture":"arm64","os":"linux"}"#;

/// An image that is pushed to a registry, again and again.
struct Site {
    image: LargeImage,
    remembered: TempDir,
    counter: Counter,
}

impl Site {
    fn new(registry: &Registry) -> Self {
        Self {
            image: LargeImage::new([12 * MIB]),
            remembered: tempdir().unwrap(),
            counter: Counter::before(registry),
        }
    }

    /// A push that is killed in the middle, and another one that goes on there.
    fn push_in_two(&self) {
        let part = self.image.size() / 2;
        self.counter.hold_at(part);
        let running = self.push(&self.image.path()).spawn();
        self.counter.wait_for(part);
        running.signal("KILL");
        let killed = running.wait();
        assert_eq!(killed.code(), None, "{killed}");
        self.counter.release();
        self.push(&self.image.path()).run().expect_code(0);
    }

    fn push(&self, source: &Path) -> Command {
        push(source, &self.counter, self.remembered.path())
    }

    /// What the cache says of the host.
    fn known(&self) -> Value {
        serde_json::from_slice(&fs::read(self.cache()).unwrap()).unwrap()
    }

    fn cache(&self) -> PathBuf {
        let host = Digest::of(self.counter.address().to_string().as_bytes());
        let name = format!("cache/blobs-{}.json", &host.encoded()[..16]);
        self.remembered.path().join(name)
    }

    fn uploads(&self) -> usize {
        let entries = fs::read_dir(self.remembered.path().join("state/uploads"));
        entries.into_iter().flatten().count()
    }
}

/// A layout whose large layers nobody reads to the end: what they hold is not what their digests say.
fn many_large(dir: &Path) {
    let mut layout = Layout::create(dir);
    let layers: Vec<Value> = (0..MANY)
        .map(|number| {
            let digest = Digest::of(&number.to_be_bytes());
            let file = File::create(layout.blob_path(digest.as_str())).unwrap();
            file.set_len(LARGE).unwrap();
            let media_type = "application/vnd.oci.image.layer.v1.tar";
            json!({"mediaType": media_type, "digest": digest.as_str(), "size": LARGE})
        })
        .collect();
    let config = layout.blob(CONFIG, MANY_CONFIG);
    let manifest = layout.manifest(&json!({"config": config, "layers": layers}));
    layout.enter(manifest, Some("large:1"));
    layout.finish();
}

#[test]
fn all_are_where_an_earlier_push_has_seen_that_cut_ones_are_kept() {
    for kind in available() {
        let registry = Registry::start(kind);
        let site = Site::new(&registry);
        site.push_in_two();
        let keeps = matches!(kind, Kind::Serve | Kind::Distribution3);
        assert_eq!(site.known()["keeps"].is_object(), keeps, "{kind:?}");
        if !keeps {
            continue;
        }
        let dir = tempdir().unwrap();
        many_large(dir.path());
        site.counter.take();
        site.counter.hold_at(1);
        let running = site.push(dir.path()).spawn();
        wait_until(|| site.uploads() == MANY as usize);
        running.signal("KILL");
        running.wait();
        site.counter.release();
    }
}

/// Pushes many large ones and looks how many are sent when nothing but the smallest has not begun.
#[track_caller]
fn expect_four_at_once(site: &Site, registry: &Registry) {
    let dir = tempdir().unwrap();
    many_large(dir.path());
    site.counter.take();
    site.counter.hold_at(1);
    let running = site.push(dir.path()).spawn();
    // The smallest comes last.
    let config = Digest::of(MANY_CONFIG);
    let is_of_config =
        |access: &Access| access.method == "POST" && access.target.contains(config.encoded());
    wait_until(|| registry.access().iter().any(is_of_config) && site.uploads() >= 4);
    running.signal("KILL");
    running.wait();
    site.counter.release();
    assert_eq!(site.uploads(), 4, "{:?}", registry.kind());
}

#[test]
fn four_are_where_nothing_is_known() {
    for kind in available() {
        let registry = Registry::start(kind);
        expect_four_at_once(&Site::new(&registry), &registry);
    }
}

#[test]
fn who_looks_otherwise_than_before_is_not_taken_for_the_same() {
    let registry = Registry::start(Kind::Serve);
    let site = Site::new(&registry);
    site.push_in_two();
    let mut known = site.known();
    known["keeps"]["looks"] = "0123456789ab".into();
    fs::write(site.cache(), serde_json::to_vec(&known).unwrap()).unwrap();
    expect_four_at_once(&site, &registry);
}
