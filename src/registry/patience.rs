//! How long an answer may take, and how often it is looked what became of a request without one.

use std::time::Duration;

use crate::registry::client::Client;
use crate::registry::retry::{Class, Halt};

const PATIENT: &[u64] = &[0, 1, 2, 4, 8];
/// Object stores copy a blob to its place before they answer, whatever its size: so long at most.
pub(super) const CLOSE_PATIENCE: Duration = Duration::from_secs(15 * 60);
pub(super) const CHUNK_PATIENCE: Duration = Duration::from_secs(5 * 60);
/// The slowest copy that is believed in.
const PATIENCE_PER_MIB: Duration = Duration::from_secs(5);

impl Client {
    /// How long the answer to the last of `bytes` may take. A registry that hangs is found out sooner
    /// over a small blob than over a large one.
    pub(super) fn patience(&self, bytes: u64, most: Duration) -> Duration {
        patience(self.http.stall_timeout(), bytes, most)
    }
}

fn patience(stall: Duration, bytes: u64, most: Duration) -> Duration {
    let mebibytes = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
    let copying = PATIENCE_PER_MIB.saturating_mul(mebibytes);
    stall.saturating_add(copying).min(most.max(stall))
}

/// Pauses before each look for a blob whose closing request ended in this status, in seconds: longer
/// where the commit may still be under way behind a gateway.
pub(super) fn looks_after(status: u16) -> &'static [u64] {
    match status {
        408 | 499 | 504 | 524 => PATIENT,
        _ => &[0, 1, 2],
    }
}

/// The same for one that got no answer. A connection that ended says more than silence.
pub(super) fn looks_after_cut(halt: &Halt) -> &'static [u64] {
    match halt {
        Halt::Again(trouble) => match trouble.class {
            Class::Cut { silent: true, .. } => PATIENT,
            Class::Cut { .. } => &[0],
            _ => &[],
        },
        Halt::Fail(_) => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_blobs_are_waited_for_longer() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        for (stall, bytes, expected) in [
            (minutes(1), 0, minutes(1)),
            (minutes(1), 500_000, minutes(1)),
            (minutes(1), 12 << 20, minutes(2)),
            (minutes(1), 1 << 30, minutes(15)),
            (minutes(1), u64::MAX, minutes(15)),
            (minutes(20), 1 << 30, minutes(20)),
        ] {
            assert_eq!(patience(stall, bytes, CLOSE_PATIENCE), expected, "{bytes}");
        }
    }
}
