//! The wire: the distribution protocol's push side, on one host.

pub mod client;
pub mod clock;
pub mod error;
