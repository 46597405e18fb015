//! What an outcome that was not hoped for means: pass, wait, or fail, and the sentence for it.

use std::time::Instant;

use crate::net::{Failure, FailureKind};
use crate::registry::answer::{self, Refusal, clean};
use crate::registry::auth::{Denied, Identity};
use crate::registry::call::Answer;
use crate::registry::client::Client;
use crate::registry::endpoint::Target;
use crate::registry::error::{Error, ErrorKind};
use crate::registry::limit::retry_after;
use crate::registry::retry::{Class, Halt, LONGEST_PRESSURE, Trouble};

const MOST_TEXT: usize = 300;

impl Client {
    /// The verdict on an answer that ends the operation or makes it wait.
    pub(super) fn refuse(&self, operation: &str, answer: &Answer) -> Halt {
        let refusal = answer.refusal();
        let again = |class, error| {
            let began = answer.began;
            Halt::from(Trouble {
                error,
                class,
                began,
            })
        };
        let error = |kind| self.refusal(kind, operation, answer, &refusal);
        if let Some(hint) = client_certificate(answer, &refusal) {
            return error(ErrorKind::Unreachable).hint(hint).into();
        }
        match answer.status() {
            _ if refusal.has("TOOMANYREQUESTS") => self.pressed(answer, error(ErrorKind::Pressure)),
            429 | 503 => self.pressed(answer, error(ErrorKind::Pressure)),
            401 => self.unauthorised(operation, answer, &refusal).into(),
            403 if answer.target.is_own() => {
                let mut error = error(ErrorKind::Auth);
                let hint = match &answer.identity {
                    Some(identity) => {
                        error.reason = format!("{} (to {identity})", error.reason);
                        may_do(identity)
                    }
                    None => self.login_hint(),
                };
                error.hint(hint).into()
            }
            300..=399 => {
                let mut error = error(ErrorKind::Refused);
                let more = match (answer.redirects, answer.response.header("location")) {
                    (0, None) => " without a Location".to_owned(),
                    (0, Some(_)) => ", a redirect that cannot be followed".to_owned(),
                    (count, _) => format!(" after {count} redirects"),
                };
                error.reason.push_str(&more);
                error.into()
            }
            501 | 505 => error(ErrorKind::Refused).into(),
            408 | 499 | 500..=599 => again(Class::Passing, error(ErrorKind::Refused)),
            _ if refusal.has("NAME_UNKNOWN") => error(ErrorKind::Refused)
                .hint("create the repository or project at the registry first")
                .into(),
            _ => error(ErrorKind::Refused).into(),
        }
    }

    /// The same for an answer that may be another one the next time, whatever its status says.
    pub(super) fn passing(&self, operation: &str, answer: &Answer) -> Trouble {
        let refusal = answer.refusal();
        Trouble {
            error: self.refusal(ErrorKind::Refused, operation, answer, &refusal),
            class: Class::Passing,
            began: answer.began,
        }
    }

    /// A 413 that nothing smaller helps against.
    pub(super) fn too_large(&self, operation: &str, answer: &Answer, sent: u64) -> Error {
        let refusal = answer.refusal();
        let mut error = self.refusal(ErrorKind::Refused, operation, answer, &refusal);
        error.reason = format!(
            "{} answered {}{} to {} (a proxy limit such as client_max_body_size){}",
            self.who(&answer.target),
            answer::status(answer.status()),
            through(answer),
            answer::size(sent),
            refusal.suffix()
        );
        match sent / 2 {
            0..1024 => error,
            half => error.hint(format!("--chunk-size {}", chunk_size(half))),
        }
    }

