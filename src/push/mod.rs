//! The engine: an operation from sources to report.

pub mod operation;
pub mod report;
