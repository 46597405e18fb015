//! A TCP proxy that misbehaves on request: it cuts, resets, stalls, slows down, changes bodies or is
//! away.
//!
//! It sits in front of any server and passes bytes on until a fault that was armed is due. Faults
//! count bytes per connection and direction, so that a test says exactly where a stream breaks:
//!
//!     let proxy = Proxy::to(registry.address());
//!     proxy.arm(Fault::reset(Up).after(1_000_000));      // the first connection to get there
//!     proxy.arm(Fault::cut(Down).after(0).on(2).times(1)); // the third connection, before its answer
//!     hoist.push("layout", &format!("{}/app", proxy.address()));
//!     assert_eq!(proxy.connections(), 4);

mod bodies;
mod fault;
mod pump;

use std::collections::HashMap;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

pub(crate) use fault::{Direction, Down, Fault, Up};

use fault::Effect;
use pump::{Pump, relay};

/// What a connection takes in before it is read, in bytes.
const ROOM: usize = 256 << 10;

struct State {
    address: SocketAddr,
    target: SocketAddr,
    faults: Mutex<Vec<Fault>>,
    /// What faults have done so far, in words.
    struck: Mutex<Vec<String>>,
    /// Both ends of every connection, so that they end with the proxy and are held while stalled.
    sockets: Mutex<HashMap<usize, [TcpStream; 2]>>,
    connections: AtomicUsize,
    /// Of connections below this number nothing gets through, either way.
    forgotten: AtomicUsize,
    up: AtomicU64,
    down: AtomicU64,
    /// Bodies that began, up and down.
    bodies: [AtomicU64; 2],
    /// Bytes per second and direction of each connection; 0 is as fast as it goes.
    rate: AtomicU64,
    away: Mutex<Away>,
    leaves: Condvar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    Here,
    For(Duration),
    Gone,
}

/// A running proxy; dropping it closes everything.
pub(crate) struct Proxy {
    state: Arc<State>,
    /// Gives back the address when nobody listens on it any more.
    listening: Option<JoinHandle<Socket>>,
    address: Option<Socket>,
}

impl Proxy {
    pub(crate) fn to(target: SocketAddr) -> Self {
        let socket = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let state = State {
            address: socket.local_addr().unwrap().as_socket().unwrap(),
            target,
            faults: Mutex::default(),
            struck: Mutex::default(),
            sockets: Mutex::default(),
            connections: AtomicUsize::new(0),
            forgotten: AtomicUsize::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            bodies: Default::default(),
            rate: AtomicU64::new(0),
            away: Mutex::new(Away::Gone),
            leaves: Condvar::new(),
        };
        let mut proxy = Self {
            state: Arc::new(state),
            listening: None,
            address: Some(socket),
        };
        proxy.come_back();
        proxy
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.state.address
    }

    pub(crate) fn arm(&self, fault: Fault) {
        self.state.faults.lock().unwrap().push(fault);
    }

    /// Nothing happens any more.
    pub(crate) fn disarm(&self) {
        self.state.faults.lock().unwrap().clear();
    }

    /// What has happened so far, and to which request.
    pub(crate) fn struck(&self) -> Vec<String> {
        self.state.struck.lock().unwrap().clone()
    }

    /// Passes on no more than so many bytes per second, in each direction of each connection.
    pub(crate) fn slow_down(&self, bytes_per_second: u64) {
        self.state.rate.store(bytes_per_second, Ordering::SeqCst);
    }

    /// New connections are refused; open ones go on. Has happened when this returns.
    pub(crate) fn go_away(&mut self) {
        if let Some(listening) = self.listening.take() {
            self.state.leave(Away::Gone);
            self.address = Some(listening.join().unwrap());
        }
    }

    /// The same, for so long.
    pub(crate) fn go_away_for(&self, time: Duration) {
        self.state.leave(Away::For(time));
    }

    /// Listens again, on the same port.
    pub(crate) fn come_back(&mut self) {
        let Some(socket) = self.address.take() else {
            return;
        };
        *self.state.away.lock().unwrap() = Away::Here;
        let state = Arc::clone(&self.state);
        let listener = listening(socket);
        self.listening = Some(thread::spawn(move || state.listen(listener)));
    }

    /// Ends every open connection.
    pub(crate) fn hang_up(&self) {
        self.state.hang_up();
    }

    /// Leaves every open connection as it is, and lets nothing through any more: what a network does that
    /// was away for long.
    pub(crate) fn forget(&self) {
        self.state
            .forgotten
            .store(self.connections(), Ordering::SeqCst);
    }

    /// How many were accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Bytes passed on so far, over all connections.
    pub(crate) fn bytes(&self, direction: Direction) -> u64 {
        self.state.counter(direction).load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.go_away();
        self.hang_up();
    }
}

