//! An upload session as states, without I/O: what to send next, and what an answer means for it.
//!
//! distribution-spec 1.1 "Pushing blobs". A session is opened by POST; every answer may move it to a
//! new location; it holds a number of bytes that is known while all goes well, and has to be asked
//! for after anything else.

use std::time::Duration;

use crate::registry::answer::Refusal;
use crate::registry::endpoint::Target;
use crate::registry::sessions::Remembered;

/// A session that is open at the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    location: Target,
    held: u64,
    doubtful: bool,
    /// A question was answered with an error of the server.
    has_failed: bool,
    /// Its body was answered by a gateway, for whoever is behind it.
    at_gateway: bool,
    min_chunk: u64,
    opened_in: Duration,
    /// Answers in a row of somebody who does not know it.
    strangers: u32,
}

/// With up to three replicas who take turns, one of them is who opened the session.
const MOST_STRANGERS: u32 = 2;
/// The least characters of a `_state` that begins with an HMAC.
const SIGNATURE: usize = 43;

/// What a session is to be sent next. Offsets count from the start of the blob, ends are exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// GET: how much is there?
    Status,
    /// PATCH with these bytes.
    Chunk { from: u64, to: u64 },
    /// PUT with everything from here on.
    Close { from: u64 },
}

/// How much a registry says it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Nothing,
    /// `0-0`: nothing, or one byte.
    Unclear,
    Bytes(u64),
}

/// What an answer to PATCH or PUT means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Taken,
    /// A 2xx that is not the one for this request.
    Odd,
    /// The body is too large for somebody on the way.
    TooLarge,
    /// The registry holds another number of bytes than we think.
    OutOfStep,
    /// The session is no more.
    Gone,
    /// The bytes do not have the digest.
    WrongDigest,
    /// Nobody can say whether it worked.
    Uncertain,
    Refused,
}

impl Session {
    /// A new one, of which the registry said that chunks have at least `min_chunk` bytes. The answer to
    /// POST took `opened_in`.
    pub(super) fn new(location: Target, min_chunk: u64, opened_in: Duration) -> Self {
        Self {
            location,
            held: 0,
            doubtful: false,
            has_failed: false,
            at_gateway: false,
            min_chunk,
            opened_in,
            strangers: 0,
        }
    }

    /// One that another process has opened, to be asked how much it holds.
    pub(super) fn left(location: Target, left: &Remembered) -> Self {
        Self {
            location,
            held: left.held,
            doubtful: true,
            has_failed: false,
            at_gateway: false,
            min_chunk: left.least,
            opened_in: Duration::MAX,
            strangers: 0,
        }
    }

    /// What another process would have to know; nothing of a session elsewhere.
    pub(super) fn remembered(&self) -> Option<Remembered> {
        self.location.is_own().then(|| Remembered {
            location: self.location.path().to_owned(),
            held: self.held,
            least: self.min_chunk,
            made: None,
        })
    }

    pub(super) fn location(&self) -> &Target {
        &self.location
    }

    /// Bytes the registry holds, as far as is known.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    pub(super) fn min_chunk(&self) -> u64 {
        self.min_chunk
    }

    pub(super) fn opened_in(&self) -> Duration {
        self.opened_in
    }

    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// What to send of a blob of `size` bytes, in pieces of at most `chunk`.
    pub(super) fn next(&self, size: u64, chunk: Option<u64>) -> Next {
        if self.doubtful {
            return Next::Status;
        }
        let rest = size.saturating_sub(self.held);
        match chunk {
            Some(chunk) if rest > chunk => Next::Chunk {
                from: self.held,
                to: self.held + chunk,
            },
            _ => Next::Close { from: self.held },
        }
    }

    /// The registry has taken everything before `end`.
    pub(super) fn stored(&mut self, end: u64) {
        self.held = end;
        self.strangers = 0;
    }

    pub(super) fn moved(&mut self, location: Target) {
        self.location = location;
    }

    /// Who answered does not know the session; whether the next may. Each process of distribution that
    /// was given no `http.secret` knows none but its own, and a balancer may lead to another one:
    /// <https://distribution.github.io/distribution/about/configuration/#http>
    pub(super) fn may_be_elsewhere(&mut self) -> bool {
        self.strangers += 1;
        let state = self.location.path().split_once("_state=");
        let is_signed = state.is_some_and(|(_, state)| state.len() >= SIGNATURE);
        is_signed && self.strangers <= MOST_STRANGERS
    }

    /// 502 to the body.
    pub(super) fn gateway_failed(&mut self) {
        self.at_gateway = true;
    }

    pub(super) fn is_at_gateway(&self) -> bool {
        self.at_gateway
    }

    /// How much the registry holds is no longer known.
    pub(super) fn doubt(&mut self) {
        self.doubtful = true;
    }

    /// The server has failed at saying how much it holds. True the first time: not all do that always.
    pub(super) fn may_ask_again(&mut self) -> bool {
        !std::mem::replace(&mut self.has_failed, true)
    }

    /// The registry was asked. False when going on here makes no sense: a new session is as good and
    /// cannot hold a byte too many.
    pub(super) fn settled(&mut self, held: Held, most: u64) -> bool {
        self.doubtful = false;
        match held {
            Held::Bytes(bytes) if bytes <= most => {
                self.held = bytes;
                true
            }
            _ => false,
        }
    }

    /// Where it does not pay to ask: true when there are whole chunks to go on from.
    pub(super) fn trust_own_count(&mut self) -> bool {
        self.doubtful = false;
        self.held > 0
    }
}

