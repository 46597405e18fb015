//! A TCP proxy that misbehaves on request: it cuts, resets, stalls, slows down or is away.
//!
//! It sits in front of any server and passes bytes on until a fault that was armed is due. Faults
//! count bytes per connection and direction, so that a test says exactly where a stream breaks:
//!
//!     let proxy = Proxy::to(registry.address());
//!     proxy.arm(Fault::reset(Up).after(1_000_000));      // the first connection to get there
//!     proxy.arm(Fault::cut(Down).after(0).on(2).times(1)); // the third connection, before its answer
//!     hoist.push("layout", &format!("{}/app", proxy.address()));
//!     assert_eq!(proxy.connections(), 4);

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub(crate) use Direction::{Down, Up};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// Both sides are closed; what has been passed on arrives. The client's side comes last, when the
    /// server is done with what it got: clients of these tests do not wait before they ask.
    Cut,
    /// Both sides see a reset; what was on its way may be lost.
    Reset,
    /// Nothing is passed on any more in either direction; the connections stay.
    Stall,
}

/// What happens to a connection, and when. Happens once unless `times` says otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    effect: Effect,
    direction: Direction,
    after: u64,
    connection: Option<usize>,
    times: usize,
}

impl Fault {
    pub(crate) fn cut(direction: Direction) -> Self {
        Self::new(Effect::Cut, direction)
    }

    pub(crate) fn reset(direction: Direction) -> Self {
        Self::new(Effect::Reset, direction)
    }

    pub(crate) fn stall(direction: Direction) -> Self {
        Self::new(Effect::Stall, direction)
    }

    fn new(effect: Effect, direction: Direction) -> Self {
        Self {
            effect,
            direction,
            after: 0,
            connection: None,
            times: 1,
        }
    }

    /// Passes on exactly so many bytes of the connection in that direction, then strikes: at the
    /// next byte, so with 0 as soon as there is anything.
    pub(crate) fn after(mut self, bytes: u64) -> Self {
        self.after = bytes;
        self
    }

    /// Only on this connection, counted from 0 as they come in.
    pub(crate) fn on(mut self, connection: usize) -> Self {
        self.connection = Some(connection);
        self
    }

    /// On the next `times` connections that get so far.
    pub(crate) fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }
}

/// A server that has not closed a connection by then, whose other half is closed, never will.
const HANGS: Duration = Duration::from_secs(10);

#[derive(Default)]
struct State {
    faults: Mutex<Vec<Fault>>,
    /// Both ends of every connection, so that they end with the proxy and are held while stalled.
    sockets: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    up: AtomicU64,
    down: AtomicU64,
    /// Bytes per second and direction of each connection; 0 is as fast as it goes.
    rate: AtomicU64,
    away: AtomicBool,
}

/// A running proxy; dropping it closes everything.
pub(crate) struct Proxy {
    address: SocketAddr,
    target: SocketAddr,
    state: Arc<State>,
    listening: Option<JoinHandle<()>>,
}

impl Proxy {
    pub(crate) fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut proxy = Self {
            address: listener.local_addr().unwrap(),
            target,
            state: Arc::default(),
            listening: None,
        };
        proxy.listen(listener);
        proxy
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn arm(&self, fault: Fault) {
        self.state.faults.lock().unwrap().push(fault);
    }

    /// Passes on no more than so many bytes per second, in each direction of each connection.
    pub(crate) fn slow_down(&self, bytes_per_second: u64) {
        self.state.rate.store(bytes_per_second, Ordering::SeqCst);
    }

    /// New connections are refused; open ones go on. Has happened when this returns.
    pub(crate) fn go_away(&mut self) {
        self.state.away.store(true, Ordering::SeqCst);
        if let Some(listening) = self.listening.take() {
            // Wakes the listener, which then sees the flag.
            let _ = TcpStream::connect(self.address);
            listening.join().unwrap();
        }
    }

    /// Listens again, on the same port.
    pub(crate) fn come_back(&mut self) {
        self.state.away.store(false, Ordering::SeqCst);
        self.listen(TcpListener::bind(self.address).unwrap());
    }

    /// Ends every open connection.
    pub(crate) fn hang_up(&self) {
        for socket in self.state.sockets.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// How many were accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Bytes passed on so far, over all connections.
    pub(crate) fn bytes(&self, direction: Direction) -> u64 {
        self.state.counter(direction).load(Ordering::SeqCst)
    }

    fn listen(&mut self, listener: TcpListener) {
        let (state, target) = (Arc::clone(&self.state), self.target);
        self.listening = Some(thread::spawn(move || {
            for client in listener.incoming() {
                if state.away.load(Ordering::SeqCst) {
                    return;
                }
                let number = state.connections.fetch_add(1, Ordering::SeqCst);
                // A target that is away shows as a connection that ends at once.
                if let (Ok(client), Ok(server)) = (client, TcpStream::connect(target)) {
                    relay(&state, number, client, server);
                }
            }
        }));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.go_away();
        self.hang_up();
    }
}

impl State {
    fn counter(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Up => &self.up,
            Down => &self.down,
        }
    }

