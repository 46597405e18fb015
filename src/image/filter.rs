//! Which images to take: globs over names, sizes, platforms.

use crate::image::error::ImageError;
use crate::image::platform::Platform;
use crate::image::source::Image;

/// What the user asked for; the default takes everything.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Globs over `repository:tag`, host removed; `*` stops at `/`, `**` does not.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// Stored bytes of the image, both bounds included.
    pub min_size: Option<u64>,
    pub max_size: Option<u64>,
    pub platforms: Vec<Platform>,
}

impl Filter {
    /// Whether `pattern` is a glob that can be matched with.
    pub fn check_glob(_pattern: &str) -> Result<(), String> {
        unimplemented!()
    }

    /// `image` with the names and platforms that were asked for; `None` when nothing of it was.
    pub fn apply(&self, _image: Image) -> Result<Option<Image>, ImageError> {
        unimplemented!()
    }
}
