//! One push: settings in, report out.

use std::path::PathBuf;

use crate::image::filter::Filter;
use crate::image::name::Destination;
use crate::image::reference::Tag;
use crate::net;
use crate::observe::event::Observer;
use crate::push::report::Report;
use crate::registry::client;
use crate::registry::clock::Stop;

/// Everything a push needs to know. Holds no state.
#[derive(Clone, Debug)]
pub struct Operation {
    pub sources: Vec<PathBuf>,
    pub destination: Destination,
    pub filter: Filter,
    pub follow_links: bool,
    /// Tags besides the ones the images have.
    pub extra_tags: Vec<Tag>,
    /// Of the manifests that hoist makes.
    pub format: Format,
    pub compression: Compression,
    /// Blob transfers in flight.
    pub jobs: usize,
    /// Images being worked on.
    pub images: usize,
    pub fail_fast: bool,
    pub registry: client::Settings,
    pub net: net::Settings,
}

/// Media types of the manifests that hoist makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Oci,
    Docker,
}

/// What becomes of plain layers where hoist makes the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    None,
    /// Deflate level 0 to 9.
    Gzip {
        level: u32,
    },
}

impl Operation {
    /// Runs the push to its end, or until `stop`. Never panics, always reports.
    pub fn run(&self, _observers: &mut [Box<dyn Observer>], _stop: &Stop) -> Report {
        unimplemented!()
    }
}
