//! Made from one input and a corpus: another input. The same seed makes the same.

use std::ops::Range;

/// SplitMix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
#[derive(Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `bound`, which is above 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(super) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Mostly small, at most `most`.
    fn length(&mut self, most: usize) -> usize {
        let bits = usize::BITS - most.leading_zeros();
        let cap = 1 << self.below(bits as usize + 1);
        self.below(cap + 1).min(most)
    }
}

/// What steps take from besides the input itself.
pub(super) struct Supply<'a> {
    pub(super) corpus: &'a [Vec<u8>],
    pub(super) words: &'a [Vec<u8>],
    /// No input gets longer.
    pub(super) longest: usize,
}

/// Bytes that mean something in one format or another.
const BYTES: &[u8] =
    b"\0\x01\t\n\r\x1b \"%&'()*+,-./09:;<=>?@AZ[\\]^_az{|}~\x7f\x80\xbf\xc0\xf8\xff";

/// Numbers at which arithmetic goes wrong.
const NUMBERS: &[i128] = &[
    0,
    1,
    -1,
    7,
    8,
    127,
    128,
    255,
    256,
    511,
    512,
    513,
    4095,
    32_767,
    65_535,
    65_536,
    16_777_216,
    2_147_483_647,
    -2_147_483_648,
    4_294_967_295,
    4_294_967_296,
    8_589_934_591,
    9_007_199_254_740_993,
    9_223_372_036_854_775_807,
    9_223_372_036_854_775_808,
    -9_223_372_036_854_775_808,
    18_446_744_073_709_551_103,
    18_446_744_073_709_551_615,
    18_446_744_073_709_551_616,
    340_282_366_920_938_463_463_374_607_431,
];

/// Of no format in particular.
const WORDS: &[&str] = &[
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "-0",
    "1e400",
    "0x10",
    "+1",
    " ",
    "  ",
    "\r\n",
    "\n\n",
    "..",
    "../",
    "/",
    "//",
    "\\",
    "\\u0000",
    "\\ud800",
    "\u{fffd}",
    "\u{202e}",
    "\u{1b}[2J",
    "%00",
    "%2e%2e",
    "%",
    "\u{feff}",
    "é",
    "\u{1f4a9}",
    "\u{301}",
    "*",
    "**",
    "[[[[",
    "{{{{",
    "NaN",
    ":",
    "::",
    "@",
    "=",
    ",",
    ";",
    "'",
];

/// What is repeated for depth.
const NESTS: &[(&str, &str)] = &[
    ("[", "]"),
    ("{\"a\":", "}"),
    ("(", ")"),
    ("{", "}"),
    ("*", ""),
    ("\"", ""),
    ("\\", ""),
    ("../", ""),
];

/// Another input, at most `supply.longest` bytes long.
pub(super) fn mutate(input: &[u8], supply: &Supply<'_>, random: &mut Random) -> Vec<u8> {
    let mut draft = Draft {
        bytes: input.to_vec(),
        supply,
        random,
    };
    let mut steps = 1;
    while steps < 64 && draft.random.one_in(2) {
        steps *= 2;
    }
    for _ in 0..steps {
        let step = *draft.random.pick(&Draft::STEPS);
        step(&mut draft);
        draft.bytes.truncate(supply.longest);
    }
    if draft.random.one_in(2000) {
        draft.swell();
    }
    draft.bytes
}

/// An input that is being made.
struct Draft<'a> {
    bytes: Vec<u8>,
    supply: &'a Supply<'a>,
    random: &'a mut Random,
}

