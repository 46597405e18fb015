//! Quantities and foreign text as people see them.

use std::borrow::Cow;
use std::time::Duration;

/// `text` with everything escaped that a terminal might act on: names, paths and answers come from
/// files and networks.
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    if !text.contains(is_active) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_active(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Control characters, and those that turn or break a line: Unicode bidirectional controls, line
/// and paragraph separators, zero-width marks.
fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// "512 B", "1.5 KiB", "34.0 MiB".
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    // What rounds to 1024.0 belongs to the next unit.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// "85.3 MiB/s".
pub(crate) fn rate(bytes_per_second: f64) -> String {
    format!("{}/s", bytes(bytes_per_second as u64))
}

/// "0.4 s", "12.3 s", "2 m 05 s", "1 h 02 m".
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{}.{} s", seconds, duration.subsec_millis() / 100),
        60..3600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} m", seconds / 3600, seconds / 60 % 60),
    }
}

/// "1 image", "3 images".
pub(crate) fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// `text` in at most `columns` columns, one per character: its beginning gives way.
pub(crate) fn ending(text: &str, columns: usize) -> Cow<'_, str> {
    let length = text.chars().count();
    if length <= columns {
        return Cow::Borrowed(text);
    }
    let kept = columns.saturating_sub(1);
    let tail = text.chars().skip(length - kept);
    Cow::Owned("…".chars().take(columns).chain(tail).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_drive_the_terminal() {
        for (text, expected) in [
            ("team/app:1.2", "team/app:1.2"),
            ("größe", "größe"),
            ("a\x1b[2Jb", "a\\u{1b}[2Jb"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("a\u{9b}31mb", "a\\u{9b}31mb"),
            ("gpj.\u{202e}rat", "gpj.\\u{202e}rat"),
        ] {
            assert_eq!(safe(text), expected);
        }
    }

    #[test]
    fn quantities() {
        for (count, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (125_829_120, "120.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(count), expected);
        }
        for (ms, expected) in [
            (0, "0.0 s"),
            (999, "0.9 s"),
            (59_999, "59.9 s"),
            (125_000, "2 m 05 s"),
            (3_725_000, "1 h 02 m"),
        ] {
            assert_eq!(duration(Duration::from_millis(ms)), expected);
        }
    }

    #[test]
    fn long_names_lose_their_beginning() {
        for (columns, expected) in [
            (20, "abcdefgh"),
            (8, "abcdefgh"),
            (5, "…efgh"),
            (1, "…"),
            (0, ""),
        ] {
            assert_eq!(ending("abcdefgh", columns), expected);
        }
    }
}
