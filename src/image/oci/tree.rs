//! The manifests below one root of a layout, each with its blobs: what is there, what the target must
//! have, and what is wrong.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::image::config::{Config, MAX_CONFIG};
use crate::image::digest::Digest;
use crate::image::error::json_error;
use crate::image::manifest::{Body, Descriptor, MAX_MANIFEST, Manifest};
use crate::image::oci::{Blobs, MISSING};
use crate::image::platform::Platform;
use crate::image::source::{Body as _, Node, Place, Stored};

/// The manifests of one image are all kept in memory: so many bytes at most.
const MAX_TREE: u64 = 64 << 20;

/// Indexes in indexes in indexes: two levels are what tools write.
const MAX_DEPTH: usize = 8;

/// More of one image that is not in its source is not looked for at the target.
const MAX_ELSEWHERE: usize = 1000;

/// A blob with where its bytes lie.
type Bytes = (Descriptor, Stored);

/// Reads the manifests below one root.
pub(super) struct TreeReader<'a> {
    blobs: &'a dyn Blobs,
    /// Whether what was read is whole.
    done: HashMap<Digest, bool>,
    /// Bytes of manifests that may still be read.
    left: u64,
    pub(super) nodes: Vec<Node>,
    pub(super) elsewhere: Vec<Descriptor>,
    elsewhere_left: usize,
    pub(super) problems: Vec<String>,
}

impl<'a> TreeReader<'a> {
    pub(super) fn new(blobs: &'a dyn Blobs) -> Self {
        Self {
            blobs,
            done: HashMap::new(),
            left: MAX_TREE,
            nodes: Vec::new(),
            elsewhere: Vec::new(),
            elsewhere_left: MAX_ELSEWHERE,
            problems: Vec::new(),
        }
    }

    /// `None` when it is not here.
    pub(super) fn manifest(&mut self, descriptor: &Descriptor) -> Result<Option<Manifest>, String> {
        let media_type = &descriptor.media_type;
        let what = name_of(descriptor);
        let Some(stored) = self.stored(what, descriptor)? else {
            return Ok(None);
        };
        let digest = &descriptor.digest;
        let size = stored.size();
        self.left = self
            .left
            .checked_sub(size.min(MAX_MANIFEST))
            .ok_or_else(|| {
                let most = MAX_TREE >> 20;
                format!("the manifests of the image have more than {most} MiB together")
            })?;
        stored
            .read(MAX_MANIFEST)
            .and_then(|bytes| {
                Manifest::parse(bytes, Some(media_type), Some(digest)).map_err(|e| e.to_string())
            })
            .map(Some)
            .map_err(|why| format!("{what} {digest} {why}"))
    }

    /// Takes a manifest with all below it; false when something is wrong with it.
    pub(super) fn take(
        &mut self,
        mut manifest: Manifest,
        said: Option<Platform>,
        depth: usize,
    ) -> bool {
        let before = self.problems.len();
        let parts = match manifest.body() {
            Body::Index { manifests } => {
                let mut whole = true;
                for child in manifests {
                    whole &= self.child(child, depth + 1);
                }
                whole.then(|| ((Vec::new(), Vec::new()), None))
            }
            Body::Image { config, .. } => {
                let parted = self.blobs(&manifest);
                let platform = said.or_else(|| self.platform(config, &parted.0));
                Some((parted, platform))
            }
        };
        let Some(((blobs, foreign), platform)) = parts.filter(|_| self.problems.len() == before)
        else {
            return false;
        };
        manifest.forget_data();
        self.nodes.push(Node {
            manifest: manifest.into(),
            blobs,
            foreign,
            platform,
        });
        true
    }

    fn child(&mut self, descriptor: &Descriptor, depth: usize) -> bool {
        if let Some(whole) = self.done.get(&descriptor.digest) {
            return *whole;
        }
        let manifest = if depth > MAX_DEPTH {
            let digest = &descriptor.digest;
            Err(format!(
                "index {digest} is nested more than {MAX_DEPTH} deep"
            ))
        } else {
            self.manifest(descriptor)
        };
        let whole = match manifest {
            Ok(Some(manifest)) => self.take(manifest, descriptor.platform.clone(), depth),
            Ok(None) => self.expect_manifest(descriptor),
            Err(problem) => {
                self.problems.push(problem);
                false
            }
        };
        self.done.insert(descriptor.digest.clone(), whole);
        whole
    }

    /// A manifest that is not here: the target may have it.
    fn expect_manifest(&mut self, descriptor: &Descriptor) -> bool {
        let media_type = &descriptor.media_type;
        let known = media_type.is_manifest() || media_type.is_index();
        match self.one_more_elsewhere() {
            Ok(()) if known => {
                self.elsewhere.push(descriptor.clone());
                return true;
            }
            Ok(()) => {
                let digest = &descriptor.digest;
                self.problems.push(format!("manifest {digest} {MISSING}"));
            }
            Err(problem) => self.problems.push(problem),
        }
        false
    }

