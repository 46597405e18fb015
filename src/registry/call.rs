//! One request to a registry, and the answer to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::image::reference::Repository;
use crate::net::{Method, Response, Secret, Sink};
use crate::registry::answer::Refusal;
use crate::registry::auth::{Denied, Identity};
use crate::registry::body::Content;
use crate::registry::endpoint::Target;

const ANSWER_LIMIT: u64 = 256 << 10;

/// What a request needs to be allowed to touch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Access<'a> {
    Host,
    Repository(&'a Repository),
    /// `into` as any other write, and reading `from`.
    Mount {
        into: &'a Repository,
        from: &'a Repository,
    },
}

/// One request, as often as it takes.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) access: Access<'a>,
    /// The value of `Authorization`.
    pub(super) authorization: Option<Arc<Secret>>,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) content: Content<'a>,
    /// Longest wait for the answer once the body is out; as long as a stall may be, unless said.
    pub(super) patience: Option<Duration>,
    /// Longest body of the answer, in bytes.
    pub(super) limit: u64,
    /// Where it goes instead of being held.
    pub(super) sink: Option<&'a mut (dyn Sink + 'a)>,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response,
    /// Who gave it.
    pub(super) target: Target,
    /// How often we were sent on.
    pub(super) redirects: usize,
    /// Who asked, as far as the registry was told.
    pub(super) identity: Option<Arc<Identity>>,
    /// Why a 401 is the last word.
    pub(super) denied: Option<Denied>,
    pub(super) began: Instant,
}

impl<'a> Access<'a> {
    /// Whose credentials are to be used.
    pub(super) fn repository(self) -> Option<&'a Repository> {
        match self {
            Self::Host => None,
            Self::Repository(repository)
            | Self::Mount {
                into: repository, ..
            } => Some(repository),
        }
    }
}

impl<'a> Call<'a> {
    pub(super) fn new(method: Method, target: Target, access: Access<'a>) -> Self {
        Self {
            method,
            target,
            access,
            authorization: None,
            headers: Vec::new(),
            content: Content::Empty,
            patience: None,
            limit: ANSWER_LIMIT,
            sink: None,
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

    pub(super) fn into_sink(mut self, sink: &'a mut (dyn Sink + 'a)) -> Self {
        self.sink = Some(sink);
        self
    }

    pub(super) fn writes(&self) -> bool {
        !matches!(self.method, Method::Get | Method::Head)
    }

    /// Whether there is a body at all.
    pub(super) fn has_body(&self) -> bool {
        self.content.len() != Some(0)
    }
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.response.status
    }

    pub(super) fn refusal(&self) -> Refusal {
        Refusal::read(&self.response)
    }

    /// Asks to slow down, which says nothing of the request itself.
    pub(super) fn is_pressure(&self) -> bool {
        matches!(self.status(), 429 | 503)
            || (self.status() >= 400 && self.refusal().has("TOOMANYREQUESTS"))
    }
}
