//! Images, from where one may begin until the last of its repositories is done.

use std::ops::Range;

use crate::image::manifest::ManifestError;
use crate::observe::event::Event;
use crate::push::delivery::Stage;
use crate::push::plan::BlobId;
use crate::push::report::ErrorReport;
use crate::push::schedule::former::Search;
use crate::push::schedule::transfers::InTurn;
use crate::push::schedule::{Ended, Schedule, Task};

pub(crate) struct ImageState {
    /// The first of its deliveries, which lie side by side.
    pub(crate) first_delivery: usize,
    pub(crate) deliveries: usize,
    pub(super) deliveries_left: usize,
    hashes_left: usize,
    pub(super) search: Search,
    pub(crate) started: bool,
}

impl ImageState {
    pub(super) fn new(first_delivery: usize, deliveries: usize) -> Self {
        Self {
            first_delivery,
            deliveries,
            deliveries_left: deliveries,
            hashes_left: 0,
            search: Search::default(),
            started: false,
        }
    }

    /// The numbers of its deliveries.
    pub(super) fn numbers(&self) -> Range<usize> {
        self.first_delivery..self.first_delivery + self.deliveries
    }
}

impl Schedule {
    pub(super) fn admit(&mut self) {
        // Those in question hold up all others, so that no limit may hold up them.
        while self.active < self.limits.images.max(self.unsure) {
            let Some(image) = self.waiting.pop_front() else {
                return;
            };
            self.active += 1;
            self.images[image].started = true;
            let name = self.plan.images[image].name.clone();
            self.events.push(Event::ImageStarted { image, name });
            let unhashed = self.plan.unhashed(image);
            self.images[image].hashes_left = unhashed.len();
            if unhashed.is_empty() {
                self.begin(image);
            }
            for blob in unhashed {
                let waiting = self.hashing.entry(blob).or_default();
                if waiting.is_empty() {
                    match self.plan.spot(blob) {
                        Some(spot) => self.lanes.push(spot, InTurn::Hash(blob)),
                        None => self.short.push_back(Task::Hash(blob)),
                    }
                }
                waiting.push(image);
            }
        }
    }

    pub(super) fn hashed(&mut self, blob: BlobId, how: Ended) {
        let images = self.hashing.remove(&blob).unwrap_or_default();
        match how {
            Ended::Hashed(digest) => {
                let size = self.plan.blobs[blob].stored_size;
                self.plan.resolve(blob, digest, size);
                for image in images {
                    self.images[image].hashes_left -= 1;
                    if self.images[image].hashes_left == 0 {
                        self.begin(image);
                    }
                }
            }
            other => {
                let error = other.error();
                images
                    .into_iter()
                    .for_each(|image| self.fail_image(image, &error));
            }
        }
    }

    /// All digests that can be known beforehand are: start with the image's repositories.
    fn begin(&mut self, image: usize) {
        match self.plan.settle(image) {
            Ok(false) if self.plan.listens => self.look(image),
            settled => self.go_on(image, settled),
        }
    }

    /// `settled`: whether there is a manifest.
    pub(super) fn go_on(&mut self, image: usize, settled: Result<bool, ManifestError>) {
        let open = |delivery: &usize| self.deliveries[*delivery].is_open();
        let deliveries: Vec<usize> = self.images[image].numbers().filter(open).collect();
        let deliveries = deliveries.into_iter();
        match settled {
            Ok(true) => deliveries.for_each(|delivery| self.check_tags(delivery)),
            Ok(false) => deliveries.for_each(|delivery| self.bring_parts(delivery)),
            Err(error) => {
                let error = ErrorReport::source(format!("the manifest to be made {error}"));
                self.fail_image(image, &error);
            }
        }
    }

    fn fail_image(&mut self, image: usize, error: &ErrorReport) {
        for delivery in self.images[image].numbers() {
            self.fail(delivery, error.clone());
        }
    }

    pub(super) fn fail(&mut self, delivery: usize, error: ErrorReport) {
        if !self.deliveries[delivery].is_open() {
            return;
        }
        self.deliveries[delivery].fail(error);
        self.close(delivery);
        if self.limits.fail_fast {
            self.halt();
        }
    }

    pub(super) fn close(&mut self, delivery: usize) {
        let state = &mut self.deliveries[delivery];
        if !state.is_open() {
            return;
        }
        state.stage = Stage::Closed;
        let image = state.image;
        self.make_sure(delivery);
        self.images[image].deliveries_left -= 1;
        if self.images[image].deliveries_left == 0 {
            self.active -= 1;
            self.tell_finished(image);
        }
    }
}
