//! From the paths a user typed to images: recognises by content, walks folders, reports the rest.

use std::path::{Path, PathBuf};

use crate::image::error::ImageError;
use crate::image::source::Image;

/// What one SOURCE turned out to hold.
#[derive(Default)]
pub struct Found {
    pub images: Vec<Image>,
    /// Images that were found and cannot be pushed; each is a failed image.
    pub broken: Vec<Broken>,
    /// What was passed over in a walk and might surprise: a sentence each, with the path.
    pub warnings: Vec<ImageError>,
}

/// An image that is recognisably one and unusable.
pub struct Broken {
    pub path: PathBuf,
    /// As far as they could be read.
    pub names: Vec<String>,
    /// All that is wrong with it, never empty.
    pub problems: Vec<ImageError>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Follow symbolic links met in a walk, never in loops.
    pub follow_links: bool,
}

/// Finds the images in `path`.
///
/// # Errors
/// When `path` itself cannot be read or is of a form that is refused. A readable path without any
/// image is `Ok` with nothing in it.
pub fn discover(_path: &Path, _options: Options) -> Result<Found, ImageError> {
    unimplemented!()
}
