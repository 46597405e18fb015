//! A registry of its own with a cache that knows it.

use std::fs;
use std::path::{Path, PathBuf};

use hoist::image::digest::Digest;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

use super::archives::{ImageSpec, layout};
use super::pushing::{push, read_back, requests};
use super::registry::{Kind, Registry};

pub(crate) struct Site {
    pub(crate) registry: Registry,
    /// For sources, too.
    pub(crate) dir: TempDir,
}

impl Site {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            registry: Registry::start(kind),
            dir: tempdir().unwrap(),
        }
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// What the cache says of the registry at `host`.
    pub(crate) fn known_of(&self, host: &str) -> PathBuf {
        let digest = Digest::of(host.as_bytes());
        let name = format!("blobs-{}.json", &digest.encoded()[..16]);
        self.cache().join(name)
    }

    /// What it says of this one.
    pub(crate) fn known(&self) -> PathBuf {
        self.known_of(&self.registry.host())
    }

    /// Another registry of the same kind, empty, of which the cache says what it said of the old one.
    pub(crate) fn lose_all(&mut self) {
        let old = fs::read_to_string(self.known()).unwrap();
        let host = self.registry.host();
        self.registry = Registry::start(self.registry.kind());
        fs::write(self.known(), old.replace(&host, &self.registry.host())).unwrap();
    }

    /// The one layout there is.
    pub(crate) fn layout(&self, spec: &ImageSpec) -> PathBuf {
        let path = self.dir.path().join("layout");
        fs::remove_dir_all(&path).ok();
        layout(&path, std::slice::from_ref(spec));
        path
    }

    /// The report of a push that goes well, and its requests.
    pub(crate) fn pushed(&self, source: &Path, path: &str) -> (Value, Vec<String>) {
        let cache = self.cache();
        let options = ["--cache-dir", cache.to_str().unwrap()];
        let before = self.registry.access().len();
        let report = push(source, &self.registry, path, &options).expect_code(0);
        let sent = requests(&self.registry, before);
        read_back(&self.registry, &report.json());
        (report.json(), sent)
    }
}
