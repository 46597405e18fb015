//! What may start next, and what follows from what ended. Pure: no thread, no clock, no wire.
//!
//! Each image goes through its repositories ([`Delivery`](crate::push::plan::Delivery)) side by
//! side. In each: are the tags right already; is the root there; which of its children are; bring
//! the blobs of those that are not; put manifests, children before parents, tags last. An image
//! without a manifest brings its blobs first and asks for the tag when the manifest is made.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::image::digest::Digest;
use crate::image::source::Body as _;
use crate::observe::event::{BlobStatus, Event, ImageStatus};
use crate::push::delivery::{DeliveryState, NodeState, Stage, TagState};
use crate::push::homes::{Homes, Need, Transfer, Waiter};
use crate::push::plan::{BlobId, Origin, Plan, PlannedContent, PlannedNode};
use crate::push::report::ErrorReport;
use crate::registry::client::{Delivery as BlobDelivery, Presence};

/// One thing for a worker to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Compute the digest of a layer that came without one.
    Hash(BlobId),
    CheckTag {
        delivery: usize,
        tag: usize,
    },
    CheckNode {
        delivery: usize,
        node: usize,
    },
    Transfer(Transfer),
    /// By digest, or by one of the delivery's tags.
    Put {
        delivery: usize,
        node: usize,
        tag: Option<usize>,
    },
}

/// How a task ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Hashed(Digest),
    Checked(Presence),
    /// With digest and size, which are news for a layer that was compressed on the way.
    Delivered(BlobDelivery, Digest, u64),
    Put,
    Failed(ErrorReport),
}

pub(crate) struct Schedule {
    pub(crate) plan: Plan,
    pub(crate) homes: Homes,
    pub(crate) deliveries: Vec<DeliveryState>,
    pub(crate) images: Vec<ImageState>,
    limits: Limits,
    /// Checks and manifests: short, and they keep images moving.
    short: VecDeque<Task>,
    hashing: HashMap<BlobId, Vec<usize>>,
    next_image: usize,
    active: usize,
    halted: bool,
    events: Vec<Event>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Images being worked on.
    pub(crate) images: usize,
    pub(crate) fail_fast: bool,
}

pub(crate) struct ImageState {
    /// The first of its deliveries, which lie side by side.
    pub(crate) first_delivery: usize,
    pub(crate) deliveries: usize,
    deliveries_left: usize,
    hashes_left: usize,
    pub(crate) started: bool,
}

impl Schedule {
    pub(crate) fn new(plan: Plan, limits: Limits) -> Self {
        let mut images = Vec::with_capacity(plan.images.len());
        let mut deliveries = Vec::new();
        for (image, planned) in plan.images.iter().enumerate() {
            let first_delivery = deliveries.len();
            deliveries.extend(
                planned
                    .deliveries
                    .iter()
                    .map(|d| DeliveryState::new(image, d)),
            );
            images.push(ImageState {
                first_delivery,
                deliveries: planned.deliveries.len(),
                deliveries_left: planned.deliveries.len(),
                hashes_left: 0,
                started: false,
            });
        }
        Self {
            plan,
            homes: Homes::default(),
            deliveries,
            images,
            limits,
            short: VecDeque::new(),
            hashing: HashMap::new(),
            next_image: 0,
            active: 0,
            halted: false,
            events: Vec::new(),
        }
    }

    /// The next thing to do, if anything may start now.
    pub(crate) fn next(&mut self) -> Option<Task> {
        if self.halted {
            return None;
        }
        self.admit();
        while let Some(task) = self.short.pop_front() {
            if self.is_wanted(&task) {
                return Some(task);
            }
        }
        let deliveries = &self.deliveries;
        let wanted = |waiter: &Waiter| deliveries[waiter.delivery].is_open();
        let transfer = self.homes.next(wanted)?;
        self.announce(&transfer);
        Some(Task::Transfer(transfer))
    }

