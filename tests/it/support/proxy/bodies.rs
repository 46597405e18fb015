//! Where the bodies are in a stream of HTTP messages: enough of the protocol to change a body on its
//! way, and nothing else. What is no plain HTTP is passed over.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::fault::{Direction, Up};

/// Longer heads are none.
const MOST_HEAD: usize = 64 << 10;

/// The requests of a connection that have not been answered, as `METHOD target`.
pub(super) type Asked = Arc<Mutex<VecDeque<String>>>;

/// One direction of a connection, read as it passes by.
pub(super) struct Bodies {
    direction: Direction,
    asked: Asked,
    phase: Phase,
    /// Whom the message belongs to: the last request seen, or the one that is being answered.
    request: String,
    /// Bytes of the body until the one that is to change, and the bit in it.
    flip: Option<(u64, u8)>,
}

enum Phase {
    Head(Vec<u8>),
    Sized(u64),
    ChunkHead(Vec<u8>),
    Chunk(u64),
    ChunkEnd(u8),
    Trailer(Vec<u8>),
    /// Not plain HTTP, or a body that lasts as long as the connection.
    Lost,
}

impl Bodies {
    pub(super) fn new(direction: Direction, asked: &Asked) -> Self {
        Self {
            direction,
            asked: Arc::clone(asked),
            phase: Phase::Head(Vec::new()),
            request: String::new(),
            flip: None,
        }
    }

    /// The request that the last byte belongs to, as far as it is known.
    pub(super) fn request(&self) -> &str {
        &self.request
    }

    /// Reads on, and changes the bit that `wanted` names at the beginning of a body, given its length
    /// where that is known.
    pub(super) fn pass(
        &mut self,
        mut bytes: &mut [u8],
        mut wanted: impl FnMut(&str, Option<u64>) -> Option<u64>,
    ) {
        while !bytes.is_empty() {
            let step = match &mut self.phase {
                Phase::Lost => return,
                Phase::Sized(left) | Phase::Chunk(left) => {
                    let step = usize::try_from(*left).map_or(bytes.len(), |n| n.min(bytes.len()));
                    *left -= step as u64;
                    if *left == 0 {
                        self.phase = match self.phase {
                            Phase::Chunk(_) => Phase::ChunkEnd(2),
                            _ => Phase::Head(Vec::new()),
                        };
                    }
                    self.change(&mut bytes[..step]);
                    step
                }
                _ => {
                    self.read(bytes[0], &mut wanted);
                    1
                }
            };
            bytes = &mut bytes[step..];
        }
    }

    /// One byte that is not of a body.
    fn read(&mut self, byte: u8, wanted: &mut impl FnMut(&str, Option<u64>) -> Option<u64>) {
        let phase = std::mem::replace(&mut self.phase, Phase::Lost);
        self.phase = match phase {
            Phase::Head(mut head) => {
                head.push(byte);
                match head.ends_with(b"\r\n\r\n") {
                    true => self.body_after(&head, wanted),
                    false if head.len() > MOST_HEAD || !head[0].is_ascii_uppercase() => Phase::Lost,
                    false => Phase::Head(head),
                }
            }
            Phase::ChunkHead(mut line) => {
                line.push(byte);
                match line.strip_suffix(b"\r\n").map(chunk_size) {
                    None if line.len() < 100 => Phase::ChunkHead(line),
                    None | Some(None) => Phase::Lost,
                    Some(Some(0)) => Phase::Trailer(Vec::new()),
                    Some(Some(size)) => Phase::Chunk(size),
                }
            }
            Phase::ChunkEnd(1) => Phase::ChunkHead(Vec::new()),
            Phase::ChunkEnd(left) => Phase::ChunkEnd(left - 1),
            Phase::Trailer(mut line) => {
                line.push(byte);
                match line.as_slice() {
                    b"\r\n" => Phase::Head(Vec::new()),
                    line_so_far if line_so_far.ends_with(b"\r\n") => Phase::Trailer(Vec::new()),
                    _ => Phase::Trailer(line),
                }
            }
            other => other,
        };
    }

