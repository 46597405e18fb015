//! Every registry the tests know, behind one switch: `hoist serve` in this process, and those found
//! on `PATH`.
//!
//! Each listens on a free port of loopback, keeps its data in a folder of its own, is killed when
//! dropped, and gives its access log as data. `Registry::request` speaks plain HTTP to it, so that
//! tests can look at what is there without the client they test.

mod run;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::access::{Access, Log};
use super::http::{Client, Reply};
use super::programs::on_path;
use super::room::room;

use run::{Running, run, wait_until_free};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// `hoist serve`, in this process.
    Serve,
    /// `docker-registry`, the 2.8 line of distribution.
    Distribution2,
    /// `registry`, distribution 3.
    Distribution3,
    Zot,
}

/// What a registry gets, in bytes, in a file system in memory where there is one.
const USUAL_ROOM: u64 = 64 << 20;

/// What a registry is started with beyond its defaults. Only the two distributions have these, but for
/// the room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    /// User and password, checked against an htpasswd file.
    pub(crate) basic: Option<(String, String)>,
    pub(crate) tls: Option<Tls>,
    /// PEM of the authority that clients' certificates have to come from. The tests' own requests have
    /// none then.
    pub(crate) client_ca: Option<PathBuf>,
    pub(crate) token: Option<TokenAuth>,
    /// It remembers which blobs it has, and does not look.
    pub(crate) remembers_blobs: bool,
    /// For so many bytes, where they are more than [`USUAL_ROOM`].
    pub(crate) room: u64,
}

/// Whose tokens are taken.
#[derive(Clone, Debug)]
pub(crate) struct TokenAuth {
    pub(crate) realm: String,
    pub(crate) service: String,
    pub(crate) issuer: String,
    /// A PEM file with the certificates of the issuer.
    pub(crate) bundle: PathBuf,
}

/// Paths of PEM files.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// What the tests' own requests trust.
    pub(crate) ca: PathBuf,
}

/// A running registry; dropping it ends it.
pub(crate) struct Registry {
    kind: Kind,
    setup: Setup,
    address: SocketAddr,
    log: Arc<Log>,
    client: Client,
    /// Method and path of what was asked through [`Registry::request`] and answered.
    own: Mutex<Vec<(String, String)>>,
    running: Option<Running>,
    // Last, so that the folder goes when nobody writes to it any more.
    dir: TempDir,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [
        Self::Serve,
        Self::Distribution2,
        Self::Distribution3,
        Self::Zot,
    ];

    /// The name it goes by in `HOIST_TEST_REQUIRE` and in sentences.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Distribution2 => "distribution2",
            Self::Distribution3 => "distribution3",
            Self::Zot => "zot",
        }
    }

    /// The program that has to be on `PATH`.
    fn program(self) -> Option<&'static str> {
        match self {
            Self::Serve => None,
            Self::Distribution2 => Some("docker-registry"),
            Self::Distribution3 => Some("registry"),
            Self::Zot => Some("zot"),
        }
    }

    pub(crate) fn is_available(self) -> bool {
        self.program().is_none_or(|name| on_path(name).is_some())
    }
}

/// The registries that can be started here; `serve` always is among them.
pub(crate) fn available() -> Vec<Kind> {
    let mut kinds = Kind::ALL.to_vec();
    kinds.retain(|kind| kind.is_available());
    kinds
}

/// The kinds the tests do without here, for the last test to name them.
pub(crate) fn skipped() -> Vec<Kind> {
    let mut kinds = Kind::ALL.to_vec();
    kinds.retain(|kind| !kind.is_available());
    kinds
}

impl Registry {
    pub(crate) fn start(kind: Kind) -> Self {
        Self::start_with(kind, Setup::default())
    }

    pub(crate) fn start_with(kind: Kind, setup: Setup) -> Self {
        // distribution syncs every small file that it writes, which on a disk is most of its work.
        let dir = room(setup.room.max(USUAL_ROOM));
        Self::start_in(dir, kind, setup)
    }