    /// Takes in how a task ended.
    pub(crate) fn ended(&mut self, task: Task, how: Ended) {
        match task {
            Task::Hash(blob) => self.hashed(blob, how),
            Task::Transfer(transfer) => self.transferred(transfer, how),
            Task::CheckTag { delivery, .. }
            | Task::CheckNode { delivery, .. }
            | Task::Put { delivery, .. }
                if !self.deliveries[delivery].is_open() => {}
            Task::CheckTag { delivery, tag } => self.tag_checked(delivery, tag, how),
            Task::CheckNode { delivery, node } => self.node_checked(delivery, node, how),
            Task::Put {
                delivery,
                node,
                tag,
            } => self.was_put(delivery, node, tag, how),
        }
    }

    /// Nothing new starts from now on.
    pub(crate) fn halt(&mut self) {
        self.halted = true;
        self.short.clear();
    }

    /// What observers have not heard yet.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn nodes(&self, delivery: usize) -> Option<Arc<Vec<PlannedNode>>> {
        match &self.plan.images[self.deliveries[delivery].image].content {
            PlannedContent::Manifests(nodes) => Some(Arc::clone(nodes)),
            PlannedContent::Parts { .. } => None,
        }
    }

    fn is_wanted(&self, task: &Task) -> bool {
        match task {
            Task::Hash(_) | Task::Transfer(_) => true,
            Task::CheckTag { delivery, .. }
            | Task::CheckNode { delivery, .. }
            | Task::Put { delivery, .. } => self.deliveries[*delivery].is_open(),
        }
    }

    fn admit(&mut self) {
        while self.active < self.limits.images && self.next_image < self.images.len() {
            let image = self.next_image;
            self.next_image += 1;
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
                    self.short.push_back(Task::Hash(blob));
                }
                waiting.push(image);
            }
        }
    }

    fn hashed(&mut self, blob: BlobId, how: Ended) {
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
        let state = &self.images[image];
        let deliveries = state.first_delivery..state.first_delivery + state.deliveries;
        match self.plan.settle(image) {
            Ok(true) => deliveries.for_each(|delivery| self.check_tags(delivery)),
            Ok(false) => deliveries.for_each(|delivery| self.bring_parts(delivery)),
            Err(error) => {
                let error = ErrorReport::source(format!("the manifest to be made {error}"));
                self.fail_image(image, &error);
            }
        }
    }

    fn fail_image(&mut self, image: usize, error: &ErrorReport) {
        let first = self.images[image].first_delivery;
        for delivery in first..first + self.images[image].deliveries {
            self.fail(delivery, error.clone());
        }
    }

    /// Brings config and layers of an image whose manifest needs their digests.
    fn bring_parts(&mut self, delivery: usize) {
        let image = self.deliveries[delivery].image;
        let PlannedContent::Parts { config, mut layers } = self.plan.images[image].content.clone()
        else {
            return self.check_tags(delivery);
        };
        layers.push(config);
        layers.sort_unstable();
        layers.dedup();
        let left = self.need_all(delivery, None, &layers);
        self.deliveries[delivery].stage = Stage::Parts { left };
        if left == 0 {
            self.parts_arrived(delivery);
        }
    }

    fn parts_arrived(&mut self, delivery: usize) {
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

    fn check_tags(&mut self, delivery: usize) {
        let Some(nodes) = self.nodes(delivery) else {
            return;
        };
        let state = &mut self.deliveries[delivery];
        state.nodes = vec![NodeState::Unseen; nodes.len()];
        state.stage = Stage::Tags {
            left: state.tags.len(),
        };
        for tag in 0..state.tags.len() {
            self.short.push_back(Task::CheckTag { delivery, tag });
        }
    }

    fn tag_checked(&mut self, delivery: usize, tag: usize, how: Ended) {
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
            state.nodes[root] = NodeState::Checking;
            self.short.push_back(Task::CheckNode {
                delivery,
                node: root,
            });
        }
    }

    fn node_checked(&mut self, delivery: usize, node: usize, how: Ended) {
        let Ended::Checked(presence) = how else {
            return self.fail(delivery, how.error());
        };
        let Some(nodes) = self.nodes(delivery) else {
            return;
        };
        if presence == Presence::Present(nodes[node].manifest.digest().clone()) {
            self.found(delivery, node);
        } else {
            self.bring(delivery, node);
        }
    }

    /// A manifest is in the repository already, and so is all below it.
    fn found(&mut self, delivery: usize, node: usize) {
        let Some(nodes) = self.nodes(delivery) else {
            return;
        };
        let repository = self.deliveries[delivery].repository;
        let mut below = vec![node];
        while let Some(at) = below.pop() {
            self.deliveries[delivery].nodes[at] = NodeState::Settled;
            for &blob in &nodes[at].blobs {
                let size = self.size(blob);
                self.homes.known(blob, repository, size, delivery);
            }
            below.extend(&nodes[at].children);
        }
        self.settled(delivery, node, &nodes);
    }

    /// A manifest is missing: check its children, bring its blobs, then put it.
    fn bring(&mut self, delivery: usize, node: usize) {
        let Some(nodes) = self.nodes(delivery) else {
            return;
        };
        for &child in &nodes[node].children {
            if self.deliveries[delivery].nodes[child] == NodeState::Unseen {
                self.deliveries[delivery].nodes[child] = NodeState::Checking;
                self.short.push_back(Task::CheckNode {
                    delivery,
                    node: child,
                });
            }
        }
        let blobs_left = self.need_all(delivery, Some(node), &nodes[node].blobs);
        if self.deliveries[delivery].is_open() {
            self.deliveries[delivery].nodes[node] = NodeState::Needed { blobs_left };
            self.put_if_complete(delivery, node, &nodes);
        }
    }

    /// Asks for `blobs`; returns how many are still to come. A blob that has failed already fails
    /// the delivery.
    fn need_all(&mut self, delivery: usize, node: Option<usize>, blobs: &[BlobId]) -> usize {
        let repository = self.deliveries[delivery].repository;
        let mut left = 0;
        for &blob in blobs {
            let size = self.size(blob);
            match self
                .homes
                .need(blob, repository, size, Waiter { delivery, node })
            {
                Need::Satisfied => {}
                Need::Pending => left += 1,
                Need::Failed(error) => {
                    self.fail(delivery, error);
                    return left;
                }
            }
        }
        left
    }

    fn put_if_complete(&mut self, delivery: usize, node: usize, nodes: &[PlannedNode]) {
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

    fn was_put(&mut self, delivery: usize, node: usize, tag: Option<usize>, how: Ended) {
        let Some(nodes) = self.nodes(delivery) else {
            return;
        };
        let state = &mut self.deliveries[delivery];
        let root_is_there = state.nodes.last() == Some(&NodeState::Settled);
        match (tag, how) {
            (Some(tag), Ended::Put) => state.tags[tag].1 = TagState::Pushed,
            (None, Ended::Put) => {}
            (Some(tag), failed) if root_is_there => {
                state.tags[tag].1 = TagState::Failed(failed.error());
            }
            (_, failed) => return self.fail(delivery, failed.error()),
        }
        if root_is_there {
            self.finish_if_tagged(delivery);
        } else {
            self.deliveries[delivery].nodes[node] = NodeState::Settled;
            self.settled(delivery, node, &nodes);
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
            self.close(delivery);
        }
    }

    fn transferred(&mut self, transfer: Transfer, how: Ended) {
        let Transfer {
            blob, repository, ..
        } = transfer;
        let owner = self
            .homes
            .get(blob, repository)
            .map_or(0, |home| home.owner);
        let image = self.deliveries[owner].image;
        match how {
            Ended::Delivered(delivery, digest, size) => {
                let status = delivery.arrival.into();
                self.events.push(Event::BlobFinished {
                    blob,
                    image,
                    status,
                });
                if self.plan.blobs[blob].resolved.is_none() {
                    self.plan.resolve(blob, digest, size);
                }
                for waiter in self.homes.arrived(blob, repository, delivery) {
                    self.one_less(waiter);
                }
            }
            other => {
                self.events.push(Event::BlobFinished {
                    blob,
                    image,
                    status: BlobStatus::Failed,
                });
                let error = other.error();
                for waiter in self.homes.failed(blob, repository, error.clone()) {
                    self.fail(waiter.delivery, error.clone());
                }
            }
        }
    }

    /// A blob that `waiter` waited for has come.
    fn one_less(&mut self, waiter: Waiter) {
        let Waiter { delivery, node } = waiter;
        let state = &mut self.deliveries[delivery];
        if !state.is_open() {
            return;
        }
        match (node, &mut state.stage) {
            (None, Stage::Parts { left }) => {
                *left -= 1;
                if *left == 0 {
                    self.parts_arrived(delivery);
                }
            }
            (None, _) => {}
            (Some(node), _) => {
                if let NodeState::Needed { blobs_left } = &mut state.nodes[node] {
                    *blobs_left -= 1;
                }
                if let Some(nodes) = self.nodes(delivery) {
                    self.put_if_complete(delivery, node, &nodes);
                }
            }
        }
    }

    fn fail(&mut self, delivery: usize, error: ErrorReport) {
        if !self.deliveries[delivery].is_open() {
            return;
        }
        self.deliveries[delivery].fail(error);
        self.close(delivery);
        if self.limits.fail_fast {
            self.halt();
        }
    }

    fn close(&mut self, delivery: usize) {
        let state = &mut self.deliveries[delivery];
        if !state.is_open() {
            return;
        }
        state.stage = Stage::Closed;
        let image = state.image;
        self.images[image].deliveries_left -= 1;
        if self.images[image].deliveries_left == 0 {
            self.active -= 1;
            self.tell_finished(image);
        }
    }

    fn tell_finished(&mut self, image: usize) {
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
        let ImageState {
            first_delivery,
            deliveries,
            ..
        } = self.images[image];
        &self.deliveries[first_delivery..first_delivery + deliveries]
    }

    /// Failed when any target failed, present when all were there, skipped when it never came to
    /// its end; with the first error.
    pub(crate) fn image_status(&self, image: usize) -> (ImageStatus, Option<ErrorReport>) {
        let tags: Vec<&TagState> = self
            .deliveries_of(image)
            .iter()
            .flat_map(|d| d.tags.iter().map(|(_, s)| s))
            .collect();
        let error = tags.iter().find_map(|state| match state {
            TagState::Failed(error) => Some(error.clone()),
            _ => None,
        });
        let status = if error.is_some() {
            ImageStatus::Failed
        } else if tags.iter().any(|state| **state == TagState::Open) {
            ImageStatus::Skipped
        } else if tags.iter().all(|state| **state == TagState::Present) {
            ImageStatus::Present
        } else {
            ImageStatus::Pushed
        };
        (status, error)
    }

    pub(crate) fn root_digest(&self, image: usize) -> Option<Digest> {
        match &self.plan.images[image].content {
            PlannedContent::Manifests(nodes) => nodes.last().map(|n| n.manifest.digest().clone()),
            PlannedContent::Parts { .. } => None,
        }
    }

    /// Bytes to be sent for a blob, or to be read where that is not known yet.
    fn size(&self, blob: BlobId) -> u64 {
        let blob = &self.plan.blobs[blob];
        blob.resolved
            .as_ref()
            .map_or(blob.stored_size, |(_, size)| *size)
    }

    fn announce(&mut self, transfer: &Transfer) {
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
            blob: transfer.blob,
            image: self.deliveries[home.owner].image,
            label,
            size: self.size(transfer.blob),
            meter: Arc::clone(&home.meter),
        });
    }
}

impl Ended {
    /// The error of one that is no success; of an answer to another question, a sentence that says
    /// so.
    fn error(self) -> ErrorReport {
        match self {
            Self::Failed(error) => error,
            other => ErrorReport::local(format!("a task ended in an unexpected way: {other:?}")),
        }
    }
}

#[cfg(test)]
mod tests;
