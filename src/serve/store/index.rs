//! `index.json` of a layout as a list of tagged manifests. Pure.
//!
//! Each tag is one entry. A manifest without a tag has an entry only when it refers to a subject:
//! signatures and the like are not reached in another way by whoever reads the layout, while children
//! of an index are reached through it and must not look like images of their own.

use serde::{Deserialize, Serialize};

use crate::image::digest::Digest;
use crate::image::manifest::{Descriptor, Manifest};
use crate::image::media::{MediaType, OCI_INDEX};
use crate::image::reference::{Repository, Tag};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    schema_version: u64,
    #[serde(default = "oci_index")]
    media_type: MediaType,
    manifests: Vec<Descriptor>,
}

/// image-spec 1.1, `annotations.md`.
const TAG: &str = "org.opencontainers.image.ref.name";
/// What containerd, and nerdctl with it, calls an image it imports.
const FULL_NAME: &str = "io.containerd.image.name";

fn oci_index() -> MediaType {
    OCI_INDEX.into()
}

impl Index {
    pub(super) fn new() -> Self {
        Self {
            schema_version: 2,
            media_type: oci_index(),
            manifests: Vec::new(),
        }
    }

    pub(super) fn tag(&self, tag: &Tag) -> Option<&Descriptor> {
        let has_it = |entry: &&Descriptor| entry.annotation(TAG) == Some(tag.as_str());
        self.manifests.iter().find(has_it)
    }

    pub(super) fn tags(&self) -> impl Iterator<Item = Tag> {
        let names = self.manifests.iter().filter_map(|e| e.annotation(TAG));
        names.filter_map(|name| Tag::parse(name).ok())
    }

    pub(super) fn names(&self, digest: &Digest) -> bool {
        self.manifests.iter().any(|entry| entry.digest == *digest)
    }

    /// Gives the tag to this manifest; the digest that had it before, when it was another.
    pub(super) fn set(
        &mut self,
        repository: &Repository,
        tag: &Tag,
        manifest: &Manifest,
    ) -> Option<Digest> {
        let mut entry = describe(manifest);
        let full_name = format!("localhost/{repository}:{tag}");
        entry.annotations.insert(TAG.into(), tag.to_string());
        entry.annotations.insert(FULL_NAME.into(), full_name);
        let before = self.untag(tag);
        self.manifests
            .retain(|e| e.digest != entry.digest || e.annotation(TAG).is_some());
        self.manifests.push(entry);
        before.filter(|digest| digest != manifest.digest())
    }

    /// The digest that had the tag.
    pub(super) fn untag(&mut self, tag: &Tag) -> Option<Digest> {
        let digest = self.tag(tag)?.digest.clone();
        self.manifests
            .retain(|entry| entry.annotation(TAG) != Some(tag.as_str()));
        Some(digest)
    }

    /// An entry without a name, unless there is one of any kind.
    pub(super) fn keep(&mut self, manifest: &Manifest) {
        if !self.names(manifest.digest()) {
            self.manifests.push(describe(manifest));
        }
    }

    pub(super) fn remove(&mut self, digest: &Digest) {
        self.manifests.retain(|entry| entry.digest != *digest);
    }
}

fn describe(manifest: &Manifest) -> Descriptor {
    let size = manifest.bytes().len() as u64;
    let media_type = manifest.media_type().as_str();
    let mut entry = Descriptor::new(media_type, manifest.digest().clone(), size);
    entry.artifact_type = manifest.artifact_type().map(str::to_string);
    entry
}
