//! One push: settings in, report out.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::image::compress::{Compressor, Method};
use crate::image::filter::Filter;
use crate::image::name::{Destination, Naming};
use crate::image::stdin::StandardInput;
use crate::net;
use crate::observe::event::{Event, Observer};
use crate::pool::semaphore::Semaphore;
use crate::pool::workers::Workers;
use crate::push::coordinator::{Coordinator, mailbox};
use crate::push::gather::{Fate, Gathered};
use crate::push::holdings::Holdings;
use crate::push::memory::Memory;
use crate::push::plan::Plan;
use crate::push::report::{ErrorReport, Report};
use crate::push::schedule::{Limits, Schedule};
use crate::push::state::{State, Worth};
use crate::push::tally::{Ending, Tally};
use crate::push::task::Tools;
use crate::registry::client::{self, Client, TokenService};
use crate::registry::clock::{Clock, Stop, SystemClock, Until};
use crate::registry::sessions::Sessions;

/// Everything a push needs to know. Holds no state.
#[derive(Clone, Debug)]
pub struct Operation {
    pub sources: Vec<PathBuf>,
    /// What the source `-` means; without it, a file of that name.
    pub stdin: Option<StandardInput>,
    pub destination: Destination,
    pub filter: Filter,
    pub follow_links: bool,
    pub naming: Naming,
    /// Of the manifests that hoist makes; `None` is the default, and says nothing when none is made.
    pub format: Option<Format>,
    pub compression: Option<Compression>,
    /// Blob transfers in flight.
    pub jobs: usize,
    /// Images being worked on.
    pub images: usize,
    pub fail_fast: bool,
    /// Everything is sent, whatever seems to be there.
    pub force: bool,
    /// Everything in place is read back, and what is wrong is sent again.
    pub verify: bool,
    /// How long blobs may go on that no image waits for any more, all having failed: what is nearly
    /// there gets there, and what hangs is not waited for.
    pub linger: Duration,
    /// The folder in which later pushes find what this one has learned.
    pub cache: Option<PathBuf>,
    /// The folder in which the next push finds the uploads that this one leaves open.
    pub state: Option<PathBuf>,
    /// Somebody has named that folder, and is told where it cannot be used.
    pub state_is_named: bool,
    pub registry: client::Settings,
    pub net: net::Settings,
    /// What waits for a registry go by; without one, the machine's.
    pub clock: Option<Arc<dyn Clock>>,
}

/// Media types of the manifests that hoist makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Oci,
    Docker,
}

/// What becomes of plain layers where hoist makes the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    None,
    /// Deflate level 0 to 9.
    Gzip {
        level: u32,
    },
    /// Level 1 to 19. Docker's media types have no place for it: of use with [`Format::Oci`] only.
    Zstd {
        level: u32,
    },
}

impl Compression {
    pub(crate) fn method(self) -> Option<Method> {
        match self {
            Self::None => None,
            Self::Gzip { level } => Some(Method::Gzip { level }),
            Self::Zstd { level } => Some(Method::Zstd { level }),
        }
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self::Gzip { level: 2 }
    }
}

impl Operation {
    /// Of everything in `sources`, with the defaults of the command line and no credentials.
    pub fn new<P: Into<PathBuf>>(
        sources: impl IntoIterator<Item = P>,
        destination: Destination,
    ) -> Self {
        Self {
            sources: sources.into_iter().map(Into::into).collect(),
            stdin: None,
            destination,
            filter: Filter::default(),
            follow_links: false,
            naming: Naming::default(),
            format: None,
            compression: None,
            jobs: 16,
            images: 16,
            fail_fast: false,
            force: false,
            verify: false,
            linger: Duration::from_secs(10),
            cache: None,
            state: None,
            state_is_named: false,
            registry: client::Settings {
                keychain: Arc::new(client::Anonymous),
                known_service: None,
                sessions: None,
                retries: 5,
                chunk_size: None,
                plain_http: false,
                insecure: false,
                limits: client::Limits::default(),
            },
            net: net::Settings::default(),
            clock: None,
        }
    }

