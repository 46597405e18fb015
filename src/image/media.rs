//! Media types, and the questions asked of them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::image::error::legible;

/// A media type as it was found, without parameters. Unknown ones are kept.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct MediaType(Arc<str>);

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";

impl MediaType {
    /// For a sentence: documents may call themselves anything, at any length.
    pub(crate) fn shown(&self) -> String {
        let cut: String = self.0.chars().take(100).collect();
        let more = if cut.len() < self.0.len() { "…" } else { "" };
        legible(&cut) + more
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A manifest of one image, OCI or Docker.
    pub fn is_manifest(&self) -> bool {
        matches!(self.as_str(), OCI_MANIFEST | DOCKER_MANIFEST)
    }

    /// A list of manifests, OCI or Docker.
    pub fn is_index(&self) -> bool {
        matches!(self.as_str(), OCI_INDEX | DOCKER_LIST)
    }

    /// A config that describes a container image, as opposed to an artifact of another kind.
    pub fn is_image_config(&self) -> bool {
        matches!(self.as_str(), OCI_CONFIG | DOCKER_CONFIG)
    }

    /// A layer that registries do not hold by default ("foreign", "non-distributable").
    pub fn is_foreign_layer(&self) -> bool {
        self.0
            .starts_with("application/vnd.oci.image.layer.nondistributable.")
            || self
                .0
                .starts_with("application/vnd.docker.image.rootfs.foreign.")
    }

    /// A layer that is a plain tar: pushing it as it is would push uncompressed data.
    pub fn is_plain_layer(&self) -> bool {
        matches!(self.as_str(), OCI_LAYER | DOCKER_LAYER)
    }
}

impl From<&str> for MediaType {
    fn from(text: &str) -> Self {
        Self(text.split(';').next().unwrap_or_default().trim().into())
    }
}

impl From<String> for MediaType {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
