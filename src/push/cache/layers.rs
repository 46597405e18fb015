//! What plain layers become when they are compressed. In a file of its own: a push without such layers
//! does not read it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::image::compress::Method;
use crate::image::digest::{Algorithm, Digest};
use crate::image::source::Summary;
use crate::push::cache::{VERSION, file, is_stale, seconds};
use crate::push::plan::Compressed;

const MOST_LAYERS: usize = 10_000;
/// Bytes of a key; a sha512 fits. With so many layers, the file stays below what is read of one.
const LONGEST: usize = 160;

/// The file as it was at the beginning.
#[derive(Debug)]
pub(crate) struct Layers {
    folder: PathBuf,
    known: Document,
    /// It is of a later version of hoist, which is not to lose what it knows.
    foreign: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Document {
    version: u32,
    /// By the method of compression and the diff_id.
    #[serde(default)]
    layers: BTreeMap<String, Known>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    digest: Digest,
    size: u64,
    /// Seconds since 1970.
    used: u64,
}

impl file::Document for Document {
    const NAME: &'static str = "layers.json";
}

impl Layers {
    /// Reads what `folder` has. With a sentence when that is not to be used.
    pub(crate) fn open(folder: &Path) -> (Self, Option<String>) {
        let (known, foreign, warning) = file::read(folder).known();
        let layers = Self {
            folder: folder.to_path_buf(),
            known,
            foreign,
        };
        (layers, warning)
    }

    /// What the layer became the last time.
    pub(crate) fn find(&self, diff_id: &Digest, method: Method) -> Option<Summary> {
        let known = self.known.layers.get(&key(diff_id, method))?;
        known.is_fit().then(|| Summary {
            digest: known.digest.clone(),
            size: known.size,
        })
    }

    /// Takes in what layers are `now`, those among them that were found here: they were used again.
    pub(crate) fn remember(&self, layers: &[Compressed], now: SystemTime) {
        let used = seconds(now);
        let fresh = layers.iter().map(|layer| {
            let Summary { digest, size } = layer.summary.clone();
            let known = Known { digest, size, used };
            (key(&layer.diff_id, layer.method), known)
        });
        let fresh: Vec<(String, Known)> = fresh
            .filter(|(key, known)| key.len() <= LONGEST && known.is_fit())
            .collect();
        let is_news = |(key, known): &(String, Known)| {
            let before = self.known.layers.get(key);
            before.is_none_or(|before| !before.is_same(known) || is_stale(before.used, known.used))
        };
        if self.foreign || !fresh.iter().any(is_news) {
            return;
        }
        let updated = file::update(&self.folder, |document: &mut Document| document.take(fresh));
        if let Err(error) = updated {
            let folder = self.folder.display();
            log::debug!("no layers are remembered in {folder}: {error}");
        }
    }
}

impl Document {
    /// The least recently used ones make room.
    fn take(&mut self, fresh: Vec<(String, Known)>) {
        self.version = VERSION;
        self.layers.extend(fresh);
        self.layers.retain(|key, _| key.len() <= LONGEST);
        let excess = self.layers.len().saturating_sub(MOST_LAYERS);
        if excess == 0 {
            return;
        }
        let by_use = self.layers.iter().map(|(key, known)| (known.used, key));
        let mut by_use: Vec<(u64, String)> =
            by_use.map(|(used, key)| (used, key.clone())).collect();
        by_use.sort_unstable();
        for (_, key) in by_use.drain(..excess) {
            self.layers.remove(&key);
        }
    }
}

impl Known {
    /// What the compressor makes has a sha256, and is never nothing.
    fn is_fit(&self) -> bool {
        self.digest.algorithm() == Some(Algorithm::Sha256) && self.size > 0
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.digest, self.size) == (&other.digest, other.size)
    }
}

fn key(diff_id: &Digest, method: Method) -> String {
    format!("{} {diff_id}", method.identity())
}

#[cfg(test)]
mod tests;
