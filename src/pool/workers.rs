//! A fixed pool of threads that take jobs from one bounded channel.

use std::io;

pub type Job = Box<dyn FnOnce() + Send>;

/// Dropping it waits for the jobs it has; see [`Workers::abandon`].
#[derive(Debug)]
pub struct Workers {}

impl Workers {
    /// `count` threads named `NAME-0`, `NAME-1`, …, and room for as many waiting jobs.
    pub fn new(_name: &str, _count: usize) -> io::Result<Self> {
        unimplemented!()
    }

    /// Hands over a job; waits while the channel is full. A job that panics ends neither its thread
    /// nor the process.
    pub fn submit(&self, _job: Job) {
        unimplemented!()
    }

    pub fn count(&self) -> usize {
        unimplemented!()
    }

    /// Leaves the threads to themselves, for a process that is about to end.
    pub fn abandon(self) {
        unimplemented!()
    }
}
