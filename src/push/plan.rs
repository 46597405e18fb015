//! Images to work: every blob once, every manifest after what it names, every repository apart.
//!
//! Pure: nothing is read and nothing is sent while a plan is made.

mod digests;
pub(crate) mod former;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::image::compress::Method;
use crate::image::digest::Digest;
use crate::image::manifest::Manifest;
use crate::image::name::Target;
use crate::image::reference::{Host, Repository, Tag};
use crate::image::source::{
    Body as _, Content, Image, LayerForm, Missing, Parts, Place, Role, Stored, Tree,
};
use crate::observe::event::Event;
use crate::push::lanes::Spot;
use crate::push::made;
use crate::push::operation::{Compression, Format};

pub(crate) use crate::push::plan::digests::Compressed;

/// An index into [`Plan::blobs`].
pub(crate) type BlobId = usize;
/// An index into [`Plan::repositories`].
pub(crate) type RepositoryId = usize;

/// What there is to do. Grows only where a manifest is made on the way.
pub(crate) struct Plan {
    pub(crate) images: Vec<PlannedImage>,
    pub(crate) blobs: Vec<Blob>,
    pub(crate) repositories: Vec<Repository>,
    format: Format,
    /// Where everything goes, for people.
    host: Host,
    /// What manifests in the registry say of layers is listened to.
    pub(crate) listens: bool,
    repository_ids: HashMap<Repository, RepositoryId>,
    known: HashMap<BlobKey, BlobId>,
}

pub(crate) struct PlannedImage {
    /// `host/repository:tag` of its first target, for people.
    pub(crate) name: String,
    /// The file or folder it was found in.
    pub(crate) source: PathBuf,
    pub(crate) content: PlannedContent,
    /// Of what its manifest was made, where it was.
    parts: Option<PlannedContent>,
    /// What its source lacks and its repositories must have.
    pub(crate) expected: Vec<Expected>,
    pub(crate) deliveries: Vec<Delivery>,
}

/// Something that a manifest names and its source does not hold.
pub(crate) struct Expected {
    /// "layer sha256:12ab…"
    pub(crate) label: String,
    pub(crate) is_foreign: bool,
    pub(crate) at: Expectation,
}

#[derive(Clone)]
pub(crate) enum Expectation {
    Manifest(Digest),
    /// Unless another source of the push has it.
    Blob(BlobId),
}

/// One image in one repository.
pub(crate) struct Delivery {
    pub(crate) repository: RepositoryId,
    /// Never empty.
    pub(crate) tags: Vec<Tag>,
}

#[derive(Clone)]
pub(crate) enum PlannedContent {
    /// Children before parents, the root last.
    Manifests(Arc<Vec<PlannedNode>>),
    /// A manifest is made when each of these has a digest.
    Parts { config: BlobId, layers: Vec<BlobId> },
}

pub(crate) struct PlannedNode {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) blobs: Vec<BlobId>,
    /// Positions in the same list.
    pub(crate) children: Vec<usize>,
    pub(crate) parents: Vec<usize>,
}

/// Bytes to bring into one or more repositories.
#[derive(Clone)]
pub(crate) struct Blob {
    pub(crate) origin: Origin,
    /// Digest and size in the registry, once known.
    pub(crate) resolved: Option<(Digest, u64)>,
    /// Who says so.
    pub(crate) word: Word,
    /// Bytes to be read for it.
    pub(crate) stored_size: u64,
    pub(crate) media_type: String,
}

/// Whose word it is what a blob is in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// The source's, or it was found out just now.
    Own,
    /// The cache's: that is what an earlier push made of it.
    Cache,
    /// That of a manifest in the registry: whoever pushed that has made it.
    Registry,
}

impl Blob {
    /// Whether that is what an earlier push made of it, and nothing of this one.
    pub(crate) fn is_remembered(&self) -> bool {
        self.word != Word::Own
    }

    /// Whether any source of the push has its bytes.
    pub(crate) fn is_here(&self) -> bool {
        self.origin.is_here()
    }
}

/// Where a blob's bytes come from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    Stored(Stored),
    Bytes(Arc<[u8]>),
    /// A plain layer that is compressed on the way.
    Compressed {
        stored: Stored,
        diff_id: Digest,
        method: Method,
    },
}

