//! What an `index.json` names: trees of manifests, each blob looked up in the layout around it.
//!
//! Folders and archives share this (image-spec 1.1, `image-layout.md`); they differ in how a blob is
//! found. Manifests are checked by their digests, blobs by being there in the size that their
//! descriptor claims, which registries do not check. Everything wrong with an image is collected.

mod tree;

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::image::digest::Digest;
use crate::image::error::json_error;
use crate::image::filter::complete;
use crate::image::found::{Broken, Found};
use crate::image::manifest::Descriptor;
use crate::image::media::MediaType;
use crate::image::name::{FoundName, Names};
use crate::image::oci::tree::{TreeReader, name_of};
use crate::image::source::{Content, Image, Node, Source, Stored, Tree};

/// The largest `index.json` or `manifest.json` that is read into memory, in bytes.
pub(crate) const MAX_LIST: u64 = 16 << 20;

/// What is said of a blob or member that is not there.
pub(crate) const MISSING: &str = "is missing";

/// Why a blob is not found once it is time to stop.
pub(crate) const STOPPED: &str = "was not looked for: interrupted";

/// The blobs of a layout.
pub(crate) trait Blobs {
    /// Where the blob lies, `None` when it is not here. The error ends a sentence that begins with what
    /// it is.
    fn find(&self, digest: &Digest) -> Result<Option<Stored>, String>;

    /// The file or folder that holds them.
    fn source(&self) -> Arc<dyn Source>;
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
    /// The manifests that nothing is wrong with, children first; with no problems all of them.
    pub(crate) nodes: Vec<Node>,
    /// The manifests that are not here.
    pub(crate) elsewhere: Vec<Descriptor>,
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

/// The image of one descriptor, if it is one.
pub(crate) fn read_one(descriptor: Descriptor, blobs: &dyn Blobs) -> Listing {
    Listing {
        roots: read_root(Entry::new(descriptor), blobs)
            .into_iter()
            .collect(),
        warnings: Vec::new(),
    }
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
            elsewhere: Vec::new(),
            problems: vec![problem],
        }
    }

    /// Adds it to what was found, as an image or as a broken one.
    pub(crate) fn settle(self, source: &Arc<dyn Source>, found: &mut Found) {
        if !self.problems.is_empty() {
            let (labels, problems) = (self.labels.clone(), self.into_problems());
            found
                .broken
                .push(Broken::new(source.path(), labels, problems));
            return;
        }
        found.images.push(Image {
            source: Arc::clone(source),
            names: self.names.clone(),
            content: Content::Found(self.into_tree()),
        });
    }

    /// Whether nothing is wrong with it, and all of it here.
    pub(crate) fn is_whole(&self) -> bool {
        let here = self.nodes.iter().all(Node::has_its_blobs);
        self.problems.is_empty() && self.elsewhere.is_empty() && here
    }

    /// Cuts an index down to the images in it that are whole; gives a sentence about it.
    pub(crate) fn keep_whole(&mut self) -> Option<String> {
        if !self.problems.is_empty() || self.is_whole() {
            return None;
        }
        let tree = Tree {
            nodes: std::mem::take(&mut self.nodes),
            elsewhere: std::mem::take(&mut self.elsewhere),
        };
        let (tree, note) = match complete(&tree) {
            Ok(None) => (tree, None),
            Ok(Some((smaller, note))) => (smaller, Some(note)),
            Err(problem) => {
                self.problems.push(problem);
                (tree, None)
            }
        };
        let digest = || tree.root().manifest.digest().to_string();
        let name = self.labels.first().cloned().unwrap_or_else(digest);
        Tree {
            nodes: self.nodes,
            elsewhere: self.elsewhere,
        } = tree;
        note.map(|note| format!("{name} {note}"))
    }

    /// All that is wrong or not here.
    pub(crate) fn into_problems(mut self) -> Vec<String> {
        let mut problems = std::mem::take(&mut self.problems);
        let tree = self.into_tree();
        let missing = tree.missing().into_iter();
        problems.extend(missing.map(|what| format!("{what} {MISSING}")));
        problems
    }

    pub(crate) fn into_tree(self) -> Tree {
        Tree {
            nodes: self.nodes,
            elsewhere: self.elsewhere,
        }
    }
}

/// `None` when the manifest says that it is no container image.
fn read_root(entry: Entry, blobs: &dyn Blobs) -> Option<Root> {
    let mut tree = TreeReader::new(blobs);
    let Entry {
        descriptor,
        names,
        labels,
    } = entry;
    let what = name_of(&descriptor);
    let manifest = tree.manifest(&descriptor).and_then(|manifest| {
        manifest.ok_or_else(|| format!("{what} {} {MISSING}", descriptor.digest))
    });
    match manifest {
        Ok(manifest) if manifest.subject().is_some() || !manifest.is_image() => return None,
        Ok(manifest) => tree.take(manifest, descriptor.platform, 0),
        Err(problem) => return Some(Root::broken(labels, problem)),
    };
    Some(Root {
        names: names.into_list(),
        labels,
        nodes: tree.nodes,
        elsewhere: tree.elsewhere,
        problems: tree.problems,
    })
}
