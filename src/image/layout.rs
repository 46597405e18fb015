//! OCI layout folders (image-spec 1.1, `image-layout.md`).
//!
//! Blobs are found by `stat`, not by listing, so that a folder with many more of them than the images
//! need costs nothing. A symbolic link that leaves the layout is refused unless links are followed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::image::digest::Digest;
use crate::image::error::ImageError;
use crate::image::found::{Broken, Found};
use crate::image::oci::{self, Blobs, MAX_LIST, MISSING, STOPPED};
use crate::image::source::{Place, Source, Stored};

/// Whether the folder says that it is a layout, whole or not.
pub(crate) fn is_layout(dir: &Path) -> bool {
    dir.join("oci-layout").is_file()
        || (dir.join("index.json").is_file() && dir.join("blobs").is_dir())
}

/// The images of a layout folder.
pub(crate) fn read(
    dir: &Path,
    follow_links: bool,
    stopped: &dyn Fn() -> bool,
) -> Result<Found, ImageError> {
    let reader = Reader {
        source: Arc::new(Folder { path: dir.into() }),
        real: fs::canonicalize(dir).map_err(|e| ImageError::unreadable(dir, &e))?,
        follow_links,
        stopped,
        folders: RefCell::default(),
    };
    let listing = reader
        .index_json()
        .and_then(|bytes| oci::read_index(&bytes, &reader))
        .map_err(|why| format!("index.json {why}"));
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

/// A layout folder as a source of bytes.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn blob_path(&self, digest: &Digest) -> PathBuf {
        let folder = self.path.join("blobs").join(digest.algorithm_name());
        folder.join(digest.encoded())
    }
}

impl Source for Folder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self, place: &Place, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let Place::Blob(digest) = place else {
            return Err(io::Error::other("a folder has no extents"));
        };
        let mut file = File::open(self.blob_path(digest))?;
        if offset > 0 {
            file.seek(SeekFrom::Start(offset))?;
        }
        Ok(Box::new(file))
    }
}

/// A layout folder that is being looked into.
struct Reader<'a> {
    source: Arc<Folder>,
    /// The folder itself, all links resolved.
    real: PathBuf,
    follow_links: bool,
    stopped: &'a dyn Fn() -> bool,
    /// Whether the folder of an algorithm lies inside the layout.
    folders: RefCell<HashMap<String, bool>>,
}

impl Reader<'_> {
    fn index_json(&self) -> Result<Vec<u8>, String> {
        let path = self.source.path.join("index.json");
        let size = self.regular_file(&path)?;
        if size > MAX_LIST {
            let most = MAX_LIST >> 20;
            return Err(format!("has {size} bytes, more than {most} MiB"));
        }
        let read = || {
            let mut bytes = Vec::new();
            File::open(&path)?.take(MAX_LIST).read_to_end(&mut bytes)?;
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