/// `Range` of a status: `0-99`, with `bytes=` on Quay, `0--1` on old zot.
pub(super) fn parse_range(text: &str) -> Option<Held> {
    let text = text.trim();
    let text = text.strip_prefix("bytes=").unwrap_or(text);
    match text.strip_prefix("0-")? {
        "-1" => Some(Held::Nothing),
        "0" => Some(Held::Unclear),
        last => {
            let digits = last.bytes().all(|b| b.is_ascii_digit());
            let last: u64 = last.parse().ok().filter(|_| digits)?;
            last.checked_add(1).map(Held::Bytes)
        }
    }
}

/// What the answer to a PATCH, or to the PUT that closes, means.
pub(super) fn read_reply(closing: bool, status: u16, refusal: &Refusal) -> Reply {
    let session_code = |code: &String| code.starts_with("BLOB_UPLOAD_");
    match status {
        // ECR answers 201 to PATCH (https://github.com/aws/containers-roadmap/issues/2831); 204 to PUT
        // is met too.
        201 | 204 => Reply::Taken,
        202 if !closing => Reply::Taken,
        200..=299 => Reply::Odd,
        413 => Reply::TooLarge,
        416 => Reply::OutOfStep,
        400..=499 if refusal.has("RANGE_INVALID") => Reply::OutOfStep,
        400..=499 if refusal.has("DIGEST_INVALID") => Reply::WrongDigest,
        404 if refusal.has("NAME_UNKNOWN") => Reply::Refused,
        404 | 410 => Reply::Gone,
        400..=499 if refusal.codes.iter().any(session_code) => Reply::Gone,
        408 | 499 => Reply::Uncertain,
        501 | 505 => Reply::Refused,
        500..=599 => Reply::Uncertain,
        _ => Reply::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session::new(Target::Own("/u/1".into()), 0, Duration::ZERO)
    }

    #[test]
    fn sends_whole_bodies_or_chunks() {
        let mut open = session();
        assert_eq!(open.next(100, None), Next::Close { from: 0 });
        assert_eq!(open.next(100, Some(100)), Next::Close { from: 0 });
        assert_eq!(open.next(100, Some(40)), Next::Chunk { from: 0, to: 40 });
        open.stored(40);
        assert_eq!(open.next(100, Some(40)), Next::Chunk { from: 40, to: 80 });
        open.stored(80);
        // The last piece travels in the PUT: ECR refuses an empty one.
        assert_eq!(open.next(100, Some(40)), Next::Close { from: 80 });
        assert_eq!(session().next(0, Some(1)), Next::Close { from: 0 });
    }

    #[test]
    fn asks_when_in_doubt() {
        for (held, most, goes_on, next) in [
            (Held::Bytes(70), 100, true, Next::Close { from: 70 }),
            (Held::Bytes(100), 100, true, Next::Close { from: 100 }),
            (Held::Bytes(101), 100, false, Next::Close { from: 10 }),
            (Held::Nothing, 100, false, Next::Close { from: 10 }),
            (Held::Unclear, 100, false, Next::Close { from: 10 }),
        ] {
            let mut open = session();
            open.stored(10);
            open.doubt();
            assert_eq!(open.next(100, None), Next::Status);
            assert_eq!(open.settled(held, most), goes_on, "{held:?}");
            assert_eq!(open.next(100, None), next, "{held:?}");
        }
    }

    #[test]
    fn reads_ranges_leniently() {
        for (text, expected) in [
            ("0-99", Some(Held::Bytes(100))),
            (" bytes=0-99 ", Some(Held::Bytes(100))),
            ("0-1", Some(Held::Bytes(2))),
            ("0-0", Some(Held::Unclear)),
            ("bytes=0-0", Some(Held::Unclear)),
            ("0--1", Some(Held::Nothing)),
            ("bytes=0--1", Some(Held::Nothing)),
            ("0-18446744073709551615", None),
            ("0--2", None),
            ("0-+5", None),
            ("5-9", None),
            ("", None),
            ("0-", None),
        ] {
            assert_eq!(parse_range(text), expected, "{text:?}");
        }
    }

    #[test]
    fn reads_replies() {
        let code = |code: &str| Refusal {
            codes: vec![code.into()],
            ..Refusal::default()
        };
        for (closing, status, refusal, expected) in [
            (true, 201, code(""), Reply::Taken),
            (true, 204, code(""), Reply::Taken),
            (true, 202, code(""), Reply::Odd),
            (true, 200, code(""), Reply::Odd),
            (false, 202, code(""), Reply::Taken),
            (false, 201, code(""), Reply::Taken),
            (false, 413, code("SIZE_INVALID"), Reply::TooLarge),
            (false, 416, code("BLOB_UPLOAD_INVALID"), Reply::OutOfStep),
            (false, 400, code("RANGE_INVALID"), Reply::OutOfStep),
            (true, 400, code("DIGEST_INVALID"), Reply::WrongDigest),
            (true, 404, code("BLOB_UPLOAD_UNKNOWN"), Reply::Gone),
            (true, 404, code(""), Reply::Gone),
            (true, 404, code("NAME_UNKNOWN"), Reply::Refused),
            (true, 400, code("BLOB_UPLOAD_INVALID"), Reply::Gone),
            (true, 400, code("NAME_INVALID"), Reply::Refused),
            (true, 408, code(""), Reply::Uncertain),
            (true, 504, code(""), Reply::Uncertain),
            (true, 501, code(""), Reply::Refused),
            (true, 403, code("DENIED"), Reply::Refused),
            (true, 302, code(""), Reply::Refused),
        ] {
            assert_eq!(
                read_reply(closing, status, &refusal),
                expected,
                "{status} {refusal:?}"
            );
        }
    }
}
