//! One block of a gzip file: from plain bytes to raw deflate. Pure, so that every thread makes the same of
//! it.

use std::io;

use flate2::Crc;
use zlib_rs::{Deflate, DeflateConfig, DeflateError, DeflateFlush, Status};

/// Plain bytes in every block but the last.
pub(super) const SIZE: usize = 1 << 20;

/// Bytes before a block that its matches may reach into: the whole window of deflate.
pub(super) const WINDOW: usize = 32 << 10;

pub(super) const PLAIN_CAPACITY: usize = WINDOW + SIZE;

/// Level 1 writes fixed codes only, up to 9 bits a byte; the other levels fall back to stored blocks.
/// The rest is for block headers and the flush.
pub(super) const PACKED_CAPACITY: usize = SIZE + SIZE / 8 + 4096;

/// As many symbols as can be in one deflate block: at level 2 a thirtieth less time than with the usual 8,
/// half as many codes being made, for layers that are 0.1 % smaller (noise among text) to 0.4 % larger (`/usr`).
const MEMORY_LEVEL: i32 = 9;

/// No zlib header, and the whole window.
const RAW: i32 = -15;

pub(super) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// How a block ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Others follow: a sync flush.
    Flush,
    /// It is the last one.
    Finish,
}

/// What follows the last block; `crc` is of all plain bytes.
pub(super) fn trailer(crc: &Crc) -> [u8; 8] {
    let mut trailer = [0; 8];
    trailer[..4].copy_from_slice(&crc.sum().to_le_bytes());
    trailer[4..].copy_from_slice(&crc.amount().to_le_bytes());
    trailer
}

/// Compresses `plain` after `dictionary` to the start of `packed`, of [`PACKED_CAPACITY`], and returns the
/// size there and the CRC of `plain`.
pub(super) fn pack(
    dictionary: &[u8],
    plain: &[u8],
    (level, end): (u32, End),
    packed: &mut [u8],
) -> io::Result<(usize, Crc)> {
    let mut crc = Crc::new();
    crc.update(plain);
    let mut deflate = Deflate::new_with_config(DeflateConfig {
        window_bits: RAW,
        mem_level: MEMORY_LEVEL,
        ..DeflateConfig::new(level.cast_signed())
    });
    if !dictionary.is_empty() {
        deflate.set_dictionary(dictionary).map_err(failed)?;
    }
    let flush = match end {
        End::Flush => DeflateFlush::SyncFlush,
        End::Finish => DeflateFlush::Finish,
    };
    let status = deflate.compress(plain, packed, flush).map_err(failed)?;
    let size = deflate.total_out() as usize;
    let all_taken = deflate.total_in() == plain.len() as u64;
    let all_given = match end {
        End::Flush => size < packed.len(),
        End::Finish => status == Status::StreamEnd,
    };
    if all_taken && all_given {
        Ok((size, crc))
    } else {
        Err(io::Error::other(
            "a compressed block is larger than deflate can make it",
        ))
    }
}

fn failed(error: DeflateError) -> io::Error {
    io::Error::other(format!("a block cannot be compressed: {}", error.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_case_fits_at_every_level() {
        // Bytes from 144 on have nine bits in the fixed code of deflate, and this has no matches.
        let mut state = 1_u64;
        let worst: Vec<u8> = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            144 + ((state >> 33) % 112) as u8
        })
        .take(SIZE)
        .collect();
        for level in 0..=9 {
            for end in [End::Flush, End::Finish] {
                let mut packed = vec![0; PACKED_CAPACITY];
                let result = pack(&worst[..WINDOW], &worst, (level, end), &mut packed);
                let (size, crc) = result.unwrap_or_else(|e| panic!("level {level}, {end:?}: {e}"));
                assert!(size < PACKED_CAPACITY, "level {level} fills it");
                assert_eq!(crc.amount() as usize, SIZE);
            }
        }
    }
}
