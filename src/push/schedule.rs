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
mod offer;
mod order;
mod outcome;
mod recall;
mod steps;
mod verify;

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use crate::image::manifest::ManifestError;
use crate::image::reference::Repository;
use crate::observe::event::{BlobStatus, Event};
use crate::push::delivery::{DeliveryState, NodeState, Stage};
use crate::push::holdings::Holdings;
use crate::push::homes::{Freight, Homes, Transfer, Waiter};
use crate::push::lanes::Lanes;
use crate::push::plan::{BlobId, Plan, PlannedContent, PlannedNode, RepositoryId};
use crate::push::report::ErrorReport;
use crate::push::schedule::former::Search;
pub(crate) use crate::push::schedule::order::{Ended, Task};
use crate::push::schedule::verify::Readings;
pub(crate) use crate::push::schedule::verify::{Reading, Verified, Verify};

/// What waits for its turn at a source.
#[derive(Clone, Copy, Debug)]
enum InTurn {
    Hash(BlobId),
    Transfer(BlobId, RepositoryId),
}

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

pub(crate) struct ImageState {
    /// The first of its deliveries, which lie side by side.
    pub(crate) first_delivery: usize,
    pub(crate) deliveries: usize,
    deliveries_left: usize,
    hashes_left: usize,
    search: Search,
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
            if limits.fail_fast && !planned.expected.is_empty() {
                let unsure = deliveries[first_delivery..].iter_mut();
                unsure.for_each(|delivery: &mut DeliveryState| delivery.unsure = true);
            }
            images.push(ImageState {
                first_delivery,
                deliveries: planned.deliveries.len(),
                deliveries_left: planned.deliveries.len(),
                hashes_left: 0,
                search: Search::default(),
                started: false,
            });
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
        for (blob, repository) in self.homes.take_sequential() {
            match self.plan.spot(blob) {
                Some(spot) => self.lanes.push(spot, InTurn::Transfer(blob, repository)),
                // Only what has a spot is ever said to be sequential.
                None => debug_assert!(false, "blob {blob} has no spot"),
            }
        }
        while let Some(work) = self.next_in_turn() {
            match work {
                InTurn::Hash(blob) => return Some(Task::Hash(blob)),
                InTurn::Transfer(blob, repository) => {
                    let deliveries = &self.deliveries;
                    let wanted = |waiter: &Waiter| deliveries[waiter.delivery].is_open();
                    match self.homes.start(blob, repository, wanted) {
                        Some(transfer) => return Some(self.started(transfer)),
                        None => self.leave_lane(blob),
                    }
                }
            }
        }
        let deliveries = &self.deliveries;
        let wanted = |waiter: &Waiter| deliveries[waiter.delivery].is_open();
        let transfer = self.homes.next(wanted)?;
        Some(self.started(transfer))
    }

    fn next_in_turn(&mut self) -> Option<InTurn> {
        let homes = &self.homes;
        self.lanes.next(|work| match *work {
            InTurn::Hash(_) => true,
            InTurn::Transfer(blob, repository) => !homes.must_wait(blob, repository),
        })
    }

    fn started(&mut self, transfer: Transfer) -> Task {
        self.announce(&transfer);
        self.recall_source(&transfer);
        Task::Transfer(transfer)
    }

    /// Whoever reads that blob's source next may start.
    fn leave_lane(&mut self, blob: BlobId) {
        if let Some(spot) = self.plan.spot(blob) {
            self.lanes.done(spot);
        }
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

    fn admit(&mut self) {
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
        match self.plan.settle(image) {
            Ok(false) if self.plan.listens => self.look(image),
            settled => self.go_on(image, settled),
        }
    }

    /// `settled`: whether there is a manifest.
    fn go_on(&mut self, image: usize, settled: Result<bool, ManifestError>) {
        let open = |delivery: &usize| self.deliveries[*delivery].is_open();
        let deliveries: Vec<usize> = self.numbers_of(image).filter(open).collect();
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

    /// The numbers of its deliveries.
    fn numbers_of(&self, image: usize) -> Range<usize> {
        let state = &self.images[image];
        state.first_delivery..state.first_delivery + state.deliveries
    }

    fn fail_image(&mut self, image: usize, error: &ErrorReport) {
        for delivery in self.numbers_of(image) {
            self.fail(delivery, error.clone());
        }
    }

    fn transferred(&mut self, transfer: Transfer, how: Ended) {
        let Transfer {
            blob, repository, ..
        } = transfer;
        let home = self.homes.get(blob, repository);
        let named = home.map_or((0, 0), |home| (home.number, home.owner));
        match how {
            Ended::Delivered(mut delivery, digest, size) => {
                self.judge_recalled(&transfer, &digest, &mut delivery);
                let status = delivery.arrival.into();
                self.tell_blob(blob, named, status);
                if self.plan.blobs[blob].resolved.is_none() {
                    self.plan.resolve(blob, digest, size);
                }
                for waiter in self.homes.arrived(blob, repository, delivery) {
                    self.one_less(waiter);
                }
            }
            other => {
                self.recalled.remove(&(blob, repository));
                self.tell_blob(blob, named, BlobStatus::Failed);
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
        self.is_sure(delivery);
        self.images[image].deliveries_left -= 1;
        if self.images[image].deliveries_left == 0 {
            self.active -= 1;
            self.tell_finished(image);
        }
    }

    fn freight(&self, blob: BlobId) -> Freight {
        Freight {
            size: self.size(blob),
            is_sequential: self.plan.spot(blob).is_some(),
        }
    }

    /// Bytes to be sent for a blob, or to be read where that is not known yet.
    fn size(&self, blob: BlobId) -> u64 {
        let blob = &self.plan.blobs[blob];
        blob.resolved
            .as_ref()
            .map_or(blob.stored_size, |(_, size)| *size)
    }
}

#[cfg(test)]
mod tests;
