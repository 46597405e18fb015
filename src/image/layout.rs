//! Images as folders: OCI layouts (image-spec 1.1, `image-layout.md`), and what `skopeo copy … dir:`
//! writes (containers/image `directory/directory_transport.go`): one image, `manifest.json` as the registry
//! had it, blobs beside it by the hex digits of their digests, further manifests as `HEX.manifest.json`.
//!
//! Blobs are found by `stat`, not by listing, so that a folder with many more of them than the images
//! need costs nothing. A symbolic link that leaves the layout is refused unless links are followed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::image::digest::Digest;
use crate::image::error::ImageError;
use crate::image::file::Positioned;
use crate::image::found::{Broken, Found};
use crate::image::manifest::{Descriptor, MAX_MANIFEST, Manifest};
use crate::image::oci::{self, Blobs, Listing, MAX_LIST, MISSING, STOPPED};
use crate::image::source::{Place, Source, Stored};

/// How a folder holds images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Oci,
    /// Of skopeo's `dir:`.
    Directory,
}

/// How the folder says that it holds images, whole or not; `None` when it does not.
pub(crate) fn form(dir: &Path) -> Option<Form> {
    let has = |name| dir.join(name).is_file();
    if has("oci-layout") || (has("index.json") && dir.join("blobs").is_dir()) {
        Some(Form::Oci)
    } else if has("manifest.json") && says_that_it_is_a_directory(dir) {
        Some(Form::Directory)
    } else {
        None
    }
}

fn says_that_it_is_a_directory(dir: &Path) -> bool {
    let path = dir.join("version");
    // It may be a fifo: of a folder that is no image nothing else is opened.
    if !path.is_file() {
        return false;
    }
    let mut start = [0; VERSION.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *VERSION
}

/// What the file `version` begins with.
const VERSION: &[u8; 29] = b"Directory Transport Version: ";

/// The images of a folder of this form.
pub(crate) fn read(
    dir: &Path,
    form: Form,
    follow_links: bool,
    stopped: &dyn Fn() -> bool,
) -> Result<Found, ImageError> {
    let path = dir.into();
    let mut reader = Reader {
        source: Arc::new(Folder { path, form }),
        real: fs::canonicalize(dir).map_err(|e| ImageError::unreadable(dir, &e))?,
        follow_links,
        stopped,
        folders: RefCell::default(),
        root: None,
    };
    let listing = match form {
        Form::Oci => reader
            .document("index.json", MAX_LIST)
            .and_then(|bytes| oci::read_index(&bytes, &reader))
            .map_err(|why| format!("index.json {why}")),
        Form::Directory => reader
            .directory()
            .map_err(|why| format!("manifest.json {why}")),
    };
    Ok(match listing {
        Ok(listing) => {
            let mut found = Found::default();
            let warning = |message| ImageError::broken(dir, message);
            found.warnings = listing.warnings.into_iter().map(warning).collect();
            for root in listing.roots {
                root.settle(&reader.source(), &mut found);
            }
            found
        }
        Err(problem) => Found {
            broken: vec![Broken::new(dir, Vec::new(), vec![problem])],
            ..Found::default()
        },
    })
}

/// A folder as a source of bytes.
struct Folder {
    path: PathBuf,
    form: Form,
}

impl Folder {
    fn blob_path(&self, digest: &Digest) -> PathBuf {
        if self.form == Form::Directory {
            let blob = self.path.join(digest.encoded());
            let manifest = || blob.with_extension("manifest.json");
            return Some(manifest())
                .filter(|path| path.exists())
                .unwrap_or(blob);
        }
        let folder = self.path.join("blobs").join(digest.algorithm_name());
        folder.join(digest.encoded())
    }

    fn at(&self, place: &Place, offset: u64) -> io::Result<Positioned> {
        let Place::Blob(digest) = place else {
            return Err(io::Error::other("a folder has no extents"));
        };
        let file = File::open(self.blob_path(digest))?;
        Ok(Positioned::new(file.into(), offset))
    }
}

impl Source for Folder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self, place: &Place, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.at(place, offset)?))
    }

    fn in_file(&self, place: &Place, offset: u64) -> io::Result<Option<Positioned>> {
        self.at(place, offset).map(Some)
    }
}

