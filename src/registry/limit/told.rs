//! What a host says of its own limits, for people who look at the log: `RateLimit-Limit` and the like,
//! with or without `X-`, and `RateLimit` with `RateLimit-Policy`
//! (<https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/>). Nothing is done by it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::net::Response;
use crate::registry::answer::clean;

/// Hosts that are told apart, headers of one answer, and characters of each.
const MOST_HOSTS: usize = 16;
const MOST_HEADERS: usize = 8;
const MOST_TEXT: usize = 120;

/// What each host has said last.
#[derive(Debug, Default)]
pub(in crate::registry) struct Told(Mutex<BTreeMap<String, String>>);

impl Told {
    /// What `host` says, where it is something else than the last time. That time goes by is no news.
    pub(in crate::registry) fn news(&self, host: &str, response: &Response) -> Option<String> {
        let headers = said(response);
        if headers.is_empty() {
            return None;
        }
        let timeless: Vec<String> = headers.iter().filter_map(timeless).collect();
        let timeless = timeless.join(", ");
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.get(host) == Some(&timeless) {
            return None;
        }
        if last.len() < MOST_HOSTS || last.contains_key(host) {
            last.insert(host.to_owned(), timeless);
        }
        let all: Vec<String> = headers.iter().map(|(n, v)| format!("{n}: {v}")).collect();
        Some(all.join(", "))
    }
}

fn said(response: &Response) -> Vec<(String, String)> {
    let headers = response.headers.iter().filter_map(|(name, value)| {
        let name = name.to_ascii_lowercase();
        let speaks = name.contains("ratelimit") || name.contains("rate-limit");
        speaks.then(|| {
            let value = clean(&response.hide(value), MOST_TEXT);
            (clean(&name, MOST_TEXT), value)
        })
    });
    headers.take(MOST_HEADERS).collect()
}

/// Without the seconds until there is more again.
fn timeless((name, value): &(String, String)) -> Option<String> {
    if name.ends_with("reset") {
        return None;
    }
    let counts_down = |part: &&str| {
        let part = part.trim();
        part.starts_with("t=") || part.starts_with("reset=")
    };
    let parts = value.split([';', ',']).filter(|part| !counts_down(part));
    Some(format!("{name}: {}", parts.collect::<Vec<_>>().join(";")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&str, &str)]) -> Response {
        let headers = headers.iter().map(|(n, v)| ((*n).into(), (*v).into()));
        Response {
            headers: headers.collect(),
            ..Response::default()
        }
    }

    #[test]
    fn says_each_change_once() {
        let told = Told::default();
        let hub = |remaining| {
            answer(&[
                ("Content-Type", "text/plain"),
                ("ratelimit-limit", "100;w=21600"),
                ("RateLimit-Remaining", remaining),
                ("docker-ratelimit-source", "192.0.2.1"),
            ])
        };
        let line = |remaining: &str| {
            format!(
                "ratelimit-limit: 100;w=21600, ratelimit-remaining: {remaining}, \
                 docker-ratelimit-source: 192.0.2.1"
            )
        };
        assert_eq!(told.news("a", &answer(&[("Server", "x")])), None);
        assert_eq!(told.news("a", &hub("9;w=21600")), Some(line("9;w=21600")));
        assert_eq!(told.news("a", &hub("9;w=21600")), None);
        assert_eq!(told.news("b", &hub("9;w=21600")), Some(line("9;w=21600")));
        assert_eq!(told.news("a", &hub("8;w=21600")), Some(line("8;w=21600")));
        assert_eq!(told.news("a", &answer(&[])), None);
        assert_eq!(told.news("a", &hub("8;w=21600")), None);
    }

    #[test]
    fn time_that_goes_by_is_no_news() {
        for (first, later) in [
            (
                &[("X-RateLimit-Limit", "5"), ("X-RateLimit-Reset", "30")],
                &[("X-RateLimit-Limit", "5"), ("X-RateLimit-Reset", "29")],
            ),
            (
                &[
                    ("RateLimit", "\"d\";r=5;t=30"),
                    ("RateLimit-Policy", "\"d\";q=9"),
                ],
                &[
                    ("RateLimit", "\"d\";r=5;t=2"),
                    ("RateLimit-Policy", "\"d\";q=9"),
                ],
            ),
            (
                &[("ratelimit", "limit=9, remaining=5, reset=30"), ("a", "b")],
                &[("ratelimit", "limit=9, remaining=5, reset=4"), ("a", "b")],
            ),
        ] {
            let told = Told::default();
            assert!(told.news("a", &answer(first)).is_some(), "{first:?}");
            assert_eq!(told.news("a", &answer(later)), None, "{later:?}");
        }
        let told = Told::default();
        assert!(
            told.news("a", &answer(&[("RateLimit", "r=5;t=3")]))
                .is_some()
        );
        assert!(
            told.news("a", &answer(&[("RateLimit", "r=4;t=3")]))
                .is_some()
        );
    }

    #[test]
    fn stays_one_short_line() {
        let long = "9".repeat(5000);
        let mut headers = vec![("RateLimit-Limit", "1\u{1b}[31m\r\n2\u{202e}"); 3];
        headers.extend(vec![("X-Rate-Limit", long.as_str()); 300]);
        let line = Told::default().news("a", &answer(&headers)).unwrap();
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(line.chars().count() < 1200, "{}", line.len());
        assert!(line.starts_with("ratelimit-limit: 1 [31m 2, "), "{line}");
    }
}
