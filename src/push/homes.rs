//! Which blob is in which repository, on its way there, or waiting for another one to arrive first.
//!
//! A blob goes up once. Other repositories of the registry wait for it, holding neither worker nor
//! permit, and mount it then; when it fails, the next one sends it; once the registry has refused a
//! mount nobody waits any more. Pure: told what happened, says what may start.

use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use crate::observe::event::Meter;
use crate::push::plan::{BlobId, RepositoryId};
use crate::push::report::ErrorReport;
use crate::registry::client::{Arrival, Delivery};

/// Who wants a blob: a node of a delivery, or a delivery whose manifest is still to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiter {
    pub(crate) delivery: usize,
    pub(crate) node: Option<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct Homes {
    homes: HashMap<(BlobId, RepositoryId), Home>,
    blobs: HashMap<BlobId, Spread>,
    ready: BinaryHeap<Ready>,
    ready_in_turn: Vec<(BlobId, RepositoryId)>,
    /// Ready ones are numbered, so that equal sizes go in the order they came.
    sequence: u64,
    numbered: usize,
    mounts_refused: bool,
}

/// One blob in one repository.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) state: State,
    /// The delivery that asked first; in the report the transfer is its.
    pub(crate) owner: usize,
    /// Tells blobs in repositories apart for observers.
    pub(crate) number: usize,
    pub(crate) meter: Arc<Meter>,
    freight: Freight,
    waiters: Vec<Waiter>,
}

#[derive(Debug)]
pub(crate) enum State {
    Waiting,
    Ready,
    Running,
    Arrived(Delivery),
    Failed(ErrorReport),
}

/// Where a blob is known to be, and who waits for it to get somewhere.
#[derive(Debug, Default)]
struct Spread {
    present: Option<RepositoryId>,
    /// The repository it is being sent to while others wait.
    leader: Option<RepositoryId>,
    waiting: VecDeque<RepositoryId>,
}

/// What the order of transfers depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Freight {
    pub(crate) size: u64,
    /// It can only be read in its turn, see [`lanes`](crate::push::lanes).
    pub(crate) is_sequential: bool,
}

/// What asking for a blob led to.
#[derive(Debug)]
pub(crate) enum Need {
    Satisfied,
    Pending,
    Failed(ErrorReport),
}

/// A transfer that may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) blob: BlobId,
    pub(crate) repository: RepositoryId,
    /// A repository known to hold the blob.
    pub(crate) from: Option<RepositoryId>,
}

/// Biggest first; among equals the one that came first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ready {
    size: u64,
    order: std::cmp::Reverse<u64>,
    blob: BlobId,
    repository: RepositoryId,
}

impl Homes {
    /// `waiter` needs `blob` in `repository`.
    pub(crate) fn need(
        &mut self,
        blob: BlobId,
        repository: RepositoryId,
        freight: Freight,
        waiter: Waiter,
    ) -> Need {
        if let Some(home) = self.homes.get_mut(&(blob, repository)) {
            return match &home.state {
                State::Arrived(_) => Need::Satisfied,
                State::Failed(error) => Need::Failed(error.clone()),
                State::Waiting | State::Ready | State::Running => {
                    home.waiters.push(waiter);
                    Need::Pending
                }
            };
        }
        let number = self.new_number();
        let home = Home {
            state: State::Waiting,
            owner: waiter.delivery,
            number,
            meter: Arc::default(),
            freight,
            waiters: vec![waiter],
        };
        self.homes.insert((blob, repository), home);
        let spread = self.blobs.entry(blob).or_default();
        let must_wait = spread.present.is_none() && spread.leader.is_some() && !self.mounts_refused;
        if must_wait {
            spread.waiting.push_back(repository);
        } else {
            if spread.leader.is_none() && spread.present.is_none() {
                spread.leader = Some(repository);
            }
            self.make_ready(blob, repository);
        }
        Need::Pending
    }

    /// The registry has a manifest that names `blob` in `repository`, so it has the blob. Its number,
    /// if that is news.
    pub(crate) fn known(
        &mut self,
        blob: BlobId,
        repository: RepositoryId,
        freight: Freight,
        owner: usize,
    ) -> Option<usize> {
        let spread = self.blobs.entry(blob).or_default();
        spread.present.get_or_insert(repository);
        let number = self.new_number();
        let Entry::Vacant(place) = self.homes.entry((blob, repository)) else {
            return None;
        };
        place.insert(Home {
            state: State::Arrived(Delivery {
                arrival: Arrival::Present,
                from: None,
                resumed_at: None,
                mount_refused: false,
            }),
            owner,
            number,
            meter: Arc::default(),
            freight,
            waiters: Vec::new(),
        });
        Some(number)
    }

    fn new_number(&mut self) -> usize {
        self.numbered += 1;
        self.numbered - 1
    }

