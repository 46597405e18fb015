//! Reading back what was pushed: every byte through a hash, none of them kept.
//!
//! A download that is cut goes on where it ended (RFC 9110 section 14), or begins again where the registry
//! gives no parts.

use std::time::Duration;

use crate::image::digest::{Digest, Hasher};
use crate::image::manifest::Manifest;
use crate::image::reference::Repository;
use crate::net::{Method, Response, Sink};
use crate::observe::event::Meter;
use crate::registry::answer;
use crate::registry::call::{Access, Call};
use crate::registry::client::Client;
use crate::registry::endpoint;
use crate::registry::error::{Error, ErrorKind};
use crate::registry::manifests::{self, ManifestName, short};
use crate::registry::retry::{Class, Halt};

/// Answers in a row that bring nothing new until that is all there is.
const MOST_BARREN: u32 = 2;
/// Object stores may take their time to find a blob.
const PATIENCE: Duration = Duration::from_secs(120);

/// What reading something back showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadBack {
    /// All of it is what it should be.
    Right,
    /// It is not there, or something else is: "is missing", "is 5 bytes long instead of 12".
    Wrong(String),
    /// Its digest is one that cannot be computed here.
    Unknown,
}

impl Client {
    /// GET of a blob, compared with its size and digest. `meter` counts what comes.
    ///
    /// # Errors
    /// Nobody can say what is there: no connection, no permission, time to stop.
    pub fn read_back_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        size: u64,
        meter: &Meter,
    ) -> Result<ReadBack, Error> {
        let Some(algorithm) = digest.algorithm() else {
            return Ok(ReadBack::Unknown);
        };
        let operation = format!("verification of {}", short(digest));
        let mut gauge = Gauge {
            fresh: Hasher::new(algorithm),
            hasher: Hasher::new(algorithm),
            size,
            meter,
            taken: 0,
            joined: false,
            answered: false,
            barren: 0,
        };
        meter.seek(0);
        let read = self.retry(&mut self.budget(), |_| {
            self.read_on(&operation, repository, digest, &mut gauge)
        });
        match read {
            // It is not the way to the registry that is broken.
            Err(error) if gauge.answered || is_broken(&error) => {
                Ok(ReadBack::Wrong(format!("cannot be read: {}", error.reason)))
            }
            other => other,
        }
    }

    /// GET of a manifest, compared byte by byte.
    ///
    /// # Errors
    /// Nobody can say what is there: no connection, no permission, time to stop.
    pub fn read_back_manifest(
        &self,
        repository: &Repository,
        name: ManifestName<'_>,
        manifest: &Manifest,
    ) -> Result<ReadBack, Error> {
        let operation = format!("verification of {}", manifests::label(repository, name));
        let target = endpoint::manifest(repository, name);
        let read = self.retry(&mut self.budget(), |_| {
            let mut call = Call::new(Method::Get, target.clone(), Access::Repository(repository));
            call = call.header("accept", manifests::ACCEPTED.join(", "));
            call.limit = manifests::ANSWER_LIMIT;
            let answer = self.exchange(&operation, call)?;
            let found = &answer.response.body;
            Ok(match answer.status() {
                200 if found[..] == manifest.bytes()[..] => ReadBack::Right,
                200 => ReadBack::Wrong(format!("is another one, {}", Digest::of(found))),
                404 | 410 => ReadBack::Wrong("is missing".to_owned()),
                _ => return Err(self.refuse(&operation, &answer)),
            })
        });
        match read {
            Err(error) if is_broken(&error) => {
                Ok(ReadBack::Wrong(format!("cannot be read: {}", error.reason)))
            }
            other => other,
        }
    }

    /// Reads from where the last answer ended.
    fn read_on(
        &self,
        operation: &str,
        repository: &Repository,
        digest: &Digest,
        gauge: &mut Gauge<'_>,
    ) -> Result<ReadBack, Halt> {
        loop {
            let before = gauge.taken;
            gauge.answered = false;
            let target = endpoint::blob(repository, digest);
            let mut call = Call::new(Method::Get, target, Access::Repository(repository));
            call.patience = Some(PATIENCE);
            if before > 0 {
                call = call.header("range", format!("bytes={before}-"));
            }
            let answer = match self.exchange(operation, call.into_sink(gauge)) {
                Ok(answer) => answer,
                Err(halt) if gauge.has_ended(before, &halt) => {
                    let (taken, size) = (gauge.taken, gauge.size);
                    let why = format!("ends after {taken} of {size} bytes");
                    return Ok(ReadBack::Wrong(why));
                }
                Err(halt) => return Err(halt),
            };
            match answer.status() {
                200 | 206 if gauge.answered => {}
                // Another part than asked for, or none at all: from the beginning.
                206 | 416 if before > 0 => {
                    gauge.begin_again();
                    return Err(self.passing(operation, &answer).into());
                }
                404 | 410 => return Ok(ReadBack::Wrong("is missing".to_owned())),
                200..=299 => {
                    let status = answer::status(answer.status());
                    let why = format!("registry answered {status} where a blob should be");
                    return Err(Error::new(ErrorKind::Refused, operation, why).into());
                }
                _ => return Err(self.refuse(operation, &answer)),
            }
            match gauge.verdict(digest) {
                // Perhaps the parts did not fit together.
                ReadBack::Wrong(_) if gauge.joined => gauge.begin_again(),
                verdict => return Ok(verdict),
            }
        }
    }
}

