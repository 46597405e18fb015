//! Sending bytes that are made while they are sent: their digest and size are known at the end only.
//!
//! Small results go the way of every other blob. Larger ones go in one PATCH of unknown length, or in
//! pieces where that is refused; where the registry takes neither they are made twice.

mod opening;

use std::io;
use std::sync::Arc;

use crate::image::source::{Body, Summary};
use crate::net::Method;
use crate::registry::blobs::{Arrival, BlobTask, Delivery, StreamTask, Subject};
use crate::registry::body::{Content, Pour, Replay};
use crate::registry::call::{Access, Answer, Call};
use crate::registry::client::Client;
use crate::registry::error::Error;
use crate::registry::patience::{CHUNK_PATIENCE, CLOSE_PATIENCE, looks_after, looks_after_cut};
use crate::registry::profile::Chunks;
use crate::registry::retry::{Budget, Class, Halt};
use crate::registry::sessions::{Record, Upload};
use crate::registry::transfer::OCTETS;
use crate::registry::upload::{Reply, Session, read_reply};

/// Results up to this are finished in memory, in bytes.
const SMALL: usize = 1 << 20;
/// Pieces above this are not held in memory, whatever a registry asks for, in bytes.
const MOST_PIECE: u64 = 64 << 20;

impl Client {
    /// Sends bytes that are made while they are sent (wire rule 4).
    pub fn push_stream(&self, task: &StreamTask<'_>) -> Result<(Summary, Delivery), Error> {
        let operation = format!("upload of {}", task.what);
        let unreadable = |error| Error::source(&operation, &error);
        let mut budget = self.budget();
        let pour = Pour::open(task.body, 0, SMALL + 1, task.meter).map_err(unreadable)?;
        if pour.is_whole() {
            let (bytes, stream) = pour.into_parts();
            let summary = stream.finish().map_err(unreadable)?;
            let body: Arc<[u8]> = bytes.into();
            return self.deliver_made(&mut budget, task, summary, &body);
        }
        if self.profile.chunks == Chunks::Never {
            let summary = measure(pour).map_err(unreadable)?;
            return self.deliver_again(&mut budget, task, summary);
        }
        let upload = Upload {
            registry: self.endpoint.name(),
            repository: task.repository,
            content: task.made_of,
            size: None,
        };
        let mut streaming = Streaming {
            client: self,
            task,
            operation: &operation,
            ready: Some(pour),
            record: Record::new(self, &operation, upload),
            session: None,
            summary: None,
            lost: false,
            most: 0,
            resumed_at: None,
        };
        let end = self.retry(&mut budget, |budget| streaming.advance(budget))?;
        let resumed_at = streaming.resumed_at;
        match end {
            End::Sent(_) => streaming.record.arrived(),
            End::Found(_) | End::Known(_) => streaming.record.forget(),
        }
        drop(streaming);
        match end {
            End::Found(summary) => Ok((summary, Delivery::present())),
            End::Sent(summary) => {
                let delivery = Delivery {
                    arrival: Arrival::Uploaded,
                    from: None,
                    resumed_at,
                    mount_refused: false,
                };
                Ok((summary, delivery))
            }
            End::Known(summary) => self.deliver_again(&mut budget, task, summary),
        }
    }

    /// The digest is known by now: as any other blob, made once more when it has to be sent.
    fn deliver_again(
        &self,
        budget: &mut Budget,
        task: &StreamTask<'_>,
        summary: Summary,
    ) -> Result<(Summary, Delivery), Error> {
        (task.made)(&summary);
        let body = Replay {
            stream: task.body,
            size: summary.size,
        };
        self.deliver_made(budget, task, summary, &body)
    }

    fn deliver_made(
        &self,
        budget: &mut Budget,
        task: &StreamTask<'_>,
        summary: Summary,
        body: &dyn Body,
    ) -> Result<(Summary, Delivery), Error> {
        let task = BlobTask {
            repository: task.repository,
            digest: &summary.digest,
            body,
            mount_from: None,
            no_mount: task.force,
            force: task.force,
            made_of: Some(task.made_of),
            meter: task.meter,
        };
        let delivery = self.deliver(budget, &task)?;
        Ok((summary, delivery))
    }
}

/// How sending a stream ended.
enum End {
    Sent(Summary),
    /// An earlier process has brought it.
    Found(Summary),
    /// It did not arrive, but now its digest and size are known.
    Known(Summary),
}

