//! What is given out to workers, and what comes back.

use crate::image::digest::Digest;
use crate::push::homes::Transfer;
use crate::push::plan::BlobId;
use crate::push::report::ErrorReport;
use crate::push::schedule::verify::{Verified, Verify};
use crate::registry::client::{Delivery, Presence, Seen};

/// One thing for a worker to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Compute the digest of a layer that came without one.
    Hash(BlobId),
    CheckTag {
        delivery: usize,
        tag: usize,
    },
    /// What the tag of an image without a manifest stands for.
    Look {
        delivery: usize,
        tag: usize,
    },
    /// The diff_ids of what was found that way.
    ReadConfig {
        delivery: usize,
        former: usize,
    },
    CheckNode {
        delivery: usize,
        node: usize,
    },
    /// Whether something that the image's source lacks is at the target.
    CheckExpected {
        delivery: usize,
        item: usize,
    },
    Transfer(Transfer),
    /// The root by a tag, before it is known what of it is there.
    Offer {
        delivery: usize,
        tag: usize,
    },
    /// By digest, or by one of the delivery's tags.
    Put {
        delivery: usize,
        node: usize,
        tag: Option<usize>,
    },
    /// Read back what is in place.
    Verify(Verify),
}

/// How a task ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Hashed(Digest),
    Checked(Presence),
    /// What is there, where anybody knows.
    Looked(Option<Seen>),
    /// The diff_ids of a config that could be read.
    Read(Option<Vec<Digest>>),
    /// With digest and size, which are news for a layer that was compressed on the way.
    Delivered(Delivery, Digest, u64),
    /// With the blobs that had to be sent again, because the registry had lost them.
    Put(Vec<Digest>),
    /// A manifest was refused, and these are all that the registry lacks of it.
    Lacks(Vec<Digest>),
    Verified(Verified),
    /// What was remembered of a layer is not true.
    Disproved,
    Failed(ErrorReport),
}

impl Ended {
    /// Whether the registry did what it was asked for.
    pub(crate) fn speaks_for_registry(&self) -> bool {
        match self {
            Self::Checked(_)
            | Self::Looked(_)
            | Self::Read(_)
            | Self::Delivered(..)
            | Self::Put(_)
            | Self::Lacks(_)
            | Self::Verified(_) => true,
            Self::Hashed(_) | Self::Disproved | Self::Failed(_) => false,
        }
    }

    pub(super) fn was_broken_off(&self) -> bool {
        matches!(self, Self::Failed(error) if error.is_interruption())
    }

    /// The error of one that is no success; of an answer to another question, a sentence that says
    /// so.
    pub(super) fn error(self) -> ErrorReport {
        match self {
            Self::Failed(error) => error,
            other => ErrorReport::local(format!("a task ended in an unexpected way: {other:?}")),
        }
    }
}
