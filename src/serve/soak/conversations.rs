//! Whole requests, several on a connection, to a registry that runs.

use std::cell::RefCell;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use tempfile::TempDir;

use crate::serve::{Options, Server};
use crate::soak::{Outcome, Target};

/// A folder fills with uploads that nobody ends.
const REQUESTS_PER_SERVER: usize = 500;

/// Nobody waits so long: what cannot go on is answered or cut off.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn target() -> Target {
    let server: RefCell<Option<Running>> = RefCell::default();
    let words = "GET\u{1}/v2/ HEAD\u{1} PUT\u{1} POST\u{1} PATCH\u{1} DELETE\u{1} \u{1}HTTP/1.1\r\nHost:x\r\n \
        Content-Length:5\r\n Transfer-Encoding:chunked\r\n Content-Range:0-4\r\n Range:bytes=0-1\r\n \
        Expect:100-continue\r\n \r\n\r\n 0\r\n\r\n 5\r\nhello\r\n ffffffffffffffff\r\n /blobs/uploads/ @S @D \
        ?digest=@D ?mount=@D&from=a /manifests/ /tags/list?n=1&last= /referrers/ /_catalog %2e%2e/ ../";
    Target::new("requests to a registry", REQUESTS, move |input| {
        let mut server = server.borrow_mut();
        if server.as_ref().is_none_or(|running| running.left == 0) {
            *server = Some(Running::start());
        }
        server.as_mut().unwrap().ask(input)
    })
    .words(
        words
            .split(' ')
            .map(|word| word.replace('\u{1}', " ").into_bytes()),
    )
    .memory_mib(200)
}

/// `@S` stands for a session that is open, `@D` for the digest of `hello`.
const REQUESTS: [&str; 6] = [
    "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\nGET /v2/_catalog?n=1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "PATCH /v2/a/blobs/uploads/@S HTTP/1.1\r\nHost: x\r\nContent-Range: 0-4\r\nContent-Length: 5\r\n\r\nhelloPUT /v2/a/blobs/uploads/@S?digest=@D HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\nGET /v2/a/blobs/@D HTTP/1.1\r\nHost: x\r\nRange: bytes=1-2\r\n\r\n",
    "PATCH /v2/a/blobs/uploads/@S HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nX: y\r\n\r\nHEAD /v2/a/blobs/uploads/@S HTTP/1.1\r\nHost: x\r\n\r\n",
    "PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/vnd.oci.image.index.v1+json\r\nContent-Length: 88\r\n\r\n{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":[]}GET /v2/a/manifests/1 HTTP/1.1\r\nHost: x\r\n\r\nGET /v2/a/tags/list?n=1&last=0 HTTP/1.1\r\nHost: x\r\n\r\nDELETE /v2/a/manifests/1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /v2/b/c/blobs/uploads/?mount=@D&from=a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\nPOST /v2/a/blobs/uploads/?digest=@D HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhelloDELETE /v2/a/blobs/@D HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /v2/a/referrers/@D?artifactType=x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
];

const HELLO: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

struct Running {
    server: Server,
    /// A folder beside the served one is not to change.
    all: TempDir,
    session: String,
    left: usize,
}

impl Running {
    fn start() -> Self {
        let all = tempfile::tempdir().unwrap();
        fs::create_dir(all.path().join("a")).unwrap();
        let mut options = Options::new(all.path().join("served"));
        options.listen.set_port(0);
        options.durable = false;
        let server = Server::start(options, Box::new(|_| {})).unwrap();
        Self {
            server,
            all,
            session: String::new(),
            left: REQUESTS_PER_SERVER,
        }
    }

    fn ask(&mut self, input: &[u8]) -> Outcome {
        if self.left.is_multiple_of(10) {
            let post =
                b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
            let answer = String::from_utf8(exchange(self.server.address(), post)).unwrap();
            let (_, rest) = answer.split_once("/v2/a/blobs/uploads/").unwrap();
            self.session = rest.split(['?', '\r']).next().unwrap().to_owned();
        }
        self.left -= 1;
        let asked = replace(input, b"@S", self.session.as_bytes());
        let asked = replace(&asked, b"@D", HELLO.as_bytes());
        let answer = exchange(self.server.address(), &asked);
        self.stays_inside();
        if answer.is_empty() {
            return Outcome::refused("no answer");
        }
        let statuses = statuses(&answer);
        assert!(
            !statuses.is_empty(),
            "{:?}",
            String::from_utf8_lossy(&answer)
        );
        assert!(
            !statuses.contains(&500),
            "{:?}",
            String::from_utf8_lossy(&answer)
        );
        let first = statuses[0];
        match first < 400 {
            true => Outcome::accepted().with(statuses),
            false => Outcome::refused(format!("answered {first}")).with(statuses),
        }
    }

    fn stays_inside(&self) {
        let entries = fs::read_dir(self.all.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["a", "served"]);
        assert!(
            fs::read_dir(self.all.path().join("a"))
                .unwrap()
                .next()
                .is_none()
        );
    }
}

fn exchange(address: SocketAddr, asked: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let mut answer = Vec::new();
    // It may have had enough before the end.
    let read = stream
        .write_all(asked)
        .and_then(|()| stream.shutdown(Shutdown::Write))
        .and_then(|()| (&mut stream).take(1 << 20).read_to_end(&mut answer));
    let waited = read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    assert!(!waited, "neither an answer nor an end");
    answer
}

/// Of the answers, as far as they can be told apart; a few are enough.
fn statuses(answer: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answer);
    let lines = text.split("HTTP/1.1 ").skip(1).take(4);
    let numbers = lines.map(|line| line.get(..3).and_then(|status| status.parse().ok()));
    numbers.map(|number| number.expect("a status")).collect()
}

fn replace(input: &[u8], what: &[u8; 2], with: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.windows(2).position(|two| two == what) {
        output.extend_from_slice(&rest[..at]);
        output.extend_from_slice(with);
        rest = &rest[at + 2..];
    }
    output.extend_from_slice(rest);
    output
}
