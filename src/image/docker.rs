//! The `manifest.json` of docker-save archives: configs and layers without registry digests.
//!
//! Written by `docker save`, `podman save`, kaniko, ko, jib, crane, nix and others; what they differ in
//! is where layers lie and whether these are compressed, so each layer is looked at. Facts:
//! moby `image/tarexport`, containers/image `docker/internal/tarfile`.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::image::config::{Config, MAX_CONFIG};
use crate::image::digest::Digest;
use crate::image::oci::json_error;
use crate::image::source::{Body as _, Layer, LayerForm, Parts, Place, Stored};

/// One image of a `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// The members of an archive by name. The error ends a sentence that begins with the name.
pub(crate) trait Members {
    fn member(&self, name: &str) -> Result<Stored, String>;
}

/// The config of an item: exactly the bytes that the registry will get.
pub(crate) struct ItemConfig {
    bytes: Arc<[u8]>,
    pub(crate) digest: Digest,
}

/// Whether this could be a `manifest.json` of docker save: other tools have files of that name.
pub(crate) fn is_list(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'[')
}

/// Nobody saves so many at once, and each has its config read.
const MAX_IMAGES: usize = 10_000;

/// The images that `manifest.json` lists, each readable or not. An error ends a sentence that begins
/// with what it is about.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Result<Item, String>>, String> {
    let items: Vec<&RawValue> = serde_json::from_slice(bytes)
        .map_err(|error| format!("manifest.json cannot be read: {}", json_error(&error)))?;
    if items.len() > MAX_IMAGES {
        let count = items.len();
        return Err(format!(
            "manifest.json lists {count} images, more than {MAX_IMAGES}"
        ));
    }
    let item = |(position, json): (usize, &&RawValue)| {
        serde_json::from_str(json.get()).map_err(|error| {
            let (number, error) = (position + 1, json_error(&error));
            format!("image {number} of manifest.json cannot be read: {error}")
        })
    };
    Ok(items.iter().enumerate().map(item).collect())
}

impl Item {
    pub(crate) fn names(&self) -> &[String] {
        self.repo_tags.as_deref().unwrap_or_default()
    }

    pub(crate) fn read_config(&self, archive: &dyn Members) -> Result<ItemConfig, String> {
        let name = &self.config;
        let bytes = archive
            .member(name)
            .and_then(|stored| stored.read(MAX_CONFIG))
            .map_err(|why| format!("config {} {why}", quote(name)))?;
        let digest = Digest::of(&bytes);
        if digest_in_name(name).is_some_and(|named| named != digest.encoded()) {
            return Err(format!(
                "config {} has other content than its name says",
                quote(name)
            ));
        }
        Ok(ItemConfig {
            bytes: bytes.into(),
            digest,
        })
    }

    /// All that a manifest can be made from, or all that is wrong.
    pub(crate) fn parts(
        &self,
        config: ItemConfig,
        archive: &dyn Members,
    ) -> Result<Parts, Vec<String>> {
        let name = quote(&self.config);
        let parsed = Config::parse(&config.bytes).map_err(|error| {
            vec![format!(
                "config {name} cannot be read: {}",
                json_error(&error)
            )]
        })?;
        let platform = parsed.platform();
        let diff_ids = parsed.into_diff_ids();
        let names = self.layers.as_deref().unwrap_or_default();
        if names.len() != diff_ids.len() {
            return Err(vec![format!(
                "manifest.json lists {} layers, its config {name} {}",
                names.len(),
                diff_ids.len()
            )]);
        }
        Ok(Parts {
            config: config.bytes,
            config_digest: config.digest,
            platform,
            layers: read_layers(names, diff_ids, archive)?,
        })
    }
}

fn read_layers(
    names: &[String],
    diff_ids: Vec<Digest>,
    archive: &dyn Members,
) -> Result<Vec<Layer>, Vec<String>> {
    let mut layers = Vec::new();
    let mut problems = Vec::new();
    let mut claimed: HashMap<Place, Digest> = HashMap::new();
    for (name, diff_id) in names.iter().zip(diff_ids) {
        match read_layer(name, diff_id, archive) {
            Ok(layer) => {
                let place = layer.stored.place().clone();
                let first = claimed
                    .entry(place)
                    .or_insert_with(|| layer.diff_id.clone());
                if *first != layer.diff_id {
                    problems.push(format!("layer {} is listed with two diff_ids", quote(name)));
                }
                layers.push(layer);
            }
            Err(why) => problems.push(format!("layer {} {why}", quote(name))),
        }
    }
    if problems.is_empty() {
        Ok(layers)
    } else {
        Err(problems)
    }
}

fn read_layer(name: &str, diff_id: Digest, archive: &dyn Members) -> Result<Layer, String> {
    if diff_id.algorithm().is_none() {
        let algorithm = diff_id.algorithm_name();
        return Err(format!(
            "has a diff_id of the unknown algorithm {algorithm:?}"
        ));
    }
    let stored = archive.member(name)?;
    let form = match super::magic::compression(&head(&stored)?) {
        None => LayerForm::Plain,
        Some("gzip") => LayerForm::Gzip,
        Some("zstd") => LayerForm::Zstd,
        Some(other) => {
            return Err(format!(
                "is compressed with {other}, which is no layer form"
            ));
        }
    };
    Ok(Layer {
        stored,
        diff_id,
        form,
    })
}

fn head(stored: &Stored) -> Result<Vec<u8>, String> {
    let mut head = Vec::new();
    stored
        .open(0)
        .and_then(|reader| reader.take(8).read_to_end(&mut head))
        .map_err(|error| format!("cannot be read: {error}"))?;
    Ok(head)
}

/// The sha256 that a config's name holds: `<hex>.json`, `sha256:<hex>` or `blobs/sha256/<hex>`.
fn digest_in_name(name: &str) -> Option<&str> {
    let name = name.rsplit(['/', ':']).next()?;
    let hex = name.strip_suffix(".json").unwrap_or(name);
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (hex.len() == 64 && hex.bytes().all(is_hex)).then_some(hex)
}

/// The start of a name from an archive, fit for a sentence.
fn quote(name: &str) -> String {
    let end = name.char_indices().nth(100).map_or(name.len(), |(i, _)| i);
    let more = if end < name.len() { "…" } else { "" };
    format!("{:?}{more}", &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_digest_in_a_name() {
        let hex = "0123456789abcdef".repeat(4);
        for name in [
            format!("{hex}.json"),
            format!("sha256:{hex}"),
            format!("./blobs/sha256/{hex}"),
        ] {
            assert_eq!(digest_in_name(&name), Some(hex.as_str()), "{name}");
        }
        for name in ["config.json", "", &hex[1..], &format!("{hex}.tar")] {
            assert_eq!(digest_in_name(name), None, "{name}");
        }
    }
}
