//! Reused buffers: each comes back to its pool when its guard is dropped.

use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Buffers of one capacity, made when first needed, kept for the next who asks.
///
/// Cheap to clone; clones share the buffers. It does not bound how many are out: permits do that.
#[derive(Clone, Debug)]
pub struct Buffers {
    pool: Arc<Pool>,
}

impl Buffers {
    /// Buffers of `capacity` bytes; at most `kept` idle ones are kept.
    pub fn new(capacity: usize, kept: usize) -> Self {
        Self {
            pool: Arc::new(Pool {
                capacity,
                kept,
                idle: Mutex::default(),
            }),
        }
    }

    /// An empty buffer with at least the pool's capacity. Never waits.
    pub fn take(&self) -> Buffer {
        let idle = self.pool.idle().pop();
        Buffer {
            bytes: idle.unwrap_or_else(|| Vec::with_capacity(self.pool.capacity)),
            pool: Arc::clone(&self.pool),
        }
    }
}

/// A `Vec<u8>` on loan.
pub struct Buffer {
    bytes: Vec<u8>,
    pool: Arc<Pool>,
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.put(mem::take(&mut self.bytes));
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} of {})", self.len(), self.capacity())
    }
}

struct Pool {
    capacity: usize,
    kept: usize,
    idle: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, mut bytes: Vec<u8>) {
        // One that its user took the bytes out of is too small; one that grew far would stay grown.
        if !(self.capacity..=self.capacity * 2).contains(&bytes.capacity()) {
            return;
        }
        bytes.clear();
        let mut idle = self.idle();
        if idle.len() < self.kept {
            idle.push(bytes);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} idle of {} bytes", self.idle().len(), self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(buffers: &Buffers) -> usize {
        buffers.pool.idle().len()
    }

    #[test]
    fn a_buffer_comes_back_empty_and_is_the_same_memory() {
        let buffers = Buffers::new(1000, 2);
        let mut first = buffers.take();
        assert!(first.is_empty() && first.capacity() >= 1000);
        first.extend_from_slice(b"left over");
        let memory = first.as_ptr();
        drop(first);
        let again = buffers.take();
        assert!(again.is_empty());
        assert_eq!(again.as_ptr(), memory);
    }

    #[test]
    fn no_more_idle_ones_are_kept_than_said() {
        let buffers = Buffers::new(10, 2);
        let out: Vec<Buffer> = (0..5).map(|_| buffers.clone().take()).collect();
        assert_eq!(idle(&buffers), 0);
        drop(out);
        assert_eq!(idle(&buffers), 2);
    }

    #[test]
    fn odd_sizes_are_not_kept() {
        let buffers = Buffers::new(1000, 9);
        let mut grown = buffers.take();
        grown.resize(100_000, 0);
        drop(grown);
        drop(mem::take(&mut *buffers.take()));
        assert_eq!(idle(&buffers), 0);
        let mut a_little = buffers.take();
        a_little.reserve_exact(1500);
        drop(a_little);
        assert_eq!(idle(&buffers), 1);
    }
}
