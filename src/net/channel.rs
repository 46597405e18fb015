//! A socket with or without TLS: bytes in, bytes out, in steps that never block for long.
//!
//! Every step ends within [`SLICE`], with `WouldBlock` when nothing moved, so that whoever waits
//! can look at the time, at the switch and for an early answer.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConnection;

use super::untrusted;

/// The longest a step may block.
pub(super) const SLICE: Duration = Duration::from_millis(200);

/// What the other side has to say while we are not reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peek {
    Nothing,
    /// Bytes of an answer wait to be read.
    Bytes,
    /// It has closed or broken the connection.
    Ended,
}

#[derive(Debug)]
pub(super) struct Channel {
    stream: Arc<TcpStream>,
    tls: Option<Box<ClientConnection>>,
    /// A client certificate is there to be shown.
    identified: bool,
}

impl Channel {
    /// `slice`: the longest step, at most [`SLICE`].
    pub(super) fn new(stream: Arc<TcpStream>, slice: Duration) -> io::Result<Self> {
        let slice = slice.clamp(Duration::from_millis(1), SLICE);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(slice))?;
        stream.set_write_timeout(Some(slice))?;
        Ok(Channel {
            stream,
            tls: None,
            identified: false,
        })
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(super) fn start_tls(&mut self, session: ClientConnection, identified: bool) {
        self.tls = Some(Box::new(session));
        self.identified = identified;
    }

    /// One step of the handshake; `true` when it is done.
    pub(super) fn handshake(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else {
            return Ok(true);
        };
        if tls.wants_write() {
            tls.write_tls(&mut &*self.stream)?;
        } else if tls.is_handshaking() {
            if tls.read_tls(&mut &*self.stream)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            process(tls, self.identified)?;
        }
        Ok(!tls.is_handshaking() && !tls.wants_write())
    }

    /// Sends a part of `data` and cuts it off; `true` when everything has gone to the system.
    pub(super) fn push(&mut self, data: &mut &[u8]) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else {
            let sent = (&*self.stream).write(data)?;
            if sent == 0 && !data.is_empty() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            *data = &data[sent..];
            return Ok(data.is_empty());
        };
        if tls.wants_write() {
            tls.write_tls(&mut &*self.stream)?;
        } else {
            let taken = tls.writer().write(data)?;
            *data = &data[taken..];
        }
        Ok(data.is_empty() && !tls.wants_write())
    }

    /// Reads what is there, or waits for a step; 0 at the end.
    pub(super) fn pull(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return (&*self.stream).read(buf);
        };
        loop {
            match tls.reader().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
            if tls.wants_write() {
                // Where nothing can be sent any more, something may still be there to be read.
                let _ = tls.write_tls(&mut &*self.stream);
            }
            tls.read_tls(&mut &*self.stream)?;
            process(tls, self.identified)?;
        }
    }

    /// Looks without waiting. Under TLS the bytes found are kept and come with the next pull.
    pub(super) fn peek(&mut self) -> Peek {
        let stream = Arc::clone(&self.stream);
        if stream.set_nonblocking(true).is_err() {
            return Peek::Ended;
        }
        let found = match &mut self.tls {
            None => stream.peek(&mut [0; 1]).map(|there| match there {
                0 => Peek::Ended,
                _ => Peek::Bytes,
            }),
            Some(tls) => peek_tls(tls, &stream, self.identified),
        };
        let blocking = stream.set_nonblocking(false);
        match found {
            Ok(found) if blocking.is_ok() => found,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && blocking.is_ok() => {
                Peek::Nothing
            }
            _ => Peek::Ended,
        }
    }
}

/// Takes in what has arrived: it may be no answer at all, but session tickets.
fn peek_tls(tls: &mut ClientConnection, stream: &TcpStream, identified: bool) -> io::Result<Peek> {
    loop {
        let state = process(tls, identified)?;
        if state.plaintext_bytes_to_read() > 0 {
            return Ok(Peek::Bytes);
        }
        if state.peer_has_closed() || tls.read_tls(&mut &*stream)? == 0 {
            return Ok(Peek::Ended);
        }
    }
}

fn process(tls: &mut ClientConnection, identified: bool) -> io::Result<rustls::IoState> {
    tls.process_new_packets().map_err(|error| {
        let fault = untrusted::fault(&error, identified);
        io::Error::new(io::ErrorKind::InvalidData, fault)
    })
}
