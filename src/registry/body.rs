//! Readers for request bodies: exactly the announced bytes or an error, counted as they go out.

use std::io::{self, Read};

use crate::image::digest::{Digest, Hasher};
use crate::image::source::{Body, Stream, StreamBody};
use crate::observe::event::Meter;

/// What a request carries. All but [`Content::Pour`] can be sent again.
pub(super) enum Content<'a> {
    Empty,
    /// Bytes at hand that count for nothing: a manifest.
    Document(&'a [u8]),
    /// Bytes at hand that are a blob's from `from` on.
    Piece {
        bytes: &'a [u8],
        from: u64,
        meter: &'a Meter,
    },
    /// The bytes of a blob from `from` up to `to`.
    Part {
        body: &'a dyn Body,
        from: u64,
        to: u64,
        meter: &'a Meter,
    },
    /// Bytes that are made while they are sent, as many as there are.
    Pour(&'a mut (dyn Read + Send)),
}

impl Content<'_> {
    /// Length in bytes, where it is known.
    pub(super) fn len(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Document(bytes) | Self::Piece { bytes, .. } => Some(bytes.len() as u64),
            Self::Part { from, to, .. } => Some(to.saturating_sub(*from)),
            Self::Pour(_) => None,
        }
    }

    pub(super) fn can_repeat(&self) -> bool {
        !matches!(self, Self::Pour(_))
    }

    /// Bytes of a blob: a session may have kept some of them.
    pub(super) fn is_upload(&self) -> bool {
        match self {
            Self::Empty | Self::Document(_) => false,
            Self::Piece { .. } | Self::Part { .. } | Self::Pour(_) => self.len() != Some(0),
        }
    }
}

/// Yields exactly `left` bytes of `inner`, or an error: HTTP clients hang on a body that is too short.
pub(super) struct Exactly<'a, R> {
    inner: R,
    left: u64,
    meter: Option<&'a Meter>,
}

impl<'a, R> Exactly<'a, R> {
    pub(super) fn new(inner: R, left: u64, meter: Option<&'a Meter>) -> Self {
        Self { inner, left, meter }
    }
}

impl<R: Read> Read for Exactly<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(buf.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.inner.read(&mut buf[..most])?;
        if read == 0 {
            return Err(ended_early(self.left));
        }
        self.left -= read as u64;
        if let Some(meter) = self.meter {
            meter.add(read as u64);
        }
        Ok(read)
    }
}

/// A stream on its way: what was read ahead of it first, then the rest.
pub(super) struct Pour<'a> {
    head: io::Cursor<Vec<u8>>,
    stream: Box<dyn Stream>,
    ended: bool,
    taken: u64,
    meter: &'a Meter,
}

impl<'a> Pour<'a> {
    /// Opens a stream, passes over `skip` bytes and reads up to `ahead` more.
    pub(super) fn open(
        body: &dyn StreamBody,
        skip: u64,
        ahead: usize,
        meter: &'a Meter,
    ) -> io::Result<Self> {
        let mut stream = body.open()?;
        let skipped = io::copy(&mut (&mut stream).take(skip), &mut io::sink())?;
        if skipped < skip {
            return Err(ended_early(skip - skipped));
        }
        let mut pour = Self {
            head: io::Cursor::new(Vec::new()),
            stream,
            ended: false,
            taken: 0,
            meter,
        };
        pour.read_ahead(ahead)?;
        Ok(pour)
    }

    /// Reads until `ahead` bytes wait at the head, or the stream ends.
    pub(super) fn read_ahead(&mut self, ahead: usize) -> io::Result<()> {
        let mut head = std::mem::take(self.head.get_mut());
        head.reserve_exact(ahead.saturating_sub(head.len()));
        let missing = ahead.saturating_sub(head.len()) as u64;
        let read = (&mut self.stream).take(missing).read_to_end(&mut head)?;
        self.ended = (read as u64) < missing;
        self.head = io::Cursor::new(head);
        Ok(())
    }

    /// Forgets the first bytes of the head.
    pub(super) fn pass(&mut self, bytes: usize) {
        self.head.get_mut().drain(..bytes);
    }

    /// What was read ahead.
    pub(super) fn head(&self) -> &[u8] {
        self.head.get_ref()
    }

    /// Whether the head is all that there is.
    pub(super) fn is_whole(&self) -> bool {
        self.ended
    }

    /// The head, and the stream behind it.
    pub(super) fn into_parts(self) -> (Vec<u8>, Box<dyn Stream>) {
        (self.head.into_inner(), self.stream)
    }

    /// Bytes that were read from this.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether everything has been read.
    pub(super) fn is_empty(&self) -> bool {
        self.ended && self.head.position() == self.head.get_ref().len() as u64
    }
}

