//! One target in a process of its own: whatever it does to that, the run goes on and knows which input
//! it was.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::soak::mutate::{Random, Supply, mutate};
use crate::soak::outcome::{Outcome, secrets};
use crate::soak::target::Target;

/// What takes less wall time than this needs no second look at what it cost.
const UNSUSPICIOUS: Duration = Duration::from_millis(2);

/// Address space beside what the target may take: stacks and heaps of threads.
const SLACK: u64 = 160 << 20;

/// Inputs that are kept for having gone a new way.
const MOST_KEPT: usize = 1000;

/// What to do, from the process that started this one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) target: String,
    pub(super) seed: u64,
    pub(super) end: End,
    /// Where [`INPUT`] and [`FIGURES`] are left.
    pub(super) folder: PathBuf,
}

/// When it is enough.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum End {
    Inputs(u64),
    Seconds(f64),
    /// With the input in this file, which is tried alone.
    One(PathBuf),
}

/// The number of the input at hand, 8 bytes little-endian, and the input.
pub(super) const INPUT: &str = "input";
pub(super) const FIGURES: &str = "figures.json";

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Figures {
    pub(super) inputs: u64,
    pub(super) accepted: u64,
    pub(super) ways: usize,
    pub(super) kept: usize,
    pub(super) seconds: f64,
    /// Wall time.
    pub(super) longest_ms: f64,
    /// The peak of the process above what it began with.
    pub(super) memory_kib: u64,
    /// What the last input was a finding for.
    pub(super) finding: Option<String>,
}

struct Worker<'a> {
    target: &'a Target,
    secrets: HashSet<Vec<u8>>,
    ways: HashSet<u64>,
    corpus: Vec<Vec<u8>>,
    /// Where in the corpus those are that were accepted.
    accepted: Vec<usize>,
    input_file: File,
    /// Resident before the first input, in KiB.
    began_with: u64,
    figures: Figures,
    last_panic: Arc<Mutex<String>>,
}

/// What became of one input.
struct Tried {
    accepted: bool,
    /// It went a way that none went before.
    is_new: bool,
}

/// Tries inputs until the end or a finding; leaves the figures in the folder.
pub(super) fn work(target: &Target, order: &Order) -> io::Result<()> {
    let began = Instant::now();
    let mut worker = Worker::new(target, &order.folder)?;
    let outcome = match &order.end {
        End::One(path) => fs::read(path).map(|input| worker.attempt(&input).map(drop))?,
        end => worker.run(order.seed, end, began),
    };
    let mut figures = worker.figures;
    figures.finding = outcome.err();
    figures.ways = worker.ways.len();
    figures.kept = worker.corpus.len();
    figures.seconds = began.elapsed().as_secs_f64();
    figures.memory_kib = peak().saturating_sub(worker.began_with);
    fs::write(order.folder.join(FIGURES), serde_json::to_vec(&figures)?)
}

