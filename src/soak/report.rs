//! All targets, each in a process of its own, and what is told at the end.
//!
//! `HOIST_SOAK_SECONDS=N` goes on for that long in all, as many targets at a time as there are
//! processors, from a seed that the clock gives; without it each target gets [`INPUTS`] inputs from the
//! seed 1. `HOIST_SOAK_SEED=N` gives the seed, `HOIST_SOAK_TARGET=NAME` takes the targets with that in
//! their names, and `HOIST_SOAK_INPUT=FILE` tries one input, as a finding names it.

use std::env;
use std::fmt::{self, Write as _};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::soak::worker::{End, FIGURES, Figures, INPUT, Order};

/// For each target, where no time is given.
const INPUTS: u64 = 60;

/// An input that is still being read after this will not end, however busy the machine is.
const HANGING: Duration = Duration::from_secs(120);

/// Bytes of an input that are shown.
const SHOWN: usize = 256;

/// How the process that is started knows what to do.
pub(super) const ORDER: &str = "HOIST_SOAK_ORDER";

/// The test that does what [`ORDER`] says.
const TEST: &str = "soak::tests::readers_bear_what_nobody_would_write";

/// What is asked for in the environment.
pub(super) struct Request {
    seconds: Option<f64>,
    seed: u64,
    target: String,
    input: Option<PathBuf>,
}

/// What became of one target.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) figures: Figures,
    /// With all that is needed to try it again.
    pub(super) finding: Option<String>,
}

impl Request {
    pub(super) fn from_environment() -> Self {
        let number = |name: &str| {
            let text = env::var(name).ok().filter(|text| !text.is_empty())?;
            let parsed = text.parse::<u64>();
            Some(parsed.unwrap_or_else(|_| panic!("{name}={text} is no number")))
        };
        let seconds = number("HOIST_SOAK_SECONDS");
        let clock = || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.map_or(1, |now| now.as_secs())
        };
        let unasked = if seconds.is_some() { clock() } else { 1 };
        Self {
            seconds: seconds.map(|seconds| seconds as f64),
            seed: number("HOIST_SOAK_SEED").unwrap_or(unasked),
            target: env::var("HOIST_SOAK_TARGET").unwrap_or_default(),
            input: env::var_os("HOIST_SOAK_INPUT").map(PathBuf::from),
        }
    }

    /// Goes through the targets with these names.
    pub(super) fn run(&self, names: &[&'static str]) -> Vec<Row> {
        println!("seed {}", self.seed);
        let names = names.iter().filter(|name| name.contains(&self.target));
        let names: Vec<&'static str> = names.copied().collect();
        assert!(!names.is_empty(), "no target has {:?} in it", self.target);
        let lanes = thread::available_parallelism().map_or(1, usize::from);
        let lanes = lanes.min(names.len());
        let end = match (&self.input, self.seconds) {
            (Some(path), _) => End::One(fs::canonicalize(path).unwrap()),
            (None, Some(seconds)) => End::Seconds(seconds * lanes as f64 / names.len() as f64),
            (None, None) => End::Inputs(INPUTS),
        };
        let left = Mutex::new(names.iter());
        let rows = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..lanes {
                scope.spawn(|| {
                    while let Some(name) = next(&left) {
                        let row = run_one(name, self.seed, end.clone());
                        rows.lock().unwrap().push(row);
                    }
                });
            }
        });
        let mut rows = rows.into_inner().unwrap();
        rows.sort_by_key(|row| names.iter().position(|name| *name == row.name));
        rows
    }
}

fn next(left: &Mutex<std::slice::Iter<'_, &'static str>>) -> Option<&'static str> {
    left.lock().unwrap().next().copied()
}

