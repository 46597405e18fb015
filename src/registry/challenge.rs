//! `WWW-Authenticate`: what a registry asks for when it answers 401. No I/O.
//!
//! RFC 9110 section 11.6.1. Several headers, several challenges in one header, and scheme names in
//! any case all occur.

/// More challenges than this are not looked at.
const MOST: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// Lower case.
    pub(super) scheme: String,
    /// Names in lower case.
    params: Vec<(String, String)>,
}

impl Challenge {
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        let found = self.params.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// As a header.
    #[cfg(test)]
    pub(super) fn written(&self) -> String {
        let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
        let params = self.params.iter();
        let params = params.map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
        format!("{} {}", self.scheme, params.collect::<Vec<_>>().join(","))
    }
}

/// All challenges of all headers, in order. What is no challenge is passed over.
pub(super) fn parse<'a>(headers: impl Iterator<Item = &'a str>) -> Vec<Challenge> {
    headers.flat_map(parse_one).take(MOST).collect()
}

fn parse_one(header: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    let mut rest = header;
    while found.len() <= MOST {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            // Neither a name nor a separator: skip one character rather than give up on the rest.
            let mut characters = rest.chars();
            if characters.next().is_none() {
                break;
            }
            rest = characters.as_str();
            continue;
        }
        let blank_free = after.trim_start();
        match blank_free.strip_prefix('=') {
            Some(value) => {
                let (value, left) = value_of(value.trim_start());
                if let Some(challenge) = found.last_mut() {
                    challenge.params.push((word.to_ascii_lowercase(), value));
                }
                rest = left;
            }
            None => {
                found.push(Challenge {
                    scheme: word.to_ascii_lowercase(),
                    params: Vec::new(),
                });
                rest = after;
            }
        }
    }
    found
}

fn token(text: &str) -> (&str, &str) {
    let legal = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/:".contains(c);
    text.split_at(text.find(|c| !legal(c)).unwrap_or(text.len()))
}

/// A quoted string without its quotes and escapes, or everything up to the next comma or blank.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => break,
            '\\' => value.extend(characters.next()),
            other => value.push(other),
        }
    }
    (value, characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(headers: &[&str]) -> Vec<String> {
        let show = |challenge: Challenge| {
            let params = challenge.params.iter().map(|(k, v)| format!(" {k}<{v}>"));
            format!("{}{}", challenge.scheme, params.collect::<String>())
        };
        parse(headers.iter().copied())
            .into_iter()
            .map(show)
            .collect()
    }

    #[test]
    fn reads_what_registries_send() {
        for (headers, expected) in [
            (
                &[r#"Basic realm="Registry""#][..],
                &["basic realm<Registry>"][..],
            ),
            (&["BASIC"], &["basic"]),
            (
                &[
                    r#"Bearer realm="https://a/t",service="harbor-registry",scope="repository:a/b:pull,push""#,
                ],
                &[
                    "bearer realm<https://a/t> service<harbor-registry> scope<repository:a/b:pull,push>",
                ],
            ),
            (
                &[
                    r#"Bearer realm="https://g/v2/token""#,
                    r#"Basic realm="g\"h""#,
                ],
                &["bearer realm<https://g/v2/token>", "basic realm<g\"h>"],
            ),
            (
                &[r#"Bearer Realm = "x" , error=invalid_token, Basic realm="y""#],
                &["bearer realm<x> error<invalid_token>", "basic realm<y>"],
            ),
            (&["Negotiate, NTLM"], &["negotiate", "ntlm"]),
        ] {
            assert_eq!(shown(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn survives_anything() {
        let many = "Basic, ".repeat(10_000);
        for (header, count) in [
            ("", 0),
            (",,, ,", 0),
            ("=\"", 0),
            (r#"Basic realm="never closed"#, 1),
            (r#"Basic realm="ends in \"#, 1),
            ("\"Basic\" ü Basic", 2),
            (many.as_str(), MOST),
        ] {
            assert_eq!(shown(&[header]).len(), count, "{header}");
        }
        assert_eq!(
            parse(["Basic realm=a"].into_iter())[0].param("realm"),
            Some("a")
        );
        assert_eq!(parse(["Basic"].into_iter())[0].param("realm"), None);
    }
}
