//! One registry host, and the single path that every request takes: is the host alive, is there a
//! pause, who are we, send, follow, and read what came.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::image::reference::Host;
use crate::net::{
    self, Failure, FailureKind, FilePart, Http, Intake, Method, Pace, Payload, Response,
};
use crate::observe::event::Emit;
use crate::registry::auth::{Asked, Authority, Denied, Pass, Tries};
use crate::registry::body::{Content, Exactly};
use crate::registry::call::{Answer, Call};
use crate::registry::challenge::{self, Challenge};
use crate::registry::clock::Clock;
use crate::registry::endpoint::{self, Endpoint, Target};
use crate::registry::error::Error;
use crate::registry::limit::Limit;
use crate::registry::limit::throttle::Throttle;
use crate::registry::limit::told::Told;
use crate::registry::limit::waits::Waits;
use crate::registry::profile::{Learned, Profile, Sizes};
use crate::registry::reach::Reach;
use crate::registry::retry::Halt;
use crate::registry::sessions::Sessions;
use crate::registry::url::{LocationError, without_query};

pub use crate::registry::auth::TokenService;
pub use crate::registry::blobs::{Arrival, BlobTask, Delivery, StreamTask, Weight};
pub use crate::registry::credentials::{Anonymous, Credentials, Keychain, Login};
pub use crate::registry::endpoint::{api_host, url};
pub use crate::registry::limit::bucket::Rate;
pub use crate::registry::limit::waits::Waited;
pub use crate::registry::login::Checked;
pub use crate::registry::manifests::{ManifestFailure, ManifestName, Presence};
pub use crate::registry::read::Seen;
pub use crate::registry::readback::ReadBack;

/// How to speak to a registry. No secrets in its `Debug`.
#[derive(Clone, Debug)]
pub struct Settings {
    pub keychain: Arc<dyn Keychain>,
    /// Where the registry's tokens came from the last time, so that the first request carries one.
    /// What is not true any more is found out and dropped.
    pub known_service: Option<TokenService>,
    /// Where uploads are remembered for processes to come.
    pub sessions: Option<Arc<dyn Sessions>>,
    /// Tries after the first, per blob or manifest.
    pub retries: u32,
    /// Largest body of one request; `None` lets answers and profiles decide.
    pub chunk_size: Option<u64>,
    /// http and nothing else.
    pub plain_http: bool,
    /// http where https does not answer.
    pub insecure: bool,
    pub limits: Limits,
}

/// How much a registry is to be asked for at most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// Requests, to it and to each host that it sends us to; a second's worth, or one, at once after a rest.
    pub requests: Option<Rate>,
    /// Bytes of all bodies together.
    pub bytes: Option<Rate>,
}

/// One registry, shared by all workers.
pub struct Client {
    pub(super) endpoint: Endpoint,
    pub(super) http: Arc<Http>,
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) events: Arc<dyn Emit>,
    pub(super) authority: Authority,
    pub(super) reach: Reach,
    pub(super) limit: Limit,
    throttle: Option<Throttle>,
    told: Told,
    pub(super) waits: Arc<Waits>,
    pub(super) profile: &'static Profile,
    pub(super) learned: Learned,
    pub(super) counts: Counts,
}

/// Totals since the client was made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub requests: u64,
    pub retries: u64,
    pub waited: Waited,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, more: Self) {
        self.requests += more.requests;
        self.retries += more.retries;
        self.waited += more.waited;
    }
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    requests: AtomicU64,
    retries: AtomicU64,
}

/// Redirects that are followed in a row.
pub(super) const MOST_REDIRECTS: usize = 5;
/// Idle connections that may turn out to be closed, one after the other.
const MOST_STALE: usize = 64;

impl Client {
    pub fn new(
        host: &Host,
        http: Arc<Http>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        events: Arc<dyn Emit>,
    ) -> Self {
        let endpoint = Endpoint::new(host);
        let loopback = net::is_loopback(endpoint.host());
        let known = settings.known_service.clone();
        let learned = Learned::default();
        learned.look_at_service(known.as_ref().and_then(|known| known.service.as_deref()));
        let waits = Arc::new(Waits::default());
        let limits = settings.limits;
        let throttle = limits
            .bytes
            .map(|rate| Throttle::new(rate, Arc::clone(&clock), Arc::clone(&waits)));
        Self {
            authority: Authority::new(Arc::clone(&settings.keychain), known),
            reach: Reach::new(settings.plain_http, settings.insecure, loopback),
            limit: Limit::new(limits.requests),
            throttle,
            told: Told::default(),
            waits,
            profile: Profile::of(endpoint.host()),
            learned,
            counts: Counts::default(),
            endpoint,
            http,
            settings,
            clock,
            events,
        }
    }

