//! The words of the table: what each says of a push that meets an answer once, and of one that meets
//! nothing else at that step.

use hoist::push::report::FailureKind;

use Asked::{AtMost, Exactly, Tries};
use FailureKind::{Auth, Pressure, Refused};

/// What is to come of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    pub(super) name: &'static str,
    pub(super) once: Once,
    /// What may come next after the first such answer; anything where this is empty. `same` is what
    /// was asked, or what has to come before that.
    pub(super) next: &'static [&'static str],
    /// How a push ends that is always answered so, unless it outlives that: the kind of its error, how
    /// often the step was asked until then, and part of the sentence.
    pub(super) kind: FailureKind,
    pub(super) asked: Asked,
    pub(super) says: &'static str,
}

/// What comes of a push that is answered so once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Once {
    /// It succeeds, and hoist says so often that it tries again.
    Retries(u64),
    Succeeds,
    Fails,
}

/// How often a step is asked for before the push fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Exactly(usize),
    AtMost(usize),
    /// As often as there are tries, in each operation that comes to the step.
    Tries,
}

/// Tries after the first.
pub(super) const RETRIES: u32 = 2;
pub(super) const TRIES: usize = 3;
const TRIED: &str = "(tried 3 times)";

type Row = (
    &'static str,
    Once,
    &'static [&'static str],
    FailureKind,
    Asked,
    &'static str,
);

const FINE: Once = Once::Retries(0);
const AGAIN: Once = Once::Retries(1);
const FAILS: Once = Once::Fails;
const ANOTHER: &[&str] = &["POST mount", "POST upload", "GET /v2/"];

#[rustfmt::skip]
const WORDS: &[Row] = &[
    // Nobody knows then; the push goes on and will see.
    ("on",     FINE,  &[],                                   Refused,  Exactly(0), ""),
    // The same is asked where the redirect leads, five times at most.
    ("follow", FINE,  &["same"],                             Refused,  Exactly(6), "after 5 redirects"),
    // There is no mount; an upload is begun.
    ("plain",  FINE,  &["POST upload", "HEAD blob", "GET /v2/"], Refused, Exactly(0), ""),
    // It is repeated, after a wait.
    ("again",  AGAIN, &["same"],                             Refused,  Tries,      TRIED),
    // The host gets a pause, and what it refused is repeated.
    ("wait",   AGAIN, &["same"],                             Pressure, AtMost(44), ""),
    // The pause that is asked for is longer than hoist waits.
    ("long",   FAILS, &[],                                   Pressure, Exactly(1), "asks to wait 3600 s, longer than 5 minutes"),
    // Never repeated as it is.
    ("no",     FAILS, &[],                                   Refused,  Exactly(1), ""),
    // The same, for want of credentials or rights.
    ("login",  FAILS, &[],                                   Auth,     Exactly(1), ""),
    // Another token or password, and the same again; what the session has kept is not sent again.
    ("token",  FINE,  &["same", "GET /token"],               Auth,     AtMost(3),  ""),
    // The session is asked how much it holds.
    ("ask",    AGAIN, &["GET upload"],                       Refused,  Tries,      TRIED),
    // Another session.
    ("anew",   AGAIN, ANOTHER,                               Refused,  Tries,      TRIED),
    // The same, for what was met before.
    ("drop",   FINE,  ANOTHER,                               Refused,  Exactly(0), ""),
    // Is the blob there? Then all is well; else the session is asked.
    ("look",   AGAIN, &["HEAD blob"],                        Refused,  Tries,      TRIED),
    // Is the blob there? Then all is well; else another session.
    ("gone",   AGAIN, &["HEAD blob"],                        Refused,  Tries,      TRIED),
    // Smaller pieces into the same session.
    ("less",   FINE,  &["PATCH upload"],                     Refused,  AtMost(2),  "a proxy limit"),
    // Another session, and pieces whose length is known.
    ("sized",  FINE,  &["POST upload"],                      Refused,  Exactly(0), ""),
    // The local bytes are hashed; as they are right, one more session.
    ("twice",  AGAIN, &["POST mount"],                       Refused,  Exactly(2), "while the local ones are right"),
    // It is taken at its word; what is missing later is sent then.
    ("trust",  Once::Succeeds, &[],                          Refused,  AtMost(4),  ""),
    // Nothing can be made of it.
    ("odd",    FAILS, &[],                                   Refused,  Exactly(1), "an upload"),
    ("empty",  FAILS, &[],                                   Auth,     Exactly(1), "sent an empty answer"),
    // The tag is looked at, and the manifest put again.
    ("claim",  AGAIN, &["HEAD manifest"],                    Refused,  Tries,      "took the manifest, but does not have it"),
    // What is missing is looked for, waited for and sent again.
    ("heal",   FINE,  &["HEAD blob"],                        Refused,  Exactly(3), ""),
];

pub(super) fn all() -> impl Iterator<Item = Word> {
    let word = |(name, once, next, kind, asked, says): &Row| Word {
        name,
        once: *once,
        next,
        kind: *kind,
        asked: *asked,
        says,
    };
    WORDS.iter().map(word)
}

pub(super) fn find(name: &str) -> Word {
    let found = all().find(|word| word.name == name);
    found.unwrap_or_else(|| panic!("{name} is no word"))
}
