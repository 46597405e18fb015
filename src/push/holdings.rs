//! Which repositories of a registry hold which blobs and manifests, as earlier pushes have left them. A
//! hint: much may have become of them since. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use crate::image::digest::{Algorithm, Digest};
use crate::image::reference::Repository;

/// A registry that refuses so many mounts of what it should have has lost more, or mounts nothing.
const MOST_REFUSALS: usize = 3;

/// A sha256. Nothing is remembered of what has another digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key([u8; 32]);

#[derive(Debug, Default)]
pub(crate) struct Holdings {
    /// Those that hold the most come first.
    repositories: Vec<Repository>,
    numbers: HashMap<Repository, u32>,
    /// Sorted.
    entries: Vec<Entry>,
    untrue: HashSet<(u32, Key)>,
    refusals: usize,
    /// How the registry looked when it showed that it checks what manifests name.
    looks: Option<String>,
    /// The same of what it keeps of bodies that are cut.
    keeps: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    key: Key,
    repository: u32,
    /// When it was last known to be there, in days since 1970.
    day: u32,
}

impl Holdings {
    /// Of repositories by name, with the days on which their blobs and manifests were last known to be there.
    pub(crate) fn new<'a>(all: impl Iterator<Item = (&'a str, &'a BTreeMap<Key, u32>)>) -> Self {
        let parsed = all.filter_map(|(name, held)| Some((Repository::parse(name).ok()?, held)));
        let mut parsed: Vec<(Repository, &BTreeMap<Key, u32>)> = parsed.collect();
        parsed.sort_by_key(|(_, held)| Reverse(held.len()));
        let mut holdings = Self::default();
        for (number, (repository, held)) in (0..).zip(parsed) {
            holdings.numbers.insert(repository.clone(), number);
            holdings.repositories.push(repository);
            holdings
                .entries
                .extend(held.iter().map(|(&key, &day)| Entry {
                    key,
                    repository: number,
                    day,
                }));
        }
        holdings.entries.sort_unstable();
        holdings
    }

    /// Of a registry that looked like that when it showed that it checks what manifests name.
    pub(crate) fn looking(self, looks: Option<&str>) -> Self {
        let looks = looks.map(str::to_owned);
        Self { looks, ..self }
    }

    /// Of one that looked like that when it showed that it keeps what arrived of a body that was cut.
    pub(crate) fn keeping(self, looks: Option<&str>) -> Self {
        let keeps = looks.map(str::to_owned);
        Self { keeps, ..self }
    }

    pub(crate) fn keeps_cut_bodies(&self) -> Option<&str> {
        self.keeps.as_deref()
    }

    pub(crate) fn looks(&self) -> Option<&str> {
        self.looks.as_deref()
    }

    /// Whether `repository` should hold that.
    pub(crate) fn has(&self, repository: &Repository, digest: &Digest) -> bool {
        let (Some(&repository), Some(key)) = (self.numbers.get(repository), Key::of(digest)) else {
            return false;
        };
        let order = |entry: &Entry| (entry.key, entry.repository).cmp(&(key, repository));
        self.entries.binary_search_by(order).is_ok() && !self.untrue.contains(&(repository, key))
    }

    /// A repository that a blob may be mounted from. None where it should be in `into` itself.
    pub(crate) fn source(&self, digest: &Digest, into: &Repository) -> Option<&Repository> {
        let key = Key::of(digest)?;
        if self.refusals >= MOST_REFUSALS || self.has(into, digest) {
            return None;
        }
        let first = self.entries.partition_point(|entry| entry.key < key);
        let holders = self.entries[first..].iter();
        let holders = holders.take_while(|entry| entry.key == key);
        let latest = holders
            .filter(|entry| !self.untrue.contains(&(entry.repository, key)))
            .max_by_key(|entry| (entry.day, Reverse(entry.repository)))?;
        self.repositories.get(latest.repository as usize)
    }

    /// It is not there, or so the registry says.
    pub(crate) fn forget(&mut self, repository: &Repository, digest: &Digest) {
        if self.has(repository, digest)
            && let (Some(&number), Some(key)) = (self.numbers.get(repository), Key::of(digest))
        {
            self.untrue.insert((number, key));
        }
    }

    /// It could not be mounted from there.
    pub(crate) fn refused(&mut self, repository: &Repository, digest: &Digest) {
        self.refusals += 1;
        self.forget(repository, digest);
    }

    /// What turned out not to be there.
    pub(crate) fn forgotten(&self) -> impl Iterator<Item = (&Repository, Key)> {
        let named =
            |&(number, key): &(u32, Key)| Some((self.repositories.get(number as usize)?, key));
        self.untrue.iter().filter_map(named)
    }
}

