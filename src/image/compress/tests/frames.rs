//! What layers become with zstd.

use ::zstd::zstd_safe;

use super::*;
use crate::image::compress::zstd::SIZE;

fn method(level: u32) -> Method {
    Method::Zstd { level }
}

/// Should one of these ever change, layers get other digests than those that are in registries already.
#[test]
fn the_bytes_are_those_of_every_release_before() {
    let compressor = compressor(2);
    for (size, level, digest) in GOLDEN {
        let plain = sample(*size);
        let layer = compressor.layer(Arc::clone(&plain), Digest::of(&plain), method(*level));
        let (packed, summary) = drain(layer.open().unwrap(), 64 << 10);
        assert_eq!(summary.size, packed.len() as u64);
        assert_eq!(summary.digest, Digest::of(&packed));
        assert_eq!(summary.digest.encoded(), *digest, "{size} at level {level}");
    }
}

#[test]
fn threads_short_reads_and_reopening_change_nothing() {
    let (size, level, digest) = GOLDEN[0];
    let plain = sample(size);
    let diff_id = Digest::of(&plain);
    for (threads, step) in [(1, 4093), (2, 3 * MIB), (7, 1)] {
        let body = Halting::new(&plain);
        let layer = compressor(threads).layer(body, diff_id.clone(), method(level));
        for _ in 0..2 {
            let (_, summary) = drain(layer.open().unwrap(), step);
            assert_eq!(summary.digest.encoded(), digest, "{threads} threads");
        }
    }
}

#[test]
fn every_block_is_a_frame_with_its_size_and_a_checksum() {
    let compressor = compressor(2);
    for (size, blocks) in [
        (0, &[0][..]),
        (1, &[1]),
        (SIZE - 1, &[SIZE - 1]),
        (SIZE, &[SIZE]),
        (SIZE + 1, &[SIZE, 1]),
        (2 * SIZE, &[SIZE, SIZE]),
    ] {
        let plain = sample(size);
        let layer = compressor.layer(Arc::clone(&plain), Digest::of(&plain), method(1));
        let (packed, _) = drain(layer.open().unwrap(), 100_000);
        assert!(::zstd::decode_all(&packed[..]).unwrap() == *plain, "{size}");
        let (mut rest, mut found) = (&packed[..], Vec::new());
        while !rest.is_empty() {
            let content = zstd_safe::get_frame_content_size(rest).ok().flatten();
            found.push(content.expect("a frame says its size") as usize);
            assert_eq!(rest[4] & 4, 4, "the flag of the checksum");
            rest = &rest[zstd_safe::find_frame_compressed_size(rest).unwrap()..];
        }
        assert_eq!(found, blocks, "{size}");
    }
}

#[test]
fn another_diff_id_fails_before_the_last_block() {
    let plain = sample(SIZE + 5);
    let claimed = Digest::of(b"something else");
    let right = compressor(2).layer(Arc::clone(&plain), Digest::of(&plain), method(1));
    let (whole, _) = drain(right.open().unwrap(), MIB);
    let layer = compressor(2).layer(Arc::clone(&plain), claimed, method(1));
    let (mut stream, mut packed) = (layer.open().unwrap(), Vec::new());
    let error = stream.read_to_end(&mut packed).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(stream.finish().is_err());
    assert!(whole.starts_with(&packed) && packed.len() < whole.len());
}

#[test]
fn no_summary_before_the_end() {
    let plain = sample(1000);
    let layer = compressor(1).layer(Arc::clone(&plain), Digest::of(&plain), method(3));
    let (packed, _) = drain(layer.open().unwrap(), MIB);
    for missing in [1, 4, packed.len()] {
        let mut stream = layer.open().unwrap();
        stream
            .read_exact(&mut vec![0; packed.len() - missing])
            .unwrap();
        assert!(stream.finish().is_err(), "{missing} bytes were not read");
    }
}

