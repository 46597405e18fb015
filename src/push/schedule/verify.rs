//! Reading back what is in place: every blob once in each repository, then manifests and tags.
//!
//! A worker that finds something wrong sends it again and reads it once more; what is wrong then fails whoever
//! needs it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::image::digest::Digest;
use crate::observe::event::{Event, Meter};
use crate::push::delivery::{DeliveryState, Stage, TagState};
use crate::push::plan::{BlobId, RepositoryId};
use crate::push::report::ErrorReport;
use crate::push::schedule::{Ended, Schedule, Task};

/// Something to be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verify {
    Blob {
        blob: BlobId,
        repository: RepositoryId,
    },
    /// By digest, or by one of the delivery's tags.
    Manifest {
        delivery: usize,
        node: usize,
        tag: Option<usize>,
    },
}

/// What has become of what was read.
#[derive(Debug)]
pub(crate) enum Verified {
    Right,
    /// It was not right, in these words, and is now that it was sent again.
    Mended(String),
    /// Nobody here can say.
    Unknown,
}

/// Every blob that is or was read back, by digest: it may have more numbers than one.
#[derive(Debug, Default)]
pub(crate) struct Readings(HashMap<(Digest, RepositoryId), Reading>);

#[derive(Debug)]
pub(crate) struct Reading {
    /// The delivery that asked first.
    pub(crate) owner: usize,
    /// Counts the bytes that were read.
    pub(crate) meter: Arc<Meter>,
    number: usize,
    waiters: Vec<usize>,
    outcome: Option<Result<Verified, ErrorReport>>,
}

impl Readings {
    pub(crate) fn get(&self, digest: &Digest, repository: RepositoryId) -> Option<&Reading> {
        self.0.get(&(digest.clone(), repository))
    }

    /// Bytes that were read back, all in all.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.values().map(|reading| reading.meter.sent()).sum()
    }
}

impl Reading {
    /// Whether every byte of it is in the registry.
    pub(crate) fn is_right(&self) -> bool {
        let outcome = self
            .outcome
            .as_ref()
            .and_then(|outcome| outcome.as_ref().ok());
        matches!(outcome, Some(Verified::Right | Verified::Mended(_)))
    }

    /// Whether it is known that the registry does not have it as it should be.
    pub(crate) fn is_wrong(&self) -> bool {
        matches!(self.outcome, Some(Err(_)))
    }
}

impl Schedule {
    /// Whatever could be put in place is: reads it back where that was asked for.
    pub(super) fn finish(&mut self, delivery: usize) {
        let in_place = |state: &DeliveryState| state.tags.iter().any(|(_, s)| s.is_in_place());
        if !self.limits.verify || !in_place(&self.deliveries[delivery]) {
            return self.close(delivery);
        }
        let Some(nodes) = self.nodes(delivery) else {
            return self.close(delivery);
        };
        let blobs: Vec<BlobId> = nodes.iter().flat_map(|node| node.blobs.clone()).collect();
        // One more than the blobs: it is taken back below, and may have been the only one.
        self.deliveries[delivery].stage = Stage::Verifying {
            left: 1,
            manifests: false,
        };
        for blob in blobs {
            self.read_back(delivery, blob);
        }
        self.one_verified(delivery);
    }

