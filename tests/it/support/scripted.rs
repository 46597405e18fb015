//! An HTTP/1.1 server that answers by script, well or badly, and remembers what it was asked.
//!
//! A rule says for which requests it is meant and what is done with them; the first that fits
//! wins; a request that no rule fits goes on to the server behind, or is answered 501:
//!
//!     let server = Scripted::before(registry.address(), [
//!         on("PUT", "/v2/").containing("/blobs/uploads/").nth(2).then(answer(503)),
//!         on("PATCH", "/v2/").then(early(100_000, answer(413), Then::Close)),
//!         on("PUT", "/v2/app/manifests/").times(1).then(pass_and_close()), // the answer gets lost
//!     ]);
//!     hoist.push("layout", &format!("{}/app", server.address()));
//!     assert_eq!(server.requests().len(), 12);
//!
//! What waits, waits at a [`Gate`], never for a time.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread::{self, JoinHandle};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Bytes of the body that were read, without transfer coding.
    pub(crate) body_len: u64,
    /// The body itself as far as 64 KiB.
    pub(crate) body: Vec<u8>,
    /// Connections are counted from 0.
    pub(crate) connection: usize,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

/// Holds requests until the test lets them go.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    arrived: usize,
    open: bool,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Waits until so many requests have arrived, since the beginning.
    pub(crate) fn wait_for(&self, requests: usize) {
        let (state, changed) = &*self.0;
        let held = state.lock().unwrap();
        drop(changed.wait_while(held, |now| now.arrived < requests));
    }

    /// Lets everything through from now on.
    pub(crate) fn open(&self) {
        self.0.0.lock().unwrap().open = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut held = state.lock().unwrap();
        held.arrived += 1;
        changed.notify_all();
        drop(changed.wait_while(held, |now| !now.open));
    }
}

/// A whole answer, with the length of its body unless the headers say something else.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

pub(crate) fn answer(status: u16) -> Answer {
    Answer {
        status,
        headers: Vec::new(),
        body: Vec::new(),
    }
}

