//! A socket with or without TLS: bytes in, bytes out, in steps that never block for long.
//!
//! Every step ends within [`SLICE`], with `WouldBlock` when nothing moved, so that whoever waits
//! can look at the time, at the switch and for an early answer. To a host behind a proxy that speaks TLS
//! itself there is TLS in TLS.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use rustls::ClientConnection;

use super::failure::Fault;
use super::untrusted;
use super::wire::is_pause;

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
    link: Link,
}

#[derive(Debug)]
enum Link {
    Socket(Arc<TcpStream>),
    Tls(Box<Layer>),
}

#[derive(Debug)]
struct Layer {
    session: ClientConnection,
    below: Link,
    /// A client certificate is there to be shown.
    identified: bool,
    /// Why the session is over: whoever looked first may not have been the one to tell.
    fault: Option<Fault>,
}

impl Channel {
    /// `slice`: the longest step, at most [`SLICE`].
    pub(super) fn new(stream: Arc<TcpStream>, slice: Duration) -> io::Result<Self> {
        let slice = slice.clamp(Duration::from_millis(1), SLICE);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(slice))?;
        stream.set_write_timeout(Some(slice))?;
        let link = Link::Socket(Arc::clone(&stream));
        Ok(Channel { stream, link })
    }

    /// The address at the other end.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self.link, Link::Tls(_))
    }

    /// Over what there is.
    pub(super) fn start_tls(&mut self, session: ClientConnection, identified: bool) {
        let socket = Link::Socket(Arc::clone(&self.stream));
        let below = std::mem::replace(&mut self.link, socket);
        self.link = Link::Tls(Box::new(Layer {
            session,
            below,
            identified,
            fault: None,
        }));
    }

    /// One step of the handshake; `true` when it is done.
    pub(super) fn handshake(&mut self) -> io::Result<bool> {
        let Link::Tls(layer) = &mut self.link else {
            return Ok(true);
        };
        if layer.is_pending() {
            match layer.flush_once() {
                // Who refuses our certificate says so and goes, while we are still sending.
                Err(error) if !is_pause(&error) => return Err(layer.last_words(error)),
                outcome => outcome?,
            }
        } else if layer.session.is_handshaking() {
            if layer.session.read_tls(&mut layer.below)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            layer.process()?;
        }
        Ok(!layer.session.is_handshaking() && !layer.is_pending())
    }

    /// Sends a part of `data` and cuts it off; `true` when everything has gone to the system.
    pub(super) fn push(&mut self, data: &mut &[u8]) -> io::Result<bool> {
        let layer = match &mut self.link {
            Link::Tls(layer) => layer,
            Link::Socket(stream) => {
                let sent = (&**stream).write(data)?;
                if sent == 0 && !data.is_empty() {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                *data = &data[sent..];
                return Ok(data.is_empty());
            }
        };
        if layer.is_pending() {
            layer.flush_once()?;
        } else {
            let taken = layer.session.writer().write(data)?;
            *data = &data[taken..];
        }
        Ok(data.is_empty() && !layer.is_pending())
    }

    /// Whether bytes go out as they are, so that those of a file need not come by us.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.link, Link::Socket(_))
    }

    /// Sends up to `most` bytes of a file without having them in hand: how many.
    ///
    /// # Errors
    /// Those of the connection as well as those of the file, and `UnexpectedEof` at its end.
    pub(super) fn send_from(&self, file: &File, position: u64, most: usize) -> io::Result<usize> {
        match send_file(&self.stream, file, position, most)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            sent => Ok(sent),
        }
    }

    /// Reads what is there, or waits for a step; 0 at the end.
    pub(super) fn pull(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.link.read(buf)
    }

    /// Looks without waiting. Under TLS the bytes found are kept and come with the next pull.
    pub(super) fn peek(&mut self) -> Peek {
        let found = match &mut self.link {
            Link::Socket(stream) => peek_at(stream),
            Link::Tls(layer) if layer.is_quiet() => Ok(Peek::Nothing),
            Link::Tls(layer) => {
                if self.stream.set_nonblocking(true).is_err() {
                    return Peek::Ended;
                }
                let found = layer.peek();
                self.stream.set_nonblocking(false).and(found)
            }
        };
        match found {
            Ok(found) => found,
            Err(error) if is_pause(&error) => Peek::Nothing,
            Err(_) => Peek::Ended,
        }
    }
}

