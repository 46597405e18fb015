//! The ways to compress a layer, and in what they differ.

use std::io;

use flate2::Crc;

use crate::image::compress::gzip::{self, End};
use crate::image::compress::zstd;

/// What a plain layer becomes. Another level makes other bytes, hence another digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Level 0 to 9.
    Gzip { level: u32 },
    /// Level 1 to 19.
    Zstd { level: u32 },
}

impl Method {
    /// With a level that there is.
    pub(super) fn clamped(self) -> Self {
        match self {
            Self::Gzip { level } => Self::Gzip {
                level: level.min(9),
            },
            Self::Zstd { level } => Self::Zstd {
                level: level.clamp(1, 19),
            },
        }
    }

    /// A name for the bytes that come out, for whoever remembers them: another one whenever any bit of any
    /// output changes, by a new version of a library as well.
    pub(crate) fn identity(self) -> String {
        match self.clamped() {
            Self::Gzip { level } => format!("gzip-2 {level}"),
            Self::Zstd { level } => format!("zstd-1 {level}"),
        }
    }

    /// Plain bytes in every block but the last.
    pub(super) fn block_size(self) -> usize {
        match self {
            Self::Gzip { .. } => gzip::SIZE,
            Self::Zstd { .. } => zstd::SIZE,
        }
    }

    /// Bytes before a block that go into it.
    pub(super) fn window(self) -> usize {
        match self {
            Self::Gzip { .. } => gzip::WINDOW,
            Self::Zstd { .. } => 0,
        }
    }

    /// What comes before the first block.
    pub(super) fn header(self) -> &'static [u8] {
        match self {
            Self::Gzip { .. } => &gzip::HEADER,
            Self::Zstd { .. } => &[],
        }
    }

    /// What comes behind the last block; `crc` is of all blocks together.
    pub(super) fn trailer(self, crc: &Crc) -> Option<[u8; 8]> {
        match self {
            Self::Gzip { .. } => Some(gzip::trailer(crc)),
            Self::Zstd { .. } => None,
        }
    }

    /// Compresses `plain`, which follows `dictionary`, to the start of `packed`, a buffer of this method's.
    /// Returns the size there, and the CRC of `plain` where that is of use.
    pub(super) fn pack(
        self,
        dictionary: &[u8],
        plain: &[u8],
        end: End,
        packed: &mut [u8],
    ) -> io::Result<(usize, Crc)> {
        match self {
            Self::Gzip { level } => gzip::pack(dictionary, plain, (level, end), packed),
            Self::Zstd { level } => zstd::pack(plain, level, packed).map(|size| (size, Crc::new())),
        }
    }
}
