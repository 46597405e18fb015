//! What goes in and what comes out: settings, a request, its payload, the response.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::proxy::Proxies;
use super::redact;
use super::roots::Roots;
use super::secret::Secret;
use super::tls::ClientCertificate;

/// How to reach hosts. The default reaches public ones.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The authorities that are trusted.
    pub roots: Roots,
    /// PEM files whose certificates are trusted besides those.
    pub ca_certs: Vec<PathBuf>,
    /// Folders laid out as docker's `certs.d`: of the first that has a folder named after a host
    /// (`registry.example:5000`; without its port where that is 443), `*.crt` are trusted for this host
    /// too, and `X.cert` with `X.key` is shown to it.
    pub certs_d: Vec<PathBuf>,
    /// A host and another name for it there: what people type for a registry that is reached by another
    /// name.
    pub also_named: Option<(String, String)>,
    /// Wins over those of [`Self::certs_d`].
    pub client: Option<ClientCertificate>,
    /// Do not verify certificates.
    pub insecure: bool,
    pub proxies: Proxies,
    /// Longest time without a byte in either direction while a body is being sent or received.
    pub stall_timeout: Duration,
    /// For the name, the connection and the TLS handshake together, whatever number of addresses
    /// the name has. Through a proxy, for each part of the way.
    pub connect_timeout: Duration,
    /// Idle connections kept per host.
    pub connections: usize,
    pub user_agent: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            roots: Roots::default(),
            ca_certs: Vec::new(),
            certs_d: Vec::new(),
            also_named: None,
            client: None,
            insecure: false,
            proxies: Proxies::default(),
            stall_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            connections: 16,
            user_agent: concat!("hoist/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
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
    /// Longest wait for the answer's header once the body has been handed over.
    pub answer_timeout: Duration,
    /// Who says when pieces of the payload may go out; without, as fast as they are taken.
    pub pace: Option<&'a dyn Pace>,
}

/// Holds payloads back. What is held back does not stand still: no limit for stalls runs meanwhile.
pub trait Pace {
    /// The most bytes that go out in one piece, at least one.
    fn piece(&self) -> usize;

    /// Waits until a piece of so many bytes may go out, and says whether that took time; `None` when it
    /// is time to stop.
    fn pass(&self, bytes: usize) -> Option<bool>;
}

impl<'a> Request<'a> {
    /// The same once more, where there is no payload.
    pub(super) fn again(&self) -> Option<Self> {
        matches!(self.payload, Payload::Empty).then_some(Self {
            payload: Payload::Empty,
            ..*self
        })
    }
}

pub enum Payload<'a> {
    /// No body; POST, PUT and PATCH send `Content-Length: 0`.
    Empty,
    /// Exactly so many bytes.
    Sized(&'a mut (dyn Read + Send), u64),
    /// Exactly so many bytes of a file.
    File(FilePart<'a>),
    /// Chunked transfer coding.
    Chunked(&'a mut (dyn Read + Send)),
}

/// Bytes that lie in a file, which the system can send without our having them in hand.
pub struct FilePart<'a> {
    pub file: Arc<File>,
    /// Where they begin.
    pub position: u64,
    /// How many there are; a file that ends before is a failure of the payload.
    pub size: u64,
    /// Told of each piece how long it is, when its turn comes.
    pub taken: &'a mut (dyn FnMut(u64) + Send),
}

/// A status, headers, and a body that is bounded when it is read.
///
/// When the server answered in the middle of the payload the body is as much of it as arrived:
/// such a connection is often reset, and the status is what counts.
#[derive(Debug, Default)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Bytes of the payload that had been taken from its reader when the answer came.
    pub body_sent: u64,
    /// The proxy that the request was handed to in the clear: it may have given this answer itself.
    pub proxy: Option<String>,
    /// The credentials in the request: those in its `Authorization`, and what the caller adds.
    pub carried: Vec<Secret>,
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

    /// `text`, which is a part of the answer, without the credentials that it may repeat.
    pub fn hide(&self, text: &str) -> String {
        redact::hide(text, &self.carried)
    }
}
