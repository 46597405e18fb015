//! The bytes of a blob, read or made where it comes from, and who is to blame when they are not there.

use std::path::Path;
use std::sync::Arc;

use crate::image::compress::Method;
use crate::image::digest::Digest;
use crate::image::source::{Body, Summary};
use crate::image::stdin::subject;
use crate::push::made_again::MadeAgain;
use crate::push::plan::Origin;
use crate::push::report::ErrorReport;
use crate::push::task::Tools;
use crate::registry::error::{Error, ErrorKind};

impl Origin {
    /// The file or folder that holds the bytes.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Stored(stored) | Self::Compressed { stored, .. } => Some(stored.source().path()),
            Self::Bytes(_) => None,
        }
    }

    /// What the bytes are known by as long as nobody knows their digest.
    pub(super) fn made_of(&self) -> Option<String> {
        match self {
            Self::Compressed {
                diff_id, method, ..
            } => Some(made_of(diff_id, *method)),
            Self::Stored(_) | Self::Bytes(_) => None,
        }
    }

    /// The report of `error`, which names the source where that is to blame.
    pub(super) fn blame(&self, mut error: Error) -> ErrorReport {
        if let (ErrorKind::Source, Some(path)) = (error.kind, self.path()) {
            error.reason = format!("{}: {}", subject(path), error.reason);
        }
        error.into()
    }

    /// The bytes as they go to the registry, which should be those of `summary`.
    pub(super) fn body(&self, tools: &Tools, summary: &Summary) -> OriginBody {
        match self {
            Self::Stored(stored) => OriginBody::AsItIs(Box::new(stored.clone())),
            Self::Bytes(bytes) => OriginBody::AsItIs(Box::new(Arc::clone(bytes))),
            Self::Compressed {
                stored,
                diff_id,
                method,
            } => {
                let layer = tools
                    .compressor
                    .layer(stored.clone(), diff_id.clone(), *method);
                OriginBody::MadeAgain(MadeAgain::new(Box::new(layer), summary.clone()))
            }
        }
    }
}

pub(super) fn made_of(diff_id: &Digest, method: Method) -> String {
    format!("{diff_id} {}", method.identity())
}

pub(super) enum OriginBody {
    AsItIs(Box<dyn Body>),
    MadeAgain(MadeAgain),
}

impl OriginBody {
    pub(super) fn as_body(&self) -> &dyn Body {
        match self {
            Self::AsItIs(body) => body.as_ref(),
            Self::MadeAgain(body) => body,
        }
    }

    /// Whether it turned out to be something else than was expected of it.
    pub(super) fn has_differed(&self) -> bool {
        matches!(self, Self::MadeAgain(body) if body.has_differed())
    }
}
