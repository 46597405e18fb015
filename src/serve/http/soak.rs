//! Heads of requests.

use crate::serve::http::request::{Framing, MAX_HEAD, parse};
use crate::soak::{Outcome, Target};

pub(in crate::serve) fn targets() -> Vec<Target> {
    vec![
        Target::new("head of a request", HEADS, head)
            .words([
                "GET ",
                " HTTP/1.1\r\n",
                " HTTP/1.0\r\n",
                "Host: x\r\n",
                "Content-Length: ",
                "Expect: 100-continue\r\n",
                "Transfer-Encoding: chunked\r\n",
                "Connection: close\r\n",
                "\r\n\r\n",
                "http://x/",
                "\t",
                ", ",
            ])
            .longest(20 << 10),
    ]
}

const HEADS: [&str; 4] = [
    "GET /v2/?n=5 HTTP/1.1\r\nHost: x\r\n\r\n",
    "PUT http://x:1/v2/a/blobs/uploads/1?digest=y HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\nExpect: 100-continue\r\n\r\nbody",
    "PATCH /v2/a/blobs/uploads/1 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: Chunked\r\nConnection: x, Close\r\n\r\n",
    "HEAD / HTTP/1.0\r\n\r\n",
];

fn head(input: &[u8]) -> Outcome {
    match parse(input) {
        Ok(Some((head, length))) => {
            assert!(length <= input.len());
            assert!(!head.method.is_empty() && head.method.bytes().all(|b| b.is_ascii_graphic()));
            assert!(head.field("transfer-encoding").is_none() || head.announced().is_none());
            let (again, whole) = parse(&input[..length]).unwrap().unwrap();
            assert_eq!((again.target, whole), (head.target, length));
            // What ends later does not end here.
            assert!(!matches!(parse(&input[..length - 1]), Ok(Some(_))));
            let kinds = (head.keep_alive, head.expects_continue);
            Outcome::accepted()
                .with(kinds)
                .with(head.framing == Framing::Chunked)
        }
        Ok(None) => {
            assert!(input.len() < MAX_HEAD);
            Outcome::refused("not the whole of it")
        }
        Err(answer) => {
            assert!((400..=505).contains(&answer.status) && answer.status != 500);
            Outcome::refused(format!("answered {}", answer.status)).with(answer.status)
        }
    }
}
