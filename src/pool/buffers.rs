//! Reused buffers: each comes back to its pool when its guard is dropped.

use std::ops::{Deref, DerefMut};

/// Buffers of one capacity, made when first needed, kept for the next who asks.
#[derive(Clone, Debug)]
pub struct Buffers {}

impl Buffers {
    /// Buffers of `capacity` bytes; at most `kept` idle ones are kept.
    pub fn new(_capacity: usize, _kept: usize) -> Self {
        unimplemented!()
    }

    /// An empty buffer with at least the pool's capacity. Never waits.
    pub fn take(&self) -> Buffer {
        unimplemented!()
    }
}

/// A `Vec<u8>` on loan.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
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
