//! Uploads that outlive the process that opened them: what is to be remembered of one, and how it is
//! taken up again. Where it is kept is the business of whoever gives the [`Sessions`].
//!
//! What is remembered is a hint. A session that does not answer as one should is dropped and forgotten,
//! and the blob goes its ordinary way, which finds out whether it is there by now.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use crate::image::reference::Repository;
use crate::image::source::Summary;
use crate::registry::client::Client;
use crate::registry::endpoint::{self, Target};
use crate::registry::error::ErrorKind;
use crate::registry::limit::waits::Why;
use crate::registry::retry::{Class, Halt};
use crate::registry::upload::Session;

/// Which upload it is.
#[derive(Clone, Copy, Debug)]
pub struct Upload<'a> {
    /// As in destinations.
    pub registry: &'a str,
    pub repository: &'a Repository,
    /// What the bytes are: their digest, or what they are made of and how.
    pub content: &'a str,
    /// In bytes, where it is known.
    pub size: Option<u64>,
}

/// What has to be known of a session to go on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Path and query at the registry. Whoever has it may write to the session.
    pub location: String,
    /// Bytes that the registry has confirmed.
    pub held: u64,
    /// Bytes that every piece but the last must have.
    pub least: u64,
    /// What all of its bytes are, where the upload is not known by that and it was known at the end.
    pub made: Option<Summary>,
}

/// The uploads that are open, for this process and for those after it.
pub trait Sessions: Debug + Send + Sync {
    /// Takes hold of an upload that an earlier process has left.
    fn claim(&self, upload: &Upload<'_>) -> Claim;

    /// Writes down an upload of which nothing is known, where that is worth its while. To open it took
    /// `opened_in`.
    fn keep(&self, upload: &Upload<'_>, session: &Remembered, opened_in: Duration) -> Claim;
}

/// What came of reaching for an upload.
pub enum Claim {
    /// No other process takes hold of what is written down of it until this is dropped.
    Ours(Box<dyn Kept>),
    /// Somebody else is at it.
    Busy,
    /// Nothing is known of it.
    Nothing,
    /// Nothing can be remembered of it.
    Never,
}

/// An upload that nobody else takes hold of. What is known of it stays when this is dropped.
pub trait Kept: Send {
    /// What an earlier process has left, if it can be trusted.
    fn left(&self) -> Option<&Remembered>;

    /// Takes the place of what was known, if anything was written down. False when it cannot be.
    fn replace(&mut self, session: &Remembered) -> bool;

    /// Its session is of no use. False when what is written down of it stays all the same.
    fn forget(self: Box<Self>) -> bool;

    /// The blob has come through its session.
    fn arrived(self: Box<Self>);
}

/// Smaller blobs are not remembered, in bytes: to write one down takes about as long as to send it. As many
/// as are sent at once, sixteen, are less than 2 % of 256 MiB.
const WORTH_REMEMBERING: u64 = 256 << 10;
/// So many bytes are confirmed before a session that moves with each of its pieces is written down again.
const WORTH_REPLACING: u64 = 4 << 20;
/// How often it is looked whether another process is done.
const POLL: Duration = Duration::from_millis(50);
/// Answers with which nobody can go on, of a session that an earlier process has left.
const MOST_STRIKES: u32 = 3;

/// What one blob or stream on its way knows of earlier runs, and lets later ones know.
pub(super) struct Record<'a> {
    client: &'a Client,
    operation: &'a str,
    upload: Upload<'a>,
    state: State,
    /// When another process was first seen to be at it.
    busy_since: Option<Instant>,
    /// What is written down was confirmed up to here.
    written: u64,
    /// The session in use is one that an earlier process has opened.
    is_old: bool,
    strikes: u32,
    /// See [`Remembered::made`].
    made: Option<Summary>,
}

enum State {
    /// It is not known whether there is anything.
    Unasked,
    /// There is nothing.
    Blank,
    Kept(Box<dyn Kept>),
    Never,
}

impl<'a> Record<'a> {
    pub(super) fn new(client: &'a Client, operation: &'a str, upload: Upload<'a>) -> Self {
        let small = upload.size.is_some_and(|size| size <= WORTH_REMEMBERING);
        let never = small || client.settings.sessions.is_none();
        Self {
            client,
            operation,
            upload,
            state: if never { State::Never } else { State::Unasked },
            busy_since: None,
            written: 0,
            is_old: false,
            strikes: 0,
            made: None,
        }
    }

    /// Of bytes that are known by now, though the upload is not known by them.
    pub(super) fn of(self, made: Option<Summary>) -> Self {
        Self { made, ..self }
    }

    /// The session that an earlier process has left, which has to be asked how much it holds. While
    /// another process sends the same, it is waited for, as long as a stall may take.
    pub(super) fn recall(&mut self) -> Result<Option<Session>, Halt> {
        let client = self.client;
        let Some(sessions) = &client.settings.sessions else {
            return Ok(None);
        };
        while matches!(self.state, State::Unasked) {
            self.state = match sessions.claim(&self.upload) {
                Claim::Ours(kept) => return Ok(self.take_over(kept)),
                Claim::Nothing => State::Blank,
                Claim::Never => State::Never,
                Claim::Busy => match self.wait()? {
                    true => State::Unasked,
                    false => State::Never,
                },
            };
        }
        Ok(None)
    }

    fn take_over(&mut self, kept: Box<dyn Kept>) -> Option<Session> {
        let made = kept.left().and_then(|left| left.made.clone());
        self.made = self.made.take().or(made);
        let session = kept.left().and_then(|left| {
            let own = self.client.own_location(&left.location)?;
            Some(Session::left(own, left))
        });
        self.written = session.as_ref().map_or(0, Session::held);
        self.is_old = session.is_some();
        self.strikes = 0;
        self.state = State::Kept(kept);
        if session.is_none() {
            self.forget();
        }
        session
    }

