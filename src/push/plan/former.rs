//! What a manifest that somebody pushed earlier says of layers that have no digest yet.
//!
//! It says so by the config it names, whose diff_ids are those of its layers, one by one. Nobody has checked that:
//! registries do not look into layers. Runtimes do when they unpack an image; so a lie makes one that cannot
//! be started, not one that is something else.

use std::collections::HashMap;
use std::sync::Arc;

use crate::image::compress::Method;
use crate::image::config::{Config, MAX_CONFIG};
use crate::image::digest::{Algorithm, Digest};
use crate::image::manifest::{Body, Descriptor, Manifest};
use crate::image::media::{self, MediaType};
use crate::push::made;
use crate::push::plan::{BlobId, BlobKey, Origin, Plan, PlannedContent, Word};

/// Less is compressed sooner than a config is read from afar, in bytes.
const WORTH_READING: u64 = 1 << 20;

/// How to learn the diff_ids of a manifest's layers.
pub(crate) enum DiffIds {
    Known(Vec<Digest>),
    /// From the config of that digest.
    In(Digest),
}

impl Plan {
    /// Takes `manifest` for that of `image`, if it has the config, the media types and as many layers as asked for.
    pub(crate) fn adopt(&mut self, image: usize, manifest: &Arc<Manifest>) -> bool {
        let Some((config, layers)) = self.parts_of(image) else {
            return false;
        };
        let Some((found_config, found)) = named_in(manifest) else {
            return false;
        };
        let fits = |(&id, descriptor): (&BlobId, &Descriptor)| {
            let same_type = self.blobs[id].media_type == descriptor.media_type.as_str();
            same_type && (self.is_known_as(id, descriptor) || self.may_be(id, descriptor))
        };
        let (media_type, config_type) = made::document_types(self.format);
        let is_it = manifest.media_type().as_str() == media_type
            && manifest.subject().is_none()
            && found_config.media_type.as_str() == config_type
            && self.is_known_as(config, found_config)
            && layers.len() == found.len()
            && layers.iter().zip(found).all(fits);
        if is_it {
            let pairs = layers.into_iter().zip(found);
            let told = pairs.map(|(id, layer)| self.told(id, layer)).collect();
            self.replace_parts(image, Self::whole(Arc::clone(manifest), config, told));
        }
        is_it
    }

    /// How to find out what `manifest` says of layers of `image`, where that may be worth it.
    pub(crate) fn diff_ids(&self, image: usize, manifest: &Manifest) -> Option<DiffIds> {
        let (config, mut layers) = self.parts_of(image)?;
        let (found_config, found) = named_in(manifest)?;
        layers.retain(|&id| self.blobs[id].resolved.is_none());
        layers.sort_unstable();
        layers.dedup();
        let sizes = layers.iter().map(|&id| self.blobs[id].stored_size);
        let helps = |descriptor: &Descriptor| layers.iter().any(|&id| self.may_be(id, descriptor));
        if sizes.sum::<u64>() < WORTH_READING || !found.iter().any(helps) {
            return None;
        }
        if let Origin::Bytes(bytes) = &self.blobs[config].origin
            && found_config.digest.matches(bytes)
        {
            let ours = Config::parse(bytes).ok()?;
            return Some(DiffIds::Known(ours.into_diff_ids()));
        }
        let fits = found_config.size <= MAX_CONFIG;
        fits.then(|| DiffIds::In(found_config.digest.clone()))
    }

    /// Takes the layers of `manifest`, which have these `diff_ids`, for what those of `image` become, until it turns
    /// out that they are not.
    pub(crate) fn listen(&mut self, image: usize, manifest: &Manifest, diff_ids: &[Digest]) {
        let Some((config, mut layers)) = self.parts_of(image) else {
            return;
        };
        let Some((_, found)) = named_in(manifest).filter(|(_, f)| f.len() == diff_ids.len()) else {
            return;
        };
        let found: HashMap<&Digest, &Descriptor> = diff_ids.iter().zip(found).collect();
        for id in &mut layers {
            let blob = &self.blobs[*id];
            if let (Origin::Compressed { diff_id, .. }, None) = (&blob.origin, &blob.resolved)
                && let Some(layer) = found.get(diff_id)
                && self.may_be(*id, layer)
            {
                *id = self.told(*id, layer);
            }
        }
        self.replace_parts(image, PlannedContent::Parts { config, layers });
    }

    /// Config and layers of an image without a manifest.
    fn parts_of(&self, image: usize) -> Option<(BlobId, Vec<BlobId>)> {
        match &self.images[image].content {
            PlannedContent::Parts { config, layers } => Some((*config, layers.clone())),
            PlannedContent::Manifests(_) => None,
        }
    }

    fn is_known_as(&self, id: BlobId, found: &Descriptor) -> bool {
        let known = self.blobs[id].resolved.as_ref();
        known.is_some_and(|(digest, size)| (digest, *size) == (&found.digest, found.size))
    }

    /// Whether a layer could have become that, by whatever compressor.
    fn may_be(&self, id: BlobId, found: &Descriptor) -> bool {
        let blob = &self.blobs[id];
        let Origin::Compressed { method, .. } = &blob.origin else {
            return false;
        };
        // Neither gzip nor zstd makes anything much larger.
        let most = blob.stored_size.saturating_add(blob.stored_size / 8);
        is_made_by(*method, &found.media_type)
            && found.digest.algorithm() == Some(Algorithm::Sha256)
            && (1..=most.saturating_add(64 << 10)).contains(&found.size)
    }

    /// The number of a layer as it is according to the registry.
    fn told(&mut self, id: BlobId, found: &Descriptor) -> BlobId {
        let blob = &self.blobs[id];
        let Origin::Compressed {
            diff_id, method, ..
        } = &blob.origin
        else {
            return id;
        };
        if self.is_known_as(id, found) {
            return id;
        }
        let key = BlobKey::Told {
            diff_id: diff_id.clone(),
            method: *method,
            digest: found.digest.clone(),
            size: found.size,
        };
        let mut told = blob.clone();
        told.resolved = Some((found.digest.clone(), found.size));
        told.word = Word::Registry;
        self.blob(key, || told)
    }
}

/// Whether layers of that media type were made by `method`, at whatever level.
fn is_made_by(method: Method, media_type: &MediaType) -> bool {
    let types = match method {
        Method::Gzip { .. } => [media::OCI_LAYER_GZIP, media::DOCKER_LAYER_GZIP],
        Method::Zstd { .. } => [media::OCI_LAYER_ZSTD, media::DOCKER_LAYER_ZSTD],
    };
    types.contains(&media_type.as_str())
}

/// Config and layers of a manifest.
fn named_in(manifest: &Manifest) -> Option<(&Descriptor, &[Descriptor])> {
    match manifest.body() {
        Body::Image { config, layers } => Some((config, layers)),
        Body::Index { .. } => None,
    }
}
