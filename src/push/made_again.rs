//! A compressed layer whose digest and size are known, made again for whoever reads it.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::image::source::{Body, Stream, StreamBody, Summary};

/// The compressor always makes the same bytes, so they may be read as often as need be. Whether they are
/// those of `expected` is seen to before the last of them is given out.
pub(crate) struct MadeAgain {
    layer: Box<dyn StreamBody>,
    expected: Summary,
    differs: Arc<AtomicBool>,
}

struct Checked {
    /// `None` when all of it was read.
    stream: Option<Box<dyn Stream>>,
    expected: Summary,
    read: u64,
    differs: Arc<AtomicBool>,
}

impl MadeAgain {
    pub(crate) fn new(layer: Box<dyn StreamBody>, expected: Summary) -> Self {
        Self {
            layer,
            expected,
            differs: Arc::default(),
        }
    }

    /// Whether any reader got to see something else than what was expected.
    pub(crate) fn has_differed(&self) -> bool {
        self.differs.load(Ordering::Relaxed)
    }
}

impl Body for MadeAgain {
    fn size(&self) -> u64 {
        self.expected.size
    }

    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut checked = Checked {
            stream: Some(self.layer.open()?),
            expected: self.expected.clone(),
            read: 0,
            differs: Arc::clone(&self.differs),
        };
        let skipped = io::copy(&mut checked.by_ref().take(offset), &mut io::sink())?;
        if skipped < offset {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Box::new(checked))
    }
}

impl Read for Checked {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(stream) = self.stream.as_mut().filter(|_| !buf.is_empty()) else {
            return Ok(0);
        };
        let read = stream.read(buf)?;
        self.read += read as u64;
        if read > 0 && self.read < self.expected.size {
            return Ok(read);
        }
        let ends = self.read == self.expected.size && stream.read(&mut [0])? == 0;
        let made = self.stream.take().filter(|_| ends);
        match made.map(Stream::finish).transpose()? {
            Some(made) if made == self.expected => Ok(read),
            _ => {
                self.differs.store(true, Ordering::Relaxed);
                let expected = &self.expected.digest;
                let why = format!("the layer does not become {expected} when it is compressed");
                Err(io::Error::new(io::ErrorKind::InvalidData, why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::compress::{Compressor, Method};
    use crate::image::digest::Digest;
    use crate::pool::workers::Workers;

    #[test]
    fn the_last_bytes_come_only_when_all_are_right() {
        let plain: Arc<[u8]> = (0..=255).cycle().take(3 << 20).collect();
        let compressor = Compressor::new(Arc::new(Workers::new("pack", 1).unwrap()));
        let layer = || {
            compressor.layer(
                Arc::clone(&plain),
                Digest::of(&plain),
                Method::Gzip { level: 1 },
            )
        };
        let mut stream = layer().open().unwrap();
        let mut packed = Vec::new();
        stream.read_to_end(&mut packed).unwrap();
        let right = stream.finish().unwrap();
        let body = |digest: &Digest, size: u64| {
            let digest = digest.clone();
            MadeAgain::new(Box::new(layer()), Summary { digest, size })
        };
        for offset in [0, 1, right.size - 1, right.size] {
            let whole = body(&right.digest, right.size);
            let mut rest = Vec::new();
            whole.open(offset).unwrap().read_to_end(&mut rest).unwrap();
            assert_eq!(rest, packed[usize::try_from(offset).unwrap()..]);
            assert!(!whole.has_differed());
        }
        let other = Digest::of(b"other");
        for (digest, size) in [
            (&other, right.size),
            (&right.digest, right.size - 1),
            (&right.digest, right.size + 1),
            (&right.digest, 0),
        ] {
            let wrong = body(digest, size);
            let mut given = Vec::new();
            let read = wrong.open(0).unwrap().read_to_end(&mut given);
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData);
            assert!(wrong.has_differed() && (given.len() as u64) < size.max(1));
        }
    }
}
