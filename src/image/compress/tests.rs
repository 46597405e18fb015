//! What comes out of the compressor, and how it behaves among others.

mod frames;

use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::read::GzDecoder;

use super::*;
use crate::image::source::Summary;

const MIB: usize = 1 << 20;

/// Text of a small vocabulary with runs of noise between; everything follows from the length.
fn sample(size: usize) -> Arc<[u8]> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes = Vec::with_capacity(size + 4096);
    while bytes.len() < size {
        for _ in 0..random() % 600 {
            bytes.extend_from_slice(format!("word{} ", random() % 900).as_bytes());
        }
        for _ in 0..random() % 200 {
            bytes.extend_from_slice(&random().to_le_bytes());
        }
    }
    bytes.truncate(size);
    bytes.into()
}

fn gzip(level: u32) -> Method {
    Method::Gzip { level }
}

fn compressor(threads: usize) -> Compressor {
    Compressor::new(Arc::new(Workers::new("pack", threads).unwrap()))
}

/// Reads to the end in pieces of `step` bytes.
fn drain(mut stream: Box<dyn Stream>, step: usize) -> (Vec<u8>, Summary) {
    let (mut all, mut piece) = (Vec::new(), vec![0; step]);
    loop {
        match stream.read(&mut piece).unwrap() {
            0 => break,
            n => all.extend_from_slice(&piece[..n]),
        }
    }
    (all, stream.finish().unwrap())
}

fn gunzip(packed: &[u8]) -> Vec<u8> {
    // GzDecoder stops after one member: whatever is behind it would be missing here.
    let (mut decoder, mut plain) = (GzDecoder::new(packed), Vec::new());
    decoder.read_to_end(&mut plain).unwrap();
    assert!(decoder.into_inner().is_empty(), "bytes behind the member");
    plain
}

/// A body that gives out 1 to 7001 bytes at a time, is interrupted now and then, and counts what it gave.
struct Halting {
    bytes: Arc<[u8]>,
    given: Arc<AtomicUsize>,
}

impl Halting {
    fn new(bytes: &Arc<[u8]>) -> Self {
        Self {
            bytes: Arc::clone(bytes),
            given: Arc::default(),
        }
    }
}

impl Body for Halting {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut bytes = Cursor::new(Arc::clone(&self.bytes));
        bytes.set_position(offset);
        Ok(Box::new(HaltingReader {
            bytes,
            calls: 0,
            given: Arc::clone(&self.given),
        }))
    }
}

struct HaltingReader {
    bytes: Cursor<Arc<[u8]>>,
    calls: usize,
    given: Arc<AtomicUsize>,
}

impl Read for HaltingReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.calls.is_multiple_of(5) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let most = buf.len().min(1 + (self.calls * 487) % 7001);
        let n = self.bytes.read(&mut buf[..most])?;
        self.given.fetch_add(n, Ordering::Relaxed);
        Ok(n)
    }
}

/// Should one of these ever change, layers get other digests than those that are in registries already.
#[test]
fn the_bytes_are_those_of_every_release_before() {
    for (size, level, digest) in GOLDEN {
        let plain = sample(*size);
        let layer = compressor(2).layer(Arc::clone(&plain), Digest::of(&plain), gzip(*level));
        let (packed, summary) = drain(layer.open().unwrap(), 64 << 10);
        assert!(gunzip(&packed) == *plain, "{size} at level {level}");
        assert_eq!(summary.size, packed.len() as u64);
        assert_eq!(summary.digest, Digest::of(&packed));
        assert_eq!(summary.digest.encoded(), *digest, "{size} at level {level}");
    }
}

