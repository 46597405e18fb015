//! What looking into a source brings to light.

use std::path::{Path, PathBuf};

use crate::image::error::ImageError;
use crate::image::source::Image;

/// What one SOURCE turned out to hold.
#[derive(Default)]
pub struct Found {
    pub images: Vec<Image>,
    /// Images that were found and cannot be pushed; each is a failed image.
    pub broken: Vec<Broken>,
    /// What was passed over and might surprise: a sentence each, with the path.
    pub warnings: Vec<ImageError>,
}

/// An image that is recognisably one and unusable.
#[derive(Debug)]
pub struct Broken {
    pub path: PathBuf,
    /// As far as they could be read, and as they are written there.
    pub names: Vec<String>,
    /// All that is wrong with it, never empty.
    pub problems: Vec<ImageError>,
}

/// Told of one image; the others are counted. A manifest of 4 MiB can lack 25,000 layers.
const MAX_PROBLEMS: usize = 20;

/// What is told of a search that takes long.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// How much was read of what is read to its end before anything else; `size` where it is known.
    Reading {
        path: &'a Path,
        read: u64,
        size: Option<u64>,
    },
    /// Standard input is kept, in a file in `folder`.
    Spooled { folder: &'a Path, size: u64 },
}

/// Who watches a search.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Whether the search is to end soon, with what there is.
    pub stopped: &'a dyn Fn() -> bool,
    pub telling: &'a dyn Fn(News<'_>),
}

impl Found {
    pub(crate) fn add(&mut self, other: Self) {
        self.images.extend(other.images);
        self.broken.extend(other.broken);
        self.warnings.extend(other.warnings);
    }
}

/// The first of `names`, and how many more there are.
pub(crate) fn list(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(MAX_PROBLEMS);
    names.truncate(MAX_PROBLEMS);
    match more {
        0 => names.join(", "),
        _ => format!("{} and {more} more", names.join(", ")),
    }
}

impl Broken {
    pub(crate) fn new(path: &Path, names: Vec<String>, mut problems: Vec<String>) -> Self {
        if problems.len() > MAX_PROBLEMS {
            let more = problems.len() - MAX_PROBLEMS;
            problems.truncate(MAX_PROBLEMS);
            problems.push(format!("and {more} more"));
        }
        let problem = |message| ImageError::broken(path, message);
        Self {
            path: path.into(),
            names,
            problems: problems.into_iter().map(problem).collect(),
        }
    }
}
