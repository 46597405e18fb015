//! One reader of what others wrote, with what is needed to try it.

use crate::soak::outcome::Outcome;

type Read = dyn Fn(&[u8]) -> Outcome;

pub(crate) struct Target {
    pub(super) name: &'static str,
    /// What the mutations begin with: right, or nearly so.
    pub(super) examples: Vec<Vec<u8>>,
    /// What the format is made of.
    pub(super) words: Vec<Vec<u8>>,
    /// The longest input, in bytes.
    pub(super) longest: usize,
    /// What one process may take for all inputs of the target, beyond what it began with.
    pub(super) memory_mib: u64,
    /// The most CPU time of one input.
    pub(super) patience_ms: u64,
    pub(super) repair: Option<fn(&mut [u8])>,
    pub(super) read: Box<Read>,
}

impl Target {
    pub(crate) fn new<E: Into<Vec<u8>>>(
        name: &'static str,
        examples: impl IntoIterator<Item = E>,
        read: impl Fn(&[u8]) -> Outcome + 'static,
    ) -> Self {
        Self {
            name,
            examples: examples.into_iter().map(Into::into).collect(),
            words: Vec::new(),
            longest: 64 << 10,
            memory_mib: 32,
            patience_ms: 1000,
            repair: None,
            read: Box::new(read),
        }
    }

    /// Of a format whose reader is given text: what is not UTF-8 is made so.
    pub(crate) fn text<E: Into<Vec<u8>>>(
        name: &'static str,
        examples: impl IntoIterator<Item = E>,
        read: impl Fn(&str) -> Outcome + 'static,
    ) -> Self {
        Self::new(name, examples, move |input| {
            read(&String::from_utf8_lossy(input))
        })
    }

    pub(crate) fn words<W: Into<Vec<u8>>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.words.extend(words.into_iter().map(Into::into));
        self
    }

    pub(crate) fn longest(mut self, bytes: usize) -> Self {
        self.longest = bytes;
        self
    }

    pub(crate) fn memory_mib(mut self, mib: u64) -> Self {
        self.memory_mib = mib;
        self
    }

    pub(crate) fn patience_ms(mut self, ms: u64) -> Self {
        self.patience_ms = ms;
        self
    }

    /// What makes checksums and the like right again in most inputs, or no mutation would reach what
    /// lies behind them.
    pub(crate) fn repaired_by(mut self, repair: fn(&mut [u8])) -> Self {
        self.repair = Some(repair);
        self
    }
}
