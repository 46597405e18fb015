//! Connections opened before they are needed, so that the handshakes of many run at once and
//! beside the first requests.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ureq::unversioned::transport::{ConnectionDetails, Connector, Transport};

use super::dial::{Dialer, LOOK, Origin};
use super::failure::Fault;
use super::wire::Wire;

/// Servers give up on silent connections sooner than on idle ones.
const READY_AGE: Duration = Duration::from_secs(20);

/// What has waited longer may have been closed in the very moment it is used.
const FRESH: Duration = Duration::from_secs(1);

/// A connection that is there within this is not worth a thread of its own.
const AT_ONCE: Duration = Duration::from_millis(1);

/// Gives ureq its connections: those that are ready, or about to be, before new ones.
pub(super) struct Stash {
    dialer: Arc<Dialer>,
    shelves: Mutex<HashMap<Origin, Shelf>>,
    changed: Condvar,
}

/// What there is for one origin. Every pending connection becomes a ready one or a fault.
#[derive(Default)]
struct Shelf {
    ready: Vec<(Instant, Wire)>,
    pending: usize,
    /// Callers that wait for a pending connection; never more than those.
    waiting: usize,
    /// For those who waited.
    faults: Vec<Fault>,
    /// The last one that somebody opened for itself took no longer than [`AT_ONCE`].
    at_once: bool,
}

impl Stash {
    pub(super) fn new(dialer: Dialer) -> Self {
        Stash {
            dialer: Arc::new(dialer),
            shelves: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Takes in a connection that somebody else has opened.
    pub(super) fn put(&self, origin: &Origin, wire: Wire) {
        let mut shelves = self.lock();
        let shelf = shelves.entry(origin.clone()).or_default();
        shelf.ready.push((Instant::now(), wire));
    }

    /// Sees to it that `count` connections are there or on their way; returns at once.
    pub(super) fn prepare(self: &Arc<Self>, origin: &Origin, count: usize) {
        let (missing, at_once) = {
            let mut shelves = self.lock();
            let shelf = shelves.entry(origin.clone()).or_default();
            let missing = count.saturating_sub(shelf.ready.len() + shelf.pending);
            shelf.pending += missing;
            (missing, shelf.at_once)
        };
        match at_once {
            true => self.open(origin, missing),
            false => (0..missing).for_each(|_| self.open(origin, 1)),
        }
    }

    /// Opens so many in the background, one after the other while that takes next to no time.
    fn open(self: &Arc<Self>, origin: &Origin, count: usize) {
        if count == 0 {
            return;
        }
        let (stash, origin_too) = (Arc::clone(self), origin.clone());
        let work = move || {
            for left in (0..count).rev() {
                let outcome = stash.dial(&origin_too);
                let quick = matches!(outcome, Ok((_, true)));
                stash.arrive(&origin_too, outcome.map(|(wire, _)| wire));
                if !quick {
                    (0..left).for_each(|_| stash.open(&origin_too, 1));
                    return;
                }
            }
        };
        let spawned = thread::Builder::new()
            .name("preconnect".to_owned())
            .spawn(work);
        if let Err(error) = spawned {
            let fault = super::dial::no_thread(&error);
            (0..count).for_each(|_| self.arrive(origin, Err(fault.clone())));
        }
    }

    /// Whether it was there at once as well: TLS never is, having to compute.
    fn dial(&self, origin: &Origin) -> Result<(Wire, bool), Fault> {
        let began = Instant::now();
        let wire = self.dialer.dial(origin)?;
        Ok((wire, !origin.tls && began.elapsed() <= AT_ONCE))
    }

    fn arrive(&self, origin: &Origin, outcome: Result<Wire, Fault>) {
        let mut shelves = self.lock();
        let shelf = shelves.entry(origin.clone()).or_default();
        shelf.pending = shelf.pending.saturating_sub(1);
        match outcome {
            Ok(wire) => shelf.ready.push((Instant::now(), wire)),
            Err(fault) if shelf.waiting > 0 => shelf.faults.push(fault),
            // Whoever needs a connection will dial, and be told.
            Err(_) => {}
        }
        drop(shelves);
        self.changed.notify_all();
    }

    /// A connection that is ready, or that was on its way and has arrived; `None` when the caller
    /// must dial.
    fn take(&self, origin: &Origin) -> Result<Option<Wire>, Fault> {
        let mut shelves = self.lock();
        loop {
            self.dialer.switch.check()?;
            let Some(shelf) = shelves.get_mut(origin) else {
                return Ok(None);
            };
            if let Some(wire) = shelf.pick() {
                return Ok(Some(wire));
            }
            if shelf.waiting >= shelf.pending {
                return Ok(None);
            }
            shelf.waiting += 1;
            let waited = self.changed.wait_timeout(shelves, LOOK);
            shelves = waited.unwrap_or_else(PoisonError::into_inner).0;
            let fault = shelves.get_mut(origin).and_then(Shelf::leave);
            if let Some(fault) = fault {
                return Err(fault);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Shelf>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    /// The youngest that still stands; the others are closed.
    fn pick(&mut self) -> Option<Wire> {
        while let Some((since, mut wire)) = self.ready.pop() {
            if since.elapsed() < READY_AGE && wire.is_open() {
                wire.aged = since.elapsed() > FRESH;
                return Some(wire);
            }
        }
        None
    }

    /// Ends a wait: what went wrong, unless a connection has come.
    fn leave(&mut self) -> Option<Fault> {
        self.waiting -= 1;
        let fault = match self.ready.is_empty() {
            true => self.faults.pop(),
            false => None,
        };
        if self.waiting == 0 {
            self.faults.clear();
        }
        fault
    }
}

/// The stash as ureq wants it.
pub(super) struct Line(pub(super) Arc<Stash>);

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

impl Connector<()> for Line {
    type Out = Wire;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<Wire>, ureq::Error> {
        let origin = Origin::of(details.uri)?;
        if let Some(wire) = self.0.take(&origin)? {
            return Ok(Some(wire));
        }
        let (wire, at_once) = self.0.dial(&origin)?;
        self.0.lock().entry(origin).or_default().at_once = at_once;
        Ok(Some(wire))
    }
}
