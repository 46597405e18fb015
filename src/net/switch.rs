//! The one switch that ends everything in flight: it knows every open socket.

use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::failure::Fault;
use super::liveness::Doubt;

/// Starts on; once off it stays off.
#[derive(Debug, Default)]
pub(super) struct Switch {
    off: AtomicBool,
    /// Weak, so that a socket closes when its connection is dropped.
    sockets: Mutex<Vec<Weak<TcpStream>>>,
    pub(super) doubt: Doubt,
}

impl Switch {
    pub(super) fn is_off(&self) -> bool {
        self.off.load(Ordering::SeqCst)
    }

    /// Fails when the switch is off, so that no connection made meanwhile escapes it.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.is_off() {
            Err(Fault::shutdown())
        } else {
            Ok(())
        }
    }

    /// Remembers a new socket.
    pub(super) fn adopt(&self, socket: &Arc<TcpStream>) -> Result<(), Fault> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        self.check()?;
        sockets.retain(|known| known.strong_count() > 0);
        sockets.push(Arc::downgrade(socket));
        Ok(())
    }

    /// Wakes every thread that is blocked on a socket.
    pub(super) fn turn_off(&self) {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        self.off.store(true, Ordering::SeqCst);
        for socket in sockets.drain(..).filter_map(|known| known.upgrade()) {
            // It may be closed already, which is what is wanted.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
