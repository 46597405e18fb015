//! Bringing a blob of known digest: the way it takes, step by step, and back to where trouble was met.

use std::time::Duration;

use crate::image::reference::Repository;
use crate::image::source::Summary;
use crate::net::Method;
use crate::registry::answer::Refusal;
use crate::registry::blobs::{Arrival, BlobTask, Delivery, Mounted, Sight, Subject};
use crate::registry::body::{Content, verify};
use crate::registry::call::{Access, Answer, Call};
use crate::registry::client::Client;
use crate::registry::error::{Error, ErrorKind};
use crate::registry::manifests::short;
use crate::registry::patience::{CHUNK_PATIENCE, CLOSE_PATIENCE, looks_after, looks_after_cut};
use crate::registry::retry::{Budget, Class, Halt, Trouble};
use crate::registry::sessions::{Record, Upload};
use crate::registry::upload::{Next, Reply, Session, read_reply};

/// Where 202 to a mount says nothing, bodies above this are asked for by HEAD first, in bytes.
const WORTH_A_QUESTION: u64 = 64 << 10;
pub(super) const OCTETS: &str = "application/octet-stream";

impl Client {
    /// Brings a blob of known digest into a repository: mount or check, upload, resume, chunks.
    pub fn push_blob(&self, task: &BlobTask<'_>) -> Result<Delivery, Error> {
        self.deliver(&mut self.budget(), task)
    }

    pub(super) fn deliver(
        &self,
        budget: &mut Budget,
        task: &BlobTask<'_>,
    ) -> Result<Delivery, Error> {
        let operation = format!("upload of {}", short(task.digest));
        let upload = Upload {
            registry: self.endpoint.name(),
            repository: task.repository,
            content: task.made_of.unwrap_or(task.digest.as_str()),
            size: Some(task.body.size()),
        };
        let made = task.made_of.map(|_| Summary {
            digest: task.digest.clone(),
            size: task.body.size(),
        });
        let mut transfer = Transfer {
            client: self,
            task,
            subject: Subject {
                operation: &operation,
                repository: task.repository,
                digest: task.digest,
                size: task.body.size(),
                force: task.force,
            },
            record: Record::new(self, &operation, upload).of(made),
            session: None,
            spare: None,
            mounts: !task.no_mount,
            asks: !task.no_mount,
            has_failed_to_look: false,
            verified: false,
            sent_whole: false,
            resumed_at: None,
            mount_refused: false,
        };
        self.retry(budget, |budget| transfer.advance(budget))
    }
}

/// One blob on its way. What it knows outlives the trouble it meets.
struct Transfer<'a> {
    client: &'a Client,
    task: &'a BlobTask<'a>,
    subject: Subject<'a>,
    record: Record<'a>,
    session: Option<Session>,
    /// Opened when another process had just begun with the same.
    spare: Option<Session>,
    /// Whether to mount, or to ask by mounting; not after it was answered with nonsense.
    mounts: bool,
    /// Whether a HEAD is worth its while; not after it was answered with nonsense.
    asks: bool,
    /// A HEAD was answered with an error of the server.
    has_failed_to_look: bool,
    /// The registry has called our bytes wrong, and they are right.
    verified: bool,
    /// All bytes went out once, so what is found there later is our own doing.
    sent_whole: bool,
    resumed_at: Option<u64>,
    mount_refused: bool,
}

