//! Which repositories of a registry hold which blobs and manifests. A file for each registry: a push reads
//! and writes its own.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::image::digest::Digest;
use crate::image::reference::{Host, Repository};
use crate::push::cache::{LONGEST_TRUST, Turn, VERSION, file, inventory, is_stale, key, seconds};
use crate::push::holdings::{Holdings, Key};

const MOST_ENTRIES: usize = 12_000;
const DAY: u64 = 24 * 3600;
/// How old the day of an entry may get before it is worth writing the file again.
const STALE_DAYS: u32 = 1;

/// The file as it was at the beginning.
#[derive(Debug)]
pub(crate) struct Blobs {
    /// As in destinations, lower case.
    host: String,
    name: String,
    known: Document,
    /// It is of a later version of hoist, which is not to lose what it knows.
    foreign: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Document {
    version: u32,
    host: String,
    #[serde(default)]
    repositories: BTreeMap<String, Held>,
    /// It takes no manifest that lacks anything, and names what it lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checks: Option<Shown>,
    /// It keeps what arrived of a body whose connection was cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keeps: Option<Shown>,
}

/// What the registry has shown of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Shown {
    /// How it looked then.
    looks: String,
    /// When it showed that, in seconds since 1970.
    told: u64,
}

/// What a push has found out of a registry.
pub(crate) struct Findings<'a> {
    pub(crate) seen: Vec<(&'a Repository, &'a Digest)>,
    /// Not there, unless it was seen after all.
    pub(crate) forgotten: Vec<(&'a Repository, Key)>,
    /// How it looks, if it has shown that it checks manifests.
    pub(crate) checks: Option<&'a str>,
    /// It has shown that it does not check as it should.
    pub(crate) misled: bool,
    /// How it looks, if it has shown that it keeps what arrived of cut bodies.
    pub(crate) keeps: Option<&'a str>,
    /// It has shown that it keeps nothing of them.
    pub(crate) loses: bool,
}

/// What one repository holds, with the day on which that was seen last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<u32, String>", into = "BTreeMap<u32, String>")]
struct Held(BTreeMap<Key, u32>);

impl Blobs {
    /// Reads what `folder` has of `host`. With a sentence when that is not to be used.
    pub(crate) fn open(folder: &Path, host: &Host) -> (Self, Option<String>) {
        let host = key(host);
        let name = name(&host);
        let (known, foreign, warning): (Document, _, _) = file::read(folder, &name).known();
        let known = Some(known).filter(|known| known.host == host);
        let blobs = Self {
            host,
            name,
            known: known.unwrap_or_default(),
            foreign,
        };
        (blobs, warning)
    }

    /// What a push begins with `now`.
    pub(crate) fn holdings(&self, now: SystemTime) -> Holdings {
        let held = self.known.repositories.iter();
        let holdings = Holdings::new(held.map(|(name, Held(keys))| (name.as_str(), keys)));
        let is_new = |shown: &&Shown| seconds(now).abs_diff(shown.told) <= LONGEST_TRUST;
        let looks = |shown: &'_ Option<Shown>| {
            let shown = shown.as_ref().filter(is_new);
            shown.map(|shown| shown.looks.clone())
        };
        let Document { checks, keeps, .. } = &self.known;
        holdings
            .looking(looks(checks).as_deref())
            .keeping(looks(keeps).as_deref())
    }

    /// Takes in what was found out `now`.
    pub(crate) fn remember(&self, turn: &mut Turn<'_>, findings: &Findings<'_>, now: SystemTime) {
        let today = u32::try_from(seconds(now) / DAY).unwrap_or(u32::MAX);
        let forgotten = &findings.forgotten;
        let shown = |looks: Option<&str>| {
            looks.map(|looks| Shown {
                looks: looks.to_owned(),
                told: seconds(now),
            })
        };
        let checks = shown(findings.checks.filter(|_| !findings.misled));
        let keeps = shown(findings.keeps);
        let seen = findings
            .seen
            .iter()
            .filter_map(|(repository, digest)| Some((repository.as_str(), Key::of(digest)?)));
        let seen: Vec<(&str, Key)> = seen.collect();
        let is_news = |(repository, key): &(&str, Key)| {
            let before = self.known.day(repository, *key);
            before.is_none_or(|before| today.abs_diff(before) > STALE_DAYS)
        };
        let is_known = |(repository, key): &(&Repository, Key)| {
            self.known.day(repository.as_str(), *key).is_some()
        };
        let has_news = seen.iter().any(is_news)
            || forgotten.iter().any(is_known)
            || is_told(self.known.checks.as_ref(), checks.as_ref(), findings.misled)
            || is_told(self.known.keeps.as_ref(), keeps.as_ref(), findings.loses);
        if self.foreign || !has_news {
            return;
        }
        // What a loss of power leaves of it is found out, and costs requests.
        let updated = turn.update(&self.name, false, |document: &mut Document| {
            document.begin(&self.host);
            for (repository, key) in forgotten {
                document.remove(repository.as_str(), *key);
            }
            if checks.is_some() || findings.misled {
                document.checks = checks;
            }
            if keeps.is_some() || findings.loses {
                document.keeps = keeps;
            }
            for (repository, key) in seen {
                document.insert(repository, key, today);
            }
        });
        let updated = updated.and_then(|()| inventory::sweep(turn.folder(), Some(&self.name)));
        if let Err(error) = updated {
            let folder = turn.folder().display();
            log::debug!("no blobs are remembered in {folder}: {error}");
        }
    }
}

