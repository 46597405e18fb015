//! Whole answers, as a server on this machine gives them to a real request.

use std::cell::OnceCell;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::net::{Http, Method, Payload, Request, Settings};
use crate::soak::{Outcome, Target};

/// Longer ones are refused.
const LIMIT: u64 = 64 << 10;

/// Nobody waits longer; what is here at all answers at once.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn target() -> Target {
    let server = OnceCell::new();
    let words = "HTTP/1.1\u{1} HTTP/1.0\u{1} 200 204 304 100 206 401 Content-Length: Transfer-Encoding:\u{1}chunked \
        Connection:\u{1}close Content-Encoding:\u{1}gzip \r\n \r\n\r\n 0\r\n\r\n ffffffffffffffff\r\n 5;x=y\r\nhello\r\n : Location: \u{1b}";
    let mut long = b"HTTP/1.1 401 No\r\n\r\n".to_vec();
    long.resize(long.len() + LIMIT as usize + 1, b'x');
    let answers = ANSWERS.map(<[u8]>::to_vec).into_iter().chain([long]);
    Target::new("answer of a server", answers, move |input| {
        server.get_or_init(Server::start).exchange(input)
    })
    .words(
        words
            .split(' ')
            .map(|word| word.replace('\u{1}', " ").into_bytes()),
    )
    .longest(128 << 10)
    .memory_mib(200)
}

const ANSWERS: [&[u8]; 5] = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: application/json\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\n, a\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm=\"x\"\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.0 404 Not Found\r\nServer: x\r\n\r\n<html>until the end",
    b"HTTP/1.1 204 No Content\r\nLocation: /a?b\r\nRange: 0-9\r\nDocker-Upload-UUID: 1\r\n\r\n",
];

struct Server {
    http: Http,
    address: SocketAddr,
    answers: Sender<Vec<u8>>,
    /// Told when one was given.
    given: Receiver<()>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (answers, to_give) = channel::<Vec<u8>>();
        let (sender, given) = channel();
        thread::spawn(move || {
            for answer in to_give {
                // What the client does meanwhile is its own affair.
                _ = listener
                    .accept()
                    .and_then(|(stream, _)| give(&stream, &answer));
                if sender.send(()).is_err() {
                    return;
                }
            }
        });
        let settings = Settings {
            stall_timeout: PATIENCE,
            ..Settings::default()
        };
        Self {
            http: Http::new(&settings).unwrap(),
            address,
            answers,
            given,
        }
    }

    fn exchange(&self, answer: &[u8]) -> Outcome {
        self.answers.send(answer.to_vec()).unwrap();
        let url = format!("http://{}/v2/", self.address);
        let headers = [("connection", "close".to_owned())];
        let request = Request {
            method: Method::Get,
            url: &url,
            headers: &headers,
            payload: Payload::Empty,
            answer_timeout: PATIENCE,
            pace: None,
        };
        let sent = self.http.send(request, LIMIT);
        self.given
            .recv_timeout(PATIENCE)
            .expect("nobody asked, or it was not answered");
        match sent {
            Ok(response) => {
                assert!((100..1000).contains(&response.status));
                assert!(response.body.len() as u64 <= LIMIT);
                let fields = response.headers.len().min(5);
                Outcome::accepted().with((response.status / 100, fields, response.body.is_empty()))
            }
            Err(failure) => {
                let outcome = Outcome::refused(&failure).with(format!("{:?}", failure.kind));
                failure.hint.into_iter().fold(outcome, Outcome::saying)
            }
        }
    }
}

fn give(mut stream: &TcpStream, answer: &[u8]) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut asked = Vec::new();
    let mut part = [0; 4096];
    while !asked.ends_with(b"\r\n\r\n") {
        match stream.read(&mut part)? {
            0 => break,
            read => asked.extend_from_slice(&part[..read]),
        }
    }
    stream.write_all(answer)?;
    stream.shutdown(Shutdown::Write)?;
    // A reset would take away what was not read yet.
    stream.read(&mut part).map(drop)
}
