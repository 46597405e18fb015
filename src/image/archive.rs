//! Archives, docker-save and OCI, read where they lie: indexed once, then by position. What differs
//! when they are compressed as a whole is in [`crate::image::packed`].
//!
//! An archive can be both: see [`crate::image::merge`].

use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use crate::image::digest::Digest;
use crate::image::docker::{self, Members};
use crate::image::error::{ErrorKind, ImageError};
use crate::image::file::{Positioned, SourceFile};
use crate::image::found::{Broken, Found, Watch};
use crate::image::magic;
use crate::image::merge::Merge;
use crate::image::oci::{self, Blobs, Listing, MAX_LIST, MISSING, STOPPED};
use crate::image::packed::{self, Form};
use crate::image::source::{Node, Place, Source, Stored};
use crate::image::tar_index::{Extent, Positions, TarIndex};

/// The images of an archive, plain or compressed as a whole.
///
/// # Errors
/// `NotAnImage` for a file that is none, `Unsupported` for one whose compression is not read.
pub(crate) fn read(path: &Path, watch: Watch<'_>) -> Result<Found, ImageError> {
    let file = SourceFile::open(path).map_err(|error| ImageError::unreadable(path, &error))?;
    read_file(file, watch)
}

/// [`read`] for a file that is known already.
pub(crate) fn read_file(file: SourceFile, watch: Watch<'_>) -> Result<Found, ImageError> {
    let path = file.path().to_path_buf();
    let unreadable = |error: io::Error| ImageError::unreadable(&path, &error);
    let refused = |kind, message: &str| Err(ImageError::new(kind, &path, message));
    if file.length() == 0 {
        return refused(ErrorKind::NotAnImage, "is empty");
    }
    // Held until it has been looked into, which opens it once.
    let open = file.file().map_err(unreadable)?;
    let mut head = [0; 8];
    let head_length = open.read_at(&mut head, 0).map_err(unreadable)?;
    let form = match magic::compression(&head[..head_length]) {
        None => None,
        Some("gzip") => Some(Form::Gzip),
        Some("zstd") => Some(Form::Zstd),
        Some(name) => {
            let message = format!(
                "is compressed with {name}, and only archives that are plain, gzip or zstd are read: decompress it first"
            );
            return refused(ErrorKind::Unsupported, &message);
        }
    };
    if let Some(form) = form {
        return packed::read(file, form, watch);
    }
    let index = TarIndex::read(&mut Positions::new(&open, file.length()), watch.stopped)
        .map_err(unreadable)?;
    let Some(index) = index else {
        return refused(ErrorKind::NotAnImage, "is no archive");
    };
    Archive::new(Arc::new(file), index, watch.stopped).images()
}

impl Source for SourceFile {
    fn path(&self) -> &Path {
        self.path()
    }

    fn open(&self, place: &Place, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.find(place, offset)?))
    }

    fn in_file(&self, place: &Place, offset: u64) -> io::Result<Option<Positioned>> {
        self.find(place, offset).map(Some)
    }
}

impl SourceFile {
    fn find(&self, place: &Place, offset: u64) -> io::Result<Positioned> {
        let Place::Extent { offset: start } = place else {
            return Err(no_files());
        };
        self.at(start.saturating_add(offset))
    }
}

/// Of a place that only a layout folder has.
pub(crate) fn no_files() -> io::Error {
    io::Error::other("an archive has no files of their own")
}

/// An archive that is being looked into.
pub(crate) struct Archive<'a> {
    source: Arc<dyn Source>,
    index: TarIndex,
    stopped: &'a dyn Fn() -> bool,
}

impl Members for Archive<'_> {
    fn member(&self, name: &str) -> Result<Stored, String> {
        if (self.stopped)() {
            return Err(STOPPED.into());
        }
        let extent = self.index.find(name)?.ok_or(MISSING)?;
        Ok(self.stored(extent))
    }
}

impl Blobs for Archive<'_> {
    fn find(&self, digest: &Digest) -> Result<Option<Stored>, String> {
        if (self.stopped)() {
            return Err(STOPPED.into());
        }
        let (algorithm, encoded) = (digest.algorithm_name(), digest.encoded());
        let found = self.index.find(&format!("blobs/{algorithm}/{encoded}"))?;
        if found.is_none() && self.index.damage().is_some() {
            // It may have been here: that is another thing than an archive of a part.
            return Err(MISSING.into());
        }
        Ok(found.map(|extent| self.stored(extent)))
    }

    fn source(&self) -> Arc<dyn Source> {
        Arc::clone(&self.source)
    }
}

impl<'a> Archive<'a> {
    pub(crate) fn new(
        source: Arc<dyn Source>,
        index: TarIndex,
        stopped: &'a dyn Fn() -> bool,
    ) -> Self {
        Self {
            source,
            index,
            stopped,
        }
    }

    fn stored(&self, extent: Extent) -> Stored {
        let place = Place::Extent {
            offset: extent.offset,
        };
        Stored::new(Arc::clone(&self.source), place, extent.size)
    }