impl Document {
    /// What is there of another registry makes room: two names may be one in short.
    fn begin(&mut self, host: &str) {
        if self.host != host {
            self.repositories.clear();
            self.checks = None;
            self.keeps = None;
            host.clone_into(&mut self.host);
        }
        self.version = VERSION;
    }

    fn day(&self, repository: &str, key: Key) -> Option<u32> {
        let Held(keys) = self.repositories.get(repository)?;
        keys.get(&key).copied()
    }

    fn insert(&mut self, repository: &str, key: Key, day: u32) {
        if !self.repositories.contains_key(repository) {
            let name = repository.to_owned();
            self.repositories.insert(name, Held::default());
        }
        if let Some(Held(keys)) = self.repositories.get_mut(repository) {
            keys.insert(key, day);
        }
    }

    fn remove(&mut self, repository: &str, key: Key) {
        if let Some(Held(keys)) = self.repositories.get_mut(repository) {
            keys.remove(&key);
        }
    }
}

impl file::Document for Document {
    const MOST_ENTRIES: usize = MOST_ENTRIES;
    const MOST_BYTES: usize = 1 << 20;

    fn entries(&self) -> usize {
        self.repositories
            .values()
            .map(|Held(keys)| keys.len())
            .sum()
    }

    fn uses(&self) -> Vec<u64> {
        let held = self.repositories.values();
        held.flat_map(|Held(keys)| keys.values().map(|day| u64::from(*day) * DAY))
            .collect()
    }

    fn hosts(&self) -> Vec<String> {
        let host = Some(&self.host).filter(|host| !host.is_empty());
        host.cloned().into_iter().collect()
    }

    fn keep_used(&mut self, times: &RangeInclusive<u64>) {
        for Held(keys) in self.repositories.values_mut() {
            keys.retain(|_, day| times.contains(&(u64::from(*day) * DAY)));
        }
        self.repositories.retain(|_, Held(keys)| !keys.is_empty());
    }

    fn keep(&mut self, most: usize) {
        let excess = self.entries().saturating_sub(most);
        let held = self.repositories.values();
        let mut days: Vec<u32> = held.flat_map(|Held(keys)| keys.values().copied()).collect();
        days.sort_unstable();
        let Some(&last) = excess.checked_sub(1).and_then(|at| days.get(at)) else {
            return;
        };
        // Of the last of these days some stay.
        let mut of_last = days[..excess].iter().filter(|day| **day == last).count();
        for Held(keys) in self.repositories.values_mut() {
            keys.retain(|_, day| {
                let goes = *day < last || (*day == last && of_last > 0);
                of_last -= usize::from(goes && *day == last);
                !goes
            });
        }
        self.repositories.retain(|_, Held(keys)| !keys.is_empty());
    }
}

impl TryFrom<BTreeMap<u32, String>> for Held {
    type Error = &'static str;

    fn try_from(days: BTreeMap<u32, String>) -> Result<Self, Self::Error> {
        let mut keys = BTreeMap::new();
        for (day, text) in days {
            for one in text.as_bytes().chunks(64) {
                keys.insert(Key::parse(one).ok_or("no digests")?, day);
            }
        }
        Ok(Self(keys))
    }
}

impl From<Held> for BTreeMap<u32, String> {
    fn from(Held(keys): Held) -> Self {
        let mut days = Self::new();
        for (key, day) in keys {
            key.write(days.entry(day).or_default());
        }
        days
    }
}

/// Whether it is worth writing the file that the registry shows that `now`, or the contrary.
fn is_told(before: Option<&Shown>, now: Option<&Shown>, contrary: bool) -> bool {
    match (before, now) {
        (Some(_), None) => contrary,
        (None, None) => false,
        (None, Some(_)) => true,
        (Some(before), Some(now)) => before.looks != now.looks || is_stale(before.told, now.told),
    }
}

/// Of the file of a registry. Not its name, which may hold what no file name does.
fn name(host: &str) -> String {
    format!(
        "blobs-{}.json",
        &Digest::of(host.as_bytes()).encoded()[..16]
    )
}

pub(super) fn is_name(name: &str) -> bool {
    let middle = name
        .strip_prefix("blobs-")
        .and_then(|rest| rest.strip_suffix(".json"));
    middle.is_some_and(|hex| hex.len() == 16 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests;
