//! What an image's source lacks must be at the target, or nothing of the image is sent.

use crate::image::found::list;
use crate::image::stdin;
use crate::observe::event::BlobStatus;
use crate::push::delivery::Stage;
use crate::push::plan::{Expectation, Expected};
use crate::push::report::ErrorReport;
use crate::push::schedule::{Ended, Schedule, Task};
use crate::registry::client::Presence;

impl Schedule {
    /// The root is not at the target: asks for all that only the target can have, then brings the rest.
    pub(super) fn look_elsewhere(&mut self, delivery: usize, root: usize) {
        let image = &self.plan.images[self.deliveries[delivery].image];
        let is_wanted = |item: &usize| match image.expected[*item].at {
            Expectation::Manifest(_) => true,
            Expectation::Blob(blob) => !self.plan.blobs[blob].is_here(),
        };
        let wanted: Vec<usize> = (0..image.expected.len()).filter(is_wanted).collect();
        if wanted.is_empty() {
            self.make_sure(delivery);
            return self.bring(delivery, root);
        }
        self.deliveries[delivery].stage = Stage::Elsewhere {
            left: wanted.len(),
            absent: Vec::new(),
        };
        let checks = wanted.into_iter();
        let checks = checks.map(|item| Task::CheckExpected { delivery, item });
        self.short.extend(checks);
    }

    pub(super) fn expected_checked(&mut self, delivery: usize, item: usize, how: Ended) {
        let Ended::Checked(presence) = how else {
            return self.fail(delivery, how.error());
        };
        // Where nobody says that it is there, nobody could pull the image for certain.
        let is_there = matches!(presence, Presence::Present(_));
        if is_there {
            self.take_expected_blob(delivery, item);
        }
        let Stage::Elsewhere { left, absent } = &mut self.deliveries[delivery].stage else {
            return;
        };
        if !is_there {
            absent.push(item);
        }
        *left -= 1;
        if *left > 0 {
            return;
        }
        let mut absent = std::mem::take(absent);
        if !absent.is_empty() {
            absent.sort_unstable();
            let error = self.nowhere(delivery, &absent);
            return self.fail(delivery, error);
        }
        self.deliveries[delivery].stage = Stage::Manifests;
        self.make_sure(delivery);
        if let Some(nodes) = self.nodes(delivery) {
            self.bring(delivery, nodes.len() - 1);
        }
    }

    /// What is sent of `delivery` from now on makes a whole image.
    pub(super) fn make_sure(&mut self, delivery: usize) {
        if std::mem::take(&mut self.deliveries[delivery].unsure) {
            self.unsure -= 1;
        }
    }

    /// A blob that the target has needs no transfer, for any image.
    fn take_expected_blob(&mut self, delivery: usize, item: usize) {
        let state = &self.deliveries[delivery];
        let image = &self.plan.images[state.image];
        if let Expectation::Blob(blob) = image.expected[item].at {
            let freight = self.freight(blob);
            let number = self.homes.known(blob, state.repository, freight, delivery);
            if let Some(number) = number {
                self.tell_blob(blob, (number, delivery), BlobStatus::Present);
            }
        }
    }

    fn nowhere(&self, delivery: usize, absent: &[usize]) -> ErrorReport {
        let state = &self.deliveries[delivery];
        let image = &self.plan.images[state.image];
        let items: Vec<&Expected> = absent.iter().map(|&item| &image.expected[item]).collect();
        let labels = items.iter().map(|item| item.label.clone()).collect();
        let path = stdin::subject(&image.source);
        let repository = &self.plan.repositories[state.repository];
        let mut error = ErrorReport::source(format!(
            "{path}: missing, and not found in {repository} at the target either: {}",
            list(labels)
        ));
        let is_manifest = |item: &&Expected| matches!(item.at, Expectation::Manifest(_));
        if items.iter().any(is_manifest) {
            error.hint = Some("--partial-index, which pushes the platforms that are there".into());
        } else if items.iter().any(|item| item.is_foreign) {
            let hint =
                "--push-foreign, if the bytes of layers that are not for registries are there";
            error.hint = Some(hint.into());
        }
        error
    }
}
