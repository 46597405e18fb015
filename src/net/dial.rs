//! Opening connections: the name, every address of it, then TLS, all within one time limit.
//!
//! What cannot be interrupted (the system's resolver, `connect`) runs on threads of its own that
//! end by themselves; the caller waits for them in steps and stops when the switch is off.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use rustls_pki_types::ServerName;
use ureq::http::Uri;

use super::channel::Channel;
use super::failure::{FailureKind, Fault, reason};
use super::resolve;
use super::switch::Switch;
use super::tls::Tls;
use super::untrusted;
use super::wire::{Wire, is_pause};

/// How long an address may be silent before the next one is tried beside it
/// ([RFC 8305](https://www.rfc-editor.org/rfc/rfc8305#section-5) suggests 250 ms).
const HEAD_START: Duration = Duration::from_millis(250);

/// Enough for every name that is served sensibly.
const MAX_ADDRESSES: usize = 8;

/// How often somebody who waits looks at the switch.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    tls: bool,
    /// Lower case, IPv6 without brackets.
    host: String,
    port: u16,
}

impl Origin {
    pub(super) fn of(uri: &Uri) -> Result<Self, Fault> {
        let invalid = |what: &str| Fault::new(FailureKind::Invalid, what.to_owned());
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(invalid("URL is neither http nor https")),
        };
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| invalid("URL has no host"))?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let port = match (uri.port_u16(), uri.port()) {
            (Some(port), _) => port,
            (None, Some(_)) => return Err(invalid("URL has an invalid port")),
            (None, None) => [80, 443][usize::from(tls)],
        };
        Ok(Origin {
            tls,
            host: bare.unwrap_or(host).to_ascii_lowercase(),
            port,
        })
    }
}

/// Opens connections, for ureq and ahead of it.
pub(super) struct Dialer {
    pub(super) tls: Tls,
    pub(super) connect_timeout: Duration,
    pub(super) stall_timeout: Duration,
    pub(super) switch: Arc<Switch>,
}

impl Dialer {
    /// Whether the settings for this origin can be used.
    pub(super) fn check(&self, origin: &Origin) -> Result<(), String> {
        match origin.tls {
            true => self.tls.check(&origin.host, origin.port),
            false => Ok(()),
        }
    }

    pub(super) fn dial(&self, origin: &Origin) -> Result<Wire, Fault> {
        let deadline = Instant::now() + self.connect_timeout;
        let addresses = self.resolve(origin, deadline)?;
        let stream = self.connect(&addresses, deadline).map_err(|fault| Fault {
            hint: unconnected_hint(origin),
            ..fault
        })?;
        let stream = Arc::new(stream);
        self.switch.adopt(&stream)?;
        let peer = stream.peer_addr();
        let slice = self.stall_timeout.min(self.connect_timeout);
        let mut channel = Channel::new(stream, slice).map_err(|error| Fault::of_io(&error))?;
        if origin.tls {
            let peer = peer.map_or_else(|_| origin.host.clone(), |peer| peer.to_string());
            self.secure(&mut channel, origin, deadline)
                .map_err(|fault| match fault.kind {
                    FailureKind::Connect => {
                        Fault::new(fault.kind, format!("{peer}: {}", fault.message))
                    }
                    _ => fault,
                })?;
        }
        Ok(Wire::new(channel, Arc::clone(&self.switch)))
    }

    fn resolve(&self, origin: &Origin, deadline: Instant) -> Result<Vec<SocketAddr>, Fault> {
        if let Some(addresses) = resolve::known(&origin.host, origin.port) {
            return Ok(addresses);
        }
        let (sender, answers) = sync_channel(1);
        let (host, port) = (origin.host.clone(), origin.port);
        aside(sender, move || resolve::ask(&host, port))?;
        let unknown = |why: &str| {
            let message = format!("{} does not resolve: {why}", origin.host);
            Fault::new(FailureKind::Resolve, message).hint(
                "check the name and this machine's name service, or set HTTPS_PROXY if only a \
                 proxy leads out",
            )
        };
        match self.wait(&answers, deadline)? {
            Some(Ok(addresses)) if addresses.is_empty() => Err(unknown("it has no address")),
            Some(Ok(mut addresses)) => {
                addresses.truncate(MAX_ADDRESSES);
                Ok(addresses)
            }
            Some(Err(error)) => {
                let text = reason(&error);
                let prefix = "failed to lookup address information: ";
                Err(unknown(text.strip_prefix(prefix).unwrap_or(&text)))
            }
            None => Err(unknown("no answer from the name service in time")),
        }
    }

