//! The steps of one image in one repository: parts, tags, manifests, and tags again.

use crate::image::digest::Digest;
use crate::observe::event::BlobStatus;
use crate::push::delivery::{NodeState, Stage, TagState};
use crate::push::plan::{PlannedContent, PlannedNode};
use crate::push::report::ErrorReport;
use crate::push::schedule::{Ended, Schedule, Task};
use crate::registry::client::Presence;

impl Schedule {
    /// Brings config and layers of an image whose manifest needs their digests.
    pub(super) fn bring_parts(&mut self, delivery: usize) {
        let image = self.deliveries[delivery].image;
        let PlannedContent::Parts { config, mut layers } = self.plan.images[image].content.clone()
        else {
            return self.check_tags(delivery);
        };
        layers.push(config);
        layers.sort_unstable();
        layers.dedup();
        let left = self.need_all(delivery, None, &layers);
        if !self.deliveries[delivery].is_open() {
            return;
        }
        self.deliveries[delivery].stage = Stage::Parts { left };
        if left == 0 {
            self.parts_arrived(delivery);
        }
    }

    pub(super) fn parts_arrived(&mut self, delivery: usize) {
        match self.plan.settle(self.deliveries[delivery].image) {
            Ok(true) => {
                self.deliveries[delivery].parts_arrived = true;
                self.check_tags(delivery);
            }
            Ok(false) => {
                let error = "a layer arrived without a digest".to_string();
                self.fail(delivery, ErrorReport::source(error));
            }
            Err(error) => {
                let error = format!("the manifest made for it {error}");
                self.fail(delivery, ErrorReport::source(error));
            }
        }
    }

    pub(super) fn check_tags(&mut self, delivery: usize) {
        let Some(nodes) = self.nodes(delivery) else {
            return;
        };
        let state = &mut self.deliveries[delivery];
        state.nodes = vec![NodeState::Unseen; nodes.len()];
        if self.limits.force {
            state.stage = Stage::Manifests;
            self.has_news = true;
            return self.look_elsewhere(delivery, nodes.len() - 1);
        }
        state.stage = Stage::Tags {
            left: state.tags.len(),
        };
        let root = nodes[nodes.len() - 1].manifest.digest();
        // Whether a tag is right must not be old news.
        let is_news = !state.parts_arrived;
        let mut seen = Vec::new();
        for tag in 0..state.tags.len() {
            match state.seen.remove(&tag) {
                Some(presence) if is_news || presence != Presence::Present(root.clone()) => {
                    seen.push((tag, presence));
                }
                _ => self.short.push_back(Task::CheckTag { delivery, tag }),
            }
        }
        for (tag, presence) in seen {
            self.tag_checked(delivery, tag, Ended::Checked(presence));
        }
    }

    pub(super) fn tag_checked(&mut self, delivery: usize, tag: usize, how: Ended) {
        let Ended::Checked(presence) = how else {
            return self.fail(delivery, how.error());
        };
        let Some(nodes) = self.nodes(delivery) else {
            return;
        };
        let root = nodes.len() - 1;
        let state = &mut self.deliveries[delivery];
        if presence == Presence::Present(nodes[root].manifest.digest().clone()) {
            state.tags[tag].1 = TagState::Present;
        }
        let Stage::Tags { left } = &mut state.stage else {
            return;
        };
        *left -= 1;
        if *left > 0 {
            return;
        }
        state.stage = Stage::Manifests;
        if state
            .tags
            .iter()
            .any(|(_, tag_state)| *tag_state == TagState::Present)
        {
            self.found(delivery, root);
        } else if state.parts_arrived {
            self.bring(delivery, root);
        } else {
            self.has_news = true;
            self.offer_or_ask(delivery, &nodes);
        }
    }

    pub(super) fn node_checked(&mut self, delivery: usize, node: usize, how: Ended) {
        let Ended::Checked(presence) = how else {
            return self.fail(delivery, how.error());
        };
        let Some(nodes) = self.nodes(delivery) else {
            return;
        };
        if self.deliveries[delivery].nodes[node] == NodeState::Settled {
            return;
        }
        if presence == Presence::Present(nodes[node].manifest.digest().clone()) {
            self.found(delivery, node);
        } else if node + 1 == nodes.len() {
            self.look_elsewhere(delivery, node);
        } else {
            self.bring(delivery, node);
        }
    }

    /// A manifest is in the repository already, and so is all below it.
    pub(super) fn found(&mut self, delivery: usize, node: usize) {
        let Some(nodes) = self.nodes(delivery) else {
            return;
        };
        if node + 1 == nodes.len() {
            self.make_sure(delivery);
        }
        let repository = self.deliveries[delivery].repository;
        let mut news = Vec::new();
        let mut below = vec![node];
        while let Some(at) = below.pop() {
            let state = &mut self.deliveries[delivery].nodes[at];
            // What is below a settled one is settled too: each is visited once, however many name it.
            if std::mem::replace(state, NodeState::Settled) == NodeState::Settled {
                continue;
            }
            for &blob in &nodes[at].blobs {
                let freight = self.freight(blob);
                let number = self.homes.known(blob, repository, freight, delivery);
                if let Some(number) = number {
                    self.tell_blob(blob, (number, delivery), BlobStatus::Present);
                }
            }
            news.push(at);
            below.extend(&nodes[at].children);
        }
        // Other parents may have waited for any of them.
        for at in news {
            self.settled(delivery, at, &nodes);
        }
    }

