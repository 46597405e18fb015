//! The wire client on its own, for the tests of the files beside this one: with a clock that is moved
//! by hand, and with every event it emits.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hoist::image::digest::Digest;
use hoist::image::manifest::Manifest;
use hoist::image::reference::{Host, Repository, Tag};
use hoist::image::source::{Stream, StreamBody, Summary};
use hoist::net::{self, Http};
use hoist::observe::event::{Emit, Event, Meter};
use hoist::registry::client::{
    BlobTask, Client, Credentials, Delivery, ManifestFailure, ManifestName, Presence, Settings,
    StreamTask,
};
use hoist::registry::clock::Clock;
use hoist::registry::error::Error;

use crate::support::scripted::Seen;

/// Time that passes only while somebody sleeps. Sleeps end at once; all are written down.
#[derive(Debug)]
pub(crate) struct ManualClock {
    start: Instant,
    slept: Mutex<Vec<Duration>>,
    ms: AtomicU64,
    stopped: AtomicBool,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            slept: Mutex::default(),
            ms: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        }
    }
}

impl ManualClock {
    /// Every wait that was not for nothing.
    pub(crate) fn slept(&self) -> Vec<Duration> {
        self.slept.lock().unwrap().clone()
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.ms.load(Ordering::SeqCst))
    }

    fn unix(&self) -> u64 {
        784_111_777 + self.ms.load(Ordering::SeqCst) / 1000
    }

    fn sleep(&self, duration: Duration) -> bool {
        if !duration.is_zero() {
            self.slept.lock().unwrap().push(duration);
            // Never less than a millisecond, or what is waited for would not come.
            let ms = u64::try_from(duration.as_millis()).unwrap().max(1);
            self.ms.fetch_add(ms, Ordering::SeqCst);
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
    events: Arc<Recorder>,
}

pub(crate) fn settings() -> Settings {
    Settings {
        credentials: None,
        retries: 5,
        chunk_size: None,
        plain_http: false,
        insecure: false,
    }
}

pub(crate) fn user(username: &str, password: &str) -> Option<Credentials> {
    Some(Credentials {
        username: username.into(),
        password: password.into(),
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
        let clock = Arc::new(ManualClock::default());
        let events = Arc::new(Recorder::default());
        let client = Client::new(
            &Host::parse(&host.to_string()).unwrap(),
            Arc::new(Http::new(http).unwrap()),
            settings,
            clock.clone(),
            events.clone(),
        );
        Self {
            client,
            clock,
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
            meter: &Meter::default(),
        })
    }

    pub(crate) fn stream(
        &self,
        repository: &str,
        bytes: &[u8],
    ) -> Result<(Summary, Delivery), Error> {
        self.client.push_stream(&StreamTask {
            repository: &repo(repository),
            what: "layer sha256:made",
            body: &Made(bytes.into()),
            meter: &Meter::default(),
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
