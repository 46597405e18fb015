//! What became of an input, and what must hold of what is said about it.

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Stands for the secret in the examples of whatever reads secrets.
pub(crate) const CANARY: &str = "zQ7canary4Xw9secret2Vk";

/// So much of it in a row is a leak: some sentences show the place where something is wrong.
const LEAK: usize = 8;

/// The longest sentence that is for people, in characters.
const LONGEST: usize = 8 << 10;

/// What of a sentence tells it from others, in bytes.
const CLASS: usize = 120;

#[derive(Debug)]
pub(crate) struct Outcome {
    accepted: bool,
    /// Inputs with another hash go another way through the reader.
    way: DefaultHasher,
    sentences: Vec<String>,
}

impl Outcome {
    /// The input was taken for what it claims to be.
    pub(crate) fn accepted() -> Self {
        Self::new(true)
    }

    /// The input was refused with a sentence for people.
    pub(crate) fn refused(sentence: impl Display) -> Self {
        Self::new(false).saying(sentence)
    }

    pub(crate) fn of<T, E: Display>(result: Result<T, E>) -> Self {
        match result {
            Ok(_) => Self::accepted(),
            Err(error) => Self::refused(error),
        }
    }

    fn new(accepted: bool) -> Self {
        let mut way = DefaultHasher::new();
        accepted.hash(&mut way);
        Self {
            accepted,
            way,
            sentences: Vec::new(),
        }
    }

    /// One more sentence that people get to read.
    pub(crate) fn saying(mut self, sentence: impl Display) -> Self {
        let sentence = sentence.to_string();
        class(&sentence).hash(&mut self.way);
        self.sentences.push(sentence);
        self
    }

    /// What else tells inputs apart: how many members there were, which kind.
    pub(crate) fn with(mut self, trait_of_it: impl std::hash::Hash) -> Self {
        trait_of_it.hash(&mut self.way);
        self
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.accepted
    }

    pub(crate) fn way(&self) -> u64 {
        self.way.finish()
    }

    /// What is wrong with the sentences, if anything.
    pub(super) fn fault(&self, secrets: &HashSet<Vec<u8>>) -> Option<String> {
        self.sentences.iter().find_map(|sentence| {
            let fault = if let Some(c) = sentence.chars().find(|c| is_unfit(*c)) {
                format!("holds {c:?}")
            } else if sentence.chars().count() > LONGEST {
                format!("has more than {LONGEST} characters")
            } else if sentence.trim().is_empty() {
                "is empty".into()
            } else if leaks(sentence, secrets) {
                "gives away a secret".into()
            } else {
                return None;
            };
            let start: String = sentence.chars().take(200).collect();
            Some(format!("the sentence {start:?} {fault}"))
        })
    }
}

/// All pieces of the canary, in the forms in which it travels, whose presence is a leak.
pub(super) fn secrets() -> HashSet<Vec<u8>> {
    let percent: String = CANARY.bytes().map(|b| format!("%{b:02x}")).collect();
    let encoded = ["", "a", "ab"].map(|before| {
        let text = STANDARD_NO_PAD.encode(format!("{before}{CANARY}"));
        text[4..].to_owned()
    });
    let forms = encoded.into_iter().chain([CANARY.to_owned(), percent]);
    let pieces = forms.flat_map(|form| {
        let pieces = form.as_bytes().windows(LEAK).map(<[u8]>::to_vec);
        pieces.collect::<Vec<_>>()
    });
    pieces.collect()
}

fn leaks(sentence: &str, secrets: &HashSet<Vec<u8>>) -> bool {
    let mut pieces = sentence.as_bytes().windows(LEAK);
    pieces.any(|piece| secrets.contains(piece))
}

/// Would move the cursor, end the line, or turn the text around.
fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The words of a sentence without what comes from the input: numbers, names, what is quoted.
fn class(sentence: &str) -> String {
    let sentence = sentence.replace("\\\\", "").replace("\\\"", "");
    let outside = sentence.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let words = outside.split_whitespace();
    let words = words.map(|word| word.trim_end_matches([',', ':', ';', '.']));
    let plain = words.filter(|word| word.bytes().all(|b| b.is_ascii_lowercase()));
    let mut class = plain.collect::<Vec<_>>().join(" ");
    class.truncate(CLASS);
    class
}
