//! The engine: an operation from sources to report.

pub(crate) mod cache;
mod coordinator;
mod delivery;
mod error;
mod gather;
mod holdings;
mod homes;
mod lanes;
mod made;
mod made_again;
mod memory;
pub mod operation;
mod plan;
mod private;
pub mod report;
mod schedule;
#[cfg(test)]
pub(crate) mod soak;
mod state;
mod tally;
mod task;
mod verify;
