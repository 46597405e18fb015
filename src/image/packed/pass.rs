//! The first pass over a compressed archive: only forward, keeping what is small.

use std::io::{self, Read};
use std::path::PathBuf;

use crate::image::file::SourceFile;
use crate::image::found::{News, Watch};
use crate::image::packed::decoder::Decoder;
use crate::image::packed::documents::{Documents, HEAD};
use crate::image::tar_index::{Extent, Tape};

/// Bytes of the file between two words about progress.
const STEP: u64 = 16 << 20;

/// Bytes behind the end mark of the tar file that are still decoded, so that the checksum is seen
/// which follows them. Tools pad to 10 KiB.
const MAX_PADDING: u64 = 1 << 20;

pub(super) struct Forward<'a> {
    decoder: Decoder,
    path: PathBuf,
    size: u64,
    watch: Watch<'a>,
    /// How much of the file had been read at the last word about it.
    told: u64,
    passed: Passed,
}

/// What the pass leaves behind.
#[derive(Default)]
pub(super) struct Passed {
    pub(super) documents: Documents,
    /// The first bytes.
    pub(super) head: Vec<u8>,
    /// Why it could not go on, if it could not.
    pub(super) damage: Option<String>,
}

impl<'a> Forward<'a> {
    pub(super) fn new(decoder: Decoder, file: &SourceFile, watch: Watch<'a>) -> Self {
        Self {
            decoder,
            path: file.path().to_path_buf(),
            size: file.length(),
            watch,
            told: 0,
            passed: Passed::default(),
        }
    }

    pub(super) fn into_passed(self) -> Passed {
        self.passed
    }

    fn skip_to(&mut self, at: u64) -> io::Result<u64> {
        let Self {
            decoder,
            path,
            size,
            watch,
            told,
            ..
        } = self;
        let mut tell = |read: u64| {
            if (watch.stopped)() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if read >= told.saturating_add(STEP) {
                *told = read;
                (watch.telling)(News::Reading {
                    path,
                    read,
                    size: Some(*size),
                });
            }
            Ok(())
        };
        let result = decoder.skip_to(at, &mut tell);
        self.note(result)
    }

    /// Up to `most` of the bytes that come next; fewer only at the end.
    fn read(&mut self, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let result = (&mut self.decoder).take(most).read_to_end(&mut bytes);
        self.note(result)?;
        Ok(bytes)
    }

    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| self.passed.damage = Some(error.to_string()))
    }

    /// Reads a member's content as far as it is to be kept.
    fn keep(&mut self, content: Extent) -> io::Result<()> {
        let mut bytes = self.read(content.size.min(HEAD as u64))?;
        if !Documents::wants(&bytes, content.size) {
            self.passed.documents.keep_head(content.offset, &bytes);
            return Ok(());
        }
        let rest = content.size - bytes.len() as u64;
        bytes.extend(self.read(rest)?);
        if bytes.len() as u64 == content.size {
            self.passed.documents.keep(content.offset, bytes);
        }
        Ok(())
    }
}

impl Tape for Forward<'_> {
    fn fill(&mut self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        if self.skip_to(at)? < at {
            return Ok(0);
        }
        let read = self.read(bytes.len() as u64)?;
        bytes[..read.len()].copy_from_slice(&read);
        if at == 0 {
            self.passed.head = read.iter().take(HEAD).copied().collect();
        }
        Ok(read.len())
    }

    fn pass(&mut self, content: Extent, end: u64) -> io::Result<Result<(), u64>> {
        if content.size > 0 && self.skip_to(content.offset)? == content.offset {
            self.keep(content)?;
        }
        let position = self.skip_to(end)?;
        Ok(if position < end {
            Err(position)
        } else {
            Ok(())
        })
    }

    fn finish(&mut self) -> io::Result<()> {
        let most = self.decoder.position().saturating_add(MAX_PADDING);
        self.skip_to(most).map(drop)
    }
}
