//! Uploads: sessions that take bytes in order until a digest closes them.
//!
//! A Location carries `_state=OFFSET`. Writing to one that is no longer the newest is refused with
//! 416, so that bytes are never appended behind bytes the client does not know of; asking for the
//! status works on any.

use std::io::Read as _;

use crate::image::digest::Digest;
use crate::image::reference::Repository;
use crate::serve::http::answer::Answer;
use crate::serve::store::sessions::{Finished, Session, Writer};

use super::Request;
use super::fault::{Code, Fault};
use super::route::{self, parse_repository};

/// One read from the socket and one write to the file at most.
const BLOCK: usize = 128 << 10;

/// POST: mounts, takes a whole blob, or opens a session.
pub(super) fn open(
    request: &mut Request<'_, '_, '_>,
    repository: &Repository,
) -> Result<Answer, Fault> {
    if let Some(answer) = mount(request, repository)? {
        return Ok(answer);
    }
    let digest = match request.query.get("digest") {
        Some(text) if request.query.get("mount").is_none() => Some(usable_digest(text)?),
        _ => None,
    };
    let session = request.store.sessions.create(repository)?;
    let Some(digest) = digest else {
        return Ok(progress(Answer::new(202), repository, &session));
    };
    let stored = store(request, repository, &session, &digest);
    if stored.is_err() {
        // Nobody has been told its name.
        session.cancel()?;
    }
    stored
}

pub(super) fn status(
    request: &Request<'_, '_, '_>,
    repository: &Repository,
    session: &str,
) -> Result<Answer, Fault> {
    let session = find(request, repository, session)?;
    Ok(progress(Answer::new(204), repository, &session))
}

pub(super) fn append(
    request: &mut Request<'_, '_, '_>,
    repository: &Repository,
    session: &str,
) -> Result<Answer, Fault> {
    let session = find(request, repository, session)?;
    let range = content_range(request)?;
    let expected = expected_offsets(request, range);
    let writer = session.writer(&expected, None)?;
    let writer = writer.ok_or_else(|| elsewhere(repository, &session))?;
    receive(request, repository, &session, &writer)?;
    // Only a body in chunks can still disagree.
    if range.is_some_and(|(first, last)| session.offset() != last + 1 && first <= last) {
        let message = "the body is not as long as its Content-Range";
        return Err(Fault::new(Code::SizeInvalid, message));
    }
    Ok(progress(Answer::new(202), repository, &session))
}

pub(super) fn close(
    request: &mut Request<'_, '_, '_>,
    repository: &Repository,
    session: &str,
) -> Result<Answer, Fault> {
    let session = find(request, repository, session)?;
    let Some(digest) = request.query.get("digest") else {
        return Err(Fault::new(Code::DigestInvalid, "the digest is missing"));
    };
    let digest = usable_digest(digest)?;
    store(request, repository, &session, &digest)
}

pub(super) fn cancel(
    request: &Request<'_, '_, '_>,
    repository: &Repository,
    session: &str,
) -> Result<Answer, Fault> {
    find(request, repository, session)?.cancel()?;
    Ok(Answer::new(204))
}

/// The answer to a mount that can be done. One that cannot, for whatever reason, opens a session.
fn mount(request: &Request<'_, '_, '_>, repository: &Repository) -> Result<Option<Answer>, Fault> {
    let digest = request.query.get("mount").map(route::digest);
    let Some(Ok(digest)) = digest else {
        return Ok(None);
    };
    let store = request.store;
    let source = match request.query.get("from") {
        Some(from) => parse_repository(from).ok().map(|from| store.layout(&from)),
        None => store.holder_of(&digest),
    };
    let Some(source) = source.filter(|source| source.has_blob(&digest)) else {
        return Ok(None);
    };
    let mounted = store.make_layout(repository)?.mount(&source, &digest)?;
    Ok(mounted.then(|| created(repository, &digest)))
}

/// The rest of the blob, and the end of the session.
fn store(
    request: &mut Request<'_, '_, '_>,
    repository: &Repository,
    session: &Session<'_>,
    digest: &Digest,
) -> Result<Answer, Fault> {
    let range = content_range(request)?;
    let expected = expected_offsets(request, range);
    let writer = session.writer(&expected, digest.algorithm())?;
    let writer = writer.ok_or_else(|| elsewhere(repository, session))?;
    receive(request, repository, session, &writer)?;
    let store = request.store;
    match writer.finish(digest, || store.make_layout(repository))? {
        Finished::Stored => Ok(created(repository, digest)),
        Finished::Superseded => Err(elsewhere(repository, session)),
        Finished::Mismatch => {
            let message = format!("the bytes do not have the digest {digest}");
            Err(Fault::new(Code::DigestInvalid, message))
        }
    }
}