impl Origin {
    pub(crate) fn is_here(&self) -> bool {
        match self {
            Self::Stored(stored) => stored.is_here(),
            Self::Bytes(_) | Self::Compressed { .. } => true,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum BlobKey {
    Digest(Digest),
    Compressed {
        diff_id: Digest,
        method: Method,
    },
    /// What it is according to the registry. Apart from the others: it counts only for the images that heard it.
    Told {
        diff_id: Digest,
        method: Method,
        digest: Digest,
        size: u64,
    },
    /// Compressed bytes whose digest is still to be computed: told apart by where they lie.
    Unhashed {
        path: PathBuf,
        place: Place,
    },
}

impl PlannedContent {
    /// None while its manifest cannot be made yet.
    pub(crate) fn nodes(&self) -> &[PlannedNode] {
        match self {
            Self::Manifests(nodes) => nodes,
            Self::Parts { .. } => &[],
        }
    }

    /// Every blob of it; one that is named several times comes several times.
    pub(crate) fn blobs(&self) -> Box<dyn Iterator<Item = BlobId> + '_> {
        match self {
            Self::Manifests(nodes) => {
                Box::new(nodes.iter().flat_map(|node| node.blobs.iter().copied()))
            }
            Self::Parts { config, layers } => {
                Box::new(std::iter::once(*config).chain(layers.iter().copied()))
            }
        }
    }
}

impl Plan {
    pub(crate) fn new(format: Format, host: Host) -> Self {
        Self {
            images: Vec::new(),
            blobs: Vec::new(),
            repositories: Vec::new(),
            format,
            host,
            listens: true,
            repository_ids: HashMap::new(),
            known: HashMap::new(),
        }
    }

    /// Adds `image`, to be brought to `targets`; returns its number.
    pub(crate) fn add(
        &mut self,
        image: &Image,
        targets: &[Target],
        compression: Compression,
    ) -> usize {
        let content = match &image.content {
            Content::Found(tree) => PlannedContent::Manifests(Arc::new(self.add_tree(tree))),
            Content::Made(parts) => self.add_parts(parts, compression),
        };
        let first = targets.first();
        let name = first.map_or_else(String::new, |target| {
            format!("{}/{}:{}", self.host, target.repository, target.tag)
        });
        let expected = self.expected(image);
        let deliveries = self.deliveries(targets);
        self.images.push(PlannedImage {
            name,
            source: image.source.path().to_path_buf(),
            content,
            parts: None,
            expected,
            deliveries,
        });
        self.images.len() - 1
    }

    /// How much there is to do, where all is `verified` that too. Sizes of layers still to be compressed
    /// count as they are stored.
    pub(crate) fn announcement(&self, verified: bool) -> Event {
        let mut images_in: HashMap<RepositoryId, Vec<usize>> = HashMap::new();
        for (number, image) in self.images.iter().enumerate() {
            for delivery in &image.deliveries {
                images_in
                    .entry(delivery.repository)
                    .or_default()
                    .push(number);
            }
        }
        // An image may go to thousands of repositories: what it weighs is counted once.
        let alone: Vec<(usize, u64)> = (0..self.images.len())
            .map(|number| self.weight(&[number]))
            .collect();
        let (mut blobs, mut bytes) = (0, 0);
        for images in images_in.values() {
            let (count, size) = match images[..] {
                [number] => alone[number],
                _ => self.weight(images),
            };
            blobs += count;
            bytes += size;
        }
        Event::Planned {
            images: self.images.len(),
            blobs,
            bytes,
            read_back: if verified { bytes } else { 0 },
        }
    }

    /// The stored bytes of each image.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = u64> {
        (0..self.images.len()).map(|number| self.weight(&[number]).1)
    }

    /// How many blobs `images` have together, and their stored bytes.
    fn weight(&self, images: &[usize]) -> (usize, u64) {
        let all = images
            .iter()
            .flat_map(|&number| self.images[number].content.blobs());
        let blobs: HashSet<BlobId> = all.collect();
        let size = blobs.iter().map(|&blob| self.blobs[blob].stored_size).sum();
        (blobs.len(), size)
    }

    /// Where a blob lies in a source that has to be read in order.
    pub(crate) fn spot(&self, id: BlobId) -> Option<Spot> {
        let (Origin::Stored(stored) | Origin::Compressed { stored, .. }) = &self.blobs[id].origin
        else {
            return None;
        };
        let Place::Extent { offset } = *stored.place() else {
            return None;
        };
        let source = stored.source();
        source.is_sequential().then(|| Spot {
            lane: Arc::as_ptr(source).addr(),
            offset,
        })
    }

    /// `host/repository:tag`
    pub(crate) fn target_name(&self, repository: RepositoryId, tag: &Tag) -> String {
        format!("{}/{}:{tag}", self.host, self.repositories[repository])
    }

    fn expected(&self, image: &Image) -> Vec<Expected> {
        let Content::Found(tree) = &image.content else {
            return Vec::new();
        };
        let expect = |missing: &Missing<'_>| {
            let digest = missing.descriptor.digest.clone();
            let at = match missing.role {
                Role::Index | Role::Manifest => Expectation::Manifest(digest),
                Role::Config | Role::Layer => {
                    Expectation::Blob(*self.known.get(&BlobKey::Digest(digest))?)
                }
            };
            Some(Expected {
                label: missing.to_string(),
                is_foreign: missing.descriptor.media_type.is_foreign_layer(),
                at,
            })
        };
        tree.missing().iter().filter_map(expect).collect()
    }

