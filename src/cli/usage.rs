//! What is wrong with a command line, said so that the next try is right.

use crate::image::digest::quote;
use crate::image::error::legible;
use crate::image::reference::ReferenceError;
use crate::net::redact;
use crate::push::report::ErrorReport;

/// Why a command cannot be run as it was typed: exit code 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UsageError {
    /// A lower-case sentence without a final dot that quotes what was typed.
    pub(crate) message: String,
    /// What to try, without "try:".
    pub(crate) hint: Option<String>,
}

impl UsageError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: legible(&message.into()),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(legible(&hint.into()));
        self
    }

    /// `called` is `--jobs`; `legal` is a fragment: "a whole number from 1 to 9". A URL that belongs to
    /// another setting is shown without its password.
    pub(crate) fn value(called: &str, value: &str, legal: &str) -> Self {
        Self::new(format!(
            "{} is not legal for {called}: write {legal}",
            quote(&redact(value))
        ))
    }

    /// The error of a type that says itself what to write instead.
    pub(crate) fn reference(error: &ReferenceError) -> Self {
        Self {
            message: error.message().to_owned(),
            hint: error.hint().map(str::to_owned),
        }
    }

    pub(crate) fn report(&self) -> ErrorReport {
        ErrorReport {
            hint: self.hint.clone(),
            ..ErrorReport::usage(&self.message)
        }
    }
}

/// What is longer was meant for nothing that is known, in characters.
const LONGEST_WORD: usize = 64;

/// The one of `known` that was probably meant, if any is near enough.
pub(crate) fn nearest<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = typed.chars().count();
    if length > LONGEST_WORD {
        return None;
    }
    // A third of the word may be wrong: more, and the suggestion says nothing.
    let most = (length / 3).min(2);
    let ranked = known.into_iter().map(|word| (distance(typed, word), word));
    let best = ranked.min_by_key(|(distance, _)| *distance)?;
    (best.0 <= most).then_some(best.1)
}

/// Insertions, deletions and replacements from `a` to `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_what_is_near() {
        for (typed, expected) in [
            ("job", Some("jobs")),
            ("jbos", None),
            ("platfrom", Some("platform")),
            ("retry", None),
            ("x", None),
            ("dry-run", None),
            ("pusch", Some("push")),
        ] {
            let known = ["jobs", "platform", "retries", "push", "plain-http"];
            assert_eq!(nearest(typed, known), expected, "{typed}");
        }
    }

    #[test]
    fn a_value_in_the_wrong_place_keeps_its_password_to_itself() {
        let typed = "http://me:pa55word@proxy.example:3128";
        let error = UsageError::value("HOIST_JOBS", typed, "a whole number from 1 to 256");
        assert!(error.message.contains("proxy.example:3128"), "{error:?}");
        assert!(!error.message.contains("pa55word"), "{error:?}");
    }
}