impl Answer {
    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The answer to a HEAD has the length but not the body.
    fn bytes(&self, method: &str) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        let framed = ["content-length", "transfer-encoding"]
            .iter()
            .any(|name| header(&self.headers, name).is_some());
        if !framed && self.status != 204 && self.status != 304 {
            text += &format!("Content-Length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        let mut bytes = text.into_bytes();
        if method != "HEAD" {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// What happens to a connection after an early answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It is closed with the rest of the body unread, which resets it.
    Close,
    /// It stays open and nobody reads.
    KeepOpen,
    /// The rest of the body is read and the connection goes on.
    Drain,
}

/// What is done with a request.
#[derive(Clone)]
pub(crate) enum Action {
    Answer(Answer),
    Raw(Vec<u8>),
    Close {
        after: u64,
    },
    Early {
        after: u64,
        answer: Answer,
        then: Then,
    },
    EndlessHeaders,
    Held(Gate, Box<Action>),
    Pass,
    PassAndClose,
}

impl From<Answer> for Action {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

/// Reads the body, sends exactly these bytes and closes.
pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Action {
    Action::Raw(bytes.into())
}

/// Reads so many bytes of the body, then closes without an answer.
pub(crate) fn close_after(bytes: u64) -> Action {
    Action::Close { after: bytes }
}

/// Reads the header and so many bytes of the body, then answers.
pub(crate) fn early(after: u64, answer: Answer, then: Then) -> Action {
    Action::Early {
        after,
        answer,
        then,
    }
}

/// Reads the body, then sends headers until the client has had enough.
pub(crate) fn endless_headers() -> Action {
    Action::EndlessHeaders
}

/// Says that the body has `announced` bytes, sends the answer's, and closes.
pub(crate) fn wrong_length(answer: Answer, announced: u64) -> Action {
    let answer = answer.header("Content-Length", announced.to_string());
    raw(answer.bytes("GET"))
}

/// Reads the header, waits at the gate, then does what `action` says.
pub(crate) fn held(gate: &Gate, action: impl Into<Action>) -> Action {
    Action::Held(gate.clone(), Box::new(action.into()))
}

/// The server behind gets the request and its answer comes back.
pub(crate) fn pass() -> Action {
    Action::Pass
}

/// The server behind gets the request and does it; its answer is thrown away and the connection
/// closed.
pub(crate) fn pass_and_close() -> Action {
    Action::PassAndClose
}

/// Which requests, and how often.
pub(crate) struct Matcher {
    method: String,
    prefix: String,
    parts: Vec<String>,
    skip: usize,
    times: usize,
}

/// Requests of this method (`*`: any) whose target begins so.
pub(crate) fn on(method: &str, prefix: &str) -> Matcher {
    Matcher {
        method: method.to_owned(),
        prefix: prefix.to_owned(),
        parts: Vec::new(),
        skip: 0,
        times: usize::MAX,
    }
}

impl Matcher {
    /// The target, query included, holds this too.
    pub(crate) fn containing(mut self, part: &str) -> Self {
        self.parts.push(part.to_owned());
        self
    }

    /// Only the `nth` that fits, counted from 1, whichever rule took the ones before.
    pub(crate) fn nth(mut self, nth: usize) -> Self {
        self.skip = nth - 1;
        self.times = 1;
        self
    }

    /// Only the first so many that fit.
    pub(crate) fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    pub(crate) fn then(self, action: impl Into<Action>) -> Rule {
        Rule {
            matcher: self,
            action: action.into(),
            matched: AtomicUsize::new(0),
        }
    }

    fn fits(&self, method: &str, target: &str) -> bool {
        (self.method == "*" || self.method == method)
            && target.starts_with(&self.prefix)
            && self.parts.iter().all(|part| target.contains(part))
    }
}

/// A matcher with its action.
pub(crate) struct Rule {
    matcher: Matcher,
    action: Action,
    matched: AtomicUsize,
}

struct Script {
    rules: Vec<Rule>,
    behind: Option<SocketAddr>,
    tls: Option<Arc<ServerConfig>>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    /// Handles of every connection, to end them with the server.
    sockets: Mutex<Vec<Weak<TcpStream>>>,
    /// Connections that are kept open with nobody reading.
    parked: Mutex<Vec<Connection>>,
    over: AtomicBool,
}

/// A running server; dropping it closes every connection.
pub(crate) struct Scripted {
    address: SocketAddr,
    script: Arc<Script>,
    listening: Option<JoinHandle<()>>,
}

impl Scripted {
    pub(crate) fn start(rules: impl IntoIterator<Item = Rule>) -> Self {
        Self::run(rules, None, None)
    }

    /// In front of a server that speaks plain HTTP: it gets what no rule fits.
    pub(crate) fn before(behind: SocketAddr, rules: impl IntoIterator<Item = Rule>) -> Self {
        Self::run(rules, Some(behind), None)
    }

    pub(crate) fn start_tls(
        config: Arc<ServerConfig>,
        rules: impl IntoIterator<Item = Rule>,
    ) -> Self {
        Self::run(rules, None, Some(config))
    }

    fn run(
        rules: impl IntoIterator<Item = Rule>,
        behind: Option<SocketAddr>,
        tls: Option<Arc<ServerConfig>>,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let script = Arc::new(Script {
            rules: rules.into_iter().collect(),
            behind,
            tls,
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            sockets: Mutex::default(),
            parked: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let address = listener.local_addr().unwrap();
        let script_too = Arc::clone(&script);
        let listening = thread::spawn(move || accept(&listener, &script_too));
        Self {
            address,
            script,
            listening: Some(listening),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `path` begins with a slash.
    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = match self.script.tls {
            Some(_) => "https",
            None => "http",
        };
        format!("{scheme}://{}{path}", self.address)
    }

    /// Every request so far, in the order their headers arrived.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.script.seen.lock().unwrap().clone()
    }

    /// How many connections were accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.script.connections.load(Ordering::SeqCst)
    }

    /// Closes every open connection, as a server does with idle ones.
    pub(crate) fn hang_up(&self) {
        for socket in self.script.sockets.lock().unwrap().drain(..) {
            if let Some(socket) = socket.upgrade() {
                let _ = socket.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.script.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
        self.hang_up();
        self.script.parked.lock().unwrap().clear();
    }
}

fn accept(listener: &TcpListener, script: &Arc<Script>) {
    for stream in listener.incoming() {
        if script.over.load(Ordering::SeqCst) {
            return;
        }
        let number = script.connections.fetch_add(1, Ordering::SeqCst);
        let Ok(stream) = stream else { continue };
        let _ = stream.set_nodelay(true);
        let stream = Socket(Arc::new(stream));
        let handle = Arc::downgrade(&stream.0);
        script.sockets.lock().unwrap().push(handle);
        let script = Arc::clone(script);
        thread::spawn(move || {
            let stream: Box<dyn Stream> = match &script.tls {
                None => Box::new(stream),
                Some(config) => {
                    let session = ServerConnection::new(Arc::clone(config)).unwrap();
                    Box::new(StreamOwned::new(session, stream))
                }
            };
            let connection = Connection {
                stream,
                buffered: Vec::new(),
            };
            // The client may go at any time; that is its business.
            let _ = serve(connection, number, &script);
        });
    }
}

/// Request after request until one of them ends the connection.
fn serve(mut connection: Connection, number: usize, script: &Script) -> io::Result<()> {
    while let Some(mut head) = connection.read_head()? {
        let index = {
            let mut seen = script.seen.lock().unwrap();
            seen.push(Seen {
                method: head.method.clone(),
                target: head.target.clone(),
                headers: head.headers.clone(),
                body_len: 0,
                body: Vec::new(),
                connection: number,
            });
            seen.len() - 1
        };
        if head.expects_continue() {
            connection
                .stream
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let recorder = Recorder { script, index };
        let action = script.action(&head);
        match act(&mut connection, &mut head, &recorder, &action)? {
            After::Next => {}
            After::Close => return Ok(()),
            After::Park => {
                script.parked.lock().unwrap().push(connection);
                return Ok(());
            }
        }
    }
    Ok(())
}

enum After {
    Next,
    Close,
    Park,
}

fn act(
    connection: &mut Connection,
    head: &mut Head,
    recorder: &Recorder<'_>,
    action: &Action,
) -> io::Result<After> {
    match action {
        Action::Answer(answer) => {
            connection.read_body(head, u64::MAX, |part| recorder.take(part))?;
            connection.stream.write_all(&answer.bytes(&head.method))?;
            Ok(After::Next)
        }
        Action::Raw(bytes) => {
            connection.read_body(head, u64::MAX, |part| recorder.take(part))?;
            connection.stream.write_all(bytes)?;
            Ok(After::Close)
        }
        Action::Close { after } => {
            connection.read_body(head, *after, |part| recorder.take(part))?;
            Ok(After::Close)
        }
        Action::Early {
            after,
            answer,
            then,
        } => {
            connection.read_body(head, *after, |part| recorder.take(part))?;
            connection.stream.write_all(&answer.bytes(&head.method))?;
            match then {
                Then::Close => Ok(After::Close),
                Then::KeepOpen => Ok(After::Park),
                Then::Drain => {
                    connection.read_body(head, u64::MAX, |part| recorder.take(part))?;
                    Ok(After::Next)
                }
            }
        }
        Action::EndlessHeaders => {
            connection.read_body(head, u64::MAX, |part| recorder.take(part))?;
            connection.stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            let line = format!("X-Filler: {}\r\n", "and so on ".repeat(100));
            loop {
                connection.stream.write_all(line.as_bytes())?;
            }
        }
        Action::Held(gate, action) => {
            gate.pass();
            act(connection, head, recorder, action)
        }
        Action::Pass => pass_on(connection, head, recorder).map(|()| After::Next),
        Action::PassAndClose => {
            ask_behind(connection, head, recorder)?;
            Ok(After::Close)
        }
    }
}

impl Script {
    fn action(&self, head: &Head) -> Action {
        let mut chosen = None;
        // Every rule counts what fits it, also when an earlier one is chosen.
        for rule in &self.rules {
            if rule.matcher.fits(&head.method, &head.target) {
                let earlier = rule.matched.fetch_add(1, Ordering::SeqCst);
                let end = rule.matcher.skip.saturating_add(rule.matcher.times);
                if (rule.matcher.skip..end).contains(&earlier) {
                    chosen = chosen.or(Some(rule));
                }
            }
        }
        match chosen {
            Some(rule) => rule.action.clone(),
            None if self.behind.is_some() => Action::Pass,
            None => answer(501).body("no rule fits").into(),
        }
    }
}

/// Puts down what is read of a body.
struct Recorder<'a> {
    script: &'a Script,
    index: usize,
}

impl Recorder<'_> {
    fn take(&self, part: &[u8]) {
        let mut seen = self.script.seen.lock().unwrap();
        let seen = &mut seen[self.index];
        seen.body_len += part.len() as u64;
        let room = (64 << 10) - seen.body.len().min(64 << 10);
        seen.body.extend_from_slice(&part[..part.len().min(room)]);
    }
}

/// Sends the request to the server behind and brings its answer back.
fn pass_on(
    connection: &mut Connection,
    head: &mut Head,
    recorder: &Recorder<'_>,
) -> io::Result<()> {
    let answer = ask_behind(connection, head, recorder)?;
    connection.stream.write_all(&answer.bytes(&head.method))
}

fn ask_behind(
    connection: &mut Connection,
    head: &mut Head,
    recorder: &Recorder<'_>,
) -> io::Result<Answer> {
    let behind = recorder.script.behind.ok_or(io::ErrorKind::NotConnected)?;
    let mut upstream = TcpStream::connect(behind)?;
    let mut text = format!("{} {} HTTP/1.1\r\n", head.method, head.target);
    for (name, value) in &head.headers {
        if !name.eq_ignore_ascii_case("connection") && !name.eq_ignore_ascii_case("expect") {
            text += &format!("{name}: {value}\r\n");
        }
    }
    text += "Connection: close\r\n\r\n";
    upstream.write_all(text.as_bytes())?;
    let chunked = head.is_chunked();
    // The server may have answered and gone before it has read everything.
    let mut listening = true;
    connection.read_body(head, u64::MAX, |part| {
        recorder.take(part);
        let sent = match chunked {
            true => write!(upstream, "{:x}\r\n", part.len())
                .and_then(|()| upstream.write_all(part))
                .and_then(|()| upstream.write_all(b"\r\n")),
            false => upstream.write_all(part),
        };
        listening &= sent.is_ok();
    })?;
    if chunked && listening {
        let _ = upstream.write_all(b"0\r\n\r\n");
    }
    let mut reply = Connection {
        stream: Box::new(upstream),
        buffered: Vec::new(),
    };
    reply.read_answer(&head.method)
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// Closed when its connection is dropped, whoever knows its handle.
struct Socket(Arc<TcpStream>);

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buf)
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self.0).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A stream, and what has been read from it too far.
struct Connection {
    stream: Box<dyn Stream>,
    buffered: Vec<u8>,
}

/// What comes before the body, and how much of the body is still to come.
struct Head {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    rest: Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Bytes(u64),
    /// Bytes of the chunk that has begun.
    Chunk(u64),
    Done,
}

impl Head {
    fn is_chunked(&self) -> bool {
        header(&self.headers, "transfer-encoding").is_some_and(|coding| coding == "chunked")
    }

    fn expects_continue(&self) -> bool {
        header(&self.headers, "expect").is_some()
    }

    /// The body's framing as the headers give it.
    fn frame(&mut self) {
        let length = header(&self.headers, "content-length").and_then(|value| value.parse().ok());
        self.rest = match length {
            _ if self.is_chunked() => Rest::Chunk(0),
            Some(length) if length > 0 => Rest::Bytes(length),
            _ => Rest::Done,
        };
    }
}

impl Connection {
    /// `None` when the client has gone.
    fn read_head(&mut self) -> io::Result<Option<Head>> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut fields);
            let Ok(parsed) = request.parse(&self.buffered) else {
                let refusal = answer(400).header("Connection", "close").bytes("GET");
                self.stream.write_all(&refusal)?;
                return Ok(None);
            };
            if let httparse::Status::Complete(used) = parsed {
                let mut head = Head {
                    method: request.method.unwrap_or_default().to_owned(),
                    target: request.path.unwrap_or_default().to_owned(),
                    headers: owned(request.headers),
                    rest: Rest::Done,
                };
                head.frame();
                self.buffered.drain(..used);
                return Ok(Some(head));
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    fn read_answer(&mut self, method: &str) -> io::Result<Answer> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut response = httparse::Response::new(&mut fields);
            let parsed = response.parse(&self.buffered).map_err(io::Error::other)?;
            let httparse::Status::Complete(used) = parsed else {
                if self.fill()? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                continue;
            };
            let mut answer = answer(response.code.unwrap_or_default());
            let mut head = Head {
                method: String::new(),
                target: String::new(),
                headers: owned(response.headers),
                rest: Rest::Done,
            };
            self.buffered.drain(..used);
            head.frame();
            if method != "HEAD" {
                let body = &mut answer.body;
                self.read_body(&mut head, u64::MAX, |part| body.extend_from_slice(part))?;
            }
            let framing = ["connection", "transfer-encoding"];
            head.headers
                .retain(|(name, _)| !framing.iter().any(|one| name.eq_ignore_ascii_case(one)));
            answer.headers = head.headers;
            return Ok(answer);
        }
    }

    /// Takes at most `most` bytes of the body, without its transfer coding.
    fn read_body(
        &mut self,
        head: &mut Head,
        most: u64,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let mut wanted = most;
        while wanted > 0 && head.rest != Rest::Done {
            if head.rest == Rest::Chunk(0) {
                head.rest = match self.read_chunk_size()? {
                    0 => Rest::Done,
                    size => Rest::Chunk(size),
                };
                continue;
            }
            if self.buffered.is_empty() && self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let (Rest::Bytes(left) | Rest::Chunk(left)) = head.rest else {
                return Ok(());
            };
            let part = (self.buffered.len() as u64).min(left).min(wanted);
            take(&self.buffered[..part as usize]);
            self.buffered.drain(..part as usize);
            wanted -= part;
            head.rest = match head.rest {
                Rest::Bytes(_) if left == part => Rest::Done,
                Rest::Bytes(_) => Rest::Bytes(left - part),
                _ if left == part => {
                    self.read_line()?;
                    Rest::Chunk(0)
                }
                _ => Rest::Chunk(left - part),
            };
        }
        Ok(())
    }

    /// 0 is the end of the body, trailers read.
    fn read_chunk_size(&mut self) -> io::Result<u64> {
        let line = self.read_line()?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        while size == 0 && !self.read_line()?.is_empty() {}
        Ok(size)
    }

    fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffered.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.buffered.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut part = [0; 16 << 10];
        let read = self.stream.read(&mut part)?;
        self.buffered.extend_from_slice(&part[..read]);
        Ok(read)
    }
}

fn owned(fields: &[httparse::Header<'_>]) -> Vec<(String, String)> {
    let text = |field: &httparse::Header<'_>| {
        let value = String::from_utf8_lossy(field.value).into_owned();
        (field.name.to_owned(), value)
    };
    fields.iter().map(text).collect()
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim())
}
