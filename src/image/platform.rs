//! Platforms: `os/architecture[/variant]`, as image-spec 1.1 `image-index.md` defines them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::image::digest::quote;

/// Known ones are much shorter; in characters.
const LONGEST_SHOWN: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Whether an image of platform `found` is what somebody means who asks for `self`.
    ///
    /// A variant that was not asked for matches any; the defaults `arm64` = `arm64/v8`,
    /// `arm` = `arm/v7` and `amd64` = `amd64/v1` hold in both directions.
    pub fn accepts(&self, found: &Self) -> bool {
        let (asked, found) = (self.normal(), found.normal());
        asked.os == found.os
            && asked.architecture == found.architecture
            && (asked.variant.is_none() || asked.known_variant() == found.known_variant())
    }

    /// Whether the variant is the one that is meant where none is given.
    pub fn is_default_variant(&self) -> bool {
        let normal = self.normal();
        normal.known_variant() == default_variant(&normal.architecture)
    }

    /// For a sentence: in a document it may be of any length.
    pub(crate) fn shown(&self) -> String {
        let whole = self.to_string();
        match whole.char_indices().nth(LONGEST_SHOWN) {
            Some((end, _)) => format!("{}…", &whole[..end]),
            None => whole,
        }
    }

    /// The same platform in the words of Go: `linux/x86_64` is `linux/amd64`, `arm/7` is `arm/v7`.
    ///
    /// Facts: containerd/platforms `database.go`.
    fn normal(&self) -> Self {
        let lower = self.architecture.to_ascii_lowercase();
        let (architecture, implied) = match lower.as_str() {
            "x86_64" | "x86-64" => ("amd64", None),
            "i386" | "i486" | "i586" | "i686" => ("386", None),
            "aarch64" => ("arm64", None),
            "armhf" | "armv7" | "armv7l" => ("arm", Some("v7")),
            "armel" | "armv6" | "armv6l" => ("arm", Some("v6")),
            other => (other, None),
        };
        let os = self.os.to_ascii_lowercase();
        let variant = self
            .variant
            .as_deref()
            .filter(|variant| !variant.is_empty());
        Self {
            os: if os == "macos" { "darwin".into() } else { os },
            architecture: architecture.into(),
            variant: variant.or(implied).map(normal_variant),
        }
    }

    fn known_variant(&self) -> Option<&str> {
        let variant = self.variant.as_deref();
        variant.or_else(|| default_variant(&self.architecture))
    }

    /// `unknown/unknown` marks entries that are no image, such as attestations.
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}

fn default_variant(architecture: &str) -> Option<&'static str> {
    match architecture {
        "amd64" => Some("v1"),
        "arm" => Some("v7"),
        "arm64" => Some("v8"),
        _ => None,
    }
}

/// `7` and `V7` are `v7`; what is no number stays.
fn normal_variant(variant: &str) -> String {
    let lower = variant.to_ascii_lowercase();
    if lower.bytes().all(|b| b.is_ascii_digit()) {
        return format!("v{lower}");
    }
    lower
}

impl FromStr for Platform {
    type Err = String;

    /// Parses `OS/ARCH[/VARIANT]`, in Go's words or in those of `uname`.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let legal = |part: &&str| {
            let byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
            !part.is_empty() && part.bytes().all(byte)
        };
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(legal) {
            return Err(format!(
                "{} is no platform: write OS/ARCH or OS/ARCH/VARIANT",
                quote(text)
            ));
        }
        let typed = Self {
            os: parts[0].into(),
            architecture: parts[1].into(),
            variant: parts.get(2).map(|variant| (*variant).into()),
        };
        Ok(typed.normal())
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match self.variant.as_deref() {
            Some(variant) if !variant.is_empty() => write!(f, "/{variant}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Platform {
        text.parse().unwrap()
    }

    /// As a document may have it, nothing normalised.
    fn raw(text: &str) -> Platform {
        let parts: Vec<&str> = text.split('/').collect();
        Platform {
            os: parts[0].into(),
            architecture: parts[1].into(),
            variant: parts.get(2).map(|variant| (*variant).into()),
        }
    }

    #[test]
    fn what_is_shown_has_an_end() {
        for (architecture, expected) in [
            ("a".repeat(94), format!("linux/{}", "a".repeat(94))),
            ("é".repeat(95), format!("linux/{}…", "é".repeat(94))),
        ] {
            let platform = raw(&format!("linux/{architecture}"));
            assert_eq!(platform.shown(), expected);
        }
    }

    #[test]
    fn a_variant_matches_when_asked_for_or_by_default() {
        for (asked, found, expected) in [
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm64/v8", "linux/arm64/", true),
            ("linux/arm64", "linux/arm64/v9", true),
            ("linux/arm64/v9", "linux/arm64", false),
            ("linux/amd64/v1", "linux/amd64", true),
            ("linux/amd64/v2", "linux/amd64", false),
            ("linux/arm", "linux/arm/v6", true),
            ("linux/arm/v7", "linux/arm/v6", false),
            ("linux/arm/v7", "linux/arm", true),
            ("linux/arm/v6", "linux/arm", false),
            ("linux/arm/v7", "linux/arm/7", true),
            ("linux/amd64", "linux/x86_64", true),
            ("linux/amd64", "windows/amd64", false),
            ("linux/amd64", "linux/arm64", false),
            ("linux/riscv64", "linux/riscv64", true),
            ("linux/ppc64le/power9", "linux/ppc64le", false),
        ] {
            let accepted = parse(asked).accepts(&raw(found));
            assert_eq!(accepted, expected, "{asked} {found}");
        }
    }

    #[test]
    fn the_words_of_uname_and_of_go_mean_the_same() {
        for (typed, expected) in [
            ("linux/amd64", "linux/amd64"),
            ("Linux/AMD64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/x86-64", "linux/amd64"),
            ("linux/i386", "linux/386"),
            ("linux/i686", "linux/386"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/8", "linux/arm64/v8"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/armv7l", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/arm/5", "linux/arm/v5"),
            ("linux/arm/V6", "linux/arm/v6"),
            ("linux/arm", "linux/arm"),
            ("macos/arm64", "darwin/arm64"),
            ("linux/ppc64le", "linux/ppc64le"),
            ("wasi/wasm", "wasi/wasm"),
        ] {
            assert_eq!(parse(typed).to_string(), expected);
        }
    }

    #[test]
    fn refuses_what_is_no_platform() {
        for bad in ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/am d64"] {
            let error = bad.parse::<Platform>().unwrap_err();
            assert!(error.contains("is no platform"), "{error}");
        }
    }

    #[test]
    fn the_default_variant_is_known() {
        for (text, expected) in [
            ("linux/arm", true),
            ("linux/arm/v7", true),
            ("linux/arm/v6", false),
            ("linux/amd64/v3", false),
            ("linux/s390x", true),
        ] {
            assert_eq!(parse(text).is_default_variant(), expected, "{text}");
        }
    }
}