    pub(crate) fn start_in(dir: TempDir, kind: Kind, setup: Setup) -> Self {
        let log = Arc::new(Log::default());
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let (running, address) = run(kind, &setup, dir.path(), free, &log);
        Self {
            kind,
            client: Client::new(&setup),
            own: Mutex::default(),
            setup,
            address,
            log,
            running: Some(running),
            dir,
        }
    }

    /// Ends it at once, in the middle of whatever it does. Its data stays.
    pub(crate) fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill();
        }
    }

    /// Starts it again after [`Self::kill`], on the same address and the same data.
    pub(crate) fn start_again(&mut self) {
        assert!(self.running.is_none(), "it is still running");
        wait_until_free(self.address);
        let (running, address) = run(
            self.kind,
            &self.setup,
            self.dir.path(),
            self.address,
            &self.log,
        );
        assert_eq!(address, self.address);
        self.running = Some(running);
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has to be trusted where it speaks TLS.
    pub(crate) fn ca(&self) -> Option<&Path> {
        self.setup.tls.as_ref().map(|tls| tls.ca.as_path())
    }

    /// `localhost:PORT`, as a user would type it.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// Where its data lies.
    pub(crate) fn storage(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The file in which a registry keeps a blob or a manifest.
    pub(crate) fn stored(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let mut folders = vec![self.storage()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let is_named = |of: &Path| of.file_name().is_some_and(|name| name == hex);
                let is_data = path.ends_with("data") && path.parent().is_some_and(is_named);
                if path.is_file() && (is_named(&path) || is_data) {
                    return path;
                }
                if path.is_dir() {
                    folders.push(path);
                }
            }
        }
        panic!("{digest} is not stored");
    }

    /// Every request answered until now, in the order of the registry's log.
    pub(crate) fn access(&self) -> Vec<Access> {
        if self.kind != Kind::Serve && self.running.is_some() {
            // The log comes through a pipe, in about the order of the answers: a large one may be whole
            // here before it is in the log there.
            let marker = self.log.marker();
            self.request("GET", &marker, &[], b"");
            self.log.wait_for(&marker);
            self.log.wait_for_all(&self.own.lock().unwrap());
        }
        self.log.entries()
    }

    /// Returns when a request with this target is in the log.
    pub(crate) fn wait_for_access(&self, target: &str) {
        self.log.wait_for(target);
    }

    /// One plain request; `path` starts with a slash and may hold a query.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let scheme = if self.setup.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let url = format!("{scheme}://{}{path}", self.host());
        let reply = self.client.request(method, &url, headers, body);
        let path = path.split('?').next().unwrap().to_string();
        self.own.lock().unwrap().push((method.to_string(), path));
        reply
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[], b"")
    }

    /// The manifest under a tag or digest, whatever its media type.
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Reply {
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.request("GET", &path, &[("accept", ALL_MANIFESTS)], b"")
    }

    pub(crate) fn blob(&self, repository: &str, digest: &str) -> Reply {
        self.get(&format!("/v2/{repository}/blobs/{digest}"))
    }

    /// Puts a blob there in the plainest way.
    pub(crate) fn put_blob(&self, repository: &str, digest: &str, body: &[u8]) {
        let opened = self.request(
            "POST",
            &format!("/v2/{repository}/blobs/uploads/"),
            &[],
            b"",
        );
        assert_eq!(opened.status, 202, "{}", opened.text());
        let path = path_of(&opened.header("location").unwrap());
        let separator = if path.contains('?') { '&' } else { '?' };
        let stored = self.request(
            "PUT",
            &format!("{path}{separator}digest={digest}"),
            &[],
            body,
        );
        assert_eq!(stored.status, 201, "{}", stored.text());
    }

    pub(crate) fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        body: &[u8],
    ) -> Reply {
        let path = format!("/v2/{repository}/manifests/{reference}");
        self.request("PUT", &path, &[("content-type", media_type)], body)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) const ALL_MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// The path and query of a `Location`, be it absolute or not.
pub(crate) fn path_of(location: &str) -> String {
    match location.split_once("://") {
        Some((_, rest)) => rest[rest.find('/').unwrap()..].to_string(),
        None => location.to_string(),
    }
}