    fn one_more_elsewhere(&mut self) -> Result<(), String> {
        let left = self.elsewhere_left.checked_sub(1);
        self.elsewhere_left = left
            .ok_or_else(|| format!("more than {MAX_ELSEWHERE} blobs and manifests are missing"))?;
        Ok(())
    }

    /// The blobs to push, and those that are not for registries; what is wrong with them goes to the
    /// problems, and then what is missing beside it too.
    fn blobs(&mut self, manifest: &Manifest) -> (Vec<Bytes>, Vec<Bytes>) {
        let mut seen = HashSet::new();
        let (mut blobs, mut foreign) = (Vec::new(), Vec::new());
        let mut said = Vec::new();
        let mut wrong = false;
        for (position, descriptor) in manifest.blobs().enumerate() {
            let what = if position == 0 { "config" } else { "layer" };
            let is_foreign = position > 0 && descriptor.media_type.is_foreign_layer();
            let stored = match self.stored_or_elsewhere(what, descriptor) {
                Ok(stored) => stored,
                Err(problem) => {
                    said.push(problem);
                    wrong = true;
                    continue;
                }
            };
            let is_here = stored.is_here();
            let pulled_elsewhere = is_foreign && !is_here && !descriptor.urls.is_empty();
            if pulled_elsewhere || !seen.insert(&descriptor.digest) {
                continue;
            }
            if !is_here {
                said.push(format!("{what} {} {MISSING}", descriptor.digest));
            }
            let list = if is_foreign && is_here {
                &mut foreign
            } else {
                &mut blobs
            };
            list.push((descriptor.clone().without_data(), stored));
        }
        if wrong {
            self.problems.append(&mut said);
        }
        if let Err(problem) = said.iter().try_for_each(|_| self.one_more_elsewhere()) {
            self.problems.push(problem);
            self.problems.append(&mut said);
        }
        (blobs, foreign)
    }

    fn stored_or_elsewhere(&self, what: &str, descriptor: &Descriptor) -> Result<Stored, String> {
        let stored = self.stored(what, descriptor)?;
        Ok(stored.unwrap_or_else(|| {
            let source = self.blobs.source();
            Stored::new(source, Place::Elsewhere, descriptor.size)
        }))
    }

    /// `None` when it is neither in the source nor in the descriptor.
    fn stored(&self, what: &str, descriptor: &Descriptor) -> Result<Option<Stored>, String> {
        let digest = &descriptor.digest;
        if digest.algorithm().is_none() {
            let name = digest.algorithm_name();
            return Err(format!(
                "{what} {digest} has a digest of the unknown algorithm {name:?}"
            ));
        }
        let found = self.blobs.find(digest);
        let Some(stored) = found.map_err(|why| format!("{what} {digest} {why}"))? else {
            let data = descriptor.data.as_deref();
            let inline = data.map(|text| self.inline(text, descriptor)).transpose();
            return inline.map_err(|why| format!("{what} {digest} is missing, and {why}"));
        };
        let (size, claimed) = (stored.size(), descriptor.size);
        if size != claimed {
            return Err(format!(
                "{what} {digest} has {size} bytes, its descriptor says {claimed}"
            ));
        }
        Ok(Some(stored))
    }

    /// The bytes that a descriptor holds itself; the document around it bounds them.
    fn inline(&self, text: &str, descriptor: &Descriptor) -> Result<Stored, String> {
        let bytes = STANDARD
            .decode(text)
            .map_err(|error| format!("the data in its descriptor is no base64: {error}"))?;
        let fits = bytes.len() as u64 == descriptor.size && descriptor.digest.matches(&bytes);
        if !fits {
            return Err("the data in its descriptor is not what that describes".into());
        }
        let place = Place::Inline(bytes.into());
        let source = self.blobs.source();
        Ok(Stored::new(source, place, descriptor.size))
    }

    /// What the config says, when the index above does not.
    fn platform(
        &mut self,
        config: &Descriptor,
        blobs: &[(Descriptor, Stored)],
    ) -> Option<Platform> {
        if !config.media_type.is_image_config() || config.size > MAX_CONFIG {
            return None;
        }
        let (_, stored) = blobs.iter().find(|(d, _)| d.digest == config.digest)?;
        if !stored.is_here() {
            return None;
        }
        let parsed = stored.read(MAX_CONFIG).and_then(|bytes| {
            Config::parse(&bytes).map_err(|e| format!("is no config: {}", json_error(&e)))
        });
        match parsed {
            Ok(known) => known.platform(),
            Err(why) => {
                self.problems
                    .push(format!("config {} {why}", config.digest));
                None
            }
        }
    }
}

pub(super) fn name_of(descriptor: &Descriptor) -> &'static str {
    match descriptor.media_type.is_index() {
        true => "index",
        false => "manifest",
    }
}
