//! Digests: the names of blobs and manifests, and the hashers that make them.
//!
//! Grammar and algorithms: image-spec 1.1, `descriptor.md`, "Digests". An algorithm that is not
//! known is kept as text, so that it can be named in a sentence, but nothing can be hashed with it.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// `algorithm:encoded`, in the grammar of the specification; for a known algorithm the encoded part
/// is lower-case hex of the right length.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(Arc<str>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Sha256,
    Sha384,
    Sha512,
}

/// Why a text is no digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestError(String);

impl Digest {
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let fail = |why: &str| Err(DigestError(format!("{} is no digest: {why}", quote(text))));
        let Some((algorithm, encoded)) = text.split_once(':') else {
            return fail("it has no algorithm");
        };
        let piece = |p: &str| {
            !p.is_empty()
                && p.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if text.len() > 512 || !algorithm.split(['+', '.', '_', '-']).all(piece) {
            return fail("its algorithm is not in the grammar");
        }
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'=' | b'_' | b'-');
        if encoded.is_empty() || !encoded.bytes().all(legal) {
            return fail("its encoded part is not in the grammar");
        }
        if let Some(known) = Algorithm::from_name(algorithm) {
            let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            if encoded.len() != known.hex_len() || !encoded.bytes().all(hex) {
                return fail(&format!(
                    "{algorithm} has {} lower-case hex digits",
                    known.hex_len()
                ));
            }
        }
        Ok(Self(text.into()))
    }

    /// The sha256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text before the colon.
    pub fn algorithm_name(&self) -> &str {
        self.0
            .split_once(':')
            .map_or("", |(algorithm, _)| algorithm)
    }

    /// The algorithm, when it is one that can be computed here.
    pub fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::from_name(self.algorithm_name())
    }

    /// The text after the colon. It holds no `/` and no `.`, so it is safe as a file name.
    pub fn encoded(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, encoded)| encoded)
    }

    /// The first 12 characters of the encoded part.
    pub fn short(&self) -> &str {
        let encoded = self.encoded();
        &encoded[..encoded.len().min(12)]
    }

    /// Whether `bytes` have this digest; false when the algorithm is not known.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        self.algorithm().is_some_and(|algorithm| {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(bytes);
            hasher.finish() == *self
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for DigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DigestError {}

impl Algorithm {
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "sha256" => Some(Self::Sha256),
            "sha384" => Some(Self::Sha384),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha384 => 96,
            Self::Sha512 => 128,
        }
    }
}

/// A running hash.
#[derive(Clone)]
pub enum Hasher {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hasher {
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha384 => Self::Sha384(Sha384::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha384(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
    }

    pub fn finish(self) -> Digest {
        let (name, hex) = match self {
            Self::Sha256(hash) => ("sha256", hex(&hash.finalize())),
            Self::Sha384(hash) => ("sha384", hex(&hash.finalize())),
            Self::Sha512(hash) => ("sha512", hex(&hash.finalize())),
        };
        Digest(format!("{name}:{hex}").into())
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// The start of a text that may be long or hold anything, fit for a sentence.
pub(crate) fn quote(text: &str) -> String {
    let cut: String = text.chars().take(80).collect();
    if cut.len() < text.len() {
        format!("{cut:?}…")
    } else {
        format!("{cut:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_the_grammar_takes() {
        let sha512 = format!("sha512:{}", "0a".repeat(64));
        for good in [
            Digest::of(b"").as_str(),
            &sha512,
            "blake3:abc",
            "multihash+base58:QmRZ_=-",
        ] {
            assert_eq!(Digest::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn refuses_with_a_reason() {
        let upper = format!("sha256:{}", "A".repeat(64));
        for (bad, why) in [
            ("", "no algorithm"),
            ("abc", "no algorithm"),
            (":abc", "algorithm is not in the grammar"),
            ("sha256:", "encoded part"),
            ("sha256:abc", "64 lower-case hex"),
            (upper.as_str(), "64 lower-case hex"),
            ("SHA256:abc", "algorithm is not in the grammar"),
            ("md5:../../etc/passwd", "encoded part"),
        ] {
            let message = Digest::parse(bad).unwrap_err().to_string();
            assert!(message.contains(why), "{bad}: {message}");
        }
    }

    #[test]
    fn hashes() {
        assert_eq!(
            Digest::of(b"abc").as_str(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(Digest::of(b"abc").matches(b"abc"));
        assert!(!Digest::of(b"abc").matches(b"abd"));
        assert!(!Digest::parse("blake3:abc").unwrap().matches(b"abc"));
    }
}
