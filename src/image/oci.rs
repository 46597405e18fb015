//! What an `index.json` names: trees of manifests, each blob looked up in the layout around it.
//!
//! Folders and archives share this (image-spec 1.1, `image-layout.md`); they differ in how a blob is
//! found. Manifests are checked by their digests, blobs by being there in the size that their
//! descriptor claims, which registries do not check. Everything wrong with an image is collected.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::image::config::{Config, MAX_CONFIG};
use crate::image::digest::Digest;
use crate::image::found::{Broken, Found};
use crate::image::manifest::{Body, Descriptor, MAX_MANIFEST, Manifest};
use crate::image::media::MediaType;
use crate::image::name::{FoundName, Names};
use crate::image::platform::Platform;
use crate::image::source::{Body as _, Content, Image, Node, Source, Stored, Tree};

/// The largest `index.json` or `manifest.json` that is read into memory, in bytes.
pub(crate) const MAX_LIST: u64 = 16 << 20;

/// The manifests of one image are all kept in memory: so many bytes at most.
const MAX_TREE: u64 = 64 << 20;

/// Indexes in indexes in indexes: two levels are what tools write.
const MAX_DEPTH: usize = 8;

/// Why a blob is not found once it is time to stop.
pub(crate) const STOPPED: &str = "was not looked for: interrupted";

/// The blobs of a layout.
pub(crate) trait Blobs {
    /// Where the blob lies. The error ends a sentence that begins with what it is.
    fn find(&self, digest: &Digest) -> Result<Stored, String>;
}

/// The images that an `index.json` lists, in its order, each digest once.
#[derive(Default)]
pub(crate) struct Listing {
    pub(crate) roots: Vec<Root>,
    pub(crate) warnings: Vec<String>,
}

/// An image of a layout, whole or not.
pub(crate) struct Root {
    pub(crate) names: Vec<FoundName>,
    /// The names as they are written, for messages.
    pub(crate) labels: Vec<String>,
    /// The manifests that have everything they need, children first; with no problems all of them.
    pub(crate) nodes: Vec<Node>,
    pub(crate) problems: Vec<String>,
}

#[derive(Deserialize)]
struct Index<'a> {
    // Null in what Docker 25 writes of an image saved by digest: github.com/moby/moby/issues/47210
    #[serde(borrow, default)]
    manifests: Option<Vec<&'a RawValue>>,
}

/// Told one by one; the others are counted. 16 MiB have room for millions.
const MAX_UNREADABLE: usize = 10;

/// An entry of `index.json`, those of one digest taken together.
struct Entry {
    descriptor: Descriptor,
    names: Names,
    labels: Vec<String>,
}

/// Reads `index.json`. The error ends a sentence that begins with the file's name.
pub(crate) fn read_index(bytes: &[u8], blobs: &dyn Blobs) -> Result<Listing, String> {
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err("is a list instead of an object".into());
    }
    let index: Index<'_> =
        serde_json::from_slice(bytes).map_err(|e| format!("cannot be read: {}", json_error(&e)))?;
    let mut listing = Listing::default();
    let entries = listing.take_entries(&index.manifests.unwrap_or_default());
    let any_named = entries.iter().any(|entry| !entry.labels.is_empty());
    for entry in entries {
        if any_named && entry.labels.is_empty() {
            continue;
        }
        listing.roots.extend(read_root(entry, blobs));
    }
    Ok(listing)
}

/// The sentence of a JSON error, which may quote what it found at any length.
pub(crate) fn json_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.chars().count() <= 200 {
        return text;
    }
    let start: String = text.chars().take(120).collect();
    let (line, column) = (error.line(), error.column());
    format!("{start}… at line {line} column {column}")
}

impl Listing {
    fn take_entries(&mut self, raw: &[&RawValue]) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut known: HashMap<Digest, usize> = HashMap::new();
        let mut unreadable = 0;
        for (position, json) in raw.iter().enumerate() {
            let descriptor = match serde_json::from_str::<Descriptor>(json.get()) {
                Ok(descriptor) => descriptor,
                Err(error) => {
                    unreadable += 1;
                    if unreadable <= MAX_UNREADABLE {
                        let number = position + 1;
                        let error = json_error(&error);
                        self.add_broken(format!(
                            "entry {number} of index.json cannot be read: {error}"
                        ));
                    }
                    continue;
                }
            };
            if !may_be_image(&descriptor) {
                continue;
            }
            let at = *known.entry(descriptor.digest.clone()).or_insert_with(|| {
                entries.push(Entry::new(descriptor.clone()));
                entries.len() - 1
            });
            self.warnings.extend(entries[at].add_name(&descriptor));
        }
        if unreadable > MAX_UNREADABLE {
            let more = unreadable - MAX_UNREADABLE;
            self.add_broken(format!("{more} more entries of index.json cannot be read"));
        }
        entries
    }

    fn add_broken(&mut self, problem: String) {
        self.roots.push(Root::broken(Vec::new(), problem));
    }
}

/// What the descriptor tells without a look at the manifest.
fn may_be_image(descriptor: &Descriptor) -> bool {
    let media_type = &descriptor.media_type;
    let artifact = descriptor.artifact_type.as_deref();
    (media_type.is_manifest() || media_type.is_index())
        && artifact.is_none_or(|kind| kind.is_empty() || MediaType::from(kind).is_image_config())
}