    /// Runs the push to its end, or until `stop`. Never panics, always reports.
    pub fn run(&self, observers: &mut [Box<dyn Observer>], stop: &Stop) -> Report {
        let begun = Instant::now();
        let gathered = self.gather(stop, &mut |event| tell(&event, observers));
        let mut tally = Tally::new(&gathered, self.destination.host(), begun);
        if stop.is_stopped() {
            return tally.finish(Ending::Interrupted);
        }
        if gathered.errors.iter().any(ErrorReport::is_usage) {
            return tally.finish(Ending::Usage);
        }
        let broken = gathered
            .candidates
            .iter()
            .any(|c| matches!(c.fate, Fate::Fail(_)));
        if broken && self.fail_fast {
            return tally.finish(Ending::Run);
        }
        let plan = self.plan(gathered);
        if plan.images.is_empty() {
            return tally.finish(Ending::Run);
        }
        tell(&plan.announcement(self.verify), observers);
        match self.push(plan, &mut tally, observers, stop) {
            Ok(()) if stop.is_stopped() => tally.finish(Ending::Interrupted),
            Ok(()) => tally.finish(Ending::Run),
            Err(error) => {
                let usage = error.is_usage();
                tally.add_error(error);
                tally.finish(if usage { Ending::Usage } else { Ending::Run })
            }
        }
    }

    fn plan(&self, gathered: Gathered) -> Plan {
        let mut plan = Plan::new(
            self.format.unwrap_or_default(),
            self.destination.host().clone(),
        );
        plan.listens = !self.force;
        for candidate in gathered.candidates {
            match candidate.fate {
                Fate::Push { image, targets } if !targets.is_empty() => {
                    plan.add(&image, &targets, self.compression.unwrap_or_default());
                }
                Fate::Push { .. } | Fate::Fail(_) => {}
            }
        }
        plan
    }

    /// Runs the plan, takes the result into `tally`, and what was learned into the cache.
    ///
    /// # Errors
    /// Settings with which nothing can be sent; a system that gives no threads.
    fn push(
        &self,
        mut plan: Plan,
        tally: &mut Tally,
        observers: &mut [Box<dyn Observer>],
        stop: &Stop,
    ) -> Result<(), ErrorReport> {
        let memory = Arc::new(self.recall(&mut plan, tally, observers));
        let state = (self.state.as_deref()).map(|folder| State::open(folder, worth(&plan)));
        if let Some(why) = self.state_is_unusable(state.as_ref()) {
            warn(why, tally, observers);
        }
        let mut holdings = match self.force || self.verify {
            true => Holdings::default(),
            false => memory.holdings(),
        };
        let (schedule, tools) = loop {
            let attempt = Attempt {
                plan,
                holdings,
                service: memory.token_service(self.destination.host()),
                sessions: state.clone().map(|state| Arc::new(state) as _),
                memory: Arc::clone(&memory),
            };
            let (schedule, tools) = self.attempt(attempt, tally, observers, stop)?;
            if !schedule.disproved || stop.is_stopped() {
                break (schedule, tools);
            }
            tally.take_vain(&schedule, tools.client.totals());
            let why = "what the cache or the registry says of layers is wrong: beginning again without it";
            warn(why.to_string(), tally, observers);
            (plan, holdings) = (schedule.plan, schedule.holdings);
            plan.forget();
            tell(&plan.announcement(self.verify), observers);
        };
        tally.take(&schedule, tools.client.totals(), stop.is_stopped());
        if let Some(complaint) = state.as_ref().and_then(State::complaint) {
            warn(complaint, tally, observers);
        }
        // Whoever is stopped waits for no other push.
        if !stop.is_stopped() {
            memory.update(self.destination.host(), &tools.client, &schedule, stop);
        }
        Ok(())
    }

