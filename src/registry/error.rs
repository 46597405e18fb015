//! What went wrong at a registry: a kind for code, a sentence for people.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Authentication or authorisation refused.
    Auth,
    /// Name, network, proxy or TLS trust: no connection to speak over.
    Unreachable,
    /// 429, 503 and the like, longer than the budget lasts.
    Pressure,
    /// The registry answered, and the answer is no.
    Refused,
    /// The local bytes could not be read, or are not what their digest says.
    Source,
    /// It was time to stop.
    Interrupted,
}

/// One failed operation. `Display`: "upload of sha256:12ab…: registry answered …".
#[derive(Clone, Debug)]
pub struct Error {
    pub kind: ErrorKind,
    /// What was being done to which object: "upload of sha256:12ab…".
    pub operation: String,
    /// Why: "registry answered 413 Payload Too Large to 120 MiB (…)".
    pub reason: String,
    /// What to try, without "try:".
    pub hint: Option<String>,
    /// HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// Error codes of the answer's body.
    pub codes: Box<[String]>,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, operation: &str, reason: impl Into<String>) -> Self {
        Self {
            kind,
            operation: operation.to_owned(),
            reason: reason.into(),
            hint: None,
            status: None,
            codes: Box::default(),
        }
    }

    pub(super) fn interrupted(operation: &str) -> Self {
        Self::new(ErrorKind::Interrupted, operation, "interrupted")
    }

    pub(super) fn source(operation: &str, error: &std::io::Error) -> Self {
        let reason = format!("the local bytes cannot be read: {error}");
        Self::new(ErrorKind::Source, operation, reason)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.reason)
    }
}

impl std::error::Error for Error {}
