//! Platforms: `os/architecture[/variant]`, as image-spec 1.1 `image-index.md` defines them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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
    /// A variant that was not asked for matches any; the defaults `arm64` = `arm64/v8` and
    /// `amd64` = `amd64/v1` hold in both directions.
    pub fn accepts(&self, found: &Self) -> bool {
        self.os == found.os
            && self.architecture == found.architecture
            && self
                .variant
                .as_deref()
                .is_none_or(|asked| Some(asked) == found.known_variant())
    }

    fn known_variant(&self) -> Option<&str> {
        let default = match self.architecture.as_str() {
            "arm64" => Some("v8"),
            "amd64" => Some("v1"),
            _ => None,
        };
        self.variant
            .as_deref()
            .filter(|variant| !variant.is_empty())
            .or(default)
    }

    /// `unknown/unknown` marks entries that are no image, such as attestations.
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let legal = |part: &&str| {
            let byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
            !part.is_empty() && part.bytes().all(byte)
        };
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(legal) {
            return Err(format!(
                "{text:?} is no platform: write OS/ARCH or OS/ARCH/VARIANT"
            ));
        }
        Ok(Self {
            os: parts[0].to_ascii_lowercase(),
            architecture: parts[1].to_ascii_lowercase(),
            variant: parts.get(2).map(|variant| variant.to_ascii_lowercase()),
        })
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

    #[test]
    fn a_variant_matches_when_asked_for_or_by_default() {
        for (asked, found, expected) in [
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm/v7", "linux/arm/v6", false),
            ("linux/arm/v7", "linux/arm", false),
            ("linux/amd64", "windows/amd64", false),
            ("Linux/AMD64", "linux/amd64", true),
        ] {
            let parse = |text: &str| text.parse::<Platform>().unwrap();
            assert_eq!(
                parse(asked).accepts(&parse(found)),
                expected,
                "{asked} {found}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_platform() {
        for bad in ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/am d64"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
