//! Archives: tar files, plain and compressed as a whole.

use std::cell::RefCell;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use crate::image::archive;
use crate::image::error::ImageError;
use crate::image::found::{Found, News, Watch};
use crate::image::soak::JSON;
use crate::image::soak::sound::judge;
use crate::image::tar_index::{Positions, TarIndex};
use crate::soak::{Outcome, Target, fixture, fixtures};

const BLOCK: usize = 512;

/// Fields of headers, kinds of members, records.
const TAR: [&[u8]; 30] = [
    b"ustar\x0000",
    b"ustar  \0",
    b"00000000000\0",
    b"77777777777\0",
    b"00000001000 ",
    b"0000644\0",
    b"\x80\0\0\0\0\0\0\0\0\0\x10\0",
    b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe\0",
    b"\x80\0\0\x01\0\0\0\0\0\0\0\0",
    b"././@LongLink",
    b"././@PaxHeader",
    b"pax_global_header",
    b"11 path=a\n",
    b"30 size=18446744073709551615\n",
    b"12 size=512\n",
    b"22 GNU.sparse.major=1\n",
    b"18 GNU.sparse.name=a\n",
    b"20 linkpath=../../a\n",
    b"manifest.json\0",
    b"index.json\0",
    b"oci-layout\0",
    b"blobs/sha256/",
    b"../",
    b"layer.tar",
    b"repositories\0",
    b"\0\0\0\0\0\0\0\0",
    b"1\0",
    b"S",
    b"x",
];

pub(super) fn targets() -> Vec<Target> {
    let tars = fixtures(".tar");
    let mut gzips = vec![fixture("nix.tar.gz")];
    gzips.extend(tars.iter().take(3).map(|tar| gzip(tar)));
    let mut zstds = vec![fixture("podman-packed.tar.zst")];
    zstds.extend(tars.iter().take(3).map(|tar| zstd(tar)));
    let tar = |name, read: fn(&[u8], &Scratch) -> Outcome| {
        let scratch = Scratch::default();
        Target::new(name, fixtures(".tar"), move |input| read(input, &scratch))
            .words(TAR)
            .words(JSON.split_whitespace())
            .repaired_by(checksums)
            .longest(96 << 10)
    };
    vec![
        tar("tar index", index),
        tar("archive", |input, scratch| {
            judge(scratch.look_into(input), Some(input.len() as u64))
        }),
        tar("archive in gzip", |input, scratch| {
            same_inside(input, &gzip(input), scratch)
        }),
        tar("archive in zstd", |input, scratch| {
            same_inside(input, &zstd(input), scratch)
        }),
        compressed("gzip", gzips).words([
            b"\x1f\x8b\x08".as_slice(),
            b"\x1f\x8b\x08\x1f",
            b"\0\0\xff\xff",
        ]),
        // A block of 4 bytes may stand for 128 KiB, and all of it is decoded.
        compressed("zstd", zstds)
            .words([
                b"\x28\xb5\x2f\xfd".as_slice(),
                b"\x50\x2a\x4d\x18",
                b"\x5f\x2a\x4d\x18\xff\xff\xff\xff",
            ])
            .longest(6 << 10)
            .memory_mib(300),
    ]
}

fn compressed(name: &'static str, examples: Vec<Vec<u8>>) -> Target {
    let scratch = Scratch::default();
    Target::new(name, examples, move |input| {
        judge(scratch.look_into(input), None)
    })
}

/// A file that is written anew for each input.
#[derive(Default)]
struct Scratch(RefCell<Option<TempDir>>);

impl Scratch {
    fn file(&self, bytes: &[u8]) -> PathBuf {
        let mut folder = self.0.borrow_mut();
        let folder = folder.get_or_insert_with(|| tempfile::tempdir().unwrap());
        let path = folder.path().join("input");
        fs::write(&path, bytes).unwrap();
        path
    }

    fn look_into(&self, bytes: &[u8]) -> Result<Found, ImageError> {
        let watch = Watch {
            stopped: &|| false,
            telling: &|_: News<'_>| {},
        };
        archive::read(&self.file(bytes), watch).map_err(without_folder)
    }
}

/// The path that people get to read has nothing of the run in it.
fn without_folder(error: ImageError) -> ImageError {
    ImageError::new(error.kind(), "input".as_ref(), error.message())
}

fn index(input: &[u8], scratch: &Scratch) -> Outcome {
    let file = fs::File::open(scratch.file(input)).unwrap();
    let length = input.len() as u64;
    let read = TarIndex::read(&mut Positions::new(&file, length), &|| false);
    let Some(index) = read.unwrap() else {
        return Outcome::refused("no tar file");
    };
    let extents = index.extents();
    for extent in &extents {
        let end = extent.offset.checked_add(extent.size);
        assert!(
            end.is_some_and(|end| end <= length),
            "{extent:?} of {length}"
        );
    }
    let mut outcome = Outcome::accepted().with(extents.len().min(20));
    for name in [
        "manifest.json",
        "./index.json",
        "blobs/../oci-layout",
        "/a",
        "a/layer.tar",
    ] {
        match index.find(name) {
            Ok(found) => outcome = outcome.with(found.is_some()),
            Err(why) => outcome = outcome.saying(why),
        }
    }
    index.damage().into_iter().fold(outcome, Outcome::saying)
}

/// An archive holds the same images whether it is compressed or not.
fn same_inside(input: &[u8], compressed: &[u8], scratch: &Scratch) -> Outcome {
    let identities = |found: &Result<Found, ImageError>| {
        let images = found.iter().flat_map(|found| &found.images);
        images
            .map(|image| image.identity().clone())
            .collect::<Vec<_>>()
    };
    let plain = identities(&scratch.look_into(input));
    let packed = scratch.look_into(compressed);
    assert_eq!(identities(&packed), plain);
    judge(packed, Some(input.len() as u64))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let encode = || -> io::Result<Vec<u8>> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1)?;
        encoder.write_all(bytes)?;
        encoder.finish()
    };
    encode().unwrap()
}

/// Writes the checksum into each block that looks like a header.
fn checksums(input: &mut [u8]) {
    for block in input.chunks_exact_mut(BLOCK) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}
