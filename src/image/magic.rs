//! Compression, recognised by the first bytes of a file.

/// What `head`, the first bytes of a file, says that it is compressed with.
pub(crate) fn compression(head: &[u8]) -> Option<&'static str> {
    const MAGIC: [(&[u8], &str); 5] = [
        (b"\x1f\x8b", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh", "bzip2"),
        (b"\x04\x22\x4d\x18", "lz4"),
    ];
    // A skippable frame, which a zstd file may begin with: RFC 8878, section 3.1.2.
    if matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]) {
        return Some("zstd");
    }
    let found = MAGIC.iter().find(|(magic, _)| head.starts_with(magic));
    found.map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_first_bytes() {
        for (head, expected) in [
            (b"\x1f\x8b\x08\0".as_slice(), Some("gzip")),
            (b"\x28\xb5\x2f\xfd\x04", Some("zstd")),
            (b"\x5d\x2a\x4d\x18\0", Some("zstd")),
            (b"\xfd7zXZ\0\0\x04", Some("xz")),
            (b"BZh91AY", Some("bzip2")),
            (b"\x1f", None),
            (b"", None),
            (b"manifest.json\0", None),
        ] {
            assert_eq!(compression(head), expected, "{head:?}");
        }
    }
}
