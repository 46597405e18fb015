//! What many workers meet at once, said once: one line for a host and a reason until what it says is over.
//! Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// No line is repeated sooner.
const LEAST: Duration = Duration::from_secs(1);
/// Different ones that are remembered: reasons are partly the registry's words.
const MOST: usize = 100;

#[derive(Default)]
pub(super) struct Repeats(HashMap<[String; 2], Said>);

struct Said {
    until: Instant,
    /// How often it was left unsaid since.
    unsaid: usize,
}

impl Repeats {
    /// Whether to say of `host` that because of `reason` something waits for so long: how often that was
    /// left unsaid since the last time, or `None` to leave it unsaid.
    pub(super) fn admit(
        &mut self,
        host: &str,
        reason: &str,
        wait: Duration,
        now: Instant,
    ) -> Option<usize> {
        let until = now + wait.max(LEAST);
        let key = [host, reason].map(str::to_owned);
        if let Some(said) = self.0.get_mut(&key) {
            if now < said.until {
                said.unsaid += 1;
                return None;
            }
            said.until = until;
            return Some(std::mem::take(&mut said.unsaid));
        }
        if self.0.len() >= MOST {
            self.0.retain(|_, said| now < said.until);
        }
        if self.0.len() < MOST {
            self.0.insert(key, Said { until, unsaid: 0 });
        }
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_left_unsaid_until_it_is_over() {
        let start = Instant::now();
        let mut repeats = Repeats::default();
        for (at, host, reason, wait, expected) in [
            (0, "a", "503", 5000, Some(0)),
            (1, "a", "503", 5000, None),
            (2, "b", "503", 100, Some(0)),
            (3, "a", "reset", 100, Some(0)),
            (900, "b", "503", 5000, None),
            (1002, "b", "503", 5000, Some(1)),
            (4999, "a", "503", 9000, None),
            (5000, "a", "503", 100, Some(2)),
            (6000, "a", "503", 100, Some(0)),
        ] {
            let (now, wait) = (
                start + Duration::from_millis(at),
                Duration::from_millis(wait),
            );
            let admitted = repeats.admit(host, reason, wait, now);
            assert_eq!(admitted, expected, "{at} {host} {reason}");
        }
    }

    #[test]
    fn reasons_without_number_take_no_memory() {
        let start = Instant::now();
        let mut repeats = Repeats::default();
        for number in 0..1000 {
            let reason = number.to_string();
            assert_eq!(repeats.admit("a", &reason, LEAST, start), Some(0));
        }
        assert_eq!(repeats.0.len(), MOST);
        assert_eq!(repeats.admit("a", "new", LEAST, start + 2 * LEAST), Some(0));
        assert_eq!(repeats.0.len(), 1);
    }
}
