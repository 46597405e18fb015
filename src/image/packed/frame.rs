//! The header of a zstd frame, for the memory that decoding it takes (RFC 8878, section 3.1.1).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// The longest header of a frame, magic included.
const MAX_HEADER: usize = 18;

/// Skippable frames that may come before the first one with data.
const MAX_SKIPPABLE: usize = 1000;

#[derive(Debug, PartialEq, Eq)]
enum Frame {
    /// So many bytes, header included, that hold no data.
    Skippable(u64),
    Data {
        window: u64,
    },
}

/// The window of the first frame that holds data, in bytes; `None` when there is none.
pub(super) fn first_window(file: &File) -> io::Result<Option<u64>> {
    let mut position = 0_u64;
    for _ in 0..MAX_SKIPPABLE {
        let mut head = [0; MAX_HEADER];
        let length = file.read_at(&mut head, position)?;
        match parse(&head[..length]) {
            None => return Ok(None),
            Some(Frame::Data { window }) => return Ok(Some(window)),
            Some(Frame::Skippable(length)) => position = position.saturating_add(length),
        }
    }
    Ok(None)
}

fn parse(head: &[u8]) -> Option<Frame> {
    match head.get(..4)? {
        [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Some(Frame::Skippable(8 + number(head, 4, 4)?)),
        [0x28, 0xb5, 0x2f, 0xfd] => Some(Frame::Data {
            window: window(head)?,
        }),
        _ => None,
    }
}

fn window(head: &[u8]) -> Option<u64> {
    let descriptor = *head.get(4)?;
    let single_segment = descriptor & 0x20 != 0;
    if !single_segment {
        let byte = *head.get(5)?;
        let base = 1_u64 << (10 + (byte >> 3));
        return Some(base + base / 8 * u64::from(byte & 7));
    }
    // The window is the content then.
    let dictionary_id = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let at = 5 + dictionary_id;
    match descriptor >> 6 {
        0 => number(head, at, 1),
        1 => Some(number(head, at, 2)? + 256),
        2 => number(head, at, 4),
        _ => number(head, at, 8),
    }
}

/// Little-endian.
fn number(head: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = head.get(at..at + length)?;
    let digits = bytes.iter().rev();
    Some(digits.fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_windows() {
        let data = |window| Some(Frame::Data { window });
        for (head, expected) in [
            // zstd -3: 2 MiB, with a checksum.
            (b"\x28\xb5\x2f\xfd\x04\x58".as_slice(), data(2 << 20)),
            (b"\x28\xb5\x2f\xfd\x04\x88", data(128 << 20)),
            (b"\x28\xb5\x2f\xfd\x04\x89", data(144 << 20)),
            // --long=31
            (b"\x28\xb5\x2f\xfd\x04\xa8", data(2 << 30)),
            (b"\x28\xb5\x2f\xfd\x04\xff", data((1 << 41) / 8 * 15)),
            (b"\x28\xb5\x2f\xfd\x20\x07", data(7)),
            (b"\x28\xb5\x2f\xfd\x61\xee\x01\x01", data(0x101 + 256)),
            (b"\x28\xb5\x2f\xfd\xa0\0\0\x40\0", data(4 << 20)),
            (b"\x28\xb5\x2f\xfd\xe0\0\0\0\0\x01\0\0\0", data(1 << 32)),
            (b"\x28\xb5\x2f\xfd\xe0\0\0", None),
            (b"\x28\xb5\x2f\xfd", None),
            (
                b"\x5f\x2a\x4d\x18\x03\x01\0\0",
                Some(Frame::Skippable(8 + 259)),
            ),
            (b"\x1f\x8b\x08\0\0\0", None),
            (b"", None),
        ] {
            assert_eq!(parse(head), expected, "{head:x?}");
        }
    }
}
