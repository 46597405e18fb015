//! A counting semaphore whose permits travel through a channel, and whose limit can shrink and grow.

/// Cheap to clone; clones share the permits.
#[derive(Clone, Debug)]
pub struct Semaphore {}

impl Semaphore {
    /// `limit` permits, at least one.
    pub fn new(_limit: usize) -> Self {
        unimplemented!()
    }

    /// A permit, if one is free now.
    pub fn try_acquire(&self) -> Option<Permit> {
        unimplemented!()
    }

    /// Waits for a permit.
    pub fn acquire(&self) -> Permit {
        unimplemented!()
    }

    /// Halves the limit, never below one. Permits that are out stay valid; the excess is swallowed
    /// as they come back.
    pub fn shrink(&self) {
        unimplemented!()
    }

    /// Raises the limit by one, never above where it started.
    pub fn grow(&self) {
        unimplemented!()
    }

    pub fn limit(&self) -> usize {
        unimplemented!()
    }
}

/// The right to do one thing; given back when dropped.
#[derive(Debug)]
pub struct Permit {}