impl Entry {
    fn new(descriptor: Descriptor) -> Self {
        Self {
            descriptor,
            names: Names::default(),
            labels: Vec::new(),
        }
    }

    /// Takes the name that an entry of this digest has, if any; a name that is none is a warning.
    fn add_name(&mut self, descriptor: &Descriptor) -> Option<String> {
        let full = descriptor.annotation("io.containerd.image.name");
        let short = descriptor.annotation("org.opencontainers.image.ref.name");
        self.labels.extend(full.or(short).map(String::from));
        match FoundName::from_annotations(full, short) {
            Ok(name) => {
                name.into_iter().for_each(|name| self.names.add(name));
                None
            }
            Err(error) => Some(format!("a name in index.json is passed over: {error}")),
        }
    }
}

impl Root {
    fn broken(labels: Vec<String>, problem: String) -> Self {
        Self {
            names: Vec::new(),
            labels,
            nodes: Vec::new(),
            problems: vec![problem],
        }
    }

    /// Adds it to what was found, as an image or as a broken one.
    pub(crate) fn settle(self, source: &Arc<dyn Source>, found: &mut Found) {
        if !self.problems.is_empty() {
            let broken = Broken::new(source.path(), self.labels, self.problems);
            found.broken.push(broken);
            return;
        }
        found.images.push(Image {
            source: Arc::clone(source),
            names: self.names,
            content: Content::Found(Tree { nodes: self.nodes }),
        });
    }
}

/// `None` when the manifest says that it is no container image.
fn read_root(entry: Entry, blobs: &dyn Blobs) -> Option<Root> {
    let mut tree = TreeReader {
        blobs,
        done: HashMap::new(),
        left: MAX_TREE,
        nodes: Vec::new(),
        problems: Vec::new(),
    };
    let Entry {
        descriptor,
        names,
        labels,
    } = entry;
    match tree.manifest(&descriptor) {
        Ok(manifest) if manifest.subject().is_some() || !manifest.is_image() => return None,
        Ok(manifest) => tree.take(manifest, descriptor.platform, 0),
        Err(problem) => return Some(Root::broken(labels, problem)),
    };
    Some(Root {
        names: names.into_list(),
        labels,
        nodes: tree.nodes,
        problems: tree.problems,
    })
}

/// Reads the manifests below one root.
struct TreeReader<'a> {
    blobs: &'a dyn Blobs,
    /// Whether what was read is whole.
    done: HashMap<Digest, bool>,
    /// Bytes of manifests that may still be read.
    left: u64,
    nodes: Vec<Node>,
    problems: Vec<String>,
}

impl TreeReader<'_> {
    fn manifest(&mut self, descriptor: &Descriptor) -> Result<Manifest, String> {
        let media_type = &descriptor.media_type;
        let what = if media_type.is_index() {
            "index"
        } else {
            "manifest"
        };
        let stored = self.stored(what, descriptor)?;
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
            .map_err(|why| format!("{what} {digest} {why}"))
    }

    /// Takes a manifest with all below it; false when something is wrong with it.
    fn take(&mut self, manifest: Manifest, said: Option<Platform>, depth: usize) -> bool {
        let before = self.problems.len();
        let parts = match manifest.body() {
            Body::Index { manifests } => {
                let mut whole = true;
                for child in manifests {
                    whole &= self.child(child, depth + 1);
                }
                whole.then(|| (Vec::new(), None))
            }
            Body::Image { config, .. } => {
                let blobs = self.blobs(&manifest);
                let platform = said.or_else(|| self.platform(config, &blobs));
                Some((blobs, platform))
            }
        };
        let Some((blobs, platform)) = parts.filter(|_| self.problems.len() == before) else {
            return false;
        };
        self.nodes.push(Node {
            manifest: manifest.into(),
            blobs,
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
            Ok(manifest) => self.take(manifest, descriptor.platform.clone(), depth),
            Err(problem) => {
                self.problems.push(problem);
                false
            }
        };
        self.done.insert(descriptor.digest.clone(), whole);
        whole
    }

    /// The blobs to push; what is wrong with them goes to the problems.
    fn blobs(&mut self, manifest: &Manifest) -> Vec<(Descriptor, Stored)> {
        let mut seen = HashSet::new();
        let mut blobs = Vec::new();
        for (position, descriptor) in manifest.blobs().enumerate() {
            let what = if position == 0 { "config" } else { "layer" };
            if descriptor.media_type.is_foreign_layer() {
                continue;
            }
            match self.stored(what, descriptor) {
                Ok(stored) if seen.insert(&descriptor.digest) => {
                    blobs.push((descriptor.clone(), stored));
                }
                Ok(_) => {}
                Err(problem) => self.problems.push(problem),
            }
        }
        blobs
    }

    fn stored(&self, what: &str, descriptor: &Descriptor) -> Result<Stored, String> {
        let digest = &descriptor.digest;
        if digest.algorithm().is_none() {
            let name = digest.algorithm_name();
            return Err(format!(
                "{what} {digest} has a digest of the unknown algorithm {name:?}"
            ));
        }
        let stored = self
            .blobs
            .find(digest)
            .map_err(|why| format!("{what} {digest} {why}"))?;
        let (found, claimed) = (stored.size(), descriptor.size);
        if found != claimed {
            return Err(format!(
                "{what} {digest} has {found} bytes, its descriptor says {claimed}"
            ));
        }
        Ok(stored)
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
