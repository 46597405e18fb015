//! From the state a push ended in to its report and exit code.

use std::time::Instant;

use crate::image::name::Target;
use crate::image::reference::Host;
use crate::push::delivery::{DeliveryState, Stage, TagState};
use crate::push::gather::{Fate, Gathered};
use crate::push::homes::State;
use crate::push::plan::BlobId;
use crate::push::report::{
    BlobReport, BlobStatus, Bytes, ErrorReport, FailureKind, ImageReport, ImageStatus, Outcome,
    Report, TargetReport, Waited,
};
use crate::push::schedule::{Reading, Schedule};
use crate::registry::client::{self, Arrival, Totals};

/// How the run as a whole came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Run,
    Usage,
    Interrupted,
}

/// A report in the making.
pub(crate) struct Tally {
    images: Vec<ImageReport>,
    /// For each planned image, its place in `images`.
    planned: Vec<usize>,
    /// Place of an image, name of a target of it, place of the image that brings it about.
    shared: Vec<(usize, String, usize)>,
    errors: Vec<ErrorReport>,
    warnings: Vec<String>,
    bytes: Bytes,
    totals: Totals,
    begun: Instant,
}

impl Tally {
    pub(crate) fn new(gathered: &Gathered, host: &Host, begun: Instant) -> Self {
        let mut planned = Vec::new();
        let mut shared = Vec::new();
        let mut images = Vec::new();
        for candidate in &gathered.candidates {
            let (status, error) = match &candidate.fate {
                Fate::Push { targets, .. } => {
                    if !targets.is_empty() {
                        planned.push(images.len());
                    }
                    (ImageStatus::Skipped, None)
                }
                Fate::Fail(error) => (ImageStatus::Failed, Some(error.clone())),
            };
            for (Target { repository, tag }, with) in &candidate.shared {
                shared.push((images.len(), format!("{host}/{repository}:{tag}"), *with));
            }
            images.push(ImageReport {
                source: candidate.source.clone(),
                names: candidate.names.clone(),
                targets: Vec::new(),
                digest: None,
                media_type: None,
                status,
                error,
                blobs: Vec::new(),
            });
        }
        Self {
            images,
            planned,
            shared,
            errors: gathered.errors.clone(),
            warnings: gathered.warnings.clone(),
            bytes: Bytes::default(),
            totals: Totals::default(),
            begun,
        }
    }

    pub(crate) fn add_error(&mut self, error: ErrorReport) {
        self.errors.push(error);
    }

    /// Where further warnings go.
    pub(crate) fn warnings(&mut self) -> &mut Vec<String> {
        &mut self.warnings
    }

    /// Takes in what was done for nothing, because it is begun again.
    pub(crate) fn take_vain(&mut self, schedule: &Schedule, totals: Totals) {
        self.totals += totals;
        let homes = schedule.homes.iter().map(|(_, home)| home);
        self.bytes.uploaded += homes.map(|home| home.meter.sent()).sum::<u64>();
        self.bytes.read_back += schedule.readings.bytes();
    }

    /// Takes in what became of the planned images.
    pub(crate) fn take(&mut self, schedule: &Schedule, totals: Totals, interrupted: bool) {
        self.totals += totals;
        for (number, &place) in self.planned.iter().enumerate() {
            fill(&mut self.images[place], schedule, number, interrupted);
        }
        for (place, name, with) in std::mem::take(&mut self.shared) {
            self.share(place, &name, with);
        }
        self.settle();
        self.bytes.read_back += schedule.readings.bytes();
        for (&(blob, _), home) in schedule.homes.iter() {
            let resolved = schedule.plan.blobs[blob].resolved.as_ref();
            let size = resolved.map_or(schedule.plan.blobs[blob].stored_size, |(_, size)| *size);
            self.bytes.total += size;
            self.bytes.uploaded += home.meter.sent();
            match &home.state {
                State::Arrived(delivery) => match delivery.arrival {
                    Arrival::Uploaded => self.bytes.resumed += delivery.resumed_at.unwrap_or(0),
                    Arrival::Mounted => self.bytes.mounted += size,
                    Arrival::Present => self.bytes.present += size,
                },
                State::Waiting | State::Ready | State::Running | State::Failed(_) => {}
            }
        }
    }

    /// An image is what its targets are, those it shares with another among them.
    fn settle(&mut self) {
        for image in self.images.iter_mut().filter(|i| !i.targets.is_empty()) {
            image.status = ImageStatus::of_all(image.targets.iter().map(|target| target.status));
            image.error = image.targets.iter().find_map(|t| t.error.clone());
        }
    }

    /// What became of a target that image `with` brought about is told of image `place` too.
    fn share(&mut self, place: usize, name: &str, with: usize) {
        let other = &self.images[with];
        let mut targets = other.targets.iter();
        let Some(target) = targets.find(|target| target.name == name).cloned() else {
            return;
        };
        let (digest, media_type) = (other.digest.clone(), other.media_type.clone());
        let image = &mut self.images[place];
        image.digest = image.digest.take().or(digest);
        image.media_type = image.media_type.take().or(media_type);
        image.targets.push(target);
    }

