//! The config of a container image, as far as a push looks into it (image-spec 1.1, `config.md`).

use serde::Deserialize;

use crate::image::digest::Digest;
use crate::image::platform::Platform;

/// The largest config that is read into memory, in bytes.
pub(crate) const MAX_CONFIG: u64 = 4 << 20;

#[derive(Debug, Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    os: Option<String>,
    #[serde(default)]
    architecture: Option<String>,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    rootfs: Option<RootFs>,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Option<Vec<Digest>>,
}

impl Config {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// `None` when it does not say.
    pub(crate) fn platform(&self) -> Option<Platform> {
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Some(Platform {
            os: said(&self.os)?,
            architecture: said(&self.architecture)?,
            variant: said(&self.variant),
        })
    }

    /// Digests of the uncompressed layers, bottom first.
    pub(crate) fn into_diff_ids(self) -> Vec<Digest> {
        self.rootfs
            .and_then(|rootfs| rootfs.diff_ids)
            .unwrap_or_default()
    }
}
