//! Where a registry takes no manifest that lacks anything, the root is sent instead of asking whether it is
//! there. Taken, it is in place, and refused, it is known what to bring. A new image costs no request more
//! for it, a new tag one less, and an image of which most is there is not asked for blob by blob. So it is done
//! where this push has seen that the registry is of that kind; and where an earlier one has, with an image of which
//! earlier ones have brought most.

use crate::image::digest::Digest;
use crate::observe::event::BlobStatus;
use crate::push::delivery::{NodeState, TagState};
use crate::push::plan::{BlobId, PlannedNode};
use crate::push::schedule::{Ended, Schedule, Task};

impl Schedule {
    /// Whether the registry has shown that it is of the kind that may be offered manifests.
    pub(crate) fn allow_offers(&mut self, allowed: bool) {
        self.offers = allowed && !self.misled;
    }

    /// Whether the registry looks like one that has shown it to an earlier push.
    pub(crate) fn allow_recalled_offers(&mut self, allowed: bool) {
        self.recalled_offers = allowed && !self.misled;
    }

    /// Whether it answered offers otherwise than it should.
    pub(crate) fn is_misled(&self) -> bool {
        self.misled
    }

    /// Sends the root of `delivery` by its first open tag, or asks for it.
    pub(super) fn offer_or_ask(&mut self, delivery: usize, nodes: &[PlannedNode]) {
        let root = nodes.len() - 1;
        let offers = (self.offers || self.recalled_offers && self.is_mostly_known(delivery, nodes))
            && self.can_be_offered(delivery, nodes);
        let state = &mut self.deliveries[delivery];
        state.nodes[root] = NodeState::Checking;
        let tag = state.first_open_tag().filter(|_| offers);
        self.short.push_back(match tag {
            Some(tag) => Task::Offer { delivery, tag },
            None => Task::CheckNode {
                delivery,
                node: root,
            },
        });
    }

    /// Whether earlier pushes have left at least half of what the root names.
    fn is_mostly_known(&self, delivery: usize, nodes: &[PlannedNode]) -> bool {
        let repository = &self.plan.repositories[self.deliveries[delivery].repository];
        let blobs = nodes.last().map_or(&[][..], |root| &root.blobs);
        let is_known = |&&blob: &&BlobId| {
            let resolved = self.plan.blobs[blob].resolved.as_ref();
            resolved.is_some_and(|(digest, _)| self.holdings.has(repository, digest))
        };
        let known = blobs.iter().filter(is_known).count();
        known > 0 && 2 * known >= blobs.len()
    }

    /// Not where something would be taken for there that the registry does not look at: children, which it
    /// may be told to leave alone, foreign layers, the sizes of what is remembered, unless an earlier push has left
    /// that very manifest; nor what could not be brought.
    fn can_be_offered(&self, delivery: usize, nodes: &[PlannedNode]) -> bool {
        let image = &self.plan.images[self.deliveries[delivery].image];
        let [node] = nodes else {
            return false;
        };
        let repository = &self.plan.repositories[self.deliveries[delivery].repository];
        let is_known = || self.holdings.has(repository, node.manifest.digest());
        let is_remembered = |&blob: &BlobId| self.plan.blobs[blob].is_remembered();
        let mut named = node.manifest.blobs();
        image.expected.is_empty()
            && node.manifest.children().is_empty()
            && !named.any(|descriptor| descriptor.media_type.is_foreign_layer())
            && (!node.blobs.iter().any(is_remembered) || is_known())
    }

    pub(super) fn offered(&mut self, delivery: usize, tag: usize, how: Ended) {
        let Some(nodes) = self.nodes(delivery) else {
            return;
        };
        let root = nodes.len() - 1;
        match how {
            Ended::Put(_) => {
                self.deliveries[delivery].tags[tag].1 = TagState::Pushed;
                self.found(delivery, root);
            }
            Ended::Lacks(digests) => {
                self.forget(delivery, &digests);
                self.take_for_there(delivery, &nodes[root], &digests);
                self.bring(delivery, root);
            }
            // An offer is a question: whatever went wrong shows when the manifest has to be taken.
            _ => {
                self.stop_offers();
                self.short.push_back(Task::CheckNode {
                    delivery,
                    node: root,
                });
            }
        }
    }

    fn stop_offers(&mut self) {
        self.misled = true;
        self.offers = false;
        self.recalled_offers = false;
    }

    /// Earlier pushes may have left those, but they are there no more.
    fn forget(&mut self, delivery: usize, lacking: &[Digest]) {
        let repository = &self.plan.repositories[self.deliveries[delivery].repository];
        for digest in lacking {
            self.holdings.forget(repository, digest);
        }
    }

    /// All of `node` but `lacking` needs no transfer, for any image.
    fn take_for_there(&mut self, delivery: usize, node: &PlannedNode, lacking: &[Digest]) {
        let repository = self.deliveries[delivery].repository;
        for &blob in &node.blobs {
            let resolved = self.plan.blobs[blob].resolved.as_ref();
            if resolved.is_none_or(|(digest, _)| lacking.contains(digest)) {
                continue;
            }
            let freight = self.freight(blob);
            let number = self.homes.known(blob, repository, freight, delivery);
            if let Some(number) = number {
                self.deliveries[delivery].taken_for_there.push(blob);
                self.tell_blob(blob, (number, delivery), BlobStatus::Present);
            }
        }
    }

    /// The registry misses something that it had not named before: it is asked for everything then, and
    /// offered nothing any more.
    pub(super) fn bring_after_all(&mut self, delivery: usize, node: usize, lacking: &[Digest]) {
        self.stop_offers();
        self.forget(delivery, lacking);
        let state = &mut self.deliveries[delivery];
        let repository = state.repository;
        for blob in std::mem::take(&mut state.taken_for_there) {
            self.homes.forget(blob, repository);
        }
        self.bring(delivery, node);
    }
}
