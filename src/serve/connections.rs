//! Accepting connections: a bounded number of threads, and an end to all of them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::http::connection::{Service, converse};

/// The open connections of a server.
pub(super) struct Connections {
    limit: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: HashMap<u64, Slot>,
    next: u64,
    stopping: bool,
}

struct Slot {
    stream: Arc<TcpStream>,
    idle_since: Option<Instant>,
}

/// A connection's place, given back when dropped.
struct Place {
    connections: Arc<Connections>,
    number: u64,
}

/// Threads that are inside a system call on the disk get so long to come out.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

impl Connections {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit: limit.max(1),
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Accepts until [`Self::stop`].
    pub(super) fn accept(self: &Arc<Self>, listener: &TcpListener, service: &Arc<Service>) {
        loop {
            let accepted = listener.accept();
            if self.state().stopping {
                return;
            }
            let Ok((stream, _)) = accepted else {
                // Out of file descriptors, most likely: they come back when connections end.
                thread::sleep(Duration::from_millis(20));
                continue;
            };
            let Some((place, stream)) = self.admit(stream) else {
                return;
            };
            let service = Arc::clone(service);
            let spawned = thread::Builder::new().name("serve".into()).spawn(move || {
                converse(&stream, &service, &|idle| place.set_idle(idle));
            });
            if let Err(error) = spawned {
                log::warn!("cannot start a thread for a connection: {error}");
            }
        }
    }

    /// Waits until there is room, closing the connection that has been idle for longest where there
    /// is none; nothing when the server stops meanwhile.
    fn admit(self: &Arc<Self>, stream: TcpStream) -> Option<(Place, Arc<TcpStream>)> {
        let mut state = self.state();
        while state.open.len() >= self.limit && !state.stopping {
            let idle = state.open.values_mut().filter(|s| s.idle_since.is_some());
            if let Some(slot) = idle.min_by_key(|slot| slot.idle_since) {
                slot.idle_since = None;
                let _ = slot.stream.shutdown(Shutdown::Both);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopping {
            return None;
        }
        let stream = Arc::new(stream);
        let number = state.next;
        state.next += 1;
        let slot = Slot {
            stream: Arc::clone(&stream),
            idle_since: Some(Instant::now()),
        };
        state.open.insert(number, slot);
        let place = Place {
            connections: Arc::clone(self),
            number,
        };
        Some((place, stream))
    }

    /// Ends every connection, whatever it is doing, and waits until its thread has let go.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        state.stopping = true;
        for slot in state.open.values() {
            let _ = slot.stream.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
        let ended = self
            .changed
            .wait_timeout_while(state, STOP_PATIENCE, |state| !state.open.is_empty());
        drop(ended);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn set_idle(&self, idle: bool) {
        let mut state = self.connections.state();
        if let Some(slot) = state.open.get_mut(&self.number) {
            slot.idle_since = idle.then(Instant::now);
        }
        drop(state);
        if idle {
            self.connections.changed.notify_all();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.state().open.remove(&self.number);
        self.connections.changed.notify_all();
    }
}

/// Makes a blocked accept return, so that it sees the server stop.
pub(super) fn wake(address: SocketAddr) -> bool {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(ip, address.port());
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}
