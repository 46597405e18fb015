//! Connecting to the first of several addresses that takes it, without a thread for each.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use super::dial::LOOK;
use super::failure::{FailureKind, Fault, reason};
use super::switch::Switch;

/// How long an address may be silent before the next one is tried beside it
/// ([RFC 8305](https://www.rfc-editor.org/rfc/rfc8305#section-5) suggests 250 ms).
const HEAD_START: Duration = Duration::from_millis(250);

/// Tries the addresses in their order, the next one as soon as one fails or is slow.
pub(super) fn connect(
    addresses: &[SocketAddr],
    deadline: Instant,
    switch: &Switch,
) -> Result<TcpStream, Fault> {
    let mut race = Race::default();
    let mut waiting = addresses.iter();
    loop {
        switch.check()?;
        let now = Instant::now();
        if race.wants_another(now)
            && let Some(&address) = waiting.next()
        {
            race.start(address, now);
            continue;
        }
        if race.running.is_empty() {
            return Err(unreachable(&race.failures));
        }
        if let Some(stream) = race.wait(deadline.min(now + LOOK)) {
            return Ok(stream);
        }
        if Instant::now() >= deadline {
            return Err(race.overtime());
        }
    }
}

/// Who has been tried.
#[derive(Default)]
struct Race {
    running: Vec<(SocketAddr, Socket)>,
    /// When the last one began, unless one has failed since.
    last: Option<Instant>,
    failures: Vec<(SocketAddr, io::Error)>,
}

impl Race {
    fn wants_another(&self, now: Instant) -> bool {
        let slow = |last| now.duration_since(last) >= HEAD_START;
        self.last.is_none_or(slow)
    }

    fn start(&mut self, address: SocketAddr, now: Instant) {
        match begin(address) {
            Ok(socket) => {
                self.last = Some(now);
                self.running.push((address, socket));
            }
            Err(error) => self.fail(address, error),
        }
    }

    fn fail(&mut self, address: SocketAddr, error: io::Error) {
        self.last = None;
        self.failures.push((address, error));
    }

    /// The first that has connected by then. Those that failed make room for the next at once.
    fn wait(&mut self, until: Instant) -> Option<TcpStream> {
        let left = until.saturating_duration_since(Instant::now());
        let pause = Timespec::try_from(left).ok();
        let sockets = self.running.iter().map(|(_, socket)| socket);
        let mut asked: Vec<_> = sockets
            .map(|socket| PollFd::new(socket, PollFlags::OUT))
            .collect();
        match poll(&mut asked, pause.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => {
                drop(asked);
                for (address, _) in std::mem::take(&mut self.running) {
                    self.fail(address, error.into());
                }
                return None;
            }
        }
        let settled: Vec<bool> = asked.iter().map(|fd| !fd.revents().is_empty()).collect();
        let running = std::mem::take(&mut self.running);
        let mut first = None;
        for ((address, socket), ready) in running.into_iter().zip(settled) {
            if !ready {
                self.running.push((address, socket));
                continue;
            }
            match finish(socket) {
                Ok(stream) if first.is_none() => first = Some(stream),
                Ok(_) => {}
                Err(error) => self.fail(address, error),
            }
        }
        first
    }

    /// Nobody took the connection in time.
    fn overtime(mut self) -> Fault {
        let silent = self.running.into_iter();
        let silent = silent.map(|(address, _)| (address, io::ErrorKind::TimedOut.into()));
        self.failures.extend(silent);
        unreachable(&self.failures)
    }
}

/// A socket whose connection is under way or there.
fn begin(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if !is_under_way(&error) => Err(error),
        _ => Ok(socket),
    }
}

/// [connect(2)](https://man7.org/linux/man-pages/man2/connect.2.html): also a call that a signal cut
/// short goes on by itself.
fn is_under_way(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::INPROGRESS | Errno::INTR))
}

/// What has become of a connection that is no longer under way.
fn finish(socket: Socket) -> io::Result<TcpStream> {
    match socket.take_error()? {
        Some(error) => Err(error),
        None => {
            socket.set_nonblocking(false)?;
            Ok(socket.into())
        }
    }
}

/// One sentence for all addresses, those that failed alike together.
fn unreachable(failures: &[(SocketAddr, io::Error)]) -> Fault {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (address, error) in failures {
        let why = match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "no answer in time".to_owned(),
            _ => reason(error),
        };
        match groups.iter_mut().find(|group| group.0 == why) {
            Some(group) => group.1.push(address.to_string()),
            None => groups.push((why, vec![address.to_string()])),
        }
    }
    let parts: Vec<String> = groups
        .iter()
        .map(|(why, addresses)| format!("{}: {why}", addresses.join(", ")))
        .collect();
    Fault::new(FailureKind::Connect, parts.join("; "))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    /// An address that refuses.
    fn closed() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    }

    #[test]
    fn the_next_address_is_tried_when_one_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let stream = connect(&[closed(), open], soon(), &Switch::default()).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        let (mut other, _) = listener.accept().unwrap();
        // It blocks, as the rest of hoist wants it.
        let writer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            io::Write::write_all(&mut other, b"!").unwrap();
        });
        let mut byte = [0];
        io::Read::read_exact(&mut &stream, &mut byte).unwrap();
        writer.join().unwrap();
    }

    #[test]
    fn all_that_refuse_are_in_one_sentence() {
        let (one, other) = (closed(), closed());
        let fault = connect(&[one, other], soon(), &Switch::default()).unwrap_err();
        assert_eq!(fault.kind, FailureKind::Connect);
        let expected = format!("{one}, {other}: connection refused");
        assert_eq!(fault.message.to_lowercase(), expected);
    }

    /// An address from which nothing comes: whoever listens there takes no more connections.
    #[cfg(target_os = "linux")]
    fn silent() -> (SocketAddr, Vec<Socket>) {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let queue = (0..4).map(|_| begin(address).unwrap());
        (address, std::iter::once(listener).chain(queue).collect())
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_silent_address_holds_nobody_up() {
        let (silent, _held) = silent();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let began = Instant::now();
        let stream = connect(&[silent, open], soon(), &Switch::default()).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        let took = began.elapsed();
        assert!(took >= HEAD_START && took < HEAD_START * 20, "{took:?}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn time_runs_out() {
        let (silent, _held) = silent();
        let deadline = Instant::now() + Duration::from_millis(80);
        let fault = connect(&[silent], deadline, &Switch::default()).unwrap_err();
        assert_eq!(fault.kind, FailureKind::Connect);
        assert_eq!(fault.message, format!("{silent}: no answer in time"));
        assert!(Instant::now() >= deadline);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_switch_ends_it() {
        let (silent, _held) = silent();
        let switch = Switch::default();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| connect(&[silent], soon(), &switch));
            std::thread::sleep(Duration::from_millis(100));
            assert!(!waiting.is_finished());
            switch.turn_off();
            let fault = waiting.join().unwrap().unwrap_err();
            assert_eq!(fault.kind, FailureKind::Shutdown);
        });
    }
}