impl Transfer<'_> {
    fn advance(&mut self, budget: &mut Budget) -> Result<Delivery, Halt> {
        loop {
            let Some(session) = self.session.take() else {
                match self.begin()? {
                    Some(arrival) => return Ok(self.delivery(arrival)),
                    None => continue,
                }
            };
            match self.send(budget, session) {
                Ok(true) => return Ok(self.delivery(Arrival::Uploaded)),
                Ok(false) => {}
                Err(halt) if self.record.gives_up(&halt) => self.session = None,
                Err(halt) => return Err(halt),
            }
        }
    }

    fn delivery(&mut self, found: Arrival) -> Delivery {
        match found {
            Arrival::Uploaded => self.record.arrived(),
            Arrival::Present | Arrival::Mounted => self.record.forget(),
        }
        let arrival = match found {
            Arrival::Present if self.sent_whole => Arrival::Uploaded,
            other => other,
        };
        let from = self.task.mount_from.filter(|_| arrival == Arrival::Mounted);
        Delivery {
            arrival,
            from: from.cloned(),
            resumed_at: self.resumed_at.filter(|_| arrival == Arrival::Uploaded),
            mount_refused: self.mount_refused,
        }
    }

    /// Finds out whether the blob is there; opens a session when it is not.
    fn begin(&mut self) -> Result<Option<Arrival>, Halt> {
        if let Some(session) = self.record.recall()? {
            self.session = Some(session);
            return Ok(None);
        }
        if let Some(spare) = self.spare.take() {
            if !self.subject.force && self.look()? == Sight::There {
                return Ok(Some(Arrival::Present));
            }
            self.opened(spare);
            return Ok(None);
        }
        let client = self.client;
        let repository = self.task.repository;
        let other = self.task.mount_from.filter(|from| *from != repository);
        if !self.task.no_mount && !client.learned.may_mount() {
            self.mount_refused = other.is_some();
            if self.look()? == Sight::There {
                return Ok(Some(Arrival::Present));
            }
            return self.open();
        }
        if !self.mounts {
            if self.is_worth_a_look() && self.look()? == Sight::There {
                return Ok(Some(Arrival::Present));
            }
            return self.open();
        }
        self.mount(other)
    }

    fn mount(&mut self, other: Option<&Repository>) -> Result<Option<Arrival>, Halt> {
        let from = other.unwrap_or(self.task.repository);
        let mounted = self.client.mount_blob(self.subject, from);
        self.mount_refused = other.is_some() && !matches!(mounted, Ok(Mounted::Yes));
        match mounted? {
            Mounted::Yes if other.is_some() => Ok(Some(Arrival::Mounted)),
            Mounted::Yes => Ok(Some(Arrival::Present)),
            Mounted::No { session, told } => {
                if !told && self.is_worth_a_look() && self.look()? == Sight::There {
                    return Ok(Some(Arrival::Present));
                }
                self.opened(session);
                Ok(None)
            }
            Mounted::Refused => {
                self.mounts = false;
                Ok(None)
            }
        }
    }

    fn open(&mut self) -> Result<Option<Arrival>, Halt> {
        let session = self
            .client
            .open_session(self.subject.operation, self.task.repository)?;
        self.opened(session);
        Ok(None)
    }

    fn opened(&mut self, session: Session) {
        self.resumed_at = None;
        let place = match self.record.opened(&session) {
            true => &mut self.session,
            false => &mut self.spare,
        };
        *place = Some(session);
    }

    fn is_worth_a_look(&self) -> bool {
        self.asks && self.subject.size > WORTH_A_QUESTION
    }

    /// HEAD; where it meets an error of the server twice it is left alone.
    fn look(&mut self) -> Result<Sight, Halt> {
        match self.client.see_blob(self.subject) {
            Err(Halt::Again(trouble)) if trouble.class == Class::Passing => {
                if !std::mem::replace(&mut self.has_failed_to_look, true) {
                    return Err(Halt::Again(trouble));
                }
                self.asks = false;
                Ok(Sight::Unknown)
            }
            other => other,
        }
    }

    /// Sends what the session wants next. True when the blob is complete.
    fn send(&mut self, budget: &mut Budget, session: Session) -> Result<bool, Halt> {
        let chunk = self.client.sizes(session.min_chunk()).chunk();
        match session.next(self.subject.size, chunk) {
            Next::Status => {
                self.session = Some(session);
                let held = self.record.settle(&mut self.session, self.subject.size)?;
                budget.reached(held.unwrap_or_default());
                self.resumed_at = held.or(self.resumed_at);
                Ok(false)
            }
            Next::Chunk { from, to } => {
                let target = session.location().clone();
                let call = Call::new(Method::Patch, target, self.access())
                    .header("content-type", OCTETS)
                    .header("content-range", format!("{from}-{}", to - 1))
                    .body(
                        self.part(from, to),
                        self.client.patience(to - from, CHUNK_PATIENCE),
                    );
                let outcome = self.client.exchange(self.subject.operation, call);
                self.chunk_sent(session, to, outcome)?;
                budget.reached(self.session.as_ref().map_or(0, Session::held));
                Ok(false)
            }
            Next::Close { from } => {
                let to = self.subject.size;
                let target = session.location().with_digest(self.task.digest);
                let mut call = Call::new(Method::Put, target, self.access())
                    .header("content-type", OCTETS)
                    .body(
                        self.part(from, to),
                        self.client.patience(to, CLOSE_PATIENCE),
                    );
                if from > 0 && from < to {
                    call = call.header("content-range", format!("{from}-{}", to - 1));
                }
                match self.client.exchange(self.subject.operation, call) {
                    Ok(answer) => self.closed(session, from, &answer),
                    Err(Halt::Again(trouble)) => self.cut(session, to - from, *trouble),
                    Err(fail) => Err(fail),
                }
            }
        }
    }

    fn access(&self) -> Access<'_> {
        Access::Repository(self.task.repository)
    }

    fn part(&self, from: u64, to: u64) -> Content<'_> {
        Content::Part {
            body: self.task.body,
            from,
            to,
            meter: self.task.meter,
        }
    }

    fn chunk_sent(
        &mut self,
        mut session: Session,
        end: u64,
        outcome: Result<Answer, Halt>,
    ) -> Result<(), Halt> {
        let operation = self.subject.operation;
        let answer = match outcome {
            Ok(answer) => answer,
            Err(halt) => {
                if !is_unconnected(&halt) {
                    session.doubt();
                }
                self.session = Some(session);
                return Err(halt);
            }
        };
        let refusal = answer.refusal();
        match read_reply(false, answer.status(), &refusal) {
            Reply::Taken => {
                self.client.follow(operation, &mut session, &answer)?;
                session.stored(end);
                self.record.went_on(&session);
                self.session = Some(session);
                Ok(())
            }
            Reply::TooLarge => {
                let sent = end - session.held();
                self.smaller(session, &answer, sent).map(drop)
            }
            Reply::Uncertain if self.client.offers_again(&mut session, answer.status()) => {
                self.session = Some(session);
                Ok(())
            }
            Reply::Uncertain => {
                session.doubt();
                self.session = Some(session);
                Err(self.client.refuse(operation, &answer))
            }
            reply => self.not_taken(session, &answer, &refusal, reply),
        }
    }

    fn closed(&mut self, mut session: Session, from: u64, answer: &Answer) -> Result<bool, Halt> {
        let refusal = answer.refusal();
        match read_reply(true, answer.status(), &refusal) {
            Reply::Taken => Ok(true),
            Reply::TooLarge => {
                self.smaller(session, answer, self.subject.size - from)?;
                Ok(false)
            }
            Reply::Uncertain if self.client.offers_again(&mut session, answer.status()) => {
                self.session = Some(session);
                Ok(false)
            }
            // A 503 asks for a pause first; the session will tell.
            Reply::Uncertain | Reply::Odd if answer.status() != 503 => {
                let trouble = self.client.passing(self.subject.operation, answer);
                self.uncertain(session, trouble.into(), looks_after(answer.status()))
            }
            Reply::Gone if !self.record.is_old() && session.may_be_elsewhere() => {
                self.session = Some(session);
                Ok(false)
            }
            // Perhaps closed by a PUT whose answer got lost.
            Reply::Gone if self.client.look_for(self.subject, &[0])? => Ok(true),
            reply => {
                self.sent_whole |= reply == Reply::Uncertain;
                self.not_taken(session, answer, &refusal, reply)?;
                Ok(false)
            }
        }
    }

    /// The closing request got no answer.
    fn cut(&mut self, mut session: Session, sent: u64, trouble: Trouble) -> Result<bool, Halt> {
        match trouble.class {
            Class::Cut { sent: some, .. } if some == sent => {
                self.sent_whole = true;
                let halt = Halt::from(trouble);
                let looks = looks_after_cut(&halt);
                self.uncertain(session, halt, looks)
            }
            class => {
                if class != Class::Unconnected {
                    session.doubt();
                }
                self.session = Some(session);
                Err(trouble.into())
            }
        }
    }

    /// After a 413: the same session, in smaller pieces.
    fn smaller(&mut self, session: Session, answer: &Answer, sent: u64) -> Result<(), Halt> {
        if self.client.sizes(session.min_chunk()).shrink(sent) {
            self.session = Some(session);
            return Ok(());
        }
        let operation = self.subject.operation;
        Err(self.client.too_large(operation, answer, sent).into())
    }

    fn not_taken(
        &mut self,
        mut session: Session,
        answer: &Answer,
        refusal: &Refusal,
        reply: Reply,
    ) -> Result<(), Halt> {
        let operation = self.subject.operation;
        match reply {
            Reply::OutOfStep | Reply::Odd => {
                session.doubt();
                self.session = Some(session);
                Err(self.client.passing(operation, answer).into())
            }
            Reply::Gone | Reply::WrongDigest if self.record.is_old() => {
                self.record.forget();
                Ok(())
            }
            Reply::Gone if session.may_be_elsewhere() => {
                self.session = Some(session);
                Ok(())
            }
            Reply::Gone => Err(self.client.passing(operation, answer).into()),
            Reply::WrongDigest => {
                self.record.forget();
                Err(self.wrong_digest(answer, refusal))
            }
            _ => {
                let halt = self.client.refuse(operation, answer);
                if matches!(halt, Halt::Again(_)) {
                    session.doubt();
                    self.session = Some(session);
                }
                Err(halt)
            }
        }
    }

    /// Nobody knows whether the blob is complete. The session stays for when it is not.
    fn uncertain(&mut self, mut session: Session, halt: Halt, looks: &[u64]) -> Result<bool, Halt> {
        if self.client.look_for(self.subject, looks)? {
            return Ok(true);
        }
        session.doubt();
        self.session = Some(session);
        Err(halt)
    }

    /// The registry says that the bytes are not what their digest says. Who is wrong?
    fn wrong_digest(&mut self, answer: &Answer, refusal: &Refusal) -> Halt {
        let operation = self.subject.operation;
        let clock = &self.client.clock;
        let stopped = || !clock.sleep(Duration::ZERO);
        let ours = match verify(self.task.body, self.task.digest, &stopped) {
            Ok(ours) => ours,
            Err(error) => return Error::source(operation, &error).into(),
        };
        if let Some(ours) = ours.filter(|ours| ours != self.task.digest) {
            let digest = self.task.digest;
            let reason = format!("the local bytes do not have the digest {digest}, but {ours}");
            return Error::new(ErrorKind::Source, operation, reason).into();
        }
        let mut trouble = self.client.passing(operation, answer);
        trouble.error.reason = format!(
            "registry says that the bytes it received have another digest{}, while the local ones are right",
            refusal.suffix()
        );
        // The session holds the wrong bytes, so it is left; once may be chance.
        if std::mem::replace(&mut self.verified, true) {
            return trouble.error.into();
        }
        trouble.into()
    }
}

fn is_unconnected(halt: &Halt) -> bool {
    matches!(halt, Halt::Again(trouble) if trouble.class == Class::Unconnected)
}
