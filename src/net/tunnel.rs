//! Connections through a proxy: a tunnel for TLS, and for plain http whichever of a tunnel and requests
//! with an absolute URL the proxy takes ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6),
//! [RFC 9112](https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2)).

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use zeroize::Zeroizing;

use super::buffers::INPUT;
use super::channel::Channel;
use super::dial::{Dialer, Origin};
use super::failure::{Failure, FailureKind, Fault};
use super::proxy::{Proxy, bracketed};
use super::request::{Method, Response};
use super::secret::Secret;
use super::wire::{Wire, is_pause};

/// A proxy has to reach the host itself before it answers.
const PATIENCE: u32 = 3;

/// How plain http goes through a proxy to one host, as far as that is known.
#[derive(Debug, Default)]
pub(super) struct Form(AtomicU8);

const UNSURE: u8 = 0;
const ABSOLUTE: u8 = 1;
const TUNNEL: u8 = 2;

impl Form {
    pub(super) fn is_unsure(&self) -> bool {
        self.0.load(Ordering::Acquire) == UNSURE
    }

    pub(super) fn is_tunnel(&self) -> bool {
        self.0.load(Ordering::Acquire) == TUNNEL
    }

    pub(super) fn decide(&self, tunnel: bool) {
        let form = if tunnel { TUNNEL } else { ABSOLUTE };
        self.0.store(form, Ordering::Release);
    }
}

/// What makes a request one for a proxy.
#[derive(Debug)]
pub(super) struct Relay {
    /// What goes in front of the path.
    prefix: String,
    authorization: Option<Secret>,
    form: Arc<Form>,
}

impl Relay {
    /// This way is not gone any more.
    pub(super) fn is_over(&self) -> bool {
        self.form.is_tunnel()
    }

    /// `head` begins with a request line.
    pub(super) fn rewrite(&self, head: &[u8]) -> Zeroizing<Vec<u8>> {
        let blank = head.iter().position(|byte| *byte == b' ');
        let path = blank.map_or(0, |blank| blank + 1);
        let line = head.windows(2).position(|two| two == b"\r\n");
        let (line, rest) = head.split_at(line.map_or(head.len(), |end| end + 2));
        let (method, target) = line.split_at(path.min(line.len()));
        let mut whole = Zeroizing::new(Vec::with_capacity(head.len() + 1024));
        // Some proxies close after each answer and do not say so: tinyproxy does.
        for part in [
            method,
            self.prefix.as_bytes(),
            target,
            b"Connection: close\r\n",
        ] {
            whole.extend_from_slice(part);
        }
        if let Some(secret) = &self.authorization {
            whole.extend_from_slice(b"Proxy-Authorization: ");
            whole.extend_from_slice(secret.expose().as_bytes());
            whole.extend_from_slice(b"\r\n");
        }
        whole.extend_from_slice(rest);
        whole
    }
}

/// What an answer to a request with an absolute URL says about the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It passes requests on.
    Fine,
    /// It may want a tunnel.
    Doubtful,
    /// It wants to know who we are.
    Denied,
    /// It does not reach the host.
    Unreachable,
}

/// Of the first answer that comes that way; `identified`: the proxy was told a user. A CONNECT-only proxy says no in many words, and so does a
/// registry: only those are doubted that a registry has little reason for.
fn judge(method: Method, identified: bool, response: &Response) -> Verdict {
    let asks = matches!(method, Method::Get | Method::Head);
    match response.status {
        407 => Verdict::Denied,
        401 if identified => Verdict::Doubtful,
        400 | 403 | 405 | 421 | 501 => Verdict::Doubtful,
        404 if !asks => Verdict::Doubtful,
        500 | 502 | 503 | 504 if response.header("retry-after").is_none() => Verdict::Unreachable,
        _ => Verdict::Fine,
    }
}

/// How to go on after an answer.
pub(super) enum Way {
    Same,
    /// The same request once more, through a tunnel; the connection where one has just been opened.
    Tunnel(Option<Box<Wire>>),
}

impl Dialer {
    /// The origin of `url`, where requests to it are passed on by a proxy.
    pub(super) fn relayed(&self, url: &str) -> Option<Origin> {
        if self.proxies.http.is_none() && self.proxies.explicit.is_none() {
            return None;
        }
        let origin = Origin::of(&url.parse().ok()?).ok()?;
        let passed_on = !origin.tls && self.proxy(&origin).ok()?.is_some();
        (passed_on && !self.form(&origin).is_tunnel()).then_some(origin)
    }

    pub(super) fn proxy_shown(&self, origin: &Origin) -> Option<String> {
        Some(self.proxy(origin).ok()??.to_string())
    }

