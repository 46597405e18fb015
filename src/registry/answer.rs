//! What an answer says to people: error codes, messages, and a sentence made of them. No I/O.
//!
//! Bodies come from the network: anything may be in them, HTML from a proxy more often than not.
//! distribution-spec 1.1 "Error Codes".

use serde::Deserialize;
use serde_json::Value;

use crate::image::digest::Digest;
use crate::net::{Response, redact};

/// Codes, and characters of a code or a message, that are looked at.
const MOST_CODES: usize = 8;
const MOST_CODE: usize = 64;
const MOST_TEXT: usize = 200;
/// A refused index names each missing child.
const MOST_DIGESTS: usize = 4096;

/// What a body says about why the answer is no.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) codes: Vec<String>,
    /// One line without control characters; may be empty.
    pub(super) message: String,
    /// Digests named in `errors[].detail`.
    pub(super) digests: Vec<Digest>,
    /// Errors that name none.
    pub(super) nameless: usize,
}

#[derive(Deserialize)]
struct Document {
    errors: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    code: Option<Value>,
    message: Option<Value>,
    detail: Option<Value>,
}

impl Refusal {
    pub(super) fn read(response: &Response) -> Self {
        let body = &response.body;
        if let Ok(document) = serde_json::from_slice::<Document>(body) {
            return Self::from_items(&document.errors, &|text| response.hide(text));
        }
        let message = match serde_json::from_slice::<Value>(body) {
            Ok(value) => clean(&response.hide(other_json(&value)), MOST_TEXT),
            Err(_) => loose_text(&response.hide(&String::from_utf8_lossy(body))),
        };
        Self {
            message,
            ..Self::default()
        }
    }

    fn from_items(items: &[Item], hide: &dyn Fn(&str) -> String) -> Self {
        let mut refusal = Self::default();
        let mut messages: Vec<String> = Vec::new();
        for item in items {
            let code = item.code.as_ref().and_then(Value::as_str);
            let code = clean(&hide(code.unwrap_or_default()), MOST_CODE);
            if !code.is_empty()
                && refusal.codes.len() < MOST_CODES
                && !refusal.codes.contains(&code)
            {
                refusal.codes.push(code);
            }
            let message = item.message.as_ref().and_then(Value::as_str);
            let message = clean(&hide(message.unwrap_or_default()), MOST_TEXT);
            if !message.is_empty() && messages.len() < MOST_CODES && !messages.contains(&message) {
                messages.push(message);
            }
            let detail = item.detail.as_ref();
            if !detail.is_some_and(|detail| collect_digests(detail, &mut refusal.digests)) {
                refusal.nameless += 1;
            }
        }
        refusal.message = messages.join(", ");
        refusal
    }

    pub(super) fn has(&self, code: &str) -> bool {
        self.codes.iter().any(|found| found == code)
    }

    /// ": CODE: message", or nothing.
    pub(super) fn suffix(&self) -> String {
        let codes = self.codes.join(", ");
        match (codes.is_empty(), self.message.is_empty()) {
            (true, true) => String::new(),
            (true, false) => format!(": {}", self.message),
            (false, true) => format!(": {codes}"),
            (false, false) => format!(": {codes}: {}", self.message),
        }
    }
}

/// A web page where none belongs: the answer is not the registry's.
pub(super) fn is_page(response: &Response) -> bool {
    let html = |value: &str| value.to_ascii_lowercase().starts_with("text/html");
    response.header("content-type").is_some_and(html)
}

/// "413 Payload Too Large".
pub(super) fn status(code: u16) -> String {
    let phrase = match code {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Payload Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        499 => "Client Closed Request",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        507 => "Insufficient Storage",
        _ => return code.to_string(),
    };
    format!("{code} {phrase}")
}

/// "120 MiB", "1.5 MiB", "17 bytes".
pub(super) fn size(bytes: u64) -> String {
    let unit = [("GiB", 30), ("MiB", 20), ("KiB", 10)]
        .into_iter()
        .find(|(_, shift)| bytes >> shift > 0);
    let Some((unit, shift)) = unit else {
        return format!("{bytes} bytes");
    };
    let whole = bytes >> shift;
    let tenths = ((bytes - (whole << shift)) * 10) >> shift;
    match tenths {
        0 => format!("{whole} {unit}"),
        _ => format!("{whole}.{tenths} {unit}"),
    }
}

/// The start of a text from the network on one line: nothing but printable characters, and nothing that
/// looks like a credential.
pub(super) fn clean(text: &str, most: usize) -> String {
    let printable = |c: char| !c.is_control() && !is_invisible(c);
    let words = text.split(|c: char| c.is_whitespace() || !printable(c));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).take(most).collect();
    let line = redact(&words.join(" "));
    match line.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Marks that change how the text around them is shown.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// JSON in a form of its own: the strings that usually say why.
