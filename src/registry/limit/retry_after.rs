//! `Retry-After` (RFC 9110 section 10.2.3).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// In seconds, or as a date. Whoever names a date mostly says what time it is there, in `date`; else it
/// is `unix`, in seconds since 1970. What asks for no wait at all says nothing.
pub(in crate::registry) fn parse(text: &str, date: Option<&str>, unix: u64) -> Option<Duration> {
    let text = text.trim();
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let then = since_1970(text)?;
            then.saturating_sub(date.and_then(since_1970).unwrap_or(unix))
        }
    };
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

fn since_1970(date: &str) -> Option<u64> {
    let date: SystemTime = httpdate::parse_http_date(date).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms() {
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
            assert_eq!(parse(text, None, unix), expected, "{text:?}");
        }
    }

    #[test]
    fn dates_are_read_by_the_clock_of_whoever_sends_them() {
        let after = "Sun, 06 Nov 1994 08:49:47 GMT";
        for (date, expected) in [
            (Some("Sun, 06 Nov 1994 08:49:17 GMT"), Some(30)),
            (Some("Sun, 06 Nov 1994 08:59:17 GMT"), None),
            (Some("today"), Some(10)),
            (None, Some(10)),
        ] {
            let expected = expected.map(Duration::from_secs);
            assert_eq!(parse(after, date, 784_111_777), expected, "{date:?}");
            assert_eq!(parse("7", date, 0), Some(Duration::from_secs(7)));
        }
    }
}
