//! What became of images so far, for observers and for the report.

use std::sync::Arc;

use crate::image::digest::Digest;
use crate::image::source::Body as _;
use crate::observe::event::{BlobStatus, Event, ImageStatus};
use crate::push::delivery::{DeliveryState, TagState};
use crate::push::homes::Transfer;
use crate::push::plan::{BlobId, Origin, PlannedContent};
use crate::push::report::ErrorReport;
use crate::push::schedule::Schedule;

impl Schedule {
    pub(super) fn tell_finished(&mut self, image: usize) {
        let (status, error) = self.image_status(image);
        let digest = self.root_digest(image);
        let mut targets = Vec::new();
        for delivery in self.deliveries_of(image) {
            for (tag, _) in delivery
                .tags
                .iter()
                .filter(|(_, state)| state.is_in_place())
            {
                let name = self.plan.target_name(delivery.repository, tag);
                targets.push(match &digest {
                    Some(digest) => format!("{name}@{digest}"),
                    None => name,
                });
            }
        }
        let error = error.map(|error| error.message);
        self.events.push(Event::ImageFinished {
            image,
            status,
            targets,
            error,
        });
    }

    pub(crate) fn deliveries_of(&self, image: usize) -> &[DeliveryState] {
        &self.deliveries[self.images[image].numbers()]
    }

    /// With the first error of its targets.
    pub(crate) fn image_status(&self, image: usize) -> (ImageStatus, Option<ErrorReport>) {
        let tags = (self.deliveries_of(image).iter())
            .flat_map(|delivery| delivery.tags.iter().map(|(_, state)| state));
        let error = tags.clone().find_map(TagState::error).cloned();
        (ImageStatus::of_all(tags.map(TagState::status)), error)
    }

    pub(crate) fn root_digest(&self, image: usize) -> Option<Digest> {
        match &self.plan.images[image].content {
            PlannedContent::Manifests(nodes) => nodes.last().map(|n| n.manifest.digest().clone()),
            PlannedContent::Parts { .. } => None,
        }
    }

    pub(super) fn announce(&mut self, transfer: &Transfer) {
        let Some(home) = self.homes.get(transfer.blob, transfer.repository) else {
            return;
        };
        let blob = &self.plan.blobs[transfer.blob];
        let label = match (&blob.resolved, &blob.origin) {
            (Some((digest, _)), _) => digest.to_string(),
            (None, Origin::Compressed { diff_id, .. }) => format!("layer {diff_id}"),
            (None, Origin::Stored(stored)) => format!("{} bytes", stored.size()),
            (None, Origin::Bytes(bytes)) => format!("{} bytes", bytes.len()),
        };
        self.events.push(Event::BlobStarted {
            blob: home.number,
            image: self.deliveries[home.owner].image,
            label,
            size: blob.stored_size,
            meter: Arc::clone(&home.meter),
        });
    }

    /// `named`: the number that observers know it by, and the delivery that asked for it first.
    pub(super) fn tell_blob(&mut self, blob: BlobId, named: (usize, usize), status: BlobStatus) {
        let (number, owner) = named;
        self.events.push(Event::BlobFinished {
            blob: number,
            image: self.deliveries[owner].image,
            size: self.plan.blobs[blob].stored_size,
            status,
        });
    }
}
