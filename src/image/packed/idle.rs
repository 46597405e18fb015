//! Decoders that nobody reads from at the moment, each kept for the next reader of its archive.
//!
//! Their memory and open files are the process's, and a push may have thousands of archives under
//! way, hence one place for all of them with a bound; the one that waits longest goes first, and costs
//! its archive another decoding from the start.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::image::packed::decoder::Decoder;

const MAX_COUNT: usize = 16;

/// Bytes of memory; one decoder may take more.
const MAX_MEMORY: u64 = 64 << 20;

/// Longest waiting first.
static IDLE: Mutex<Vec<(u64, Decoder)>> = Mutex::new(Vec::new());

static NEXT: AtomicU64 = AtomicU64::new(0);

/// An archive's claim to its decoder, which ends with the last clone.
#[derive(Clone)]
pub(super) struct Tag(Arc<Number>);

struct Number(u64);

impl Tag {
    pub(super) fn new() -> Self {
        Self(Arc::new(Number(NEXT.fetch_add(1, Ordering::Relaxed))))
    }

    /// The decoder of this archive, if it is not past `at` yet. One that is will not be wanted again.
    pub(super) fn take(&self, at: u64) -> Option<Decoder> {
        let decoder = remove(&mut idle(), self.0.0);
        decoder.filter(|decoder| decoder.position() <= at)
    }

    /// Keeps `decoder` in place of the one that is kept, if any.
    pub(super) fn put(&self, decoder: Decoder) {
        let mut idle = idle();
        let _replaced = remove(&mut idle, self.0.0);
        idle.push((self.0.0, decoder));
        let memory = |all: &[(u64, Decoder)]| all.iter().map(|(_, d)| d.memory()).sum::<u64>();
        while idle.len() > 1 && (idle.len() > MAX_COUNT || memory(&idle) > MAX_MEMORY) {
            idle.remove(0);
        }
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        let _ended = remove(&mut idle(), self.0);
    }
}

fn idle() -> MutexGuard<'static, Vec<(u64, Decoder)>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remove(idle: &mut Vec<(u64, Decoder)>, number: u64) -> Option<Decoder> {
    let at = idle.iter().position(|(other, _)| *other == number)?;
    Some(idle.remove(at).1)
}
