//! The values of options: whole numbers, sizes, durations.
//!
//! Sizes follow GNU: `K`, `M`, `G`, `T` alone or with `iB` count by 1024, with `B` by 1000. An error
//! is what is legal, as a fragment that completes "… is not legal: write …".

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::cli::logging;
use crate::registry::client::Rate;

/// A whole number within `legal`.
pub(crate) fn number(text: &str, legal: RangeInclusive<u32>) -> Result<u32, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = text.parse().ok().filter(|n| digits && legal.contains(n));
    parsed.ok_or_else(|| format!("a whole number from {} to {}", legal.start(), legal.end()))
}

/// Bytes: `1500000`, `64M`, `16MiB`, `1.5GiB`, `10MB`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    const LEGAL: &str = "a number of bytes, or one with K, M, G or T (by 1024), KiB, MiB, GiB or TiB \
         (the same), or KB, MB, GB or TB (by 1000), such as 16MiB or 1.5G";
    let parsed = Decimal::split(text).and_then(|(decimal, unit)| {
        let unit = unit.to_ascii_uppercase();
        let (letter, base) = match unit.as_str() {
            "" | "B" => return decimal.times(1).filter(|_| decimal.is_whole()),
            _ if unit.ends_with("IB") => (unit.strip_suffix("IB")?, 1024),
            _ if unit.ends_with('B') => (unit.strip_suffix('B')?, 1000),
            _ => (unit.as_str(), 1024_u64),
        };
        let power = ["K", "M", "G", "T"].iter().position(|l| *l == letter)?;
        decimal.times(base.pow(power as u32 + 1))
    });
    parsed.ok_or_else(|| LEGAL.to_owned())
}

/// `60s`, `2m`, `1h`, `500ms`, `1.5m`; a plain number means seconds. Whole milliseconds, rounded down.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const LEGAL: &str = "a number of seconds, or one with ms, s, m or h, such as 500ms or 2m";
    let parsed = Decimal::split(text).and_then(|(decimal, unit)| {
        let milliseconds = match unit {
            "ms" => 1,
            "" | "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        decimal.times(milliseconds).map(Duration::from_millis)
    });
    parsed.ok_or_else(|| LEGAL.to_owned())
}

/// `30d`, or a duration.
pub(crate) fn age(text: &str) -> Result<Duration, String> {
    let days = Decimal::split(text).filter(|(_, unit)| *unit == "d");
    let milliseconds = days.and_then(|(decimal, _)| decimal.times(24 * 3_600_000));
    let parsed = milliseconds.map(Duration::from_millis);
    let legal = || "a number of days such as 30d, or a duration such as 12h".to_owned();
    parsed.map_or_else(|| duration(text).map_err(|_| legal()), Ok)
}

/// How long a transfer may stand still.
pub(crate) fn stall_timeout(text: &str) -> Result<Duration, String> {
    let legal = Duration::from_millis(100)..=Duration::from_secs(24 * 3600);
    let parsed = duration(text)?;
    let wrong = || "a duration from 100ms to 24h".to_owned();
    legal.contains(&parsed).then_some(parsed).ok_or_else(wrong)
}

/// The largest body of one request.
pub(crate) fn chunk_size(text: &str) -> Result<u64, String> {
    let parsed = size(text)?;
    let wrong = || "a size from 1KiB to 1TiB".to_owned();
    let legal = 1 << 10..=1 << 40;
    legal.contains(&parsed).then_some(parsed).ok_or_else(wrong)
}

/// Requests per second.
pub(crate) fn requests_per_second(text: &str) -> Result<Rate, String> {
    let decimal = Decimal::split(text).filter(|(_, unit)| unit.is_empty());
    let rate = decimal.and_then(|(decimal, _)| Rate::per_second(decimal.as_f64()));
    rate.ok_or_else(|| "a number above 0, such as 10 or 0.5".to_owned())
}

/// Bytes per second.
pub(crate) fn limit_rate(text: &str) -> Result<Rate, String> {
    let parsed = size(text).ok();
    let legal = parsed.filter(|bytes| (1 << 10..=1 << 40).contains(bytes));
    let rate = legal.and_then(|bytes| Rate::per_second(bytes as f64));
    rate.ok_or_else(|| "bytes per second, from 1KiB to 1TiB, such as 500K or 10MiB".to_owned())
}

/// What is logged: levels, for all or for a module, divided by commas.
pub(crate) fn log_filter(text: &str) -> Result<logging::Filter, String> {
    let legal = "off, error, warn, info, debug or trace, or MODULE=LEVEL, or several with commas";
    logging::Filter::parse(text).ok_or_else(|| legal.to_owned())
}

/// A `User-Agent`: what proxies and registries can be trusted to take.
pub(crate) fn user_agent(text: &str) -> Result<String, String> {
    let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let legal = printable && text.trim() == text && (1..=256).contains(&text.len());
    let wrong = || "printable ASCII without blanks at its ends, 1 to 256 characters".to_owned();
    legal.then(|| text.to_owned()).ok_or_else(wrong)
}

