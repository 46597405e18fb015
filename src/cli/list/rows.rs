//! What `hoist list` tells of each image.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::image::digest::Digest;
use crate::image::discover::Broken;
use crate::image::manifest::Body;
use crate::image::platform::Platform;
use crate::image::source::{Body as _, Content, Image, LayerForm, Node, Parts};

#[derive(Serialize)]
pub(super) struct Row {
    /// The file or folder it was found in.
    pub(super) source: String,
    pub(super) names: Vec<String>,
    pub(super) platforms: Vec<String>,
    /// Different ones.
    pub(super) layers: usize,
    /// Stored bytes.
    pub(super) size: u64,
    /// Of the root manifest; none where that is made while it is pushed.
    pub(super) digest: Option<String>,
    pub(super) media_type: Option<String>,
    /// Digest of the config, where there is no manifest yet.
    pub(super) config: Option<String>,
    /// With `--long`: everything it is made of, what is referred to before what refers to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) blobs: Option<Vec<BlobRow>>,
}

/// A blob or manifest of an image, each once.
#[derive(Serialize)]
pub(super) struct BlobRow {
    pub(super) kind: Kind,
    /// None where it is made while it is pushed.
    pub(super) digest: Option<String>,
    /// Of the uncompressed layer, where there is no manifest yet.
    pub(super) diff_id: Option<String>,
    /// Stored bytes.
    pub(super) size: u64,
    /// None where a manifest that is still to be made will say it.
    pub(super) media_type: Option<String>,
    /// How a layer lies in an archive.
    pub(super) form: Option<&'static str>,
    /// Those that need it, attestations included.
    pub(super) platforms: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Config,
    Layer,
    Manifest,
    Index,
}

#[derive(Serialize)]
pub(super) struct BrokenRow {
    pub(super) source: String,
    pub(super) names: Vec<String>,
    pub(super) problems: Vec<String>,
}

impl Row {
    pub(super) fn of(image: &Image, long: bool) -> Self {
        let (digest, media_type, config) = match &image.content {
            Content::Found(tree) => {
                let root = &tree.root().manifest;
                let media_type = root.media_type().to_string();
                (Some(root.digest().to_string()), Some(media_type), None)
            }
            Content::Made(parts) => (None, None, Some(parts.config_digest.to_string())),
        };
        let mut platforms: Vec<String> = Vec::new();
        for platform in image.platforms() {
            let platform = platform.to_string();
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        Self {
            source: image.source.path().display().to_string(),
            names: image.names.iter().map(ToString::to_string).collect(),
            platforms,
            layers: layers(image),
            size: image.stored_size(),
            digest,
            media_type,
            config,
            blobs: long.then(|| blobs(image)),
        }
    }
}

impl BrokenRow {
    pub(super) fn of(broken: &Broken) -> Self {
        Self {
            source: broken.path.display().to_string(),
            names: broken.names.clone(),
            problems: broken.problems.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Different layers of all its platforms; attestations have none.
fn layers(image: &Image) -> usize {
    match &image.content {
        Content::Found(tree) => {
            let mut digests = HashSet::new();
            for node in &tree.nodes {
                let attestation = node.platform.as_ref().is_some_and(|p| p.is_unknown());
                if let (Body::Image { layers, .. }, false) = (node.manifest.body(), attestation) {
                    digests.extend(layers.iter().map(|layer| &layer.digest));
                }
            }
            digests.len()
        }
        Content::Made(parts) => {
            let diff_ids: HashSet<_> = parts.layers.iter().map(|layer| &layer.diff_id).collect();
            diff_ids.len()
        }
    }
}

fn blobs(image: &Image) -> Vec<BlobRow> {
    match &image.content {
        Content::Found(tree) => {
            let mut found = Blobs::default();
            tree.nodes.iter().for_each(|node| found.add_node(node));
            found.rows
        }
        Content::Made(parts) => made_blobs(parts),
    }
}

/// Blobs by digest, in the order found.
#[derive(Default)]
struct Blobs {
    rows: Vec<BlobRow>,
    known: HashMap<Digest, usize>,
}

impl Blobs {
    fn add_node(&mut self, node: &Node) {
        let manifest = &node.manifest;
        let config = match manifest.body() {
            Body::Image { config, .. } => Some(&config.digest),
            Body::Index { .. } => None,
        };
        let platform = node.platform.as_ref();
        for (descriptor, stored) in &node.blobs {
            let is_config = config == Some(&descriptor.digest);
            let kind = if is_config { Kind::Config } else { Kind::Layer };
            let media_type = descriptor.media_type.to_string();
            let row = BlobRow::found(kind, &descriptor.digest, stored.size(), media_type);
            self.add(&descriptor.digest, row, platform);
        }
        let kind = if manifest.media_type().is_index() {
            Kind::Index
        } else {
            Kind::Manifest
        };
        let size = manifest.bytes().len() as u64;
        let media_type = manifest.media_type().to_string();
        let row = BlobRow::found(kind, manifest.digest(), size, media_type);
        self.add(manifest.digest(), row, platform);
    }

    fn add(&mut self, digest: &Digest, row: BlobRow, platform: Option<&Platform>) {
        let at = *self.known.entry(digest.clone()).or_insert_with(|| {
            self.rows.push(row);
            self.rows.len() - 1
        });
        let platforms = &mut self.rows[at].platforms;
        if let Some(platform) = platform.map(Platform::to_string)
            && !platforms.contains(&platform)
        {
            platforms.push(platform);
        }
    }
}

impl BlobRow {
    fn found(kind: Kind, digest: &Digest, size: u64, media_type: String) -> Self {
        Self {
            kind,
            digest: Some(digest.to_string()),
            diff_id: None,
            size,
            media_type: Some(media_type),
            form: None,
            platforms: Vec::new(),
        }
    }
}

fn made_blobs(parts: &Parts) -> Vec<BlobRow> {
    let platforms: Vec<String> = parts.platform.iter().map(Platform::to_string).collect();
    let config = BlobRow {
        kind: Kind::Config,
        digest: Some(parts.config_digest.to_string()),
        diff_id: None,
        size: parts.config.len() as u64,
        media_type: None,
        form: None,
        platforms: platforms.clone(),
    };
    let mut rows = vec![config];
    let mut seen = HashSet::new();
    for layer in parts.layers.iter().filter(|l| seen.insert(&l.diff_id)) {
        let form = match layer.form {
            LayerForm::Plain => "tar",
            LayerForm::Gzip => "tar+gzip",
            LayerForm::Zstd => "tar+zstd",
        };
        rows.push(BlobRow {
            kind: Kind::Layer,
            digest: None,
            diff_id: Some(layer.diff_id.to_string()),
            size: layer.stored.size(),
            media_type: None,
            form: Some(form),
            platforms: platforms.clone(),
        });
    }
    rows
}