#[test]
fn threads_short_reads_and_reopening_change_nothing() {
    let plain = sample(5 * MIB);
    let diff_id = Digest::of(&plain);
    let expected = GOLDEN
        .iter()
        .find(|(size, level, _)| (*size, *level) == (5 * MIB, 2))
        .map(|(.., digest)| *digest);
    for (threads, step) in [(1, 4093), (2, 3 * MIB), (7, 1)] {
        let layer = compressor(threads).layer(Halting::new(&plain), diff_id.clone(), gzip(2));
        for _ in 0..2 {
            let (_, summary) = drain(layer.open().unwrap(), step);
            assert_eq!(
                Some(summary.digest.encoded()),
                expected,
                "{threads} threads"
            );
        }
    }
}

#[test]
fn many_streams_at_once_get_their_own_bytes() {
    let shared = compressor(2);
    std::thread::scope(|scope| {
        for n in 0..12 {
            let shared = &shared;
            scope.spawn(move || {
                let plain = sample(n * MIB / 4 + n);
                let layer = shared.layer(Arc::clone(&plain), Digest::of(&plain), gzip(1));
                let (packed, _) = drain(layer.open().unwrap(), 100_000);
                assert!(gunzip(&packed) == *plain, "stream {n}");
            });
        }
    });
    assert_eq!(free_permits(&shared), 5);
}

