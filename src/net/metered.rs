//! A payload on its way to ureq: exactly the announced bytes or an error, and nothing more once the
//! exchange is stopped.

use std::io::{self, Read};
use std::rc::Rc;

use super::exchange::Exchange;

/// A payload on its way to ureq, which would spin for ever on a sized body that ends early.
pub(super) struct Metered<'a> {
    reader: &'a mut (dyn Read + Send),
    /// Bytes still owed, for sized payloads.
    left: Option<u64>,
    exchange: Rc<Exchange>,
}

impl<'a> Metered<'a> {
    pub(super) fn new(
        reader: &'a mut (dyn Read + Send),
        size: Option<u64>,
        exchange: &Rc<Exchange>,
    ) -> Self {
        Metered {
            reader,
            left: size,
            exchange: Rc::clone(exchange),
        }
    }

    /// Fills at least half of `room` unless the payload ends: small reads would be small packets.
    fn fill(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled <= room.len() / 2 {
            match self.reader.read(&mut room[filled..]) {
                Ok(0) => break,
                Ok(n) => filled = room.len().min(filled + n),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        match self.left {
            Some(left) if filled == 0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("data ended {left} bytes early"),
            )),
            _ => Ok(filled),
        }
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
            match self.fill(&mut buf[..most]) {
                Ok(filled) => {
                    self.exchange.goes_out(filled as u64);
                    filled
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
