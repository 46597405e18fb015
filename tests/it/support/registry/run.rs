//! Starts registries, each with the configuration that makes it what a test wants.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hoist::serve;

use super::{Kind, Setup};
use crate::support::access::{Access, Log};
use crate::support::programs::on_path;

pub(super) enum Running {
    Here(serve::Server),
    Process(Child),
}

impl Running {
    pub(super) fn kill(self) {
        match self {
            Self::Here(server) => drop(server),
            Self::Process(mut child) => {
                child.kill().unwrap();
                child.wait().unwrap();
            }
        }
    }
}

/// A program that another test starts just now holds every open port, ours too, between its fork and
/// its exec.
pub(super) fn wait_until_free(address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = TcpListener::bind(address) {
        let patient = error.kind() == ErrorKind::AddrInUse && Instant::now() < deadline;
        assert!(patient, "{address}: {error}");
        thread::yield_now();
    }
}

pub(super) fn run(
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
        // Collecting garbage is a good part of what short lives cost; this is still bounded.
        .env("GOGC", "1000")
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
    let deadline = Instant::now() + Duration::from_secs(10);
    let server = loop {
        match serve::Server::start(options.clone(), Box::new(tell.clone())) {
            // What another test is starting has a copy of the lock's file until it runs.
            Err(error) if error.kind() == ErrorKind::ResourceBusy && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(1));
            }
            started => break started.unwrap(),
        }
    };
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