    pub(crate) fn images(&self) -> Result<Found, ImageError> {
        let docker = self
            .list("manifest.json")
            .filter(|_| self.begins_as_list("manifest.json"));
        let docker =
            docker.filter(|list| list.as_ref().map_or(true, |bytes| docker::is_list(bytes)));
        let is_layout = self.index.has("oci-layout")
            || (self.index.has("index.json") && self.index.has_below("blobs/"));
        let oci = is_layout.then(|| self.list("index.json"));
        let oci = oci.map(|list| list.unwrap_or_else(|| Err("index.json is missing".into())));
        let mut found = match (docker, oci) {
            (None, None) => self.without_list()?,
            (None, Some(oci)) => self.oci_images(oci),
            (Some(docker), oci) => self.docker_images(docker, oci),
        };
        if self.index.outside() > 0 {
            let count = self.index.outside();
            found.warnings.push(self.warning(format!(
                "{count} members with names that lead out of the archive are passed over"
            )));
        }
        self.tell_damage(&mut found);
        Ok(found)
    }

    /// False when it is something else by its first bytes, all that is kept of it where the archive is
    /// compressed.
    fn begins_as_list(&self, name: &str) -> bool {
        let head = self.member(name).and_then(|stored| docker::head(&stored));
        head.map_or(true, |head| {
            head.trim_ascii().is_empty() || docker::is_list(&head)
        })
    }

    /// A member that lists images, if there is one.
    fn list(&self, name: &str) -> Option<Result<Vec<u8>, String>> {
        self.index.has(name).then(|| {
            self.member(name)
                .and_then(|stored| stored.read(MAX_LIST))
                .map_err(|why| format!("{name} {why}"))
        })
    }

    fn without_list(&self) -> Result<Found, ImageError> {
        let parts_of_images = self.index.looks_like_images();
        match self.index.damage() {
            // `manifest.json` tends to come last, so it is what a cut takes away.
            Some(_) if parts_of_images => {
                Ok(self.broken("has neither manifest.json nor index.json"))
            }
            Some(damage) => Err(self.not_an_image(format!("is a damaged tar file: {damage}"))),
            None if self.index.holds_archives() => Err(self.not_an_image(
                "is a tar file with archives in it, which are not looked into: unpack it first",
            )),
            None => Err(self.not_an_image("is a tar file without manifest.json or index.json")),
        }
    }

    fn oci_images(&self, list: Result<Vec<u8>, String>) -> Found {
        let listing = list.and_then(|bytes| self.listing(&bytes));
        listing.map_or_else(
            |why| self.broken(why),
            |listing| {
                let mut found = Found::default();
                found.warnings.extend(self.warnings(listing.warnings));
                for mut root in listing.roots {
                    let plain = root.nodes.iter().any(Node::has_plain_layers);
                    if plain && self.index.damage().is_some() {
                        // With it, the image would be another one: see `merge`.
                        let problem = "has plain layers, and manifest.json may be what is cut off";
                        root.problems.push(problem.into());
                    }
                    root.settle(&self.source, &mut found);
                }
                found
            },
        )
    }

    fn docker_images(
        &self,
        docker: Result<Vec<u8>, String>,
        oci: Option<Result<Vec<u8>, String>>,
    ) -> Found {
        let items = match docker.and_then(|bytes| docker::parse(&bytes)) {
            Ok(items) => items,
            Err(why) => return self.broken(why),
        };
        let mut found = Found::default();
        let listing = oci.map(|list| list.and_then(|bytes| self.listing(&bytes)));
        let listing = listing.unwrap_or_else(|| Ok(Listing::default()));
        let listing = listing.unwrap_or_else(|why| Listing {
            warnings: vec![format!("{why}; manifest.json is used")],
            roots: Vec::new(),
        });
        found.warnings.extend(self.warnings(listing.warnings));
        let mut merge = Merge::new(self, listing.roots);
        for item in items {
            merge.add_item(item);
        }
        found.add(merge.finish());
        found
    }

    fn listing(&self, bytes: &[u8]) -> Result<Listing, String> {
        oci::read_index(bytes, self).map_err(|why| format!("index.json {why}"))
    }

    /// Damage is why something is missing; where nothing is, it is worth a warning.
    fn tell_damage(&self, found: &mut Found) {
        let Some(damage) = self.index.damage() else {
            return;
        };
        let message = format!("the archive is damaged: {damage}");
        for broken in &mut found.broken {
            let problem = ImageError::broken(self.source.path(), message.clone());
            broken.problems.insert(0, problem);
        }
        if found.broken.is_empty() {
            found.warnings.push(self.warning(message));
        }
    }

    fn broken(&self, problem: impl Into<String>) -> Found {
        Found {
            broken: vec![self.broken_image(Vec::new(), vec![problem.into()])],
            ..Found::default()
        }
    }

    pub(crate) fn broken_image(&self, names: Vec<String>, problems: Vec<String>) -> Broken {
        Broken::new(self.source.path(), names, problems)
    }

    pub(crate) fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    fn not_an_image(&self, message: impl Into<String>) -> ImageError {
        ImageError::new(ErrorKind::NotAnImage, self.source.path(), message)
    }

    pub(crate) fn warning(&self, message: String) -> ImageError {
        ImageError::broken(self.source.path(), message)
    }

    fn warnings(&self, messages: Vec<String>) -> impl Iterator<Item = ImageError> {
        messages.into_iter().map(|message| self.warning(message))
    }
}
