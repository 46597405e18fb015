//! What a worker does for one task: everything it needs comes with it, everything it learns goes
//! back.

mod bytes;
mod put;
mod transfer;

use std::path::Path;
use std::sync::Arc;

use crate::image::compress::{self, Compressor};
use crate::image::config::Config;
use crate::image::digest::Digest;
use crate::image::manifest::Manifest;
use crate::image::reference::{Repository, Tag};
use crate::image::stdin::subject;
use crate::push::memory::Memory;
use crate::push::plan::Origin;
use crate::push::report::ErrorReport;
use crate::push::schedule::Ended;
pub(crate) use crate::push::task::put::{NamedBlob, PutWork};
pub(crate) use crate::push::task::transfer::TransferWork;
use crate::push::verify::VerifyWork;
use crate::registry::client::{Client, ManifestFailure, ManifestName};
use crate::registry::clock::Stop;
use crate::registry::error::Error;

/// What all tasks share.
pub(crate) struct Tools {
    pub(crate) client: Client,
    pub(crate) compressor: Compressor,
    pub(crate) memory: Arc<Memory>,
    /// Whatever goes on is of no use any more.
    pub(crate) halt: Stop,
    /// Blobs are sent whatever the registry says it has.
    pub(crate) force: bool,
}

/// A task with all it works on.
pub(crate) enum Work {
    Hash(Origin),
    Check {
        repository: Repository,
        name: Name,
    },
    CheckBlob {
        repository: Repository,
        digest: Digest,
        size: u64,
    },
    Look {
        repository: Repository,
        tag: Tag,
    },
    ReadConfig {
        repository: Repository,
        digest: Digest,
        size: u64,
    },
    Transfer(TransferWork),
    Offer {
        repository: Repository,
        tag: Tag,
        manifest: Arc<Manifest>,
    },
    Put(PutWork),
    Verify(Box<VerifyWork>),
}

#[derive(Clone, Debug)]
pub(crate) enum Name {
    Tag(Tag),
    Digest(Digest),
}

/// Why something was not done.
pub(crate) enum Failed {
    Report(ErrorReport),
    /// What was remembered is not true.
    Disproved,
    /// These are missing, some of which had not been named before.
    Lacks(Vec<Digest>),
}

impl Work {
    pub(crate) fn run(self, tools: &Tools) -> Ended {
        match self {
            Self::Hash(origin) => hash(&origin, tools),
            Self::Check { repository, name } => {
                let checked = tools.client.check_manifest(&repository, name.as_wire());
                checked.map_or_else(|error| Ended::Failed(error.into()), Ended::Checked)
            }
            Self::CheckBlob {
                repository,
                digest,
                size,
            } => {
                let checked = tools.client.check_blob(&repository, &digest, size);
                checked.map_or_else(|error| Ended::Failed(error.into()), Ended::Checked)
            }
            Self::Look { repository, tag } => {
                let seen = tools.client.look_at_tag(&repository, &tag);
                seen.map_or_else(|error| Ended::Failed(error.into()), Ended::Looked)
            }
            Self::ReadConfig {
                repository,
                digest,
                size,
            } => {
                let bytes = tools.client.read_blob(&repository, &digest, size);
                let config = bytes.and_then(|bytes| Config::parse(&bytes).ok());
                Ended::Read(config.map(Config::into_diff_ids))
            }
            Self::Transfer(work) => work.run(tools),
            Self::Offer {
                repository,
                tag,
                manifest,
            } => offer(&repository, &tag, &manifest, tools),
            Self::Put(work) => work.run(tools),
            Self::Verify(work) => work.run(tools),
        }
    }
}

fn hash(origin: &Origin, tools: &Tools) -> Ended {
    let Origin::Stored(body) = origin else {
        let error = format!("{origin:?} is not hashed");
        return Ended::Failed(ErrorReport::local(error));
    };
    match compress::digest_of(body, &|| tools.halt.is_stopped()) {
        Ok(Some(digest)) => Ended::Hashed(digest),
        Ok(None) => Ended::Failed(ErrorReport::interrupted()),
        Err(error) => {
            let path = origin.path().unwrap_or(Path::new("bytes of a manifest"));
            let message = format!("a layer of {} cannot be read: {error}", subject(path));
            Ended::Failed(ErrorReport::source(message))
        }
    }
}

fn offer(repository: &Repository, tag: &Tag, manifest: &Manifest, tools: &Tools) -> Ended {
    let name = ManifestName::Tag(tag);
    match tools.client.put_manifest(repository, name, manifest) {
        Ok(()) => Ended::Put(Vec::new()),
        Err(ManifestFailure::Missing {
            digests,
            lists_all: true,
            ..
        }) => Ended::Lacks(digests),
        Err(failure) => Ended::Failed(failure.into_error().into()),
    }
}

impl Name {
    pub(crate) fn as_wire(&self) -> ManifestName<'_> {
        match self {
            Self::Tag(tag) => ManifestName::Tag(tag),
            Self::Digest(digest) => ManifestName::Digest(digest),
        }
    }
}

impl From<Failed> for Ended {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Report(report) => Self::Failed(report),
            Failed::Disproved => Self::Disproved,
            Failed::Lacks(digests) => Self::Lacks(digests),
        }
    }
}

impl From<ErrorReport> for Failed {
    fn from(report: ErrorReport) -> Self {
        Self::Report(report)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Report(error.into())
    }
}
