//! The wire client on its own, for the tests of the files beside this one: with a clock that is moved
//! by hand, and with every event it emits.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hoist::image::digest::Digest;
use hoist::image::manifest::Manifest;
use hoist::image::reference::{Host, Repository, Tag};
use hoist::image::source::{Stream, StreamBody, Summary};
use hoist::net::{self, Http};
use hoist::observe::event::{Emit, Event, Meter};
use hoist::registry::client::{
    Anonymous, BlobTask, Client, Credentials, Delivery, Keychain, Limits, Login, ManifestFailure,
    ManifestName, Presence, Settings, StreamTask,
};
use hoist::registry::clock::Clock;
use hoist::registry::error::Error;

use crate::support::scripted::{Answer, Rule, Scripted, Seen, answer};

/// Time that passes only while somebody sleeps. Sleeps end at once; all are written down.
///
/// But for the shortest: they are for a registry in a process of its own to notice something, and its
/// time is not ours to move.
pub(crate) struct ManualClock {
    start: Instant,
    slept: Mutex<Vec<Duration>>,
    ns: AtomicU64,
    stopped: AtomicBool,
    hook: Mutex<Option<Hook>>,
    /// Nobody needs the shortest either.
    is_scripted: bool,
}

/// What is to happen when so many sleeps have begun.
struct Hook(usize, Box<dyn FnOnce() + Send>);

impl Default for ManualClock {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            slept: Mutex::default(),
            ns: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            hook: Mutex::default(),
            is_scripted: false,
        }
    }
}

impl ManualClock {
    /// For a registry that has noticed everything before it answers: no sleep takes any time.
    pub(crate) fn scripted() -> Self {
        Self {
            is_scripted: true,
            ..Self::default()
        }
    }

    /// Does something when the sleep of this number begins, counted from 1.
    pub(crate) fn at_sleep(&self, number: usize, act: impl FnOnce() + Send + 'static) {
        *self.hook.lock().unwrap() = Some(Hook(number, Box::new(act)));
    }

    /// Every wait that was not for nothing.
    pub(crate) fn slept(&self) -> Vec<Duration> {
        self.slept.lock().unwrap().clone()
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }
}

const SHORTEST: Duration = Duration::from_millis(50);

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.start + Duration::from_nanos(self.ns.load(Ordering::SeqCst))
    }

    fn unix(&self) -> u64 {
        784_111_777 + self.ns.load(Ordering::SeqCst) / 1_000_000_000
    }

    fn sleep(&self, duration: Duration) -> bool {
        if !duration.is_zero() {
            let number = {
                let mut slept = self.slept.lock().unwrap();
                slept.push(duration);
                slept.len()
            };
            let due = self.hook.lock().unwrap().take_if(|hook| hook.0 <= number);
            if let Some(Hook(_, act)) = due {
                act();
            }
            if duration <= SHORTEST && !self.is_scripted {
                thread::sleep(duration);
            }
            let ns = u64::try_from(duration.as_nanos()).unwrap();
            self.ns.fetch_add(ns, Ordering::SeqCst);
        }
        !self.stopped.load(Ordering::SeqCst)
    }
}

#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<Event>>);

impl Emit for Recorder {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

/// A client for one host, and what is seen of it.
pub(crate) struct Wire {
    pub(crate) client: Client,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) http: Arc<Http>,
    /// Of everything that was pushed.
    pub(crate) meter: Meter,
    events: Arc<Recorder>,
}

pub(crate) fn settings() -> Settings {
    Settings {
        keychain: Arc::new(Anonymous),
        known_service: None,
        sessions: None,
        retries: 5,
        chunk_size: None,
        plain_http: false,
        insecure: false,
        limits: Limits::default(),
    }
}

pub(crate) fn user(username: &str, password: &str) -> Arc<dyn Keychain> {
    Arc::new(Credentials {
        login: Login::Password {
            username: username.into(),
            password: password.into(),
        },
        origin: "--username".into(),
    })
}

impl Wire {
    pub(crate) fn new(host: impl ToString) -> Self {
        Self::with(host, settings())
    }

    pub(crate) fn with(host: impl ToString, settings: Settings) -> Self {
        let http = net::Settings {
            insecure: settings.insecure,
            ..net::Settings::default()
        };
        Self::over(host, settings, &http)
    }

    pub(crate) fn over(host: impl ToString, settings: Settings, http: &net::Settings) -> Self {
        Self::under(ManualClock::default(), host, settings, http)
    }

    pub(crate) fn under(
        clock: ManualClock,
        host: impl ToString,
        settings: Settings,
        http: &net::Settings,
    ) -> Self {
        let clock = Arc::new(clock);
        let events = Arc::new(Recorder::default());
        let http = Arc::new(Http::new(http).unwrap());
        let client = Client::new(
            &Host::parse(&host.to_string()).unwrap(),
            Arc::clone(&http),
            settings,
            clock.clone(),
            events.clone(),
        );
        Self {
            client,
            clock,
            http,
            meter: Meter::default(),
            events,
        }
    }

    /// A blob into a repository, the usual way.
    pub(crate) fn push(&self, repository: &str, bytes: &[u8]) -> Result<Delivery, Error> {
        self.push_from(repository, bytes, None)
    }

    pub(crate) fn push_from(
        &self,
        repository: &str,
        bytes: &[u8],
        from: Option<&str>,
    ) -> Result<Delivery, Error> {
        let body: Arc<[u8]> = bytes.into();
        let from = from.map(repo);
        self.client.push_blob(&BlobTask {
            repository: &repo(repository),
            digest: &Digest::of(bytes),
            body: &body,
            mount_from: from.as_ref(),
            no_mount: false,
            force: false,
            made_of: None,
            meter: &self.meter,
        })
    }

