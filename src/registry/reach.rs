//! How a registry is reached, by http or https.
//!
//! Decided by the first request, once, while the others wait. Loopback hosts speak http until they
//! show that they do not; `--insecure` falls back to http; nobody else is guessed about.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::net::{Failure, FailureKind, Response};
use crate::registry::contact::Contact;
use crate::registry::url::Scheme;

#[derive(Debug)]
pub(super) struct Reach {
    first: Scheme,
    second: Option<Scheme>,
    decided: AtomicU8,
    deciding: Mutex<()>,
    pub(super) contact: Contact,
}

const UNDECIDED: u8 = 0;
const HTTP: u8 = 1;
const HTTPS: u8 = 2;

impl Reach {
    pub(super) fn new(plain_http: bool, insecure: bool, loopback: bool) -> Self {
        let (first, second) = match (plain_http, loopback, insecure) {
            (true, _, _) => (Scheme::Http, None),
            (_, true, _) => (Scheme::Http, Some(Scheme::Https)),
            (_, _, true) => (Scheme::Https, Some(Scheme::Http)),
            _ => (Scheme::Https, None),
        };
        Self {
            first,
            second,
            decided: AtomicU8::new(if second.is_some() {
                UNDECIDED
            } else {
                mark(first)
            }),
            deciding: Mutex::new(()),
            contact: Contact::default(),
        }
    }

    /// The scheme, as far as is known.
    pub(super) fn scheme(&self) -> Scheme {
        self.decision().unwrap_or(self.first)
    }

    pub(super) fn decision(&self) -> Option<Scheme> {
        match self.decided.load(Ordering::Acquire) {
            HTTP => Some(Scheme::Http),
            HTTPS => Some(Scheme::Https),
            _ => None,
        }
    }

    /// Sends by the scheme of the host; `send` is called twice while that is not known and the first
    /// one is not understood.
    pub(super) fn send(
        &self,
        mut send: impl FnMut(Scheme) -> Result<Response, Failure>,
    ) -> Result<Response, Failure> {
        let (Some(second), None) = (self.second, self.decision()) else {
            return send(self.scheme());
        };
        let guard = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        if self.decision().is_some() {
            drop(guard);
            return send(self.scheme());
        }
        let outcome = send(self.first);
        if !suggests_other(self.first, &outcome) {
            self.decide(self.first, outcome.is_ok());
            return outcome;
        }
        let other = send(second);
        if wants_https(&outcome) || is_understood(second, &outcome, &other) {
            self.decide(second, true);
            return other;
        }
        let is_away = failed_by(&other, FailureKind::Connect);
        self.decide(self.first, outcome.is_ok() && !is_away);
        outcome
    }

    fn decide(&self, scheme: Scheme, sure: bool) {
        if sure {
            self.decided.store(mark(scheme), Ordering::Release);
        }
    }
}

fn mark(scheme: Scheme) -> u8 {
    match scheme {
        Scheme::Http => HTTP,
        Scheme::Https => HTTPS,
    }
}

/// Whether an outcome looks like the other side speaks the other scheme.
fn suggests_other(tried: Scheme, outcome: &Result<Response, Failure>) -> bool {
    match (tried, outcome) {
        // "Client sent an HTTP request to an HTTPS server": Go; nginx has its own words, also with 400.
        (Scheme::Http, Ok(response)) => response.status == 400,
        (Scheme::Https, Ok(_)) => false,
        (Scheme::Http, Err(failure)) => matches!(
            failure.kind,
            FailureKind::Closed | FailureKind::Malformed | FailureKind::Connect
        ),
        (Scheme::Https, Err(failure)) => matches!(
            failure.kind,
            FailureKind::Closed
                | FailureKind::Malformed
                | FailureKind::Connect
                | FailureKind::Tls
                | FailureKind::Proxy
        ),
    }
}

/// Whether the second try was the right one.
fn is_understood(
    second: Scheme,
    first: &Result<Response, Failure>,
    other: &Result<Response, Failure>,
) -> bool {
    match other {
        // Who wants https may have been cut off, and now sees http.
        Ok(response) if second == Scheme::Http && response.status == 400 => {
            failed_by(first, FailureKind::Tls)
        }
        Ok(_) => true,
        // TLS was agreed on, or would have been.
        Err(failure) => {
            second == Scheme::Https
                && matches!(
                    failure.kind,
                    FailureKind::Trust
                        | FailureKind::Closed
                        | FailureKind::Stalled
                        | FailureKind::Malformed
                )
        }
    }
}