    pub(crate) fn finish(self, ending: Ending) -> Report {
        let outcome = self.outcome(ending);
        let exit_code = match outcome {
            Outcome::Ok => 0,
            Outcome::Usage => 2,
            Outcome::Nothing => 3,
            Outcome::Interrupted => 130,
            Outcome::Partial => 1,
            Outcome::Failed => self.common_failure(),
        };
        let millis =
            |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let client::Waited {
            pause,
            requests,
            bandwidth,
            retry,
            other,
        } = self.totals.waited;
        let waited = Waited {
            pause_ms: millis(pause),
            requests_ms: millis(requests),
            bandwidth_ms: millis(bandwidth),
            retry_ms: millis(retry),
            other_ms: millis(other),
        };
        Report {
            version: 1,
            outcome,
            exit_code,
            images: self.images,
            bytes: self.bytes,
            requests: self.totals.requests,
            retries: self.totals.retries,
            waited_ms: waited.total_ms(),
            waited,
            duration_ms: millis(self.begun.elapsed()),
            errors: self.errors,
            warnings: self.warnings,
        }
    }

    fn outcome(&self, ending: Ending) -> Outcome {
        let failed = (self.images.iter())
            .any(|image| matches!(image.status, ImageStatus::Failed | ImageStatus::Skipped));
        let arrived = (self.images.iter().flat_map(|image| &image.targets))
            .any(|target| matches!(target.status, ImageStatus::Pushed | ImageStatus::Present));
        match ending {
            Ending::Usage => Outcome::Usage,
            Ending::Interrupted if failed || !arrived => Outcome::Interrupted,
            _ if self.images.is_empty() => Outcome::Nothing,
            _ if !failed && self.errors.is_empty() => Outcome::Ok,
            _ if arrived => Outcome::Partial,
            _ => Outcome::Failed,
        }
    }

    /// 4, 5 or 6 when everything failed for that one reason, else 1.
    fn common_failure(&self) -> u8 {
        let of_targets = self.images.iter().flat_map(|image| &image.targets);
        let mut kinds = (self.images.iter().filter_map(|image| image.error.as_ref()))
            .chain(of_targets.filter_map(|target| target.error.as_ref()))
            .chain(&self.errors)
            .map(|error| error.kind);
        let Some(first) = kinds.next() else { return 1 };
        match first {
            _ if kinds.any(|kind| kind != first) => 1,
            FailureKind::Auth => 4,
            FailureKind::Unreachable => 5,
            FailureKind::Policy => 6,
            _ => 1,
        }
    }
}

/// What became of planned image `number`, into its `report`.
fn fill(report: &mut ImageReport, schedule: &Schedule, number: usize, interrupted: bool) {
    let broken_off = interrupted && schedule.images[number].started;
    report.digest = schedule.root_digest(number);
    for (at, delivery) in schedule.deliveries_of(number).iter().enumerate() {
        let id = schedule.images[number].first_delivery + at;
        if let Some(nodes) = schedule.nodes(id) {
            report.media_type = nodes
                .last()
                .map(|node| node.manifest.media_type().to_string());
        }
        let unverified = matches!(delivery.stage, Stage::Verifying { .. });
        for (tag, state) in &delivery.tags {
            let unfinished = *state == TagState::Open || (unverified && state.is_in_place());
            let (status, error) = match state {
                _ if unfinished && broken_off => {
                    (ImageStatus::Failed, Some(ErrorReport::interrupted()))
                }
                _ if unfinished => (ImageStatus::Skipped, None),
                state => (state.status(), state.error().cloned()),
            };
            report.targets.push(TargetReport {
                name: schedule.plan.target_name(delivery.repository, tag),
                status,
                error,
            });
        }
        report
            .blobs
            .extend(blobs_of(schedule, number, id, delivery));
    }
}

fn blobs_of(
    schedule: &Schedule,
    number: usize,
    id: usize,
    delivery: &DeliveryState,
) -> Vec<BlobReport> {
    let mut ids: Vec<BlobId> = schedule.plan.images[number].content.blobs().collect();
    let mut seen = std::collections::HashSet::new();
    ids.retain(|blob| seen.insert(*blob));
    let repository = &schedule.plan.repositories[delivery.repository];
    let describe = |blob: BlobId| {
        let home = schedule.homes.get(blob, delivery.repository);
        let planned = &schedule.plan.blobs[blob];
        let mine = home.filter(|home| home.owner == id);
        let (status, arrival) = match home.map(|home| &home.state) {
            Some(State::Arrived(arrival)) if mine.is_some() => {
                (arrival.arrival.into(), Some(arrival))
            }
            Some(State::Arrived(_)) => (BlobStatus::Present, None),
            _ => (BlobStatus::Failed, None),
        };
        let resolved = planned.resolved.as_ref();
        let reading = resolved.and_then(|(digest, _)| {
            let readings = &schedule.readings;
            readings.get(digest, delivery.repository)
        });
        let my_reading = reading.filter(|reading| reading.owner == id);
        BlobReport {
            repository: repository.to_string(),
            digest: resolved.map(|(digest, _)| digest.clone()),
            size: resolved.map(|(_, size)| *size),
            status,
            from: arrival
                .and_then(|arrival| arrival.from.as_ref())
                .map(ToString::to_string),
            resumed_at: arrival.and_then(|arrival| arrival.resumed_at),
            sent: mine.map_or(0, |own| own.meter.sent()),
            verified: reading.is_some_and(Reading::is_right),
            read_back: my_reading.map_or(0, |own| own.meter.sent()),
        }
    };
    ids.into_iter().map(describe).collect()
}

impl From<Arrival> for BlobStatus {
    fn from(arrival: Arrival) -> Self {
        match arrival {
            Arrival::Uploaded => Self::Uploaded,
            Arrival::Mounted => Self::Mounted,
            Arrival::Present => Self::Present,
        }
    }
}

#[cfg(test)]
mod tests;
