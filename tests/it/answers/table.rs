//! The table: which answer, at which step of a push, makes hoist do what.
//!
//! A row is an answer, a column a step of [`steps`](super::steps), a cell a word of
//! [`words`](super::words). An answer is its status and, behind it, what else it says: an error code,
//! a `Retry-After`, a challenge. Redirects lead to the same place with a longer query.
//!
//! Where the word for a step is followed by `+`, the push is to succeed also when every answer at that
//! step is this one; else only when it is the first alone. `.` is for answers that cannot be given
//! there: what answers HEAD has no body to hold a code.

/// Statuses with nothing in their bodies, to somebody who has no credentials.
pub(super) const STATUSES: &str = "
           HEAD    HEAD    HEAD    POST    POST    POST    PATCH   PATCH   PATCH   PUT     PUT     GET     PUT     GET
           tag     digest  blob    ask     mount   upload  chunk   stream  piece   blob    end     status  manif.  token
301        follow+ follow+ follow+ follow+ follow+ follow  follow  sized+  follow  follow  follow  follow+ follow  follow
307        follow+ follow+ follow+ follow+ follow+ follow  follow  sized+  follow  follow  follow  follow+ follow  follow
308        follow+ follow+ follow+ follow+ follow+ follow  follow  sized+  follow  follow  follow  follow+ follow  follow
400        on+     on+     on+     plain+  plain+  no      no      sized+  no      no      no      drop+   no      login
401        on+     on+     on+     plain+  plain+  login   login   login   login   login   login   drop+   login   login
403        on+     on+     on+     plain+  plain+  login   login   login   login   login   login   drop+   login   login
404        on+     on+     on+     plain+  plain+  no      anew    anew    anew    gone    gone+   drop+   no      login
405        on+     on+     on+     plain+  plain+  no      no      no      no      no      no      drop+   no      login
408        on+     on+     on+     plain+  plain+  again   ask     ask     ask     look    look    again+  again   again
409        on+     on+     on+     plain+  plain+  no      no      no      no      no      no      drop+   no      login
411        on+     on+     on+     plain+  plain+  no      no      sized+  no      no      no      drop+   no      login
412        on+     on+     on+     plain+  plain+  no      no      no      no      no      no      drop+   no      login
413        on+     on+     on+     plain+  plain+  no      less    sized+  less    less    no      drop+   no      login
415        on+     on+     on+     plain+  plain+  no      no      no      no      no      no      drop+   no      login
416        on+     on+     on+     plain+  plain+  no      ask     ask     ask     ask     gone+   drop+   no      login
429        wait    wait    wait    wait    wait    wait    wait    wait    wait    wait    wait    wait    wait    wait
429 7s     wait    wait    wait    wait    wait    wait    wait    wait    wait    wait    wait    wait    wait    wait
429 3600s  long    long    long    long    long    long    long    long    long    long    long    long    long    long
499        on+     on+     on+     plain+  plain+  again   ask     ask     ask     look    look    again+  again   again
500        again+  again+  again+  plain+  plain+  again   ask     ask     ask     look    look    again+  again   again
501        on+     on+     on+     plain+  plain+  no      no      sized+  no      no      no      drop+   no      no
502        again+  again+  again+  plain+  plain+  again   ask     ask     ask     look    look    again+  again   again
503        wait    wait    wait    wait    wait    wait    wait    wait    wait    wait    wait    wait    wait    wait
503 7s     wait    wait    wait    wait    wait    wait    wait    wait    wait    wait    wait    wait    wait    wait
504        again+  again+  again+  plain+  plain+  again   ask     ask     ask     look    look    again+  again   again
522        again+  again+  again+  plain+  plain+  again   ask     ask     ask     look    look    again+  again   again
";

/// Error codes with the statuses that they are met with, to somebody who has no credentials.
pub(super) const CODES: &str = "
                               HEAD    HEAD    HEAD    POST    POST    POST    PATCH   PATCH   PATCH   PUT     PUT     GET     PUT     GET
                               tag     digest  blob    ask     mount   upload  chunk   stream  piece   blob    end     status  manif.  token