/// What the answer to the closing PUT means for a stream.
enum Closing {
    Done,
    TooLarge,
    /// Who answered does not know the session.
    Stranger,
    /// The session is of no use any more.
    Lost,
    /// The blob may be there, after these waits; else the session may be tried again.
    Open(Halt, &'static [u64]),
}

/// One stream on its way. What it knows outlives the trouble it meets.
struct Streaming<'a> {
    client: &'a Client,
    task: &'a StreamTask<'a>,
    operation: &'a str,
    /// Opened and not yet sent from.
    ready: Option<Pour<'a>>,
    record: Record<'a>,
    session: Option<Session>,
    /// Everything has been made.
    summary: Option<Summary>,
    /// The session in which everything was sent is of no use.
    lost: bool,
    /// Bytes that have gone out into the session, at most.
    most: u64,
    resumed_at: Option<u64>,
}

impl<'a> Streaming<'a> {
    fn advance(&mut self, budget: &mut Budget) -> Result<End, Halt> {
        loop {
            if let Some(summary) = self.summary.clone().filter(|_| self.lost) {
                return Ok(End::Known(summary));
            }
            let outcome = match self.session.take() {
                Some(session) => self.go_on(budget, session),
                None => self.begin(),
            };
            match outcome {
                Ok(Some(end)) => return Ok(end),
                Ok(None) => {}
                Err(halt) if self.record.gives_up(&halt) => {
                    self.session = None;
                    self.lost = self.summary.is_some();
                }
                Err(halt) => return Err(halt),
            }
        }
    }

    fn go_on(&mut self, budget: &mut Budget, session: Session) -> Result<Option<End>, Halt> {
        if let Some(summary) = self.summary.clone() {
            let closed = self.close(session, &summary, &[])?;
            return Ok(closed.then_some(End::Sent(summary)));
        }
        if session.is_doubtful() {
            self.session = Some(session);
            let held = self.record.settle(&mut self.session, self.most)?;
            budget.reached(held.unwrap_or_default());
            self.resumed_at = held.or(self.resumed_at);
            return Ok(None);
        }
        if self.client.sizes(session.min_chunk()).takes_unsized() {
            return self.pour(session).map(|()| None);
        }
        self.pieces(budget, session)
    }

    fn keep(&mut self, session: Session, halt: Halt) -> Halt {
        self.session = Some(session);
        halt
    }

    fn doubt(&mut self, mut session: Session, halt: Halt) -> Halt {
        session.doubt();
        self.keep(session, halt)
    }

    /// One PATCH with all that is left, however much that is.
    fn pour(&mut self, mut session: Session) -> Result<(), Halt> {
        let held = session.held();
        let mut pour = match self.ready.take().filter(|_| held == 0) {
            Some(ready) => ready,
            None => match self.pour_behind(&session, 1)? {
                Some(pour) => pour,
                None => return Ok(()),
            },
        };
        if pour.is_whole() && pour.head().is_empty() {
            return self.made(session, pour);
        }
        self.task.meter.seek(held);
        let access = Access::Repository(self.task.repository);
        let call = Call::new(Method::Patch, session.location().clone(), access)
            .header("content-type", OCTETS)
            .body(
                Content::Pour(&mut pour),
                self.client.patience(self.task.size, CLOSE_PATIENCE),
            );
        let outcome = self.client.exchange(self.operation, call);
        self.most = self.most.max(held + pour.taken());
        let answer = match outcome {
            Ok(answer) => answer,
            Err(halt) if pour.taken() == 0 => {
                self.ready = Some(pour).filter(|_| held == 0);
                return Err(self.keep(session, halt));
            }
            Err(halt) => return Err(self.doubt(session, halt)),
        };
        let refusal = answer.refusal();
        match (
            read_reply(false, answer.status(), &refusal),
            answer.status(),
        ) {
            (Reply::Taken, _) if pour.is_empty() => {
                self.client.follow(self.operation, &mut session, &answer)?;
                self.made(session, pour)
            }
            (Reply::Taken | Reply::OutOfStep | Reply::Odd, _) => {
                let trouble = self.client.passing(self.operation, &answer);
                Err(self.doubt(session, trouble.into()))
            }
            (Reply::Gone, _) if session.may_be_elsewhere() => {
                self.session = Some(session);
                Ok(())
            }
            (Reply::Uncertain, status) if self.client.offers_again(&mut session, status) => {
                self.session = Some(session);
                Ok(())
            }
            (Reply::Gone, _) => Err(self.client.passing(self.operation, &answer).into()),
            // What is made while it is sent cannot be sent again where a redirect leads; pieces can.
            (Reply::TooLarge | Reply::Refused | Reply::WrongDigest, 400 | 411 | 413 | 501)
            | (Reply::Refused, 301 | 302 | 307 | 308) => {
                self.client.learned.unsized_refused();
                // What an earlier process has brought is still there.
                if held > 0 {
                    session.doubt();
                    self.session = Some(session);
                }
                Ok(())
            }
            _ => Err(self.refused(session, &answer)),
        }
    }