    /// What an answer that came by way of a proxy says about that.
    ///
    /// # Errors
    /// It was no answer of the host.
    pub(super) fn way(
        &self,
        origin: &Origin,
        method: Method,
        outcome: &Result<Response, Failure>,
    ) -> Result<Way, Fault> {
        let (Some(proxy), form) = (self.proxy(origin)?, self.form(origin)) else {
            return Ok(Way::Same);
        };
        let verdict = match outcome {
            Ok(response) => judge(method, proxy.user().is_some(), response),
            Err(failure)
                if failure.kind == FailureKind::Closed && !failure.reused && !failure.answered =>
            {
                Verdict::Doubtful
            }
            Err(_) => return Ok(Way::Same),
        };
        match (verdict, outcome) {
            (Verdict::Denied, _) => Err(denied(proxy, 407)),
            (Verdict::Doubtful, _) if form.is_tunnel() => Ok(Way::Tunnel(None)),
            _ if !form.is_unsure() => Ok(Way::Same),
            (Verdict::Unreachable, Ok(response)) => {
                Err(unreached(proxy, origin, &response.status.to_string()))
            }
            (Verdict::Doubtful, _) => match self.tunnel(proxy, origin) {
                Ok(wire) => {
                    form.decide(true);
                    Ok(Way::Tunnel(Some(Box::new(wire))))
                }
                Err(fault)
                    if matches!(fault.kind, FailureKind::Shutdown | FailureKind::ProxyLogin) =>
                {
                    Err(fault)
                }
                Err(_) => {
                    form.decide(false);
                    Ok(Way::Same)
                }
            },
            _ => {
                form.decide(false);
                Ok(Way::Same)
            }
        }
    }

    /// To the proxy, and through it where it is to be a tunnel.
    pub(super) fn through(&self, proxy: &Proxy, origin: &Origin) -> Result<Wire, Fault> {
        let form = match origin.tls {
            true => None,
            false => Some(self.form(origin)).filter(|form| !form.is_tunnel()),
        };
        let Some(form) = form else {
            return self.tunnel(proxy, origin);
        };
        let channel = self.enter(proxy)?;
        let relay = Relay {
            prefix: format!("http://{}", origin.authority()),
            authorization: proxy.authorization().cloned(),
            form,
        };
        Ok(Wire::new(channel, Arc::clone(&self.switch), Some(relay)))
    }

    pub(super) fn tunnel(&self, proxy: &Proxy, origin: &Origin) -> Result<Wire, Fault> {
        let mut channel = self.enter(proxy)?;
        self.ask_for_tunnel(&mut channel, proxy, origin)?;
        if origin.tls {
            let deadline = Instant::now() + self.connect_timeout;
            self.secure(&mut channel, &origin.host, origin.port, deadline)?;
        }
        Ok(Wire::new(channel, Arc::clone(&self.switch), None))
    }

    fn enter(&self, proxy: &Proxy) -> Result<Channel, Fault> {
        let open = || {
            let (mut channel, deadline) = self.reach(proxy.host(), proxy.port())?;
            if proxy.is_tls() {
                self.secure(&mut channel, proxy.host(), proxy.port(), deadline)?;
            }
            Ok(channel)
        };
        open().map_err(|fault: Fault| match fault.kind {
            FailureKind::Shutdown => fault,
            FailureKind::Trust => blamed(proxy, fault),
            _ => blamed(proxy, fault).hint(check(proxy)),
        })
    }

    fn ask_for_tunnel(
        &self,
        channel: &mut Channel,
        proxy: &Proxy,
        origin: &Origin,
    ) -> Result<(), Fault> {
        let deadline = Instant::now() + self.connect_timeout * PATIENCE;
        let place = origin.authority();
        let agent = &self.user_agent;
        let mut request = Zeroizing::new(format!(
            "CONNECT {place} HTTP/1.1\r\nHost: {place}\r\nUser-Agent: {agent}\r\n"
        ));
        if let Some(secret) = proxy.authorization() {
            for part in ["Proxy-Authorization: ", secret.expose(), "\r\n"] {
                request.push_str(part);
            }
        }
        request.push_str("\r\n");
        let told = self.tell(channel, request.as_bytes(), deadline);
        let answer = told.and_then(|()| self.hear(channel, deadline));
        let answer = answer.map_err(|fault| match fault.kind {
            FailureKind::Shutdown => fault,
            _ => blamed(proxy, fault).hint(check(proxy)),
        })?;
        match answer.status {
            200..=299 if answer.more => Err(refused(proxy, "speaks where the host should")),
            200..=299 => Ok(()),
            401 | 407 => Err(denied(proxy, answer.status)),
            500 | 502..=504 => Err(unreached(proxy, origin, &answer.shown())),
            _ => {
                let why = format!("refuses a tunnel to {place}: {}", answer.shown());
                Err(refused(proxy, &why).hint(format!(
                    "{}, if it can be reached without the proxy; else ask who runs it",
                    proxy.bypass(Some(&bracketed(&origin.host)))
                )))
            }
        }
    }

