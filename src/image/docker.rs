//! The `manifest.json` of docker-save archives: configs and layers without registry digests.
//!
//! Written by `docker save`, `podman save`, kaniko, ko, jib, crane, nix and others; what they differ in
//! is where layers lie and whether these are compressed, so each layer is looked at. Facts:
//! moby `image/tarexport`, containers/image `docker/internal/tarfile`.

use std::collections::HashMap;
use std::io::Read as _;
use std::rc::Rc;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::image::config::{Config, MAX_CONFIG};
use crate::image::digest::{Digest, quote};
use crate::image::error::json_error;
use crate::image::platform::Platform;
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
    /// Or why it is none.
    content: Result<(Option<Platform>, Vec<Digest>), String>,
}

/// The configs of an archive, each read once however many items have it and under whatever names.
#[derive(Default)]
pub(crate) struct Configs(HashMap<Place, Rc<ItemConfig>>);

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

    pub(crate) fn read_config(
        &self,
        archive: &dyn Members,
        configs: &mut Configs,
    ) -> Result<Rc<ItemConfig>, String> {
        let name = &self.config;
        let config = archive
            .member(name)
            .and_then(|stored| configs.read(&stored))
            .map_err(|why| format!("config {} {why}", quote(name)))?;
        if digest_in_name(name).is_some_and(|named| named != config.digest.encoded()) {
            return Err(format!(
                "config {} has other content than its name says",
                quote(name)
            ));
        }
        Ok(config)
    }

    /// All that a manifest can be made from, or all that is wrong.
    pub(crate) fn parts(
        &self,
        config: &ItemConfig,
        archive: &dyn Members,
    ) -> Result<Parts, Vec<String>> {
        let name = quote(&self.config);
        let content = config.content.as_ref();
        let (platform, diff_ids) =
            content.map_err(|why| vec![format!("config {name} cannot be read: {why}")])?;
        let names = self.layers.as_deref().unwrap_or_default();
        if names.len() != diff_ids.len() {
            return Err(vec![format!(
                "manifest.json lists {} layers, its config {name} {}",
                names.len(),
                diff_ids.len()
            )]);
        }
        Ok(Parts {
            config: Arc::clone(&config.bytes),
            config_digest: config.digest.clone(),
            platform: platform.clone(),
            layers: read_layers(names, diff_ids, archive)?,
        })
    }
}

impl Configs {
    fn read(&mut self, stored: &Stored) -> Result<Rc<ItemConfig>, String> {
        if let Some(config) = self.0.get(stored.place()) {
            return Ok(Rc::clone(config));
        }
        let bytes = stored.read(MAX_CONFIG)?;
        let parsed = Config::parse(&bytes).map_err(|error| json_error(&error));
        let config = Rc::new(ItemConfig {
            digest: Digest::of(&bytes),
            bytes: bytes.into(),
            content: parsed.map(|parsed| (parsed.platform(), parsed.into_diff_ids())),
        });
        self.0.insert(stored.place().clone(), Rc::clone(&config));
        Ok(config)
    }
}

fn read_layers(
    names: &[String],
    diff_ids: &[Digest],
    archive: &dyn Members,
) -> Result<Vec<Layer>, Vec<String>> {
    let mut layers = Vec::new();
    let mut problems = Vec::new();
    let mut claimed: HashMap<Place, Digest> = HashMap::new();
    for (name, diff_id) in names.iter().zip(diff_ids) {
        match read_layer(name, diff_id.clone(), archive) {
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

pub(crate) fn head(stored: &Stored) -> Result<Vec<u8>, String> {
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

#[cfg(test)]
mod tests {
    use std::io::{self, Read};
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::image::source::Source;

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

    /// One config under every name, counting how often it is read.
    struct Aliased {
        bytes: Arc<[u8]>,
        reads: AtomicUsize,
    }

    impl Source for Aliased {
        fn path(&self) -> &Path {
            Path::new("aliased.tar")
        }

        fn open(&self, _: &Place, offset: u64) -> io::Result<Box<dyn Read + Send>> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.bytes.open(offset)
        }
    }

    impl Members for Arc<Aliased> {
        fn member(&self, _: &str) -> Result<Stored, String> {
            let place = Place::Extent { offset: 512 };
            let size = self.bytes.len() as u64;
            Ok(Stored::new(
                Arc::clone(self) as Arc<dyn Source>,
                place,
                size,
            ))
        }
    }

    #[test]
    fn a_config_of_many_items_is_read_once_under_whatever_names() {
        let source = Arc::new(Aliased {
            bytes: br#"{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":[]}}"#[..].into(),
            reads: AtomicUsize::default(),
        });
        let items: Vec<String> = (0..100).map(|n| format!(r#"{{"Config":"{n}"}}"#)).collect();
        let items = parse(format!("[{}]", items.join(",")).as_bytes()).unwrap();
        let mut configs = Configs::default();
        for item in items.into_iter().map(Result::unwrap) {
            let config = item.read_config(&source, &mut configs).unwrap();
            let parts = item.parts(&config, &source).unwrap();
            assert_eq!(parts.platform.unwrap().to_string(), "linux/amd64");
        }
        assert_eq!(source.reads.load(Ordering::Relaxed), 1);
        // A name may still say what it is not.
        let lying = format!(r#"[{{"Config":"{}.json"}}]"#, "0".repeat(64));
        let lying = parse(lying.as_bytes()).unwrap().remove(0).unwrap();
        assert!(lying.read_config(&source, &mut configs).is_err());
    }
}
