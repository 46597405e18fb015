//! What the tags of an image without a manifest stand for already. It may be that very image, or tell what some
//! layers become when they are compressed: then nobody has to compress them to find out.

use std::sync::Arc;

use crate::image::digest::Digest;
use crate::image::manifest::{Body, Manifest};
use crate::push::delivery::DeliveryState;
use crate::push::plan::former::DiffIds;
use crate::push::schedule::{Ended, Schedule, Task};

/// Tags of one delivery that are looked at; the others are only asked for when there is a manifest.
const MOST_TAGS: usize = 8;
/// Different manifests that are kept for one image until it goes on, and how large each may be, in bytes.
const MOST_FORMERS: usize = 8;
const LARGEST: usize = 512 << 10;
/// Configs that are read for one image.
const MOST_CONFIGS: usize = 2;

/// What is found out for one image before it goes on.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// Answers that are still to come.
    left: usize,
    formers: Vec<Former>,
}

/// An image that is there.
#[derive(Debug)]
pub(crate) struct Former {
    /// Delivery and tag where it was found first.
    at: (usize, usize),
    manifest: Arc<Manifest>,
    diff_ids: Option<Vec<Digest>>,
}

impl Schedule {
    pub(super) fn look(&mut self, image: usize) {
        let mut looks = Vec::new();
        for delivery in self.images[image].numbers() {
            let tags = self.deliveries[delivery].tags.len().min(MOST_TAGS);
            looks.extend((0..tags).map(|tag| Task::Look { delivery, tag }));
        }
        self.images[image].search.left = looks.len();
        self.short.extend(looks);
    }

    pub(super) fn looked(&mut self, delivery: usize, tag: usize, how: Ended) {
        let image = self.deliveries[delivery].image;
        match how {
            Ended::Looked(Some(seen)) => {
                self.deliveries[delivery].seen.insert(tag, seen.presence);
                if let Some(manifest) = seen.manifest {
                    self.images[image].search.add((delivery, tag), manifest);
                }
            }
            Ended::Looked(None) => {}
            other => self.fail(delivery, other.error()),
        }
        if self.images[image].search.is_last() {
            self.compare(image);
        }
    }

    /// All tags were looked at.
    fn compare(&mut self, image: usize) {
        if !self.deliveries_of(image).iter().any(DeliveryState::is_open) {
            return;
        }
        let formers = &mut self.images[image].search.formers;
        formers.sort_unstable_by_key(|former| former.at);
        let manifests: Vec<Arc<Manifest>> =
            formers.iter().map(|f| Arc::clone(&f.manifest)).collect();
        if manifests.iter().any(|found| self.plan.adopt(image, found)) {
            self.images[image].search.formers.clear();
            return self.go_on(image, Ok(true));
        }
        let mut asked: Vec<Digest> = Vec::new();
        for (former, manifest) in manifests.iter().enumerate() {
            match self.plan.diff_ids(image, manifest) {
                Some(DiffIds::Known(known)) => {
                    self.images[image].search.formers[former].diff_ids = Some(known);
                }
                Some(DiffIds::In(config))
                    if asked.len() < MOST_CONFIGS && !asked.contains(&config) =>
                {
                    asked.push(config);
                    let (delivery, _) = self.images[image].search.formers[former].at;
                    let task = Task::ReadConfig { delivery, former };
                    self.short.push_back(task);
                }
                Some(DiffIds::In(_)) | None => {}
            }
        }
        self.images[image].search.left = asked.len();
        if asked.is_empty() {
            self.listen(image);
        } else {
            self.has_news = true;
        }
    }

    /// Digest and size of the config to be read.
    pub(crate) fn config_of(&self, delivery: usize, former: usize) -> Option<(Digest, u64)> {
        let image = self.deliveries[delivery].image;
        let former = self.images[image].search.formers.get(former)?;
        match former.manifest.body() {
            Body::Image { config, .. } => Some((config.digest.clone(), config.size)),
            Body::Index { .. } => None,
        }
    }

    pub(super) fn config_read(&mut self, delivery: usize, former: usize, how: Ended) {
        let search = &mut self.images[self.deliveries[delivery].image].search;
        if let Ended::Read(diff_ids) = how {
            search.formers[former].diff_ids = diff_ids;
        }
        if search.is_last() {
            self.listen(self.deliveries[delivery].image);
        }
    }

    /// Goes on with what could be found out.
    fn listen(&mut self, image: usize) {
        for former in std::mem::take(&mut self.images[image].search.formers) {
            if let Some(diff_ids) = &former.diff_ids {
                self.plan.listen(image, &former.manifest, diff_ids);
            }
        }
        let settled = self.plan.settle(image);
        self.go_on(image, settled);
    }
}

impl Search {
    fn add(&mut self, at: (usize, usize), manifest: Arc<Manifest>) {
        let same = |former: &&mut Former| former.manifest.digest() == manifest.digest();
        if let Some(former) = self.formers.iter_mut().find(same) {
            former.at = former.at.min(at);
        } else if self.formers.len() < MOST_FORMERS && manifest.bytes().len() <= LARGEST {
            self.formers.push(Former {
                at,
                manifest,
                diff_ids: None,
            });
        }
    }

    /// Whether the answer that came was the last one.
    fn is_last(&mut self) -> bool {
        self.left -= 1;
        self.left == 0
    }
}