fn other_json(value: &Value) -> &str {
    let said = ["message", "details", "detail", "error", "errors"]
        .into_iter()
        .find_map(|key| value.get(key).and_then(Value::as_str));
    said.or(value.as_str()).unwrap_or_default()
}

/// The title of a page, else its text without the tags, else the text as it is.
fn loose_text(text: &str) -> String {
    if !text.trim_start().starts_with('<') {
        return clean(text, MOST_TEXT);
    }
    let lower = text.to_ascii_lowercase();
    let title = lower.find("<title").and_then(|tag| {
        let start = tag + lower[tag..].find('>')? + 1;
        let end = start + lower[start..].find('<')?;
        Some(clean(&text[start..end], MOST_TEXT))
    });
    if let Some(title) = title.filter(|title| !title.is_empty()) {
        return title;
    }
    let mut inside = false;
    let bare = text.chars().map(|c| {
        let hidden = inside || c == '<';
        inside = (inside || c == '<') && c != '>';
        if hidden { ' ' } else { c }
    });
    clean(&bare.collect::<String>(), MOST_TEXT)
}

/// Whether there is any in `value`, and room for it.
fn collect_digests(value: &Value, found: &mut Vec<Digest>) -> bool {
    let collect = |any: bool, item: &Value| collect_digests(item, found) || any;
    match value {
        Value::Array(items) => items.iter().fold(false, collect),
        Value::Object(map) => map.values().fold(false, collect),
        Value::String(text) => match Digest::parse(text) {
            Ok(digest) if found.contains(&digest) => true,
            Ok(digest) if found.len() < MOST_DIGESTS => {
                found.push(digest);
                true
            }
            Ok(_) | Err(_) => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> String {
        let response = Response {
            status: 400,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
            ..Response::default()
        };
        Refusal::read(&response).suffix()
    }

    #[test]
    fn reads_bodies() {
        let long = "x".repeat(5000);
        let cut = format!(": {}…", "x".repeat(MOST_TEXT));
        for (body, expected) in [
            ("", ""),
            ("{}", ""),
            ("[1,2]", ""),
            ("{\"errors\":null}", ""),
            ("{\"errors\":[{\"code\":7,\"message\":[]},{}]}", ""),
            (
                r#"{"errors":[{"code":"NAME_INVALID","message":"no\u001b[31m such\nname"}]}"#,
                ": NAME_INVALID: no [31m such name",
            ),
            (
                r#"{"errors":[{"code":"A","message":"m"},{"code":"A","message":"m"},{"code":"B"}]}"#,
                ": A, B: m",
            ),
            (
                r#"{"details":"invalid repository name"}"#,
                ": invalid repository name",
            ),
            ("slow down\r\nplease", ": slow down please"),
            (
                "<html><head><TITLE>413 Request\nEntity</TITLE></head>",
                ": 413 Request Entity",
            ),
            (
                "<html><body><h1>Oops</h1> try <b>later</b>",
                ": Oops try later",
            ),
            ("<title>", ""),
            (long.as_str(), cut.as_str()),
        ] {
            assert_eq!(said(body), expected, "{body:.80}");
        }
    }

    #[test]
    fn finds_the_digests_that_are_missing() {
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let body = format!(
            r#"{{"errors":[{{"code":"MANIFEST_BLOB_UNKNOWN","detail":"{one}"}},
               {{"code":"MANIFEST_BLOB_UNKNOWN","detail":{{"digest":"{two}","x":["{one}","no"]}}}},
               {{"code":"MANIFEST_BLOB_UNKNOWN","detail":"{one}"}},
               {{"code":"MANIFEST_BLOB_UNKNOWN","detail":["sha256:1"]}}, {{"code":"A"}}]}}"#
        );
        let response = Response {
            status: 400,
            headers: Vec::new(),
            body: body.into_bytes(),
            ..Response::default()
        };
        let refusal = Refusal::read(&response);
        assert_eq!(refusal.digests, [one, two]);
        assert_eq!(refusal.nameless, 2);
        assert!(refusal.has("MANIFEST_BLOB_UNKNOWN"));
    }

    #[test]
    fn depth_and_bytes_do_no_harm() {
        let deep = "[".repeat(60_000);
        assert_eq!(said(&deep).chars().count(), 2 + MOST_TEXT + 1);
        let response = Response {
            status: 500,
            headers: Vec::new(),
            body: vec![0xff, 0, 0x1b, b'a'],
            ..Response::default()
        };
        assert_eq!(Refusal::read(&response).suffix(), ": \u{fffd} a");
    }

    #[test]
    fn writes_sizes() {
        for (bytes, expected) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1 << 10, "1 KiB"),
            (120 << 20, "120 MiB"),
            (3 << 19, "1.5 MiB"),
            (u64::MAX, "17179869183.9 GiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
