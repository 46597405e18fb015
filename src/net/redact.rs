//! Text from elsewhere without the credentials in it.
//!
//! Servers repeat in their errors what they were sent, and a signed URL is as good as a password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::secret::Secret;

/// Stands for what is not shown.
const HIDDEN: &str = "***";
/// What is shorter stands in too many words to be hidden in them, in bytes.
const SHORTEST: usize = 4;

/// `text` without what looks like a credential: user names in URLs, queries of URLs, what follows `Basic`
/// and `Bearer`, JSON web tokens, values of what is called a password or the like.
pub fn redact(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut before = Before::Nothing;
    for piece in text.split_inclusive(is_between) {
        let word = piece.trim_end_matches(is_between);
        before = match before {
            Before::Scheme if is_token(word) => hidden(&mut shown),
            Before::Name if word == ":" || word.is_empty() => kept(&mut shown, word, before),
            Before::Name => hidden(&mut shown),
            _ if word.is_empty() => before,
            _ => kept(&mut shown, &redact_word(word), Before::of(word, piece)),
        };
        shown.push_str(&piece[word.len()..]);
    }
    shown
}

/// `text` without `secrets`, as they are and as JSON and URLs write them.
pub(super) fn hide(text: &str, secrets: &[Secret]) -> String {
    let mut shown = text.to_owned();
    for secret in secrets {
        for form in forms(secret.expose()) {
            if form.len() >= SHORTEST && shown.contains(&*form) {
                shown = shown.replace(&*form, HIDDEN);
            }
        }
    }
    shown
}

/// The secrets in the value of an `Authorization`.
pub(super) fn secrets_of(authorization: &str) -> Vec<Secret> {
    let (scheme, value) = authorization.split_once(' ').unwrap_or(("", authorization));
    let mut secrets = vec![Secret::from(value)];
    if scheme.eq_ignore_ascii_case("basic")
        && let Ok(pair) = STANDARD.decode(value).map(Zeroizing::new)
        && let Ok(pair) = std::str::from_utf8(&pair)
        && let Some((_, password)) = pair.split_once(':')
    {
        secrets.push(Secret::from(password));
    }
    secrets
}

/// What the words so far say about the next one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// `Basic` or `Bearer`.
    Scheme,
    /// The name of a secret, and its value is next.
    Name,
}

impl Before {
    /// `piece` is the word with what ends it.
    fn of(word: &str, piece: &str) -> Self {
        let last = word.rsplit([':', '=']).next().unwrap_or_default();
        if ["basic", "bearer"]
            .iter()
            .any(|s| last.eq_ignore_ascii_case(s))
        {
            return Self::Scheme;
        }
        // As JSON (`"password":"…"`) and forms (`password="…"`) have it.
        let quoted = piece.ends_with('"');
        let name = word.trim_end_matches('=');
        let follows = quoted && is_secret_name(name.rsplit(['&', '?']).next().unwrap_or(name));
        if follows { Self::Name } else { Self::Nothing }
    }
}

fn hidden(shown: &mut String) -> Before {
    shown.push_str(HIDDEN);
    Before::Nothing
}

fn kept(shown: &mut String, word: &str, next: Before) -> Before {
    shown.push_str(word);
    next
}

