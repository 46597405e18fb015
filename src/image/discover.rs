//! From the paths a user typed to images: recognises by content, walks folders, reports the rest.

use std::collections::HashSet;
use std::fs::{self, DirEntry, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

pub use crate::image::found::{Broken, Found, News, Watch};

use crate::image::error::{ErrorKind, ImageError};
use crate::image::{archive, layout};

/// Where `hoist serve` keeps uploads that are not finished: never images.
const UNFINISHED: &str = "_uploads";

#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Follow symbolic links met in a walk, never in loops.
    pub follow_links: bool,
}

/// Finds the images in `path`: an archive, a layout, or a folder of these, which is searched in the
/// order of names.
///
/// # Errors
/// When `path` itself cannot be read, is a file of a form that is refused, or a file that holds no
/// image. A readable folder without any image is `Ok` with nothing in it.
pub fn discover(path: &Path, options: Options) -> Result<Found, ImageError> {
    discover_until(path, options, &|| false)
}

/// [`discover`], which soon gives up once `stopped` says true: what it returns then is not all there is.
///
/// # Errors
/// Those of [`discover`].
pub fn discover_until(
    path: &Path,
    options: Options,
    stopped: &dyn Fn() -> bool,
) -> Result<Found, ImageError> {
    let telling = &|_: News<'_>| {};
    discover_watched(path, options, Watch { stopped, telling })
}

/// [`discover_until`], which tells how far it is where it takes long.
///
/// # Errors
/// Those of [`discover`].
pub fn discover_watched(
    path: &Path,
    options: Options,
    watch: Watch<'_>,
) -> Result<Found, ImageError> {
    let metadata = fs::metadata(path).map_err(|error| ImageError::unreadable(path, &error))?;
    if metadata.is_file() {
        return archive::read(path, watch);
    }
    if !metadata.is_dir() {
        let message = "is neither a file nor a folder";
        return Err(ImageError::new(ErrorKind::NotAnImage, path, message));
    }
    if let Some(form) = layout::form(path) {
        return layout::read(path, form, options.follow_links, watch.stopped);
    }
    // Only the folder that was typed must be readable; what is below it may warn.
    fs::read_dir(path).map_err(|error| ImageError::unreadable(path, &error))?;
    let mut walk = Walk {
        options,
        found: Found::default(),
        seen: HashSet::new(),
        links: 0,
        watch,
    };
    walk.run(path, &metadata);
    Ok(walk.finish(path))
}

struct Walk<'a> {
    watch: Watch<'a>,
    options: Options,
    found: Found,
    /// Device and inode of each folder, so that links lead nowhere twice.
    seen: HashSet<(u64, u64)>,
    /// Symbolic links that were not followed.
    links: usize,
}

impl Walk<'_> {
    fn run(&mut self, top: &Path, metadata: &Metadata) {
        self.seen.insert((metadata.dev(), metadata.ino()));
        let mut waiting = self.entries(top);
        // A stack instead of recursion: folders may be nested deeper than a thread's stack bears.
        while let Some(entry) = waiting.pop().filter(|_| !(self.watch.stopped)()) {
            waiting.extend(self.visit(&entry));
        }
    }

    /// The entries of a folder, last name first.
    fn entries(&mut self, dir: &Path) -> Vec<DirEntry> {
        let mut entries = Vec::new();
        match fs::read_dir(dir) {
            Ok(read) => {
                for entry in read {
                    match entry {
                        Ok(entry) => entries.push(entry),
                        Err(error) => self.warn(ImageError::unreadable(dir, &error)),
                    }
                }
            }
            Err(error) => self.warn(ImageError::unreadable(dir, &error)),
        }
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
        entries
    }

    /// Takes what an entry holds; gives the entries of a folder that is to be searched.
    fn visit(&mut self, entry: &DirEntry) -> Vec<DirEntry> {
        let path = entry.path();
        match self.metadata(entry, &path) {
            Ok(Some(metadata)) if metadata.is_dir() => self.folder(&path, &metadata),
            Ok(Some(metadata)) if metadata.is_file() => {
                self.file(&path);
                Vec::new()
            }
            Ok(_) => Vec::new(),
            Err(error) => {
                self.warn(ImageError::unreadable(&path, &error));
                Vec::new()
            }
        }
    }

    /// `None` for a link that is not followed.
    fn metadata(&mut self, entry: &DirEntry, path: &Path) -> std::io::Result<Option<Metadata>> {
        let metadata = entry.metadata()?;
        if !metadata.is_symlink() {
            return Ok(Some(metadata));
        }
        if !self.options.follow_links {
            self.links += 1;
            return Ok(None);
        }
        fs::metadata(path).map(Some)
    }

    fn folder(&mut self, path: &Path, metadata: &Metadata) -> Vec<DirEntry> {
        let fresh = self.seen.insert((metadata.dev(), metadata.ino()));
        if !fresh || path.file_name().is_some_and(|name| name == UNFINISHED) {
            return Vec::new();
        }
        let Some(form) = layout::form(path) else {
            return self.entries(path);
        };
        let read = layout::read(path, form, self.options.follow_links, self.watch.stopped);
        self.take(read);
        Vec::new()
    }

    fn file(&mut self, path: &Path) {
        let read = archive::read(path, self.watch);
        self.take(read);
    }

    fn take(&mut self, read: Result<Found, ImageError>) {
        match read {
            Ok(found) => self.found.add(found),
            // Any folder holds files that are no images.
            Err(error) if error.kind() == ErrorKind::NotAnImage => {}
            Err(error) => self.warn(error),
        }
    }

    fn warn(&mut self, warning: ImageError) {
        self.found.warnings.push(warning);
    }

    fn finish(mut self, top: &Path) -> Found {
        if self.links > 0 {
            let (links, them) = match self.links {
                1 => ("1 symbolic link was".to_owned(), "it"),
                count => (format!("{count} symbolic links were"), "them"),
            };
            let message = format!("{links} passed over (--follow-links follows {them})");
            self.warn(ImageError::new(ErrorKind::NotAnImage, top, message));
        }
        self.found
    }
}
