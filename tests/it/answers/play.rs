//! Plays one cell of the table: a push whose answers at one step are given, and what came of it.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hoist::push::report::{ErrorReport, FailureKind, Report, Side};
use hoist::registry::client::Settings;
use hoist::{Compression, Destination, Event, Observer, Operation, Outcome, Stop};

use super::steps::{STEPS, Source, Step, answer_of, challenge};
use super::table::Cell;
use super::words::{Once, RETRIES, Word, find};
use crate::support::pushing::read_back;
use crate::support::registry::{Kind, Registry};
use crate::support::scripted::{Action, Answer, Rule, Scripted, Seen, answer, computed, on};
use crate::wire::{ManualClock, plain, shape, user};

/// More requests than any push here may need.
const MOST_REQUESTS: usize = 200;

/// A registry that behaves, but for what cells say.
pub(super) struct Stage {
    registry: Registry,
    pushes: AtomicUsize,
}

/// A push that has been.
pub(super) struct Played {
    pub(super) report: Report,
    /// What all its repositories are in.
    folder: String,
    pub(super) requests: Vec<Seen>,
    /// Which of the requests were answered by the cell.
    pub(super) answered: Vec<usize>,
    pressures: usize,
    slept: Duration,
}

/// Counts the times that a host is said to ask for less.
struct Pressures(Arc<AtomicUsize>);

impl Observer for Pressures {
    fn observe(&mut self, event: &Event) {
        if matches!(event, Event::Pressure { .. }) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Stage {
    pub(super) fn new() -> Self {
        Self {
            registry: Registry::start(Kind::Serve),
            pushes: AtomicUsize::new(0),
        }
    }

    /// Both pushes of a cell, and what was not as its word says.
    pub(super) fn complaints(&self, cell: &Cell) -> Vec<String> {
        let step = &STEPS[cell.step];
        let word = &find(cell.word);
        let once = self.play(step, cell.answer, 1);
        let ever = self.play(step, cell.answer, usize::MAX);
        let mut wrong = once.against_once(step, word);
        wrong.extend(ever.against_ever(step, cell, word));
        for (played, text) in [(&once, "once"), (&ever, "always")] {
            if played.report.outcome == Outcome::Ok {
                let report = serde_json::to_value(&played.report).unwrap();
                read_back(&self.registry, &report);
            }
            let _ = fs::remove_dir_all(self.registry.storage().join(&played.folder));
            let prefix = format!("{text}: ");
            let mine: Vec<&String> = wrong.iter().filter(|w| w.starts_with(&prefix)).collect();
            if !mine.is_empty() {
                wrong.push(played.to_string());
            }
        }
        wrong
    }

    /// A push whose first `times` requests of `step` are answered so.
    fn play(&self, step: &Step, row: &str, times: usize) -> Played {
        let label = row.to_owned();
        let action = computed(move |seen| answer_of(&label, seen));
        let asks = step.name == "GET token" || row.starts_with("401 ") && is_challenge(row);
        self.act(step, action, times, asks)
    }

    /// `asks`: the registry asks for tokens.
    pub(super) fn act(&self, step: &Step, action: Action, times: usize, asks: bool) -> Played {
        let number = self.pushes.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("/v2/p{number}/");
        let mut rules = Vec::new();
        let is_first = step.name == STEPS[0].name;
        if asks {
            let nobody = on("*", &prefix).header("authorization", None);
            rules.push(nobody.then(challenge("Bearer realm=\"/token\",service=\"s\"")));
        }
        rules.extend(step.way(&prefix));
        let ours = rules.len();
        // The very first request is answered by the challenge.
        let times = times.saturating_add(usize::from(asks && is_first));
        rules.push(step.requests(&prefix).times(times).then(action));
        rules.push(on("GET", "/token").then(token()));
        let settings = Settings {
            chunk_size: step.chunk_size,
            ..plain(RETRIES)
        };
        let keychain = match asks {
            true => user("me", "secret"),
            false => settings.keychain.clone(),
        };
        let settings = Settings {
            keychain,
            ..settings
        };
        self.push(number, step, settings, rules, ours)
    }

    fn push(
        &self,
        number: usize,
        step: &Step,
        registry: Settings,
        rules: Vec<Rule>,
        ours: usize,
    ) -> Played {
        let server = Scripted::before(self.registry.address(), rules);
        let target = match step.source {
            Source::TwoNames => format!("{}/p{number}/", server.address()),
            _ => format!("{}/p{number}/first:now", server.address()),
        };
        let clock = Arc::new(ManualClock::scripted());
        let pressures = Arc::new(AtomicUsize::new(0));
        let operation = Operation {
            jobs: 1,
            // What is made is as large as what it is made of, and made in no time.
            compression: Some(Compression::Gzip { level: 0 }),
            registry,
            clock: Some(clock.clone()),
            ..Operation::new(
                [step.source.path()],
                Destination::parse(&target, &|_| false).unwrap(),
            )
        };
        let mut observers: [Box<dyn Observer>; 1] = [Box::new(Pressures(pressures.clone()))];
        let report = operation.run(&mut observers, &Stop::default());
        let requests = server.requests();
        let answered = (0..requests.len())
            .filter(|at| requests[*at].rule == Some(ours))
            .collect();
        Played {
            report,
            folder: format!("p{number}"),
            requests,
            answered,
            pressures: pressures.load(Ordering::Relaxed),
            slept: clock.slept().iter().sum(),
        }
    }
}

fn token() -> Answer {
    answer(200).body("{\"token\":\"t\",\"expires_in\":3600}")
}

fn is_challenge(row: &str) -> bool {
    ["dead", "weak", "basic"]
        .iter()
        .any(|kind| row.ends_with(kind))
}

impl Played {
    pub(super) fn error(&self) -> Option<&ErrorReport> {
        let image = self.report.images.first()?;
        let targets = image.targets.iter();
        let mut errors = targets.filter_map(|target| target.error.as_ref());
        image.error.as_ref().or_else(|| errors.next_back())
    }

    fn against_once(&self, step: &Step, word: &Word) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut expect = |is_so: bool, what: String| {
            if !is_so {
                wrong.push(format!("once: {what}"));
            }
        };
        let (outcome, retries) = (self.report.outcome, self.report.retries);
        let ends = format!("the push ends {outcome:?} with {retries} retries");
        match word.once {
            Once::Retries(more) => {
                let is_so = outcome == Outcome::Ok && retries == step.met + more;
                expect(is_so, ends);
            }
            Once::Succeeds => expect(outcome == Outcome::Ok, ends),
            Once::Fails => expect(outcome != Outcome::Ok && retries == step.met, ends),
        }
        let pauses = self.pressures;
        let presses = pauses == usize::from(word.name == "wait");
        expect(presses, format!("{pauses} pauses of the host"));
        let Some(next) = self.next() else {
            expect(false, format!("{} is not asked for", step.name));
            return wrong;
        };
        let fits = |wanted: &&str| match *wanted {
            "same" => next == step.shape || next == step.ahead,
            other => next.starts_with(other),
        };
        let is_so = word.next.is_empty() || word.next.iter().any(fits);
        expect(is_so, format!("then comes {next:?}"));
        wrong
    }

    fn against_ever(&self, step: &Step, cell: &Cell, word: &Word) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut expect = |is_so: bool, what: String| {
            if !is_so {
                wrong.push(format!("always: {what}"));
            }
        };
        let count = self.requests.len();
        expect(count <= MOST_REQUESTS, format!("{count} requests"));
        let (outcome, asked) = (self.report.outcome, self.answered.len());
        expect(asked > 0, format!("{} is not asked for", step.name));
        let Some(error) = self.error() else {
            expect(cell.outlives, format!("the push ends {outcome:?}"));
            return wrong;
        };
        expect(!cell.outlives, format!("the push ends {outcome:?}"));
        let most = step.most(word.asked);
        expect(
            most.contains(&asked),
            format!("asked {asked} times, and not {most:?}"),
        );
        let kind = kind_of(step, cell, word);
        expect(
            error.kind == kind,
            format!("{:?}, and not {kind:?}", error.kind),
        );
        expect(
            error.side == Side::Registry,
            format!("side {:?}", error.side),
        );
        let code = self.report.exit_code;
        let expected_code = if kind == FailureKind::Auth { 4 } else { 1 };
        expect(code == expected_code, format!("exit code {code}"));
        let message = &error.message;
        for part in sentence(step, cell, word) {
            expect(
                message.contains(&part),
                format!("no {part:?} in {message:?}"),
            );
        }
        if cell.answer.contains("NAME_UNKNOWN") && kind == FailureKind::Refused {
            let hint = error.hint.as_deref().unwrap_or_default();
            expect(hint.contains("create"), format!("hint {hint:?}"));
        }
        wrong
    }

