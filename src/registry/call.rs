//! One request to a registry, and the answer to it.

use std::time::{Duration, Instant};

use crate::net::{Method, Response};
use crate::registry::answer::Refusal;
use crate::registry::body::Content;
use crate::registry::credentials::Denied;
use crate::registry::endpoint::Target;

const ANSWER_LIMIT: u64 = 256 << 10;

/// One request, as often as it takes.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) content: Content<'a>,
    /// Longest wait for the answer once the body is out; as long as a stall may be, unless said.
    pub(super) patience: Option<Duration>,
    /// Longest body of the answer, in bytes.
    pub(super) limit: u64,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response,
    /// Who gave it.
    pub(super) target: Target,
    /// How often we were sent on.
    pub(super) redirects: usize,
    /// Why a 401 is the last word.
    pub(super) denied: Option<Denied>,
    pub(super) began: Instant,
}

impl<'a> Call<'a> {
    pub(super) fn new(method: Method, target: Target) -> Self {
        Self {
            method,
            target,
            headers: Vec::new(),
            content: Content::Empty,
            patience: None,
            limit: ANSWER_LIMIT,
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn body(mut self, content: Content<'a>, patience: Duration) -> Self {
        self.content = content;
        self.patience = Some(patience);
        self
    }
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.response.status
    }

    pub(super) fn refusal(&self) -> Refusal {
        Refusal::read(&self.response)
    }
}
