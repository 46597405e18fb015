//! Where bytes lie, and how they are read: again and again, from any offset, by several threads.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use crate::image::digest::Digest;
use crate::image::manifest::{self, Descriptor, Manifest};
use crate::image::name::FoundName;
use crate::image::platform::Platform;

pub use crate::image::file::Positioned;

/// A file or folder that holds images and gives out their bytes.
pub trait Source: Send + Sync {
    /// The path the user would recognise, for messages.
    fn path(&self) -> &Path;

    /// Reads what lies at `place`, from `offset` on. May be called by many threads at once.
    fn open(&self, place: &Place, offset: u64) -> io::Result<Box<dyn Read + Send>>;

    /// The same as a place in a file, where the bytes lie in one as they are: who sends them may leave
    /// the reading to the system.
    fn in_file(&self, _place: &Place, _offset: u64) -> io::Result<Option<Positioned>> {
        Ok(None)
    }

    /// Whether going back costs as much as reading from the start, as in a compressed archive: its
    /// blobs are best read one at a time, in the order of their [`Place::Extent`].
    fn is_sequential(&self) -> bool {
        false
    }
}

/// Where in a source some bytes lie.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A file of its own, named by digest.
    Blob(Digest),
    /// So many bytes into the file that is the source.
    Extent { offset: u64 },
    /// In the descriptor that names them.
    Inline(Arc<[u8]>),
    /// Not in the source: to be found at the target.
    Elsewhere,
}

/// Bytes in a source: `size` of them, no more and no fewer.
#[derive(Clone)]
pub struct Stored {
    source: Arc<dyn Source>,
    place: Place,
    size: u64,
}

impl Stored {
    pub fn new(source: Arc<dyn Source>, place: Place, size: u64) -> Self {
        Self {
            source,
            place,
            size,
        }
    }

    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the source holds the bytes.
    pub fn is_here(&self) -> bool {
        self.place != Place::Elsewhere
    }

    /// How many bytes there are from `offset` on.
    fn rest(&self, offset: u64) -> io::Result<u64> {
        self.size.checked_sub(offset).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "offset behind the end of the blob",
            )
        })
    }

    /// All the bytes, which must not be more than `limit`.
    pub(crate) fn read(&self, limit: u64) -> Result<Vec<u8>, String> {
        if self.size > limit {
            let (size, limit) = (self.size, limit >> 20);
            return Err(format!("has {size} bytes, more than {limit} MiB"));
        }
        let read = || {
            let mut bytes = Vec::with_capacity(usize::try_from(self.size).unwrap_or_default());
            self.open(0)?.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|error: io::Error| format!("cannot be read: {error}"))
    }
}

impl Body for Stored {
    fn size(&self) -> u64 {
        self.size
    }

    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let rest = self.rest(offset)?;
        let inner = match &self.place {
            Place::Inline(bytes) => bytes.open(offset)?,
            Place::Elsewhere => {
                let why = "the source does not hold it";
                return Err(io::Error::new(io::ErrorKind::NotFound, why));
            }
            Place::Blob(_) | Place::Extent { .. } => self.source.open(&self.place, offset)?,
        };
        Ok(Box::new(Exactly { inner, left: rest }))
    }

    fn in_file(&self, offset: u64) -> io::Result<Option<Positioned>> {
        self.rest(offset)?;
        match &self.place {
            Place::Inline(_) | Place::Elsewhere => Ok(None),
            Place::Blob(_) | Place::Extent { .. } => self.source.in_file(&self.place, offset),
        }
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes of {} at {:?}",
            self.size,
            self.source.path().display(),
            self.place
        )
    }
}

/// Bytes whose size is known before they are read, and that can be read again.
pub trait Body: Sync {
    fn size(&self) -> u64;

    /// A reader of exactly `size() - offset` bytes. One that would end early returns
    /// [`io::ErrorKind::UnexpectedEof`] instead: HTTP clients hang on a body that is too short.
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>>;

