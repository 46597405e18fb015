//! The stream that feeds blocks to the pool and takes them back in order.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Weak};

use flate2::Crc;

use crate::image::compress::gzip::End;
use crate::image::compress::{BlockBuffers, Compressor, Method, READ_SIZE};
use crate::image::digest::{Algorithm, Digest, Hasher};
use crate::image::source::{Stream, Summary};
use crate::pool::buffers::Buffer;
use crate::pool::semaphore::Permit;

/// What a stream is made of.
pub(super) struct Input {
    pub(super) compressor: Compressor,
    pub(super) plain: Box<dyn Read + Send>,
    pub(super) size: u64,
    /// An empty one, of the algorithm of `diff_id`.
    pub(super) hasher: Hasher,
    pub(super) diff_id: Digest,
    pub(super) method: Method,
}

pub(super) struct PackedStream {
    reader: BlockReader,
    compressor: Compressor,
    method: Method,
    /// Given to the pool and not yet taken back, in order.
    ahead: VecDeque<Receiver<io::Result<Packed>>>,
    /// What is being read from, and how much of it was.
    chunk: Chunk,
    taken: usize,
    crc: Crc,
    hasher: Hasher,
    size: u64,
    /// Jobs of a stream that is gone find this gone too, and do nothing.
    alive: Arc<()>,
}

/// The output comes in these pieces.
enum Chunk {
    Header(&'static [u8]),
    Block(Packed),
    Trailer(Option<[u8; 8]>),
    /// It failed; the sentence is said again to whoever goes on reading.
    Failed(io::ErrorKind, String),
}

struct Packed {
    buffer: Buffer,
    size: usize,
    crc: Crc,
    _permit: Option<Permit>,
}

struct Room {
    turn: Permit,
    /// None for the one block that every stream may have without.
    permit: Option<Permit>,
}

impl PackedStream {
    pub(super) fn new(input: Input) -> Self {
        let header = input.method.header();
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(header);
        Self {
            reader: BlockReader {
                method: input.method,
                plain: input.plain,
                left: input.size,
                started: false,
                before: Vec::new(),
                hasher: Some(input.hasher),
                diff_id: input.diff_id,
            },
            compressor: input.compressor,
            method: input.method,
            ahead: VecDeque::new(),
            chunk: Chunk::Header(header),
            taken: 0,
            crc: Crc::new(),
            hasher,
            size: header.len() as u64,
            alive: Arc::default(),
        }
    }

    /// Goes on to the next piece of output. False at the end.
    fn advance(&mut self) -> io::Result<bool> {
        match &self.chunk {
            Chunk::Trailer(_) => return Ok(false),
            Chunk::Failed(kind, sentence) => return Err(io::Error::new(*kind, sentence.as_str())),
            Chunk::Header(_) | Chunk::Block(_) => {}
        }
        let next = self.next_chunk();
        self.taken = 0;
        self.chunk = match next {
            Ok(chunk) => chunk,
            Err(error) => {
                self.ahead.clear();
                self.chunk = Chunk::Failed(error.kind(), error.to_string());
                return Err(error);
            }
        };
        let bytes = self.chunk.bytes();
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(true)
    }

    fn next_chunk(&mut self) -> io::Result<Chunk> {
        // The finished block goes first: the next ones can have its permit and its buffer.
        self.chunk = Chunk::Header(&[]);
        self.feed()?;
        let Some(block) = self.ahead.pop_front() else {
            return Ok(Chunk::Trailer(self.method.trailer(&self.crc)));
        };
        let packed = block
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the compression of a block broke off")))?;
        self.crc.combine(&packed.crc);
        Ok(Chunk::Block(packed))
    }

    /// Gives blocks to the pool as long as there are any, and room for them.
    pub(super) fn feed(&mut self) -> io::Result<()> {
        while let Some(room) = self.room() {
            let plain = self.reader.next(self.buffers().plain.take())?;
            self.submit(plain, room);
        }
        Ok(())
    }

    fn buffers(&self) -> &BlockBuffers {
        self.compressor.shared.buffers(self.method)
    }

    /// Room for the next block, if there is one and it can be had now. Waits when the stream has nothing else
    /// to give, and then only for other blocks to be compressed.
    fn room(&self) -> Option<Room> {
        if self.reader.is_done() {
            return None;
        }
        let shared = &self.compressor.shared;
        if self.ahead.is_empty() {
            return Some(Room {
                turn: shared.turns.acquire(),
                permit: shared.permits.try_acquire(),
            });
        }
        Some(Room {
            permit: Some(shared.permits.try_acquire()?),
            turn: shared.turns.try_acquire()?,
        })
    }

