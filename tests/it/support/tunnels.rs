//! A proxy that makes tunnels and nothing else, with TLS of its own or without. The real ones at hand
//! also pass requests on, and speak no TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How long one side is waited for before the other is looked at.
const TURN: Duration = Duration::from_millis(2);

pub(crate) struct Tunnels {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    made: AtomicUsize,
    heads: Mutex<Vec<String>>,
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl Tunnels {
    pub(crate) fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let shared_too = Arc::clone(&shared);
        let listening = thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                if shared_too.over.load(Ordering::SeqCst) {
                    return;
                }
                let (state, identity) = (Arc::clone(&shared_too), tls.clone());
                // Either side may go at any time.
                thread::spawn(move || drop(serve(socket, identity, &state)));
            }
        });
        Self {
            address,
            shared,
            listening: Some(listening),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn made(&self) -> usize {
        self.shared.made.load(Ordering::SeqCst)
    }

    /// The header of every request.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }
}

impl Drop for Tunnels {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

fn serve(socket: TcpStream, tls: Option<Arc<ServerConfig>>, shared: &Shared) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let handle = socket.try_clone()?;
    let mut stream: Box<dyn Stream> = match tls {
        None => Box::new(socket),
        Some(config) => {
            let session = ServerConnection::new(config).map_err(io::Error::other)?;
            Box::new(StreamOwned::new(session, socket))
        }
    };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.split(' ').next());
    let target = target.map(str::to_owned);
    shared.heads.lock().unwrap().push(head);
    let Some(target) = target else {
        return stream
            .write_all(b"HTTP/1.1 405 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let mut far = TcpStream::connect(target)?;
    shared.made.fetch_add(1, Ordering::SeqCst);
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    handle.set_read_timeout(Some(TURN))?;
    far.set_read_timeout(Some(TURN))?;
    let mut buffer = vec![0; 64 << 10];
    while !shared.over.load(Ordering::SeqCst) {
        if !pass(&mut stream, &mut far, &mut buffer)? || !pass(&mut far, &mut stream, &mut buffer)?
        {
            break;
        }
    }
    Ok(())
}

/// What there is from one side to the other; false at the end.
fn pass(from: &mut impl Read, to: &mut impl Write, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read(buffer) {
        Ok(0) => Ok(false),
        Ok(read) => to
            .write_all(&buffer[..read])
            .and_then(|()| to.flush())
            .map(|()| true),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(true)
        }
        Err(error) => Err(error),
    }
}
