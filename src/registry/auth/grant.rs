//! The answer of a token service. No I/O.
//!
//! <https://distribution.github.io/distribution/spec/auth/token/>: `token` or `access_token`, the same
//! where both are there, and how long it lasts. It comes from the network: everything may be missing or
//! of another kind.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Number, Value};

use crate::net::Secret;
use crate::registry::answer;

/// What is not said to last longer or shorter, lasts so long.
const USUAL_LIFE: Duration = Duration::from_secs(60);
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// Servers stop reading headers at 8 to 64 KiB: what does not fit is better said here than answered by
/// a 400 or 431 that nobody understands. In bytes.
const LONGEST_TOKEN: usize = 16 << 10;

/// What a token service gave.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) token: Secret,
    /// From when it was asked for.
    pub(super) life: Duration,
    /// Instead of the one it was given for, from now on.
    pub(super) refresh: Option<Secret>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<Value>,
}

impl Grant {
    /// # Errors
    /// What came instead of a token: "a token of 64 KiB, …".
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        if body.trim_ascii().is_empty() {
            return Err("an empty answer".to_owned());
        }
        let Ok(document) = serde_json::from_slice::<Document>(body) else {
            return Err("an answer that is no token".to_owned());
        };
        let secret = |text: Option<String>| text.filter(|t| !t.is_empty()).map(Secret::new);
        let (token, access_token) = (secret(document.token), secret(document.access_token));
        let token = token.or(access_token).ok_or("an answer without a token")?;
        let length = token.expose().len();
        if length > LONGEST_TOKEN {
            return Err(format!(
                "a token of {}, and no header takes more than {}",
                answer::size(length as u64),
                answer::size(LONGEST_TOKEN as u64)
            ));
        }
        if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a token with characters that no header takes".to_owned());
        }
        Ok(Self {
            token,
            life: life(document.expires_in.as_ref()),
            refresh: secret(document.refresh_token),
        })
    }
}

/// Seconds, as a number or as its text. Nothing and nonsense is the usual.
fn life(expires_in: Option<&Value>) -> Duration {
    let number = match expires_in {
        Some(Value::Number(number)) => Some(number.clone()),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    match number.and_then(|number: Number| number.as_f64()) {
        Some(seconds) if seconds > 0.0 => {
            let most = LONGEST_LIFE.as_secs_f64();
            Duration::from_secs_f64(seconds.min(most))
        }
        _ => USUAL_LIFE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_services_answer() {
        for (body, token, seconds) in [
            (r#"{"token":"t","expires_in":300}"#, "t", 300),
            (r#"{"access_token":"a","expires_in":4500}"#, "a", 4500),
            (r#"{"token":"t","access_token":"t"}"#, "t", 60),
            (r#"{"token":"","access_token":"a"}"#, "a", 60),
            (
                r#"{"token":null,"access_token":"a","expires_in":null}"#,
                "a",
                60,
            ),
            (
                r#"{"token":"t","expires_in":10,"issued_at":"2026-11-20T10:00:00Z"}"#,
                "t",
                10,
            ),
            (r#"{"token":"t","expires_in":"3600"}"#, "t", 3600),
            (r#"{"token":"t","expires_in":29.9}"#, "t", 29),
            (r#"{"token":"t","expires_in":0}"#, "t", 60),
            (r#"{"token":"t","expires_in":-5}"#, "t", 60),
            (r#"{"token":"t","expires_in":1e300}"#, "t", 86400),
            (r#"{"token":"t","expires_in":"NaN"}"#, "t", 60),
            (r#"{"token":"t","expires_in":{"s":1}}"#, "t", 60),
        ] {
            let grant = Grant::parse(body.as_bytes()).unwrap();
            assert_eq!(grant.token.expose(), token, "{body}");
            assert_eq!(grant.life.as_secs(), seconds, "{body}");
        }
        let grant = Grant::parse(br#"{"access_token":"a","refresh_token":"r"}"#).unwrap();
        assert_eq!(grant.refresh.unwrap().expose(), "r");
    }

    #[test]
    fn says_what_is_no_token() {
        let long = format!(r#"{{"token":"{}"}}"#, "x".repeat(64 << 10));
        let longest = format!(r#"{{"token":"{}"}}"#, "x".repeat(LONGEST_TOKEN));
        assert!(Grant::parse(longest.as_bytes()).is_ok());
        for (body, expected) in [
            ("", "an empty answer"),
            (" \n", "an empty answer"),
            ("<html><title>Log in</title>", "an answer that is no token"),
            ("[]", "an answer without a token"),
            ("{}", "an answer without a token"),
            (r#"{"token":""}"#, "an answer without a token"),
            (r#"{"token":7}"#, "an answer that is no token"),
            (r#"{"token":"a b"}"#, "a token with characters"),
            (r#"{"token":"a\r\nX-Evil: 1"}"#, "a token with characters"),
            (r#"{"token":"ü"}"#, "a token with characters"),
            (
                long.as_str(),
                "a token of 64 KiB, and no header takes more than 16 KiB",
            ),
        ] {
            let error = Grant::parse(body.as_bytes()).unwrap_err();
            assert!(error.starts_with(expected), "{body:.60}: {error}");
        }
    }
}