impl<'a> Worker<'a> {
    fn new(target: &'a Target, folder: &Path) -> io::Result<Self> {
        let last_panic = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&last_panic);
        std::panic::set_hook(Box::new(move |info| {
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
        }));
        let most = status("VmSize:").map(|kib| (kib << 10) + (target.memory_mib << 20) + SLACK);
        let limit = Rlimit {
            current: most,
            maximum: most,
        };
        setrlimit(Resource::As, limit)?;
        Ok(Self {
            target,
            secrets: secrets(),
            ways: HashSet::new(),
            corpus: Vec::new(),
            accepted: Vec::new(),
            input_file: File::create(folder.join(INPUT))?,
            began_with: peak(),
            figures: Figures::default(),
            last_panic,
        })
    }

    fn run(&mut self, seed: u64, end: &End, began: Instant) -> Result<(), String> {
        for example in &self.target.examples {
            let tried = self.attempt(example)?;
            self.keep(example.clone(), &tried);
        }
        if self.accepted.is_empty() {
            return Err("none of its examples is accepted".into());
        }
        let name = self.target.name.bytes();
        let name = name.fold(0_u64, |sum, b| sum.wrapping_mul(31) + u64::from(b));
        let mut random = Random::new(seed ^ name << 20);
        while !self.is_over(end, began) {
            let supply = Supply {
                corpus: &self.corpus,
                words: &self.target.words,
                longest: self.target.longest,
            };
            let base: &Vec<u8> = match random.one_in(2) {
                true => &self.corpus[*random.pick(&self.accepted)],
                false => random.pick(&self.corpus),
            };
            let mut input = mutate(base, &supply, &mut random);
            if let Some(repair) = self.target.repair
                && !random.one_in(8)
            {
                repair(&mut input);
            }
            let tried = self.attempt(&input)?;
            if tried.is_new && self.corpus.len() < self.target.examples.len() + MOST_KEPT {
                self.keep(input, &tried);
            }
        }
        Ok(())
    }

    fn keep(&mut self, input: Vec<u8>, tried: &Tried) {
        if tried.accepted {
            self.accepted.push(self.corpus.len());
        }
        self.corpus.push(input);
    }

    fn is_over(&self, end: &End, began: Instant) -> bool {
        match end {
            End::Inputs(most) => self.figures.inputs >= *most,
            End::Seconds(seconds) => began.elapsed().as_secs_f64() >= *seconds,
            End::One(_) => true,
        }
    }

    /// The error is a finding.
    fn attempt(&mut self, input: &[u8]) -> Result<Tried, String> {
        self.figures.inputs += 1;
        self.note(input)
            .map_err(|error| format!("the input could not be noted: {error}"))?;
        let began = Instant::now();
        let outcome = self.read(input)?;
        let took = began.elapsed();
        if took > UNSUSPICIOUS {
            self.look_at_cost(input, took)?;
        }
        if let Some(fault) = outcome.fault(&self.secrets) {
            return Err(fault);
        }
        self.figures.accepted += u64::from(outcome.is_accepted());
        Ok(Tried {
            accepted: outcome.is_accepted(),
            is_new: self.ways.insert(outcome.way()),
        })
    }

    fn note(&self, input: &[u8]) -> io::Result<()> {
        self.input_file.set_len(0)?;
        self.input_file.write_all_at(input, 8)?;
        let number = self.figures.inputs.to_le_bytes();
        self.input_file.write_all_at(&number, 0)
    }

    fn read(&self, input: &[u8]) -> Result<Outcome, String> {
        let read = catch_unwind(AssertUnwindSafe(|| (self.target.read)(input)));
        let last = self.last_panic.lock();
        let last = std::mem::take(&mut *last.unwrap_or_else(PoisonError::into_inner));
        match read {
            Ok(outcome) if last.is_empty() => Ok(outcome),
            // In another thread, perhaps.
            _ => Err(last),
        }
    }

    fn look_at_cost(&mut self, input: &[u8], took: Duration) -> Result<(), String> {
        self.figures.longest_ms = self.figures.longest_ms.max(took.as_secs_f64() * 1000.0);
        // Whether others kept the machine busy shows in the CPU time of a second attempt.
        let patience = Duration::from_millis(self.target.patience_ms);
        if took > patience {
            let before = cpu_time();
            self.read(input)?;
            let cpu = cpu_time().saturating_sub(before);
            if cpu > patience {
                return Err(format!("took {:.1} s of CPU time", cpu.as_secs_f64()));
            }
        }
        let used = peak().saturating_sub(self.began_with) >> 10;
        if used > self.target.memory_mib {
            let most = self.target.memory_mib;
            return Err(format!("took {used} MiB of memory, and {most} are allowed"));
        }
        Ok(())
    }
}

/// The most that was resident, in KiB.
fn peak() -> u64 {
    status("VmHWM:").unwrap_or_default()
}

fn status(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Of the whole process, in steps of 10 ms.
fn cpu_time() -> Duration {
    let ticks = || {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let field = |number: usize| fields.get(number)?.parse::<u64>().ok();
        Some(field(11)? + field(12)?)
    };
    Duration::from_millis(ticks().unwrap_or_default() * 10)
}