    fn deliveries(&mut self, targets: &[Target]) -> Vec<Delivery> {
        let mut deliveries: Vec<Delivery> = Vec::new();
        let mut places: HashMap<RepositoryId, usize> = HashMap::new();
        let mut seen: HashSet<&Target> = HashSet::new();
        for target in targets.iter().filter(|target| seen.insert(*target)) {
            let repository = self.repository(&target.repository);
            let place = *places.entry(repository).or_insert_with(|| {
                deliveries.push(Delivery {
                    repository,
                    tags: Vec::new(),
                });
                deliveries.len() - 1
            });
            deliveries[place].tags.push(target.tag.clone());
        }
        deliveries
    }

    fn repository(&mut self, repository: &Repository) -> RepositoryId {
        *self
            .repository_ids
            .entry(repository.clone())
            .or_insert_with(|| {
                self.repositories.push(repository.clone());
                self.repositories.len() - 1
            })
    }

    fn add_tree(&mut self, tree: &Tree) -> Vec<PlannedNode> {
        let positions: HashMap<&Digest, usize> = (tree.nodes.iter().enumerate())
            .map(|(position, node)| (node.manifest.digest(), position))
            .collect();
        let mut nodes: Vec<PlannedNode> = Vec::with_capacity(tree.nodes.len());
        for node in &tree.nodes {
            let mut blobs: Vec<BlobId> = Vec::with_capacity(node.blobs.len());
            for (descriptor, stored) in &node.blobs {
                let id = self.blob(BlobKey::Digest(descriptor.digest.clone()), || Blob {
                    origin: Origin::Stored(stored.clone()),
                    resolved: Some((descriptor.digest.clone(), descriptor.size)),
                    word: Word::Own,
                    stored_size: if stored.is_here() { descriptor.size } else { 0 },
                    media_type: descriptor.media_type.to_string(),
                });
                if !blobs.contains(&id) {
                    blobs.push(id);
                }
            }
            let mut children: Vec<usize> = (node.manifest.children().iter())
                .filter_map(|child| positions.get(&child.digest).copied())
                .collect();
            children.sort_unstable();
            children.dedup();
            let manifest = Arc::clone(&node.manifest);
            nodes.push(PlannedNode {
                manifest,
                blobs,
                children,
                parents: Vec::new(),
            });
        }
        for parent in 0..nodes.len() {
            for child in nodes[parent].children.clone() {
                nodes[child].parents.push(parent);
            }
        }
        nodes
    }

    fn add_parts(&mut self, parts: &Parts, compression: Compression) -> PlannedContent {
        let config = self.blob(BlobKey::Digest(parts.config_digest.clone()), || Blob {
            origin: Origin::Bytes(Arc::clone(&parts.config)),
            resolved: Some((parts.config_digest.clone(), parts.config.len() as u64)),
            word: Word::Own,
            stored_size: parts.config.len() as u64,
            media_type: "config".into(),
        });
        let format = self.format;
        let layers = (parts.layers.iter())
            .map(|layer| {
                let media_type = made::layer_media_type(format, layer.form, compression).into();
                let stored = layer.stored.clone();
                let stored_size = stored.size();
                let diff_id = layer.diff_id.clone();
                let (key, origin, resolved) = match (layer.form, compression.method()) {
                    (LayerForm::Plain, None) => (
                        BlobKey::Digest(diff_id.clone()),
                        Origin::Stored(stored),
                        Some((diff_id, stored_size)),
                    ),
                    (LayerForm::Plain, Some(method)) => (
                        BlobKey::Compressed {
                            diff_id: diff_id.clone(),
                            method,
                        },
                        Origin::Compressed {
                            stored,
                            diff_id,
                            method,
                        },
                        None,
                    ),
                    (LayerForm::Gzip | LayerForm::Zstd, _) => (
                        BlobKey::Unhashed {
                            path: stored.source().path().to_path_buf(),
                            place: stored.place().clone(),
                        },
                        Origin::Stored(stored),
                        None,
                    ),
                };
                self.blob(key, || Blob {
                    origin,
                    resolved,
                    word: Word::Own,
                    stored_size,
                    media_type,
                })
            })
            .collect();
        PlannedContent::Parts { config, layers }
    }

    fn blob(&mut self, key: BlobKey, make: impl FnOnce() -> Blob) -> BlobId {
        let next = self.blobs.len();
        let id = *self.known.entry(key).or_insert(next);
        if id == next {
            self.blobs.push(make());
        } else if !self.blobs[id].is_here() {
            self.blobs[id] = make();
        }
        id
    }
}
