//! Facts about a running push, as plain data. The only part of `observe` that lower rooms see.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One fact. Images are numbered from 0 in the order of the plan; blobs as they come up, each once for
/// each repository.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something that is not as the user may think: one sentence.
    Warning {
        message: String,
    },
    /// A SOURCE has been looked through.
    Discovered {
        path: String,
        images: usize,
    },
    /// How much was read of what must be read to its end before anything else, now and then; `size`
    /// where it is known.
    Reading {
        path: String,
        read: u64,
        size: Option<u64>,
    },
    /// Standard input is kept in a file in `folder` until the end.
    Spooled {
        folder: String,
        size: u64,
    },
    /// What is going to happen. `blobs` and `bytes` count each blob once for each repository that it
    /// is to be in, as stored; `read_back` is what is to be read then. Said again when all of it is begun
    /// again: what was done does not count.
    Planned {
        images: usize,
        blobs: usize,
        bytes: u64,
        read_back: u64,
    },
    ImageStarted {
        image: usize,
        name: String,
    },
    /// A blob is being checked, mounted or sent. `size` is the stored size; for a layer that is
    /// compressed on the way `meter` may stop short of it.
    BlobStarted {
        blob: usize,
        image: usize,
        label: String,
        size: u64,
        meter: Arc<Meter>,
    },
    /// Without a start where the image that names it was there already. `size` as in the start.
    BlobFinished {
        blob: usize,
        image: usize,
        size: u64,
        status: BlobStatus,
    },
    /// A blob is being read back. As in [`Event::BlobStarted`], of whose numbers it has another one.
    ReadBackStarted {
        blob: usize,
        image: usize,
        label: String,
        size: u64,
        meter: Arc<Meter>,
    },
    ReadBackFinished {
        blob: usize,
        size: u64,
        /// It is what it should be, in the end.
        right: bool,
    },
    /// `targets`: `host/repository:tag@digest` of each that is in place.
    ImageFinished {
        image: usize,
        status: ImageStatus,
        targets: Vec<String>,
        error: Option<String>,
    },
    /// A request failed and is going to be tried again.
    Retrying {
        host: String,
        operation: String,
        reason: String,
        attempt: u32,
        wait: Duration,
    },
    /// The registry asked for less: all workers of the host pause, and fewer go on.
    Pressure {
        host: String,
        reason: String,
        wait: Duration,
    },
    /// A signal came; what runs is being ended.
    Interrupted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BlobStatus {
    Uploaded,
    Mounted,
    Present,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageStatus {
    Pushed,
    Present,
    Failed,
    Skipped,
}

/// Takes events; called by the coordinator alone, in order.
pub trait Observer: Send {
    fn observe(&mut self, event: &Event);
}

/// Where lower rooms put events; they come to the observers by way of the coordinator.
pub trait Emit: Send + Sync {
    fn emit(&self, event: Event);
}

/// Counts the body bytes of one blob as they go out; sampled by whoever shows them.
#[derive(Debug, Default)]
pub struct Meter {
    sent: AtomicU64,
    position: AtomicU64,
}

impl Meter {
    /// `bytes` more of the body went out.
    pub fn add(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        self.position.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Sending goes on from (or starts again at) `offset`.
    pub fn seek(&self, offset: u64) {
        self.position.store(offset, Ordering::Relaxed);
    }

    /// Body bytes really sent, re-sends included.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// How far into the blob the sending is.
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }
}
