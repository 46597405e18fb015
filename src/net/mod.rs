//! HTTP as hoist wants it: one agent with its own connector, roots, resolver and time limits.
//!
//! Redirects are not followed here, statuses are no errors, and an answer that comes while a body
//! is still being sent is seen. Knows nothing of registries.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

/// How to reach hosts. The default reaches public ones.
#[derive(Clone, Debug)]
pub struct Settings {
    /// PEM files whose certificates are trusted besides the built-in list.
    pub ca_certs: Vec<PathBuf>,
    /// Do not verify certificates.
    pub insecure: bool,
    /// Longest time without a byte in either direction while a body is being sent or received.
    pub stall_timeout: Duration,
    pub connect_timeout: Duration,
    /// Idle connections kept per host.
    pub connections: usize,
    pub user_agent: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

/// One request; sent once, never repeated or redirected here.
pub struct Request<'a> {
    pub method: Method,
    /// Absolute, `http` or `https`.
    pub url: &'a str,
    pub headers: &'a [(&'static str, String)],
    pub payload: Payload<'a>,
    /// Longest wait for the answer once the body has been handed over.
    pub answer_timeout: Duration,
}

pub enum Payload<'a> {
    /// No body; POST, PUT and PATCH send `Content-Length: 0`.
    Empty,
    /// Exactly so many bytes.
    Sized(&'a mut (dyn Read + Send), u64),
    /// Chunked transfer coding.
    Chunked(&'a mut (dyn Read + Send)),
}

/// A status, headers, and a body that is bounded when it is read.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Bytes of the payload that had been taken from its reader when the answer came.
    pub body_sent: u64,
}

impl Response {
    /// The first header of that name, whatever its case; without surrounding blanks.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }
}

/// What kept a request from being answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The name does not resolve.
    Resolve,
    /// No connection: refused, unreachable, timed out.
    Connect,
    /// The TLS handshake failed, whatever the reason but trust.
    Tls,
    /// The certificate is not trusted: unknown issuer, expired, wrong name.
    Trust,
    /// The connection ended or was reset before the answer was complete.
    Closed,
    /// No byte for longer than allowed.
    Stalled,
    /// The answer is no HTTP, or breaks a limit (header size, body size).
    Malformed,
    /// The payload's reader failed; nothing is wrong with the connection.
    Payload,
    /// [`Http::shutdown`] was called.
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
    /// The connection had carried a request before.
    pub reused: bool,
    /// Bytes of the payload that had been taken from its reader.
    pub body_sent: u64,
    /// The payload's own error, for [`FailureKind::Payload`].
    pub payload_error: Option<std::io::Error>,
}

/// Sends requests; shared by all threads.
pub struct Http {}

impl Http {
    /// # Errors
    /// A CA file that cannot be read or holds no certificate: a sentence naming it.
    pub fn new(_settings: &Settings) -> Result<Self, String> {
        unimplemented!()
    }

    /// `limit`: the largest answer body to read, in bytes; a longer one is [`FailureKind::Malformed`].
    pub fn send(&self, _request: Request<'_>, _limit: u64) -> Result<Response, Failure> {
        unimplemented!()
    }

    /// Aborts what is in flight, within moments; later requests fail with [`FailureKind::Shutdown`].
    pub fn shutdown(&self) {
        unimplemented!()
    }
}

/// Whether `host` (no port, IPv6 with or without brackets) can only mean this machine:
/// `localhost`, names below it, 127.0.0.0/8, ::1.
pub fn is_loopback(_host: &str) -> bool {
    unimplemented!()
}
