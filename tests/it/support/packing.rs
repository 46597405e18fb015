//! Files compressed as a whole: frames, members and windows as a test wants them.

use super::archives::gzip;

/// A zstd file as `zstd` writes it.
pub(crate) fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// A frame that says it needs a window of `1 << log` bytes, of raw blocks.
pub(crate) fn with_window(log: u8, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3];
    let blocks = bytes.chunks(1 << log.min(17));
    let last = blocks.len().saturating_sub(1);
    for (number, block) in blocks.enumerate() {
        let header = (block.len() << 3) | usize::from(number == last);
        frame.extend(&header.to_le_bytes()[..3]);
        frame.extend(block);
    }
    frame
}

/// A frame that tools pass over (RFC 8878, 3.1.2).
pub(crate) fn skippable(content: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x5a, 0x2a, 0x4d, 0x18];
    frame.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
    frame.extend(content);
    frame
}

/// A frame of `mebibytes` of zeros, 32 bytes for each.
pub(crate) fn zeros(mebibytes: usize) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];
    let blocks = mebibytes * 8;
    for number in 1..=blocks {
        let repeated = 1;
        let header = ((128 << 10) << 3) | repeated << 1 | usize::from(number == blocks);
        frame.extend(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

/// Two gzip members and the zeros of a tape.
pub(crate) fn members(bytes: &[u8]) -> Vec<u8> {
    let (one, other) = bytes.split_at(bytes.len() / 3);
    [gzip(one), gzip(other), vec![0; 512]].concat()
}

/// Several zstd frames, with skippable ones before, between and behind them.
pub(crate) fn frames(bytes: &[u8]) -> Vec<u8> {
    let (one, other) = bytes.split_at(bytes.len() / 3);
    let skip = || skippable(b"anything");
    [skip(), zst(one), skip(), skippable(b""), zst(other), skip()].concat()
}
