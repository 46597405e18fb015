//! The client: one ureq agent, set up so that nothing happens behind the caller's back.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::{HeaderName, HeaderValue, Method as Verb, Request as Message, Uri, header};
use ureq::{Agent, SendBody};

use super::buffers;
use super::dial::{Dialer, Known, Origin};
use super::exchange::Exchange;
use super::failure::{Failure, FailureKind, Fault};
use super::intake::Intake;
use super::metered::Metered;
use super::redact::secrets_of;
use super::request::{Method, Request, Response, Settings};
use super::resolve::Later;
use super::secret::Secret;
use super::stash::{Line, Stash};
use super::switch::Switch;
use super::tls::Tls;
use super::tunnel::Way;

/// Load balancers close idle connections after a minute.
const IDLE_AGE: Duration = Duration::from_secs(50);

/// Sends requests; shared by all threads.
pub struct Http {
    agent: Agent,
    stash: Arc<Stash>,
    switch: Arc<Switch>,
    connections: usize,
    stall_timeout: Duration,
}

impl Http {
    /// # Errors
    /// A certificate or key that was named and cannot be used: a sentence naming its file. A user
    /// agent that cannot be sent.
    pub fn new(settings: &Settings) -> Result<Self, String> {
        if HeaderValue::from_str(&settings.user_agent).is_err() {
            return Err(format!(
                "user agent {:?} is not valid in a header",
                settings.user_agent
            ));
        }
        let switch = Arc::new(Switch::default());
        let stash = Arc::new(Stash::new(Dialer {
            tls: Tls::new(settings)?,
            proxies: settings.proxies.clone(),
            user_agent: settings.user_agent.clone(),
            known: Known::default(),
            connect_timeout: settings.connect_timeout,
            stall_timeout: settings.stall_timeout,
            switch: Arc::clone(&switch),
        }));
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // Otherwise taken from the environment.
            .proxy(None)
            .user_agent(&settings.user_agent)
            .accept_encoding("identity")
            .max_response_header_size(buffers::INPUT)
            .max_idle_connections_per_host(settings.connections)
            // A push talks to the registry, its token service and a storage host or two.
            .max_idle_connections(settings.connections.saturating_mul(4))
            .max_idle_age(IDLE_AGE)
            .build();
        Ok(Http {
            agent: Agent::with_parts(config, Line(Arc::clone(&stash)), Later),
            stash,
            switch,
            connections: settings.connections,
            stall_timeout: settings.stall_timeout,
        })
    }

    /// `limit`: the largest answer body to read, in bytes; a longer one is [`FailureKind::Malformed`].
    pub fn send(&self, request: Request<'_>, limit: u64) -> Result<Response, Failure> {
        self.fetch(request, &mut Intake::held(limit))
    }

    /// The same, with a word in what becomes of the answer's body.
    pub fn fetch(
        &self,
        request: Request<'_>,
        intake: &mut Intake<'_>,
    ) -> Result<Response, Failure> {
        let Some(origin) = self.stash.dialer().relayed(request.url) else {
            return self.attempt(request, intake);
        };
        let (again, method) = (request.again(), request.method);
        let outcome = self.attempt(request, intake);
        let way = self.stash.dialer().way(&origin, method, &outcome);
        match (way, again) {
            (Ok(Way::Same), _) => outcome.map(|response| Response {
                proxy: self.stash.dialer().proxy_shown(&origin),
                ..response
            }),
            (Ok(Way::Tunnel(wire)), Some(again)) => {
                if let Some(wire) = wire {
                    self.stash.put(&origin, *wire);
                }
                self.attempt(again, intake)
            }
            (Ok(_), _) => outcome,
            (Err(fault), _) => Err(fault.unsent()),
        }
    }

    fn attempt(&self, request: Request<'_>, intake: &mut Intake<'_>) -> Result<Response, Failure> {
        let exchange = Rc::new(Exchange::new(self.stall_timeout, request.answer_timeout));
        let began = Instant::now();
        let entered = exchange.enter();
        let outcome = self
            .switch
            .check()
            .and_then(|()| self.perform(request, intake, &exchange));
        drop(entered);
        outcome.map_err(|fault| {
            let fault = self.switch.check().err().unwrap_or(fault);
            let failure = exchange.into_failure(fault);
            if failure.reused && failure.kind == FailureKind::Stalled {
                self.switch.doubt.silence(began);
            }
            failure
        })
    }