fn failed_by(outcome: &Result<Response, Failure>, kind: FailureKind) -> bool {
    matches!(outcome, Err(failure) if failure.kind == kind)
}

/// What Go and nginx say in plain http on a port for TLS. An answer to a HEAD says nothing.
fn wants_https(outcome: &Result<Response, Failure>) -> bool {
    const SAID: [&[u8]; 2] = [
        b"Client sent an HTTP request to an HTTPS server",
        b"The plain HTTP request was sent to HTTPS port",
    ];
    let says = |body: &[u8]| {
        let mut said = SAID.iter();
        said.any(|words| body.windows(words.len()).any(|part| part == *words))
    };
    matches!(outcome, Ok(response) if response.status == 400 && says(&response.body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> Result<Response, Failure> {
        Ok(Response {
            status,
            ..Response::default()
        })
    }

    fn failure(kind: FailureKind) -> Result<Response, Failure> {
        Err(Failure {
            kind,
            message: String::new(),
            hint: None,
            reused: false,
            answered: false,
            body_sent: 0,
            payload_error: None,
        })
    }

    /// What http and https answer, what was tried, and what is known afterwards.
    fn run(
        reach: &Reach,
        http: impl Fn() -> Result<Response, Failure>,
        https: impl Fn() -> Result<Response, Failure>,
    ) -> (String, Option<Scheme>) {
        let mut tried = String::new();
        let _ = reach.send(|scheme| match scheme {
            Scheme::Http => {
                tried.push_str("http ");
                http()
            }
            Scheme::Https => {
                tried.push_str("https ");
                https()
            }
        });
        (tried, reach.decision())
    }

    #[test]
    fn chooses_the_scheme() {
        use FailureKind::{Closed, Connect, Malformed, Stalled, Tls, Trust};
        let (http, https) = (Some(Scheme::Http), Some(Scheme::Https));
        let loopback = || Reach::new(false, false, true);
        let insecure = || Reach::new(false, true, false);
        let ok = || answer(200);
        let bad = || answer(400);
        let no = |kind| move || failure(kind);
        let says_so = || {
            Ok(Response {
                status: 400,
                body: b"<h1>The plain HTTP request was sent to HTTPS port</h1>".to_vec(),
                ..Response::default()
            })
        };
        let check = |reach: Reach, a: &dyn Fn() -> _, b: &dyn Fn() -> _, tried: &str, known| {
            assert_eq!(run(&reach, a, b), (tried.to_owned(), known));
        };
        check(
            Reach::new(false, false, false),
            &ok,
            &no(Tls),
            "https ",
            https,
        );
        check(
            Reach::new(true, true, true),
            &no(Closed),
            &ok,
            "http ",
            http,
        );
        check(loopback(), &ok, &ok, "http ", http);
        check(loopback(), &no(Stalled), &ok, "http ", None);
        check(loopback(), &bad, &ok, "http https ", https);
        check(loopback(), &bad, &no(Tls), "http https ", http);
        check(loopback(), &bad, &no(Connect), "http https ", None);
        check(loopback(), &says_so, &no(Connect), "http https ", https);
        check(loopback(), &no(Malformed), &ok, "http https ", https);
        check(loopback(), &no(Closed), &no(Trust), "http https ", https);
        check(
            loopback(),
            &no(Malformed),
            &no(Closed),
            "http https ",
            https,
        );
        check(loopback(), &no(Connect), &no(Connect), "http https ", None);
        check(insecure(), &ok, &ok, "https ", https);
        check(insecure(), &ok, &no(Tls), "https http ", http);
        check(insecure(), &bad, &no(Tls), "https http ", http);
        check(insecure(), &bad, &no(Connect), "https http ", None);
        check(insecure(), &no(Closed), &no(Tls), "https http ", None);
        check(insecure(), &ok, &no(Trust), "https ", None);
    }

    #[test]
    fn asks_once() {
        let reach = Reach::new(false, false, true);
        let ok = || answer(401);
        assert_eq!(run(&reach, ok, ok).0, "http ");
        let bad = || answer(400);
        assert_eq!(run(&reach, bad, ok).0, "http ");
    }
}