    /// False when it has been waited for long enough.
    fn wait(&mut self) -> Result<bool, Halt> {
        let now = self.client.clock.now();
        let since = *self.busy_since.get_or_insert(now);
        if now.duration_since(since) >= self.client.http.stall_timeout() {
            log::debug!("{}: another process takes too long over it", self.operation);
            return Ok(false);
        }
        if since == now {
            log::info!("{}: waits for another process", self.operation);
        }
        self.client.sleep(self.operation, Why::Other, POLL)?;
        Ok(true)
    }

    /// Whether another process was waited for: the blob may be there by now.
    pub(super) fn has_waited(&self) -> bool {
        self.busy_since.is_some()
    }

    /// Writes down a session before anything is sent into it. False when another process has taken hold
    /// of this upload meanwhile.
    pub(super) fn opened(&mut self, session: &Session) -> bool {
        self.is_old = false;
        self.written = 0;
        let Some(sessions) = &self.client.settings.sessions else {
            return true;
        };
        let Some(remembered) = self.remembered(session) else {
            self.forget();
            return true;
        };
        match &mut self.state {
            State::Never => {}
            State::Kept(kept) => {
                if !kept.replace(&remembered) {
                    self.state = State::Never;
                }
            }
            State::Unasked | State::Blank => {
                self.state = match sessions.keep(&self.upload, &remembered, session.opened_in()) {
                    Claim::Ours(kept) => State::Kept(kept),
                    Claim::Busy => State::Unasked,
                    Claim::Nothing | Claim::Never => State::Never,
                };
            }
        }
        !matches!(self.state, State::Unasked)
    }

    /// The registry has confirmed more, and the session may have moved.
    pub(super) fn went_on(&mut self, session: &Session) {
        if session.held().saturating_sub(self.written) >= WORTH_REPLACING {
            self.write(session);
        }
    }

    /// The closing request comes next. Should nobody hear of its answer, this is how the next process
    /// finds the blob.
    pub(super) fn closes(&mut self, session: &Session, made: &Summary) {
        if self.made.as_ref() != Some(made) {
            self.made = Some(made.clone());
            self.write(session);
        }
    }

    /// What an earlier process has made, whose session is of no use: the blob may be there by now.
    pub(super) fn take_made(&mut self) -> Option<Summary> {
        self.made.take()
    }

    fn remembered(&self, session: &Session) -> Option<Remembered> {
        let made = self.made.clone();
        session
            .remembered()
            .map(|remembered| Remembered { made, ..remembered })
    }

    fn write(&mut self, session: &Session) {
        let remembered = self.remembered(session);
        let State::Kept(kept) = &mut self.state else {
            return;
        };
        self.written = session.held();
        if !remembered.is_some_and(|remembered| kept.replace(&remembered)) {
            self.forget();
        }
    }

    /// Asks the session in `place` how much it holds, of `most` bytes that were sent at all, to go on from
    /// there. One that is gone is forgotten, and leaves its place.
    pub(super) fn settle(
        &mut self,
        place: &mut Option<Session>,
        most: u64,
    ) -> Result<Option<u64>, Halt> {
        let Some(session) = place else {
            return Ok(None);
        };
        let (operation, repository) = (self.operation, self.upload.repository);
        let goes_on = self
            .client
            .settle_session(operation, repository, session, most)?;
        if !goes_on && !self.is_old {
            self.client.learned.cut_body_lost();
        }
        if goes_on {
            return Ok(Some(session.held()));
        }
        *place = None;
        self.forget();
        Ok(None)
    }

    /// Whether the session in use was opened by an earlier process.
    pub(super) fn is_old(&self) -> bool {
        self.is_old
    }

    /// Takes in how a session of an earlier process has failed. True when it is to be left, without it
    /// being held against the blob.
    pub(super) fn gives_up(&mut self, halt: &Halt) -> bool {
        if !self.is_old {
            return false;
        }
        let answered = match halt {
            Halt::Fail(error) => {
                // Whoever has no access gets none elsewhere; with another password it goes on from here.
                let may_go_on = error.kind == ErrorKind::Auth;
                let gives_up = may_go_on || error.kind == ErrorKind::Refused;
                if gives_up && !may_go_on {
                    self.forget();
                }
                self.is_old &= !gives_up;
                return gives_up;
            }
            Halt::Again(trouble) => trouble.class == Class::Passing,
        };
        self.strikes += u32::from(answered);
        let most = MOST_STRIKES.min(self.client.settings.retries).max(1);
        let gives_up = self.strikes >= most;
        if gives_up {
            self.forget();
        }
        gives_up
    }

    /// There is nothing to go on with any more. What cannot be removed would be found again and again.
    pub(super) fn forget(&mut self) {
        self.is_old = false;
        self.state = match std::mem::replace(&mut self.state, State::Blank) {
            State::Kept(kept) => match kept.forget() {
                true => State::Blank,
                false => State::Never,
            },
            other => other,
        };
    }

    /// The blob has come.
    pub(super) fn arrived(&mut self) {
        match std::mem::replace(&mut self.state, State::Blank) {
            State::Kept(kept) => kept.arrived(),
            other => self.state = other,
        }
    }
}

impl Client {
    /// What another process has written down, read as if the registry had just said it. Sessions
    /// elsewhere are not gone on with: their locations are signed for a while.
    fn own_location(&self, location: &str) -> Option<Target> {
        let target = self
            .endpoint
            .resolve(&endpoint::ping(), self.reach.scheme(), location);
        target.ok().filter(Target::is_own)
    }
}
