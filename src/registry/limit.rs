//! One pause for all who work on a host: who asks us to slow down means all of us.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub(super) struct Limit(Mutex<Pause>);

#[derive(Debug, Default)]
struct Pause {
    /// When the registry last asked.
    asked: Option<Instant>,
    until: Option<Instant>,
}

impl Limit {
    /// How long a request that would begin now has to wait.
    pub(super) fn pending(&self, now: Instant) -> Option<Duration> {
        let pause = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = pause.until?.checked_duration_since(now)?;
        (!left.is_zero()).then_some(left)
    }

    /// Pauses the host. True when this is news: requests that were under way when the last pause began
    /// say nothing new when they are refused too.
    pub(super) fn press(&self, began: Instant, now: Instant, wait: Duration) -> bool {
        let mut pause = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = now.checked_add(wait);
        pause.until = pause.until.max(end);
        let news = pause.asked.is_none_or(|asked| began > asked);
        if news {
            pause.asked = Some(now);
        }
        news
    }
}

/// `Retry-After`, in seconds or as a date (RFC 9110 section 10.2.3). `unix`: now, in seconds since
/// 1970. What asks for no wait at all says nothing.
pub(super) fn parse_retry_after(text: &str, unix: u64) -> Option<Duration> {
    let text = text.trim();
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
            since.as_secs().saturating_sub(unix)
        }
    };
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms_of_retry_after() {
        // Sun, 06 Nov 1994 08:49:37 GMT
        let unix = 784_111_777;
        for (text, expected) in [
            ("120", Some(120)),
            (" 1 ", Some(1)),
            ("0", None),
            ("18446744073709551615", Some(u64::MAX)),
            ("99999999999999999999", None),
            ("-5", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sunday, 06-Nov-94 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1983 08:49:37 GMT", None),
        ] {
            let expected = expected.map(Duration::from_secs);
            assert_eq!(parse_retry_after(text, unix), expected, "{text:?}");
        }
    }

    #[test]
    fn pauses_everybody_and_reports_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let limit = Limit::default();
        assert_eq!(limit.pending(at(0)), None);
        // Three requests that began together are refused one after the other.
        assert!(limit.press(at(0), at(1), Duration::from_secs(10)));
        assert!(!limit.press(at(0), at(2), Duration::from_secs(20)));
        assert!(!limit.press(at(0), at(3), Duration::from_secs(1)));
        assert_eq!(limit.pending(at(4)), Some(Duration::from_secs(18)));
        assert_eq!(limit.pending(at(22)), None);
        assert_eq!(limit.pending(at(30)), None);
        // One that began after the pause is news.
        assert!(limit.press(at(23), at(24), Duration::from_secs(5)));
        assert_eq!(limit.pending(at(24)), Some(Duration::from_secs(5)));
    }
}