/// What comes is kept as it comes, so that a cut loses nothing that has arrived.
fn receive(
    request: &mut Request<'_, '_, '_>,
    repository: &Repository,
    session: &Session<'_>,
    writer: &Writer<'_>,
) -> Result<(), Fault> {
    let announced = request.head.announced().unwrap_or(u64::MAX);
    let block = usize::try_from(announced).map_or(BLOCK, |length| length.clamp(1, BLOCK));
    let mut block = vec![0; block];
    loop {
        let count = request.body.read(&mut block).map_err(Fault::Body)?;
        if count == 0 {
            return Ok(());
        }
        if !writer.append(&block[..count])? {
            return Err(elsewhere(repository, session));
        }
    }
}

fn find<'a>(
    request: &Request<'a, '_, '_>,
    repository: &Repository,
    name: &str,
) -> Result<Session<'a>, Fault> {
    let found = request.store.sessions.find(repository, name)?;
    found.ok_or_else(|| Fault::new(Code::BlobUploadUnknown, "no such upload in this repository"))
}

fn usable_digest(text: &str) -> Result<Digest, Fault> {
    let digest = route::digest(text)?;
    if digest.algorithm().is_none() {
        let message = format!("the algorithm of {digest} is not supported");
        return Err(Fault::new(Code::DigestInvalid, message));
    }
    Ok(digest)
}

/// Where the session has to stand for this request.
fn expected_offsets(request: &Request<'_, '_, '_>, range: Option<(u64, u64)>) -> Vec<u64> {
    let state = request.query.get("_state").and_then(|s| s.parse().ok());
    range
        .map(|(first, _)| first)
        .into_iter()
        .chain(state)
        .collect()
}

/// distribution-spec 1.1, "Pushing a blob in chunks": plain numbers, both ends included.
fn content_range(request: &Request<'_, '_, '_>) -> Result<Option<(u64, u64)>, Fault> {
    let Some(text) = request.head.field("content-range") else {
        return Ok(None);
    };
    let range = parse_range(text);
    let Some((first, last)) = range else {
        let message = "Content-Range is <first>-<last>, without a unit";
        return Err(Fault::new(Code::BlobUploadInvalid, message));
    };
    match request.head.announced() {
        Some(length) if length != last - first + 1 => {
            let message = "Content-Range and Content-Length disagree";
            Err(Fault::new(Code::SizeInvalid, message))
        }
        _ => Ok(Some((first, last))),
    }
}

pub(super) fn parse_range(text: &str) -> Option<(u64, u64)> {
    let number = |digits: &str| {
        let plain = digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|_| plain)
    };
    let (first, last) = text.split_once('-')?;
    let range = (number(first)?, number(last)?);
    (range.0 <= range.1 && range.1 < u64::MAX).then_some(range)
}

/// 416: the client's idea of the session is not ours. The answer says what ours is.
fn elsewhere(repository: &Repository, session: &Session<'_>) -> Fault {
    let offset = session.offset();
    Fault::new(
        Code::BlobUploadInvalid,
        format!("the upload goes on at byte {offset}"),
    )
    .status(416)
    .field("Location", location(repository, session, offset))
    .field("Range", held(offset))
    .field("Docker-Upload-UUID", session.name())
}

fn progress(answer: Answer, repository: &Repository, session: &Session<'_>) -> Answer {
    let offset = session.offset();
    answer
        .with("Location", location(repository, session, offset))
        .with("Range", held(offset))
        .with("Docker-Upload-UUID", session.name())
}

fn location(repository: &Repository, session: &Session<'_>, offset: u64) -> String {
    let name = session.name();
    format!("/v2/{repository}/blobs/uploads/{name}?_state={offset}")
}

/// The form has no way to say "nothing"; everybody says `0-0` then.
fn held(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

fn created(repository: &Repository, digest: &Digest) -> Answer {
    Answer::new(201)
        .with("Location", format!("/v2/{repository}/blobs/{digest}"))
        .with("Docker-Content-Digest", digest.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_ranges_are_plain_numbers() {
        for (text, range) in [
            ("0-0", Some((0, 0))),
            ("5-9", Some((5, 9))),
            ("9-5", None),
            ("bytes=0-4", None),
            ("bytes 0-4/5", None),
            ("0-", None),
            ("-4", None),
            ("+0-4", None),
            ("0-18446744073709551615", None),
        ] {
            assert_eq!(parse_range(text), range, "{text}");
        }
    }
}
