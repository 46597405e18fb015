//! What earlier pushes have left in the registry, as far as it saves something: blobs to be mounted from where
//! they are.

use crate::image::digest::Digest;
use crate::image::reference::Repository;
use crate::push::delivery::{DeliveryState, NodeState};
use crate::push::homes::{State, Transfer};
use crate::push::schedule::{Reading, Schedule};
use crate::registry::client::{Arrival, Delivery};

impl Schedule {
    /// Whether blobs of the registry can be mounted.
    pub(crate) fn allow_mounts(&mut self, allowed: bool) {
        self.mounts = allowed;
    }

    /// Looks for a repository that `transfer` can be mounted from, where this push knows none.
    pub(super) fn recall_source(&mut self, transfer: &Transfer) {
        if transfer.from.is_some() || !self.mounts || self.homes.mounts_refused() {
            return;
        }
        let Some((digest, _)) = &self.plan.blobs[transfer.blob].resolved else {
            return;
        };
        let into = &self.plan.repositories[transfer.repository];
        if let Some(source) = self.holdings.source(digest, into) {
            let place = (transfer.blob, transfer.repository);
            self.recalled.insert(place, source.clone());
        }
    }

    /// Where an earlier push has brought the blob of `transfer`.
    pub(crate) fn recalled_source(&self, transfer: &Transfer) -> Option<&Repository> {
        self.recalled.get(&(transfer.blob, transfer.repository))
    }

    /// A mount that was refused says nothing of those that this push knows of, if it was tried because of an
    /// earlier one.
    pub(super) fn judge_recalled(
        &mut self,
        transfer: &Transfer,
        digest: &Digest,
        delivery: &mut Delivery,
    ) {
        let place = (transfer.blob, transfer.repository);
        if let Some(source) = self.recalled.remove(&place)
            && std::mem::take(&mut delivery.mount_refused)
        {
            self.holdings.refused(&source, digest);
        }
    }

    /// What is in the registry for certain, or was when it was looked for.
    pub(crate) fn seen(&self) -> Vec<(&Repository, &Digest)> {
        let blobs = self.homes.iter().filter_map(|(&(blob, repository), home)| {
            let State::Arrived(delivery) = &home.state else {
                return None;
            };
            let owner = &self.deliveries[home.owner];
            let is_guess =
                delivery.arrival == Arrival::Present && owner.taken_for_there.contains(&blob);
            if is_guess && !is_in_place(owner) {
                return None;
            }
            let (digest, _) = self.plan.blobs[blob].resolved.as_ref()?;
            let reading = self.readings.get(digest, repository);
            let is_wrong = reading.is_some_and(Reading::is_wrong);
            (!is_wrong).then_some((&self.plan.repositories[repository], digest))
        });
        blobs.chain(self.seen_manifests()).collect()
    }

    fn seen_manifests(&self) -> impl Iterator<Item = (&Repository, &Digest)> {
        self.deliveries.iter().flat_map(|delivery| {
            let repository = &self.plan.repositories[delivery.repository];
            let nodes = self.plan.images[delivery.image].content.nodes();
            let settled = nodes.iter().zip(&delivery.nodes);
            let settled = settled.filter(|(_, state)| **state == NodeState::Settled);
            settled.map(move |(node, _)| (repository, node.manifest.digest()))
        })
    }
}

fn is_in_place(delivery: &DeliveryState) -> bool {
    delivery.tags.iter().any(|(_, state)| state.is_in_place())
}