/// A folder that is being looked into.
struct Reader<'a> {
    source: Arc<Folder>,
    /// The folder itself, all links resolved.
    real: PathBuf,
    follow_links: bool,
    stopped: &'a dyn Fn() -> bool,
    /// Whether the folder of an algorithm lies inside the layout.
    folders: RefCell<HashMap<String, bool>>,
    /// The manifest of the one image that is here.
    root: Option<Manifest>,
}

impl Reader<'_> {
    fn directory(&mut self) -> Result<Listing, String> {
        let bytes = self.document("manifest.json", MAX_MANIFEST)?;
        let manifest = Manifest::parse(bytes, None, None).map_err(|error| error.to_string())?;
        let size = manifest.bytes().len() as u64;
        let media_type = manifest.media_type().as_str();
        let root = Descriptor::new(media_type, manifest.digest().clone(), size);
        self.root = Some(manifest);
        Ok(oci::read_one(root, self))
    }

    fn document(&self, name: &str, most: u64) -> Result<Vec<u8>, String> {
        let path = self.source.path.join(name);
        let size = self.regular_file(&path)?;
        if size > most {
            let most = most >> 20;
            return Err(format!("has {size} bytes, more than {most} MiB"));
        }
        let read = || {
            let mut bytes = Vec::new();
            File::open(&path)?.take(most).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map_err(|error| unreadable(&error))
    }

    /// The size of a file that may be read: a regular one, inside the layout or linked to with leave.
    fn regular_file(&self, path: &Path) -> Result<u64, String> {
        let mut metadata = fs::symlink_metadata(path).map_err(|error| unreadable(&error))?;
        if metadata.is_symlink() {
            if !self.is_inside(path) {
                return Err(LEAVES.into());
            }
            metadata = fs::metadata(path).map_err(|error| unreadable(&error))?;
        }
        if !metadata.is_file() {
            return Err("is no regular file".into());
        }
        Ok(metadata.len())
    }

    fn is_inside(&self, path: &Path) -> bool {
        // A link that leads nowhere leaves nothing; it is missing.
        self.follow_links || fs::canonicalize(path).map_or(true, |p| p.starts_with(&self.real))
    }
}

impl Blobs for Reader<'_> {
    fn source(&self) -> Arc<dyn Source> {
        Arc::clone(&self.source) as Arc<dyn Source>
    }

    fn find(&self, digest: &Digest) -> Result<Option<Stored>, String> {
        if (self.stopped)() {
            return Err(STOPPED.into());
        }
        if let Some(root) = self.root.as_ref().filter(|root| root.digest() == digest) {
            let place = Place::Inline(Arc::clone(root.bytes()));
            let size = root.bytes().len() as u64;
            return Ok(Some(Stored::new(self.source(), place, size)));
        }
        let path = self.source.blob_path(digest);
        let algorithm = digest.algorithm_name();
        let known = self.folders.borrow().get(algorithm).copied();
        let inside = known.unwrap_or_else(|| path.parent().is_none_or(|dir| self.is_inside(dir)));
        self.folders.borrow_mut().insert(algorithm.into(), inside);
        if !inside {
            return Err(LEAVES.into());
        }
        let place = Place::Blob(digest.clone());
        match self.regular_file(&path) {
            Ok(size) => Ok(Some(Stored::new(self.source(), place, size))),
            Err(why) if why == MISSING => Ok(None),
            Err(why) => Err(why),
        }
    }
}

const LEAVES: &str = "is a link that leaves the layout (--follow-links allows it)";

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => MISSING.into(),
        _ => format!("cannot be read: {error}"),
    }
}
