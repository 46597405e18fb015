//! Digests that sources do not give: computed, made on the way, remembered from an earlier push.

use std::sync::Arc;

use crate::image::compress::Method;
use crate::image::digest::Digest;
use crate::image::manifest::{Manifest, ManifestError};
use crate::image::source::Summary;
use crate::push::made;
use crate::push::plan::{Blob, BlobId, BlobKey, Origin, Plan, PlannedContent, PlannedNode, Word};

/// What a plain layer becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compressed {
    pub(crate) diff_id: Digest,
    pub(crate) method: Method,
    pub(crate) summary: Summary,
}

impl Plan {
    /// Whether any layer has to be compressed where its repository lacks it.
    pub(crate) fn compresses(&self) -> bool {
        let compressed = |blob: &Blob| matches!(blob.origin, Origin::Compressed { .. });
        self.blobs.iter().any(compressed)
    }

    /// Takes what `find` knows of layers by `diff_id` and method for true until it turns out not to be.
    pub(crate) fn recall(&mut self, find: impl Fn(&Digest, Method) -> Option<Summary>) {
        for blob in &mut self.blobs {
            if let (
                Origin::Compressed {
                    diff_id, method, ..
                },
                None,
            ) = (&blob.origin, &blob.resolved)
                && let Some(Summary { digest, size }) = find(diff_id, *method)
            {
                blob.resolved = Some((digest, size));
                blob.word = Word::Cache;
            }
        }
    }

    /// Takes back what was recalled or told, and every manifest that was made.
    pub(crate) fn forget(&mut self) {
        self.listens = false;
        for blob in self.blobs.iter_mut().filter(|blob| blob.is_remembered()) {
            blob.resolved = None;
            blob.word = Word::Own;
        }
        for image in &mut self.images {
            if let Some(parts) = image.parts.take() {
                image.content = parts;
            }
        }
    }

    /// What became of the layers that are compressed, as far as it is known. Not what the registry says: others
    /// may have written that, and it need not be what this compressor makes.
    pub(crate) fn compressed(&self) -> Vec<Compressed> {
        let known = |blob: &Blob| {
            if blob.word == Word::Registry {
                return None;
            }
            let Origin::Compressed {
                diff_id, method, ..
            } = &blob.origin
            else {
                return None;
            };
            let (digest, size) = blob.resolved.clone()?;
            Some(Compressed {
                diff_id: diff_id.clone(),
                method: *method,
                summary: Summary { digest, size },
            })
        };
        self.blobs.iter().filter_map(known).collect()
    }

    /// The blobs of `image` whose digests must be computed before anything else can be done.
    pub(crate) fn unhashed(&self, image: usize) -> Vec<BlobId> {
        let PlannedContent::Parts { layers, .. } = &self.images[image].content else {
            return Vec::new();
        };
        let mut found: Vec<BlobId> = layers
            .iter()
            .copied()
            .filter(|&id| self.needs_hash(id))
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn needs_hash(&self, id: BlobId) -> bool {
        let blob = &self.blobs[id];
        blob.resolved.is_none() && matches!(blob.origin, Origin::Stored(_))
    }

    /// Notes what a blob turned out to be. Images that name it under another number, because its
    /// digest was not known, are told by [`Plan::settle`].
    pub(crate) fn resolve(&mut self, id: BlobId, digest: Digest, size: u64) {
        let known = self.known.entry(BlobKey::Digest(digest.clone()));
        let first = *known.or_insert(id);
        if !self.blobs[first].is_here() {
            self.blobs[first].origin = self.blobs[id].origin.clone();
        }
        self.blobs[id].resolved = Some((digest, size));
    }

    /// Makes the manifest of `image` when all its parts have digests; true when it has manifests
    /// now.
    ///
    /// # Errors
    /// A manifest that would be too large.
    pub(crate) fn settle(&mut self, image: usize) -> Result<bool, ManifestError> {
        let PlannedContent::Parts { config, layers } = self.images[image].content.clone() else {
            return Ok(true);
        };
        let canonical: Vec<BlobId> = layers.iter().map(|&id| self.canonical(id)).collect();
        let part = |id: BlobId| {
            let blob = &self.blobs[id];
            let (digest, size) = blob.resolved.clone()?;
            Some(made::Part {
                media_type: blob.media_type.clone(),
                digest,
                size,
            })
        };
        let parts: Option<Vec<made::Part>> = canonical.iter().map(|&id| part(id)).collect();
        let (Some(config_part), Some(layer_parts)) = (part(config), parts) else {
            self.images[image].content = PlannedContent::Parts {
                config,
                layers: canonical,
            };
            return Ok(false);
        };
        let manifest = made::manifest(self.format, &config_part, &layer_parts)?;
        self.replace_parts(image, Self::whole(Arc::new(manifest), config, canonical));
        Ok(true)
    }

    /// The content of an image of one manifest.
    pub(super) fn whole(
        manifest: Arc<Manifest>,
        config: BlobId,
        layers: Vec<BlobId>,
    ) -> PlannedContent {
        let mut blobs = vec![config];
        for id in layers {
            if !blobs.contains(&id) {
                blobs.push(id);
            }
        }
        PlannedContent::Manifests(Arc::new(vec![PlannedNode {
            manifest,
            blobs,
            children: Vec::new(),
            parents: Vec::new(),
        }]))
    }

    /// From now on `image` is `content`; what it was at first is kept.
    pub(super) fn replace_parts(&mut self, image: usize, content: PlannedContent) {
        let planned = &mut self.images[image];
        let before = std::mem::replace(&mut planned.content, content);
        planned.parts.get_or_insert(before);
    }

    /// The number under which a blob of the same digest was planned first.
    fn canonical(&self, id: BlobId) -> BlobId {
        let resolved = self.blobs[id].resolved.as_ref();
        let known =
            resolved.and_then(|(digest, _)| self.known.get(&BlobKey::Digest(digest.clone())));
        match (known, &self.blobs[id].origin) {
            (Some(&first), Origin::Stored(_)) => first,
            _ => id,
        }
    }
}
