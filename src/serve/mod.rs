//! The embedded registry: one OCI layout per repository in a folder.
//!
//! It imports only the image model, so that it stays a second reading of the specification.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub struct Options {
    /// Made when it is not there.
    pub dir: PathBuf,
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
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
