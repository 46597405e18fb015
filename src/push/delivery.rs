//! How far one image has come in one repository.

use std::collections::HashMap;

use crate::image::reference::Tag;
use crate::observe::event::ImageStatus;
use crate::push::plan::{BlobId, Delivery, RepositoryId};
use crate::push::report::ErrorReport;
use crate::registry::client::Presence;

#[derive(Debug)]
pub(crate) struct DeliveryState {
    pub(crate) image: usize,
    pub(crate) repository: RepositoryId,
    pub(crate) tags: Vec<(Tag, TagState)>,
    /// As many as the image has manifests; empty as long as those are not known.
    pub(crate) nodes: Vec<NodeState>,
    pub(crate) stage: Stage,
    /// The manifest was made after its blobs had arrived here.
    pub(crate) parts_arrived: bool,
    /// What tags stood for before anything was sent.
    pub(crate) seen: HashMap<usize, Presence>,
    /// Blobs that the registry did not name when it refused the manifest that it was offered.
    pub(crate) taken_for_there: Vec<BlobId>,
    /// Others wait with what they send until it is known whether the target has what the source lacks.
    pub(crate) unsure: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    New,
    /// Blobs of a manifest that cannot be made yet.
    Parts {
        left: usize,
    },
    Tags {
        left: usize,
    },
    /// The target is asked for what the source lacks.
    Elsewhere {
        left: usize,
        /// Which of it the target lacks too.
        absent: Vec<usize>,
    },
    Manifests,
    /// What is in place is read back: blobs first.
    Verifying {
        left: usize,
        manifests: bool,
    },
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TagState {
    Open,
    Present,
    Pushed,
    Failed(ErrorReport),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NodeState {
    Unseen,
    Checking,
    Needed { blobs_left: usize },
    Putting,
    Settled,
}

impl DeliveryState {
    pub(crate) fn new(image: usize, delivery: &Delivery) -> Self {
        Self {
            image,
            repository: delivery.repository,
            tags: delivery
                .tags
                .iter()
                .map(|tag| (tag.clone(), TagState::Open))
                .collect(),
            nodes: Vec::new(),
            stage: Stage::New,
            parts_arrived: false,
            seen: HashMap::new(),
            taken_for_there: Vec::new(),
            unsure: false,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.stage != Stage::Closed
    }

    pub(crate) fn open_tags(&self) -> Vec<usize> {
        let open = |position: &usize| self.tags[*position].1 == TagState::Open;
        (0..self.tags.len()).filter(open).collect()
    }

    pub(crate) fn first_open_tag(&self) -> Option<usize> {
        self.tags
            .iter()
            .position(|(_, state)| *state == TagState::Open)
    }

    /// What is not in place has failed.
    pub(crate) fn fail(&mut self, error: ErrorReport) {
        for (_, state) in self
            .tags
            .iter_mut()
            .filter(|(_, state)| *state == TagState::Open)
        {
            *state = TagState::Failed(error.clone());
        }
    }
}

impl TagState {
    pub(crate) fn status(&self) -> ImageStatus {
        match self {
            Self::Open => ImageStatus::Skipped,
            Self::Present => ImageStatus::Present,
            Self::Pushed => ImageStatus::Pushed,
            Self::Failed(_) => ImageStatus::Failed,
        }
    }

    pub(crate) fn error(&self) -> Option<&ErrorReport> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Open | Self::Present | Self::Pushed => None,
        }
    }

    pub(crate) fn is_in_place(&self) -> bool {
        matches!(self, Self::Present | Self::Pushed)
    }
}
