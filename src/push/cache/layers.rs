//! What plain layers become when they are compressed. In a file of its own: a push without such layers
//! does not read it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::image::compress::Method;
use crate::image::digest::{Algorithm, Digest};
use crate::image::source::Summary;
use crate::push::cache::{Turn, VERSION, file, is_stale, oldest, seconds};
use crate::push::plan::Compressed;

pub(super) const NAME: &str = "layers.json";
const MOST_LAYERS: usize = 5000;
/// Bytes of a key; a sha512 fits.
const LONGEST: usize = 160;

/// The file as it was at the beginning.
#[derive(Debug)]
pub(crate) struct Layers {
    known: Document,
    /// It is of a later version of hoist, which is not to lose what it knows.
    foreign: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Document {
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
    const MOST_ENTRIES: usize = MOST_LAYERS;
    const MOST_BYTES: usize = 3 << 19;

    fn entries(&self) -> usize {
        self.layers.len()
    }

    fn uses(&self) -> Vec<u64> {
        self.layers.values().map(|known| known.used).collect()
    }

    fn hosts(&self) -> Vec<String> {
        Vec::new()
    }

    fn keep_used(&mut self, times: &RangeInclusive<u64>) {
        self.layers.retain(|_, known| times.contains(&known.used));
    }

    fn keep(&mut self, most: usize) {
        let used = self.layers.iter().map(|(key, known)| (known.used, key));
        for key in oldest(used, most) {
            self.layers.remove(&key);
        }
    }
}

impl Layers {
    /// Reads what `folder` has. With a sentence when that is not to be used.
    pub(crate) fn open(folder: &Path) -> (Self, Option<String>) {
        let (known, foreign, warning) = file::read(folder, NAME).known();
        (Self { known, foreign }, warning)
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
    pub(crate) fn remember(&self, turn: &mut Turn<'_>, layers: &[Compressed], now: SystemTime) {
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
        let updated = turn.update(NAME, true, |document: &mut Document| document.take(fresh));
        if let Err(error) = updated {
            let folder = turn.folder().display();
            log::debug!("no layers are remembered in {folder}: {error}");
        }
    }
}

impl Document {
    fn take(&mut self, fresh: Vec<(String, Known)>) {
        self.version = VERSION;
        self.layers.extend(fresh);
        self.layers.retain(|key, _| key.len() <= LONGEST);
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
