//! What a gzip or zstd file decompresses to, from its start: all members, all frames.

use std::io::{self, BufRead as _, BufReader, Read};

use flate2::bufread::GzDecoder;

use crate::image::file::{Positioned, SourceFile};
use crate::image::packed::MAX_WINDOW_LOG;

/// What is read from the file at once.
const INPUT: usize = 128 << 10;

/// What is decoded at once to be skipped.
const STRIDE: u64 = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Gzip,
    Zstd,
}

impl Form {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Yields the decompressed bytes. What cannot be decoded is [`io::ErrorKind::InvalidData`], with a
/// sentence.
pub(super) struct Decoder {
    codec: Codec,
    form: Form,
    memory: u64,
    position: u64,
}

type Input = BufReader<Positioned>;

enum Codec {
    Gzip(Box<GzDecoder<Input>>),
    Zstd(zstd::Decoder<'static, Input>),
    /// The end of a gzip file.
    Ended(Positioned),
}

impl Decoder {
    /// `window`: how much of what was decoded it must remember.
    pub(super) fn new(file: &SourceFile, form: Form, window: u64) -> io::Result<Self> {
        let input = BufReader::with_capacity(INPUT, file.at(0)?);
        let codec = match form {
            Form::Gzip => Codec::Gzip(Box::new(GzDecoder::new(input))),
            Form::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(input)?;
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                Codec::Zstd(decoder)
            }
        };
        Ok(Self {
            codec,
            form,
            memory: window + 2 * INPUT as u64,
            position: 0,
        })
    }

    /// Bytes that were given out.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of memory that it takes, about.
    pub(super) fn memory(&self) -> u64 {
        self.memory
    }

    /// Bytes of the file that were read.
    pub(super) fn consumed(&self) -> u64 {
        match &self.codec {
            Codec::Gzip(decoder) => decoder.get_ref().get_ref().position(),
            Codec::Zstd(decoder) => decoder.get_ref().get_ref().position(),
            Codec::Ended(input) => input.position(),
        }
    }

    /// Goes forward to position `at`, or to the end if that comes first; returns where it stands.
    /// `watch` hears now and then how much of the file was read, and may end it.
    pub(super) fn skip_to(
        &mut self,
        at: u64,
        watch: &mut dyn FnMut(u64) -> io::Result<()>,
    ) -> io::Result<u64> {
        let mut skipped = Vec::new();
        while self.position < at {
            let step = STRIDE.min(at - self.position);
            skipped.resize(usize::try_from(step).unwrap_or_default(), 0);
            if self.read(&mut skipped)? == 0 {
                break;
            }
            watch(self.consumed())?;
        }
        Ok(self.position)
    }

    fn explain(&self, error: io::Error) -> io::Error {
        if error.raw_os_error().is_some() {
            return error;
        }
        let form = self.form.name();
        let read = self.consumed();
        let text = error.to_string();
        let sentence = if error.kind() == io::ErrorKind::UnexpectedEof {
            format!("its {form} data is cut off after {read} bytes")
        } else if text.contains("too much memory") {
            // ZSTD_error_frameParameter_windowTooLarge, which has no other sign here.
            format!(
                "its zstd data has a window of more than 128 MiB (zstd --long above {MAX_WINDOW_LOG})"
            )
        } else {
            format!("its {form} data is damaged before byte {read}: {text}")
        };
        io::Error::new(io::ErrorKind::InvalidData, sentence)
    }
}

impl Read for Decoder {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.codec.read(buf) {
            Ok(n) => {
                self.position += n as u64;
                Ok(n)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(self.explain(error)),
        }
    }
}

impl Codec {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let decoder = match self {
                Self::Ended(_) => return Ok(0),
                Self::Zstd(decoder) => return decoder.read(buf),
                Self::Gzip(decoder) => decoder,
            };
            let n = decoder.read(buf)?;
            if n > 0 || buf.is_empty() {
                return Ok(n);
            }
            self.next_member()?;
        }
    }

    /// One gzip member has ended: goes on with the next. What else may follow the last one, zeros of a
    /// tape or anything, is no concern of gzip's.
    fn next_member(&mut self) -> io::Result<()> {
        let Self::Gzip(decoder) = self else {
            return Ok(());
        };
        let more = decoder.get_mut().fill_buf()?.first() == Some(&0x1f);
        let file = decoder.get_ref().get_ref();
        let ended = Self::Ended(file.again());
        if let Self::Gzip(old) = std::mem::replace(self, ended)
            && more
        {
            *self = Self::Gzip(Box::new(GzDecoder::new(old.into_inner())));
        }
        Ok(())
    }
}
