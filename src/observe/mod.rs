//! Telling people: events as plain data, and the sinks that turn them into text.

pub mod event;
pub mod progress;
