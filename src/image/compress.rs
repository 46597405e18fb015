//! Plain layers become gzip or zstd while they are sent: in parallel, and always the same bytes.
//!
//! # The formats
//!
//! Where hoist makes the manifest, the digest of a layer must follow from the layer, the method and the level
//! alone, on any machine, with any number of threads.
//!
//! ## gzip
//!
//! The result is one gzip member (RFC 1952):
//!
//! 1. The header `1f 8b 08 00 00 00 00 00 00 ff`: deflate, no flags, no name, time 0, extra flags 0 at
//!    every level, system 255 (unknown).
//! 2. The plain bytes in blocks of 1 MiB = 2²⁰ bytes; the last one holds what is left, 1 byte to 1 MiB. An
//!    empty layer is one block of no bytes. Each block is compressed on its own to raw deflate (RFC 1951)
//!    by a **fresh** compressor: window bits 15, memory level 9, default strategy; preset dictionary: the
//!    32 KiB = 2¹⁵ bytes before the block, for every block but the first; then the whole block in one call, with
//!    a sync flush, or with finish for the last block. So all blocks but the last end at a byte boundary with
//!    `00 00 ff ff`, and their concatenation is one deflate stream with a single final block.
//! 3. The trailer: CRC-32 and length modulo 2³² of the plain bytes, little-endian.
//!
//! What the compressor makes of a block is zlib-rs' own choice; hence the exact versions in `Cargo.toml`.
//! zlib-rs picks the same matches with and without SIMD. Its `reset` is not used: it leaves old bytes in
//! the window, and the last position of a preset dictionary is hashed together with the byte behind
//! it, so that a reused compressor can find other matches than a fresh one.
//!
//! ## zstd
//!
//! The plain bytes are cut into blocks of 4 MiB = 2²² bytes; the last one holds what is left, 1 byte to 4 MiB. An
//! empty layer is one block of no bytes. Each block becomes a frame of its own (RFC 8878), with its size and its
//! checksum: what `ZSTD_compress2` of a **fresh** context makes of it in one call, on one thread, with the level
//! and the checksum flag set and nothing else. The result is these frames one behind the other, which section 3.1
//! of the RFC lets decoders read as one. No frame needs a window above 4 MiB.
//!
//! What libzstd makes of a block is its own choice between releases; hence the exact version of `zstd-sys`.
//!
//! Larger blocks cost memory, smaller ones size. Against one frame over 128 MiB of `/usr` the blocks make a
//! layer larger by: 1 MiB 2.0 %, 2 MiB 0.8 %, 4 MiB 0.2 % at level 3; 6.4 %, 4.0 %, 2.4 % at level 9.
//!
//! # Memory
//!
//! A block needs one of the [`Compressor`]'s permits until it is consumed, and there is one per thread and three
//! more. A stream that has no block at all goes without, so that it moves on however long others are
//! stalled: in use are at most as many blocks as there are permits and streams together. From being
//! read until it is compressed a block also needs a turn, of which there are as many; turns wait for
//! threads only, so streams may wait for turns. Thus few blocks are plain, and the many that may wait for
//! slow consumers are small.

mod gzip;
mod method;
mod stream;
#[cfg(test)]
mod tests;
mod zstd;

use std::io::{self, Read};
use std::sync::Arc;

use crate::image::digest::{Algorithm, Digest, Hasher};
use crate::image::source::{Body, Stored, Stream, StreamBody};
use crate::pool::buffers::Buffers;
use crate::pool::semaphore::Semaphore;
use crate::pool::workers::Workers;

pub use self::method::Method;

/// How much is read and hashed at a time: small enough to be hashed while it is in the cache.
const READ_SIZE: usize = 128 << 10;

/// Compresses layers on one pool of threads. Cheap to clone; clones share the pool and the memory.
#[derive(Clone, Debug)]
pub struct Compressor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pool: Arc<Workers>,
    /// To hold a block until it is consumed.
    permits: Semaphore,
    /// To read a block and have it compressed.
    turns: Semaphore,
    gzip: BlockBuffers,
    zstd: BlockBuffers,
}

/// For the blocks of one method.
#[derive(Debug)]
struct BlockBuffers {
    plain: Buffers,
    packed: Buffers,
}

impl Shared {
    fn buffers(&self, method: Method) -> &BlockBuffers {
        match method {
            Method::Gzip { .. } => &self.gzip,
            Method::Zstd { .. } => &self.zstd,
        }
    }
}

impl Compressor {
    /// `pool` should have one thread per CPU, and nothing but compression should run there: what its jobs
    /// wait for must never be a transfer.
    pub fn new(pool: Arc<Workers>) -> Self {
        // One block that a stream is being read from, one on each thread, two that wait for one.
        let ahead = pool.count() + 3;
        Self {
            shared: Arc::new(Shared {
                permits: Semaphore::new(ahead),
                turns: Semaphore::new(ahead),
                gzip: BlockBuffers {
                    plain: Buffers::new(gzip::PLAIN_CAPACITY, ahead),
                    packed: Buffers::new(gzip::PACKED_CAPACITY, ahead),
                },
                zstd: BlockBuffers {
                    plain: Buffers::new(zstd::SIZE, ahead),
                    packed: Buffers::new(zstd::PACKED_CAPACITY, ahead),
                },
                pool,
            }),
        }
    }

    /// What `method` makes of `body`, a plain tar whose digest should be `diff_id`.
    pub fn layer<B: Body>(&self, body: B, diff_id: Digest, method: Method) -> PackedLayer<B> {
        PackedLayer {
            compressor: self.clone(),
            body,
            diff_id,
            method: method.clamped(),
        }
    }
}

/// A plain layer that is compressed each time it is opened, to the same bytes.
#[derive(Clone, Debug)]
pub struct PackedLayer<B = Stored> {
    compressor: Compressor,
    body: B,
    diff_id: Digest,
    method: Method,
}

impl<B: Body> StreamBody for PackedLayer<B> {
    /// The stream fails with [`io::ErrorKind::InvalidData`], before its last block, when the plain bytes
    /// are not those of the `diff_id`. Dropping it half-way is fine: blocks that wait are given up.
    fn open(&self) -> io::Result<Box<dyn Stream>> {
        let Some(algorithm) = self.diff_id.algorithm() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "the layer cannot be checked: the algorithm of its diff_id {} is not known",
                    self.diff_id
                ),
            ));
        };
        Ok(Box::new(stream::PackedStream::new(stream::Input {
            compressor: self.compressor.clone(),
            plain: self.body.open(0)?,
            size: self.body.size(),
            hasher: Hasher::new(algorithm),
            diff_id: self.diff_id.clone(),
            method: self.method,
        })))
    }
}

/// The sha256 of bytes that are sent as they are: of layers that are compressed already. `None` once
/// `stopped` says true.
pub fn digest_of(body: &dyn Body, stopped: &dyn Fn() -> bool) -> io::Result<Option<Digest>> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut reader = body.open(0)?;
    let mut buffer = vec![0; READ_SIZE];
    while !stopped() {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(Some(hasher.finish())),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}