    /// Opens up to `count` connections in the background, once it is known how to speak to the host.
    pub fn open_connections(&self, count: usize) {
        if let Some(scheme) = self.reach.decision() {
            let url = self.endpoint.url(&endpoint::ping(), scheme);
            self.http.preconnect(&url, count);
        }
    }

    /// Whether the host has shown that it keeps what arrived of a body whose connection was cut.
    pub fn keeps_cut_bodies(&self) -> bool {
        self.learned.keeps_cut_bodies()
    }

    /// Whether it keeps them in all likelihood: a host with such `looks` has shown it before.
    pub fn keeps_cut_bodies_as_before(&self, looks: &str) -> bool {
        self.learned.keeps_cut_bodies_as_before(looks)
    }

    /// Whether it has shown that it does not.
    pub fn loses_cut_bodies(&self) -> bool {
        self.learned.loses_cut_bodies()
    }

    pub fn totals(&self) -> Totals {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Totals {
            requests: read(&self.counts.requests),
            retries: read(&self.counts.retries),
            waited: self.waits.waited(),
        }
    }

    pub(super) fn sizes(&self, least: u64) -> Sizes<'_> {
        Sizes {
            profile: self.profile,
            learned: &self.learned,
            asked: self.settings.chunk_size,
            least,
        }
    }

    /// Where a `Location` in an answer leads.
    pub(super) fn location(&self, answer: &Answer) -> Option<Result<Target, LocationError>> {
        let location = answer.response.header("location")?;
        let scheme = self.reach.scheme();
        Some(self.endpoint.resolve(&answer.target, scheme, location))
    }

    /// Sends one request, with credentials where they are asked for, and follows redirects.
    pub(super) fn exchange(&self, operation: &str, mut call: Call<'_>) -> Result<Answer, Halt> {
        let mut redirects = 0;
        let mut tries = Tries::default();
        loop {
            let mut pass = self.enter(operation, &call)?;
            call.authorization = pass.header.clone();
            let began = self.clock.now();
            let response = match self.send(&mut call) {
                Ok(response) => response,
                Err(failure) => return Err(self.failed(operation, &call.target, &failure, began)),
            };
            let mut answer = Answer {
                response,
                target: call.target.clone(),
                redirects,
                identity: pass.identity.clone(),
                denied: None,
                began,
            };
            if call.target.is_own() && !matches!(answer.status(), 429 | 503) {
                self.limit.answered();
            }
            if answer.status() == 401 && call.target.is_own() {
                match self.tried(&call, &pass, &mut tries, &answer) {
                    None if !call.content.is_upload() => continue,
                    None => return Err(self.renewed(operation, &answer)),
                    Some(denied) => answer.denied = Some(denied),
                }
            } else {
                self.authority.answered(&mut pass, answer.status());
            }
            let follows = redirects < MOST_REDIRECTS && call.content.can_repeat();
            if let Some(next) = self.redirect(operation, &call, &answer.response)?
                && follows
            {
                redirects += 1;
                call.target = next;
                continue;
            }
            return Ok(answer);
        }
    }

    /// Reads a 401: why it is the last word, or nothing where the next try carries something else.
    fn tried(
        &self,
        call: &Call<'_>,
        pass: &Pass<'_>,
        tries: &mut Tries,
        answer: &Answer,
    ) -> Option<Denied> {
        match self.challenged(call, pass, &answer.response) {
            Asked::Denied(why) => Some(why),
            Asked::Again if tries.allow(pass) => None,
            Asked::Again => Some(Denied::TokensRefused),
        }
    }

    /// Where an answer sends us, if it does.
    fn redirect(
        &self,
        operation: &str,
        call: &Call<'_>,
        response: &Response,
    ) -> Result<Option<Target>, Error> {
        let keeps_method = matches!(call.method, Method::Get | Method::Head);
        let is_redirect = match response.status {
            301 | 302 | 307 | 308 => true,
            303 => keeps_method,
            _ => false,
        };
        let Some(location) = response.header("location").filter(|_| is_redirect) else {
            return Ok(None);
        };
        let scheme = self.reach.scheme();
        let next = self.endpoint.redirect(&call.target, scheme, location);
        next.map(Some).map_err(|why| {
            let who = self.who(&call.target);
            let reason = format!("{who} sent us on, but the Location {why}");
            Error::new(super::error::ErrorKind::Refused, operation, reason)
        })
    }

    pub(super) fn challenges(&self, response: &Response) -> Vec<Challenge> {
        let named = |name: &str| name.eq_ignore_ascii_case("www-authenticate");
        let headers = response.headers.iter().filter(|(name, _)| named(name));
        let challenges = challenge::parse(headers.map(|(_, value)| value.as_str()));
        self.learned.look_for_harbor(&challenges);
        challenges
    }

    /// By the host's scheme, and past idle connections that the registry has closed meanwhile.
    pub(super) fn send(&self, call: &mut Call<'_>) -> Result<Response, Failure> {
        if !call.target.is_own() {
            let url = self.endpoint.url(&call.target, self.reach.scheme());
            return self.send_fresh(&url, call);
        }
        let mut is_second = false;
        let outcome = self.reach.send(|scheme| {
            if std::mem::replace(&mut is_second, true) {
                // Nobody is let wait for it: all others wait for what it finds out.
                self.line_up(&call.target);
            }
            let url = self.endpoint.url(&call.target, scheme);
            self.send_fresh(&url, call)
        });
        let connected = match &outcome {
            Ok(_) => true,
            Err(failure) => matches!(
                failure.kind,
                FailureKind::Closed | FailureKind::Stalled | FailureKind::Malformed
            ),
        };
        if connected {
            self.reach.contact.reached();
        }
        outcome
    }

    fn send_fresh(&self, url: &str, call: &mut Call<'_>) -> Result<Response, Failure> {
        let mut stale = 0;
        loop {
            let outcome = self.send_once(url, call);
            match &outcome {
                // Nothing of it can have been understood: it never was there.
                Err(failure)
                    if failure.kind == FailureKind::Closed
                        && failure.reused
                        && !failure.answered
                        && failure.body_sent == 0
                        && stale < MOST_STALE =>
                {
                    stale += 1;
                }
                _ => return outcome,
            }
        }
    }

    fn send_once(&self, url: &str, call: &mut Call<'_>) -> Result<Response, Failure> {
        let mut headers = call.headers.clone();
        if let Some(value) = &call.authorization {
            headers.push(("authorization", value.expose().to_owned()));
        }
        let length = call.content.len().unwrap_or_default();
        // Forms for a token service are no upload, and nobody gets anywhere without a token.
        let is_upload = call.target.is_own() || !matches!(call.content, Content::Document(_));
        let throttle = self.throttle.as_ref().filter(|_| is_upload);
        let mut intake = Intake {
            limit: call.limit,
            sink: match &mut call.sink {
                Some(sink) => Some(&mut **sink),
                None => None,
            },
        };
        let mut submit = |payload| {
            let request = net::Request {
                method: call.method,
                url,
                headers: &headers,
                payload,
                answer_timeout: call.patience.unwrap_or(self.http.stall_timeout()),
                pace: throttle.map(|throttle| throttle as &dyn Pace),
            };
            self.submit(request, &mut intake)
        };
        match &mut call.content {
            Content::Empty => submit(Payload::Empty),
            Content::Document(bytes) => submit(Payload::Sized(&mut &**bytes, length)),
            Content::Piece { bytes, from, meter } => {
                meter.seek(*from);
                let mut reader = Exactly::new(&**bytes, length, Some(meter));
                submit(Payload::Sized(&mut reader, length))
            }
            Content::Part {
                body, from, meter, ..
            } => {
                meter.seek(*from);
                if let Some(place) = body.in_file(*from).map_err(unreadable)? {
                    return submit(Payload::File(FilePart {
                        file: Arc::clone(place.file()),
                        position: place.position(),
                        size: length,
                        taken: &mut |bytes| meter.add(bytes),
                    }));
                }
                let inner = body.open(*from).map_err(unreadable)?;
                let mut reader = Exactly::new(inner, length, Some(meter));
                submit(Payload::Sized(&mut reader, length))
            }
            Content::Pour(reader) => submit(Payload::Chunked(&mut **reader)),
        }
    }

    /// Takes down what the host says of its own limits.
    fn hear(&self, url: &str, response: &Response) {
        if !log::log_enabled!(log::Level::Debug) {
            return;
        }
        let host = url.split('/').nth(2).unwrap_or_default();
        if let Some(news) = self.told.news(host, response) {
            log::debug!("{host} says {news}");
        }
    }

    fn submit(
        &self,
        request: net::Request<'_>,
        intake: &mut Intake<'_>,
    ) -> Result<Response, Failure> {
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
        let method = format!("{:?}", request.method).to_ascii_uppercase();
        let url = without_query(request.url);
        let began = Instant::now();
        let outcome = self.http.fetch(request, intake);
        let took = began.elapsed().as_millis();
        match &outcome {
            Ok(response) => {
                let status = response.status;
                log::debug!("{method} {url} {status} {took} ms");
                self.hear(url, response);
            }
            Err(failure) => {
                let message = super::answer::clean(&failure.message, 200);
                log::debug!("{method} {url} failed after {took} ms: {message}");
            }
        }
        outcome
    }
}

impl Counts {
    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }
}

fn unreadable(error: std::io::Error) -> Failure {
    Failure {
        kind: FailureKind::Payload,
        message: error.to_string(),
        hint: None,
        reused: false,
        answered: false,
        body_sent: 0,
        payload_error: Some(error),
    }
}