impl Draft<'_> {
    /// As often as they stand here.
    const STEPS: [fn(&mut Self); 22] = [
        Self::flip,
        Self::flip,
        Self::set,
        Self::set,
        Self::set,
        Self::binary_number,
        Self::decimal_number,
        Self::decimal_number,
        Self::insert_noise,
        Self::delete,
        Self::delete,
        Self::duplicate,
        Self::splice,
        Self::splice,
        Self::truncate,
        Self::repeat,
        Self::word,
        Self::word,
        Self::word,
        Self::word,
        Self::shift,
        Self::nest,
    ];

    fn flip(&mut self) {
        if !self.bytes.is_empty() {
            let at = self.random.below(self.bytes.len());
            self.bytes[at] ^= 1 << self.random.below(8);
        }
    }

    fn set(&mut self) {
        if !self.bytes.is_empty() {
            let at = self.random.below(self.bytes.len());
            self.bytes[at] = *self.random.pick(BYTES);
        }
    }

    /// Of 1 to 8 bytes, in either order.
    fn binary_number(&mut self) {
        let width = 1 << self.random.below(4);
        if self.bytes.len() < width {
            return;
        }
        let at = self.random.below(self.bytes.len() - width + 1);
        let number = *self.random.pick(NUMBERS) as u64;
        let (little, big) = (number.to_le_bytes(), number.to_be_bytes());
        let bytes = match self.random.one_in(2) {
            true => &little[..width],
            false => &big[8 - width..],
        };
        self.bytes[at..at + width].copy_from_slice(bytes);
    }

    /// In place of the digits found next, or inserted.
    fn decimal_number(&mut self) {
        let at = self.place();
        let digits = self.bytes[at..].iter().position(u8::is_ascii_digit);
        let start = digits.map_or(at, |n| at + n);
        let rest = self.bytes[start..].iter();
        let old = rest.take_while(|b| b.is_ascii_digit()).count();
        let number = self.random.pick(NUMBERS);
        let text = match self.random.below(6) {
            0 => format!("{number:o}"),
            1 => format!("{number:0old$}"),
            2 => format!("{number}.5"),
            _ => number.to_string(),
        };
        self.bytes.splice(start..start + old, text.bytes());
    }

    fn insert_noise(&mut self) {
        let at = self.place();
        let length = self.random.length(16);
        let noise: Vec<u8> = (0..length).map(|_| self.random.next() as u8).collect();
        self.bytes.splice(at..at, noise);
    }

    fn delete(&mut self) {
        let piece = self.piece();
        self.bytes.drain(piece);
    }

    fn duplicate(&mut self) {
        let piece = self.piece();
        let piece = self.bytes[piece].to_vec();
        let at = self.place();
        self.bytes.splice(at..at, piece);
    }

    /// Takes a piece of another input, or all behind some place of it.
    fn splice(&mut self) {
        let other: &Vec<u8> = self.random.pick(self.supply.corpus);
        let at = self.place();
        if self.random.one_in(2) {
            let piece = range(other, self.random);
            let over = piece.len().min(self.bytes.len() - at);
            self.bytes
                .splice(at..at + over, other[piece].iter().copied());
        } else {
            self.bytes.truncate(at);
            self.bytes.extend_from_slice(&other[at.min(other.len())..]);
        }
    }

    fn truncate(&mut self) {
        let at = self.place();
        self.bytes.truncate(at);
    }

    fn repeat(&mut self) {
        let piece = self.piece();
        let at = piece.start;
        let piece = self.bytes[at..piece.end.min(at + 64)].to_vec();
        let most = self.supply.longest / piece.len().max(1);
        let times = self.random.length(most.min(300));
        self.bytes.splice(at..at, piece.repeat(times));
    }

    fn word(&mut self) {
        let own = self.supply.words;
        let word = match own.is_empty() || self.random.one_in(4) {
            true => self.random.pick(WORDS).as_bytes(),
            false => self.random.pick(own),
        };
        let at = self.place();
        let over = match self.random.one_in(2) {
            true => word.len().min(self.bytes.len() - at),
            false => 0,
        };
        self.bytes.splice(at..at + over, word.iter().copied());
    }

    fn shift(&mut self) {
        let piece = self.piece();
        let piece: Vec<u8> = self.bytes.drain(piece).collect();
        let at = self.place();
        self.bytes.splice(at..at, piece);
    }

    /// Around a piece, or open at its end.
    fn nest(&mut self) {
        let (open, close) = *self.random.pick(NESTS);
        let most = self.supply.longest / open.len();
        let depth = self.random.length(most.min(4000));
        let piece = self.piece();
        if self.random.one_in(2) {
            let close = close.repeat(depth);
            self.bytes.splice(piece.end..piece.end, close.bytes());
        }
        let open = open.repeat(depth);
        self.bytes.splice(piece.start..piece.start, open.bytes());
    }

    /// As long as inputs get: what takes more than linear time shows with these.
    fn swell(&mut self) {
        let piece = self.piece();
        if !piece.is_empty() {
            let at = piece.start;
            let piece = self.bytes[piece].to_vec();
            let room = self.supply.longest.saturating_sub(self.bytes.len());
            let more = piece.repeat(room / piece.len());
            self.bytes.splice(at..at, more);
        }
    }

    fn place(&mut self) -> usize {
        self.random.below(self.bytes.len() + 1)
    }

    fn piece(&mut self) -> Range<usize> {
        range(&self.bytes, self.random)
    }
}

fn range(of: &[u8], random: &mut Random) -> Range<usize> {
    let at = random.below(of.len() + 1);
    at..at + random.length(of.len() - at)
}
