//! Threads and buffers: a fixed worker pool, permits, reused buffers. Knows nothing of images.

pub mod buffers;
pub mod semaphore;
pub mod workers;
