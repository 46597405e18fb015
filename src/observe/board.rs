//! The state of a running push as its events tell it, and the figures that are shown of it.
//!
//! Pure: the time is an argument, and drawing is done elsewhere.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::observe::event::{BlobStatus, Event, ImageStatus, Meter};
use crate::observe::text::bytes;

/// How far back the rate looks.
const WINDOW: Duration = Duration::from_secs(8);

#[derive(Default)]
pub(crate) struct Board {
    images: usize,
    bytes: u64,
    names: BTreeMap<usize, String>,
    running: BTreeMap<usize, Running>,
    /// Blobs that are through, so that one counts once however often it is tried.
    through: HashSet<usize>,
    through_bytes: u64,
    /// Body bytes of transfers that have ended.
    sent_before: u64,
    samples: VecDeque<Sample>,
    finished: Counts,
    /// The figure shown never falls: re-sent bytes are no step back.
    most_done: u64,
    pause: Option<(Instant, String)>,
    /// A source that is being read to its end: how much, and how much there is.
    reading: Option<(String, u64, Option<u64>)>,
}

/// Images that are through, by how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) pushed: usize,
    pub(crate) present: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Counts {
    pub(crate) fn all(self) -> usize {
        self.pushed + self.present + self.failed + self.skipped
    }
}

struct Running {
    image: usize,
    label: String,
    /// It is being read back.
    back: bool,
    size: u64,
    meter: Arc<Meter>,
    /// The furthest it has been.
    position: u64,
}

/// A point in time of a transfer's life.
#[derive(Clone, Copy)]
struct Sample {
    at: Instant,
    sent: u64,
    done: u64,
}

/// What there is to show at a moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figures {
    pub(crate) images: usize,
    pub(crate) finished: Counts,
    pub(crate) bytes: u64,
    /// Of `bytes`: sent, mounted or there already.
    pub(crate) done: u64,
    /// Body bytes per second that go out or come back.
    pub(crate) rate: f64,
    /// When it goes on like this.
    pub(crate) left: Option<Duration>,
    pub(crate) transfers: Vec<Transfer>,
    /// The host that asked to wait, and for how long yet.
    pub(crate) pause: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) image: String,
    pub(crate) label: String,
    pub(crate) position: u64,
    pub(crate) size: u64,
}

