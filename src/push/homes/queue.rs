//! Transfers that may start, biggest first, and of large ones only a few at once.
//!
//! Most registries drop what they have of a blob when its connection is cut, so that all large blobs
//! under way begin again after a crash. Few of them at once lose little; where it is known that the
//! registry keeps what it has, nothing is held back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::push::plan::{BlobId, RepositoryId};

/// In bytes; what is larger is a large blob.
pub(super) const LARGE: u64 = 64 << 20;
/// Large blobs that are sent at once.
pub(super) const MOST_LARGE: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Bodies of large blobs.
    large: BinaryHeap<Ready>,
    others: BinaryHeap<Ready>,
    /// Ready ones are numbered, so that equal sizes go in the order they came.
    sequence: u64,
    large_running: usize,
    unlimited: bool,
}

/// Biggest first; among equals the one that came first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ready {
    size: u64,
    order: Reverse<u64>,
    what: (BlobId, RepositoryId),
}

impl Queue {
    pub(super) fn push(&mut self, size: u64, is_mount: bool, what: (BlobId, RepositoryId)) {
        let order = Reverse(self.sequence);
        self.sequence += 1;
        let ready = Ready { size, order, what };
        if size > LARGE && !is_mount {
            self.large.push(ready);
        } else {
            self.others.push(ready);
        }
    }

    pub(super) fn pop(&mut self) -> Option<(BlobId, RepositoryId)> {
        let may_be_large = self.unlimited || self.large_running < MOST_LARGE;
        let from = if may_be_large && self.large.peek() > self.others.peek() {
            &mut self.large
        } else {
            &mut self.others
        };
        from.pop().map(|ready| ready.what)
    }

    /// Whether a body of that size has to wait until another one is through.
    pub(super) fn holds_back(&self, size: u64) -> bool {
        size > LARGE && !self.unlimited && self.large_running >= MOST_LARGE
    }

    /// A body of that size is being sent from now on. True when [`Queue::ended`] has to be said of it.
    pub(super) fn started(&mut self, size: u64) -> bool {
        let is_large = size > LARGE;
        self.large_running += usize::from(is_large);
        is_large
    }

    /// A large body is no longer being sent.
    pub(super) fn ended(&mut self) {
        self.large_running -= 1;
    }

    pub(super) fn allow_large(&mut self, allowed: bool) {
        self.unlimited = allowed;
    }
}
