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

mod rule;
mod stream;

use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub(crate) use self::rule::{Action, Answer, Matcher};
pub(crate) use self::rule::{
    Gate, Rule, Then, answer, close_after, computed, early, endless_headers, held, on, pass,
    pass_and_close, pass_and_hold, raw, wrong_length,
};
use self::stream::{Connection, Head, Socket, Stream, header};

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
    /// Which of the rules was chosen, counted from 0.
    pub(crate) rule: Option<usize>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
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
        let (rule, action) = script.action(&head);
        let index = {
            let mut seen = script.seen.lock().unwrap();
            seen.push(Seen {
                method: head.method.clone(),
                target: head.target.clone(),
                headers: head.headers.clone(),
                body_len: 0,
                body: Vec::new(),
                connection: number,
                rule,
            });
            seen.len() - 1
        };
        if head.expects_continue() {
            connection
                .stream
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let recorder = Recorder { script, index };
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
        Action::Computed(make) => {
            connection.read_body(head, u64::MAX, |part| recorder.take(part))?;
            let seen = recorder.script.seen.lock().unwrap()[recorder.index].clone();
            connection
                .stream
                .write_all(&make(&seen).bytes(&head.method))?;
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
        Action::PassAndHold(gate) => {
            ask_behind(connection, head, recorder)?;
            gate.pass();
            Ok(After::Close)
        }
    }
}

impl Script {
    fn action(&self, head: &Head) -> (Option<usize>, Action) {
        let mut chosen = None;
        // Every rule counts what fits it, also when an earlier one is chosen.
        for (number, rule) in self.rules.iter().enumerate() {
            if rule.matcher.fits(head) {
                let earlier = rule.matched.fetch_add(1, Ordering::SeqCst);
                let end = rule.matcher.skip.saturating_add(rule.matcher.times);
                if (rule.matcher.skip..end).contains(&earlier) {
                    chosen = chosen.or(Some((number, rule)));
                }
            }
        }
        match chosen {
            Some((number, rule)) => (Some(number), rule.action.clone()),
            None if self.behind.is_some() => (None, Action::Pass),
            None => (None, answer(501).body("no rule fits").into()),
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
    // Heads and bodies are written one after the other.
    upstream.set_nodelay(true)?;
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
