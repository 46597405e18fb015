//! Telling people: events as plain data, and the sinks that turn them into text.

mod board;
pub(crate) mod console;
pub mod event;
pub(crate) mod progress;
mod queue;
mod repeats;
pub(crate) mod tally;
pub(crate) mod text;
