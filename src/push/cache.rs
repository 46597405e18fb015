//! What later pushes need not find out again, kept in files of the user's.
//!
//! Nothing here is needed: a file that is not there, is not to be trusted or cannot be written costs
//! requests, never a push. It holds no credentials, but says where they may be sent to and what layers
//! are: so it counts only when nobody else can have written it.

mod blobs;
mod file;
pub(crate) mod inventory;
mod layers;
#[cfg(test)]
pub(super) mod soak;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::image::reference::Host;
use crate::registry::client::TokenService;

pub(crate) use crate::push::cache::blobs::{Blobs, Findings};
pub(crate) use crate::push::cache::file::Turn;
pub(crate) use crate::push::cache::layers::Layers;

const NAME: &str = "cache.json";
/// What is known is of this version; parts that another one does not know are left out.
const VERSION: u32 = 1;
/// Registries that are remembered; nobody pushes to more of them in turn.
const MOST_HOSTS: usize = 100;
/// Bytes of a realm or a service; what is longer is not remembered.
const LONGEST: usize = 2048;
/// How old an entry may get before it is worth writing the file again, in seconds.
const STALE: u64 = 24 * 3600;
/// How long a registry is not asked again, in seconds: who takes over a token service that it has left
/// would get passwords for ever.
const LONGEST_TRUST: u64 = 7 * 24 * 3600;

/// The file as it was at the beginning.
#[derive(Debug)]
pub(crate) struct Cache {
    known: Document,
    /// It is of a later version of hoist, which is not to lose what it knows.
    foreign: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Document {
    version: u32,
    /// By host and port as in destinations, lower case.
    #[serde(default)]
    hosts: BTreeMap<String, Known>,
}

/// One registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// Where it gets its tokens.
    realm: String,
    #[serde(default)]
    service: Option<String>,
    /// When the registry said so, in seconds since 1970.
    told: u64,
}

impl Cache {
    /// Reads what `folder` has. With a sentence when that is not to be used.
    pub(crate) fn open(folder: &Path) -> (Self, Option<String>) {
        let (known, foreign, warning) = file::read(folder, NAME).known();
        (Self { known, foreign }, warning)
    }

    /// Where tokens for `host` come from, as it has said not long before `now`.
    pub(crate) fn token_service(&self, host: &Host, now: SystemTime) -> Option<TokenService> {
        let known = self.known.hosts.get(&key(host))?;
        if seconds(now).abs_diff(known.told) > LONGEST_TRUST {
            return None;
        }
        Some(TokenService {
            realm: known.realm.clone(),
            service: known.service.clone(),
        })
    }

    /// Takes in where they come from `now`.
    pub(crate) fn remember(
        &self,
        turn: &mut Turn<'_>,
        host: &Host,
        service: &TokenService,
        now: SystemTime,
    ) {
        let key = key(host);
        let known = Known {
            realm: service.realm.clone(),
            service: service.service.clone(),
            told: seconds(now),
        };
        if self.foreign || !known.is_fit() || !known.is_news(self.known.hosts.get(&key)) {
            return;
        }
        let updated = turn.update(NAME, true, |document: &mut Document| {
            document.take(key, known);
        });
        if let Err(error) = updated {
            let folder = turn.folder().display();
            log::debug!("nothing is remembered in {folder}: {error}");
        }
    }
}

impl file::Document for Document {
    const MOST_ENTRIES: usize = MOST_HOSTS;
    const MOST_BYTES: usize = 256 << 10;

    fn entries(&self) -> usize {
        self.hosts.len()
    }

    fn uses(&self) -> Vec<u64> {
        self.hosts.values().map(|known| known.told).collect()
    }

    fn hosts(&self) -> Vec<String> {
        self.hosts.keys().cloned().collect()
    }

    fn keep_used(&mut self, times: &RangeInclusive<u64>) {
        self.hosts.retain(|_, known| times.contains(&known.told));
    }

    fn keep(&mut self, most: usize) {
        let told = self.hosts.iter().map(|(host, known)| (known.told, host));
        for host in oldest(told, most) {
            self.hosts.remove(&host);
        }
    }
}

impl Document {
    fn take(&mut self, key: String, known: Known) {
        self.version = VERSION;
        self.hosts.insert(key, known);
    }
}

/// The names of all entries but the newest `most`.
fn oldest<'a>(entries: impl Iterator<Item = (u64, &'a String)>, most: usize) -> Vec<String> {
    let mut all: Vec<(u64, &String)> = entries.collect();
    let excess = all.len().saturating_sub(most);
    all.sort_unstable();
    all.truncate(excess);
    all.into_iter().map(|(_, name)| name.clone()).collect()
}

impl Known {
    /// Of a size and form that it can be kept. A user name in the URL would be a credential.
    fn is_fit(&self) -> bool {
        let parts = [Some(&self.realm), self.service.as_ref()];
        let short = parts.iter().flatten().all(|part| part.len() <= LONGEST);
        short && !self.realm.contains('@')
    }

    fn is_news(&self, before: Option<&Self>) -> bool {
        before.is_none_or(|before| {
            let same = (&before.realm, &before.service) == (&self.realm, &self.service);
            !same || is_stale(before.told, self.told)
        })
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// Whether the time of a use `before` is worth being replaced. A clock that was set back must not keep
/// anything for ever.
fn is_stale(before: u64, now: u64) -> bool {
    now.abs_diff(before) > STALE
}

fn key(host: &Host) -> String {
    host.as_str().to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
