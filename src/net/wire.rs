//! One connection as ureq sees it, and what it does beyond ureq's own: time limits that restart
//! with every byte, and answers that come while a body is still being sent.
//!
//! A server that refuses a body answers at once and often closes. Writing then fails, and the
//! answer with it, unless somebody reads it: so a failed write is remembered, what ureq still
//! sends is swallowed, and the answer is read. Where the server answers and just stops reading,
//! or goes on reading, a look now and then finds the answer.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

use super::buffers::{INPUT, WireBuffers};
use super::channel::{Channel, Peek};
use super::exchange::{Exchange, Piece};
use super::failure::{FailureKind, Fault};
use super::liveness::Alive;
use super::metered::ended_early;
use super::switch::Switch;
use super::tunnel::Relay;

/// How much of a body goes out between two looks for an early answer.
const LOOK_EVERY: usize = 512 << 10;

#[derive(Debug)]
pub(super) struct Wire {
    channel: Channel,
    switch: Arc<Switch>,
    buffers: WireBuffers,
    /// It has carried a request, or has been waiting for one.
    pub(super) aged: bool,
    alive: Alive,
    /// Why nothing can be sent any more. Something may still be there to be read.
    broken: Option<Fault>,
    /// The first bytes of an early answer are in the input buffer.
    answered: bool,
    since_look: usize,
    /// At the other end is a proxy that passes requests on.
    relay: Option<Relay>,
    /// It has carried a request, and is to carry no other.
    spent: bool,
}

impl Wire {
    pub(super) fn new(channel: Channel, switch: Arc<Switch>, relay: Option<Relay>) -> Self {
        Wire {
            channel,
            switch,
            buffers: WireBuffers::default(),
            aged: false,
            alive: Alive::now(),
            broken: None,
            answered: false,
            since_look: 0,
            relay,
            spent: false,
        }
    }

    /// Sends the first `amount` bytes of the output buffer, or `instead` of them.
    fn send(
        &mut self,
        amount: usize,
        instead: Option<&[u8]>,
        stall: Duration,
    ) -> Result<Sent, Fault> {
        let mut sent = 0;
        let step = |channel: &mut Channel, buffers: &mut WireBuffers| {
            let all = instead.unwrap_or(&buffers.output()[..amount]);
            let mut rest = &all[sent..];
            let step = channel.push(&mut rest);
            sent = all.len() - rest.len();
            step
        };
        self.pump(stall, step).map_err(|error| Fault::of_io(&error))
    }

    /// Sends `amount` bytes from a file, which the system reads itself where it can.
    fn send_piece(
        &mut self,
        mut piece: Piece,
        amount: usize,
        exchange: &Exchange,
    ) -> Result<Sent, Fault> {
        let mut left = amount;
        let step = |channel: &mut Channel, _: &mut WireBuffers| {
            let sent = channel.send_from(&piece.file, piece.position, left)?;
            piece.position += sent as u64;
            piece.owed -= sent as u64;
            left -= sent;
            Ok(left == 0)
        };
        match self.pump(exchange.stall, step) {
            Err(error) if !is_of_connection(&error) => self.send_copy(&piece, left, exchange),
            outcome => outcome.map_err(|error| Fault::of_io(&error)),
        }
    }

    /// Sends what the system does not send from the file: perhaps there is nothing, which reading tells.
    fn send_copy(
        &mut self,
        piece: &Piece,
        amount: usize,
        exchange: &Exchange,
    ) -> Result<Sent, Fault> {
        exchange.set_takes_files(false);
        let room = &mut self.buffers.output()[..amount];
        let copied = piece.file.read_exact_at(room, piece.position);
        copied.map_err(|error| {
            let error = match error.kind() {
                io::ErrorKind::UnexpectedEof => ended_early(piece.owed),
                _ => error,
            };
            exchange.cut_short(error, amount)
        })?;
        self.send(amount, None, exchange.stall)
    }