/// Errors of the server itself, again and again: what it stored may be the reason.
fn is_broken(error: &Error) -> bool {
    error.kind == ErrorKind::Refused && error.status.is_some_and(|status| status >= 500)
}

/// A blob as far as it was read.
struct Gauge<'a> {
    fresh: Hasher,
    hasher: Hasher,
    size: u64,
    meter: &'a Meter,
    taken: u64,
    /// It came in more than one part.
    joined: bool,
    /// The last answer brought the blob, or the beginning of it.
    answered: bool,
    /// Answers in a row that brought nothing.
    barren: u32,
}

impl Gauge<'_> {
    fn begin_again(&mut self) {
        self.hasher = self.fresh.clone();
        self.taken = 0;
        self.joined = false;
        self.meter.seek(0);
    }

    /// Whether an answer that was cut shows that there is no more.
    fn has_ended(&mut self, before: u64, halt: &Halt) -> bool {
        let cut = matches!(halt, Halt::Again(trouble) if matches!(trouble.class, Class::Cut { silent: false, .. }));
        if !(cut && self.answered && self.taken == before) {
            self.barren = 0;
            return false;
        }
        self.barren += 1;
        self.barren >= MOST_BARREN
    }

    fn verdict(&self, digest: &Digest) -> ReadBack {
        if self.taken > self.size {
            return ReadBack::Wrong(format!("is longer than {} bytes", self.size));
        }
        if self.taken < self.size {
            let (taken, size) = (self.taken, self.size);
            return ReadBack::Wrong(format!("is {taken} bytes long instead of {size}"));
        }
        match self.hasher.clone().finish() {
            found if found == *digest => ReadBack::Right,
            found => ReadBack::Wrong(format!("has the digest {found} there")),
        }
    }
}

impl Sink for Gauge<'_> {
    fn wants(&mut self, answer: &Response) -> bool {
        match answer.status {
            200 => {
                self.begin_again();
                self.answered = true;
            }
            206 if self.taken > 0 && begins_at(answer, self.taken) => {
                self.joined = true;
                self.answered = true;
            }
            _ => {}
        }
        self.answered
    }

    fn take(&mut self, bytes: &[u8]) -> bool {
        self.taken += bytes.len() as u64;
        self.meter.add(bytes.len() as u64);
        self.hasher.update(bytes);
        self.taken <= self.size
    }
}

/// `Content-Range: bytes 5-11/12`
fn begins_at(answer: &Response, offset: u64) -> bool {
    let range = answer.header("content-range");
    let first = range
        .and_then(|range| range.strip_prefix("bytes"))
        .and_then(|range| range.trim_start().split_once('-'));
    first.is_some_and(|(first, _)| first.parse() == Ok(offset))
}
