//! Every registry the tests know, behind one switch: `hoist serve` in this process, and those found
//! on `PATH`.
//!
//! Each listens on a free port of loopback, keeps its data in a folder of its own, is killed when
//! dropped, and gives its access log as data. `Registry::request` speaks plain HTTP to it, so that
//! tests can look at what is there without the client they test.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hoist::serve;
use tempfile::TempDir;

use super::access::{Access, Log};
use super::http::{Client, Reply};
use super::room::room;

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
    /// Its data is in memory, where there is room for that: for hundreds of small pushes.
    pub(crate) in_memory: bool,
    pub(crate) token: Option<TokenAuth>,
    /// It remembers which blobs it has, and does not look.
    pub(crate) remembers_blobs: bool,
    /// For so many bytes, in memory where there is room.
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

enum Running {
    Here(serve::Server),
    Process(Child),
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

pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Programs that are no registries and without which tests do nothing; see [`program`].
pub(crate) const PROGRAMS: [&str; 5] = ["nginx", "openssl", "podman", "skopeo", "tinyproxy"];

/// Where one of [`PROGRAMS`] is; servers are not always on `PATH`.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    assert!(
        PROGRAMS.contains(&name),
        "{name} is not named when it is missing"
    );
    on_path(name).or_else(|| {
        let file = Path::new("/usr/sbin").join(name);
        file.is_file().then_some(file)
    })
}

impl Registry {
    pub(crate) fn start(kind: Kind) -> Self {
        Self::start_with(kind, Setup::default())
    }

    pub(crate) fn start_with(kind: Kind, setup: Setup) -> Self {
        let memory = || tempfile::tempdir_in("/dev/shm");
        let dir = match setup.room {
            0 if setup.in_memory => memory().or_else(|_| tempfile::tempdir()).unwrap(),
            0 => tempfile::tempdir().unwrap(),
            bytes => room(bytes),
        };
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
        match self.running.take() {
            Some(Running::Here(server)) => drop(server),
            Some(Running::Process(mut child)) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
            None => {}
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

    /// `localhost:PORT`, as a user would type it.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// Where its data lies.
    pub(crate) fn storage(&self) -> PathBuf {
        self.dir.path().join("data")
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

/// A program that another test starts just now holds every open port, ours too, between its fork and
/// its exec.
fn wait_until_free(address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = TcpListener::bind(address) {
        let patient = error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline;
        assert!(patient, "{address}: {error}");
        thread::yield_now();
    }
}

fn run(
    kind: Kind,
    setup: &Setup,
    dir: &Path,
    listen: SocketAddr,
    log: &Arc<Log>,
) -> (Running, SocketAddr) {
    let data = dir.join("data");
    fs::create_dir_all(&data).unwrap();
    let Some(program) = kind.program() else {
        return serve_here(&data, listen, log);
    };
    let program = on_path(program).unwrap_or_else(|| panic!("no {program} on PATH"));
    let mut command = Command::new(program);
    let config = dir.join(if kind == Kind::Zot { "c.json" } else { "c.yml" });
    if kind == Kind::Zot {
        assert!(setup.basic.is_none() && setup.tls.is_none() && setup.token.is_none());
        fs::write(&config, zot_config(&data, listen)).unwrap();
    } else {
        fs::write(&config, distribution_config(setup, dir, listen)).unwrap();
    }
    let mut child = command
        .arg("serve")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    log.follow(child.stdout.take().unwrap());
    log.follow(child.stderr.take().unwrap());
    // zot names its port only when it had the choice.
    let port = match listen.port() {
        0 => log.wait_for_port(),
        _ => wait_for_listener(listen).then_some(listen.port()),
    };
    let port = port.unwrap_or_else(|| {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("{} did not start:\n{}", kind.name(), log.text())
    });
    (
        Running::Process(child),
        SocketAddr::from(([127, 0, 0, 1], port)),
    )
}

fn wait_for_listener(address: SocketAddr) -> bool {
    (0..1500).any(|_| {
        let connected = TcpStream::connect(address).is_ok();
        if !connected {
            thread::sleep(Duration::from_millis(20));
        }
        connected
    })
}

fn serve_here(data: &Path, listen: SocketAddr, log: &Arc<Log>) -> (Running, SocketAddr) {
    let options = serve::Options {
        listen,
        durable: false,
        ..serve::Options::new(data)
    };
    let log = Arc::clone(log);
    let tell = move |access: &serve::Access| {
        log.add(Access {
            method: access.method.clone(),
            target: access.target.clone(),
            status: access.status,
        });
    };
    let server = serve::Server::start(options, Box::new(tell)).unwrap();
    let address = server.address();
    (Running::Here(server), address)
}

fn distribution_config(setup: &Setup, dir: &Path, listen: SocketAddr) -> String {
    let mut config = format!(
        "version: 0.1\n\
         storage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n\
         http:\n  addr: {listen}\n",
        dir.join("data").display()
    );
    if setup.remembers_blobs {
        config = config.replace(
            "storage:\n",
            "storage:\n  cache: {blobdescriptor: inmemory}\n",
        );
    }
    if let Some(tls) = &setup.tls {
        let (certificate, key) = (tls.certificate.display(), tls.key.display());
        let clients = setup
            .client_ca
            .as_ref()
            .map(|ca| format!(", clientcas: [{}]", ca.display()));
        let clients = clients.unwrap_or_default();
        config += &format!("  tls: {{certificate: {certificate}, key: {key}{clients}}}\n");
    }
    if let Some((user, password)) = &setup.basic {
        let file = dir.join("htpasswd");
        fs::write(&file, htpasswd(user, password)).unwrap();
        let file = file.display();
        config += &format!("auth:\n  htpasswd: {{realm: test, path: {file}}}\n");
    }
    if let Some(token) = &setup.token {
        config += &format!(
            "auth:\n  token: {{realm: {}, service: {}, issuer: {}, rootcertbundle: {}}}\n",
            token.realm,
            token.service,
            token.issuer,
            token.bundle.display()
        );
    }
    config
}

/// distribution takes bcrypt only, so the file is made by the tool; each pair once, it is slow.
fn htpasswd(user: &str, password: &str) -> Vec<u8> {
    static MADE: Mutex<BTreeMap<(String, String), Vec<u8>>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap();
    let key = (user.to_string(), password.to_string());
    let make = || {
        let mut child = Command::new("htpasswd")
            .args(["-niB", "-C", "4", user])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("htpasswd (apache2-utils) makes the password file");
        let mut input = child.stdin.take().unwrap();
        input.write_all(password.as_bytes()).unwrap();
        drop(input);
        child.wait_with_output().unwrap().stdout
    };
    made.entry(key).or_insert_with(make).clone()
}

fn zot_config(data: &Path, listen: SocketAddr) -> String {
    serde_json::json!({
        "distSpecVersion": "1.1.1",
        "storage": {"rootDirectory": data, "gc": false},
        "http": {
            "address": listen.ip().to_string(),
            "port": listen.port().to_string(),
            "compat": ["docker2s2"],
        },
        "log": {"level": "info"},
    })
    .to_string()
}