    /// The last byte is out: what was it all?
    fn made(&mut self, mut session: Session, pour: Pour<'_>) -> Result<(), Halt> {
        let (_, stream) = pour.into_parts();
        let summary = stream
            .finish()
            .map_err(|error| Error::source(self.operation, &error))?;
        session.stored(summary.size);
        self.session = Some(session);
        self.summary = Some(summary);
        Ok(())
    }

    fn refused(&mut self, session: Session, answer: &Answer) -> Halt {
        match self.client.refuse(self.operation, answer) {
            again @ Halt::Again(_) => self.doubt(session, again),
            fail @ Halt::Fail(_) => fail,
        }
    }

    /// PATCH by PATCH from a buffer; the last piece travels in the PUT.
    fn pieces(&mut self, budget: &mut Budget, mut session: Session) -> Result<Option<End>, Halt> {
        let piece = self.client.sizes(session.min_chunk()).piece();
        let Some(piece) = usize::try_from(piece).ok().filter(|_| piece <= MOST_PIECE) else {
            return self.measure().map(Some);
        };
        self.ready = None;
        let Some(mut pour) = self.pour_behind(&session, 0)? else {
            return Ok(None);
        };
        let operation = self.operation;
        let unreadable = |error| Error::source(operation, &error);
        loop {
            pour.read_ahead(piece + 1).map_err(unreadable)?;
            if pour.is_whole() && pour.head().len() <= piece {
                let (last, stream) = pour.into_parts();
                let summary = stream.finish().map_err(unreadable)?;
                let sent = self.close(session, &summary, &last)?;
                return Ok(sent.then_some(End::Sent(summary)));
            }
            match self.send_piece(session, &pour.head()[..piece])? {
                Some(next) => {
                    budget.reached(next.held());
                    session = next;
                }
                None => return Ok(None),
            }
            pour.pass(piece);
        }
    }

    /// One PATCH. `None` when the next one has to begin elsewhere.
    fn send_piece(&mut self, mut session: Session, bytes: &[u8]) -> Result<Option<Session>, Halt> {
        let (from, sent) = (session.held(), bytes.len() as u64);
        let meter = self.task.meter;
        let access = Access::Repository(self.task.repository);
        let call = Call::new(Method::Patch, session.location().clone(), access)
            .header("content-type", OCTETS)
            .header("content-range", format!("{from}-{}", from + sent - 1))
            .body(
                Content::Piece { bytes, from, meter },
                self.client.patience(sent, CHUNK_PATIENCE),
            );
        self.most = self.most.max(from + sent);
        let answer = match self.client.exchange(self.operation, call) {
            Ok(answer) => answer,
            Err(halt) => return Err(self.doubt(session, halt)),
        };
        let refusal = answer.refusal();
        match read_reply(false, answer.status(), &refusal) {
            Reply::Taken => {
                self.client.follow(self.operation, &mut session, &answer)?;
                session.stored(from + sent);
                self.record.went_on(&session);
                Ok(Some(session))
            }
            Reply::TooLarge => {
                self.smaller(session, &answer, sent)?;
                Ok(None)
            }
            Reply::OutOfStep | Reply::Odd => {
                let trouble = self.client.passing(self.operation, &answer);
                Err(self.doubt(session, trouble.into()))
            }
            Reply::Gone if session.may_be_elsewhere() => {
                self.session = Some(session);
                Ok(None)
            }
            Reply::Uncertain if self.client.offers_again(&mut session, answer.status()) => {
                self.session = Some(session);
                Ok(None)
            }
            Reply::Gone | Reply::WrongDigest => {
                Err(self.client.passing(self.operation, &answer).into())
            }
            _ => Err(self.refused(session, &answer)),
        }
    }

