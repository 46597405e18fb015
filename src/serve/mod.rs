//! The embedded registry: one OCI layout per repository in a folder.
//!
//! It imports only the image model, so that it stays a second reading of the specification.

mod api;
mod connections;
mod http;
#[cfg(test)]
pub(crate) mod soak;
mod store;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use connections::Connections;
use http::connection::Service;
use store::Store;

#[derive(Clone, Debug)]
pub struct Options {
    /// Made when it is not there.
    pub dir: PathBuf,
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    pub limits: Limits,
    /// Whether data is forced to the disk before it is confirmed, so that it survives a power cut.
    pub durable: bool,
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
            durable: true,
        }
    }
}

/// A request that was answered, for whoever counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// 499 when the client went away inside its body, so that nobody was left to answer.
    pub status: u16,
    /// Bytes of request body read.
    pub received: u64,
}

/// A running registry; dropping it stops it.
pub struct Server {
    address: SocketAddr,
    connections: Arc<Connections>,
    acceptor: Option<JoinHandle<()>>,
    unwritable: Option<io::Error>,
}

impl Server {
    /// Listens, and answers on threads of its own from then on.
    ///
    /// `log` is called from the connection's thread just before each answer is sent, so that whoever
    /// has the answer finds it logged.
    pub fn start(options: Options, log: Box<dyn Fn(&Access) + Send + Sync>) -> io::Result<Self> {
        let age = options.limits.upload_age;
        let store = Store::open(&options.dir, options.durable, age)
            .map_err(|error| during("opening the folder", &error))?;
        let unwritable = store.unwritable();
        let listener =
            TcpListener::bind(options.listen).map_err(|error| during("listening", &error))?;
        let address = listener.local_addr()?;
        let connections = Connections::new(options.limits.connections);
        let service = Arc::new(Service {
            handler: Box::new(move |head, body| api::handle(&store, head, body)),
            log,
            limits: options.limits,
        });
        let acceptor = thread::Builder::new().name("accept".into()).spawn({
            let connections = Arc::clone(&connections);
            move || connections.accept(&listener, &service)
        })?;
        Ok(Self {
            address,
            connections,
            acceptor: Some(acceptor),
            unwritable,
        })
    }

    /// Where it listens, with the port it was given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Why its folder can be read only, if it can: pulls work then, and pushes do not.
    pub fn unwritable(&self) -> Option<&io::Error> {
        self.unwritable.as_ref()
    }

    /// Ends it: no further request is answered, and those under way are cut. What was received of
    /// uploads stays.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(acceptor) = self.acceptor.take() else {
            return;
        };
        self.connections.stop();
        if connections::wake(self.address) {
            // A panic there has been reported, and ended it as well.
            let _ = acceptor.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn during(step: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{step}: {error}"))
}