    /// A request without an answer.
    pub(super) fn failed(
        &self,
        operation: &str,
        target: &Target,
        failure: &Failure,
        began: Instant,
    ) -> Halt {
        let host = self.endpoint.host_of(target);
        let message = clean(&failure.message, MOST_TEXT);
        let unreachable = || {
            // The address is said already where it is the name, too.
            let cause = message.strip_prefix(&format!("{host}: "));
            let cause = cause.unwrap_or(&message);
            let reason = format!("cannot connect to {host}: {cause}");
            let hint = failure.hint.as_deref().map(|hint| clean(hint, MOST_TEXT));
            Error {
                hint,
                ..Error::new(ErrorKind::Unreachable, operation, reason)
            }
        };
        match failure.kind {
            FailureKind::Shutdown => Error::interrupted(operation).into(),
            FailureKind::Payload => match &failure.payload_error {
                Some(cause) => Error::source(operation, cause).into(),
                None => Error::new(ErrorKind::Source, operation, message).into(),
            },
            FailureKind::Invalid => Error::new(ErrorKind::Refused, operation, message).into(),
            FailureKind::Trust | FailureKind::Proxy | FailureKind::ProxyLogin => {
                let refused = unreachable();
                if target.is_own() {
                    self.reach.contact.bury(&refused);
                }
                refused.into()
            }
            FailureKind::Resolve | FailureKind::Connect | FailureKind::Tls => {
                self.unconnected(unreachable(), target, began)
            }
            FailureKind::Closed | FailureKind::Stalled | FailureKind::Malformed => {
                let kind = match failure.kind {
                    FailureKind::Malformed => ErrorKind::Refused,
                    _ => ErrorKind::Unreachable,
                };
                let class = Class::Cut {
                    sent: failure.body_sent,
                    silent: failure.kind == FailureKind::Stalled,
                };
                let reason = format!("no answer from {host}: {message}");
                let error = Error::new(kind, operation, reason);
                Trouble {
                    error,
                    class,
                    began,
                }
                .into()
            }
        }
    }

    fn unconnected(&self, mut error: Error, target: &Target, began: Instant) -> Halt {
        let retries = self.settings.retries;
        if target.is_own() && self.reach.contact.failed(self.clock.now(), retries) {
            if retries > 0 {
                error.reason.push_str(", for 30 s");
            }
            self.reach.contact.bury(&error);
            return error.into();
        }
        let class = Class::Unconnected;
        Trouble {
            error,
            class,
            began,
        }
        .into()
    }

    /// A 401 to a body: with another token the rest of it is sent.
    pub(super) fn renewed(&self, operation: &str, answer: &Answer) -> Halt {
        let refusal = answer.refusal();
        Trouble {
            error: self.refusal(ErrorKind::Auth, operation, answer, &refusal),
            class: Class::Renewed,
            began: answer.began,
        }
        .into()
    }

    fn unauthorised(&self, operation: &str, answer: &Answer, refusal: &Refusal) -> Error {
        let error = self.refusal(ErrorKind::Auth, operation, answer, refusal);
        let identity = answer.identity.as_deref();
        let who = match identity {
            Some(identity) => format!("for {identity}"),
            None => "without credentials".to_owned(),
        };
        let (what, hint) = match &answer.denied {
            _ if !answer.target.is_own() => {
                ("credentials are only sent to the registry".to_owned(), None)
            }
            Some(Denied::Refused) => (refused(identity), Some(self.login_hint())),
            Some(Denied::TooWeak(scopes)) if scopes.is_empty() => (
                format!("the token {who} does not allow it"),
                Some(identity.map_or_else(|| self.login_hint(), may_do)),
            ),
            Some(Denied::TooWeak(scopes)) => (
                format!(
                    "the token {who} does not allow {}",
                    clean(&scopes.to_string(), 200)
                ),
                Some(identity.map_or_else(|| self.login_hint(), may_do)),
            ),
            Some(Denied::TokensRefused) => (
                format!("each token {who} was refused"),
                Some(CLOCKS.to_owned()),
            ),
            Some(Denied::NoPassword) => (
                "it asks for a password, and there is a token only".to_owned(),
                Some(self.login_hint()),
            ),
            Some(Denied::Realm(why)) => (
                format!("the token service it names {}", clean(why, 200)),
                None,
            ),
            Some(Denied::NoChallenge) => ("without saying what it asks for".to_owned(), None),
            Some(Denied::NoCredentials) | None => (
                "no credentials were given".to_owned(),
                Some(self.login_hint()),
            ),
        };
        Error {
            reason: format!("{} ({what})", error.reason),
            hint,
            ..error
        }
    }

    /// What to try where it is not known who we are.
    pub(super) fn login_hint(&self) -> String {
        format!(
            "hoist login {}, or --username NAME with --password-stdin",
            self.endpoint.name()
        )
    }

