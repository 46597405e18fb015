//! One block of a zstd file: from plain bytes to a frame of its own. Pure, so that every thread makes the same
//! of it.

use std::io;

use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

/// Plain bytes in every block but the last.
pub(super) const SIZE: usize = 4 << 20;

/// `ZSTD_COMPRESSBOUND` of a block.
pub(super) const PACKED_CAPACITY: usize = SIZE + (SIZE >> 8);

/// Makes of `plain` a frame at the start of `packed`, of [`PACKED_CAPACITY`], and returns its size.
pub(super) fn pack(plain: &[u8], level: u32, packed: &mut [u8]) -> io::Result<usize> {
    let level = i32::try_from(level).map_err(io::Error::other)?;
    let mut compressor = Compressor::new(level)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    compressor.compress_to_buffer(plain, packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_case_fits() {
        assert_eq!(zstd::zstd_safe::compress_bound(SIZE), PACKED_CAPACITY);
    }
}