impl Key {
    pub(crate) fn of(digest: &Digest) -> Option<Self> {
        if digest.algorithm() != Some(Algorithm::Sha256) {
            return None;
        }
        Self::parse(digest.encoded().as_bytes())
    }

    /// From 64 hexadecimal digits in lower case.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let text: &[u8; 64] = text.try_into().ok()?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Some(Self(bytes))
    }

    pub(crate) fn write(self, text: &mut String) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for byte in self.0 {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from(DIGITS[usize::from(nibble)]));
            }
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text);
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn repository(name: &str) -> Repository {
        Repository::parse(name).unwrap()
    }

    /// `("a", "x", 3)`: `a` had `x` on day 3.
    fn holdings(held: &[(&str, &str, u32)]) -> Holdings {
        let mut all: BTreeMap<String, BTreeMap<Key, u32>> = BTreeMap::new();
        for (name, blob, day) in held {
            let key = Key::of(&digest(blob)).unwrap();
            all.entry((*name).to_owned()).or_default().insert(key, *day);
        }
        Holdings::new(all.iter().map(|(name, keys)| (name.as_str(), keys)))
    }

    fn source<'a>(holdings: &'a Holdings, blob: &str, into: &str) -> Option<&'a str> {
        let found = holdings.source(&digest(blob), &repository(into));
        found.map(Repository::as_str)
    }

    #[test]
    fn a_key_is_what_the_digest_says() {
        let one = digest("x");
        let mut text = String::new();
        Key::of(&one).unwrap().write(&mut text);
        assert_eq!(text, one.encoded());
        for wrong in [&text[1..], &text.to_uppercase(), "", &format!("{text}0")] {
            assert_eq!(Key::parse(wrong.as_bytes()), None, "{wrong}");
        }
        let long = Digest::parse(&format!("sha512:{:0>128}", 1)).unwrap();
        assert_eq!(Key::of(&long), None);
    }

    #[test]
    fn a_blob_comes_from_where_it_was_seen_last_or_from_who_has_most() {
        let held = [
            ("a", "x", 5),
            ("b", "x", 5),
            ("b", "y", 5),
            ("c", "x", 4),
            ("d", "z", 4),
            ("e", "z", 5),
            ("Not A Name", "w", 5),
        ];
        let holdings = holdings(&held);
        for (blob, into, expected) in [
            ("x", "new", Some("b")),
            ("x", "c", None),
            ("z", "new", Some("e")),
            ("z", "c", Some("e")),
            ("w", "new", None),
            ("nothing", "new", None),
        ] {
            assert_eq!(source(&holdings, blob, into), expected, "{blob} {into}");
        }
        assert!(holdings.has(&repository("c"), &digest("x")));
        assert!(!holdings.has(&repository("c"), &digest("y")));
        assert!(!holdings.has(&repository("new"), &digest("x")));
    }

    #[test]
    fn what_turns_out_not_to_be_there_is_forgotten() {
        let held = [("a", "x", 5), ("b", "x", 4), ("b", "y", 4), ("b", "z", 4)];
        let mut holdings = holdings(&held);
        holdings.refused(&repository("a"), &digest("x"));
        holdings.forget(&repository("b"), &digest("z"));
        holdings.forget(&repository("stranger"), &digest("z"));
        assert_eq!(source(&holdings, "x", "new"), Some("b"));
        assert_eq!(source(&holdings, "z", "new"), None);
        assert!(!holdings.has(&repository("a"), &digest("x")));
        assert_eq!(holdings.forgotten().count(), 2);
        for blob in ["x", "nothing"] {
            holdings.refused(&repository("b"), &digest(blob));
        }
        assert_eq!(source(&holdings, "y", "new"), None, "after three refusals");
        assert!(holdings.has(&repository("b"), &digest("y")));
    }
}
