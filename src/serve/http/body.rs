//! The body of a request as a reader, and the buffered input it takes its bytes from.

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::Instant;

use super::request::{Framing, Head};

/// What has been received and not yet used, in front of the socket.
pub(super) struct Input<'a> {
    pub(super) stream: &'a TcpStream,
    buffer: Vec<u8>,
    used: usize,
}

/// Received ahead of what is asked for, at most: small chunks then cost no system call each.
const READ_AHEAD: usize = 64 << 10;
/// A chunk's size line with its extensions; all trailer fields together.
const MAX_CHUNK_LINE: usize = 1 << 10;
const MAX_TRAILER: usize = 8 << 10;

impl<'a> Input<'a> {
    pub(super) fn new(stream: &'a TcpStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            used: 0,
        }
    }

    pub(super) fn pending(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.used += count;
        if self.used == self.buffer.len() {
            self.buffer.clear();
            self.used = 0;
        }
    }

    /// Receives once, behind what is pending; 0 at the end of the stream.
    pub(super) fn fill(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let held = self.buffer.len();
        self.buffer.resize(held + READ_AHEAD, 0);
        let received = retry_interrupted(|| (&mut &*self.stream).read(&mut self.buffer[held..]));
        self.buffer
            .truncate(held + received.as_ref().map_or(0, |n| *n));
        received
    }

    /// Waits for bytes until `deadline`, then fails with `TimedOut`.
    pub(super) fn fill_until(&mut self, deadline: Instant) -> io::Result<usize> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        self.fill()
    }

    /// What is pending first, then straight from the socket.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let pending = self.pending();
        if pending.is_empty() {
            return retry_interrupted(|| (&mut &*self.stream).read(into));
        }
        let count = pending.len().min(into.len());
        into[..count].copy_from_slice(&pending[..count]);
        self.consume(count);
        Ok(count)
    }
}

fn retry_interrupted(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// One request's body. Reading gives 0 at its proper end; `UnexpectedEof` when the connection ended
/// before, `InvalidData` when the chunks are malformed, `TimedOut` when nothing comes any more.
pub(in crate::serve) struct Body<'i, 's> {
    input: &'i mut Input<'s>,
    rest: Rest,
    /// The client waits for a word before it sends.
    waits: bool,
    received: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// So many bytes.
    Length(u64),
    /// So many bytes of this chunk, then more chunks.
    Chunk(u64),
    /// A chunk's size line is next.
    ChunkSize,
    /// Cut, or malformed: nothing behind it can be read.
    Broken,
}

impl<'i, 's> Body<'i, 's> {
    pub(super) fn new(input: &'i mut Input<'s>, head: &Head) -> Self {
        let rest = match head.framing {
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => Rest::ChunkSize,
        };
        Self {
            input,
            waits: head.expects_continue && rest != Rest::Length(0),
            rest,
            received: 0,
        }
    }

    /// Bytes read until now, framing not counted.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    pub(super) fn is_finished(&self) -> bool {
        self.rest == Rest::Length(0)
    }

    /// Whether no more than `allowance` bytes are left, and they are on their way.
    pub(super) fn ends_within(&self, allowance: u64) -> bool {
        !self.waits && matches!(self.rest, Rest::Length(length) if length <= allowance)
    }

    /// Throws away what is left until `deadline`, and says whether the end was reached.
    pub(super) fn skip(&mut self, deadline: Instant) -> bool {
        let mut scratch = vec![0; 16 << 10];
        while !self.is_finished() {
            let left = deadline.saturating_duration_since(Instant::now());
            let is_over = left.is_zero() || self.input.stream.set_read_timeout(Some(left)).is_err();
            if is_over || self.read(&mut scratch).is_err() {
                return false;
            }
        }
        true
    }

    fn step(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.rest {
                Rest::Length(0) => return Ok(0),
                Rest::Length(left) => {
                    let count = self.take(left, into)?;
                    self.rest = Rest::Length(left - count as u64);
                    return Ok(count);
                }
                Rest::Chunk(0) => {
                    self.line_end()?;
                    self.rest = Rest::ChunkSize;
                }
                Rest::Chunk(left) => {
                    let count = self.take(left, into)?;
                    self.rest = Rest::Chunk(left - count as u64);
                    return Ok(count);
                }
                Rest::ChunkSize => self.rest = self.chunk_size()?,
                Rest::Broken => return Err(malformed()),
            }
        }
    }

    fn take(&mut self, left: u64, into: &mut [u8]) -> io::Result<usize> {
        let limit = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let count = self.input.read(&mut into[..limit])?;
        if count == 0 && limit > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.received += count as u64;
        Ok(count)
    }

    fn chunk_size(&mut self) -> io::Result<Rest> {
        loop {
            match httparse::parse_chunk_size(self.input.pending()) {
                Ok(httparse::Status::Complete((used, size))) => {
                    self.input.consume(used);
                    if size > 0 {
                        return Ok(Rest::Chunk(size));
                    }
                    self.trailer()?;
                    return Ok(Rest::Length(0));
                }
                Ok(httparse::Status::Partial) => self.more(MAX_CHUNK_LINE)?,
                Err(_) => return Err(malformed()),
            }
        }
    }

    fn line_end(&mut self) -> io::Result<()> {
        while self.input.pending().len() < 2 {
            self.more(2)?;
        }
        if !self.input.pending().starts_with(b"\r\n") {
            return Err(malformed());
        }
        self.input.consume(2);
        Ok(())
    }

    /// Fields behind the last chunk are read and not looked at.
    fn trailer(&mut self) -> io::Result<()> {
        let mut total = 0;
        loop {
            let Some(end) = self.input.pending().iter().position(|b| *b == b'\n') else {
                self.more(MAX_TRAILER)?;
                continue;
            };
            let is_last = matches!(&self.input.pending()[..end], b"" | b"\r");
            self.input.consume(end + 1);
            total += end + 1;
            if is_last {
                return Ok(());
            }
            if total > MAX_TRAILER {
                return Err(malformed());
            }
        }
    }

    fn more(&mut self, limit: usize) -> io::Result<()> {
        if self.input.pending().len() >= limit {
            return Err(malformed());
        }
        match self.input.fill()? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl Read for Body<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.waits {
            self.waits = false;
            io::Write::write_all(&mut &*self.input.stream, b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let result = self.step(into);
        if result.is_err() {
            self.rest = Rest::Broken;
        }
        result
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed chunk")
}