    fn refusal(
        &self,
        kind: ErrorKind,
        operation: &str,
        answer: &Answer,
        refusal: &Refusal,
    ) -> Error {
        let who = self.who(&answer.target);
        let status = answer::status(answer.status());
        let reason = format!(
            "{who} answered {status}{}{}",
            through(answer),
            refusal.suffix()
        );
        Error {
            status: Some(answer.status()),
            codes: refusal.codes.clone().into(),
            ..Error::new(kind, operation, reason)
        }
    }

    /// Who answered: mostly the registry, sometimes a host it sent us to.
    pub(super) fn who(&self, target: &Target) -> String {
        match target {
            Target::Own(_) => "registry".to_owned(),
            Target::Elsewhere(_) => self.endpoint.host_of(target),
        }
    }

    /// Who asks for a longer pause than anybody waits for is left alone, from now on and by all.
    fn pressed(&self, answer: &Answer, mut error: Error) -> Halt {
        let date = answer.response.header("date");
        let asked = answer.response.header("retry-after");
        let after = asked.and_then(|text| retry_after::parse(text, date, self.clock.unix()));
        if let Some(wait) = after.filter(|wait| *wait > LONGEST_PRESSURE) {
            let seconds = wait.as_secs();
            let asks = format!(" and asks to wait {seconds} s, longer than 5 minutes");
            error.reason.push_str(&asks);
            error = error.hint(format!("again in {}", rounded_up(seconds)));
            self.leave(answer, &error);
            return error.into();
        }
        Trouble {
            error,
            class: Class::Pressure { after },
            began: answer.began,
        }
        .into()
    }
}

/// "7 minutes"
fn rounded_up(seconds: u64) -> String {
    match seconds {
        0..=7200 => format!("{} minutes", seconds.div_ceil(60)),
        7201..=172_800 => format!("{} hours", seconds.div_ceil(3600)),
        _ => format!("{} days", seconds.div_ceil(86_400)),
    }
}

/// A proxy that may have answered in the place of somebody else.
fn through(answer: &Answer) -> String {
    let proxy = answer.response.proxy.as_ref();
    proxy.map_or_else(String::new, |proxy| format!(" through proxy {proxy}"))
}

/// What nginx says over TLS about the certificate of a client: nothing in the handshake, but in a page
/// (<https://nginx.org/en/docs/http/ngx_http_ssl_module.html#errors>).
fn client_certificate(answer: &Answer, refusal: &Refusal) -> Option<&'static str> {
    const PAGES: [(&str, &str); 2] = [
        (
            "No required SSL certificate was sent",
            "--client-cert FILE and --client-key FILE",
        ),
        (
            "The SSL certificate error",
            "a client certificate that the registry's CA has issued, in --client-cert or certs.d",
        ),
    ];
    let mut pages = PAGES.iter().filter(|_| answer.status() == 400);
    let page = pages.find(|(text, _)| refusal.message.contains(text));
    page.map(|(_, hint)| *hint)
}

const CLOCKS: &str =
    "compare the clocks of the registry and of its token service, and the keys they share";

pub(super) fn may_do(identity: &Identity) -> String {
    match identity.username() {
        Some(user) => format!("check what the user {user} may do there"),
        None => "check what this token may do there".to_owned(),
    }
}

/// "the credentials of me (from --username) were refused"
pub(super) fn refused(identity: Option<&Identity>) -> String {
    match identity {
        Some(identity) if identity.username().is_some() => format!("{identity} were refused"),
        Some(identity) => format!("{identity} was refused"),
        None => "no credentials were given".to_owned(),
    }
}

/// A round size, not above `most`.
pub(super) fn chunk_size(most: u64) -> String {
    match most {
        0..0x10_0000 => format!("{}KiB", 1 << (most >> 10).ilog2()),
        _ => format!("{}MiB", 1_u64 << (most >> 20).ilog2().min(6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_round_chunks() {
        for (most, expected) in [
            (1 << 10, "1KiB"),
            (700 << 10, "512KiB"),
            (1 << 20, "1MiB"),
            (60 << 20, "32MiB"),
            (1 << 40, "64MiB"),
        ] {
            assert_eq!(chunk_size(most), expected);
        }
    }
}
