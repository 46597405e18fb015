//! Where a registry takes no manifest that lacks anything, the root is sent instead of asking whether it is
//! there. Taken, it is in place, and refused, it is known what to bring. A new image costs no request more
//! for it, a new tag one less, and an image of which most is there is not asked for blob by blob.

use crate::image::digest::Digest;
use crate::observe::event::BlobStatus;
use crate::push::delivery::{NodeState, TagState};
use crate::push::plan::PlannedNode;
use crate::push::schedule::{Ended, Schedule, Task};

impl Schedule {
    /// Whether the registry has shown that it is of the kind that may be offered manifests.
    pub(crate) fn allow_offers(&mut self, allowed: bool) {
        self.offers = allowed && !self.misled;
    }

    /// Sends the root of `delivery` by its first open tag, or asks for it.
    pub(super) fn offer_or_ask(&mut self, delivery: usize, nodes: &[PlannedNode]) {
        let root = nodes.len() - 1;
        let offers = self.offers && self.can_be_offered(delivery, nodes);
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

    /// Not where something would be taken for there that the registry does not look at: children, which it
    /// may be told to leave alone, foreign layers, the sizes of what is remembered; nor what could not be
    /// brought.
    fn can_be_offered(&self, delivery: usize, nodes: &[PlannedNode]) -> bool {
        let image = &self.plan.images[self.deliveries[delivery].image];
        let [node] = nodes else {
            return false;
        };
        let mut named = node.manifest.blobs();
        image.expected.is_empty()
            && node.manifest.children().is_empty()
            && !named.any(|descriptor| descriptor.media_type.is_foreign_layer())
            && !(node.blobs.iter()).any(|&blob| self.plan.blobs[blob].is_remembered())
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
                self.take_for_there(delivery, &nodes[root], &digests);
                self.bring(delivery, root);
            }
            // An offer is a question: whatever went wrong shows when the manifest has to be taken.
            _ => {
                self.misled = true;
                self.offers = false;
                self.short.push_back(Task::CheckNode {
                    delivery,
                    node: root,
                });
            }
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
    pub(super) fn bring_after_all(&mut self, delivery: usize, node: usize) {
        self.misled = true;
        self.offers = false;
        let state = &mut self.deliveries[delivery];
        let repository = state.repository;
        for blob in std::mem::take(&mut state.taken_for_there) {
            self.homes.forget(blob, repository);
        }
        self.bring(delivery, node);
    }
}