/// Where to listen. A name other than `localhost` is not looked up: it could mean several addresses.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").and_then(|port| {
        let port = port.parse().ok()?;
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    });
    let parsed = local.or_else(|| text.parse().ok());
    parsed.ok_or_else(|| {
        "an IP address and a port, such as 127.0.0.1:5000, 0.0.0.0:0 or [::1]:5000".to_owned()
    })
}

/// A number with decimals, kept exactly: 1.5 is 15 over 10.
#[derive(Clone, Copy)]
struct Decimal {
    digits: u128,
    over: u128,
}

impl Decimal {
    /// The number that `text` begins with, and what follows it.
    fn split(text: &str) -> Option<(Self, &str)> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, unit) = text.split_at(end.unwrap_or(text.len()));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        // Nine decimals are more than any unit has use for, and leave room before an overflow.
        if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 {
            return None;
        }
        let over = 10_u128.pow(fraction.len() as u32);
        let whole: u64 = whole.parse().ok()?;
        // A second dot makes the fraction no number.
        let fraction: u32 = fraction.parse().ok()?;
        let digits = u128::from(whole) * over + u128::from(fraction);
        Some((Self { digits, over }, unit))
    }

    fn is_whole(self) -> bool {
        self.digits.is_multiple_of(self.over)
    }

    fn as_f64(self) -> f64 {
        self.digits as f64 / self.over as f64
    }

    fn times(self, factor: u64) -> Option<u64> {
        let product = self.digits.checked_mul(u128::from(factor))?;
        u64::try_from(product / self.over).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1500000", Some(1_500_000)),
            ("12B", Some(12)),
            ("64K", Some(64 << 10)),
            ("64k", Some(64 << 10)),
            ("16MiB", Some(16 << 20)),
            ("16mib", Some(16 << 20)),
            ("10MB", Some(10_000_000)),
            ("1.5GiB", Some(3 << 29)),
            ("0.25T", Some(1 << 38)),
            ("16777215T", Some(16_777_215 << 40)),
            ("16777216T", None),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("1.5", None),
            ("", None),
            ("M", None),
            (".5M", None),
            ("1.M", None),
            ("1.2.3M", None),
            ("-1", None),
            ("+1", None),
            ("1 M", None),
            ("1MM", None),
            ("1iB", None),
            ("1E", None),
            ("0x10", None),
            ("١M", None),
        ] {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, expected) in [
            ("60", Some(60_000)),
            ("60s", Some(60_000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("500ms", Some(500)),
            ("1.5m", Some(90_000)),
            ("0.5", Some(500)),
            ("0", Some(0)),
            ("5124095576030h", Some(18_446_744_073_708_000_000)),
            ("5124095576031h", None),
            ("s", None),
            ("1d", None),
            ("1M", None),
            ("-1s", None),
        ] {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(duration(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn values_with_bounds_and_forms_of_their_own() {
        assert!(stall_timeout("99ms").is_err() && stall_timeout("25h").is_err());
        assert_eq!(stall_timeout("100ms"), Ok(Duration::from_millis(100)));
        assert!(chunk_size("1023").is_err() && chunk_size("2T").is_err());
        assert_eq!(chunk_size("1K"), Ok(1024));
        for text in ["ci (team/7) hoist/1", &"x".repeat(256)] {
            assert_eq!(user_agent(text).as_deref(), Ok(text));
        }
        for text in ["a\r\nb", "ü", " a", "a ", &"x".repeat(257)] {
            assert!(user_agent(text).is_err(), "{text}");
        }
        for (text, expected) in [
            ("127.0.0.1:5000", Some("127.0.0.1:5000")),
            ("localhost:0", Some("127.0.0.1:0")),
            ("[::1]:5000", Some("[::1]:5000")),
            ("5000", None),
            (":5000", None),
            ("localhost", None),
            ("127.0.0.1:65536", None),
            ("registry.local:5000", None),
        ] {
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(listen(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn rates_are_more_than_nothing() {
        for (text, expected) in [
            ("10", Some(10.0)),
            ("0.5", Some(0.5)),
            ("0.001", Some(0.001)),
            ("0", None),
            ("0.0", None),
            ("-1", None),
            ("NaN", None),
            ("inf", None),
            ("1e3", None),
            ("10/s", None),
            ("", None),
        ] {
            let expected = expected.and_then(Rate::per_second);
            assert_eq!(requests_per_second(text).ok(), expected, "{text}");
        }
        assert!(limit_rate("0").is_err() && limit_rate("1023").is_err());
        assert!(limit_rate("2T").is_err() && limit_rate("1M/s").is_err());
        assert_eq!(limit_rate("1.5M").ok(), Rate::per_second(1_572_864.0));
    }

    #[test]
    fn numbers_stay_within_their_bounds() {
        for (text, expected) in [
            ("1", Some(1)),
            ("256", Some(256)),
            ("0", None),
            ("257", None),
            ("+1", None),
            ("", None),
            ("4294967297", None),
        ] {
            assert_eq!(number(text, 1..=256).ok(), expected, "{text}");
        }
    }
}
