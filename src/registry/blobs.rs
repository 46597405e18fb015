//! Single steps of bringing a blob: is it there, mount it, open a session, ask a session.
//!
//! distribution-spec 1.1 "Pushing blobs", "Mounting a blob from another repository".

use std::time::Duration;

use crate::image::digest::Digest;
use crate::image::reference::Repository;
use crate::image::source::{Body, StreamBody, Summary};
use crate::net::Method;
use crate::observe::event::Meter;
use crate::registry::answer::is_page;
use crate::registry::call::{Access, Answer, Call};
use crate::registry::client::Client;
use crate::registry::endpoint;
use crate::registry::error::{Error, ErrorKind};
use crate::registry::limit::waits::Why;
use crate::registry::manifests::Presence;
use crate::registry::retry::{Class, Halt};
use crate::registry::upload::Session;

/// A blob of known digest and size to bring into `repository`.
pub struct BlobTask<'a> {
    pub repository: &'a Repository,
    pub digest: &'a Digest,
    pub body: &'a dyn Body,
    /// A repository of this host known to hold the blob.
    pub mount_from: Option<&'a Repository>,
    /// Do not mount or ask by mount; a manifest was refused although the blob had been confirmed.
    pub no_mount: bool,
    /// What the registry says it has counts for nothing, also after a closing request without an answer.
    /// Goes with `no_mount`.
    pub force: bool,
    /// What the bytes are made of and how, where the upload is to be remembered by that instead of
    /// the digest.
    pub made_of: Option<&'a str>,
    pub meter: &'a Meter,
}

/// A blob whose digest is known when its last byte has been made.
pub struct StreamTask<'a> {
    pub repository: &'a Repository,
    /// What it is, for messages: "layer with diff_id sha256:12ab…".
    pub what: &'a str,
    pub body: &'a dyn StreamBody,
    /// Of what it is made from: it becomes hardly larger.
    pub size: u64,
    /// As in [`BlobTask`].
    pub force: bool,
    /// What the bytes are made of and how: the upload is remembered by that.
    pub made_of: &'a str,
    /// Told what it has become before the registry has all of it, perhaps more than once. Not told of what is
    /// small.
    pub made: &'a dyn Fn(&Summary),
    pub meter: &'a Meter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    Uploaded,
    Mounted,
    Present,
}

/// How a blob came to be in its repository.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub arrival: Arrival,
    /// Where it was mounted from.
    pub from: Option<Repository>,
    /// The offset a cut upload was taken up at, the last time.
    pub resumed_at: Option<u64>,
    /// A mount from another repository was asked for and answered with something else than 201.
    pub mount_refused: bool,
}

impl Delivery {
    /// Of a blob that was there.
    pub fn present() -> Self {
        Self {
            arrival: Arrival::Present,
            from: None,
            resumed_at: None,
            mount_refused: false,
        }
    }
}

/// Whether a blob is there, and of the size that it should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    Right,
    /// It is there and has another size.
    Wrong,
    /// It is not there, or nobody says so.
    NotSeen,
}

/// What a look at one blob showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    There,
    Absent,
    Unknown,
}

/// The answer to a mount.
pub(super) enum Mounted {
    /// It is there.
    Yes,
    /// It is not, but a session is open. `told`: it would have been mounted if it were here.
    No { session: Session, told: bool },
    /// Nobody knows.
    Refused,
}

/// One blob in one repository, and what is being done with it.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    /// For messages: "upload of sha256:12ab…".
    pub(super) operation: &'a str,
    pub(super) repository: &'a Repository,
    pub(super) digest: &'a Digest,
    pub(super) size: u64,
    /// See [`BlobTask::force`].
    pub(super) force: bool,
}

