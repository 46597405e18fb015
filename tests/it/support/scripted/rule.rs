//! What a scripted server does: which requests a rule is for, and what is done with them.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Condvar, Mutex};

use super::Seen;
use super::stream::{Head, header};

/// Holds requests until the test lets them go.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    arrived: usize,
    open: bool,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Waits until so many requests have arrived, since the beginning.
    pub(crate) fn wait_for(&self, requests: usize) {
        let (state, changed) = &*self.0;
        let held = state.lock().unwrap();
        drop(changed.wait_while(held, |now| now.arrived < requests));
    }

    /// Lets everything through from now on.
    pub(crate) fn open(&self) {
        self.0.0.lock().unwrap().open = true;
        self.0.1.notify_all();
    }

    pub(super) fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut held = state.lock().unwrap();
        held.arrived += 1;
        changed.notify_all();
        drop(changed.wait_while(held, |now| !now.open));
    }
}

/// A whole answer, with the length of its body unless the headers say something else.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

pub(crate) fn answer(status: u16) -> Answer {
    Answer {
        status,
        headers: Vec::new(),
        body: Vec::new(),
    }
}

impl Answer {
    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The answer to a HEAD has the length but not the body.
    pub(super) fn bytes(&self, method: &str) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        let framed = ["content-length", "transfer-encoding"]
            .iter()
            .any(|name| header(&self.headers, name).is_some());
        if !framed && self.status != 204 && self.status != 304 {
            text += &format!("Content-Length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        let mut bytes = text.into_bytes();
        if method != "HEAD" {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// What happens to a connection after an early answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It is closed with the rest of the body unread, which resets it.
    Close,
    /// It stays open and nobody reads.
    KeepOpen,
    /// The rest of the body is read and the connection goes on.
    Drain,
}

/// What is done with a request.
#[derive(Clone)]
pub(crate) enum Action {
    Answer(Answer),
    Raw(Vec<u8>),
    Close {
        after: u64,
    },
    Early {
        after: u64,
        answer: Answer,
        then: Then,
    },
    Computed(Compute),
    EndlessHeaders,
    Held(Gate, Box<Action>),
    Pass,
    PassAndClose,
    PassAndHold(Gate),
}

/// Makes an answer of a request.
pub(crate) type Compute = Arc<dyn Fn(&Seen) -> Answer + Send + Sync>;

impl From<Answer> for Action {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

/// Reads the body, sends exactly these bytes and closes.
pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Action {
    Action::Raw(bytes.into())
}

/// Reads so many bytes of the body, then closes without an answer.
pub(crate) fn close_after(bytes: u64) -> Action {
    Action::Close { after: bytes }
}

/// Reads the header and so many bytes of the body, then answers.
pub(crate) fn early(after: u64, answer: Answer, then: Then) -> Action {
    Action::Early {
        after,
        answer,
        then,
    }
}

/// Reads the body, then answers what `make` makes of the request.
pub(crate) fn computed(make: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Action {
    Action::Computed(Arc::new(make))
}

/// Reads the body, then sends headers until the client has had enough.
pub(crate) fn endless_headers() -> Action {
    Action::EndlessHeaders
}

/// Says that the body has `announced` bytes, sends the answer's, and closes.
pub(crate) fn wrong_length(answer: Answer, announced: u64) -> Action {
    let answer = answer.header("Content-Length", announced.to_string());
    raw(answer.bytes("GET"))
}

/// Reads the header, waits at the gate, then does what `action` says.
pub(crate) fn held(gate: &Gate, action: impl Into<Action>) -> Action {
    Action::Held(gate.clone(), Box::new(action.into()))
}

/// The server behind gets the request and its answer comes back.
pub(crate) fn pass() -> Action {
    Action::Pass
}

/// The server behind gets the request and does it; its answer is thrown away and the connection
/// closed.
pub(crate) fn pass_and_close() -> Action {
    Action::PassAndClose
}

/// The same, but the connection is closed when the gate is open: until then the client waits for the answer.
pub(crate) fn pass_and_hold(gate: &Gate) -> Action {
    Action::PassAndHold(gate.clone())
}

/// Which requests, and how often.
pub(crate) struct Matcher {
    method: String,
    prefix: String,
    parts: Vec<String>,
    not_parts: Vec<String>,
    /// Headers and their values; without one, they are not to be there.
    headers: Vec<(String, Option<String>)>,
    pub(super) skip: usize,
    pub(super) times: usize,
}

/// Requests of this method (`*`: any) whose target begins so.
pub(crate) fn on(method: &str, prefix: &str) -> Matcher {
    Matcher {
        method: method.to_owned(),
        prefix: prefix.to_owned(),
        parts: Vec::new(),
        not_parts: Vec::new(),
        headers: Vec::new(),
        skip: 0,
        times: usize::MAX,
    }
}

impl Matcher {
    /// The target, query included, holds this too.
    pub(crate) fn containing(mut self, part: &str) -> Self {
        self.parts.push(part.to_owned());
        self
    }

    /// The target does not hold this.
    pub(crate) fn without(mut self, part: &str) -> Self {
        self.not_parts.push(part.to_owned());
        self
    }

    /// Only those whose header has this value, or, without one, that do not have it.
    pub(crate) fn header(mut self, name: &str, value: Option<&str>) -> Self {
        self.headers
            .push((name.to_owned(), value.map(str::to_owned)));
        self
    }

    /// Only the `nth` that fits, counted from 1, whichever rule took the ones before.
    pub(crate) fn nth(mut self, nth: usize) -> Self {
        self.skip = nth - 1;
        self.times = 1;
        self
    }

    /// Only the first so many that fit.
    pub(crate) fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    pub(crate) fn then(self, action: impl Into<Action>) -> Rule {
        Rule {
            matcher: self,
            action: action.into(),
            matched: AtomicUsize::new(0),
        }
    }

    pub(super) fn fits(&self, head: &Head) -> bool {
        let target = &head.target;
        let wanted = |(name, value): &(String, Option<String>)| {
            header(&head.headers, name) == value.as_deref()
        };
        (self.method == "*" || self.method == head.method)
            && target.starts_with(&self.prefix)
            && self.parts.iter().all(|part| target.contains(part))
            && !self.not_parts.iter().any(|part| target.contains(part))
            && self.headers.iter().all(wanted)
    }
}

/// A matcher with its action.
pub(crate) struct Rule {
    pub(super) matcher: Matcher,
    pub(super) action: Action,
    /// How many requests have fitted so far.
    pub(super) matched: AtomicUsize,
}
