//! What can be wrong with a source or an image in it.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::image::stdin;

/// For code that decides: what sort of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The file or folder could not be read.
    Unreadable,
    /// A form that is recognised and not taken (xz, bzip2, …).
    Unsupported,
    /// Recognisably an image, and unusable: a blob missing, a size that lies, JSON that is none.
    Broken,
    /// Nothing that hoist would push.
    NotAnImage,
}

/// One thing wrong with a source, with the file it was found in.
///
/// `Display` is a lower-case sentence without a final dot that names the file.
#[derive(Clone, Debug)]
pub struct ImageError {
    kind: ErrorKind,
    path: PathBuf,
    message: String,
}

impl ImageError {
    /// `message` may quote what it is about: what a terminal would act on is escaped.
    pub fn new(kind: ErrorKind, path: &Path, message: impl Into<String>) -> Self {
        Self {
            kind,
            path: path.to_path_buf(),
            message: legible(&message.into()),
        }
    }

    pub fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self::new(ErrorKind::Unreadable, path, error.to_string())
    }

    pub fn broken(path: &Path, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Broken, path, message)
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The sentence where one about `path` goes before it: without the path, if it is the same.
    pub(crate) fn within(&self, path: &Path) -> String {
        match self.path == path {
            true => self.message.clone(),
            false => self.to_string(),
        }
    }

    /// The sentence without the path.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// `text` with what a terminal acts on escaped: to be shown as it is otherwise.
pub(crate) fn legible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() || turns(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

/// The sentence of a JSON error, which may quote what it found at any length.
pub(crate) fn json_error(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.chars().count() <= 200 {
        return text;
    }
    let start: String = text.chars().take(120).collect();
    let (line, column) = (error.line(), error.column());
    format!("{start}… at line {line} column {column}")
}

/// Breaks a line, or writes it in the other direction.
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", stdin::subject(&self.path), self.message)
    }
}

impl std::error::Error for ImageError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_escaped() {
        for (text, shown) in [
            (
                "is \"5\" \u{fc}, 'a' and \u{4e2d}",
                "is \"5\" \u{fc}, 'a' and \u{4e2d}",
            ),
            ("a\u{1b}[2J\nb", "a\\u{1b}[2J\\nb"),
            (
                "\u{202e}\u{2066}\u{200f}\u{2028}",
                "\\u{202e}\\u{2066}\\u{200f}\\u{2028}",
            ),
            ("\u{9b}31m", "\\u{9b}31m"),
        ] {
            assert_eq!(legible(text), shown);
            assert_eq!(ImageError::broken(Path::new("a"), text).message(), shown);
        }
    }
}