/// An address that is ours, and where connections are refused until somebody listens: as many sockets
/// as like may be bound to it.
fn bound(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    rustix::net::sockopt::set_socket_reuseport(&socket, true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket
}

fn listening(socket: Socket) -> TcpListener {
    // Newer kernels would take in 32 MiB that the proxy does not read: who sends is to feel a stall.
    socket.set_recv_buffer_size(ROOM).unwrap();
    socket.listen(1024).unwrap();
    socket.into()
}

impl State {
    fn listen(self: &Arc<Self>, mut listener: TcpListener) -> Socket {
        loop {
            let away = self.accept(&listener);
            let address = bound(self.address);
            drop(listener);
            if !self.returns_after(away) {
                return address;
            }
            listener = listening(address);
        }
    }

    /// Waits for as long as nobody is to be here; false when nobody comes back.
    fn returns_after(&self, away: Away) -> bool {
        let Away::For(time) = away else {
            return false;
        };
        let now = self.away.lock().unwrap();
        let stays = |state: &mut Away| *state != Away::Gone;
        let waited = self.leaves.wait_timeout_while(now, time, stays);
        let (mut then, _) = waited.unwrap();
        if *then == Away::Gone {
            return false;
        }
        *then = Away::Here;
        true
    }

    /// Until it is time to leave.
    fn accept(self: &Arc<Self>, listener: &TcpListener) -> Away {
        loop {
            let client = listener.accept();
            let away = *self.away.lock().unwrap();
            if away != Away::Here {
                return away;
            }
            let number = self.connections.fetch_add(1, Ordering::SeqCst);
            let Ok((client, _)) = client else {
                continue;
            };
            if self.shuts(number) {
                let _ = rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO));
                continue;
            }
            // A target that is away shows as a connection that ends at once.
            if let Ok(server) = TcpStream::connect(self.target) {
                relay(self, number, client, server);
            }
        }
    }

    fn leave(&self, away: Away) {
        *self.away.lock().unwrap() = away;
        self.leaves.notify_all();
        // Wakes the listener, which then sees it.
        let _ = TcpStream::connect(self.address);
    }

    fn restart(&self, away: Duration) {
        {
            let mut now = self.away.lock().unwrap();
            if *now != Away::Here {
                return;
            }
            *now = Away::For(away);
        }
        let _ = TcpStream::connect(self.address);
        self.hang_up();
    }

    fn hang_up(&self) {
        for (_, ends) in self.sockets.lock().unwrap().drain() {
            for socket in ends {
                let _ = socket.shutdown(Shutdown::Both);
            }
        }
    }

    fn counter(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Up => &self.up,
            Down => &self.down,
        }
    }

    /// How many of `len` bytes may pass, and what happens then.
    fn pass(&self, pump: &mut Pump, connection: usize, len: usize) -> (usize, Option<Effect>) {
        let end = pump.passed + len as u64;
        let struck = self.strike(connection, pump.request(), |number, fault| {
            !matches!(fault.effect, Effect::Flip(_) | Effect::Shut)
                && fault.direction == pump.direction
                && !pump.struck.contains(&number)
                && (pump.passed..end).contains(&fault.after)
        });
        match struck {
            None => (len, None),
            Some((number, fault)) => {
                pump.struck.push(number);
                ((fault.after - pump.passed) as usize, Some(fault.effect))
            }
        }
    }

    /// The bit that is to change in a body that begins.
    fn flip(&self, direction: Direction, connection: usize, request: &str) -> Option<u64> {
        let bodies = &self.bodies[direction as usize];
        let body = bodies.fetch_add(1, Ordering::SeqCst);
        let struck = self.strike(connection, request, |_, fault| {
            // One that strikes more than once does so in every body from there on.
            matches!(fault.effect, Effect::Flip(_))
                && fault.direction == direction
                && fault.after <= body
        });
        match struck?.1.effect {
            Effect::Flip(bit) => Some(bit),
            _ => None,
        }
    }

    fn shuts(&self, connection: usize) -> bool {
        let shuts = |_, fault: &Fault| fault.effect == Effect::Shut;
        self.strike(connection, "no request yet", shuts).is_some()
    }

    /// Uses the first fault that is due up.
    fn strike(
        &self,
        connection: usize,
        request: &str,
        due: impl Fn(usize, &Fault) -> bool,
    ) -> Option<(usize, Fault)> {
        let mut faults = self.faults.lock().unwrap();
        let mut numbered = faults.iter_mut().enumerate();
        let (number, fault) =
            numbered.find(|(number, fault)| fault.may_strike(connection) && due(*number, fault))?;
        let struck = fault.clone();
        fault.struck();
        let words = format!("connection {connection}, {request}: {struck}");
        self.struck.lock().unwrap().push(words);
        Some((number, struck))
    }
}
