//! Telling people: events as plain data, and the sinks that turn them into text.

mod board;
pub mod console;
pub mod event;
pub mod progress;
mod queue;
pub mod tally;
pub mod text;
