//! What stands in front of registries: tinyproxy as the proxy of a company, nginx as the end of TLS.
//!
//! Each listens on loopback, keeps its files in a folder of its own, and is killed when dropped.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::programs::program;
use super::tls::Identity;

pub(crate) struct Front {
    child: Child,
    address: SocketAddr,
    dir: TempDir,
}

impl Front {
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has written down about requests so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A forward proxy with these lines in its configuration besides; none where it is not installed.
pub(crate) fn tinyproxy(lines: &str) -> Option<Front> {
    start("tinyproxy", |dir, port| {
        let dir = dir.display();
        format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 200\n\
             LogFile \"{dir}/log\"\nLogLevel Connect\n{lines}\n"
        )
    })
}

/// The end of TLS, as `identity`, in front of `behind`; `lines` are for its server. None where it is not
/// installed.
pub(crate) fn nginx(identity: &Identity, behind: SocketAddr, lines: &str) -> Option<Front> {
    start("nginx", |dir, port| {
        let (certificate, key) = identity.write(dir);
        let (certificate, key) = (certificate.display(), key.display());
        let dir = dir.display();
        format!(
            "daemon off;\nmaster_process off;\nuser root;\npid {dir}/pid;\nerror_log {dir}/errors;\n\
             events {{ worker_connections 256; }}\n\
             http {{\n  access_log {dir}/log;\n  client_body_temp_path {dir}/body;\n  \
             proxy_temp_path {dir}/proxy;\n  fastcgi_temp_path {dir}/f;\n  uwsgi_temp_path {dir}/u;\n  \
             scgi_temp_path {dir}/s;\n  server {{\n    listen 127.0.0.1:{port} ssl;\n    \
             ssl_certificate {certificate};\n    ssl_certificate_key {key};\n    {lines}\n    \
             location / {{ proxy_pass http://{behind}; proxy_set_header Host $http_host; }}\n  }}\n}}\n"
        )
    })
}

/// Gives each request to the next of `behind`, in plain http; none where it is not installed.
pub(crate) fn balancer(behind: &[SocketAddr]) -> Option<Front> {
    let servers: String = behind
        .iter()
        .map(|address| format!("server {address} max_fails=0;"))
        .collect();
    start("nginx", |dir, port| {
        let dir = dir.display();
        format!(
            "daemon off;\nmaster_process off;\nuser root;\npid {dir}/pid;\nerror_log {dir}/errors;\n\
             events {{ worker_connections 256; }}\n\
             http {{\n  access_log {dir}/log;\n  client_body_temp_path {dir}/body;\n  \
             proxy_temp_path {dir}/proxy;\n  fastcgi_temp_path {dir}/f;\n  uwsgi_temp_path {dir}/u;\n  \
             scgi_temp_path {dir}/s;\n  upstream replicas {{ {servers} }}\n  server {{\n    \
             listen 127.0.0.1:{port};\n    client_max_body_size 0;\n    \
             location / {{ proxy_pass http://replicas; proxy_set_header Host $http_host; \
             proxy_http_version 1.1; }}\n  }}\n}}\n"
        )
    })
}

fn start(name: &str, config: impl Fn(&Path, u16) -> String) -> Option<Front> {
    let program = program(name)?;
    // Somebody else may take the port between our asking for a free one and its use.
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let file = dir.path().join("conf");
        fs::write(&file, config(dir.path(), address.port())).unwrap();
        let mut command = Command::new(&program);
        if name == "tinyproxy" {
            command.arg("-d");
        }
        let mut child = command
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        if listens(&mut child, address) {
            return Some(Front {
                child,
                address,
                dir,
            });
        }
        let _ = child.kill();
        child.wait().unwrap();
    }
    panic!("{name} does not start");
}

fn listens(child: &mut Child, address: SocketAddr) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if TcpStream::connect(address).is_ok() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}