    fn tell(&self, channel: &mut Channel, mut data: &[u8], until: Instant) -> Result<(), Fault> {
        loop {
            match channel.push(&mut data) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) if is_pause(&error) => self.still(until)?,
                Err(error) => return Err(closed(Fault::of_io(&error))),
            }
        }
    }

    fn hear(&self, channel: &mut Channel, until: Instant) -> Result<Heard, Fault> {
        let mut bytes = Vec::new();
        let mut part = [0; 1024];
        loop {
            match channel.pull(&mut part) {
                Ok(0) => {
                    let message = "connection closed instead of a tunnel";
                    return Err(Fault::new(FailureKind::Connect, message));
                }
                Ok(read) => bytes.extend_from_slice(&part[..read]),
                Err(error) if is_pause(&error) => {
                    self.still(until)?;
                    continue;
                }
                Err(error) => return Err(closed(Fault::of_io(&error))),
            }
            if let Some(heard) = Heard::parse(&bytes)? {
                return Ok(heard);
            }
        }
    }

    /// There is time left, and it is not time to stop.
    fn still(&self, until: Instant) -> Result<(), Fault> {
        self.switch.check()?;
        if Instant::now() < until {
            return Ok(());
        }
        let message = "no answer to the request for a tunnel in time";
        Err(Fault::new(FailureKind::Connect, message))
    }
}

/// An answer to CONNECT.
pub(super) struct Heard {
    status: u16,
    phrase: String,
    /// Something came after the header.
    more: bool,
}

impl Heard {
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        let strange = |why: &str| Fault::new(FailureKind::Proxy, why.to_owned());
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut answer = httparse::Response::new(&mut headers);
        match answer.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => Ok(Some(Self {
                status: answer.code.unwrap_or_default(),
                phrase: answer.reason.unwrap_or_default().to_owned(),
                more: bytes.len() > length,
            })),
            Ok(httparse::Status::Partial) if bytes.len() < INPUT => Ok(None),
            Ok(httparse::Status::Partial) => Err(strange("its answer has too long a header")),
            Err(_) => Err(strange("its answer is not HTTP: it is no http proxy")),
        }
    }

    pub(super) fn shown(&self) -> String {
        // A phrase may hold tabs, and thousands of characters.
        let start: String = self.phrase.chars().take(100).collect();
        let words = start.split_whitespace();
        let words = words.fold(String::new(), |line, word| line + " " + word);
        format!("{}{words}", self.status)
    }
}

fn closed(fault: Fault) -> Fault {
    match fault.kind {
        FailureKind::Closed | FailureKind::Stalled => Fault {
            kind: FailureKind::Connect,
            ..fault
        },
        _ => fault,
    }
}

fn blamed(proxy: &Proxy, fault: Fault) -> Fault {
    Fault {
        message: format!("proxy {proxy}: {}", fault.message),
        ..fault
    }
}

fn refused(proxy: &Proxy, why: &str) -> Fault {
    let message = format!("proxy {proxy} {why}");
    Fault::new(FailureKind::Proxy, message).hint(check(proxy))
}

/// `status` is 407 mostly; tinyproxy says 401 to a wrong password.
fn denied(proxy: &Proxy, status: u16) -> Fault {
    let setting = proxy.origin();
    let why = match proxy.user() {
        Some(user) => format!("refuses the user {user} ({status})"),
        None => format!("wants a user and a password ({status})"),
    };
    let message = format!("proxy {proxy} {why}");
    Fault::new(FailureKind::ProxyLogin, message).hint(format!(
        "a user with its password, divided by a colon and percent-encoded, in front of the host in {setting}"
    ))
}

fn unreached(proxy: &Proxy, origin: &Origin, answer: &str) -> Fault {
    let place = origin.authority();
    let message = format!("proxy {proxy} answers {answer}: it does not reach {place}");
    let bypass = proxy.bypass(Some(&bracketed(&origin.host)));
    Fault::new(FailureKind::Connect, message)
        .hint(format!("{bypass}, if it can be reached without the proxy"))
}

fn check(proxy: &Proxy) -> String {
    let (setting, bypass) = (proxy.origin(), proxy.bypass(None));
    format!("check {setting}, or set {bypass} if it can be reached without a proxy")
}