/// (bytes of [`sample`], level, sha256)
const GOLDEN: &[(usize, u32, &str)] = &[
    (
        8388613,
        3,
        "e23fcd4d6cf735ba71d0efbe47358e98501a097e51e40ea47eb80f59fd66b419",
    ),
    (
        0,
        3,
        "f96deff1816083fdff8bc3e46c3fe6ca46a6bb49f4d5a00627616c13237a512c",
    ),
    (
        1,
        3,
        "f74740457ccaaa3fe5cfe236c2fe963dc6061610621138e98b382cf01c7c9362",
    ),
    (
        4194303,
        3,
        "6be8b831c5581612021987a207cc5cb06a2c4e4b74e837e696b0c3dafdafdeee",
    ),
    (
        4194304,
        3,
        "542ca8e89c29fe770b99b9ed5ac111a91fbf7c6ebb0893931c7e60f46873847a",
    ),
    (
        4194305,
        3,
        "59f23ed0d59a1b4f850d06204868b79492880eb203c26fc16a02dcab5548fc93",
    ),
    (
        4194305,
        1,
        "de6c5414bad4dadcf9063186676b905ff406e8b12b03143eae56ec5ec5fdb8b0",
    ),
    (
        1048576,
        1,
        "ce13865f41469ece5fb654f0b98a2623b376bcdcbdddd98ff2dff9fa576659da",
    ),
    (
        1048576,
        2,
        "72c3839cf11ee9a7de7d3ce0f82a2a932994f5ca3b9604adebc562df75b63230",
    ),
    (
        1048576,
        3,
        "c15bd560a933165abacfb81deb8b3b671026ced0bf4e92a82d19d449bbda27bb",
    ),
    (
        1048576,
        4,
        "0d08ba404ad41287d41dde7a85785a999fc326d25a9c1c86c7361b4df9a150d0",
    ),
    (
        1048576,
        5,
        "a5146ec737d128a640dacda5373bd0e7f7d881797aabe281accafd9c78e21e4d",
    ),
    (
        1048576,
        6,
        "3744d91c9b0a5ea0308ed9f0af4c4afbdb7afb839dd774075989374b826b067b",
    ),
    (
        1048576,
        7,
        "81827a074fefc8625cc54244eb7ce110f871e5e174d1ceb337f8dc6be25f3282",
    ),
    (
        1048576,
        8,
        "abd2169f115da50a534ea7bcfe23dfb5b788e687c2ff4d2106feace7ac329704",
    ),
    (
        1048576,
        9,
        "4eaf1f1710ed977d6a62442fce251f91c62c92341b05610c2281a468ca69bbad",
    ),
    (
        1048576,
        10,
        "3bb2f005050a701eb11962c4940907421e6102c4605c4469dcdc52dbe3be35d4",
    ),
    (
        1048576,
        11,
        "a5f54902b5b7175e470b93f8cf87f14508a3b8699821e01b701e95d738b5c6f8",
    ),
    (
        1048576,
        12,
        "a5f54902b5b7175e470b93f8cf87f14508a3b8699821e01b701e95d738b5c6f8",
    ),
    (
        1048576,
        13,
        "454ff3b2d2df01412144fe09900402e0a9aba27011f3655e3c8af68d098c103e",
    ),
    (
        1048576,
        14,
        "d723210c5c76da8ec3f5e8c73bb8afa664f7e566338e5e94bb9d8f9a1c73ad39",
    ),
    (
        1048576,
        15,
        "ac5e672d7a374ac4c29419a3d45353c8350670a535890ff341b1c7273f92a081",
    ),
    (
        1048576,
        16,
        "d6973dd86fb1bf80ea296362fffcce835391c31e5e208b7a1dd78f7e79fc6f1e",
    ),
    (
        1048576,
        17,
        "5dcf68f731a1db8074cdab7e5f6d1bfaef19e50a42727d169628ebe93f5649be",
    ),
    (
        1048576,
        18,
        "6b79789912fc9a5bb8ec0c796029d98c5d6c09974a2d7536a7dff7ae16c31dfa",
    ),
    (
        1048576,
        19,
        "96320acb68a02023a5f231d02109d45448157999e6f0fefd9891bed2df4e7e96",
    ),
];