    /// `delivery` waits for that blob to be read, if it has not been.
    fn read_back(&mut self, delivery: usize, blob: BlobId) {
        let repository = self.deliveries[delivery].repository;
        let Some((digest, _)) = self.plan.blobs[blob].resolved.clone() else {
            return;
        };
        let reading = self.readings.0.entry((digest, repository));
        let reading = reading.or_insert_with(|| {
            self.reads.push_back((blob, repository));
            Reading {
                owner: delivery,
                meter: Arc::default(),
                number: self.homes.new_number(),
                waiters: Vec::new(),
                outcome: None,
            }
        });
        match &reading.outcome {
            None if reading.waiters.contains(&delivery) => {}
            None => {
                reading.waiters.push(delivery);
                if let Stage::Verifying { left, .. } = &mut self.deliveries[delivery].stage {
                    *left += 1;
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                let error = error.clone();
                self.fail_verified(delivery, &error);
            }
        }
    }

    /// The next of the blobs to be read that somebody waits for.
    pub(super) fn next_read(&mut self) -> Option<Task> {
        while let Some((blob, repository)) = self.reads.pop_front() {
            let planned = &self.plan.blobs[blob];
            let (digest, _) = planned.resolved.clone()?;
            let key = (digest, repository);
            let deliveries = &self.deliveries;
            let wanted = |delivery: &usize| deliveries[*delivery].is_open();
            let Some(reading) = self.readings.0.get(&key) else {
                continue;
            };
            if !reading.waiters.iter().any(wanted) {
                self.readings.0.remove(&key);
                continue;
            }
            self.events.push(Event::ReadBackStarted {
                blob: reading.number,
                image: deliveries[reading.owner].image,
                label: key.0.to_string(),
                size: planned.stored_size,
                meter: Arc::clone(&reading.meter),
            });
            return Some(Task::Verify(Verify::Blob { blob, repository }));
        }
        None
    }

    pub(super) fn verified(&mut self, verify: Verify, how: Ended) {
        let outcome = match how {
            Ended::Verified(verified) => Ok(verified),
            other => Err(other.error()),
        };
        match verify {
            Verify::Blob { blob, repository } => self.blob_verified(blob, repository, outcome),
            Verify::Manifest {
                delivery,
                node,
                tag,
            } => self.manifest_verified(delivery, (node, tag), outcome),
        }
    }

    fn blob_verified(
        &mut self,
        blob: BlobId,
        repository: RepositoryId,
        outcome: Result<Verified, ErrorReport>,
    ) {
        let Some((digest, _)) = self.plan.blobs[blob].resolved.clone() else {
            return;
        };
        let what = digest.to_string();
        match &outcome {
            Ok(Verified::Mended(why)) => {
                self.homes.sent_again(blob, repository);
                self.warn_of(repository, &format!("{what} {why}: it was sent again"));
            }
            Ok(Verified::Unknown) => {
                let why = "cannot be verified: hoist does not know how to compute such a digest";
                self.warn_of(repository, &format!("{what} {why}"));
            }
            Ok(Verified::Right) => {}
            Err(_) => {
                let repository = &self.plan.repositories[repository];
                self.holdings.forget(repository, &digest);
            }
        }
        let Some(reading) = self.readings.0.get_mut(&(digest, repository)) else {
            return;
        };
        self.events.push(Event::ReadBackFinished {
            blob: reading.number,
            size: self.plan.blobs[blob].stored_size,
            right: outcome.is_ok(),
        });
        let error = outcome.as_ref().err().cloned();
        reading.outcome = Some(outcome);
        for waiter in std::mem::take(&mut reading.waiters) {
            match &error {
                None => self.one_verified(waiter),
                Some(error) => self.fail_verified(waiter, error),
            }
        }
    }

    fn manifest_verified(
        &mut self,
        delivery: usize,
        (node, tag): (usize, Option<usize>),
        outcome: Result<Verified, ErrorReport>,
    ) {
        let state = &self.deliveries[delivery];
        if !state.is_open() {
            return;
        }
        let repository = state.repository;
        match (outcome, tag) {
            (Ok(Verified::Mended(why)), tag) => {
                let digest = self.nodes(delivery);
                let digest = digest.map(|nodes| nodes[node].manifest.digest().to_string());
                let of_tag = tag.map(|tag| format!("manifest {}", state.tags[tag].0));
                let what = of_tag.or(digest).unwrap_or_default();
                self.warn_of(repository, &format!("{what} {why}: it was sent again"));
            }
            (Ok(_), _) => {}
            (Err(error), None) => return self.fail_verified(delivery, &error),
            (Err(error), Some(tag)) => self.fail_tag(delivery, tag, error),
        }
        self.one_verified(delivery);
    }

    /// One of those that `delivery` waited for is right.
    fn one_verified(&mut self, delivery: usize) {
        let state = &mut self.deliveries[delivery];
        let Stage::Verifying { left, manifests } = &mut state.stage else {
            return;
        };
        *left -= 1;
        match (*left, *manifests) {
            (0, false) => self.verify_manifests(delivery),
            (0, true) => self.close(delivery),
            _ => {}
        }
    }

    fn verify_manifests(&mut self, delivery: usize) {
        let state = &mut self.deliveries[delivery];
        let nodes = state.nodes.len();
        let tags = (0..state.tags.len()).filter(|&tag| state.tags[tag].1.is_in_place());
        let by_tag = tags.map(|tag| (nodes - 1, Some(tag)));
        let all: Vec<(usize, Option<usize>)> =
            (0..nodes).map(|node| (node, None)).chain(by_tag).collect();
        state.stage = Stage::Verifying {
            left: all.len(),
            manifests: true,
        };
        for (node, tag) in all {
            self.short.push_back(Task::Verify(Verify::Manifest {
                delivery,
                node,
                tag,
            }));
        }
    }

    /// Something that all tags of `delivery` lead to is not right.
    fn fail_verified(&mut self, delivery: usize, error: &ErrorReport) {
        let state = &mut self.deliveries[delivery];
        if !state.is_open() {
            return;
        }
        for (_, tag) in state.tags.iter_mut().filter(|(_, tag)| tag.is_in_place()) {
            *tag = TagState::Failed(error.clone());
        }
        self.fail(delivery, error.clone());
    }

    fn warn_of(&mut self, repository: RepositoryId, what: &str) {
        let repository = &self.plan.repositories[repository];
        let message = format!("{repository}: {what}");
        self.events.push(Event::Warning { message });
    }
}
