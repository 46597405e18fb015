//! The engine: an operation from sources to report.

mod cache;
mod coordinator;
mod delivery;
mod error;
mod gather;
mod homes;
mod lanes;
mod made;
mod made_again;
pub mod operation;
mod plan;
mod private;
pub mod report;
mod schedule;
mod tally;
mod task;
