//! Rust text with comments and the insides of strings blanked, so that what is left is code.

/// The code of a file; lines and columns are those of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Code(String);

/// What the text at hand begins with.
enum Token {
    /// Blanked but for line ends.
    Hidden,
    Shown,
}

impl Code {
    pub(super) fn of(text: &str) -> Self {
        let mut code = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let (token, length) = next_token(rest);
            let (piece, after) = rest.split_at(length);
            match token {
                Token::Shown => code.push_str(piece),
                Token::Hidden => code.extend(piece.chars().map(blank)),
            }
            rest = after;
        }
        Self(code)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Numbered from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.0
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }

    /// Each item under `#[cfg(test)]` blanked.
    pub(super) fn without_tests(&self) -> Self {
        const MARK: &str = "#[cfg(test)]";
        let mut code = String::with_capacity(self.0.len());
        let mut rest = self.0.as_str();
        while let Some(start) = rest.find(MARK) {
            let item = &rest[start + MARK.len()..];
            let end = match item.find([';', '{']) {
                Some(at) if item[at..].starts_with('{') => at + block_length(&item[at..]),
                Some(at) => at + 1,
                None => item.len(),
            };
            let end = start + MARK.len() + end;
            code.push_str(&rest[..start]);
            code.extend(rest[start..end].chars().map(blank));
            rest = &rest[end..];
        }
        code.push_str(rest);
        Self(code)
    }
}

/// The length of the block that `code` begins with, up to the bracket that closes its first.
pub(super) fn block_length(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn blank(c: char) -> char {
    if c == '\n' { c } else { ' ' }
}

fn next_token(text: &str) -> (Token, usize) {
    if text.starts_with("//") {
        return (Token::Hidden, text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return (Token::Hidden, comment_length(text));
    }
    let first = text.chars().next().map_or(0, char::len_utf8);
    if text.starts_with(is_word) {
        let word = text.find(|c| !is_word(c)).unwrap_or(text.len());
        let raw = matches!(&text[..word], "r" | "br" | "cr");
        return match raw.then(|| raw_string_length(&text[word..])).flatten() {
            Some(length) => (Token::Hidden, word + length),
            None => (Token::Shown, word),
        };
    }
    match first {
        1 if text.starts_with('"') => (Token::Hidden, quoted_length(text, '"')),
        1 if text.starts_with('\'') && is_char(text) => (Token::Hidden, quoted_length(text, '\'')),
        _ => (Token::Shown, first),
    }
}

/// Tells `'a'` from the lifetime `'a`.
fn is_char(text: &str) -> bool {
    let mut chars = text.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) => true,
        (Some(_), after) => after == Some('\''),
        (None, _) => false,
    }
}

fn quoted_length(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of `#"…"#` behind an `r`, with as many `#` as there are.
fn raw_string_length(text: &str) -> Option<usize> {
    let hashes = text.len() - text.trim_start_matches('#').len();
    let inside = text[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(hashes + 1 + length)
}

fn comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        match text.as_bytes()[at..] {
            [b'/', b'*', ..] => depth += 1,
            [b'*', b'/', ..] => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}