    /// Where these bytes lie, if that is in a file and as they are. It may end early: whoever takes
    /// them from there has to see to that.
    fn in_file(&self, _offset: u64) -> io::Result<Option<Positioned>> {
        Ok(None)
    }
}

impl Body for Arc<[u8]> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut cursor = io::Cursor::new(Arc::clone(self));
        cursor.set_position(offset);
        Ok(Box::new(cursor))
    }
}

/// Bytes whose size and digest are known only when all of them have been read.
pub trait Stream: Read + Send {
    /// What was read. An error when the end had not been reached.
    fn finish(self: Box<Self>) -> io::Result<Summary>;
}

/// What a [`Stream`] turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub digest: Digest,
    pub size: u64,
}

/// Something that makes the same [`Stream`] each time it is asked.
pub trait StreamBody: Sync {
    fn open(&self) -> io::Result<Box<dyn Stream>>;
}

/// One root with all it needs, and the names it goes by in its source.
#[derive(Clone)]
pub struct Image {
    /// The file or folder it was found in.
    pub source: Arc<dyn Source>,
    /// In the order found; empty when the source names it nowhere.
    pub names: Vec<FoundName>,
    pub content: Content,
}

#[derive(Clone)]
pub enum Content {
    /// Its manifests are in the source and are pushed byte for byte.
    Found(Tree),
    /// `manifest.json` of a docker-save archive: a manifest is made once its layers have digests.
    Made(Parts),
}

/// A manifest, or an index with everything below it.
#[derive(Clone)]
pub struct Tree {
    /// Children before parents, each once; the root is the last one. Never empty.
    pub nodes: Vec<Node>,
    /// Manifests that the nodes name and the source does not hold: to be found at the target, like
    /// blobs in [`Place::Elsewhere`].
    pub elsewhere: Vec<Descriptor>,
}

/// Something that a manifest names and the source does not hold. `Display` says what it is.
#[derive(Clone, Copy, Debug)]
pub struct Missing<'a> {
    pub role: Role,
    pub descriptor: &'a Descriptor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Index,
    Manifest,
    Config,
    Layer,
}

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.role {
            Role::Index => "index",
            Role::Manifest => "manifest",
            Role::Config => "config",
            Role::Layer => "layer",
        };
        write!(f, "{what} {}", self.descriptor.digest)
    }
}

#[derive(Clone)]
pub struct Node {
    pub manifest: Arc<Manifest>,
    /// The blobs of `manifest` that are to be pushed.
    pub blobs: Vec<(Descriptor, Stored)>,
    /// Layers that are not for registries, as far as their bytes are here.
    pub foreign: Vec<(Descriptor, Stored)>,
    /// As the index above says, else as the config says; none for an index.
    pub platform: Option<Platform>,
}

/// What `docker save` writes of an image: a config and layers without registry digests.
#[derive(Clone)]
pub struct Parts {
    pub config: Arc<[u8]>,
    pub config_digest: Digest,
    pub platform: Option<Platform>,
    /// Bottom layer first.
    pub layers: Vec<Layer>,
}

#[derive(Clone, Debug)]
pub struct Layer {
    pub stored: Stored,
    /// Digest of the uncompressed tar, as the config claims.
    pub diff_id: Digest,
    pub form: LayerForm,
}

/// How a layer's bytes lie in a docker archive, by their first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LayerForm {
    Plain,
    Gzip,
    Zstd,
}

