//! A TCP proxy that counts what goes up into each upload of a registry, and when that is so much kills
//! a process or passes nothing on.
//!
//!     let counter = Counter::before(&registry);
//!     let running = hoist(["push", "layout", &format!("{}/app:1", counter.address())]).spawn();
//!     counter.kill_at(1_000_000, running.id());
//!     running.wait();
//!     let sent = counter.take();

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::registry::Registry;

/// A running proxy; dropping it closes everything.
pub(crate) struct Counter {
    address: SocketAddr,
    state: Arc<State>,
    listening: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    count: Mutex<Count>,
    changed: Condvar,
}

#[derive(Default)]
struct Count {
    uploads: Uploads,
    total: u64,
    /// Who dies when the total is that.
    condemned: Option<(u64, Pid)>,
    /// From that total on nothing is passed on.
    held_at: Option<u64>,
    /// How much later answers come.
    lag: Duration,
    sockets: Vec<TcpStream>,
    /// Connections from which more may come.
    open: usize,
    closed: bool,
}

/// Body bytes by digest, or by the path of the upload where a request does not name one.
pub(crate) type Uploads = BTreeMap<String, u64>;

impl Counter {
    pub(crate) fn before(registry: &Registry) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (state, target) = (Arc::new(State::default()), registry.address());
        let shared = Arc::clone(&state);
        let listening = thread::spawn(move || {
            for client in listener.incoming() {
                if shared.count().closed {
                    return;
                }
                if let (Ok(client), Ok(server)) = (client, TcpStream::connect(target)) {
                    relay(&shared, client, server);
                }
            }
        });
        Self {
            address,
            state,
            listening: Some(listening),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills the process `id` as soon as so many bytes of blobs have come by since the last
    /// [`Counter::take`].
    pub(crate) fn kill_at(&self, bytes: u64, id: u32) {
        let mut count = self.state.count();
        count.condemned = Pid::from_raw(id.try_into().unwrap()).map(|pid| (bytes, pid));
        count.judge();
    }

    /// Passes on no body of a blob any more when so many bytes have come by, until [`Counter::release`].
    pub(crate) fn hold_at(&self, bytes: u64) {
        self.state.count().held_at = Some(bytes);
    }

    /// From now on answers come so much later.
    pub(crate) fn lag(&self, lag: Duration) {
        self.state.count().lag = lag;
    }

    pub(crate) fn release(&self) {
        self.state.count().held_at = None;
        self.state.changed.notify_all();
    }

    /// Returns when so many bytes of blobs have come by.
    pub(crate) fn wait_for(&self, bytes: u64) {
        let patience = Duration::from_secs(60);
        let short = |count: &mut Count| count.total < bytes;
        let count = self.state.count();
        let waited = (self.state.changed).wait_timeout_while(count, patience, short);
        let total = waited.unwrap().0.total;
        assert!(total >= bytes, "{total} bytes only, of {bytes}");
    }

    /// Returns when all connections have ended, and what was under way in them has been counted.
    pub(crate) fn wait_for_end(&self) {
        let patience = Duration::from_secs(60);
        let is_busy = |count: &mut Count| count.open > 0;
        let count = self.state.count();
        let waited = (self.state.changed).wait_timeout_while(count, patience, is_busy);
        let open = waited.unwrap().0.open;
        assert_eq!(open, 0, "connections that do not end");
    }

    /// What was sent since the last time this was asked; nobody is killed any more.
    pub(crate) fn take(&self) -> Uploads {
        let mut count = self.state.count();
        count.condemned = None;
        count.total = 0;
        std::mem::take(&mut count.uploads)
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let mut count = self.state.count();
        count.closed = true;
        for socket in count.sockets.drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
        drop(count);
        self.state.changed.notify_all();
        let _ = TcpStream::connect(self.address);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

impl State {
    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap()
    }
}

impl Count {
    fn is_held(&self) -> bool {
        !self.closed && self.held_at.is_some_and(|bytes| self.total >= bytes)
    }

    fn judge(&mut self) {
        if let Some((_, pid)) = self.condemned.take_if(|(at, _)| *at <= self.total) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn relay(state: &Arc<State>, client: TcpStream, server: TcpStream) {
    let clone = |socket: &TcpStream| socket.try_clone().unwrap();
    for socket in [&client, &server] {
        socket.set_nodelay(true).unwrap();
        state.count().sockets.push(clone(socket));
    }
    let (from, to) = (clone(&client), clone(&server));
    let (one, other) = (Arc::clone(state), Arc::clone(state));
    state.count().open += 1;
    thread::spawn(move || {
        up(&one, from, to);
        one.count().open -= 1;
        one.changed.notify_all();
    });
    thread::spawn(move || down(&other, server, client));
}

fn up(state: &State, mut from: TcpStream, mut to: TcpStream) {
    let (mut buffer, mut requests) = (vec![0; 64 << 10], Requests::default());
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let uploads = requests.take(&buffer[..read]);
        if !uploads.is_empty() {
            let mut count = state.count();
            for (upload, bytes) in uploads {
                count.total += bytes;
                *count.uploads.entry(upload).or_default() += bytes;
            }
            count.judge();
            state.changed.notify_all();
            let held = state.changed.wait_while(count, |count| count.is_held());
            drop(held.unwrap());
        }
        if to.write_all(&buffer[..read]).is_err() {
            let _ = from.shutdown(Shutdown::Both);
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn down(state: &State, mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let lag = state.count().lag;
        thread::sleep(lag);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Where in the requests of a connection its next byte belongs.
#[derive(Default)]
struct Requests {
    place: Place,
    /// A head or a line of which the end is missing.
    line: Vec<u8>,
    upload: Option<String>,
}

#[derive(Clone, Copy, Default)]
enum Place {
    #[default]
    Head,
    Body(u64),
    ChunkSize,
    /// With the line end after it.
    Chunk(u64),
    LineEnd,
    Trailer,
}

impl Requests {
    /// The uploads that `bytes` belong to, and how many of them.
    fn take(&mut self, mut bytes: &[u8]) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            match self.place {
                Place::Body(left) | Place::Chunk(left) => {
                    let taken = left.min(bytes.len() as u64);
                    found.extend(self.upload.clone().map(|upload| (upload, taken)));
                    bytes = &bytes[taken as usize..];
                    let is_chunk = matches!(self.place, Place::Chunk(_));
                    self.place = match (is_chunk, left - taken) {
                        (true, 0) => Place::LineEnd,
                        (true, left) => Place::Chunk(left),
                        (false, 0) => Place::Head,
                        (false, left) => Place::Body(left),
                    };
                }
                _ => {
                    let end = bytes.iter().position(|byte| *byte == b'\n');
                    let taken = end.map_or(bytes.len(), |end| end + 1);
                    self.line.extend(&bytes[..taken]);
                    bytes = &bytes[taken..];
                    if end.is_some() {
                        self.line_ended();
                    }
                }
            }
        }
        found
    }

    fn line_ended(&mut self) {
        let is_empty = self.line == b"\r\n" || self.line.ends_with(b"\r\n\r\n");
        self.place = match self.place {
            Place::Head if !is_empty => return,
            Place::Head => self.head(),
            Place::ChunkSize => match chunk_size(&self.line) {
                0 => Place::Trailer,
                size => Place::Chunk(size),
            },
            Place::LineEnd => Place::ChunkSize,
            _ if is_empty => Place::Head,
            _ => Place::Trailer,
        };
        self.line.clear();
    }

    fn head(&mut self) -> Place {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        request.parse(&self.line).unwrap();
        self.upload = upload(request.path.unwrap());
        let value = |name: &str| {
            let found = request
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| String::from_utf8_lossy(header.value).into_owned())
        };
        match (value("content-length"), value("transfer-encoding")) {
            (_, Some(_)) => Place::ChunkSize,
            (Some(length), None) => match length.parse().unwrap() {
                0 => Place::Head,
                length => Place::Body(length),
            },
            (None, None) => Place::Head,
        }
    }
}

fn chunk_size(line: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(line);
    u64::from_str_radix(text.split(';').next().unwrap().trim(), 16).unwrap()
}

/// What is uploaded to that target, if anything is.
pub(crate) fn upload(target: &str) -> Option<String> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if !path.contains("/blobs/uploads/") {
        return None;
    }
    let digest = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("digest="));
    Some(digest.map_or(path.to_string(), |digest| digest.replace("%3A", ":")))
}

#[test]
fn bytes_of_uploads_are_counted_however_they_come() {
    let requests = "POST /v2/a/blobs/uploads/?mount=x HTTP/1.1\r\nContent-Length: 0\r\n\r\n\
        PUT /v2/a/blobs/uploads/1?_state=s&digest=sha256%3Aab HTTP/1.1\r\ncontent-length: 5\r\n\r\n12345\
        PATCH /v2/a/blobs/uploads/2 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n\
        3\r\nabc\r\n1\r\n\n\r\n0\r\n\r\n\
        PUT /v2/a/manifests/1 HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}\
        PUT /v2/a/blobs/uploads/3?digest=sha256:cd HTTP/1.1\r\ncontent-length: 1\r\n\r\n1";
    for step in [1, 2, 7, 1000] {
        let (mut reader, mut uploads) = (Requests::default(), Uploads::new());
        for piece in requests.as_bytes().chunks(step) {
            for (upload, bytes) in reader.take(piece) {
                *uploads.entry(upload).or_default() += bytes;
            }
        }
        let expected = [
            ("/v2/a/blobs/uploads/2", 4),
            ("sha256:ab", 5),
            ("sha256:cd", 1),
        ];
        let expected = expected.map(|(upload, bytes)| (upload.to_string(), bytes));
        assert_eq!(uploads, Uploads::from(expected), "in steps of {step}");
    }
}
