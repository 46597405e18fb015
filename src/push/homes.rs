//! Which blob is in which repository, on its way there, or waiting for another one to arrive first.
//!
//! A blob goes up once. Other repositories of the registry wait for it, holding neither worker nor
//! permit, and mount it then; when it fails, the next one sends it; once the registry has refused a
//! mount nobody waits any more. Pure: told what happened, says what may start.

mod queue;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::observe::event::Meter;
use crate::push::homes::queue::Queue;
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
    ready: Queue,
    ready_in_turn: Vec<(BlobId, RepositoryId)>,
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
    /// It is one of the large ones that are being sent.
    is_large: bool,
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

impl Homes {
    /// `apart`: every repository is sent all that it needs, and nothing is mounted.
    pub(crate) fn new(apart: bool) -> Self {
        Self {
            mounts_refused: apart,
            ..Self::default()
        }
    }

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
            is_large: false,
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
            state: State::Arrived(Delivery::present()),
            owner,
            number,
            meter: Arc::default(),
            freight,
            is_large: false,
            waiters: Vec::new(),
        });
        Some(number)
    }

    /// The next one by which observers know something.
    pub(crate) fn new_number(&mut self) -> usize {
        self.numbered += 1;
        self.numbered - 1
    }

    /// The biggest transfer that may start and that somebody still waits for, by `is_wanted`; not one
    /// that has to wait its turn.
    pub(crate) fn next(&mut self, is_wanted: impl Fn(&Waiter) -> bool) -> Option<Transfer> {
        while let Some((blob, repository)) = self.ready.pop() {
            if self.must_wait(blob, repository) {
                self.make_ready(blob, repository);
                continue;
            }
            let started = self.start(blob, repository, &is_wanted);
            if started.is_some() {
                return started;
            }
        }
        None
    }

    /// Whether a transfer has to wait until a large one has ended. What is mounted need not.
    pub(crate) fn must_wait(&self, blob: BlobId, repository: RepositoryId) -> bool {
        let home = self.homes.get(&(blob, repository));
        home.is_some_and(|home| self.ready.holds_back(home.freight.size)) && !self.is_mount(blob)
    }

    /// Whether as many large blobs may be under way as there are permits: the host, or one that looked
    /// like it not long ago, has shown that it keeps what was sent of a body that is cut.
    pub(crate) fn allow_large(&mut self, allowed: bool) {
        self.ready.allow_large(allowed);
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
        home.is_large = from.is_none() && self.ready.started(home.freight.size);
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

    pub(crate) fn mounts_refused(&self) -> bool {
        self.mounts_refused
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
        if std::mem::take(&mut home.is_large) {
            self.ready.ended();
        }
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
        let is_mount = self.is_mount(blob);
        if freight.is_sequential && !is_mount {
            self.ready_in_turn.push((blob, repository));
        } else {
            self.ready.push(freight.size, is_mount, (blob, repository));
        }
    }

    fn is_mount(&self, blob: BlobId) -> bool {
        let spread = self.blobs.get(&blob);
        !self.mounts_refused && spread.is_some_and(|spread| spread.present.is_some())
    }
}

#[cfg(test)]
mod tests;