    /// What was asked after the first answer of the cell.
    fn next(&self) -> Option<String> {
        let first = *self.answered.first()?;
        let rest = shape(self.requests.get(first + 1..)?);
        Some(rest.into_iter().next().unwrap_or_else(|| "nothing".into()))
    }
}

/// Whoever asks a token service is denied, unless that has troubles of its own.
fn kind_of(step: &Step, cell: &Cell, word: &Word) -> FailureKind {
    match step.name {
        "GET token" if word.kind == FailureKind::Refused && !is_trouble(cell.answer) => {
            FailureKind::Auth
        }
        _ => word.kind,
    }
}

/// Of the server or the way there.
fn is_trouble(row: &str) -> bool {
    row.starts_with('5') || matches!(row, "408" | "499")
}

/// What the sentence of a failure has to say.
fn sentence(step: &Step, cell: &Cell, word: &Word) -> Vec<String> {
    let (status, more) = cell.answer.split_once(' ').unwrap_or((cell.answer, ""));
    let mut parts = vec![word.says.to_owned()];
    if word.name != "trust" {
        parts.push(step.operation.to_owned());
    }
    if !matches!(word.name, "twice" | "trust" | "odd" | "empty" | "claim") {
        parts.push(format!("answered {status}"));
    }
    if more.contains('_') || more.chars().all(|c| c.is_ascii_uppercase()) {
        parts.push(more.to_owned());
    }
    if step.name == "GET token" {
        parts.push("token service".into());
    }
    parts
}

impl std::fmt::Display for Played {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let report = &self.report;
        let mut text = format!("{:?}, exit code {}", report.outcome, report.exit_code);
        if let Some(error) = self.error() {
            let _ = write!(text, ", {:?}: {}", error.kind, error.message);
        }
        writeln!(f, "    {text}")?;
        let shapes = shape(&self.requests);
        for (at, shape) in shapes.iter().enumerate() {
            let mark = if self.answered.contains(&at) { "*" } else { "" };
            write!(f, "    {shape}{mark}")?;
        }
        write!(f, "    (slept {:?})", self.slept)
    }
}
