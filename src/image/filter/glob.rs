//! Globs over `repository:tag`: `*` stops at `/`, `**` does not, wherever it stands.

use crate::image::digest::quote;

/// Anything at all, written for a matcher that knows `**` only as a whole path segment.
const ANYTHING: &str = "{*,*/**/*}";

/// Whether `pattern` is a glob that can be matched with; the error is a sentence.
pub(super) fn check(pattern: &str) -> Result<(), String> {
    let refused = |why: &str| Err(format!("{} is no glob: {why}", quote(pattern)));
    if pattern.is_empty() {
        return refused("it is empty");
    }
    if pattern.starts_with('!') {
        return refused("it begins with !, and what is not wanted goes into --exclude");
    }
    // As typed first: its positions are the ones that the user can count.
    let checked =
        fast_glob::validate(pattern).and_then(|()| fast_glob::validate(spelled_out(pattern)));
    checked.or_else(|error| refused(&error.to_string()))
}

/// Whether a legal `pattern` matches the name; one without a colon looks at the repository alone, too.
pub(super) fn matches(pattern: &str, repository: &str, tag: &str) -> bool {
    let spelled = spelled_out(pattern);
    fast_glob::glob_match(&spelled, format!("{repository}:{tag}"))
        || !pattern.contains(':') && fast_glob::glob_match(&spelled, repository)
}

/// `pattern` with each `**` that is not a whole segment written in other words.
fn spelled_out(pattern: &str) -> String {
    let mut spelled = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(next) = rest.chars().next() {
        let taken = match next {
            '\\' => rest.chars().take(2).map(char::len_utf8).sum(),
            '[' => class_length(rest),
            '*' => rest.len() - rest.trim_start_matches('*').len(),
            other => other.len_utf8(),
        };
        let (piece, after) = rest.split_at(taken);
        let starts_segment = spelled.is_empty() || spelled.ends_with('/');
        let whole_segment = starts_segment && (after.is_empty() || after.starts_with('/'));
        spelled.push_str(match piece {
            "*" => "*",
            _ if next == '*' && whole_segment => "**",
            _ if next == '*' => ANYTHING,
            other => other,
        });
        rest = after;
    }
    spelled
}

/// The length of the `[class]` that `text` begins with; its first character is a member even if it
/// is `]`.
fn class_length(text: &str) -> usize {
    let mut inside = text.char_indices().skip(1).peekable();
    inside.next_if(|(_, c)| matches!(c, '!' | '^'));
    let mut first = true;
    while let Some((at, c)) = inside.next() {
        match c {
            ']' if !first => return at + 1,
            '\\' => drop(inside.next()),
            _ => {}
        }
        first = false;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stops_at_a_slash_and_two_do_not() {
        for (pattern, name, expected) in [
            ("nginx:1.25", "nginx:1.25", true),
            ("nginx:1.*", "nginx:1.25", true),
            ("nginx:*", "nginx-debug:1", false),
            ("*", "nginx:1", true),
            ("*", "team/nginx:1", false),
            ("*:latest", "team/nginx:latest", false),
            ("**", "team/nginx:1", true),
            ("**:latest", "team/sub/nginx:latest", true),
            ("**:latest", "nginx:latest", true),
            ("**:latest", "team/nginx:1", false),
            ("team/*:1", "team/app:1", true),
            ("team/*:1", "team/sub/app:1", false),
            ("team/**", "team/sub/app:1", true),
            ("team/**", "team:1", false),
            ("team**:1", "team/sub/app:1", true),
            ("team**:1", "team-a:1", true),
            ("**/app:1", "app:1", true),
            ("**/app:1", "a/b/app:1", true),
            ("a/**/app:1", "a/app:1", true),
            ("a/**/app:1", "a/b/c/app:1", true),
            ("{nginx,redis}:*", "redis:7", true),
            ("{**/nginx,x}:1", "a/b/nginx:1", true),
            ("{x,**}:1", "a/b/nginx:1", true),
            ("nginx:1.2?", "nginx:1.25", true),
            ("nginx:1.2?", "nginx:1.2", false),
            ("nginx:[0-9]", "nginx:7", true),
            ("nginx:[!0-9]", "nginx:7", false),
            ("nginx", "nginx:1.25", true),
            ("nginx", "nginx-debug:1.25", false),
            ("team/*", "team/app:1", true),
            ("team/a*", "team/sub/a:1", false),
            ("***:1", "a/b:1", true),
        ] {
            check(pattern).unwrap();
            let (repository, tag) = name.rsplit_once(':').unwrap();
            assert_eq!(
                matches(pattern, repository, tag),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_glob() {
        for (pattern, why) in [
            ("", "empty"),
            ("!nginx", "--exclude"),
            ("a{b", "unclosed brace expansion at byte 1"),
            ("a[b", "unclosed character class"),
            ("a\\", "trailing backslash"),
            ("a**b**c**d**e**f**g**h**i**j**k**l", "exceeds"),
        ] {
            let error = check(pattern).unwrap_err();
            assert!(
                error.contains(why) && error.contains("is no glob"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_escaped_or_in_a_class_stays() {
        for (pattern, expected) in [
            ("a**b", "a{*,*/**/*}b"),
            ("a\\**b", "a\\**b"),
            ("a[**]b", "a[**]b"),
            ("a[]**]b**", "a[]**]b{*,*/**/*}"),
            ("a[!]**]b", "a[!]**]b"),
            ("a/**", "a/**"),
            ("**/**/a", "**/**/a"),
            ("é**", "é{*,*/**/*}"),
            ("[**", "[**"),
        ] {
            assert_eq!(spelled_out(pattern), expected);
        }
    }

    /// The meaning in as few words as possible: a whole segment `**` may be nothing, `**` elsewhere
    /// is anything, `*` anything without `/`.
    fn means(pattern: &[u8], text: &[u8], at_start: bool) -> bool {
        let tails = |limit: Option<u8>| {
            let stop = limit.and_then(|c| text.iter().position(|b| *b == c));
            (0..=stop.unwrap_or(text.len())).map(|n| &text[n..])
        };
        match pattern {
            [] => text.is_empty(),
            [b'*', b'*', b'/', rest @ ..] if at_start => {
                means(rest, text, true)
                    || (0..text.len()).any(|n| text[n] == b'/' && means(rest, &text[n + 1..], true))
            }
            [b'*', b'*', rest @ ..] => tails(None).any(|tail| means(rest, tail, false)),
            [b'*', rest @ ..] => tails(Some(b'/')).any(|tail| means(rest, tail, false)),
            [c, rest @ ..] => text.first() == Some(c) && means(rest, &text[1..], *c == b'/'),
        }
    }

    fn words(alphabet: &[&str], length: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..length {
            last = last
                .iter()
                .flat_map(|w| alphabet.iter().map(move |a| format!("{w}{a}")))
                .collect();
            all.extend(last.iter().cloned());
        }
        all
    }

    #[test]
    fn agrees_with_the_plain_meaning_on_all_short_patterns() {
        let names = words(&["a", "b", "/"], 5);
        let names: Vec<&String> = names
            .iter()
            .filter(|name| !name.is_empty() && name.split('/').all(|part| !part.is_empty()))
            .collect();
        for pattern in words(&["a", "/", "*", "**"], 5) {
            if pattern.is_empty() || pattern.contains("***") || pattern.starts_with('/') {
                continue;
            }
            for name in &names {
                let found = fast_glob::glob_match(spelled_out(&pattern), name);
                assert_eq!(
                    found,
                    means(pattern.as_bytes(), name.as_bytes(), true),
                    "{pattern} {name}"
                );
            }
        }
    }
}