    /// Opens up to `count` connections to the origin of `url` in the background, for the requests
    /// that follow; no more than [`Settings::connections`]. What goes wrong shows in those.
    pub fn preconnect(&self, url: &str, count: usize) {
        let uri = url.parse::<Uri>().ok();
        if let Some(origin) = uri.and_then(|uri| Origin::of(&uri).ok()) {
            self.stash.prepare(&origin, count.min(self.connections));
        }
    }

    /// Looks at what the settings, and the files that they lead to, say of the host of `url`.
    ///
    /// # Errors
    /// A sentence naming the setting or the file that is of no use.
    pub fn check(&self, url: &str) -> Result<(), String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
        let origin = Origin::of(&uri).map_err(|fault| fault.message)?;
        self.stash.dialer().check(&origin)
    }

    /// [`Settings::stall_timeout`], for those who have to choose how long to wait for an answer.
    pub fn stall_timeout(&self) -> Duration {
        self.stall_timeout
    }

    /// Aborts what is in flight, within moments; later requests fail with [`FailureKind::Shutdown`].
    pub fn shutdown(&self) {
        self.switch.turn_off();
    }

    /// Everything secret that goes out with a request: to the server, and to the proxy before it.
    fn credentials(&self, request: &Request<'_>) -> Vec<Secret> {
        let named = |name: &str| name.eq_ignore_ascii_case("authorization");
        let authorization = request.headers.iter().find(|(name, _)| named(name));
        let mut carried = authorization.map_or_else(Vec::new, |(_, value)| secrets_of(value));
        let uri = request.url.parse::<Uri>().ok();
        if let Some(origin) = uri.and_then(|uri| Origin::of(&uri).ok())
            && let Ok(Some(proxy)) = self.stash.dialer().proxy(&origin)
            && let Some(value) = proxy.authorization()
        {
            carried.extend(secrets_of(value.expose()));
        }
        carried
    }

    fn perform(
        &self,
        request: Request<'_>,
        intake: &mut Intake<'_>,
        exchange: &Rc<Exchange>,
    ) -> Result<Response, Fault> {
        let carried = self.credentials(&request);
        let mut message = message(&request)?;
        let headers = message.headers_mut();
        let payload = Metered::new(request.payload, request.pace, exchange);
        if let Some(payload) = &payload {
            match payload.left() {
                Some(size) => headers.insert(header::CONTENT_LENGTH, size.into()),
                None => {
                    let chunked = HeaderValue::from_static("chunked");
                    headers.insert(header::TRANSFER_ENCODING, chunked)
                }
            };
        }
        let takes_body = matches!(request.method, Method::Post | Method::Put | Method::Patch);
        let answer = match payload {
            Some(mut payload) => {
                let body = SendBody::from_reader(&mut payload);
                self.agent.run(message.map(|()| body))
            }
            None if takes_body => self.agent.run(message.map(|()| &[][..])),
            None => self.agent.run(message),
        };
        let answer = answer.map_err(|error| Fault::of_ureq(error, exchange.began()))?;
        exchange.head_complete();
        let (head, body) = answer.into_parts();
        let fields = head.headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        let mut response = Response {
            status: head.status.as_u16(),
            headers: fields.collect(),
            body: Vec::new(),
            body_sent: exchange.body_sent(),
            proxy: None,
            carried,
        };
        intake.read(&mut response, body, exchange)?;
        Ok(response)
    }
}

/// The request line and the caller's headers.
fn message(request: &Request<'_>) -> Result<Message<()>, Fault> {
    let invalid = |what: String| Fault::new(FailureKind::Invalid, what);
    let uri: Uri = request
        .url
        .parse()
        .map_err(|error| invalid(format!("URL is not valid: {error}")))?;
    Origin::of(&uri)?;
    let mut message = Message::new(());
    *message.uri_mut() = uri;
    *message.method_mut() = match request.method {
        Method::Get => Verb::GET,
        Method::Head => Verb::HEAD,
        Method::Post => Verb::POST,
        Method::Put => Verb::PUT,
        Method::Patch => Verb::PATCH,
        Method::Delete => Verb::DELETE,
    };
    for (name, value) in request.headers {
        let key = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| invalid(format!("header name {name:?} is not valid")))?;
        // Not the value: it may be a secret.
        let value = HeaderValue::from_str(value)
            .map_err(|_| invalid(format!("value of header {name} is not valid")))?;
        message.headers_mut().append(key, value);
    }
    Ok(message)
}