    fn submit(&mut self, plain: Plain, room: Room) {
        // Room for the one answer: the job never waits.
        let (answer, packed) = sync_channel(1);
        let buffers = self.buffers().packed.clone();
        let (alive, method) = (Arc::downgrade(&self.alive), self.method);
        self.ahead.push_back(packed);
        self.compressor.shared.pool.submit(Box::new(move || {
            let Room { turn, permit } = room;
            if Weak::strong_count(&alive) == 0 {
                return;
            }
            let mut buffer = buffers.take();
            let (dictionary, fresh) = plain.parts();
            let result = method.pack(dictionary, fresh, plain.end, &mut buffer);
            drop((plain, turn));
            // Nobody listens when the stream was dropped meanwhile.
            let _ = answer.send(result.map(|(size, crc)| Packed {
                buffer,
                size,
                crc,
                _permit: permit,
            }));
        }));
    }
}

impl Read for PackedStream {
    /// Fills `buf` unless the end comes first.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            let rest = &self.chunk.bytes()[self.taken..];
            if rest.is_empty() {
                match self.advance() {
                    Ok(true) => continue,
                    Ok(false) => break,
                    // It is said again at the next call.
                    Err(_) if filled > 0 => break,
                    Err(error) => return Err(error),
                }
            }
            let n = rest.len().min(buf.len() - filled);
            buf[filled..filled + n].copy_from_slice(&rest[..n]);
            self.taken += n;
            filled += n;
        }
        Ok(filled)
    }
}

impl Stream for PackedStream {
    fn finish(self: Box<Self>) -> io::Result<Summary> {
        match &self.chunk {
            Chunk::Trailer(_) if self.taken == self.chunk.bytes().len() => Ok(Summary {
                digest: self.hasher.finish(),
                size: self.size,
            }),
            Chunk::Failed(kind, sentence) => Err(io::Error::new(*kind, sentence.as_str())),
            _ => Err(io::Error::other(
                "a compressed layer was asked for its digest before its end",
            )),
        }
    }
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Header(bytes) => bytes,
            Self::Block(packed) => &packed.buffer[..packed.size],
            Self::Trailer(bytes) => bytes.as_ref().map_or(&[], |bytes| bytes),
            Self::Failed(..) => &[],
        }
    }
}

/// Cuts the plain bytes into blocks, hashing them on the way.
struct BlockReader {
    method: Method,
    plain: Box<dyn Read + Send>,
    left: u64,
    started: bool,
    /// The last bytes of the block before: the dictionary of the next one.
    before: Vec<u8>,
    /// Gone when all was read and checked.
    hasher: Option<Hasher>,
    diff_id: Digest,
}

struct Plain {
    /// The dictionary, then the block, then whatever was there.
    buffer: Buffer,
    dictionary: usize,
    size: usize,
    end: End,
}

impl Plain {
    /// The dictionary and the block.
    fn parts(&self) -> (&[u8], &[u8]) {
        self.buffer[..self.dictionary + self.size].split_at(self.dictionary)
    }
}

impl BlockReader {
    fn is_done(&self) -> bool {
        self.started && self.left == 0
    }

    fn next(&mut self, mut buffer: Buffer) -> io::Result<Plain> {
        self.started = true;
        let dictionary = self.before.len();
        buffer[..dictionary].copy_from_slice(&self.before);
        let most = self.method.block_size();
        let size = usize::try_from(self.left).map_or(most, |left| left.min(most));
        for piece in buffer[dictionary..dictionary + size].chunks_mut(READ_SIZE) {
            self.plain.read_exact(piece)?;
            if let Some(hasher) = &mut self.hasher {
                hasher.update(piece);
            }
        }
        self.left -= size as u64;
        let end = if self.left == 0 {
            self.check()?;
            End::Finish
        } else {
            self.before.clear();
            let all = dictionary + size;
            self.before
                .extend_from_slice(&buffer[all - self.method.window()..all]);
            End::Flush
        };
        Ok(Plain {
            buffer,
            dictionary,
            size,
            end,
        })
    }

    /// Compares what was read with what the config says of it.
    fn check(&mut self) -> io::Result<()> {
        let Some(actual) = self.hasher.take().map(Hasher::finish) else {
            return Ok(());
        };
        if actual == self.diff_id {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "the layer in the archive is {actual}, but the config says its diff_id is {}",
                self.diff_id
            ),
        ))
    }
}