#[test]
fn header_and_trailer_are_the_documented_ones() {
    let plain: Arc<[u8]> = Arc::from(&b"123456789"[..]);
    let layer = compressor(1).layer(Arc::clone(&plain), Digest::of(&plain), gzip(9));
    let (packed, _) = drain(layer.open().unwrap(), 7);
    assert_eq!(packed[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    // The check value of CRC-32, and nine bytes.
    let trailer = [0x26, 0x39, 0xf4, 0xcb, 9, 0, 0, 0];
    assert_eq!(packed[packed.len() - 8..], trailer);
    // One block, the final one: no sync marker anywhere.
    assert!(!packed.windows(4).any(|four| four == [0, 0, 255, 255]));
}

#[test]
fn another_diff_id_fails_before_the_end_and_goes_on_failing() {
    let plain = sample(2 * MIB + 5);
    let claimed = Digest::of(b"something else");
    let mut stream = compressor(2)
        .layer(Arc::clone(&plain), claimed.clone(), gzip(2))
        .open()
        .unwrap();
    let mut packed = Vec::new();
    let error = stream.read_to_end(&mut packed).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    for digest in [&claimed, &Digest::of(&plain)] {
        assert!(error.to_string().contains(digest.as_str()), "{error}");
    }
    let mut decoded = Vec::new();
    let whole = GzDecoder::new(&packed[..]).read_to_end(&mut decoded);
    assert!(whole.is_err(), "nobody may take this for a whole layer");
    let again = stream.read(&mut [0; 10]).unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
    assert_eq!(
        stream.finish().unwrap_err().kind(),
        io::ErrorKind::InvalidData
    );
}

#[test]
fn diff_ids_of_other_algorithms_are_checked_or_refused() {
    let plain = sample(1000);
    let mut sha512 = Hasher::new(Algorithm::Sha512);
    sha512.update(&plain);
    let layer = compressor(1).layer(Arc::clone(&plain), sha512.finish(), gzip(2));
    let (packed, _) = drain(layer.open().unwrap(), 100);
    assert!(gunzip(&packed) == *plain);
    let blake = Digest::parse("blake3:abc").unwrap();
    let unknown = compressor(1).layer(Arc::clone(&plain), blake, gzip(2));
    let error = unknown
        .open()
        .err()
        .expect("cannot be computed")
        .to_string();
    assert!(error.contains("blake3:abc is not known"), "{error}");
}

#[test]
fn a_source_that_ends_early_is_an_error() {
    struct Short(Arc<[u8]>);
    impl Body for Short {
        fn size(&self) -> u64 {
            self.0.size() + 1
        }
        fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
            self.0.open(offset)
        }
    }
    let plain = sample(3 * MIB);
    let layer = compressor(2).layer(Short(Arc::clone(&plain)), Digest::of(&plain), gzip(2));
    let mut stream = layer.open().unwrap();
    let error = io::copy(&mut stream, &mut io::sink()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(stream.finish().is_err());
}

#[test]
fn no_summary_before_the_end() {
    let plain = sample(MIB);
    let layer = compressor(1).layer(Arc::clone(&plain), Digest::of(&plain), gzip(2));
    let (packed, _) = drain(layer.open().unwrap(), MIB);
    for missing in [1, 8, 9, packed.len()] {
        let mut stream = layer.open().unwrap();
        let mut most = vec![0; packed.len() - missing];
        stream.read_exact(&mut most).unwrap();
        assert!(stream.finish().is_err(), "{missing} bytes were not read");
    }
}

#[test]
fn stalled_streams_hold_bounded_memory_and_stop_nobody() {
    let shared = compressor(1);
    let plain = sample(6 * MIB);
    let diff_id = Digest::of(&plain);
    let body = Halting::new(&plain);
    let given = Arc::clone(&body.given);
    let layer = shared.layer(body, diff_id.clone(), gzip(1));
    let stalled: Vec<Box<dyn Stream>> = (0..8)
        .map(|_| {
            let mut stream = layer.open().unwrap();
            stream.read_exact(&mut [0; 100]).unwrap();
            stream
        })
        .collect();
    // The first took all permits, of which there are four; the others have one block each.
    assert_eq!(given.load(Ordering::Relaxed), (4 + 7) * MIB);
    assert_eq!(free_permits(&shared), 0);
    let other = shared.layer(Arc::clone(&plain), diff_id, gzip(1));
    let (packed, _) = drain(other.open().unwrap(), 64 << 10);
    assert!(gunzip(&packed) == *plain);

    drop(stalled);
    drop(other.open().unwrap());
    wait_for_pool(&shared);
    assert_eq!(free_permits(&shared), 4);
}

#[test]
fn blocks_of_a_dropped_stream_are_given_up() {
    let shared = compressor(1);
    let (open, gate) = std::sync::mpsc::channel::<()>();
    shared
        .shared
        .pool
        .submit(Box::new(move || gate.recv().unwrap()));
    let plain = sample(2 * MIB);
    // The gate holds the only thread, so this one block stays in the queue: more would not fit in.
    let mut stream = stream_over(&shared, &plain[..MIB]);
    stream.feed().unwrap();
    drop(stream);
    open.send(()).unwrap();
    wait_for_pool(&shared);
    assert!(
        format!("{:?}", shared.shared.gzip.packed).contains(" 0 idle"),
        "it was compressed"
    );
}

#[test]
fn digests_of_what_is_compressed_already() {
    for size in [0, 1, READ_SIZE, 3 * READ_SIZE + 1] {
        let bytes = sample(size);
        let body = Halting::new(&bytes);
        let digest = digest_of(&body, &|| false).unwrap();
        assert_eq!(digest, Some(Digest::of(&bytes)));
        assert_eq!(digest_of(&body, &|| true).unwrap(), None);
    }
}

fn free_permits(compressor: &Compressor) -> usize {
    std::iter::from_fn(|| compressor.shared.permits.try_acquire())
        .collect::<Vec<_>>()
        .len()
}

/// Until a pool of one thread has done all it was given.
fn wait_for_pool(compressor: &Compressor) {
    let (tell, told) = std::sync::mpsc::channel();
    let job = move || tell.send(()).unwrap();
    compressor.shared.pool.submit(Box::new(job));
    told.recv().unwrap();
}

fn stream_over(compressor: &Compressor, plain: &[u8]) -> stream::PackedStream {
    let body: Arc<[u8]> = plain.into();
    stream::PackedStream::new(stream::Input {
        compressor: compressor.clone(),
        plain: body.open(0).unwrap(),
        size: body.size(),
        hasher: Hasher::new(Algorithm::Sha256),
        diff_id: Digest::of(plain),
        method: gzip(2),
    })
}

/// (bytes of [`sample`], level, sha256)
const GOLDEN: &[(usize, u32, &str)] = &[
    (
        0,
        1,
        "ac73670af3abed54ac6fb4695131f4099be9fbe39d6076c5d0264a6bbdae9d83",
    ),
    (
        0,
        2,
        "ac73670af3abed54ac6fb4695131f4099be9fbe39d6076c5d0264a6bbdae9d83",
    ),
    (
        0,
        6,
        "ac73670af3abed54ac6fb4695131f4099be9fbe39d6076c5d0264a6bbdae9d83",
    ),
    (
        1,
        1,
        "8d158d6ad5ae8641621a59c0cdb19d64eaced91cb1fab8a66865ce96fe9e4d3a",
    ),
    (
        1,
        2,
        "8d158d6ad5ae8641621a59c0cdb19d64eaced91cb1fab8a66865ce96fe9e4d3a",
    ),
    (
        1,
        6,
        "8d158d6ad5ae8641621a59c0cdb19d64eaced91cb1fab8a66865ce96fe9e4d3a",
    ),
    (
        MIB,
        1,
        "0b2e65381e53846a093e0bda4bb967162348b130e5574761ec069f582edf915e",
    ),
    (
        MIB,
        2,
        "bf30d3571915dbb281c10962431f3d4ab776b22f8dc8714edb43596e0f33dd8c",
    ),
    (
        MIB,
        6,
        "b6637a0b8dab6fde581132b6fc84949bf6122f2d4ca70c0943c49cc5008a64c6",
    ),
    (
        MIB + 1,
        1,
        "9a2188becc8b778daaa7391cbc6c9fc098abdc44d96a3118831267706b5ba477",
    ),
    (
        MIB + 1,
        2,
        "d95fe4b1705edae36c7a5768bee47a82227baad77ac669144fa1c5e8c9b10edc",
    ),
    (
        MIB + 1,
        6,
        "39da24e7739ca4487c1e2a5f5df2ddb50f9f791c93ecac910309a43ee36e964e",
    ),
    (
        5 * MIB,
        0,
        "f70103cfcfaedbf18e9bba91c2ad0f112861ef34c476ada80533640304f0ccc8",
    ),
    (
        5 * MIB,
        1,
        "20a8724c010a530aefefec401bb7621c160391e75bb37538ecaf9a734c2445bb",
    ),
    (
        5 * MIB,
        2,
        "4d1672fb4461bda8ff3e0398cdf2b9c4953351859d3a487f35cbff2ee9df55f0",
    ),
    (
        5 * MIB,
        6,
        "712d7687a8817bdf6d6cf9cc6db7a48b496e0c3c892e87fc9c85cb2eb8c590a1",
    ),
    (
        5 * MIB,
        9,
        "5da456fd73b135495bb3aa53b3e572cc0736dc85d1f67269cae6e19796575ef9",
    ),
];

/// What is remembered by these names counts only as long as they stand for the same bytes.
#[test]
fn other_bytes_go_by_another_name() {
    let compressor = compressor(2);
    let plain = sample(MIB + 12_345);
    let gzip = [0, 1, 2, 6, 9].map(|level| Method::Gzip { level });
    let zstd = [1, 3, 9].map(|level| Method::Zstd { level });
    let digest_of = |methods: &[Method]| {
        let mut all = Vec::new();
        for &method in methods {
            let layer = compressor.layer(Arc::clone(&plain), Digest::of(&plain), method);
            all.extend(drain(layer.open().unwrap(), 1 << 16).0);
        }
        let name = methods[0].identity();
        format!("{name} {}", Digest::of(&all))
    };
    assert_eq!(
        digest_of(&gzip),
        "gzip-2 0 sha256:a3eab1172614849b6dc73a80ac162190d3cfa6743e49d62c2f6db762f676386e"
    );
    assert_eq!(
        digest_of(&zstd),
        "zstd-1 1 sha256:318a4cc4585811602e56cc62165bbb329b536d99a0a00e09f7ec842776ca6d2e"
    );
}