404 BLOB_UNKNOWN               .       .       .       plain+  plain+  no      anew    anew    anew    gone    gone+   drop+   heal    login
400 BLOB_UPLOAD_INVALID        .       .       .       plain+  plain+  no      anew    anew    anew    gone    gone+   drop+   no      login
404 BLOB_UPLOAD_INVALID        .       .       .       plain+  plain+  no      anew    anew    anew    gone    gone+   drop+   no      login
416 BLOB_UPLOAD_INVALID        .       .       .       plain+  plain+  no      ask     ask     ask     ask     gone+   drop+   no      login
404 BLOB_UPLOAD_UNKNOWN        .       .       .       plain+  plain+  no      anew    anew    anew    gone    gone+   drop+   no      login
400 DIGEST_INVALID             .       .       .       plain+  plain+  no      twice   sized+  anew    twice   gone+   drop+   no      login
400 MANIFEST_BLOB_UNKNOWN      .       .       .       plain+  plain+  no      no      sized+  no      no      no      drop+   heal    login
404 MANIFEST_BLOB_UNKNOWN      .       .       .       plain+  plain+  no      anew    anew    anew    gone    gone+   drop+   heal    login
400 MANIFEST_INVALID           .       .       .       plain+  plain+  no      no      sized+  no      no      no      drop+   no      login
404 MANIFEST_UNKNOWN           .       .       .       plain+  plain+  no      anew    anew    anew    gone    gone+   drop+   no      login
400 MANIFEST_UNVERIFIED        .       .       .       plain+  plain+  no      no      sized+  no      no      no      drop+   no      login
400 NAME_INVALID               .       .       .       plain+  plain+  no      no      sized+  no      no      no      drop+   no      login
404 NAME_UNKNOWN               .       .       .       plain+  plain+  no      no      no      no      no      no      drop+   no      login
400 SIZE_INVALID               .       .       .       plain+  plain+  no      no      sized+  no      no      no      drop+   no      login
413 SIZE_INVALID               .       .       .       plain+  plain+  no      less    sized+  less    less    no      drop+   no      login
401 UNAUTHORIZED               .       .       .       plain+  plain+  login   login   login   login   login   login   drop+   login   login
403 UNAUTHORIZED               .       .       .       plain+  plain+  login   login   login   login   login   login   drop+   login   login
401 DENIED                     .       .       .       plain+  plain+  login   login   login   login   login   login   drop+   login   login
403 DENIED                     .       .       .       plain+  plain+  login   login   login   login   login   login   drop+   login   login
400 UNSUPPORTED                .       .       .       plain+  plain+  no      no      sized+  no      no      no      drop+   no      login
405 UNSUPPORTED                .       .       .       plain+  plain+  no      no      no      no      no      no      drop+   no      login
403 TOOMANYREQUESTS            .       .       .       wait    wait    wait    wait    wait    wait    wait    wait    wait    wait    wait
429 TOOMANYREQUESTS            .       .       .       wait    wait    wait    wait    wait    wait    wait    wait    wait    wait    wait
400 TAG_INVALID                .       .       .       plain+  plain+  no      no      sized+  no      no      no      drop+   no      login
400 RANGE_INVALID              .       .       .       plain+  plain+  no      ask     ask     ask     ask     gone+   drop+   no      login
416 RANGE_INVALID              .       .       .       plain+  plain+  no      ask     ask     ask     ask     gone+   drop+   no      login
500 UNKNOWN                    .       .       .       plain+  plain+  again   ask     ask     ask     look    look    again+  again   again
503 UNAVAILABLE                .       .       .       wait    wait    wait    wait    wait    wait    wait    wait    wait    wait    wait
400 PAGINATION_NUMBER_INVALID  .       .       .       plain+  plain+  no      no      sized+  no      no      no      drop+   no      login
";

/// What looks like success, with nothing in it: no Location, no digest, no token. The registry has done
/// nothing of what it was asked for.
pub(super) const SUCCESSES: &str = "
           HEAD    HEAD    HEAD    POST    POST    POST    PATCH   PATCH   PATCH   PUT     PUT     GET     PUT     GET
           tag     digest  blob    ask     mount   upload  chunk   stream  piece   blob    end     status  manif.  token
200        on+     trust+  trust+  plain+  plain+  odd     ask     ask     ask     look    look    drop+   claim   empty
201        on+     on+     on+     trust+  trust+  odd     trust   trust+  trust   trust   trust+  drop+   claim   empty
202        on+     on+     on+     plain+  plain+  odd     trust   trust+  trust   look    look    drop+   claim   empty
204        on+     on+     on+     plain+  plain+  odd     trust   trust+  trust   trust   trust+  drop+   claim   empty
";

/// Challenges, to somebody who has credentials and by whom the token service stands: the token has
/// died, allows too little, or was never what was asked for.
pub(super) const CHALLENGES: &str = "
           HEAD    HEAD    HEAD    POST    POST    POST    PATCH   PATCH   PATCH   PUT     PUT     GET     PUT     GET
           tag     digest  blob    ask     mount   upload  chunk   stream  piece   blob    end     status  manif.  token
401 dead   token+  token+  token+  token+  token+  token   token   token   token   token   token   token+  token   .
401 weak   token+  token+  token+  token+  token+  token   token   token   token   token   token   token+  token   .
401 basic  token+  token+  token+  token+  token+  token   token   token   token   token   token   token+  token   .
";

/// One cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    /// Status and what else it says.
    pub(super) answer: &'static str,
    /// The column, counted from 0.
    pub(super) step: usize,
    pub(super) word: &'static str,
    /// The push succeeds also when the answer is always this one.
    pub(super) outlives: bool,
}

/// The steps of a table, and its cells.
pub(super) fn read(table: &'static str) -> (Vec<String>, Vec<Cell>) {
    let mut lines = table.trim_matches('\n').lines();
    let (methods, objects) = (lines.next().unwrap(), lines.next().unwrap());
    let margin = methods.len() - methods.trim_start().len();
    let pairs = methods.split_whitespace().zip(objects.split_whitespace());
    let steps: Vec<String> = pairs.map(|(a, b)| format!("{a} {b}")).collect();
    let mut cells = Vec::new();
    for line in lines {
        let (answer, words) = line.split_at(margin);
        assert_eq!(words.split_whitespace().count(), steps.len(), "{line}");
        let given = words.split_whitespace().enumerate();
        for (step, word) in given.filter(|(_, word)| *word != ".") {
            cells.push(Cell {
                answer: answer.trim(),
                step,
                word: word.trim_end_matches('+'),
                outlives: word.ends_with('+'),
            });
        }
    }
    (steps, cells)
}
