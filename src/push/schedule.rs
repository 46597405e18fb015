//! What may start next, and what follows from what ended. Pure: no thread, no clock, no wire.
//!
//! Each image goes through its repositories ([`Delivery`](crate::push::plan::Delivery)) side by
//! side. In each: are the tags right already; is the root there; is what the image's source lacks;
//! which of the root's children are there; bring
//! the blobs of those that are not; put manifests, children before parents, tags last. An image
//! without a manifest looks what its tags stand for, and if that is not it, brings its blobs before its
//! manifest is made.

mod elsewhere;
mod former;
mod images;
mod offer;
mod order;
mod outcome;
mod recall;
mod steps;
mod transfers;
mod verify;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::image::reference::Repository;
use crate::observe::event::Event;
use crate::push::delivery::{DeliveryState, NodeState};
use crate::push::holdings::Holdings;
use crate::push::homes::{Homes, Transfer};
use crate::push::lanes::Lanes;
use crate::push::plan::{BlobId, Plan, PlannedContent, PlannedNode, RepositoryId};
use crate::push::schedule::images::ImageState;
pub(crate) use crate::push::schedule::order::{Ended, Task};
use crate::push::schedule::transfers::InTurn;
use crate::push::schedule::verify::Readings;
pub(crate) use crate::push::schedule::verify::{Reading, Verified, Verify};

