//! Blobs that are there: reading, in parts or whole, and removing.

use crate::image::digest::Digest;
use crate::image::reference::Repository;
use crate::serve::http::answer::Answer;

use super::Request;
use super::fault::{Code, Fault};

pub(super) fn get(
    request: &Request<'_, '_, '_>,
    repository: &Repository,
    digest: &Digest,
) -> Result<Answer, Fault> {
    let found = request.store.layout(repository).blob(digest)?;
    let (file, length) = found.ok_or_else(|| unknown(digest))?;
    let etag = format!("\"{digest}\"");
    let answer = |status| {
        Answer::new(status)
            .with("Docker-Content-Digest", digest.as_str())
            .with("ETag", etag.as_str())
            .with("Accept-Ranges", "bytes")
    };
    let unchanged = request.head.field("if-range").is_none_or(|tag| tag == etag);
    let asked = request.head.field("range").filter(|_| unchanged);
    match asked.map_or(Part::Whole, |asked| part(asked, length)) {
        Part::Whole => Ok(answer(200).file(file, 0, length)),
        Part::Some { first, last } => Ok(answer(206)
            .with("Content-Range", format!("bytes {first}-{last}/{length}"))
            .file(file, first, last - first + 1)),
        Part::Outside => Err(
            Fault::new(Code::SizeInvalid, "the blob ends before that range")
                .status(416)
                .field("Content-Range", format!("bytes */{length}")),
        ),
    }
}

pub(super) fn delete(
    request: &Request<'_, '_, '_>,
    repository: &Repository,
    digest: &Digest,
) -> Result<Answer, Fault> {
    match request.store.layout(repository).delete_blob(digest)? {
        true => Ok(Answer::new(202)),
        false => Err(unknown(digest)),
    }
}

fn unknown(digest: &Digest) -> Fault {
    Fault::new(Code::BlobUnknown, format!("no blob {digest} here"))
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// Both ends included.
    Some {
        first: u64,
        last: u64,
    },
    Outside,
}

/// RFC 9110 section 14.2: what is no single range of bytes is as if it had not been asked for.
pub(super) fn part(asked: &str, length: u64) -> Part {
    let range = asked.strip_prefix("bytes=").and_then(|r| r.split_once('-'));
    let Some((first, last)) = range else {
        return Part::Whole;
    };
    let number = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| digits)
    };
    let (first, last) = match (number(first.trim()), number(last.trim())) {
        (Some(first), Some(last)) if first <= last => (first, last),
        (Some(first), None) if last.is_empty() => (first, u64::MAX),
        (None, Some(0)) if first.is_empty() => return Part::Outside,
        (None, Some(count)) if first.is_empty() => (length.saturating_sub(count), u64::MAX),
        _ => return Part::Whole,
    };
    if first >= length {
        return Part::Outside;
    }
    let last = last.min(length - 1);
    Part::Some { first, last }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_blob() {
        let some = |first, last| Part::Some { first, last };
        for (asked, length, expected) in [
            ("bytes=0-0", 10, some(0, 0)),
            ("bytes=3-", 10, some(3, 9)),
            ("bytes=-4", 10, some(6, 9)),
            ("bytes=-40", 10, some(0, 9)),
            ("bytes=3-400", 10, some(3, 9)),
            ("bytes=10-", 10, Part::Outside),
            ("bytes=-0", 10, Part::Outside),
            ("bytes=0-", 0, Part::Outside),
            ("bytes=5-3", 10, Part::Whole),
            ("bytes=0-1,3-4", 10, Part::Whole),
            ("bytes=+1-2", 10, Part::Whole),
            ("bytes=-", 10, Part::Whole),
            ("lines=1-2", 10, Part::Whole),
            ("bytes=99999999999999999999-", 10, Part::Whole),
        ] {
            assert_eq!(part(asked, length), expected, "{asked} of {length}");
        }
    }
}