impl Read for Pour<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut read = self.head.read(buf)?;
        if read == 0 && !self.ended && !buf.is_empty() {
            read = self.stream.read(buf)?;
            self.ended = read == 0;
        }
        self.taken += read as u64;
        self.meter.add(read as u64);
        Ok(read)
    }
}

/// A stream whose digest and size are known by now: it can be read like any other blob.
pub(super) struct Replay<'a> {
    pub(super) stream: &'a dyn StreamBody,
    pub(super) size: u64,
}

impl Body for Replay<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut stream = self.stream.open()?;
        let skipped = io::copy(&mut (&mut stream).take(offset), &mut io::sink())?;
        if skipped < offset {
            return Err(ended_early(offset - skipped));
        }
        let left = self.size.saturating_sub(offset);
        Ok(Box::new(Exactly::new(stream, left, None)))
    }
}

/// The digest that the local bytes have, which should be `digest`; `None` when it cannot be computed
/// here, or `stopped` says true.
pub(super) fn verify(
    body: &dyn Body,
    digest: &Digest,
    stopped: &dyn Fn() -> bool,
) -> io::Result<Option<Digest>> {
    let Some(algorithm) = digest.algorithm() else {
        return Ok(None);
    };
    let mut hasher = Hasher::new(algorithm);
    let mut reader = Exactly::new(body.open(0)?, body.size(), None);
    let mut buffer = vec![0; 64 << 10];
    while !stopped() {
        match reader.read(&mut buffer)? {
            0 => return Ok(Some(hasher.finish())),
            read => hasher.update(&buffer[..read]),
        }
    }
    Ok(None)
}

fn ended_early(left: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("the local bytes ended {left} bytes early"),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::image::source::Summary;

    /// Bytes that are made three at a time.
    struct Slow(Vec<u8>);

    struct SlowStream(io::Cursor<Vec<u8>>);

    impl Read for SlowStream {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let most = buf.len().min(3);
            self.0.read(&mut buf[..most])
        }
    }

    impl Stream for SlowStream {
        fn finish(self: Box<Self>) -> io::Result<Summary> {
            let all = self.0.into_inner();
            Ok(Summary {
                digest: Digest::of(&all),
                size: all.len() as u64,
            })
        }
    }

    impl StreamBody for Slow {
        fn open(&self) -> io::Result<Box<dyn Stream>> {
            Ok(Box::new(SlowStream(io::Cursor::new(self.0.clone()))))
        }
    }

    fn all(mut reader: impl Read) -> io::Result<String> {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    }

    #[test]
    fn never_short_and_never_long() {
        let meter = Meter::default();
        let read = |n| all(Exactly::new(&b"abcdef"[..], n, Some(&meter)));
        assert_eq!(read(4).unwrap(), "abcd");
        assert_eq!(read(6).unwrap(), "abcdef");
        let error = read(9).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("3 bytes early"));
        assert_eq!(meter.sent(), 4 + 6 + 6);
    }

    #[test]
    fn pours_head_and_rest() {
        let body = Slow(b"abcdefghij".to_vec());
        for (skip, ahead, head, whole, rest) in [
            (0, 4, "abcd", false, "abcdefghij"),
            (0, 10, "abcdefghij", false, "abcdefghij"),
            (0, 11, "abcdefghij", true, "abcdefghij"),
            (7, 2, "hi", false, "hij"),
            (10, 1, "", true, ""),
        ] {
            let meter = Meter::default();
            let mut pour = Pour::open(&body, skip, ahead, &meter).unwrap();
            assert_eq!(pour.head(), head.as_bytes());
            assert_eq!(pour.is_whole(), whole, "{skip} {ahead}");
            assert_eq!(all(&mut pour).unwrap(), rest);
            assert!(pour.is_empty());
            assert_eq!(meter.sent(), rest.len() as u64);
        }
        let error = Pour::open(&body, 11, 1, &Meter::default()).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn replays_from_an_offset() {
        let body = Slow(b"abcdefghij".to_vec());
        let replay = Replay {
            stream: &body,
            size: 10,
        };
        assert_eq!(all(replay.open(8).unwrap()).unwrap(), "ij");
        assert_eq!(all(replay.open(10).unwrap()).unwrap(), "");
        let other = Replay {
            stream: &body,
            size: 12,
        };
        assert!(all(other.open(8).unwrap()).is_err());
    }

    #[test]
    fn hashes_what_is_there() {
        let bytes: Arc<[u8]> = Arc::from(&b"abc"[..]);
        let abc = Digest::of(b"abc");
        let verify = |digest: &Digest| verify(&bytes, digest, &|| false);
        assert_eq!(verify(&abc).unwrap(), Some(abc.clone()));
        assert_eq!(verify(&Digest::of(b"x")).unwrap(), Some(abc));
        let unknown = Digest::parse("blake3:abc").unwrap();
        assert_eq!(verify(&unknown).unwrap(), None);
    }
}