pub(crate) struct Schedule {
    pub(crate) plan: Plan,
    pub(crate) homes: Homes,
    pub(crate) deliveries: Vec<DeliveryState>,
    pub(crate) images: Vec<ImageState>,
    limits: Limits,
    /// Checks and manifests: short, and they keep images moving.
    short: VecDeque<Task>,
    /// Blobs to be read back, and what was found.
    reads: VecDeque<(BlobId, RepositoryId)>,
    pub(crate) readings: Readings,
    /// Whatever reads a source that has to be read in order.
    lanes: Lanes<InTurn>,
    hashing: HashMap<BlobId, Vec<usize>>,
    /// Images that were not begun, those first that are in question.
    waiting: VecDeque<usize>,
    /// With `--fail-fast`, deliveries that may turn out to be of broken images: nothing is sent before
    /// it is known.
    unsure: usize,
    active: usize,
    halted: bool,
    /// Manifests go first, see [`offer`].
    offers: bool,
    /// The same where most of what they name is known from earlier pushes.
    recalled_offers: bool,
    /// The registry does not answer offers as it should.
    misled: bool,
    /// What earlier pushes have brought where, and what of that is made use of at the moment.
    pub(crate) holdings: Holdings,
    recalled: HashMap<(BlobId, RepositoryId), Repository>,
    mounts: bool,
    /// Something remembered turned out not to be true, so nothing planned with it counts.
    pub(crate) disproved: bool,
    /// An image turned out not to be there: transfers are about to start.
    pub(crate) has_news: bool,
    events: Vec<Event>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Images being worked on.
    pub(crate) images: usize,
    pub(crate) fail_fast: bool,
    /// Everything is sent, whatever seems to be there.
    pub(crate) force: bool,
    /// Everything in place is read back.
    pub(crate) verify: bool,
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
            if limits.fail_fast && !planned.expected.is_empty() {
                let unsure = deliveries[first_delivery..].iter_mut();
                unsure.for_each(|delivery: &mut DeliveryState| delivery.unsure = true);
            }
            images.push(ImageState::new(first_delivery, planned.deliveries.len()));
        }
        let unsure = |image: &usize| limits.fail_fast && !plan.images[*image].expected.is_empty();
        let (first, rest): (Vec<usize>, Vec<usize>) = (0..plan.images.len()).partition(unsure);
        Self {
            unsure: deliveries.iter().filter(|delivery| delivery.unsure).count(),
            waiting: first.into_iter().chain(rest).collect(),
            plan,
            homes: Homes::new(limits.force),
            deliveries,
            images,
            limits,
            short: VecDeque::new(),
            reads: VecDeque::new(),
            readings: Readings::default(),
            lanes: Lanes::default(),
            hashing: HashMap::new(),
            active: 0,
            halted: false,
            offers: false,
            recalled_offers: false,
            misled: false,
            holdings: Holdings::default(),
            recalled: HashMap::new(),
            mounts: true,
            disproved: false,
            has_news: false,
            events: Vec::new(),
        }
    }

    /// Makes use of what earlier pushes have left.
    pub(crate) fn knowing(self, holdings: Holdings) -> Self {
        Self { holdings, ..self }
    }

    /// The next thing to do, if anything may start now.
    pub(crate) fn next(&mut self) -> Option<Task> {
        if self.halted {
            return None;
        }
        self.admit();
        let sends = |task: &Task| matches!(task, Task::Put { .. } | Task::Offer { .. });
        let held = |task: &Task| self.unsure > 0 && sends(task);
        while let Some(at) = self.short.iter().position(|task| !held(task)) {
            let task = self.short.remove(at)?;
            if self.is_wanted(&task) {
                return Some(task);
            }
        }
        if let Some(task) = self.next_read() {
            return Some(task);
        }
        if self.unsure > 0 {
            return None;
        }
        self.next_blob()
    }

    /// Takes in how a task ended.
    pub(crate) fn ended(&mut self, task: Task, how: Ended) {
        if matches!(how, Ended::Disproved) {
            self.disproved = true;
            return self.halt();
        }
        if self.halted && how.was_broken_off() {
            // That says nothing of the image.
            return;
        }
        if let Task::Hash(blob) | Task::Transfer(Transfer { blob, .. }) = task {
            self.leave_lane(blob);
        }
        match task {
            Task::Hash(blob) => self.hashed(blob, how),
            Task::Transfer(transfer) => self.transferred(transfer, how),
            Task::CheckTag { delivery, .. }
            | Task::CheckNode { delivery, .. }
            | Task::CheckExpected { delivery, .. }
            | Task::Offer { delivery, .. }
            | Task::Put { delivery, .. }
                if !self.deliveries[delivery].is_open() => {}
            Task::Look { delivery, tag } => self.looked(delivery, tag, how),
            Task::ReadConfig { delivery, former } => self.config_read(delivery, former, how),
            Task::CheckTag { delivery, tag } => self.tag_checked(delivery, tag, how),
            Task::CheckNode { delivery, node } => self.node_checked(delivery, node, how),
            Task::CheckExpected { delivery, item } => self.expected_checked(delivery, item, how),
            Task::Offer { delivery, tag } => self.offered(delivery, tag, how),
            Task::Put {
                delivery,
                node,
                tag,
            } => self.was_put(delivery, node, tag, how),
            Task::Verify(verify) => self.verified(verify, how),
        }
    }

    /// Nothing new starts from now on.
    pub(crate) fn halt(&mut self) {
        self.halted = true;
        self.short.clear();
        self.lanes.clear();
        self.reads.clear();
    }

    /// Whether nothing new starts any more, and what runs is not wanted either.
    pub(crate) fn is_halted(&self) -> bool {
        self.halted
    }

    /// Whether the fate of every image is known.
    pub(crate) fn is_over(&self) -> bool {
        self.active == 0 && self.waiting.is_empty()
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
            // The image waits for all answers, wanted or not.
            Task::Look { .. } | Task::ReadConfig { .. } => true,
            Task::Hash(_) | Task::Transfer(_) | Task::Verify(Verify::Blob { .. }) => true,
            Task::CheckNode { delivery, node } => {
                let state = &self.deliveries[*delivery];
                // It may have been found meanwhile below another index.
                state.is_open() && state.nodes[*node] != NodeState::Settled
            }
            Task::CheckTag { delivery, .. }
            | Task::CheckExpected { delivery, .. }
            | Task::Offer { delivery, .. }
            | Task::Verify(Verify::Manifest { delivery, .. })
            | Task::Put { delivery, .. } => self.deliveries[*delivery].is_open(),
        }
    }
}

#[cfg(test)]
mod tests;
