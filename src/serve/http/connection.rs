//! One connection: requests in, answers out, until one side has had enough.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::answer::{Answer, failure};
use super::body::{Body, Input};
use super::request::{self, Head};
use crate::serve::{Access, Limits};

/// What stands behind the connections.
pub(in crate::serve) struct Service {
    /// None when there is nobody left to answer.
    pub(in crate::serve) handler: Handler,
    pub(in crate::serve) log: Box<dyn Fn(&Access) + Send + Sync>,
    pub(in crate::serve) limits: Limits,
}

type Handler = Box<dyn Fn(&Head, &mut Body<'_, '_>) -> Option<Answer> + Send + Sync>;

/// Of a body that nobody wants, so much is read; a client that has sent it all by then can read the
/// answer, and goes on with the connection where the end was reached.
const UNWANTED: u64 = 256 << 10;
const UNWANTED_PATIENCE: Duration = Duration::from_secs(5);
/// A connection that was closed by us is listened to for so long: closing a socket with unread data
/// destroys the answer on its way.
const LINGER: Duration = Duration::from_millis(500);

/// The status that is logged when the client went away inside its request.
const CLIENT_CLOSED: u16 = 499;

/// Speaks on `stream` to its end. `idle` is told when waiting for a request begins and ends.
pub(in crate::serve) fn converse(stream: &TcpStream, service: &Service, idle: &dyn Fn(bool)) {
    let limits = &service.limits;
    let prepared = stream
        .set_nodelay(true)
        .and_then(|()| stream.set_write_timeout(Some(limits.stall_timeout)));
    let mut input = Input::new(stream);
    while prepared.is_ok() {
        let head = match next_head(&mut input, limits, idle) {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(answer) => return refuse(&mut input, service, answer),
        };
        match exchange(&mut input, service, &head) {
            Ok(Next::Request) => {}
            Ok(Next::Linger) => return linger(&mut input),
            Ok(Next::Close) | Err(_) => return,
        }
    }
}

enum Next {
    Request,
    Close,
    /// Close, but the client may still be sending.
    Linger,
}

/// None when the connection ended, as it should between requests, or went silent there.
fn next_head(
    input: &mut Input<'_>,
    limits: &Limits,
    idle: &dyn Fn(bool),
) -> Result<Option<Head>, Answer> {
    if input.pending().is_empty() {
        idle(true);
        let first = input.fill_until(Instant::now() + limits.idle_timeout);
        idle(false);
        if !first.is_ok_and(|received| received > 0) {
            return Ok(None);
        }
    }
    let deadline = Instant::now() + limits.head_timeout;
    loop {
        let pending = input.pending();
        let pending = &pending[..pending.len().min(request::MAX_HEAD)];
        if let Some((head, length)) = request::parse(pending)? {
            input.consume(length);
            return Ok(Some(head));
        }
        match input.fill_until(deadline) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) if is_timeout(&error) => {
                return Err(failure(408, "the request head did not come to an end"));
            }
            Err(_) => return Ok(None),
        }
    }
}

fn exchange(input: &mut Input<'_>, service: &Service, head: &Head) -> io::Result<Next> {
    let stream = input.stream;
    stream.set_read_timeout(Some(service.limits.stall_timeout))?;
    let mut body = Body::new(input, head);
    let answer = (service.handler)(head, &mut body);
    let access = Access {
        method: head.method.clone(),
        target: head.target.clone(),
        status: answer.as_ref().map_or(CLIENT_CLOSED, |a| a.status),
        received: body.received(),
    };
    (service.log)(&access);
    let Some(answer) = answer else {
        return Ok(Next::Close);
    };
    let goes_on = head.keep_alive && body.ends_within(UNWANTED);
    answer.send(stream, head.method == "HEAD", !goes_on)?;
    if goes_on && body.skip(Instant::now() + UNWANTED_PATIENCE) {
        return Ok(Next::Request);
    }
    if body.is_finished() {
        return Ok(Next::Close);
    }
    Ok(Next::Linger)
}

/// Answers what could not be understood as a request.
fn refuse(input: &mut Input<'_>, service: &Service, answer: Answer) {
    (service.log)(&Access {
        method: "-".into(),
        target: "-".into(),
        status: answer.status,
        received: 0,
    });
    if answer.send(input.stream, false, true).is_ok() {
        linger(input);
    }
}

fn linger(input: &mut Input<'_>) {
    if input.stream.shutdown(Shutdown::Write).is_err() {
        return;
    }
    let deadline = Instant::now() + LINGER;
    let mut read = 0;
    while read < UNWANTED {
        let pending = input.pending().len();
        input.consume(pending);
        match input.fill_until(deadline) {
            Ok(0) | Err(_) => return,
            Ok(count) => read += count as u64,
        }
    }
}

/// Sockets say `WouldBlock` when their time is over.
pub(in crate::serve) fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}
