//! Where the body of an answer goes: into memory up to a limit, or to somebody who takes it as it comes.

use std::io::{self, Read as _};

use ureq::Body;

use super::exchange::Exchange;
use super::failure::{FailureKind, Fault};
use super::request::Response;

const BUFFER: usize = 64 << 10;

/// Takes bodies that are too large to be held.
pub trait Sink {
    /// Whether the body that belongs to this answer, which has none yet, is to come here.
    fn wants(&mut self, answer: &Response) -> bool;

    /// The next bytes. False when no more are wanted: the answer ends there.
    fn take(&mut self, bytes: &[u8]) -> bool;
}

/// What becomes of the body of an answer.
pub struct Intake<'a> {
    /// Largest body to hold, in bytes; a longer one is [`FailureKind::Malformed`], and cut where the answer
    /// is no success: what is refused is refused, however much is said about it.
    pub limit: u64,
    pub sink: Option<&'a mut (dyn Sink + 'a)>,
}

impl Intake<'_> {
    /// Of an answer that is held.
    pub fn held(limit: u64) -> Self {
        Self { limit, sink: None }
    }

    /// Gives `answer` its body, or the body to the sink.
    pub(super) fn read(
        &mut self,
        answer: &mut Response,
        body: Body,
        exchange: &Exchange,
    ) -> Result<(), Fault> {
        if let Some(sink) = &mut self.sink
            && sink.wants(answer)
        {
            return pour(body, *sink);
        }
        answer.body = hold(body, self.limit, answer.status >= 300, exchange)?;
        Ok(())
    }
}

fn pour(mut body: Body, sink: &mut dyn Sink) -> Result<(), Fault> {
    let mut buffer = vec![0; BUFFER];
    let mut reader = body.as_reader();
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                if !sink.take(&buffer[..read]) {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Fault::of_ureq(error.into(), true)),
        }
    }
}

/// Reads to the end, so that the connection can be used again, but never beyond `limit`.
fn hold(mut body: Body, limit: u64, cuts: bool, exchange: &Exchange) -> Result<Vec<u8>, Fault> {
    let too_long = || {
        let message = format!("the answer's body is larger than {limit} bytes");
        Fault::new(FailureKind::Malformed, message)
    };
    if !cuts && body.content_length().is_some_and(|length| length > limit) {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    let outcome = body
        .as_reader()
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes);
    match outcome {
        Ok(_) if bytes.len() as u64 > limit && !cuts => Err(too_long()),
        Err(error) if !exchange.stopped() => Err(Fault::of_ureq(error.into(), true)),
        _ => {
            bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok(bytes)
        }
    }
}
