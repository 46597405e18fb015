//! HTTP/1.1 on a stream, as far as a scripted server needs it: heads, and bodies in parts.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use super::rule::{Answer, answer};

pub(super) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// Closed when its connection is dropped, whoever knows its handle.
pub(super) struct Socket(pub(super) Arc<TcpStream>);

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buf)
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self.0).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream, and what has been read from it too far.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    pub(super) buffered: Vec<u8>,
}

/// What comes before the body, and how much of the body is still to come.
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    rest: Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Bytes(u64),
    /// Bytes of the chunk that has begun.
    Chunk(u64),
    Done,
}

impl Head {
    pub(super) fn is_chunked(&self) -> bool {
        header(&self.headers, "transfer-encoding").is_some_and(|coding| coding == "chunked")
    }

    pub(super) fn expects_continue(&self) -> bool {
        header(&self.headers, "expect").is_some()
    }

    /// The body's framing as the headers give it.
    fn frame(&mut self) {
        let length = header(&self.headers, "content-length").and_then(|value| value.parse().ok());
        self.rest = match length {
            _ if self.is_chunked() => Rest::Chunk(0),
            Some(length) if length > 0 => Rest::Bytes(length),
            _ => Rest::Done,
        };
    }
}

impl Connection {
    /// `None` when the client has gone.
    pub(super) fn read_head(&mut self) -> io::Result<Option<Head>> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut fields);
            let Ok(parsed) = request.parse(&self.buffered) else {
                let refusal = answer(400).header("Connection", "close").bytes("GET");
                self.stream.write_all(&refusal)?;
                return Ok(None);
            };
            if let httparse::Status::Complete(used) = parsed {
                let mut head = Head {
                    method: request.method.unwrap_or_default().to_owned(),
                    target: request.path.unwrap_or_default().to_owned(),
                    headers: owned(request.headers),
                    rest: Rest::Done,
                };
                head.frame();
                self.buffered.drain(..used);
                return Ok(Some(head));
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    pub(super) fn read_answer(&mut self, method: &str) -> io::Result<Answer> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut response = httparse::Response::new(&mut fields);
            let parsed = response.parse(&self.buffered).map_err(io::Error::other)?;
            let httparse::Status::Complete(used) = parsed else {
                if self.fill()? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                continue;
            };
            let mut answer = answer(response.code.unwrap_or_default());
            let mut head = Head {
                method: String::new(),
                target: String::new(),
                headers: owned(response.headers),
                rest: Rest::Done,
            };
            self.buffered.drain(..used);
            head.frame();
            if method != "HEAD" {
                let body = &mut answer.body;
                self.read_body(&mut head, u64::MAX, |part| body.extend_from_slice(part))?;
            }
            let framing = ["connection", "transfer-encoding"];
            head.headers
                .retain(|(name, _)| !framing.iter().any(|one| name.eq_ignore_ascii_case(one)));
            answer.headers = head.headers;
            return Ok(answer);
        }
    }

    /// Takes at most `most` bytes of the body, without its transfer coding.
    pub(super) fn read_body(
        &mut self,
        head: &mut Head,
        most: u64,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let mut wanted = most;
        while wanted > 0 && head.rest != Rest::Done {
            if head.rest == Rest::Chunk(0) {
                head.rest = match self.read_chunk_size()? {
                    0 => Rest::Done,
                    size => Rest::Chunk(size),
                };
                continue;
            }
            if self.buffered.is_empty() && self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let (Rest::Bytes(left) | Rest::Chunk(left)) = head.rest else {
                return Ok(());
            };
            let part = (self.buffered.len() as u64).min(left).min(wanted);
            take(&self.buffered[..part as usize]);
            self.buffered.drain(..part as usize);
            wanted -= part;
            head.rest = match head.rest {
                Rest::Bytes(_) if left == part => Rest::Done,
                Rest::Bytes(_) => Rest::Bytes(left - part),
                _ if left == part => {
                    self.read_line()?;
                    Rest::Chunk(0)
                }
                _ => Rest::Chunk(left - part),
            };
        }
        Ok(())
    }

    /// 0 is the end of the body, trailers read.
    fn read_chunk_size(&mut self) -> io::Result<u64> {
        let line = self.read_line()?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        while size == 0 && !self.read_line()?.is_empty() {}
        Ok(size)
    }

    fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffered.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.buffered.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut part = [0; 16 << 10];
        let read = self.stream.read(&mut part)?;
        self.buffered.extend_from_slice(&part[..read]);
        Ok(read)
    }
}

fn owned(fields: &[httparse::Header<'_>]) -> Vec<(String, String)> {
    let text = |field: &httparse::Header<'_>| {
        let value = String::from_utf8_lossy(field.value).into_owned();
        (field.name.to_owned(), value)
    };
    fields.iter().map(text).collect()
}

pub(super) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim())
}