    /// The biggest transfer that may start and that somebody still waits for, by `is_wanted`; not one
    /// that has to wait its turn.
    pub(crate) fn next(&mut self, is_wanted: impl Fn(&Waiter) -> bool) -> Option<Transfer> {
        while let Some(ready) = self.ready.pop() {
            let started = self.start(ready.blob, ready.repository, &is_wanted);
            if started.is_some() {
                return started;
            }
        }
        None
    }

    /// What may start in its turn, since the last time this was asked.
    pub(crate) fn take_sequential(&mut self) -> Vec<(BlobId, RepositoryId)> {
        std::mem::take(&mut self.ready_in_turn)
    }

    /// Starts a transfer, if somebody still waits for it.
    pub(crate) fn start(
        &mut self,
        blob: BlobId,
        repository: RepositoryId,
        is_wanted: impl Fn(&Waiter) -> bool,
    ) -> Option<Transfer> {
        let home = self.homes.get_mut(&(blob, repository))?;
        if !home.waiters.iter().any(is_wanted) {
            self.homes.remove(&(blob, repository));
            self.promote(blob, repository);
            return None;
        }
        home.state = State::Running;
        let present = self.blobs.get(&blob).and_then(|spread| spread.present);
        let from = present.filter(|_| !self.mounts_refused);
        Some(Transfer {
            blob,
            repository,
            from,
        })
    }

    /// A transfer ended well; returns who waited for it.
    pub(crate) fn arrived(
        &mut self,
        blob: BlobId,
        repository: RepositoryId,
        delivery: Delivery,
    ) -> Vec<Waiter> {
        let refused = delivery.mount_refused;
        let waiters = self.end(blob, repository, State::Arrived(delivery));
        let spread = self.blobs.entry(blob).or_default();
        spread.present.get_or_insert(repository);
        spread.leader = None;
        let freed: Vec<RepositoryId> = spread.waiting.drain(..).collect();
        for waiting in freed {
            self.make_ready(blob, waiting);
        }
        if refused && !self.mounts_refused {
            self.stop_waiting();
        }
        waiters
    }

    /// A transfer failed; returns who waited for it.
    pub(crate) fn failed(
        &mut self,
        blob: BlobId,
        repository: RepositoryId,
        error: ErrorReport,
    ) -> Vec<Waiter> {
        let waiters = self.end(blob, repository, State::Failed(error));
        self.promote(blob, repository);
        waiters
    }

    /// Takes back [`Homes::known`]: nobody knows whether `blob` is there.
    pub(crate) fn forget(&mut self, blob: BlobId, repository: RepositoryId) {
        let home = self.homes.get(&(blob, repository)).map(|home| &home.state);
        if !matches!(home, Some(State::Arrived(delivery)) if delivery.arrival == Arrival::Present) {
            return;
        }
        self.homes.remove(&(blob, repository));
        if let Some(spread) = self.blobs.get_mut(&blob)
            && spread.present == Some(repository)
        {
            spread.present = None;
        }
    }

    /// What had been thought to be there was not, and was uploaded.
    pub(crate) fn sent_again(&mut self, blob: BlobId, repository: RepositoryId) {
        if let Some(home) = self.homes.get_mut(&(blob, repository)) {
            home.state = State::Arrived(Delivery {
                arrival: Arrival::Uploaded,
                from: None,
                resumed_at: None,
                mount_refused: false,
            });
        }
    }

    pub(crate) fn get(&self, blob: BlobId, repository: RepositoryId) -> Option<&Home> {
        self.homes.get(&(blob, repository))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&(BlobId, RepositoryId), &Home)> {
        self.homes.iter()
    }

    fn end(&mut self, blob: BlobId, repository: RepositoryId, state: State) -> Vec<Waiter> {
        let Some(home) = self.homes.get_mut(&(blob, repository)) else {
            return Vec::new();
        };
        home.state = state;
        std::mem::take(&mut home.waiters)
    }

    /// Lets the next repository send `blob`, which will not come by way of `gone`.
    fn promote(&mut self, blob: BlobId, gone: RepositoryId) {
        let Some(spread) = self.blobs.get_mut(&blob) else {
            return;
        };
        if spread.leader != Some(gone) {
            return;
        }
        spread.leader = spread.waiting.pop_front();
        if let Some(next) = spread.leader {
            self.make_ready(blob, next);
        }
    }

    fn stop_waiting(&mut self) {
        self.mounts_refused = true;
        let mut freed: Vec<(BlobId, RepositoryId)> = Vec::new();
        for (&blob, spread) in &mut self.blobs {
            freed.extend(
                spread
                    .waiting
                    .drain(..)
                    .map(|repository| (blob, repository)),
            );
        }
        freed.sort_unstable();
        for (blob, repository) in freed {
            self.make_ready(blob, repository);
        }
    }

