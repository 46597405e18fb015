//! Manifests, indexes and the descriptors in them: raw bytes kept beside the parsed form.
//!
//! image-spec 1.1 `manifest.md`, `image-index.md`, `descriptor.md`; Docker image manifest V2
//! schema 2. Whatever is unknown in a document stays in its bytes and is not looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::image::digest::Digest;
use crate::image::error::json_error;
use crate::image::media::MediaType;
use crate::image::platform::Platform;

/// The largest manifest that registries take (distribution-spec 1.1, "Pushing Manifests"), in bytes.
pub const MAX_MANIFEST: u64 = 4 << 20;

/// A reference by digest to bytes of a stated size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: MediaType,
    pub digest: Digest,
    /// Length in bytes, as claimed; registries do not check it.
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub urls: Vec<String>,
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// The bytes themselves in base64, unchecked (image-spec 1.1 `descriptor.md`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<str>>,
}

impl Descriptor {
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            platform: None,
            artifact_type: None,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            data: None,
        }
    }

    /// Without the bytes, which are large and wanted once.
    pub(crate) fn without_data(mut self) -> Self {
        self.data = None;
        self
    }

    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }
}

/// One manifest or index: its exact bytes, their digest, and what they say.
#[derive(Clone, Debug)]
pub struct Manifest {
    bytes: Arc<[u8]>,
    digest: Digest,
    media_type: MediaType,
    body: Body,
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
}

#[derive(Clone, Debug)]
pub enum Body {
    Image {
        config: Descriptor,
        layers: Vec<Descriptor>,
    },
    Index {
        manifests: Vec<Descriptor>,
    },
}

/// Why bytes are no manifest. The text names what is wrong, not where the bytes came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError(String);

/// The union of what manifests and indexes hold; which one it is follows from the media type.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u64>,
    media_type: Option<MediaType>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
}

impl Manifest {
    /// Parses `bytes`, which a descriptor said to be of `media_type`; without one the document's own
    /// `mediaType` counts, and without that either what it holds.
    ///
    /// The digest is sha256 unless `named` says that the bytes go by another one, which is checked.
    pub fn parse(
        bytes: impl Into<Arc<[u8]>>,
        media_type: Option<&MediaType>,
        named: Option<&Digest>,
    ) -> Result<Self, ManifestError> {
        let bytes = bytes.into();
        if bytes.len() as u64 > MAX_MANIFEST {
            return Err(ManifestError(format!(
                "is larger than {} MiB",
                MAX_MANIFEST >> 20
            )));
        }
        let digest = checked_digest(&bytes, named)?;
        let document: Document = serde_json::from_slice(&bytes).map_err(|error| {
            ManifestError(format!("is no valid manifest: {}", json_error(&error)))
        })?;
        if document.schema_version != Some(2) {
            let found = document
                .schema_version
                .map_or("none".into(), |v| v.to_string());
            return Err(ManifestError(format!(
                "has schemaVersion {found}, only 2 can be pushed"
            )));
        }
        let media_type = agreed_media_type(&document, media_type)?;
        let Document {
            config,
            layers,
            manifests,
            subject,
            artifact_type,
            ..
        } = document;
        let body = parse_body(&media_type, config, layers, manifests)?;
        Ok(Self {
            bytes,
            digest,
            media_type,
            body,
            subject,
            artifact_type,
        })
    }

    /// The bytes, exactly as they were found or made.
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    pub fn body(&self) -> &Body {
        &self.body
    }

    pub fn subject(&self) -> Option<&Descriptor> {
        self.subject.as_ref()
    }

    pub fn artifact_type(&self) -> Option<&str> {
        self.artifact_type.as_deref()
    }

