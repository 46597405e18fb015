//! One direction of a connection: reads here, writes there, until something happens to it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::State;
use super::bodies::{Asked, Bodies};
use super::fault::{Direction, Down, Effect, Up};

/// A server that has not closed a connection by then, whose other half is closed, never will.
const HANGS: Duration = Duration::from_secs(10);

pub(super) struct Pump {
    state: Arc<State>,
    connection: usize,
    pub(super) direction: Direction,
    pub(super) passed: u64,
    /// The faults that have struck here and let the connection go on, by number.
    pub(super) struck: Vec<usize>,
    bodies: Bodies,
    slow: Option<(usize, Duration)>,
    from: TcpStream,
    to: TcpStream,
    shared: Arc<Shared>,
}

/// What the two directions know of each other.
struct Shared {
    /// A fault has ended the connection: the other direction goes too, without a word.
    over: AtomicBool,
    /// Bytes are taken from the client, and go nowhere.
    vanished: AtomicBool,
    running: AtomicUsize,
}

pub(super) fn relay(state: &Arc<State>, connection: usize, client: TcpStream, server: TcpStream) {
    let clone = |socket: &TcpStream| socket.try_clone().unwrap();
    for socket in [&client, &server] {
        socket.set_nodelay(true).unwrap();
    }
    let ends = [clone(&client), clone(&server)];
    state.sockets.lock().unwrap().insert(connection, ends);
    let shared = Arc::new(Shared {
        over: AtomicBool::new(false),
        vanished: AtomicBool::new(false),
        running: AtomicUsize::new(2),
    });
    let asked = Asked::default();
    let pump = |direction, from, to| Pump {
        state: Arc::clone(state),
        connection,
        direction,
        passed: 0,
        struck: Vec::new(),
        bodies: Bodies::new(direction, &asked),
        slow: None,
        from,
        to,
        shared: Arc::clone(&shared),
    };
    let up = pump(Up, clone(&client), clone(&server));
    let down = pump(Down, server, client);
    thread::spawn(move || up.run());
    thread::spawn(move || down.run());
}

impl Pump {
    fn run(mut self) {
        if self.copy().is_err() && !self.is_over() {
            let _ = self.from.shutdown(Shutdown::Both);
            let _ = self.to.shutdown(Shutdown::Both);
        }
        let last = self.shared.running.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && !self.is_over() {
            self.state.sockets.lock().unwrap().remove(&self.connection);
        }
    }

    fn is_over(&self) -> bool {
        self.shared.over.load(Ordering::SeqCst) || self.is_forgotten()
    }

    fn is_forgotten(&self) -> bool {
        self.connection < self.state.forgotten.load(Ordering::SeqCst)
    }

    /// Until the end of the stream, a fault or an error.
    fn copy(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let most = self
                .pace()
                .map_or(buffer.len(), |(step, _)| step.min(buffer.len()));
            let read = self.from.read(&mut buffer[..most])?;
            if self.is_forgotten() && read > 0 {
                continue;
            }
            if self.is_over() && !self.shared.vanished.load(Ordering::SeqCst) {
                return Ok(());
            }
            if read == 0 {
                return self.to.shutdown(Shutdown::Write);
            }
            let (state, direction, connection) = (&self.state, self.direction, self.connection);
            self.bodies.pass(&mut buffer[..read], |request, _| {
                state.flip(direction, connection, request)
            });
            if !self.pass_on(&mut buffer[..read])? {
                return Ok(());
            }
        }
    }

    /// False when there is nothing more to do.
    fn pass_on(&mut self, mut bytes: &mut [u8]) -> io::Result<bool> {
        while !bytes.is_empty() {
            if self.shared.vanished.load(Ordering::SeqCst) {
                return Ok(self.direction == Up);
            }
            let pace = self.pace();
            let step = pace.map_or(bytes.len(), |pace| pace.0.min(bytes.len()));
            let state = Arc::clone(&self.state);
            let (pass, effect) = state.pass(self, self.connection, step);
            // Counted first: who has received a byte sees it counted.
            let counter = self.state.counter(self.direction);
            counter.fetch_add(pass as u64, Ordering::SeqCst);
            self.to.write_all(&bytes[..pass])?;
            self.passed += pass as u64;
            bytes = &mut bytes[pass..];
            match effect {
                // A fault is due at a byte that is there.
                Some(Effect::Garble) => bytes[0] ^= 1,
                Some(effect) if !self.suffer(effect)? => return Ok(false),
                Some(_) => {}
                None => {
                    if let Some((whole, every)) = pace {
                        let part = pass as f64 / whole as f64;
                        thread::sleep(every.mul_f64(part));
                    }
                }
            }
        }
        Ok(true)
    }

    /// How many bytes go at once, and the wait after them.
    fn pace(&self) -> Option<(usize, Duration)> {
        match (self.slow, self.state.rate.load(Ordering::SeqCst)) {
            (Some(slow), _) => Some(slow),
            (None, 0) => None,
            // Ten steps a second.
            (None, rate) => Some(((rate / 10).max(1) as usize, Duration::from_millis(100))),
        }
    }

    pub(super) fn request(&self) -> &str {
        self.bodies.request()
    }

    /// False when the connection has come to its end.
    fn suffer(&mut self, effect: Effect) -> io::Result<bool> {
        match effect {
            Effect::Cut => self.cut()?,
            Effect::Reset => self.reset()?,
            Effect::Stall => self.shared.over.store(true, Ordering::SeqCst),
            Effect::Restart(away) => self.state.restart(away),
            Effect::Vanish => {
                self.shared.over.store(true, Ordering::SeqCst);
                self.shared.vanished.store(true, Ordering::SeqCst);
                let server = if self.direction == Up {
                    &self.to
                } else {
                    &self.from
                };
                server.shutdown(Shutdown::Both)?;
                return Ok(true);
            }
            Effect::Pause(wait) => {
                thread::sleep(wait);
                return Ok(true);
            }
            Effect::Slow { step, every } => {
                self.slow = Some((step, every));
                return Ok(true);
            }
            Effect::Flip(_) | Effect::Garble | Effect::Shut => return Ok(true),
        }
        Ok(false)
    }

    fn cut(&mut self) -> io::Result<()> {
        if self.direction == Up {
            self.shared.over.store(true, Ordering::SeqCst);
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
        self.shared.over.store(true, Ordering::SeqCst);
        self.state.sockets.lock().unwrap().remove(&self.connection);
        for socket in [&self.from, &self.to] {
            rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO))?;
            // Wakes the other direction, which then drops its handles.
            socket.shutdown(Shutdown::Read)?;
        }
        Ok(())
    }
}