impl Link {
    fn is_pending(&self) -> bool {
        match self {
            Self::Socket(_) => false,
            Self::Tls(layer) => layer.is_pending(),
        }
    }
}

impl Read for Link {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Socket(stream) => (&**stream).read(buf),
            Self::Tls(layer) => layer.pull(buf),
        }
    }
}

/// For the layer above. What is taken may still wait to be sent: see [`Link::is_pending`].
impl Write for Link {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let layer = match self {
            Self::Socket(stream) => return (&**stream).write(data),
            Self::Tls(layer) => layer,
        };
        let taken = layer.session.writer().write(data)?;
        match self.flush() {
            Err(error) if !is_pause(&error) || taken == 0 => Err(error),
            _ => Ok(taken),
        }
    }

    /// All the records that are ready go out in one call.
    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        if let Self::Socket(stream) = self {
            return (&**stream).write_vectored(parts);
        }
        let first = parts.iter().find(|part| !part.is_empty());
        self.write(first.map_or(&[], |part| part))
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Self::Tls(layer) = self {
            while layer.is_pending() {
                layer.flush_once()?;
            }
        }
        Ok(())
    }
}

impl Layer {
    /// Something that was taken has not gone to the system.
    fn is_pending(&self) -> bool {
        self.session.wants_write() || self.below.is_pending()
    }

    fn flush_once(&mut self) -> io::Result<()> {
        match self.session.wants_write() {
            true => self.session.write_tls(&mut self.below).map(drop),
            false => self.below.flush(),
        }
    }

    fn pull(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
            if let Some(fault) = &self.fault {
                return Err(told(fault));
            }
            if self.is_pending() {
                // Where nothing can be sent any more, something may still be there to be read.
                let _ = self.flush_once();
            }
            self.session.read_tls(&mut self.below)?;
            self.process()?;
        }
    }

    /// Nothing waits to be taken in, neither here nor at the system, which costs one call to learn.
    fn is_quiet(&self) -> bool {
        let Link::Socket(stream) = &self.below else {
            return false;
        };
        let is_open = self.fault.is_none() && self.session.wants_read();
        is_open && peek_at(stream).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Takes in what has arrived: it may be no answer at all, but session tickets.
    fn peek(&mut self) -> io::Result<Peek> {
        loop {
            let state = self.process()?;
            if state.plaintext_bytes_to_read() > 0 {
                return Ok(Peek::Bytes);
            }
            if state.peer_has_closed() || self.session.read_tls(&mut self.below)? == 0 {
                return Ok(Peek::Ended);
            }
        }
    }

    /// What the other side has said before it broke the connection, else `error`.
    fn last_words(&mut self, error: io::Error) -> io::Error {
        while matches!(self.session.read_tls(&mut self.below), Ok(1..)) {
            if let Err(fault) = self.process() {
                return fault;
            }
        }
        error
    }

    fn process(&mut self) -> io::Result<rustls::IoState> {
        let is_agreed = !self.session.is_handshaking();
        self.session.process_new_packets().map_err(|error| {
            let fault = match is_agreed {
                true => untrusted::later_fault(&error, self.identified),
                false => untrusted::fault(&error, self.identified),
            };
            told(self.fault.insert(fault))
        })
    }
}

/// One call into the system, where a socket that is told not to block, and then to, would take three.
fn peek_at(stream: &TcpStream) -> io::Result<Peek> {
    let (_, there) = recv(stream, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    Ok(match there {
        0 => Peek::Ended,
        _ => Peek::Bytes,
    })
}

#[cfg(target_os = "linux")]
fn send_file(to: &TcpStream, file: &File, mut position: u64, most: usize) -> io::Result<usize> {
    Ok(rustix::fs::sendfile(to, file, Some(&mut position), most)?)
}

#[cfg(not(target_os = "linux"))]
fn send_file(_: &TcpStream, _: &File, _: u64, _: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

fn told(fault: &Fault) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault.clone())
}
