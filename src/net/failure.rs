//! Why a request got no answer: a kind for code and a sentence for people.

use std::fmt;
use std::io;

/// What kept a request from being answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The name does not resolve.
    Resolve,
    /// No connection: refused, unreachable, timed out, or lost before TLS was agreed.
    Connect,
    /// The TLS handshake failed, whatever the reason but trust; or the peer does not speak TLS.
    Tls,
    /// One side does not accept the other's certificate: unknown issuer, expired, wrong name; or the
    /// server wants one of the client.
    Trust,
    /// A proxy refuses to pass us on, or is none; or the setting that names it cannot be used.
    Proxy,
    /// A proxy wants to know who we are, or refuses that user.
    ProxyLogin,
    /// The connection ended or was reset before the answer was complete.
    Closed,
    /// No byte for longer than allowed.
    Stalled,
    /// The answer is no HTTP, or breaks a limit (header size, body size).
    Malformed,
    /// The payload's reader failed; nothing is wrong with the connection.
    Payload,
    /// [`Http::shutdown`](super::Http::shutdown) was called.
    Shutdown,
    /// The caller's request cannot be sent as it is.
    Invalid,
}

/// A request that got no answer.
#[derive(Debug)]
pub struct Failure {
    pub kind: FailureKind,
    /// A lower-case fragment, without the URL.
    pub message: String,
    /// What to try, where that is known.
    pub hint: Option<String>,
    /// The connection was not opened for this request: it had carried another before, or had been
    /// opened in advance. It may have been stale.
    pub reused: bool,
    /// The header of an answer had come.
    pub answered: bool,
    /// Bytes of the payload that had been taken from its reader.
    pub body_sent: u64,
    /// The payload's own error, for [`FailureKind::Payload`].
    pub payload_error: Option<io::Error>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// A failure as the lower parts know it; travels through ureq as [`ureq::Error::Other`].
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) kind: FailureKind,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Fault {
    pub(super) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        let message = message.into();
        let hint = None;
        Fault {
            kind,
            message,
            hint,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn shutdown() -> Self {
        Fault::new(FailureKind::Shutdown, "interrupted")
    }

    /// Of a request of which nothing counts as sent.
    pub(super) fn unsent(self) -> Failure {
        Failure {
            kind: self.kind,
            message: self.message,
            hint: self.hint,
            reused: false,
            answered: false,
            body_sent: 0,
            payload_error: None,
        }
    }

    /// Sorts an error of a socket that was connected.
    pub(super) fn of_io(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        if let Some(fault) = inner {
            return Fault::clone(fault);
        }
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                Fault::new(FailureKind::Closed, "connection reset by the server")
            }
            io::ErrorKind::UnexpectedEof => Fault::new(
                FailureKind::Closed,
                "connection closed before the answer was complete",
            ),
            io::ErrorKind::TimedOut => Fault::new(
                FailureKind::Stalled,
                "connection lost: no sign of the server",
            ),
            _ => Fault::new(
                FailureKind::Closed,
                format!("connection lost: {}", reason(error)),
            ),
        }
    }

    /// Sorts what ureq says. `began`: bytes of this request had been handed to a connection.
    pub(super) fn of_ureq(error: ureq::Error, began: bool) -> Self {
        match error {
            ureq::Error::Other(other) => match other.downcast::<Fault>() {
                Ok(fault) => *fault,
                Err(other) => Fault::new(FailureKind::Invalid, other.to_string()),
            },
            ureq::Error::Io(error) => Fault::of_io(&error),
            ureq::Error::Protocol(error) if began => {
                let message = format!("the answer is not valid HTTP: {error}");
                Fault::new(FailureKind::Malformed, message)
            }
            ureq::Error::LargeResponseHeader(_, limit) => Fault::large_header(limit),
            ureq::Error::BodyStalled => Fault::new(
                FailureKind::Malformed,
                "the answer's body cannot be decoded",
            ),
            ureq::Error::Timeout(_) => Fault::new(FailureKind::Stalled, "no answer in time"),
            other => Fault::new(
                FailureKind::Invalid,
                format!("request cannot be sent: {other}"),
            ),
        }
    }

    pub(super) fn large_header(limit: usize) -> Self {
        let message = format!("the answer's header is larger than {} KiB", limit / 1024);
        Fault::new(FailureKind::Malformed, message)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for ureq::Error {
    fn from(fault: Fault) -> Self {
        ureq::Error::Other(Box::new(fault))
    }
}

/// The text of an operating system error without its number, as a lower-case fragment.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    lower_case(text.split(" (os error").next().unwrap_or(&text))
}

/// The first letter of a sentence as that of a fragment, unless it begins an abbreviation.
pub(super) fn lower_case(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if !letters.as_str().starts_with(char::is_uppercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}
