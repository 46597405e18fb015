//! Blobs: who needs them, which may be read and sent next, and who goes on when one has come.

use crate::observe::event::BlobStatus;
use crate::push::delivery::{NodeState, Stage};
use crate::push::homes::{Freight, Need, Transfer, Waiter};
use crate::push::plan::{BlobId, RepositoryId};
use crate::push::schedule::{Ended, Schedule, Task};

/// What waits for its turn at a source.
#[derive(Clone, Copy, Debug)]
pub(super) enum InTurn {
    Hash(BlobId),
    Transfer(BlobId, RepositoryId),
}

impl Schedule {
    /// Asks for `blobs`; returns how many are still to come. A blob that has failed already fails
    /// the delivery.
    pub(super) fn need_all(
        &mut self,
        delivery: usize,
        node: Option<usize>,
        blobs: &[BlobId],
    ) -> usize {
        let repository = self.deliveries[delivery].repository;
        let mut left = 0;
        for &blob in blobs {
            let freight = self.freight(blob);
            match self
                .homes
                .need(blob, repository, freight, Waiter { delivery, node })
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

    /// A blob to be hashed or sent, if there is one whose turn it is.
    pub(super) fn next_blob(&mut self) -> Option<Task> {
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
    pub(super) fn leave_lane(&mut self, blob: BlobId) {
        if let Some(spot) = self.plan.spot(blob) {
            self.lanes.done(spot);
        }
    }

    pub(super) fn transferred(&mut self, transfer: Transfer, how: Ended) {
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

    pub(super) fn freight(&self, blob: BlobId) -> Freight {
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