    fn body_after(
        &mut self,
        head: &[u8],
        wanted: &mut impl FnMut(&str, Option<u64>) -> Option<u64>,
    ) -> Phase {
        let Some(follows) = (match self.direction {
            Up => self.request_read(head),
            Direction::Down => self.answer_read(head),
        }) else {
            return Phase::Lost;
        };
        let length = match follows {
            Follows::Nothing => return Phase::Head(Vec::new()),
            Follows::Sized(length) => Some(length),
            Follows::Chunks => None,
        };
        let bit = wanted(&self.request, length);
        // Of chunks only the first bytes are sure to come.
        let bits = length.unwrap_or(64) * 8;
        self.flip = bit.map(|bit| (bit % bits / 8, 1 << (bit % 8)));
        length.map_or(Phase::ChunkHead(Vec::new()), Phase::Sized)
    }

    fn request_read(&mut self, head: &[u8]) -> Option<Follows> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(head).ok()?;
        self.request = format!("{} {}", request.method?, request.path?);
        self.asked.lock().unwrap().push_back(self.request.clone());
        follows(request.headers)
    }

    fn answer_read(&mut self, head: &[u8]) -> Option<Follows> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut answer = httparse::Response::new(&mut headers);
        answer.parse(head).ok()?;
        if answer.code? < 200 {
            return Some(Follows::Nothing);
        }
        self.request = self.asked.lock().unwrap().pop_front()?;
        if self.request.starts_with("HEAD ") || matches!(answer.code?, 204 | 304) {
            return Some(Follows::Nothing);
        }
        follows(answer.headers)
    }

    fn change(&mut self, piece: &mut [u8]) {
        let Some((before, mask)) = self.flip else {
            return;
        };
        match usize::try_from(before)
            .ok()
            .and_then(|at| piece.get_mut(at))
        {
            Some(byte) => {
                *byte ^= mask;
                self.flip = None;
            }
            None => self.flip = Some((before - piece.len() as u64, mask)),
        }
    }
}

enum Follows {
    Nothing,
    Sized(u64),
    Chunks,
}

fn follows(headers: &[httparse::Header<'_>]) -> Option<Follows> {
    let value = |name: &str| {
        let named = |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(name);
        let header = headers.iter().find(named)?;
        std::str::from_utf8(header.value).ok()
    };
    if value("transfer-encoding").is_some() {
        return Some(Follows::Chunks);
    }
    match value("content-length").map(|text| text.parse::<u64>()) {
        None | Some(Ok(0)) => Some(Follows::Nothing),
        Some(length) => length.ok().map(Follows::Sized),
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    let size = text.split(';').next()?;
    u64::from_str_radix(size.trim(), 16).ok()
}

#[test]
fn one_bit_of_the_body_that_is_meant_changes_however_it_comes() {
    let first = b"PUT /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello".to_vec();
    let second = b"PATCH /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n"
        .to_vec();
    let third = b"PUT /c HTTP/1.1\r\nContent-Length: 2\r\n\r\nok".to_vec();
    let stream = [first, b"HEAD /d HTTP/1.1\r\n\r\n".to_vec(), second, third].concat();
    for (target, expected) in [
        ("/a", "hdllo"),
        ("/b", "acc\r\n2\r\nde"),
        ("/c", "\r\n\r\noj"),
    ] {
        for size in [1, 2, 7, stream.len()] {
            let mut bytes = stream.clone();
            let mut bodies = Bodies::new(Up, &Asked::default());
            for piece in bytes.chunks_mut(size) {
                bodies.pass(piece, |request, _| request.ends_with(target).then_some(8));
            }
            let text = String::from_utf8(bytes.clone()).unwrap();
            assert!(text.contains(expected), "{target} {size}: {text}");
            let changed = bytes.iter().zip(&stream).filter(|(a, b)| a != b).count();
            assert_eq!(changed, 1, "{target} {size}: {text}");
            assert_eq!(bodies.request(), "PUT /c");
        }
    }
}
