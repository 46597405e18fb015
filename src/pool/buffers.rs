//! Reused buffers: each comes back to its pool when its guard is dropped.

use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Buffers of one size, made when first needed, kept for the next who asks.
///
/// Cheap to clone; clones share the buffers. It does not bound how many are out: permits do that.
#[derive(Clone, Debug)]
pub struct Buffers {
    pool: Arc<Pool>,
}

impl Buffers {
    /// Buffers of `size` bytes; at most `kept` idle ones are kept.
    pub fn new(size: usize, kept: usize) -> Self {
        Self {
            pool: Arc::new(Pool {
                size,
                kept,
                idle: Mutex::default(),
            }),
        }
    }

    /// A buffer of the pool's size, with what its last user left in it. Never waits.
    pub fn take(&self) -> Buffer {
        let idle = self.pool.idle().pop();
        Buffer {
            // Fresh pages come zeroed from the system, and are touched when they are written.
            bytes: idle.unwrap_or_else(|| vec![0; self.pool.size]),
            pool: Arc::clone(&self.pool),
        }
    }
}

/// Bytes on loan.
pub struct Buffer {
    bytes: Vec<u8>,
    pool: Arc<Pool>,
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
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
        write!(f, "Buffer({})", self.len())
    }
}

struct Pool {
    size: usize,
    kept: usize,
    idle: Mutex<Vec<Vec<u8>>>,
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, bytes: Vec<u8>) {
        let mut idle = self.idle();
        if idle.len() < self.kept {
            idle.push(bytes);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} idle of {} bytes", self.idle().len(), self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_as_the_same_memory() {
        let buffers = Buffers::new(1000, 2);
        let mut first = buffers.take();
        assert_eq!(*first, [0; 1000]);
        first[7] = 1;
        let memory = first.as_ptr();
        drop(first);
        let again = buffers.take();
        assert_eq!((again.as_ptr(), again.len(), again[7]), (memory, 1000, 1));
    }

    #[test]
    fn no_more_are_kept_than_was_said() {
        let buffers = Buffers::new(10, 2);
        let out: Vec<Buffer> = (0..5).map(|_| buffers.clone().take()).collect();
        assert!(buffers.pool.idle().is_empty());
        drop(out);
        assert_eq!(buffers.pool.idle().len(), 2);
    }
}
