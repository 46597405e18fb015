//! The embedded registry: one OCI layout per repository in a folder.
//!
//! It imports only the image model, so that it stays a second reading of the specification.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Options {
    /// Made when it is not there.
    pub dir: PathBuf,
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    pub limits: Limits,
}

/// What one client can make the registry hold or wait for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open at once; further ones wait until one closes.
    pub connections: usize,
    /// From the first byte of a request head to its last.
    pub head_timeout: Duration,
    /// Between requests on one connection.
    pub idle_timeout: Duration,
    /// Without a byte moving in a body, in either direction.
    pub stall_timeout: Duration,
    /// Of an upload session nobody touches; then its bytes are removed.
    pub upload_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            head_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(120),
            stall_timeout: Duration::from_secs(60),
            upload_age: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

impl Options {
    /// On port 5000 of loopback, with the usual limits.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 5000)),
            limits: Limits::default(),
        }
    }
}

/// A request that was answered, for whoever counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub status: u16,
    /// Bytes of request body read.
    pub received: u64,
}

/// A running registry; dropping it stops it.
pub struct Server {}

impl Server {
    /// `log` is called after each answer, from the connection's thread.
    pub fn start(_options: Options, _log: Box<dyn Fn(&Access) + Send + Sync>) -> io::Result<Self> {
        unimplemented!()
    }

    pub fn address(&self) -> SocketAddr {
        unimplemented!()
    }
}