    /// What keeps the folder that somebody named for it from being used, where that is not said anyway.
    fn state_is_unusable(&self, state: Option<&State>) -> Option<String> {
        let folder = self.state.as_deref().filter(|_| self.state_is_named)?;
        let error = state?.make_folder().err()?;
        let folder = folder.display();
        Some(format!(
            "uploads are not remembered in {folder}, which cannot be used: {error}"
        ))
    }

    /// Starts threads and connections and runs the plan.
    fn attempt(
        &self,
        attempt: Attempt,
        tally: &mut Tally,
        observers: &mut [Box<dyn Observer>],
        stop: &Stop,
    ) -> Result<(Schedule, Arc<Tools>), ErrorReport> {
        let http = Arc::new(net::Http::new(&self.net).map_err(ErrorReport::usage)?);
        let threads = |error: std::io::Error| {
            ErrorReport::local(format!("cannot start {} threads: {error}", self.jobs))
        };
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let compressor =
            Compressor::new(Arc::new(Workers::new("compress", cpus).map_err(threads)?));
        let workers = Workers::new("transfer", self.jobs).map_err(threads)?;
        let (mailbox, sender, receiver) = mailbox(self.jobs);
        // Its own: a push halts by itself, too.
        let halt = Stop::default();
        let clock: Arc<dyn Clock> = match self.clock.clone() {
            Some(clock) => Arc::new(Until::new(clock, halt.clone())),
            None => Arc::new(SystemClock { stop: halt.clone() }),
        };
        let host = self.destination.host();
        let client = Client::new(
            host,
            Arc::clone(&http),
            client::Settings {
                known_service: (attempt.service).or_else(|| self.registry.known_service.clone()),
                sessions: (attempt.sessions).or_else(|| self.registry.sessions.clone()),
                ..self.registry.clone()
            },
            clock,
            Arc::new(mailbox),
        );
        let tools = Arc::new(Tools {
            client,
            compressor,
            memory: attempt.memory,
            halt: halt.clone(),
            force: self.force,
        });
        let limits = Limits {
            images: self.images.max(1),
            fail_fast: self.fail_fast,
            force: self.force,
            verify: self.verify,
        };
        let coordinator = Coordinator {
            schedule: Schedule::new(attempt.plan, limits).knowing(attempt.holdings),
            tools: Arc::clone(&tools),
            workers,
            permits: Semaphore::new(self.jobs),
            linger: self.linger,
            sender,
            receiver,
            observers,
            warnings: tally.warnings(),
        };
        let schedule = coordinator.run(stop, &|| {
            halt.stop();
            http.shutdown();
        });
        Ok((schedule, tools))
    }

    /// Opens the cache, and tells `plan` what layers became the last time.
    fn recall(
        &self,
        plan: &mut Plan,
        tally: &mut Tally,
        observers: &mut [Box<dyn Observer>],
    ) -> Memory {
        let Some(folder) = self.cache.as_deref() else {
            return Memory::default();
        };
        let (memory, damage) = Memory::open(folder, self.destination.host(), plan);
        for message in damage {
            warn(message, tally, observers);
        }
        if !self.force {
            memory.recall_layers(plan);
        }
        memory
    }
}

/// What is run, and what is known beforehand.
struct Attempt {
    plan: Plan,
    holdings: Holdings,
    service: Option<TokenService>,
    sessions: Option<Arc<dyn Sessions>>,
    memory: Arc<Memory>,
}

fn worth(plan: &Plan) -> Worth {
    // How much an image will be is not known before it is compressed.
    match plan.compresses() {
        true => Worth::default(),
        false => Worth::of(plan.sizes()),
    }
}

fn warn(message: String, tally: &mut Tally, observers: &mut [Box<dyn Observer>]) {
    tally.warnings().push(message.clone());
    tell(&Event::Warning { message }, observers);
}

fn tell(event: &Event, observers: &mut [Box<dyn Observer>]) {
    for observer in observers {
        observer.observe(event);
    }
}