impl Node {
    fn missing_blobs(&self) -> impl Iterator<Item = Missing<'_>> {
        let config = self.manifest.blobs().next().map(|config| &config.digest);
        let missing = self.blobs.iter().filter(|(_, stored)| !stored.is_here());
        missing.map(move |(descriptor, _)| {
            let role = match config == Some(&descriptor.digest) {
                true => Role::Config,
                false => Role::Layer,
            };
            Missing { role, descriptor }
        })
    }

    /// Whether the source holds the blobs it is to be pushed with.
    pub(crate) fn has_its_blobs(&self) -> bool {
        self.blobs.iter().all(|(_, stored)| stored.is_here())
    }

    /// Whether pushing it as it is would push uncompressed layers.
    pub(crate) fn has_plain_layers(&self) -> bool {
        match self.manifest.body() {
            manifest::Body::Image { layers, .. } => {
                layers.iter().any(|layer| layer.media_type.is_plain_layer())
            }
            manifest::Body::Index { .. } => false,
        }
    }
}

impl Image {
    /// What tells two images apart: the root's digest, or the config's of one whose manifest is
    /// still to be made.
    pub fn identity(&self) -> &Digest {
        match &self.content {
            Content::Found(tree) => tree.root().manifest.digest(),
            Content::Made(parts) => &parts.config_digest,
        }
    }

    /// Whether its source does not hold all of it.
    pub(crate) fn lacks_something(&self) -> bool {
        match &self.content {
            Content::Found(tree) => {
                !tree.elsewhere.is_empty() || !tree.nodes.iter().all(Node::has_its_blobs)
            }
            Content::Made(_) => false,
        }
    }

    /// The platforms it is for, in order, attestations left out.
    pub fn platforms(&self) -> Vec<&Platform> {
        let all: Vec<&Platform> = match &self.content {
            Content::Found(tree) => tree
                .nodes
                .iter()
                .filter_map(|n| n.platform.as_ref())
                .collect(),
            Content::Made(parts) => parts.platform.iter().collect(),
        };
        all.into_iter()
            .filter(|platform| !platform.is_unknown())
            .collect()
    }

    /// Bytes as stored in the source, each blob once, manifests included.
    pub fn stored_size(&self) -> u64 {
        match &self.content {
            Content::Found(tree) => tree.stored_size(),
            Content::Made(parts) => parts.stored_size(),
        }
    }
}

impl Tree {
    pub fn root(&self) -> &Node {
        self.nodes.last().expect("a tree has a root")
    }

    /// All that must be at the target already, each named once.
    pub fn missing(&self) -> Vec<Missing<'_>> {
        let manifests = self.elsewhere.iter().map(|descriptor| {
            let role = match descriptor.media_type.is_index() {
                true => Role::Index,
                false => Role::Manifest,
            };
            Missing { role, descriptor }
        });
        let blobs = self.nodes.iter().flat_map(Node::missing_blobs);
        let mut seen = HashSet::new();
        let named = manifests.chain(blobs);
        named
            .filter(|missing| seen.insert(&missing.descriptor.digest))
            .collect()
    }

    fn stored_size(&self) -> u64 {
        let mut seen = HashSet::new();
        let manifests: u64 = self
            .nodes
            .iter()
            .map(|n| n.manifest.bytes().len() as u64)
            .sum();
        let blobs = self.nodes.iter().flat_map(|node| &node.blobs);
        let blobs = blobs.filter(|(_, stored)| stored.is_here());
        let fresh = blobs.filter(|(descriptor, _)| seen.insert(&descriptor.digest));
        manifests + fresh.map(|(descriptor, _)| descriptor.size).sum::<u64>()
    }
}

impl Parts {
    fn stored_size(&self) -> u64 {
        let mut seen = HashSet::new();
        let layers = self.layers.iter();
        let fresh = layers.filter(|layer| seen.insert(&layer.diff_id));
        self.config.len() as u64 + fresh.map(|layer| layer.stored.size).sum::<u64>()
    }
}

/// Yields `left` bytes or an error: never fewer, never more.
struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buf.len());
        if most == 0 {
            return Ok(0);
        }
        match self.inner.read(&mut buf[..most])? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "the source ended {} bytes early: was it changed while it was read?",
                    self.left
                ),
            )),
            n => {
                self.left -= n as u64;
                Ok(n)
            }
        }
    }
}