    /// Config first, then layers; for an index nothing.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, layers) = match &self.body {
            Body::Image { config, layers } => (Some(config), layers.as_slice()),
            Body::Index { .. } => (None, [].as_slice()),
        };
        config.into_iter().chain(layers)
    }

    /// Frees what descriptors hold of the bytes they describe; [`Manifest::bytes`] has it still.
    pub(crate) fn forget_data(&mut self) {
        match &mut self.body {
            Body::Image { config, layers } => {
                config.data = None;
                layers.iter_mut().for_each(|layer| layer.data = None);
            }
            Body::Index { manifests } => {
                manifests.iter_mut().for_each(|child| child.data = None);
            }
        }
    }

    /// The manifests that an index names; for an image nothing.
    pub fn children(&self) -> &[Descriptor] {
        match &self.body {
            Body::Image { .. } => &[],
            Body::Index { manifests } => manifests,
        }
    }

    /// Whether this is a container image or a list of them, as opposed to an artifact.
    pub fn is_image(&self) -> bool {
        match &self.body {
            Body::Image { config, .. } => {
                config.media_type.is_image_config()
                    && self.artifact_type().is_none_or(|kind| {
                        kind.is_empty() || MediaType::from(kind).is_image_config()
                    })
            }
            Body::Index { .. } => self.artifact_type().is_none_or(str::is_empty),
        }
    }
}

fn checked_digest(bytes: &[u8], named: Option<&Digest>) -> Result<Digest, ManifestError> {
    let Some(named) = named else {
        return Ok(Digest::of(bytes));
    };
    if named.algorithm().is_none() {
        let name = named.algorithm_name();
        return Err(ManifestError(format!(
            "has a digest of the unknown algorithm {name:?}"
        )));
    }
    if named.matches(bytes) {
        return Ok(named.clone());
    }
    Err(ManifestError(
        "has other content than its digest says".into(),
    ))
}

fn agreed_media_type(
    document: &Document,
    described: Option<&MediaType>,
) -> Result<MediaType, ManifestError> {
    match (described, &document.media_type) {
        (Some(outer), Some(inner)) if outer != inner => Err(ManifestError(format!(
            "says that it is {}, while its descriptor says {}",
            inner.shown(),
            outer.shown()
        ))),
        (Some(media_type), _) | (None, Some(media_type)) => Ok(media_type.clone()),
        (None, None) if document.manifests.is_some() => Ok(super::media::OCI_INDEX.into()),
        (None, None) => Ok(super::media::OCI_MANIFEST.into()),
    }
}

fn parse_body(
    media_type: &MediaType,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
) -> Result<Body, ManifestError> {
    if media_type.is_index() {
        let manifests = manifests.ok_or(ManifestError("has no manifests".into()))?;
        return Ok(Body::Index { manifests });
    }
    if !media_type.is_manifest() {
        return Err(ManifestError(format!(
            "has media type {}, which is no manifest",
            media_type.shown()
        )));
    }
    match (config, layers) {
        (Some(config), Some(layers)) => Ok(Body::Image { config, layers }),
        (None, _) => Err(ManifestError("has no config".into())),
        (_, None) => Err(ManifestError("has no layers".into())),
    }
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

impl std::fmt::Display for ManifestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ManifestError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_in_a_bounded_and_harmless_sentence() {
        let long = "x".repeat(100_000);
        let odd = "\\u001b[2J\\u202e";
        for (document, described) in [
            (
                format!(r#"{{"schemaVersion":2,"mediaType":"{odd}"}}"#),
                None,
            ),
            (
                format!(r#"{{"schemaVersion":2,"mediaType":"{long}"}}"#),
                None,
            ),
            (
                r#"{"schemaVersion":2,"mediaType":"a"}"#.into(),
                Some(long.as_str()),
            ),
            (
                r#"{"schemaVersion":2,"mediaType":"a"}"#.into(),
                Some("\u{7f}"),
            ),
            (format!(r#"{{"schemaVersion":"{long}"}}"#), None),
        ] {
            let described = described.map(MediaType::from);
            let error = Manifest::parse(document.into_bytes(), described.as_ref(), None);
            let error = error.unwrap_err().to_string();
            assert!(error.len() < 500, "{error}");
            assert!(
                !error.contains(['\u{1b}', '\u{202e}', '\u{7f}']),
                "{error:?}"
            );
        }
    }
}
