//! The head of a request: bytes to a method, a target, fields and the framing of the body. Pure.

use super::answer::{Answer, failure};

/// Bytes a request head may have.
pub(in crate::serve) const MAX_HEAD: usize = 16 << 10;
const MAX_TARGET: usize = 8 << 10;
const MAX_FIELDS: usize = 64;

#[derive(Debug)]
pub(in crate::serve) struct Head {
    pub(in crate::serve) method: String,
    /// Path and query, as sent.
    pub(in crate::serve) target: String,
    /// Names in lower case.
    fields: Vec<(String, String)>,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
}

/// How the end of the body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

impl Head {
    /// The value of a field; of one that is there twice, the first.
    pub(in crate::serve) fn field(&self, name: &str) -> Option<&str> {
        let (_, value) = self.fields.iter().find(|(found, _)| found == name)?;
        Some(value)
    }

    /// How many bytes of body are announced; none when they come in chunks.
    pub(in crate::serve) fn announced(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
        }
    }
}

/// The head that `bytes` begin with and its length; none when more bytes are needed. What is wrong
/// with it comes as the answer to give.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Answer> {
    let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut slots);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
        Ok(httparse::Status::Partial) => return Err(failure(431, "the request head is too long")),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(failure(431, "the request has too many header fields"));
        }
        Err(httparse::Error::Version) => return Err(failure(505, "only HTTP/1 is spoken here")),
        Err(error) => return Err(failure(400, &format!("malformed request: {error}"))),
    };
    let method = request.method.unwrap_or_default().to_string();
    let target = request.path.unwrap_or_default();
    if target.len() > MAX_TARGET {
        return Err(failure(414, "the request target is too long"));
    }
    let fields: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|field| {
            let value = String::from_utf8_lossy(field.value).trim().to_string();
            (field.name.to_ascii_lowercase(), value)
        })
        .collect();
    let is_1_1 = request.version == Some(1);
    if is_1_1 && fields.iter().filter(|(name, _)| name == "host").count() != 1 {
        return Err(failure(400, "a request has exactly one Host field"));
    }
    let expects_continue = expectation(&fields)? && is_1_1;
    let head = Head {
        method,
        target: origin_form(target).to_string(),
        framing: framing(&fields, is_1_1)?,
        keep_alive: keep_alive(&fields, is_1_1),
        expects_continue,
        fields,
    };
    Ok(Some((head, length)))
}

/// `http://host/path` is how proxies are asked; only the path matters here.
fn origin_form(target: &str) -> &str {
    match target.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphabetic()) => {
            rest.find('/').map_or("/", |start| &rest[start..])
        }
        _ => target,
    }
}

fn values<'a>(fields: &'a [(String, String)], name: &'a str) -> impl Iterator<Item = &'a str> {
    fields
        .iter()
        .filter(move |(found, _)| found == name)
        .map(|(_, value)| value.as_str())
}

/// RFC 9112 section 6.3. A message with two opinions of its length is how requests are smuggled past
/// a proxy, so it is refused.
fn framing(fields: &[(String, String)], is_1_1: bool) -> Result<Framing, Answer> {
    let mut codings = values(fields, "transfer-encoding");
    let mut lengths = values(fields, "content-length");
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(Framing::Length(0)),
        (Some(_), Some(_)) => Err(failure(
            400,
            "Content-Length and Transfer-Encoding exclude each other",
        )),
        (Some(coding), None) => {
            if !is_1_1 || codings.next().is_some() || !coding.eq_ignore_ascii_case("chunked") {
                return Err(failure(501, "the only transfer coding taken is chunked"));
            }
            Ok(Framing::Chunked)
        }
        (None, Some(length)) => {
            let digits = length.bytes().all(|b| b.is_ascii_digit());
            match length.parse() {
                Ok(length) if digits && lengths.next().is_none() => Ok(Framing::Length(length)),
                _ => Err(failure(400, "Content-Length is one number")),
            }
        }
    }
}

fn keep_alive(fields: &[(String, String)], is_1_1: bool) -> bool {
    let mut options = values(fields, "connection").flat_map(|value| value.split(','));
    is_1_1 && !options.any(|option| option.trim().eq_ignore_ascii_case("close"))
}

fn expectation(fields: &[(String, String)]) -> Result<bool, Answer> {
    match values(fields, "expect").next() {
        None => Ok(false),
        Some(value) if value.eq_ignore_ascii_case("100-continue") => Ok(true),
        Some(_) => Err(failure(417, "the only expectation met is 100-continue")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        let (head, length) = parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!(length, text.len());
        head
    }

    #[test]
    fn heads_say_how_their_body_ends() {
        for (fields, framing) in [
            ("", Framing::Length(0)),
            ("Content-Length: 17\r\n", Framing::Length(17)),
            ("transfer-encoding: Chunked\r\n", Framing::Chunked),
        ] {
            let text = format!("PUT /v2/?a=b HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
            assert_eq!(head(&text).framing, framing, "{fields}");
        }
    }

    #[test]
    fn connections_are_kept_as_asked() {
        for (version, field, kept) in [
            ("1.1", "X: y", true),
            ("1.1", "Connection: x, Close", false),
            ("1.0", "X: y", false),
            ("1.0", "Connection: keep-alive", false),
        ] {
            let text = format!("GET / HTTP/{version}\r\nHost: x\r\n{field}\r\n\r\n");
            assert_eq!(head(&text).keep_alive, kept, "{version} {field}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let many = "A: b\r\n".repeat(MAX_FIELDS + 1);
        let long = format!(
            "GET /{} HTTP/1.1\r\nHost: x\r\n\r\n",
            "a".repeat(MAX_TARGET)
        );
        for (rest, status) in [
            ("Content-Length: 1\r\nContent-Length: 2\r\n", 400),
            ("Content-Length: 1\r\nContent-Length: 1\r\n", 400),
            ("Content-Length: +1\r\n", 400),
            ("Content-Length: 1, 1\r\n", 400),
            ("Content-Length: 99999999999999999999\r\n", 400),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: gzip, chunked\r\n", 501),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                501,
            ),
            ("Host: y\r\n", 400),
            ("Expect: the-unexpected\r\n", 417),
            (many.as_str(), 431),
            ("A: b\r\n folded\r\n", 400),
        ] {
            let text = format!("PUT / HTTP/1.1\r\nHost: x\r\n{rest}\r\n");
            assert_eq!(parse(text.as_bytes()).unwrap_err().status, status, "{rest}");
        }
        for (text, status) in [
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
            ("\u{16}\u{3}\u{1}", 400),
            (long.as_str(), 414),
        ] {
            assert_eq!(
                parse(text.as_bytes()).unwrap_err().status,
                status,
                "{text:.40}"
            );
        }
        assert_eq!(parse(&[b'a'; MAX_HEAD]).unwrap_err().status, 431);
        assert!(parse(b"GET / HTTP/1.1\r\nHo").unwrap().is_none());
    }

    #[test]
    fn targets_are_taken_in_both_forms() {
        for (sent, taken) in [
            ("/v2/?x=http://y/", "/v2/?x=http://y/"),
            ("http://host:1/v2/a", "/v2/a"),
            ("http://host", "/"),
        ] {
            assert_eq!(origin_form(sent), taken);
        }
    }
}
