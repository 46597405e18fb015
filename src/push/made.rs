//! The manifest of an image that came without one: bytes that follow from its parts alone.
//!
//! image-spec 1.1 `manifest.md`; Docker image manifest V2 schema 2. Field order and form are part
//! of the digest, so they never change.

use serde::Serialize;

use crate::image::digest::Digest;
use crate::image::manifest::{Manifest, ManifestError};
use crate::image::media;
use crate::image::source::LayerForm;
use crate::push::operation::{Compression, Format};

/// One blob as a manifest names it.
pub(crate) struct Part {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: Entry<'a>,
    layers: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    media_type: &'a str,
    digest: &'a Digest,
    size: u64,
}

impl<'a> From<&'a Part> for Entry<'a> {
    fn from(part: &'a Part) -> Self {
        Self {
            media_type: &part.media_type,
            digest: &part.digest,
            size: part.size,
        }
    }
}

/// The media type of a layer of `form`, which is compressed by `compression` when it is plain.
/// Docker has no type for zstd; the unofficial one is what its peers write.
pub(crate) fn layer_media_type(
    format: Format,
    form: LayerForm,
    compression: Compression,
) -> &'static str {
    let sent = match (form, compression) {
        (LayerForm::Plain, Compression::Gzip { .. }) => LayerForm::Gzip,
        (LayerForm::Plain, Compression::Zstd { .. }) => LayerForm::Zstd,
        (form, _) => form,
    };
    match (format, sent) {
        (Format::Oci, LayerForm::Plain) => media::OCI_LAYER,
        (Format::Oci, LayerForm::Gzip) => media::OCI_LAYER_GZIP,
        (Format::Oci, LayerForm::Zstd) => media::OCI_LAYER_ZSTD,
        (Format::Docker, LayerForm::Plain) => media::DOCKER_LAYER,
        (Format::Docker, LayerForm::Gzip) => media::DOCKER_LAYER_GZIP,
        (Format::Docker, LayerForm::Zstd) => media::DOCKER_LAYER_ZSTD,
    }
}

/// The media types of a manifest and of its config.
pub(crate) fn document_types(format: Format) -> (&'static str, &'static str) {
    match format {
        Format::Oci => (media::OCI_MANIFEST, media::OCI_CONFIG),
        Format::Docker => (media::DOCKER_MANIFEST, media::DOCKER_CONFIG),
    }
}

/// The manifest over `config` and `layers`, bottom layer first.
///
/// # Errors
/// So many layers that the manifest is larger than registries take.
pub(crate) fn manifest(
    format: Format,
    config: &Part,
    layers: &[Part],
) -> Result<Manifest, ManifestError> {
    let (media_type, config_type) = document_types(format);
    let document = Document {
        schema_version: 2,
        media_type,
        config: Entry {
            media_type: config_type,
            digest: &config.digest,
            size: config.size,
        },
        layers: layers.iter().map(Entry::from).collect(),
    };
    let bytes = serde_json::to_vec(&document).expect("strings and numbers serialise");
    Manifest::parse(bytes, Some(&media_type.into()), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_fixed() {
        let part = |media_type: &str, text: &[u8]| Part {
            media_type: media_type.into(),
            digest: Digest::of(text),
            size: text.len() as u64,
        };
        let layer = part(media::OCI_LAYER_GZIP, b"layer");
        let made = manifest(Format::Oci, &part("config", b"config"), &[layer]).unwrap();
        let expected = concat!(
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
            r#""config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:b79606fb3afea5bd1609ed40b622142f1c98125abcfe89a76a661b0e8e343910","size":6},"#,
            r#""layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:dac1d7cfa95021764849fd102524e141488c5e3a90f861dbb5a12d9ac8584f85","size":5}]}"#,
        );
        assert_eq!(std::str::from_utf8(made.bytes()).unwrap(), expected);
    }

    #[test]
    fn layer_types_follow_format_and_form() {
        let gzip = Compression::Gzip { level: 2 };
        let zstd = Compression::Zstd { level: 3 };
        for (format, form, compression, expected) in [
            (Format::Oci, LayerForm::Plain, gzip, media::OCI_LAYER_GZIP),
            (
                Format::Oci,
                LayerForm::Plain,
                Compression::None,
                media::OCI_LAYER,
            ),
            (
                Format::Oci,
                LayerForm::Gzip,
                Compression::None,
                media::OCI_LAYER_GZIP,
            ),
            (Format::Oci, LayerForm::Zstd, gzip, media::OCI_LAYER_ZSTD),
            (Format::Oci, LayerForm::Plain, zstd, media::OCI_LAYER_ZSTD),
            (Format::Oci, LayerForm::Gzip, zstd, media::OCI_LAYER_GZIP),
            (
                Format::Docker,
                LayerForm::Plain,
                gzip,
                media::DOCKER_LAYER_GZIP,
            ),
            (
                Format::Docker,
                LayerForm::Plain,
                Compression::None,
                media::DOCKER_LAYER,
            ),
        ] {
            assert_eq!(layer_media_type(format, form, compression), expected);
        }
    }
}