    /// Tries the addresses in their order, the next one as soon as one fails or is slow.
    fn connect(&self, addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, Fault> {
        let (sender, outcomes) = sync_channel(addresses.len());
        let mut failures: Vec<(SocketAddr, io::Error)> = Vec::new();
        let mut started = 0;
        loop {
            let running = started - failures.len();
            if let Some(&address) = addresses.get(started) {
                let left = deadline.saturating_duration_since(Instant::now());
                let left = left.max(Duration::from_millis(1));
                aside(sender.clone(), move || {
                    TcpStream::connect_timeout(&address, left).map_err(|error| (address, error))
                })?;
                started += 1;
            } else if running == 0 {
                return Err(unreachable(&failures));
            }
            let patience = match started < addresses.len() {
                true => deadline.min(Instant::now() + HEAD_START),
                false => deadline,
            };
            match self.wait(&outcomes, patience)? {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(failure)) => failures.push(failure),
                None if Instant::now() < deadline => {}
                None => {
                    let silent = addresses
                        .iter()
                        .filter(|a| failures.iter().all(|f| f.0 != **a));
                    let silent: Vec<_> = silent
                        .map(|&address| (address, io::ErrorKind::TimedOut.into()))
                        .collect();
                    failures.extend(silent);
                    return Err(unreachable(&failures));
                }
            }
        }
    }

    /// Negotiates TLS.
    fn secure(
        &self,
        channel: &mut Channel,
        origin: &Origin,
        deadline: Instant,
    ) -> Result<(), Fault> {
        let name = ServerName::try_from(origin.host.clone()).map_err(|_| {
            let message = format!("{} cannot be a name in a certificate", origin.host);
            Fault::new(FailureKind::Invalid, message)
        })?;
        let terms = self.tls.terms(&origin.host, origin.port);
        let terms = terms.map_err(|problem| Fault::new(FailureKind::Trust, problem))?;
        let session = ClientConnection::new(terms.config, name)
            .map_err(|error| untrusted::fault(&error, terms.identified))?;
        channel.start_tls(session, terms.identified);
        loop {
            match channel.handshake() {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) if is_pause(&error) => {
                    self.switch.check()?;
                    if Instant::now() >= deadline {
                        let message = "no answer to the TLS handshake in time";
                        return Err(Fault::new(FailureKind::Connect, message));
                    }
                }
                Err(error) => {
                    self.switch.check()?;
                    let fault = Fault::of_io(&error);
                    return Err(match fault.kind {
                        FailureKind::Trust | FailureKind::Tls => fault,
                        _ => Fault::new(
                            FailureKind::Connect,
                            "connection closed in the TLS handshake",
                        ),
                    });
                }
            }
        }
    }

    /// The next thing from `outcomes`, or `None` when the time is over.
    fn wait<T>(&self, outcomes: &Receiver<T>, until: Instant) -> Result<Option<T>, Fault> {
        loop {
            self.switch.check()?;
            let left = until.saturating_duration_since(Instant::now());
            match outcomes.recv_timeout(left.min(LOOK)) {
                Ok(outcome) => return Ok(Some(outcome)),
                // The threads only go without a word when they panicked.
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

/// Runs `task` on a thread that nobody waits for; what it gives is dropped when nobody wants it.
fn aside<T: Send + 'static>(
    outcome: SyncSender<T>,
    task: impl FnOnce() -> T + Send + 'static,
) -> Result<(), Fault> {
    let spawned = thread::Builder::new()
        .name("dial".to_owned())
        .spawn(move || {
            let _ = outcome.send(task());
        });
    spawned.map(drop).map_err(|error| no_thread(&error))
}

pub(super) fn no_thread(error: &io::Error) -> Fault {
    let message = format!("no thread to connect with: {}", reason(error));
    Fault::new(FailureKind::Connect, message)
}

/// What may help where nobody takes a connection.
fn unconnected_hint(origin: &Origin) -> Option<String> {
    let Origin { tls, host, port } = origin;
    if resolve::is_loopback(host) {
        let hint =
            "start the registry here, or name its host: in a container, localhost is the container";
        return Some(hint.to_owned());
    }
    let default = [80, 443][usize::from(*tls)];
    (*port == default).then(|| {
        format!("{host}:PORT, if the registry listens elsewhere than on {default}; or set HTTPS_PROXY, if only a proxy leads out")
    })
}

/// One sentence for all addresses, those that failed alike together.
fn unreachable(failures: &[(SocketAddr, io::Error)]) -> Fault {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (address, error) in failures {
        let why = match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no answer in time".to_owned(),
            _ => reason(error),
        };
        match groups.iter_mut().find(|group| group.0 == why) {
            Some(group) => group.1.push(address.to_string()),
            None => groups.push((why, vec![address.to_string()])),
        }
    }
    let parts: Vec<String> = groups
        .iter()
        .map(|(why, addresses)| format!("{}: {why}", addresses.join(", ")))
        .collect();
    Fault::new(FailureKind::Connect, parts.join("; "))
}