    fn smaller(&mut self, session: Session, answer: &Answer, sent: u64) -> Result<(), Halt> {
        if self.client.sizes(session.min_chunk()).shrink(sent) {
            self.session = Some(session);
            return Ok(());
        }
        Err(self.client.too_large(self.operation, answer, sent).into())
    }

    /// PUT with the digest and the last bytes. False when something else has to be done first.
    fn close(
        &mut self,
        mut session: Session,
        summary: &Summary,
        last: &[u8],
    ) -> Result<bool, Halt> {
        self.record.closes(&session, summary);
        (self.task.made)(summary);
        let (from, sent) = (session.held(), last.len() as u64);
        let meter = self.task.meter;
        let target = session.location().with_digest(&summary.digest);
        let content = Content::Piece {
            bytes: last,
            from,
            meter,
        };
        let access = Access::Repository(self.task.repository);
        let mut call = Call::new(Method::Put, target, access)
            .header("content-type", OCTETS)
            .body(content, self.client.patience(from + sent, CLOSE_PATIENCE));
        if sent > 0 {
            call = call.header("content-range", format!("{from}-{}", from + sent - 1));
        }
        let (halt, looks) = match self.client.exchange(self.operation, call) {
            Err(halt) if is_renewed(&halt) => return Err(self.doubt(session, halt)),
            Err(halt) => {
                let looks = looks_after_cut(&halt);
                (halt, looks)
            }
            Ok(answer) => match self.read_closing(&answer, sent) {
                Closing::Done => return Ok(true),
                Closing::TooLarge => {
                    self.smaller(session, &answer, sent)?;
                    return Ok(false);
                }
                Closing::Stranger if session.may_be_elsewhere() => {
                    self.session = Some(session);
                    return Ok(false);
                }
                Closing::Stranger | Closing::Lost => {
                    let halt = self.client.passing(self.operation, &answer).into();
                    // Perhaps by a PUT whose answer got lost.
                    if self.client.look_for(self.subject(summary), &[0])? {
                        return Ok(true);
                    }
                    let was_old = self.record.is_old();
                    self.lose(summary);
                    return if was_old { Ok(false) } else { Err(halt) };
                }
                Closing::Open(halt, looks) => (halt, looks),
            },
        };
        if self.client.look_for(self.subject(summary), looks)? {
            return Ok(true);
        }
        if sent == 0 {
            return Err(self.keep(session, halt));
        }
        let is_excused = self.record.gives_up(&halt);
        self.lose(summary);
        if is_excused { Ok(false) } else { Err(halt) }
    }

    fn read_closing(&self, answer: &Answer, sent: u64) -> Closing {
        let refusal = answer.refusal();
        let passing = || Halt::from(self.client.passing(self.operation, answer));
        match read_reply(true, answer.status(), &refusal) {
            Reply::Taken => Closing::Done,
            Reply::TooLarge if sent > 0 => Closing::TooLarge,
            Reply::Gone => Closing::Stranger,
            Reply::OutOfStep | Reply::WrongDigest => Closing::Lost,
            // A 503 asks for a pause first.
            Reply::Uncertain | Reply::Odd if answer.status() != 503 => {
                Closing::Open(passing(), looks_after(answer.status()))
            }
            _ => Closing::Open(self.client.refuse(self.operation, answer), &[]),
        }
    }

    /// Everything was made, and the session is of no use any more.
    fn lose(&mut self, summary: &Summary) {
        self.record.forget();
        self.summary = Some(summary.clone());
        self.lost = true;
    }

    fn subject<'b>(&'b self, summary: &'b Summary) -> Subject<'b> {
        Subject {
            operation: self.operation,
            repository: self.task.repository,
            digest: &summary.digest,
            size: summary.size,
            force: self.task.force,
        }
    }
}

fn is_renewed(halt: &Halt) -> bool {
    matches!(halt, Halt::Again(trouble) if trouble.class == Class::Renewed)
}

/// Digest and size of a stream that is sent to nobody.
fn measure(pour: Pour<'_>) -> io::Result<Summary> {
    let (_, mut stream) = pour.into_parts();
    io::copy(&mut stream, &mut io::sink())?;
    stream.finish()
}
