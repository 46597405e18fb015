//! One registry host, and the single path that every request takes.

use std::sync::Arc;
use std::time::Duration;

use crate::image::digest::Digest;
use crate::image::manifest::Manifest;
use crate::image::reference::{Host, Repository, Tag};
use crate::image::source::{Body, StreamBody, Summary};
use crate::net::Http;
use crate::observe::event::{Emit, Meter};
use crate::registry::clock::Clock;
use crate::registry::error::Error;

/// How to speak to a registry. No secrets in its `Debug`.
#[derive(Clone, Debug)]
pub struct Settings {
    pub credentials: Option<Credentials>,
    /// Tries after the first, per blob or manifest.
    pub retries: u32,
    /// Largest body of one request; `None` lets answers and profiles decide.
    pub chunk_size: Option<u64>,
    /// http and nothing else.
    pub plain_http: bool,
    /// http where https does not answer.
    pub insecure: bool,
}

/// A user and a password; `Debug` shows neither.
#[derive(Clone)]
pub struct Credentials {
    pub username: String,
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// One registry, shared by all workers.
pub struct Client {}

/// A tag, or a digest.
#[derive(Clone, Copy, Debug)]
pub enum ManifestName<'a> {
    Tag(&'a Tag),
    Digest(&'a Digest),
}

/// What a check found out. A check never fails a push: what was refused is `Unknown`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// There, and this is its digest.
    Present(Digest),
    Absent,
    Unknown,
}

/// A blob of known digest and size to bring into `repository`.
pub struct BlobTask<'a> {
    pub repository: &'a Repository,
    pub digest: &'a Digest,
    pub body: &'a dyn Body,
    /// A repository of this host known to hold the blob.
    pub mount_from: Option<&'a Repository>,
    /// Do not mount or ask by mount; a manifest was refused although the blob had been confirmed.
    pub no_mount: bool,
    pub meter: &'a Meter,
}

/// A blob whose digest is known when its last byte has been made.
pub struct StreamTask<'a> {
    pub repository: &'a Repository,
    /// What it is, for messages: "layer with diff_id sha256:12ab…".
    pub what: &'a str,
    pub body: &'a dyn StreamBody,
    pub meter: &'a Meter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    Uploaded,
    Mounted,
    Present,
}

/// How a blob came to be in its repository.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub arrival: Arrival,
    /// Where it was mounted from.
    pub from: Option<Repository>,
    /// The offset a cut upload was taken up at, the last time.
    pub resumed_at: Option<u64>,
    /// A mount from another repository was asked for and answered with something else than 201.
    pub mount_refused: bool,
}

/// A manifest PUT that was refused because these are missing at the registry, though they had been
/// confirmed: wire rule 9.
#[derive(Debug)]
pub enum ManifestFailure {
    Missing { digests: Vec<Digest>, error: Error },
    Other(Error),
}

/// Totals since the client was made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub requests: u64,
    pub retries: u64,
    pub waited: Duration,
}

impl Client {
    pub fn new(
        _host: &Host,
        _http: Arc<Http>,
        _settings: Settings,
        _clock: Arc<dyn Clock>,
        _events: Arc<dyn Emit>,
    ) -> Self {
        unimplemented!()
    }

    /// HEAD with all four media types; when the answer names no digest, GET and hash.
    ///
    /// # Errors
    /// Only when the registry cannot be reached, asks to wait for too long, or it is time to stop.
    pub fn check_manifest(
        &self,
        _repository: &Repository,
        _name: ManifestName<'_>,
    ) -> Result<Presence, Error> {
        unimplemented!()
    }

    /// Puts a manifest and makes sure that the registry has it under that name.
    pub fn put_manifest(
        &self,
        _repository: &Repository,
        _name: ManifestName<'_>,
        _manifest: &Manifest,
    ) -> Result<(), ManifestFailure> {
        unimplemented!()
    }

    /// Brings a blob of known digest into a repository: mount or check, upload, resume, chunks.
    pub fn push_blob(&self, _task: &BlobTask<'_>) -> Result<Delivery, Error> {
        unimplemented!()
    }

    /// Sends bytes that are made while they are sent (wire rule 4).
    pub fn push_stream(&self, _task: &StreamTask<'_>) -> Result<(Summary, Delivery), Error> {
        unimplemented!()
    }

    pub fn await_blobs(
        &self,
        _repository: &Repository,
        _digests: &[Digest],
    ) -> Result<Vec<Digest>, Error> {
        unimplemented!()
    }

    pub fn totals(&self) -> Totals {
        unimplemented!()
    }
}
