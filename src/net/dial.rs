//! Opening connections: the name, every address of it, then TLS, all within one time limit; twice that
//! where an address that used to answer is silent.
//!
//! The system's resolver cannot be interrupted: it runs on a thread of its own that ends by itself; the
//! caller waits for it in steps and stops when the switch is off.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use ureq::http::Uri;

use super::channel::Channel;
use super::connect::connect;
use super::failure::{FailureKind, Fault, lower_case, reason};
use super::proxy::{Proxies, Proxy, bracketed};
use super::resolve;
use super::switch::Switch;
use super::tls::Tls;
use super::tunnel::Form;
use super::untrusted;
use super::wire::{Wire, is_pause};

/// Enough for every name that is served sensibly.
const MAX_ADDRESSES: usize = 8;

/// When the system begins to ask whether a silent host is still there, and how often it does.
const IDLE: Duration = Duration::from_secs(30);
const PROBES: Duration = Duration::from_secs(10);

/// How often somebody who waits looks at the switch.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) tls: bool,
    /// Lower case, IPv6 without brackets.
    pub(super) host: String,
    pub(super) port: u16,
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

    /// `host:port`, IPv6 in brackets.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", bracketed(&self.host), self.port)
    }
}

/// Opens connections, for ureq and ahead of it.
pub(super) struct Dialer {
    pub(super) tls: Tls,
    pub(super) proxies: Proxies,
    pub(super) user_agent: String,
    pub(super) connect_timeout: Duration,
    pub(super) stall_timeout: Duration,
    pub(super) switch: Arc<Switch>,
    pub(super) known: Known,
}

/// What was found out about hosts.
#[derive(Default)]
pub(super) struct Known {
    /// The one address of each host and port that is used for as long as it takes connections: replicas
    /// may know nothing of each other's uploads.
    addresses: Mutex<HashMap<(String, u16), SocketAddr>>,
    forms: Mutex<HashMap<Origin, Arc<Form>>>,
}

impl Dialer {
    /// Whether the settings for this origin can be used.
    pub(super) fn check(&self, origin: &Origin) -> Result<(), String> {
        self.proxies.choose(origin.tls, &origin.host, origin.port)?;
        match origin.tls {
            true => self.tls.check(&origin.host, origin.port),
            false => Ok(()),
        }
    }

    pub(super) fn dial(&self, origin: &Origin) -> Result<Wire, Fault> {
        if let Some(proxy) = self.proxy(origin)? {
            return self.through(proxy, origin);
        }
        let opened = self.reach(&origin.host, origin.port);
        let (mut channel, deadline) = opened.map_err(|fault| match fault.kind {
            FailureKind::Connect => Fault {
                hint: unconnected_hint(origin),
                ..fault
            },
            _ => fault,
        })?;
        if origin.tls {
            self.secure(&mut channel, &origin.host, origin.port, deadline)?;
        }
        Ok(Wire::new(channel, Arc::clone(&self.switch), None))
    }

    pub(super) fn proxy(&self, origin: &Origin) -> Result<Option<&Proxy>, Fault> {
        let chosen = self.proxies.choose(origin.tls, &origin.host, origin.port);
        chosen.map_err(|problem| Fault::new(FailureKind::Proxy, problem))
    }

    /// How plain http gets to `origin` through its proxy.
    pub(super) fn form(&self, origin: &Origin) -> Arc<Form> {
        let mut forms = self
            .known
            .forms
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(forms.entry(origin.clone()).or_default())
    }

    /// A socket to the host, and until when it must be of use. Not TLS yet.
    pub(super) fn reach(&self, host: &str, port: u16) -> Result<(Channel, Instant), Fault> {
        let (stream, deadline) = self.open(host, port)?;
        // Without it, what the network forgets in the long wait for an answer is not noticed.
        let lively = TcpKeepalive::new().with_time(IDLE).with_interval(PROBES);
        if let Err(error) = SockRef::from(&stream).set_tcp_keepalive(&lively) {
            log::debug!("no keep-alive: {error}");
        }
        let stream = Arc::new(stream);
        self.switch.adopt(&stream)?;
        let slice = self.stall_timeout.min(self.connect_timeout);
        let channel = Channel::new(stream, slice).map_err(|error| Fault::of_io(&error))?;
        Ok((channel, deadline))
    }

    fn open(&self, host: &str, port: u16) -> Result<(TcpStream, Instant), Fault> {
        let place = (host.to_owned(), port);
        let until = || Instant::now() + self.connect_timeout;
        let addresses = || {
            self.known
                .addresses
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let proven = addresses().get(&place).copied();
        if let Some(address) = proven {
            let deadline = until();
            match connect(&[address], deadline, &self.switch) {
                Ok(stream) => return Ok((stream, deadline)),
                Err(fault) if fault.kind == FailureKind::Shutdown => return Err(fault),
                Err(_) => {
                    // Somebody else may have chosen another one meanwhile.
                    let mut addresses = addresses();
                    if addresses.get(&place) == Some(&address) {
                        addresses.remove(&place);
                    }
                }
            }
        }
        let deadline = until();
        let stream = connect(&self.resolve(host, port, deadline)?, deadline, &self.switch)?;
        let Ok(address) = stream.peer_addr() else {
            return Ok((stream, deadline));
        };
        // Somebody else may have chosen another one meanwhile.
        let chosen = *addresses().entry(place).or_insert(address);
        if chosen != address
            && let Ok(other) = connect(&[chosen], deadline, &self.switch)
        {
            return Ok((other, deadline));
        }
        Ok((stream, deadline))
    }

    fn resolve(&self, host: &str, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>, Fault> {
        if let Some(addresses) = resolve::known(host, port) {
            return Ok(addresses);
        }
        let (sender, answers) = sync_channel(1);
        let name = host.to_owned();
        aside(sender, move || resolve::ask(&name, port))?;
        let unknown = |why: &str| {
            let message = format!("{host} does not resolve: {why}");
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
                let text = text.strip_prefix(prefix).unwrap_or(&text);
                Err(unknown(&lower_case(text)))
            }
            None => Err(unknown("no answer from the name service in time")),
        }
    }

    /// Negotiates TLS.
    pub(super) fn secure(
        &self,
        channel: &mut Channel,
        host: &str,
        port: u16,
        deadline: Instant,
    ) -> Result<(), Fault> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            let message = format!("{host} cannot be a name in a certificate");
            Fault::new(FailureKind::Invalid, message)
        })?;
        let terms = self.tls.terms(host, port);
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
                        let message =
                            format!("{}no answer to the TLS handshake in time", at(channel));
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
                            format!("{}connection closed in the TLS handshake", at(channel)),
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

/// The address at the other end, in front of what happened there.
fn at(channel: &Channel) -> String {
    channel
        .peer()
        .map_or_else(String::new, |peer| format!("{peer}: "))
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