    /// Repeats a step of sending until it has all gone to the system; stops in the middle when an answer
    /// is there.
    fn pump(
        &mut self,
        stall: Duration,
        mut step: impl FnMut(&mut Channel, &mut WireBuffers) -> io::Result<bool>,
    ) -> io::Result<Sent> {
        // The clock is read only where a step has moved nothing.
        let mut still: Option<Instant> = None;
        loop {
            match step(&mut self.channel, &mut self.buffers) {
                Ok(true) => return Ok(Sent::All),
                Ok(false) => still = None,
                Err(error) if is_pause(&error) => {
                    self.switch.check().map_err(io::Error::other)?;
                    if self.look().map_err(io::Error::other)? {
                        return Ok(Sent::Answered);
                    }
                    if still.get_or_insert_with(Instant::now).elapsed() >= stall {
                        let message = format!("no byte was taken for {stall:?}");
                        let fault = Fault::new(FailureKind::Stalled, message);
                        return Err(io::Error::other(fault));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks for an early answer: whether there is one.
    fn look(&mut self) -> Result<bool, Fault> {
        self.since_look = 0;
        match self.channel.peek() {
            Peek::Nothing => return Ok(false),
            Peek::Ended => {
                let message = "connection closed by the server";
                return Err(Fault::new(FailureKind::Closed, message));
            }
            Peek::Bytes => {}
        }
        let room = self.buffers.input_append_buf();
        if room.is_empty() {
            return Err(Fault::large_header(INPUT));
        }
        match self.channel.pull(room) {
            Ok(read) => self.buffers.input_appended(read),
            Err(error) if is_pause(&error) => {}
            Err(error) => return Err(Fault::of_io(&error)),
        }
        Ok(holds_final_answer(self.buffers.input()))
    }

    /// Waits for bytes and puts them into the input buffer: how many.
    fn receive(&mut self, exchange: &Exchange) -> Result<usize, Fault> {
        let begun = !self.buffers.input().is_empty();
        let deadline = exchange.read_deadline(begun);
        let room = self.buffers.input_append_buf();
        if room.is_empty() {
            return Err(Fault::large_header(INPUT));
        }
        loop {
            match self.channel.pull(room) {
                Ok(read) => {
                    self.buffers.input_appended(read);
                    self.alive = Alive::now();
                    return Ok(read);
                }
                Err(error) if is_pause(&error) => {
                    self.switch.check()?;
                    if Instant::now() >= deadline {
                        return Err(exchange.overdue(begun));
                    }
                }
                Err(error) => return Err(Fault::of_io(&error)),
            }
        }
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let exchange = Exchange::current()?;
        let begins = exchange.begin(self.aged);
        if begins {
            self.aged = true;
            self.spent = self.relay.is_some();
            self.since_look = 0;
            exchange.set_takes_files(self.channel.is_plain());
        }
        let piece = exchange.take_piece();
        if amount == 0 || self.broken.is_some() {
            return Ok(());
        }
        self.since_look += amount;
        let relay = self.relay.as_ref().filter(|_| begins);
        let head = relay.map(|relay| relay.rewrite(&self.buffers.output()[..amount]));
        let head = head.as_ref().map(|head| head.as_slice());
        let outcome = match piece {
            Some(piece) => self.send_piece(piece, amount, &exchange),
            None => self.send(amount, head, exchange.stall),
        };
        let is_time = self.since_look >= LOOK_EVERY || exchange.take_held_back();
        let outcome = match outcome {
            Ok(Sent::All) if is_time && !exchange.payload_taken() => {
                self.look().map(|there| match there {
                    true => Sent::Answered,
                    false => Sent::All,
                })
            }
            outcome => outcome,
        };
        let fault = match outcome {
            Ok(Sent::All) => return Ok(()),
            Ok(Sent::Answered) => {
                self.answered = true;
                Fault::new(
                    FailureKind::Closed,
                    "the server answered and then went away",
                )
            }
            Err(fault) => fault,
        };
        exchange.stop();
        self.broken = Some(fault.clone());
        match fault.kind {
            // An answer may be there all the same.
            FailureKind::Closed => Ok(()),
            _ => Err(fault.into()),
        }
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        let exchange = Exchange::current()?;
        if std::mem::take(&mut self.answered) {
            return Ok(true);
        }
        let fresh = exchange.reads_head() && self.buffers.input().is_empty();
        let read = match (self.receive(&exchange), &self.broken) {
            (Ok(0), Some(fault)) if fresh => return Err(fault.clone().into()),
            (Ok(0), None) if fresh => {
                let message = "connection closed without an answer";
                return Err(Fault::new(FailureKind::Closed, message).into());
            }
            (Ok(read), _) => read,
            (Err(fault), _) => return Err(fault.into()),
        };
        // A TLS alert: the port speaks TLS and was asked in plain http.
        if fresh && !self.channel.is_tls() && self.buffers.input().starts_with(&[0x15, 0x03]) {
            let message = "the answer is TLS, not HTTP: the server wants https on this port";
            return Err(Fault::new(FailureKind::Malformed, message).into());
        }
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        let over = self.relay.as_ref().is_some_and(Relay::is_over);
        let sound = self.broken.is_none() && !over && !self.spent && !self.switch.is_off();
        sound && self.switch.doubt.trusts(self.alive) && self.channel.peek() == Peek::Nothing
    }

    fn is_tls(&self) -> bool {
        self.channel.is_tls()
    }
}

/// A step that ended without anything having moved.
pub(super) fn is_pause(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Whether it is the connection that is broken, rather than the file unfit to be sent from: reading it
/// will tell.
fn is_of_connection(error: &io::Error) -> bool {
    let told = error.get_ref().is_some();
    told || matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::TimedOut
    )
}

/// Whether bytes that came unasked hold the beginning of an answer that counts, rather than a
/// `100 Continue` or the like.
pub(super) fn holds_final_answer(mut input: &[u8]) -> bool {
    const STATUS: usize = "HTTP/1.1 ".len();
    while let Some(first) = input.get(STATUS) {
        if !input.starts_with(b"HTTP/1.") || *first != b'1' {
            return true;
        }
        let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else {
            return false;
        };
        input = &input[end + 4..];
    }
    false
}

/// How a step of sending ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    All,
    /// An answer is there; the rest of the body is not wanted.
    Answered,
}

#[cfg(test)]
mod tests {
    use super::holds_final_answer;

    #[test]
    fn interim_answers_do_not_stop_a_body() {
        let cases: [(&[u8], bool); 9] = [
            (b"", false),
            (b"HTTP/1.1", false),
            (b"HTTP/1.1 100 Continue\r\n\r\n", false),
            (b"HTTP/1.1 102 Processing\r\n\r\n", false),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 1", false),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 401 ", true),
            (b"HTTP/1.1 413 Too Large\r\n", true),
            (b"HTTP/1.0 200 OK\r\n", true),
            (b"<html>bad gateway", true),
        ];
        for (input, expected) in cases {
            assert_eq!(holds_final_answer(input), expected, "{input:?}");
        }
    }
}