    fn make_ready(&mut self, blob: BlobId, repository: RepositoryId) {
        let Some(home) = self.homes.get_mut(&(blob, repository)) else {
            return;
        };
        home.state = State::Ready;
        let freight = home.freight;
        let spread = self.blobs.get(&blob);
        let is_mount = !self.mounts_refused && spread.is_some_and(|s| s.present.is_some());
        if freight.is_sequential && !is_mount {
            self.ready_in_turn.push((blob, repository));
            return;
        }
        let order = std::cmp::Reverse(self.sequence);
        self.sequence += 1;
        self.ready.push(Ready {
            size: freight.size,
            order,
            blob,
            repository,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::report::{FailureKind, Side};

    fn waiter(delivery: usize) -> Waiter {
        Waiter {
            delivery,
            node: Some(0),
        }
    }

    fn transfer(blob: BlobId, repository: RepositoryId, from: Option<RepositoryId>) -> Transfer {
        Transfer {
            blob,
            repository,
            from,
        }
    }

    fn bytes(size: u64) -> Freight {
        Freight {
            size,
            is_sequential: false,
        }
    }

    fn uploaded(mount_refused: bool) -> Delivery {
        Delivery {
            arrival: Arrival::Uploaded,
            from: None,
            resumed_at: None,
            mount_refused,
        }
    }

    fn error() -> ErrorReport {
        let message = "gone".to_string();
        ErrorReport {
            kind: FailureKind::Refused,
            side: Side::Registry,
            message,
            hint: None,
            common: None,
        }
    }

    #[test]
    fn biggest_first_then_in_order() {
        let mut homes = Homes::default();
        for (blob, size) in [(0, 5), (1, 9), (2, 5)] {
            assert!(matches!(
                homes.need(blob, 0, bytes(size), waiter(0)),
                Need::Pending
            ));
        }
        let order: Vec<BlobId> = std::iter::from_fn(|| homes.next(|_| true))
            .map(|next| next.blob)
            .collect();
        assert_eq!(order, [1, 0, 2]);
    }

    #[test]
    fn a_second_repository_waits_and_mounts() {
        let mut homes = Homes::default();
        homes.need(0, 0, bytes(5), waiter(0));
        homes.need(0, 1, bytes(5), waiter(1));
        assert_eq!(homes.next(|_| true), Some(transfer(0, 0, None)));
        assert_eq!(homes.next(|_| true), None);
        assert_eq!(homes.arrived(0, 0, uploaded(false)), [waiter(0)]);
        assert_eq!(homes.next(|_| true), Some(transfer(0, 1, Some(0))));
    }

    #[test]
    fn the_next_one_sends_what_failed_elsewhere() {
        let mut homes = Homes::default();
        homes.need(0, 0, bytes(5), waiter(0));
        homes.need(0, 1, bytes(5), waiter(1));
        homes.next(|_| true);
        assert_eq!(homes.failed(0, 0, error()), [waiter(0)]);
        assert_eq!(homes.next(|_| true), Some(transfer(0, 1, None)));
        assert!(matches!(
            homes.need(0, 0, bytes(5), waiter(2)),
            Need::Failed(_)
        ));
    }

    #[test]
    fn nobody_waits_where_mounts_are_refused() {
        let mut homes = Homes::default();
        for blob in 0..2 {
            homes.need(blob, 0, bytes(5), waiter(0));
            homes.need(blob, 1, bytes(5), waiter(1));
        }
        homes.next(|_| true);
        homes.next(|_| true);
        homes.arrived(0, 0, uploaded(true));
        let rest: Vec<Transfer> = std::iter::from_fn(|| homes.next(|_| true)).collect();
        assert_eq!(rest, [transfer(0, 1, None), transfer(1, 1, None)]);
    }

    #[test]
    fn what_nobody_wants_any_more_is_not_sent() {
        let mut homes = Homes::default();
        homes.need(0, 0, bytes(5), waiter(0));
        homes.need(0, 1, bytes(5), waiter(1));
        assert_eq!(
            homes.next(|who| who.delivery == 1),
            Some(transfer(0, 1, None))
        );
    }

    #[test]
    fn what_a_known_manifest_names_is_there() {
        let mut homes = Homes::default();
        homes.known(0, 0, bytes(5), 0);
        assert!(matches!(
            homes.need(0, 0, bytes(5), waiter(1)),
            Need::Satisfied
        ));
        homes.need(0, 1, bytes(5), waiter(1));
        assert_eq!(homes.next(|_| true), Some(transfer(0, 1, Some(0))));
    }

    #[test]
    fn what_is_read_in_order_waits_its_turn_but_mounts_do_not() {
        let mut homes = Homes::default();
        let freight = Freight {
            size: 5,
            is_sequential: true,
        };
        homes.need(0, 0, freight, waiter(0));
        homes.need(0, 1, freight, waiter(1));
        assert_eq!(homes.next(|_| true), None);
        assert_eq!(homes.take_sequential(), [(0, 0)]);
        let started = homes.start(0, 0, |_| true);
        assert_eq!(started, Some(transfer(0, 0, None)));
        homes.arrived(0, 0, uploaded(false));
        assert_eq!(homes.take_sequential(), []);
        assert_eq!(homes.next(|_| true), Some(transfer(0, 1, Some(0))));
    }
}