/// Runs the target in another process of this program.
pub(super) fn run_one(name: &'static str, seed: u64, end: End) -> Row {
    let folder = tempfile::tempdir().unwrap();
    let order = Order {
        target: name.into(),
        seed,
        end,
        folder: folder.path().into(),
    };
    let child = Command::new(env::current_exe().unwrap())
        .args([TEST, "--exact", "--nocapture", "--test-threads=1"])
        .env("RUST_BACKTRACE", "0")
        .env(ORDER, serde_json::to_string(&order).unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let last_words = wait(child, &order.folder.join(INPUT));
    let figures = fs::read(order.folder.join(FIGURES)).ok();
    let figures = figures.and_then(|bytes| serde_json::from_slice::<Figures>(&bytes).ok());
    let what = match &figures {
        Some(figures) => figures.finding.clone(),
        None => Some(format!("its process died: {last_words}")),
    };
    Row {
        name,
        figures: figures.unwrap_or_default(),
        finding: what.map(|what| describe(&order, name, &what)),
    }
}

/// What the process said at last; it is ended when it does not go on.
fn wait(mut child: Child, input: &Path) -> String {
    let (sender, ended) = channel();
    let mut stderr = child.stderr.take().unwrap();
    thread::spawn(move || {
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).ok();
        sender.send(String::from_utf8_lossy(&text).into_owned())
    });
    let mut number = None;
    loop {
        match ended.recv_timeout(HANGING) {
            Err(RecvTimeoutError::Timeout) if number_in(input) == number => {
                child.kill().unwrap();
                child.wait().unwrap();
                return format!("an input took more than {} s", HANGING.as_secs());
            }
            Err(RecvTimeoutError::Timeout) => number = number_in(input),
            Err(RecvTimeoutError::Disconnected) => return String::new(),
            Ok(text) => {
                let status = child.wait().unwrap();
                let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
                let last = lines[lines.len().saturating_sub(3)..].join("; ");
                return format!("{status}; {last}");
            }
        }
    }
}

fn number_in(input: &Path) -> Option<u64> {
    let bytes = fs::read(input).ok()?;
    Some(u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?))
}

/// Keeps the input beside the program, and says what is wrong with it.
fn describe(order: &Order, name: &str, what: &str) -> String {
    let noted = fs::read(order.folder.join(INPUT)).unwrap_or_default();
    let (number, input) = noted.split_at(noted.len().min(8));
    let number = <[u8; 8]>::try_from(number).map_or(0, u64::from_le_bytes);
    let seed = order.seed;
    let program = env::current_exe().unwrap();
    let folder = program
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .join("soak");
    let plain = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let path = folder.join(format!("{plain}-{seed}-{number}"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(&path, input).unwrap();
    let length = input.len();
    let mut hex = String::new();
    for byte in &input[..length.min(SHOWN)] {
        write!(hex, "{byte:02x}").unwrap();
    }
    let more = if length > SHOWN { "…" } else { "" };
    format!(
        "{name}: {what}\n  seed {seed}, input {number} of {length} bytes: {hex}{more}\n  again: \
         HOIST_SOAK_TARGET='{name}' HOIST_SOAK_INPUT={} make soak",
        path.display()
    )
}

/// The figures, as a table.
pub(super) struct Table<'a>(pub(super) &'a [Row]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["inputs", "per second", "accepted", "ways", "kept"];
        write!(f, "{:<28}", "target")?;
        head.iter().try_for_each(|word| write!(f, "{word:>12}"))?;
        writeln!(f, "{:>12}{:>12}", "longest ms", "memory MiB")?;
        for Row { name, figures, .. } in self.0 {
            let share = 100.0 * figures.accepted as f64 / figures.inputs.max(1) as f64;
            let rate = figures.inputs as f64 / figures.seconds.max(0.001);
            writeln!(
                f,
                "{name:<28}{:>12}{rate:>12.0}{share:>11.0}%{:>12}{:>12}{:>12.1}{:>12.1}",
                figures.inputs,
                figures.ways,
                figures.kept,
                figures.longest_ms,
                figures.memory_kib as f64 / 1024.0,
            )?;
        }
        let figures = || self.0.iter().map(|row| &row.figures);
        let longest = figures().map(|one| one.longest_ms).fold(0.0, f64::max);
        let memory = figures().map(|one| one.memory_kib).max().unwrap_or(0);
        writeln!(
            f,
            "{} targets, {} inputs, {} kept, the longest took {longest:.0} ms, the peak was {} MiB, {} findings",
            self.0.len(),
            figures().map(|one| one.inputs).sum::<u64>(),
            figures().map(|one| one.kept).sum::<usize>(),
            memory >> 10,
            self.0.iter().filter(|row| row.finding.is_some()).count(),
        )
    }
}