    /// How many of `len` bytes may pass, and what happens then.
    fn pass(&self, pump: &Pump, len: usize) -> (usize, Option<Effect>) {
        let mut faults = self.faults.lock().unwrap();
        let end = pump.passed + len as u64;
        let due = faults.iter().position(|fault| {
            fault.direction == pump.direction
                && fault.connection.is_none_or(|only| only == pump.connection)
                && (pump.passed..end).contains(&fault.after)
        });
        let Some(due) = due else {
            return (len, None);
        };
        let fault = &mut faults[due];
        let (before, effect) = ((fault.after - pump.passed) as usize, fault.effect);
        fault.times -= 1;
        if fault.times == 0 {
            faults.remove(due);
        }
        (before, Some(effect))
    }
}

/// One direction of one connection.
struct Pump {
    state: Arc<State>,
    connection: usize,
    direction: Direction,
    passed: u64,
    from: TcpStream,
    to: TcpStream,
    /// A fault has ended the connection: the other direction goes too, without a word.
    over: Arc<AtomicBool>,
}

fn relay(state: &Arc<State>, connection: usize, client: TcpStream, server: TcpStream) {
    let clone = |socket: &TcpStream| socket.try_clone().unwrap();
    for socket in [&client, &server] {
        socket.set_nodelay(true).unwrap();
        state.sockets.lock().unwrap().push(clone(socket));
    }
    let over = Arc::new(AtomicBool::new(false));
    let pump = |direction, from, to| Pump {
        state: Arc::clone(state),
        connection,
        direction,
        passed: 0,
        from,
        to,
        over: Arc::clone(&over),
    };
    let up = pump(Up, clone(&client), clone(&server));
    let down = pump(Down, server, client);
    thread::spawn(move || up.run());
    thread::spawn(move || down.run());
}

impl Pump {
    fn run(mut self) {
        if self.copy().is_err() && !self.over.load(Ordering::SeqCst) {
            let _ = self.from.shutdown(Shutdown::Both);
            let _ = self.to.shutdown(Shutdown::Both);
        }
    }

    /// Until the end of the stream, a fault or an error.
    fn copy(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let rate = self.state.rate.load(Ordering::SeqCst);
            let most = match rate {
                0 => buffer.len(),
                // Ten steps a second.
                _ => buffer.len().min((rate / 10).max(1) as usize),
            };
            let read = self.from.read(&mut buffer[..most])?;
            if self.over.load(Ordering::SeqCst) {
                return Ok(());
            }
            if read == 0 {
                return self.to.shutdown(Shutdown::Write);
            }
            let (pass, effect) = self.state.pass(self, read);
            // Counted first: who has received a byte sees it counted.
            let counter = self.state.counter(self.direction);
            counter.fetch_add(pass as u64, Ordering::SeqCst);
            self.to.write_all(&buffer[..pass])?;
            self.passed += pass as u64;
            match effect {
                Some(Effect::Cut) => return self.cut(),
                Some(Effect::Reset) => return self.reset(),
                Some(Effect::Stall) => {
                    self.over.store(true, Ordering::SeqCst);
                    return Ok(());
                }
                None if rate > 0 => {
                    thread::sleep(Duration::from_secs_f64(pass as f64 / rate as f64));
                }
                None => {}
            }
        }
    }

    fn cut(&mut self) -> io::Result<()> {
        if self.direction == Up {
            self.over.store(true, Ordering::SeqCst);
            self.to.shutdown(Shutdown::Write)?;
            self.to.set_read_timeout(Some(HANGS))?;
            // What the server still says is not passed on.
            let _ = io::copy(&mut self.to, &mut io::sink());
        }
        self.from.shutdown(Shutdown::Both)?;
        self.to.shutdown(Shutdown::Both)
    }

    /// A socket that may not linger says goodbye with a reset when its last handle is closed.
    fn reset(&self) -> io::Result<()> {
        self.over.store(true, Ordering::SeqCst);
        let ends = |socket: &TcpStream| (socket.local_addr().ok(), socket.peer_addr().ok());
        for socket in [&self.from, &self.to] {
            rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO))?;
            let mut held = self.state.sockets.lock().unwrap();
            held.retain(|other| ends(other) != ends(socket));
            // Wakes the other direction, which then drops its handles.
            socket.shutdown(Shutdown::Read)?;
        }
        Ok(())
    }
}