    /// A manifest is missing: check its children, bring its blobs, then put it.
    pub(super) fn bring(&mut self, delivery: usize, node: usize) {
        let Some(nodes) = self.nodes(delivery) else {
            return;
        };
        for &child in &nodes[node].children {
            if self.deliveries[delivery].nodes[child] != NodeState::Unseen {
                continue;
            }
            self.deliveries[delivery].nodes[child] = NodeState::Checking;
            match self.limits.force {
                true => self.bring(delivery, child),
                false => self.short.push_back(Task::CheckNode {
                    delivery,
                    node: child,
                }),
            }
        }
        let blobs_left = self.need_all(delivery, Some(node), &nodes[node].blobs);
        if self.deliveries[delivery].is_open() {
            self.deliveries[delivery].nodes[node] = NodeState::Needed { blobs_left };
            self.put_if_complete(delivery, node, &nodes);
        }
    }

    pub(super) fn put_if_complete(&mut self, delivery: usize, node: usize, nodes: &[PlannedNode]) {
        let state = &mut self.deliveries[delivery];
        let settled = |&child: &usize| state.nodes[child] == NodeState::Settled;
        let complete = state.nodes[node] == NodeState::Needed { blobs_left: 0 }
            && nodes[node].children.iter().all(settled);
        if !complete {
            return;
        }
        state.nodes[node] = NodeState::Putting;
        let tag = (node == nodes.len() - 1)
            .then(|| state.first_open_tag())
            .flatten();
        self.short.push_front(Task::Put {
            delivery,
            node,
            tag,
        });
    }

    pub(super) fn was_put(&mut self, delivery: usize, node: usize, tag: Option<usize>, how: Ended) {
        let Some(nodes) = self.nodes(delivery) else {
            return;
        };
        match &how {
            Ended::Put(sent_again) => self.note_sent_again(delivery, &nodes[node], sent_again),
            Ended::Lacks(lacking) => return self.bring_after_all(delivery, node, lacking),
            _ => {}
        }
        let state = &mut self.deliveries[delivery];
        let root_is_there = state.nodes.last() == Some(&NodeState::Settled);
        match (tag, how) {
            (Some(tag), Ended::Put(_)) => state.tags[tag].1 = TagState::Pushed,
            (None, Ended::Put(_)) => {}
            (Some(tag), failed) => {
                let error = failed.error();
                if !root_is_there && !error.may_be_of_the_tag() {
                    return self.fail(delivery, error);
                }
                self.fail_tag(delivery, tag, error);
                if !root_is_there {
                    return self.put_by_next_tag(delivery, node);
                }
            }
            (None, failed) => return self.fail(delivery, failed.error()),
        }
        if root_is_there {
            self.finish_if_tagged(delivery);
        } else {
            self.deliveries[delivery].nodes[node] = NodeState::Settled;
            self.settled(delivery, node, &nodes);
        }
    }

    fn note_sent_again(&mut self, delivery: usize, node: &PlannedNode, digests: &[Digest]) {
        let repository = self.deliveries[delivery].repository;
        for &blob in &node.blobs {
            let resolved = self.plan.blobs[blob].resolved.as_ref();
            if resolved.is_some_and(|(digest, _)| digests.contains(digest)) {
                self.homes.sent_again(blob, repository);
            }
        }
    }

    pub(super) fn fail_tag(&mut self, delivery: usize, tag: usize, error: ErrorReport) {
        self.deliveries[delivery].tags[tag].1 = TagState::Failed(error);
        if self.limits.fail_fast {
            self.halt();
        }
    }

    /// The registry did not want the root by one tag; some are protected, others not.
    fn put_by_next_tag(&mut self, delivery: usize, root: usize) {
        match self.deliveries[delivery].first_open_tag() {
            None => self.close(delivery),
            tag => self.short.push_front(Task::Put {
                delivery,
                node: root,
                tag,
            }),
        }
    }

    /// `node` is in place: on to its parents, or to the tags that are left.
    fn settled(&mut self, delivery: usize, node: usize, nodes: &[PlannedNode]) {
        if node + 1 < nodes.len() {
            for &parent in &nodes[node].parents {
                self.put_if_complete(delivery, parent, nodes);
            }
            return;
        }
        for tag in self.deliveries[delivery].open_tags() {
            self.short.push_front(Task::Put {
                delivery,
                node,
                tag: Some(tag),
            });
        }
        self.finish_if_tagged(delivery);
    }

    fn finish_if_tagged(&mut self, delivery: usize) {
        if self.deliveries[delivery].open_tags().is_empty() {
            self.finish(delivery);
        }
    }
}
