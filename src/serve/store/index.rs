//! `index.json` of a layout as a list of tagged manifests. Pure.
//!
//! Each tag is one entry. A manifest without a tag has an entry only when it refers to a subject:
//! signatures and the like are not reached in another way by whoever reads the layout, while children
//! of an index are reached through it and must not look like images of their own.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::image::digest::Digest;
use crate::image::error::json_error;
use crate::image::manifest::{Descriptor, Manifest};
use crate::image::media::{MediaType, OCI_INDEX};
use crate::image::reference::{Repository, Tag};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u64,
    #[serde(default = "oci_index")]
    media_type: MediaType,
    manifests: Vec<Descriptor>,
}

/// A repository can have very many tags, so what is asked often does not go through all of them.
pub(super) struct Index {
    document: Document,
    /// Where the first entry of each tag is.
    tags: HashMap<String, usize>,
    digests: HashMap<Digest, Entries>,
}

/// Of one digest.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Entries {
    #[default]
    Tagged,
    /// One of them without a tag.
    Untagged,
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
        Self::of(Document {
            schema_version: 2,
            media_type: oci_index(),
            manifests: Vec::new(),
        })
    }

    /// The error is what stands behind the path in a sentence.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let document = serde_json::from_slice(bytes);
        document.map(Self::of).map_err(|error| json_error(&error))
    }

    pub(super) fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&self.document)
    }

    fn of(document: Document) -> Self {
        let mut index = Self {
            document,
            tags: HashMap::new(),
            digests: HashMap::new(),
        };
        for at in 0..index.document.manifests.len() {
            index.note(at);
        }
        index
    }

    /// Takes an entry into the maps.
    fn note(&mut self, at: usize) {
        let entry = &self.document.manifests[at];
        let entries = self.digests.entry(entry.digest.clone()).or_default();
        match entry.annotation(TAG) {
            Some(tag) => _ = self.tags.entry(tag.to_owned()).or_insert(at),
            None => *entries = Entries::Untagged,
        }
    }

    fn push(&mut self, entry: Descriptor) {
        self.document.manifests.push(entry);
        self.note(self.document.manifests.len() - 1);
    }

    fn retain(&mut self, keep: impl Fn(&Descriptor) -> bool) {
        self.document.manifests.retain(keep);
        let document = std::mem::replace(&mut self.document, Self::new().document);
        *self = Self::of(document);
    }

    /// The digest that has the tag.
    pub(super) fn tag(&self, tag: &Tag) -> Option<&Digest> {
        let at = *self.tags.get(tag.as_str())?;
        Some(&self.document.manifests[at].digest)
    }

    pub(super) fn tags(&self) -> impl Iterator<Item = Tag> {
        self.tags.keys().filter_map(|name| Tag::parse(name).ok())
    }

    pub(super) fn names(&self, digest: &Digest) -> bool {
        self.digests.contains_key(digest)
    }

    /// Gives the tag to this manifest.
    pub(super) fn set(&mut self, repository: &Repository, tag: &Tag, manifest: &Manifest) {
        let mut entry = describe(manifest);
        let full_name = format!("localhost/{repository}:{tag}");
        entry.annotations.insert(TAG.into(), tag.to_string());
        entry.annotations.insert(FULL_NAME.into(), full_name);
        self.untag(tag);
        if self.digests.get(&entry.digest) == Some(&Entries::Untagged) {
            self.retain(|e| e.digest != entry.digest || e.annotation(TAG).is_some());
        }
        self.push(entry);
    }

    pub(super) fn untag(&mut self, tag: &Tag) {
        if self.tags.contains_key(tag.as_str()) {
            self.retain(|entry| entry.annotation(TAG) != Some(tag.as_str()));
        }
    }

    /// An entry without a name, unless there is one of any kind.
    pub(super) fn keep(&mut self, manifest: &Manifest) {
        if !self.names(manifest.digest()) {
            self.push(describe(manifest));
        }
    }

    pub(super) fn remove(&mut self, digest: &Digest) {
        self.retain(|entry| entry.digest != *digest);
    }
}

fn describe(manifest: &Manifest) -> Descriptor {
    let size = manifest.bytes().len() as u64;
    let media_type = manifest.media_type().as_str();
    let mut entry = Descriptor::new(media_type, manifest.digest().clone(), size);
    entry.artifact_type = manifest.artifact_type().map(str::to_string);
    entry
}
