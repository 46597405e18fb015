//! One request under way: what the connection learns about it, and what it may take from the payload.
//!
//! ureq gives a connection no handle on the request it carries, but does all its work on the
//! caller's thread: so the exchange is found there.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::failure::{Failure, FailureKind, Fault};

/// Limits of one request and facts about it.
pub(super) struct Exchange {
    /// Longest time without a byte.
    pub(super) stall: Duration,
    /// Longest wait for the answer's header.
    answer: Duration,
    answer_due: Cell<Option<Instant>>,
    head_read: Cell<bool>,
    began: Cell<bool>,
    reused: Cell<bool>,
    /// Nothing more is taken from the payload: an answer came, or the connection broke.
    stopped: Cell<bool>,
    body_sent: Cell<u64>,
    /// Everything of the payload has been taken: an answer is no longer early.
    taken: Cell<bool>,
    /// Time has gone by since the last piece went out: there may be an answer.
    held_back: Cell<bool>,
    payload_error: RefCell<Option<io::Error>>,
    /// The connection sends from files without being given their bytes.
    takes_files: Cell<bool>,
    /// Handed over to the connection, for which ureq has filler.
    piece: RefCell<Option<Piece>>,
}

/// A place in a file, from where the next bytes of the payload go out.
pub(super) struct Piece {
    pub(super) file: Arc<File>,
    pub(super) position: u64,
    /// Bytes of the whole payload that have not gone out.
    pub(super) owed: u64,
}

thread_local! {
    /// A stack: a payload's reader may send requests of its own.
    static CURRENT: RefCell<Vec<Rc<Exchange>>> = const { RefCell::new(Vec::new()) };
}

/// Ends the exchange's stay on its thread.
pub(super) struct Entered(());

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.with_borrow_mut(Vec::pop);
    }
}

impl Exchange {
    pub(super) fn new(stall: Duration, answer: Duration) -> Self {
        Exchange {
            stall,
            answer,
            answer_due: Cell::new(None),
            head_read: Cell::new(false),
            began: Cell::new(false),
            reused: Cell::new(false),
            stopped: Cell::new(false),
            body_sent: Cell::new(0),
            taken: Cell::new(false),
            held_back: Cell::new(false),
            payload_error: RefCell::new(None),
            takes_files: Cell::new(false),
            piece: RefCell::new(None),
        }
    }

    /// Makes this the current exchange of the thread until the guard is dropped.
    pub(super) fn enter(self: &Rc<Self>) -> Entered {
        CURRENT.with_borrow_mut(|stack| stack.push(Rc::clone(self)));
        Entered(())
    }

    pub(super) fn current() -> Result<Rc<Exchange>, Fault> {
        let current = CURRENT.with_borrow(|stack| stack.last().cloned());
        current.ok_or_else(|| Fault::new(FailureKind::Invalid, "request outside of an exchange"))
    }

    /// The first bytes go to a connection. Says whether these were the first.
    pub(super) fn begin(&self, reused: bool) -> bool {
        let first = !self.began.replace(true);
        if first {
            self.reused.set(reused);
        }
        first
    }

    pub(super) fn began(&self) -> bool {
        self.began.get()
    }

    pub(super) fn payload_taken(&self) -> bool {
        self.taken.get()
    }

    pub(super) fn stop(&self) {
        self.stopped.set(true);
    }

    pub(super) fn stopped(&self) -> bool {
        self.stopped.get()
    }

    /// From here on the answer's body is read, under the limit for stalls.
    pub(super) fn head_complete(&self) {
        self.head_read.set(true);
    }

    pub(super) fn reads_head(&self) -> bool {
        !self.head_read.get()
    }

    pub(super) fn set_payload_taken(&self, taken: bool) {
        self.taken.set(taken);
    }

    pub(super) fn set_held_back(&self) {
        self.held_back.set(true);
    }

    /// Whether the payload was held back since this was asked the last time.
    pub(super) fn take_held_back(&self) -> bool {
        self.held_back.take()
    }

    pub(super) fn payload_failed(&self, error: io::Error) {
        *self.payload_error.borrow_mut() = Some(error);
    }

    pub(super) fn takes_files(&self) -> bool {
        self.takes_files.get()
    }

    pub(super) fn set_takes_files(&self, takes: bool) {
        self.takes_files.set(takes);
    }

    pub(super) fn hand_over(&self, piece: Piece) {
        *self.piece.borrow_mut() = Some(piece);
    }

    pub(super) fn take_piece(&self) -> Option<Piece> {
        self.piece.borrow_mut().take()
    }

    /// So much of the payload is about to be sent.
    pub(super) fn goes_out(&self, bytes: u64) {
        self.body_sent.set(self.body_sent.get() + bytes);
    }

    /// The payload failed when `unsent` bytes of what was to go out were still there.
    pub(super) fn cut_short(&self, error: io::Error, unsent: usize) -> Fault {
        let sent = self.body_sent.get().saturating_sub(unsent as u64);
        self.body_sent.set(sent);
        let fault = Fault::new(FailureKind::Payload, error.to_string());
        self.payload_failed(error);
        fault
    }

    pub(super) fn body_sent(&self) -> u64 {
        self.body_sent.get()
    }

    /// Until when the next byte must have come. The clock for the header starts at the first call;
    /// once it has `begun`, that for stalls runs beside it.
    pub(super) fn read_deadline(&self, begun: bool) -> Instant {
        let now = Instant::now();
        if self.head_read.get() {
            return now + self.stall;
        }
        let due = self.answer_due.get().unwrap_or(now + self.answer);
        self.answer_due.set(Some(due));
        match begun {
            true => due.min(now + self.stall),
            false => due,
        }
    }

    /// What to say when the read deadline has passed.
    pub(super) fn overdue(&self, begun: bool) -> Fault {
        let message = if self.head_read.get() || begun {
            format!("no byte of the answer for {:?}", self.stall)
        } else {
            format!("no answer within {:?}", self.answer)
        };
        Fault::new(FailureKind::Stalled, message)
    }

    pub(super) fn into_failure(self: Rc<Self>, fault: Fault) -> Failure {
        let payload_error = self.payload_error.borrow_mut().take();
        let (kind, message) = match &payload_error {
            Some(error) => (FailureKind::Payload, error.to_string()),
            None => (fault.kind, fault.message),
        };
        Failure {
            kind,
            message,
            hint: fault.hint,
            reused: self.reused.get(),
            answered: self.head_read.get(),
            body_sent: self.body_sent.get(),
            payload_error,
        }
    }
}
