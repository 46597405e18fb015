//! Everything that reads what others wrote, under inputs that nobody would write: a seeded mutation
//! loop that starts from fixtures and from examples. It is compiled for tests alone.
//!
//! Each room lists its own readers, as its parsers are private to it: `src/ROOM/soak.rs` gives
//! [`Target`]s. One more is one line there:
//!
//! ```ignore
//! Target::text("tag", ["1.2", "latest"], |text| Outcome::of(Tag::parse(text))),
//! ```
//!
//! A target's closure reads one input, asserts what must hold whatever the input is (what was parsed
//! is written and parsed as the same again, places lie within their file), and gives an [`Outcome`].
//! The loop itself sees to the rest: nothing panics, an input takes less than a second and no more
//! memory than the target may, sentences for people hold no control characters and nothing of
//! [`CANARY`], which stands for the secrets in the examples. An input with an outcome that was not
//! seen before is kept, and mutated further.
//!
//! `make test` gives each target a fixed number of inputs from a fixed seed; `make soak SECONDS=N` goes
//! on for as long as it is told to. [`report`] says how a finding is tried again.

mod examples;
mod mutate;
mod outcome;
mod report;
mod target;
mod tests;
mod worker;

pub(crate) use examples::{fixture, fixtures, with_secrets};
pub(crate) use outcome::{CANARY, Outcome};
pub(crate) use target::Target;

/// All targets, room by room.
fn targets() -> Vec<Target> {
    let rooms = [
        crate::image::soak::targets(),
        crate::net::soak::targets(),
        crate::registry::soak::targets(),
        crate::push::soak::targets(),
        crate::serve::soak::targets(),
        crate::cli::soak::targets(),
    ];
    rooms.into_iter().flatten().collect()
}
