//! What images are called: names found in sources, the destination typed, and the targets they make.

use std::path::Path;

use crate::image::digest::Digest;
use crate::image::reference::{Host, ReferenceError, Repository, Tag};

/// One name as a source gives it. At least one of the two is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FoundName {
    /// Normalised: `docker.io` and `library/` filled in.
    pub repository: Option<(Host, Repository)>,
    pub tag: Option<Tag>,
}

impl FoundName {
    /// A line of RepoTags, or `io.containerd.image.name`.
    pub fn from_reference(_text: &str) -> Result<Self, ReferenceError> {
        unimplemented!()
    }

    /// What the annotations of an entry of `index.json` say. `ref_name` without `/` or `:` is a tag.
    pub fn from_annotations(
        _containerd_name: Option<&str>,
        _ref_name: Option<&str>,
    ) -> Result<Option<Self>, ReferenceError> {
        unimplemented!()
    }
}

/// What the user typed last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `host/team/app[:tag]`
    Repository {
        host: Host,
        repository: Repository,
        tag: Option<Tag>,
    },
    /// `host/` or `host/team/`
    Prefix {
        host: Host,
        path: Option<Repository>,
    },
}

impl Destination {
    /// `exists` tells whether a local path of that name exists.
    pub fn parse(_text: &str, _exists: &dyn Fn(&Path) -> bool) -> Result<Self, ReferenceError> {
        unimplemented!()
    }

    pub fn host(&self) -> &Host {
        match self {
            Self::Repository { host, .. } | Self::Prefix { host, .. } => host,
        }
    }
}

/// What naming needs to know of one image.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    pub names: &'a [FoundName],
    pub identity: &'a Digest,
    /// The file or folder it was found in.
    pub path: &'a Path,
}

/// A repository and a tag on the destination's host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub repository: Repository,
    pub tag: Tag,
}

/// Where each image goes, in the order of `images`; `Err` for an image that cannot have a target (a
/// name that is not legal there, or the same target as an image of another digest: both files are
/// named).
///
/// The outer error is a wrong usage: several images and a destination that takes one.
pub fn assign(
    _images: &[Named<'_>],
    _destination: &Destination,
    _extra_tags: &[Tag],
) -> Result<Vec<Result<Vec<Target>, String>>, String> {
    unimplemented!()
}