/// What divides words, wherever URLs and tokens have none of it.
fn is_between(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`' | '{' | '}')
}

fn redact_word(word: &str) -> String {
    let word = without_userinfo(&without_token(word));
    if let Some((path, query)) = word.split_once('?')
        && path.contains('/')
        && !query.is_empty()
    {
        return format!("{path}?{HIDDEN}");
    }
    let pairs = word.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) if is_secret_name(name) && !value.is_empty() => {
            format!("{name}={HIDDEN}")
        }
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// RFC 3986 section 3.2.1; without a scheme too, where it cannot be a name with a tag and a digest.
fn without_userinfo(word: &str) -> String {
    let start = word.find("//").map_or(0, |slashes| slashes + 2);
    let (scheme, rest) = word.split_at(start);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some((user, host)) = rest[..end].rsplit_once('@') else {
        return word.to_owned();
    };
    let digest = ["sha256:", "sha512:"]
        .iter()
        .any(|name| host.starts_with(name));
    match start > 0 || (user.contains(':') && !digest) {
        true => format!("{scheme}{HIDDEN}@{host}{}", &rest[end..]),
        false => word.to_owned(),
    }
}

/// RFC 7519: three parts in base64url, of which the first is a JSON object.
fn without_token(word: &str) -> String {
    let Some(start) = word.find("eyJ") else {
        return word.to_owned();
    };
    let rest = &word[start..];
    let end = rest.find(|c| !is_token_char(c)).unwrap_or(rest.len());
    match end > 20 && rest[..end].contains('.') {
        true => format!("{}{HIDDEN}{}", &word[..start], &rest[end..]),
        false => word.to_owned(),
    }
}

/// RFC 7235 `token68`, and no word of a language or of a challenge.
fn is_token(word: &str) -> bool {
    if ["realm=", "service=", "scope=", "error=", "charset="].contains(&word) {
        return false;
    }
    let word = word.trim_end_matches([',', ';', '.', ')', ']']);
    let bare = word.trim_end_matches('=');
    let mixed = bare.bytes().any(|b| b.is_ascii_lowercase())
        && bare.bytes().skip(1).any(|b| b.is_ascii_uppercase());
    let strange = mixed || bare.len() < word.len() || bare.bytes().any(|b| b.is_ascii_digit());
    bare.len() >= SHORTEST && bare.chars().all(is_token_char) && (strange || bare.len() > 32)
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | '+' | '/')
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let known = [
        "password",
        "passwd",
        "secret",
        "token",
        "signature",
        "credential",
        "api_key",
    ];
    name == "sig" || known.iter().any(|end| name.ends_with(end))
}

fn forms(secret: &str) -> Vec<Zeroizing<String>> {
    let json = serde_json::to_string(secret).unwrap_or_default();
    let json = json.trim_matches('"').to_owned();
    let mut url = String::new();
    for byte in secret.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                url.push(char::from(byte));
            }
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    let mut forms = vec![secret.to_owned(), json, url];
    forms.dedup();
    forms.into_iter().map(Zeroizing::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_credential_is_not_shown() {
        for (text, expected) in [
            ("", ""),
            (
                "requested access to the resource is denied",
                "requested access to the resource is denied",
            ),
            ("what is this/that? nothing", "what is this/that? nothing"),
            ("team/app:1@sha256:12ab", "team/app:1@sha256:12ab"),
            ("mail me@example.com", "mail me@example.com"),
            (
                "app:1@sha256:12ab of h:5000/app@v1",
                "app:1@sha256:12ab of h:5000/app@v1",
            ),
            (
                "no host: me:pw@h/x or //pw@h",
                "no host: ***@h/x or //***@h",
            ),
            (
                "proxy http://me:pw@proxy.example:3128/ said no",
                "proxy http://***@proxy.example:3128/ said no",
            ),
            ("(https://me@h)", "(https://***@h)"),
            ("http://h/p@q", "http://h/p@q"),
            (
                "PUT http://h/v2/a/blobs/uploads/1?_state=abc&digest=x 201",
                "PUT http://h/v2/a/blobs/uploads/1?*** 201",
            ),
            (
                "Location: /uploads/1?_state=abc",
                "Location: /uploads/1?***",
            ),
            (
                "<a href=\"https://s3/x?X-Amz-Signature=1,2\">",
                "<a href=\"https://s3/x?***\">",
            ),
            (
                "header Authorization: Basic dXNlcjpwYXNz was wrong",
                "header Authorization: Basic *** was wrong",
            ),
            ("authorization:bearer abc123.", "authorization:bearer ***"),
            ("{\"h\":\"Bearer a.b-c_d1\"}", "{\"h\":\"Bearer ***\"}"),
            (
                "Basic authentication is required",
                "Basic authentication is required",
            ),
            (
                "Bearer realm=\"https://auth/t\",service=\"r\"",
                "Bearer realm=\"https://auth/t\",service=\"r\"",
            ),
            (
                "bad token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln!",
                "bad token ***!",
            ),
            ("eyJ is no token", "eyJ is no token"),
            (
                "{\"username\":\"me\",\"password\":\"hunter2\"}",
                "{\"username\":\"me\",\"password\":\"***\"}",
            ),
            (
                "{\"access_token\" : \"a\", \"x\": 1}",
                "{\"access_token\" : \"***\", \"x\": 1}",
            ),
            (
                "grant_type=x&refresh_token=abc&scope=y",
                "grant_type=x&refresh_token=***&scope=y",
            ),
            (
                "client_secret=\"abc\" failed",
                "client_secret=\"***\" failed",
            ),
            ("invalid token: it expired", "invalid token: it expired"),
            ("größe=1 token=", "größe=1 token="),
        ] {
            assert_eq!(redact(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_secret_is_hidden_however_it_is_written() {
        let secrets = secrets_of("Basic bWU6cEBzcyJ3b3Jk");
        for (text, expected) in [
            ("no p@ss\"word here", "no *** here"),
            ("{\"x\":\"p@ss\\\"word\"}", "{\"x\":\"***\"}"),
            ("x=p%40ss%22word&y", "x=***&y"),
            ("got bWU6cEBzcyJ3b3Jk", "got ***"),
            ("me and p@ss", "me and p@ss"),
        ] {
            assert_eq!(hide(text, &secrets), expected, "{text}");
        }
        assert_eq!(
            hide("token abcd-1", &secrets_of("Bearer abcd-1")),
            "token ***"
        );
        assert_eq!(hide("abc", &secrets_of("Basic YTphYmM=")), "abc");
        assert_eq!(secrets_of("Basic !").len(), 1);
    }
}