impl Client {
    /// Whether a blob is there, by HEAD.
    ///
    /// # Errors
    /// Only when the registry cannot be reached, asks to wait for too long, or it is time to stop.
    pub fn check_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        size: u64,
    ) -> Result<Presence, Error> {
        Ok(match self.glance(repository, digest, size)?.0 {
            Sight::There => Presence::Present(digest.clone()),
            Sight::Absent => Presence::Absent,
            Sight::Unknown => Presence::Unknown,
        })
    }

    /// Whether a blob is there, and has `size`, by HEAD.
    ///
    /// # Errors
    /// Only when the registry cannot be reached, asks to wait for too long, or it is time to stop.
    pub fn weigh_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        size: u64,
    ) -> Result<Weight, Error> {
        Ok(match self.glance(repository, digest, size)? {
            (Sight::There, Some(length)) if length != size => Weight::Wrong,
            (Sight::There, _) => Weight::Right,
            (Sight::Absent | Sight::Unknown, _) => Weight::NotSeen,
        })
    }

    /// What a HEAD says of a blob, and its length there.
    fn glance(
        &self,
        repository: &Repository,
        digest: &Digest,
        size: u64,
    ) -> Result<(Sight, Option<u64>), Error> {
        let operation = format!("check of {}", super::manifests::short(digest));
        let subject = Subject {
            operation: &operation,
            repository,
            digest,
            size,
            force: false,
        };
        match self.retry(&mut self.budget(), |_| self.look_at_blob(subject)) {
            Err(error) if error.kind == ErrorKind::Refused => Ok((Sight::Unknown, None)),
            outcome => outcome,
        }
    }

    /// Sends a question. Nothing where its token was refused, though not the credentials: a check
    /// cannot fail a push.
    pub(super) fn check(&self, operation: &str, call: Call<'_>) -> Result<Option<Answer>, Halt> {
        match self.exchange(operation, call) {
            Ok(answer) => Ok(Some(answer)),
            Err(Halt::Fail(error))
                if error.kind == ErrorKind::Auth && error.status.is_some_and(|s| s != 401) =>
            {
                Ok(None)
            }
            Err(halt) => Err(halt),
        }
    }

    /// Whether a blob is there, by HEAD. What is refused is [`Sight::Unknown`].
    pub(super) fn see_blob(&self, subject: Subject<'_>) -> Result<Sight, Halt> {
        self.look_at_blob(subject).map(|(sight, _)| sight)
    }

    /// With the size that it is said to have.
    fn look_at_blob(&self, subject: Subject<'_>) -> Result<(Sight, Option<u64>), Halt> {
        let target = endpoint::blob(subject.repository, subject.digest);
        let access = Access::Repository(subject.repository);
        let call = Call::new(Method::Head, target, access);
        let Some(answer) = self.check(subject.operation, call)? else {
            return Ok((Sight::Unknown, None));
        };
        let sight = match answer.status() {
            200 if is_page(&answer.response) => Sight::Unknown,
            // Whoever we were sent to knows nothing of digests: only the size speaks for it.
            200 if answer.redirects > 0 && length(&answer) != Some(subject.size) => Sight::Unknown,
            200 => Sight::There,
            404 => Sight::Absent,
            501 | 505 => Sight::Unknown,
            429 | 500..=599 => return Err(self.refuse(subject.operation, &answer)),
            _ => Sight::Unknown,
        };
        Ok((sight, length(&answer)))
    }

    /// POST with `mount=`; from the same repository it asks whether the blob is there.
    pub(super) fn mount_blob(
        &self,
        subject: Subject<'_>,
        from: &Repository,
    ) -> Result<Mounted, Halt> {
        let target = endpoint::mount(subject.repository, subject.digest, from);
        let same = from == subject.repository;
        let into = subject.repository;
        let access = match same {
            true => Access::Repository(into),
            false => Access::Mount { into, from },
        };
        let call = Call::new(Method::Post, target, access);
        let answer = match self.exchange(subject.operation, call) {
            Ok(answer) => answer,
            Err(halt) if !same && is_refusal(&halt) => return Ok(Mounted::Refused),
            Err(halt) => return Err(halt),
        };
        match answer.status() {
            201 => {
                if same {
                    self.learned.mount_told();
                }
                Ok(Mounted::Yes)
            }
            202 => {
                let Ok(session) = self.session(subject.operation, &answer) else {
                    return Ok(Mounted::Refused);
                };
                let told = same && self.learned.mounts_tell();
                Ok(Mounted::No { session, told })
            }
            _ if answer.is_pressure() => Err(self.refuse(subject.operation, &answer)),
            _ => Ok(Mounted::Refused),
        }
    }

    /// POST: a new session.
    pub(super) fn open_session(
        &self,
        operation: &str,
        repository: &Repository,
    ) -> Result<Session, Halt> {
        let access = Access::Repository(repository);
        let call = Call::new(Method::Post, endpoint::uploads(repository), access);
        let answer = self.exchange(operation, call)?;
        match answer.status() {
            202 => Ok(self.session(operation, &answer)?),
            200..=299 => {
                let reason = format!(
                    "registry answered {} where an upload begins, which is none",
                    super::answer::status(answer.status())
                );
                Err(Error::new(ErrorKind::Refused, operation, reason).into())
            }
            _ => Err(self.refuse(operation, &answer)),
        }
    }

    fn session(&self, operation: &str, answer: &Answer) -> Result<Session, Error> {
        let refused = |why: String| {
            let reason = format!("registry opened an upload, but {why}");
            Error::new(ErrorKind::Refused, operation, reason)
        };
        let location = self
            .location(answer)
            .ok_or_else(|| refused("sent no Location".into()))?
            .map_err(|why| refused(format!("its Location {why}")))?;
        self.learned.look_at_location(location.path());
        let least = answer.response.header("oci-chunk-min-length");
        let least = least.and_then(|text| text.parse().ok()).unwrap_or(0);
        let took = self.clock.now().saturating_duration_since(answer.began);
        Ok(Session::new(location, least, took))
    }

    /// Takes the new `Location` of an answer to an upload, if it has one.
    pub(super) fn follow(
        &self,
        operation: &str,
        session: &mut Session,
        answer: &Answer,
    ) -> Result<(), Error> {
        match self.location(answer) {
            None => Ok(()),
            Some(Ok(location)) => {
                session.moved(location);
                Ok(())
            }
            Some(Err(why)) => {
                let reason = format!("registry moved the upload, but its Location {why}");
                Err(Error::new(ErrorKind::Refused, operation, reason))
            }
        }
    }

    /// After a closing request of which nobody knows what became: looks whether the blob is there,
    /// after so many seconds each, but no longer than a stall. Ends where nobody answers: what is asked
    /// next is asked of the session.
    pub(super) fn look_for(&self, subject: Subject<'_>, waits: &[u64]) -> Result<bool, Error> {
        if subject.force {
            return Ok(false);
        }
        for wait in waits {
            let wait = Duration::from_secs(*wait).min(self.http.stall_timeout());
            self.sleep(subject.operation, Why::Retry, wait)?;
            match self.see_blob(subject) {
                Ok(Sight::There) => return Ok(true),
                Ok(Sight::Absent | Sight::Unknown) => {}
                Err(Halt::Again(trouble)) if trouble.is_silence() => break,
                Err(Halt::Again(trouble)) => self.heed(&trouble),
                Err(Halt::Fail(error)) => return Err(*error),
            }
        }
        Ok(false)
    }

    /// Waits for blobs that the registry had and says it has not: those it has lost are returned.
    /// Some registries need a moment between a blob and the manifest that names it.
    ///
    /// # Errors
    /// Only when the registry cannot be reached, asks to wait for too long, or it is time to stop.
    pub fn await_blobs(
        &self,
        repository: &Repository,
        digests: &[Digest],
    ) -> Result<Vec<Digest>, Error> {
        let mut lost = digests.to_vec();
        for wait in [1, 2, 4] {
            self.sleep("wait for blobs", Why::Retry, Duration::from_secs(wait))?;
            let mut still = Vec::new();
            for digest in lost {
                if !self.is_there(repository, &digest)? {
                    still.push(digest);
                }
            }
            lost = still;
            if lost.is_empty() {
                break;
            }
        }
        Ok(lost)
    }

    /// As a blob, or as a manifest: an index names those.
    fn is_there(&self, repository: &Repository, digest: &Digest) -> Result<bool, Error> {
        let operation = format!("check of {}", super::manifests::short(digest));
        let subject = Subject {
            operation: &operation,
            repository,
            digest,
            size: 0,
            force: false,
        };
        match self.see_blob(subject) {
            Ok(Sight::There) => return Ok(true),
            Ok(_) => {}
            Err(Halt::Again(trouble)) => self.heed(&trouble),
            Err(Halt::Fail(error)) => return Err(*error),
        }
        let name = super::manifests::ManifestName::Digest(digest);
        match self.see_manifest(&operation, repository, name) {
            Ok(presence) => Ok(matches!(presence, Presence::Present(_))),
            Err(Halt::Again(trouble)) => {
                self.heed(&trouble);
                Ok(false)
            }
            Err(Halt::Fail(error)) => Err(*error),
        }
    }
}

/// No token for a mount, for whatever reason but too much to do: then there is no mount.
fn is_refusal(halt: &Halt) -> bool {
    match halt {
        Halt::Fail(error) => error.kind == ErrorKind::Auth,
        Halt::Again(trouble) => trouble.class == Class::Passing,
    }
}

fn length(answer: &Answer) -> Option<u64> {
    let length = answer.response.header("content-length");
    length.and_then(|text| text.parse().ok())
}
