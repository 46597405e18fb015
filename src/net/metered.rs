//! A payload on its way to ureq: exactly the announced bytes or an error, and nothing more once the
//! exchange is stopped.

use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;
use std::sync::Arc;

use super::exchange::{Exchange, Piece};
use super::failure::Fault;
use super::request::{FilePart, Pace, Payload};

/// What ureq, which would spin for ever on a sized body that ends early, reads a payload from.
pub(super) struct Metered<'a> {
    supply: Supply<'a>,
    /// Bytes still owed, for sized payloads.
    left: Option<u64>,
    pace: Option<&'a dyn Pace>,
    exchange: Rc<Exchange>,
}

enum Supply<'a> {
    Reader(&'a mut (dyn Read + Send)),
    File(FilePart<'a>),
}

impl<'a> Metered<'a> {
    /// `None` where there is nothing to send.
    pub(super) fn new(
        payload: Payload<'a>,
        pace: Option<&'a dyn Pace>,
        exchange: &Rc<Exchange>,
    ) -> Option<Self> {
        let (supply, left) = match payload {
            Payload::Empty => return None,
            Payload::Sized(reader, size) => (Supply::Reader(reader), Some(size)),
            Payload::File(part) => {
                let size = part.size;
                (Supply::File(part), Some(size))
            }
            Payload::Chunked(reader) => (Supply::Reader(reader), None),
        };
        let exchange = Rc::clone(exchange);
        (left != Some(0)).then_some(Metered {
            supply,
            left,
            pace,
            exchange,
        })
    }

    /// Bytes still to come, where that is known.
    pub(super) fn left(&self) -> Option<u64> {
        self.left
    }

    /// The next bytes into `room`, or a word to the connection about where they are.
    fn take(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let taken = match &mut self.supply {
            Supply::Reader(reader) => fill(reader, room)?,
            Supply::File(part) if self.exchange.takes_files() => {
                self.exchange.hand_over(Piece {
                    file: Arc::clone(&part.file),
                    position: part.position,
                    owed: self.left.unwrap_or_default(),
                });
                part.pass(room.len())
            }
            Supply::File(part) => fill(part, room)?,
        };
        match self.left {
            Some(left) if taken == 0 => Err(ended_early(left)),
            _ => Ok(taken),
        }
    }

    /// Holds the next bytes back for as long as is wanted. Nothing is being sent meanwhile, so that
    /// nothing can be taken for a stall.
    fn wait_for_turn(&self, bytes: usize) -> io::Result<()> {
        let Some(pace) = self.pace else { return Ok(()) };
        let waited = pace.pass(bytes);
        let waited = waited.ok_or_else(|| io::Error::other(Fault::shutdown()))?;
        if waited {
            self.exchange.set_held_back();
        }
        Ok(())
    }
}

impl Read for Metered<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let owed = self.left.unwrap_or(u64::MAX);
        let most = usize::try_from(owed).unwrap_or(usize::MAX).min(buf.len());
        if most == 0 {
            return Ok(0);
        }
        let taken = if self.exchange.stopped() {
            // ureq wants the rest before it reads the answer; the connection swallows this filler.
            self.left.map_or(0, |_| most)
        } else {
            let most = self.pace.map_or(most, |pace| most.min(pace.piece()));
            match self.take(&mut buf[..most]) {
                Ok(taken) => {
                    self.wait_for_turn(taken)?;
                    self.exchange.goes_out(taken as u64);
                    taken
                }
                Err(error) => {
                    self.exchange.payload_failed(error);
                    return Err(io::Error::other("payload failed"));
                }
            }
        };
        self.left = self.left.map(|left| left - taken as u64);
        let done = self.left.map_or(taken == 0, |left| left == 0);
        self.exchange.set_payload_taken(done);
        Ok(taken)
    }
}

impl FilePart<'_> {
    fn pass(&mut self, bytes: usize) -> usize {
        self.position += bytes as u64;
        (self.taken)(bytes as u64);
        bytes
    }
}

impl Read for FilePart<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buf, self.position)?;
        Ok(self.pass(read))
    }
}

/// Fills at least half of `room` unless the payload ends: small reads would be small packets.
fn fill(reader: &mut dyn Read, room: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled <= room.len() / 2 {
        match reader.read(&mut room[filled..]) {
            Ok(0) => break,
            Ok(n) => filled = room.len().min(filled + n),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

pub(super) fn ended_early(left: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("data ended {left} bytes early: was it changed while it was read?"),
    )
}