impl Board {
    pub(crate) fn apply(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Planned {
                images,
                bytes,
                read_back,
                ..
            } => {
                let running = self.running.values();
                let sent = running.map(|running| running.meter.sent());
                *self = Self {
                    images: *images,
                    bytes: bytes + read_back,
                    sent_before: self.sent_before + sent.sum::<u64>(),
                    ..Self::default()
                };
            }
            Event::ImageStarted { image, name } => {
                self.names.insert(*image, name.clone());
            }
            Event::BlobStarted {
                blob,
                image,
                label,
                size,
                meter,
            }
            | Event::ReadBackStarted {
                blob,
                image,
                label,
                size,
                meter,
            } => {
                let back = matches!(event, Event::ReadBackStarted { .. });
                let running = Running {
                    image: *image,
                    label: label.clone(),
                    back,
                    size: *size,
                    meter: Arc::clone(meter),
                    position: 0,
                };
                if let Some(before) = self.running.insert(*blob, running) {
                    self.sent_before += before.meter.sent();
                }
            }
            Event::BlobFinished {
                blob, size, status, ..
            } => self.blob_finished(*blob, *size, *status != BlobStatus::Failed),
            Event::ReadBackFinished { blob, size, right } => {
                self.blob_finished(*blob, *size, *right);
            }
            Event::ImageFinished { image, status, .. } => {
                self.names.remove(image);
                *self.count(*status) += 1;
            }
            Event::Reading { path, read, size } => {
                self.reading = Some((path.clone(), *read, *size));
            }
            Event::Discovered { .. } => self.reading = None,
            Event::Pressure { host, wait, .. } => {
                self.pause = Some((now + *wait, host.clone()));
            }
            Event::Warning { .. }
            | Event::Spooled { .. }
            | Event::Retrying { .. }
            | Event::Interrupted => {}
        }
    }

    /// "app.tar.gz: 34 % read"
    pub(crate) fn reading(&self) -> Option<String> {
        let (path, read, size) = self.reading.as_ref()?;
        Some(match size {
            Some(size) => format!("{path}: {} % read", read * 100 / size.max(&1)),
            None => format!("{path}: {} read", bytes(*read)),
        })
    }

    /// The name of an image that has started and not finished.
    pub(crate) fn name(&self, image: usize) -> Option<&str> {
        self.names.get(&image).map(String::as_str)
    }

    /// The label and size of a blob that is being worked on.
    pub(crate) fn blob(&self, blob: usize) -> Option<(&str, u64)> {
        let running = self.running.get(&blob)?;
        Some((&running.label, running.size))
    }

    /// Looks at the meters.
    pub(crate) fn figures(&mut self, now: Instant) -> Figures {
        let mut sent = self.sent_before;
        let mut through = self.through_bytes;
        for (blob, running) in &mut self.running {
            sent += running.meter.sent();
            running.position = running.position.max(running.meter.position());
            running.position = running.position.min(running.size);
            if !self.through.contains(blob) {
                through += running.position;
            }
        }
        self.most_done = self.most_done.max(through).min(self.bytes);
        let done = self.most_done;
        let (rate, progress) = self.speeds(Sample {
            at: now,
            sent,
            done,
        });
        let rest = (self.bytes - done) as f64;
        let left = (progress > 0.0).then(|| Duration::try_from_secs_f64(rest / progress).ok());
        Figures {
            images: self.images,
            finished: self.finished,
            bytes: self.bytes,
            done,
            rate,
            left: left.flatten(),
            transfers: self.running.values().map(|r| self.transfer(r)).collect(),
            pause: self.pause(now),
        }
    }

    fn transfer(&self, running: &Running) -> Transfer {
        Transfer {
            image: self.name(running.image).unwrap_or_default().to_owned(),
            label: match running.back {
                true => format!("verify {}", running.label),
                false => running.label.clone(),
            },
            position: running.position,
            size: running.size,
        }
    }

    /// Bytes per second sent and done over the window that ends with `sample`.
    fn speeds(&mut self, sample: Sample) -> (f64, f64) {
        self.samples.push_back(sample);
        // One sample older than the window stays: the window is never empty.
        while self.samples.len() > 2 && sample.at - self.samples[1].at >= WINDOW {
            self.samples.pop_front();
        }
        let first = self.samples[0];
        let seconds = (sample.at - first.at).as_secs_f64();
        if seconds < 0.2 {
            return (0.0, 0.0);
        }
        let per_second = |from: u64, to: u64| to.saturating_sub(from) as f64 / seconds;
        (
            per_second(first.sent, sample.sent),
            per_second(first.done, sample.done),
        )
    }

    fn pause(&self, now: Instant) -> Option<String> {
        let (until, host) = self.pause.as_ref()?;
        let left = until.checked_duration_since(now)?;
        let seconds = left.as_secs() + 1;
        Some(format!("{host} asked to wait, {seconds} s yet"))
    }

    fn blob_finished(&mut self, blob: usize, size: u64, well: bool) {
        if let Some(running) = self.running.remove(&blob) {
            self.sent_before += running.meter.sent();
        }
        if well && self.through.insert(blob) {
            self.through_bytes += size;
        }
    }

    fn count(&mut self, status: ImageStatus) -> &mut usize {
        match status {
            ImageStatus::Pushed => &mut self.finished.pushed,
            ImageStatus::Present => &mut self.finished.present,
            ImageStatus::Failed => &mut self.finished.failed,
            ImageStatus::Skipped => &mut self.finished.skipped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(blob: usize, size: u64, meter: &Arc<Meter>) -> Event {
        Event::BlobStarted {
            blob,
            image: 0,
            label: format!("layer {blob}"),
            size,
            meter: Arc::clone(meter),
        }
    }

    #[test]
    fn what_is_being_read_is_told_until_it_was_looked_through() {
        let mut board = Board::default();
        let now = Instant::now();
        let reading = |read, size| Event::Reading {
            path: "app.tar.gz".into(),
            read,
            size,
        };
        for (read, size, expected) in [
            (340, Some(1000), "app.tar.gz: 34 % read"),
            (0, Some(0), "app.tar.gz: 0 % read"),
            (3 << 20, None, "app.tar.gz: 3.0 MiB read"),
        ] {
            board.apply(&reading(read, size), now);
            assert_eq!(board.reading().as_deref(), Some(expected));
        }
        let path = "app.tar.gz".into();
        board.apply(&Event::Discovered { path, images: 1 }, now);
        assert_eq!(board.reading(), None);
    }

    fn finished(blob: usize, status: BlobStatus) -> Event {
        Event::BlobFinished {
            blob,
            image: 0,
            size: 100,
            status,
        }
    }

    fn board(bytes: u64) -> (Board, Instant) {
        let mut board = Board::default();
        let start = Instant::now();
        let planned = Event::Planned {
            images: 1,
            blobs: 2,
            bytes,
            read_back: 0,
        };
        board.apply(&planned, start);
        (board, start)
    }

    #[test]
    fn what_is_sent_again_is_no_step_back() {
        let (mut board, start) = board(1000);
        let meter = Arc::new(Meter::default());
        board.apply(&started(0, 1000, &meter), start);
        meter.add(600);
        assert_eq!(board.figures(start).done, 600);
        meter.seek(0);
        meter.add(100);
        let later = board.figures(start + Duration::from_secs(2));
        assert_eq!(later.done, 600);
        assert_eq!(later.rate, 50.0);
        board.apply(&finished(0, BlobStatus::Failed), start);
        assert_eq!(board.figures(start).done, 600);
    }

    #[test]
    fn what_is_begun_again_counts_from_nothing() {
        let (mut board, start) = board(150);
        let meter = Arc::new(Meter::default());
        board.apply(&started(0, 100, &meter), start);
        meter.add(70);
        board.apply(&started(1, 100, &Arc::default()), start);
        board.apply(&finished(1, BlobStatus::Present), start);
        assert_eq!(board.figures(start).done, 150);
        let planned = Event::Planned {
            images: 1,
            blobs: 2,
            bytes: 150,
            read_back: 0,
        };
        board.apply(&planned, start);
        let figures = board.figures(start);
        assert_eq!((figures.done, figures.transfers), (0, Vec::new()));
        board.apply(&finished(1, BlobStatus::Present), start);
        assert_eq!(board.figures(start).done, 100);
    }

    #[test]
    fn a_blob_counts_once_and_never_beyond_the_whole() {
        let (mut board, start) = board(150);
        let meter = Arc::new(Meter::default());
        for _ in 0..2 {
            board.apply(&started(0, 100, &meter), start);
            board.apply(&finished(0, BlobStatus::Present), start);
        }
        assert_eq!(board.figures(start).done, 100);
        board.apply(&started(1, 100, &meter), start);
        meter.add(500);
        assert_eq!(board.figures(start).done, 150);
    }

    #[test]
    fn the_rate_looks_at_the_last_seconds_only() {
        let (mut board, start) = board(1 << 30);
        let meter = Arc::new(Meter::default());
        board.apply(&started(0, 1 << 30, &meter), start);
        for second in 0..=60_u64 {
            meter.add(if second < 30 { 1000 } else { 10 });
            board.figures(start + Duration::from_secs(second));
        }
        let figures = board.figures(start + Duration::from_secs(61));
        assert!(figures.rate < 11.0, "{}", figures.rate);
        assert!(figures.left.unwrap() > Duration::from_secs(3600));
        assert!(board.samples.len() < 12);
    }

    #[test]
    fn a_pause_is_shown_until_it_is_over() {
        let (mut board, start) = board(1);
        let event = Event::Pressure {
            host: "registry.local".to_owned(),
            reason: "429".to_owned(),
            wait: Duration::from_secs(5),
        };
        board.apply(&event, start);
        let mut shown = |s| board.figures(start + Duration::from_secs(s)).pause;
        let text = shown(1).unwrap();
        assert!(
            text.contains("registry.local") && text.contains("5 s"),
            "{text}"
        );
        assert_eq!(shown(6), None);
    }
}
