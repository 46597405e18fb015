//! What may happen to a connection, as plain data.

use std::fmt;
use std::time::Duration;

pub(crate) use Direction::{Down, Up};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Both sides are closed; what has been passed on arrives. The client's side comes last, when the
    /// server is done with what it got: clients of these tests do not wait before they ask.
    Cut,
    /// One bit of a body, this one modulo its length in bits, is not what was sent.
    Flip(u64),
    /// One bit of the next byte is not what was sent, whatever the byte belongs to.
    Garble,
    /// Nothing is passed on in that direction for so long.
    Pause(Duration),
    /// Both sides see a reset; what was on its way may be lost.
    Reset,
    /// All connections end, and new ones are refused for so long.
    Restart(Duration),
    /// The client's side is reset as soon as it is accepted.
    Shut,
    /// From here on so many bytes in that direction, then a wait, then as many again.
    Slow { step: usize, every: Duration },
    /// Nothing is passed on any more in either direction; the connections stay.
    Stall,
    /// The server is gone without a word: what the client sends is taken, and goes nowhere.
    Vanish,
}

/// What happens to a connection, and when. Happens once unless `times` says otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(super) effect: Effect,
    pub(super) direction: Direction,
    pub(super) after: u64,
    pub(super) connection: Option<usize>,
    pub(super) times: usize,
}

impl Fault {
    pub(crate) fn cut(direction: Direction) -> Self {
        Self::new(Effect::Cut, direction)
    }

    /// Counts bodies that are not empty, of all connections, in place of bytes.
    pub(crate) fn flip(direction: Direction, bit: u64) -> Self {
        Self::new(Effect::Flip(bit), direction)
    }

    pub(crate) fn garble(direction: Direction) -> Self {
        Self::new(Effect::Garble, direction)
    }

    pub(crate) fn pause(direction: Direction, wait: Duration) -> Self {
        Self::new(Effect::Pause(wait), direction)
    }

    pub(crate) fn reset(direction: Direction) -> Self {
        Self::new(Effect::Reset, direction)
    }

    pub(crate) fn restart(direction: Direction, away: Duration) -> Self {
        Self::new(Effect::Restart(away), direction)
    }

    /// Before any byte, whatever `after` says.
    pub(crate) fn shut() -> Self {
        Self::new(Effect::Shut, Up)
    }

    pub(crate) fn slow(direction: Direction, step: usize, every: Duration) -> Self {
        Self::new(Effect::Slow { step, every }, direction)
    }

    pub(crate) fn stall(direction: Direction) -> Self {
        Self::new(Effect::Stall, direction)
    }

    pub(crate) fn vanish(direction: Direction) -> Self {
        Self::new(Effect::Vanish, direction)
    }

    fn new(effect: Effect, direction: Direction) -> Self {
        Self {
            effect,
            direction,
            after: 0,
            connection: None,
            times: 1,
        }
    }

    /// Passes on exactly so many bytes of the connection in that direction, then strikes: at the
    /// next byte, so with 0 as soon as there is anything.
    pub(crate) fn after(mut self, bytes: u64) -> Self {
        self.after = bytes;
        self
    }

    /// Only on this connection, counted from 0 as they come in.
    pub(crate) fn on(mut self, connection: usize) -> Self {
        self.connection = Some(connection);
        self
    }

    /// On the next `times` connections that get so far.
    pub(crate) fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// On every connection that gets so far.
    pub(crate) fn always(self) -> Self {
        self.times(usize::MAX)
    }

    /// How often this can happen.
    pub(crate) fn strikes(&self) -> usize {
        self.times
    }

    pub(super) fn may_strike(&self, connection: usize) -> bool {
        self.times > 0 && self.connection.is_none_or(|only| only == connection)
    }

    /// One strike is used.
    pub(super) fn struck(&mut self) {
        if self.times != usize::MAX {
            self.times -= 1;
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.effect, self.direction)?;
        match self.effect {
            Effect::Shut => {}
            Effect::Flip(_) => write!(f, " in body {}", self.after)?,
            _ => write!(f, " after {}", self.after)?,
        }
        if let Some(connection) = self.connection {
            write!(f, " of connection {connection}")?;
        }
        match self.times {
            1 => Ok(()),
            usize::MAX => f.write_str(", always"),
            times => write!(f, ", {times} times"),
        }
    }
}