    pub(crate) fn stream(
        &self,
        repository: &str,
        bytes: &[u8],
    ) -> Result<(Summary, Delivery), Error> {
        self.stream_of(repository, &Made(bytes.into()), bytes.len() as u64)
    }

    pub(crate) fn stream_of(
        &self,
        repository: &str,
        body: &dyn StreamBody,
        size: u64,
    ) -> Result<(Summary, Delivery), Error> {
        self.client.push_stream(&StreamTask {
            repository: &repo(repository),
            what: "layer sha256:made",
            body,
            size,
            force: false,
            made_of: "sha256:made none",
            made: &|_| {},
            meter: &self.meter,
        })
    }

    pub(crate) fn put(
        &self,
        repository: &str,
        tag: &str,
        manifest: &Manifest,
    ) -> Result<(), ManifestFailure> {
        let tag = Tag::parse(tag).unwrap();
        self.client
            .put_manifest(&repo(repository), ManifestName::Tag(&tag), manifest)
    }

    pub(crate) fn check(&self, repository: &str, tag: &str) -> Result<Presence, Error> {
        let tag = Tag::parse(tag).unwrap();
        self.client
            .check_manifest(&repo(repository), ManifestName::Tag(&tag))
    }

    /// Reason and wait of each retry.
    pub(crate) fn retries(&self) -> Vec<(String, Duration)> {
        let events = self.events.0.lock().unwrap();
        let retry = |event: &Event| match event {
            Event::Retrying { reason, wait, .. } => Some((reason.clone(), *wait)),
            _ => None,
        };
        events.iter().filter_map(retry).collect()
    }

    /// How often the host was said to ask for less.
    pub(crate) fn pressures(&self) -> usize {
        let events = self.events.0.lock().unwrap();
        let pressure = |event: &&Event| matches!(event, Event::Pressure { .. });
        events.iter().filter(pressure).count()
    }
}

pub(crate) fn repo(name: &str) -> Repository {
    Repository::parse(name).unwrap()
}

/// Bytes that look random and are the same each time.
pub(crate) fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// An image manifest over these blobs, config first.
pub(crate) fn manifest(blobs: &[&[u8]]) -> Manifest {
    let descriptor = |bytes: &[u8], media_type: &str| {
        serde_json::json!({
            "mediaType": media_type,
            "digest": Digest::of(bytes),
            "size": bytes.len(),
        })
    };
    let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
    let layers: Vec<_> = blobs[1..].iter().map(|b| descriptor(b, layer)).collect();
    let document = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor(blobs[0], "application/vnd.oci.image.config.v1+json"),
        "layers": layers,
    });
    Manifest::parse(document.to_string().into_bytes(), None, None).unwrap()
}

/// Method and path of each request, ids of sessions and queries left out: `PUT uploads`.
pub(crate) fn shape(requests: &[Seen]) -> Vec<String> {
    let shape = |seen: &Seen| {
        let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
        let kind = match path {
            _ if path.contains("/uploads/") && query.contains("mount=") => "mount",
            _ if path.contains("/uploads/") => "upload",
            _ if path.contains("/blobs/") => "blob",
            _ if path.contains("/manifests/") => "manifest",
            other => other,
        };
        format!("{} {kind}", seen.method)
    };
    requests.iter().map(shape).collect()
}

/// http and nothing else, so that what is no HTTP is not asked for TLS.
pub(crate) fn plain(retries: u32) -> Settings {
    Settings {
        retries,
        plain_http: true,
        ..settings()
    }
}

/// An error document as registries send it.
pub(crate) fn code(status: u16, code: &str, message: &str) -> Answer {
    let body = serde_json::json!({"errors": [{"code": code, "message": message}]});
    answer(status)
        .header("Content-Type", "application/json")
        .body(body.to_string())
}

/// 202 with a session that says nothing about what is there.
pub(crate) fn session() -> Answer {
    answer(202).header("Location", "/v2/app/blobs/uploads/1?x=y")
}

/// 202 as the distribution family answers, which means that the blob is absent.
pub(crate) fn telling_session() -> Answer {
    answer(202).header("Location", "/v2/app/blobs/uploads/1?_state=abc")
}

/// What becomes of a small blob at a server with these rules.
pub(crate) fn fails(rules: Vec<Rule>, retries: u32) -> (Error, Wire, Scripted) {
    let server = Scripted::start(rules);
    let wire = Wire::with(server.address(), plain(retries));
    let error = wire.push("app", b"hello").unwrap_err();
    (error, wire, server)
}

/// Bytes as if they were made while they are read, in odd pieces.
pub(crate) struct Made(pub(crate) Arc<[u8]>);

struct Making {
    bytes: Arc<[u8]>,
    at: usize,
}

impl StreamBody for Made {
    fn open(&self) -> io::Result<Box<dyn Stream>> {
        Ok(Box::new(Making {
            bytes: Arc::clone(&self.0),
            at: 0,
        }))
    }
}

impl Read for Making {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = buf.len().min(12_345);
        let read = (&self.bytes[self.at..]).read(&mut buf[..most])?;
        self.at += read;
        Ok(read)
    }
}

impl Stream for Making {
    fn finish(self: Box<Self>) -> io::Result<Summary> {
        if self.at < self.bytes.len() {
            return Err(io::Error::other("the end had not been reached"));
        }
        Ok(Summary {
            digest: Digest::of(&self.bytes),
            size: self.bytes.len() as u64,
        })
    }
}
