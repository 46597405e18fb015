//! Runs a schedule: takes permits, hands tasks to workers, takes in what they say, tells observers.
//! The sole owner of state and observers.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use crate::observe::event::{Emit, Event, Observer};
use crate::pool::semaphore::{Permit, Semaphore};
use crate::pool::workers::Workers;
use crate::push::delivery::DeliveryState;
use crate::push::plan::{BlobId, Expectation, PlannedNode, RepositoryId};
use crate::push::report::ErrorReport;
use crate::push::schedule::{Ended, Schedule, Task, Verify};
use crate::push::task::{Name, NamedBlob, PutWork, Tools, TransferWork, Work};
use crate::push::verify::VerifyWork;
use crate::registry::clock::Stop;

/// How often the word to stop is looked for while nothing else happens.
const LOOK_FOR_STOP: Duration = Duration::from_millis(50);
/// How long workers get to end what they do after the push was halted; one that is stopped has to be over
/// within a second.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What workers and the wire have to say.
pub(crate) enum Message {
    Event(Event),
    /// With the permit that the task had: nothing takes its place before it is known how it ended.
    Ended(Task, Box<Ended>, Permit),
}

/// Where the wire's events go on their way to the observers.
pub(crate) struct Mailbox(SyncSender<Message>);

impl Emit for Mailbox {
    fn emit(&self, event: Event) {
        // The coordinator is gone only when the push is over: nobody is left to tell.
        let _ = self.0.send(Message::Event(event));
    }
}

/// The channel between workers and the coordinator, made before either.
pub(crate) fn mailbox(jobs: usize) -> (Mailbox, SyncSender<Message>, Receiver<Message>) {
    let (sender, receiver) = sync_channel(jobs.max(1) * 4);
    (Mailbox(sender.clone()), sender, receiver)
}

pub(crate) struct Coordinator<'a> {
    pub(crate) schedule: Schedule,
    pub(crate) tools: Arc<Tools>,
    pub(crate) workers: Workers,
    pub(crate) permits: Semaphore,
    /// See [`Operation::linger`](super::operation::Operation::linger).
    pub(crate) linger: Duration,
    pub(crate) sender: SyncSender<Message>,
    pub(crate) receiver: Receiver<Message>,
    pub(crate) observers: &'a mut [Box<dyn Observer>],
    /// What the wire warned of, for the report.
    pub(crate) warnings: &'a mut Vec<String>,
}

impl Coordinator<'_> {
    /// Runs to the end, until `stop`, or until the schedule halts itself; `abort` breaks off what is in
    /// flight then.
    pub(crate) fn run(mut self, stop: &Stop, abort: &dyn Fn()) -> Schedule {
        let mut running = 0;
        let mut give_up: Option<Instant> = None;
        let mut over: Option<Instant> = None;
        let mut connected_ahead = false;
        loop {
            self.schedule.homes.allow_large(self.loses_little());
            running += self.start_tasks();
            self.tell();
            if running == 0 {
                break;
            }
            match self.receiver.recv_timeout(LOOK_FOR_STOP) {
                Ok(Message::Event(event)) => self.take_event(&event),
                Ok(Message::Ended(task, how, _permit)) => {
                    running -= 1;
                    if how.speaks_for_registry() {
                        self.permits.went_well();
                    }
                    let offers = self.tools.client.may_offer_manifests();
                    self.schedule.allow_offers(offers);
                    let looks = self.schedule.holdings.looks();
                    let recalled = looks.is_some_and(|l| self.tools.client.may_offer_as_before(l));
                    self.schedule.allow_recalled_offers(recalled);
                    self.schedule
                        .allow_mounts(self.tools.client.may_mount_blobs());
                    self.schedule.ended(task, *how);
                    if self.schedule.has_news && !connected_ahead {
                        connected_ahead = true;
                        self.connect_ahead();
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            if give_up.is_none() && stop.is_stopped() {
                self.schedule.halt();
                self.observe(&Event::Interrupted);
            }
            self.end_lingering(&mut over);
            if give_up.is_none() && self.schedule.is_halted() {
                give_up = Some(Instant::now() + LAST_WORDS);
                abort();
            }
            if give_up.is_some_and(|deadline| Instant::now() > deadline) {
                break;
            }
        }
        self.tell();
        // Threads that still wait for something would keep a stopped push from ending.
        if running > 0 {
            self.workers.abandon();
        }
        self.schedule
    }

    /// Whether a kill loses little of however many large blobs are under way.
    fn loses_little(&self) -> bool {
        let client = &self.tools.client;
        let before = self.schedule.holdings.keeps_cut_bodies();
        client.keeps_cut_bodies()
            || before.is_some_and(|looks| client.keeps_cut_bodies_as_before(looks))
    }

    /// Halts the schedule when no image has been waiting for so long.
    fn end_lingering(&mut self, over: &mut Option<Instant>) {
        if self.schedule.is_over() {
            let since = *over.get_or_insert_with(Instant::now);
            if since.elapsed() >= self.linger {
                self.schedule.halt();
            }
        }
    }

    fn start_tasks(&mut self) -> usize {
        let mut started = 0;
        while let Some(permit) = self.permits.try_acquire() {
            let Some(task) = self.schedule.next() else {
                break;
            };
            let Some(work) = self.work(task) else {
                let error = ErrorReport::local(format!("{task:?} has nothing to work on"));
                self.schedule.ended(task, Ended::Failed(error));
                continue;
            };
            let tools = Arc::clone(&self.tools);
            let sender = self.sender.clone();
            self.workers.submit(Box::new(move || {
                let mut report = Unanswered {
                    task,
                    owed: Some((sender, permit)),
                };
                report.answer(work.run(&tools));
            }));
            started += 1;
        }
        started
    }

    /// Opens connections for the transfers while the last questions are asked. One there is already.
    fn connect_ahead(&self) {
        let transfers = self.schedule.plan.blobs.len();
        let more = transfers.min(self.permits.limit()).saturating_sub(1);
        self.tools.client.open_connections(more);
    }

    fn take_event(&mut self, event: &Event) {
        match event {
            Event::Pressure { .. } => self.permits.shrink(),
            Event::Warning { message } => self.warnings.push(message.clone()),
            _ => {}
        }
        self.observe(event);
    }

    fn tell(&mut self) {
        for event in self.schedule.take_events() {
            self.take_event(&event);
        }
    }

    fn observe(&mut self, event: &Event) {
        for observer in self.observers.iter_mut() {
            observer.observe(event);
        }
    }

    /// Everything `task` needs, taken out of the plan.
    fn work(&self, task: Task) -> Option<Work> {
        let schedule = &self.schedule;
        let plan = &schedule.plan;
        let repository =
            |delivery: usize| plan.repositories[schedule.deliveries[delivery].repository].clone();
        let tag_name = |delivery: usize, tag: usize| {
            Name::Tag(schedule.deliveries[delivery].tags[tag].0.clone())
        };
        Some(match task {
            Task::Hash(blob) => Work::Hash(plan.blobs[blob].origin.clone()),
            Task::CheckTag { delivery, tag } => Work::Check {
                repository: repository(delivery),
                name: tag_name(delivery, tag),
            },
            Task::Look { delivery, tag } => Work::Look {
                repository: repository(delivery),
                tag: schedule.deliveries[delivery].tags[tag].0.clone(),
            },
            Task::ReadConfig { delivery, former } => {
                let (digest, size) = schedule.config_of(delivery, former)?;
                Work::ReadConfig {
                    repository: repository(delivery),
                    digest,
                    size,
                }
            }
            Task::CheckNode { delivery, node } => {
                let digest = schedule.nodes(delivery)?[node].manifest.digest().clone();
                Work::Check {
                    repository: repository(delivery),
                    name: Name::Digest(digest),
                }
            }
            Task::CheckExpected { delivery, item } => self.check_expected(delivery, item)?,
            Task::Transfer(transfer) => {
                let blob = &plan.blobs[transfer.blob];
                let home = schedule.homes.get(transfer.blob, transfer.repository)?;
                Work::Transfer(TransferWork {
                    repository: plan.repositories[transfer.repository].clone(),
                    origin: blob.origin.clone(),
                    resolved: blob.resolved.clone(),
                    is_remembered: blob.is_remembered(),
                    from: transfer.from.map(|id| plan.repositories[id].clone()),
                    recalled: schedule.recalled_source(&transfer).cloned(),
                    meter: Arc::clone(&home.meter),
                })
            }
            Task::Offer { delivery, tag } => Work::Offer {
                repository: repository(delivery),
                tag: schedule.deliveries[delivery].tags[tag].0.clone(),
                manifest: Arc::clone(&schedule.nodes(delivery)?.last()?.manifest),
            },
            Task::Put {
                delivery,
                node,
                tag,
            } => Work::Put(self.put(delivery, node, tag.map(|tag| tag_name(delivery, tag)))?),
            Task::Verify(verify) => Work::Verify(Box::new(self.verify(verify)?)),
        })
    }

    fn put(&self, delivery: usize, node: usize, tag: Option<Name>) -> Option<PutWork> {
        let nodes = self.schedule.nodes(delivery)?;
        let delivery = &self.schedule.deliveries[delivery];
        let node = &nodes[node];
        let manifest = Arc::clone(&node.manifest);
        let children = node.children.iter();
        Some(PutWork {
            repository: self.schedule.plan.repositories[delivery.repository].clone(),
            name: tag.unwrap_or_else(|| Name::Digest(manifest.digest().clone())),
            manifest,
            blobs: self.blobs_of(node, delivery),
            children: children
                .map(|&child| Arc::clone(&nodes[child].manifest))
                .collect(),
        })
    }

    fn verify(&self, verify: Verify) -> Option<VerifyWork> {
        let schedule = &self.schedule;
        Some(match verify {
            Verify::Blob { blob, repository } => {
                let blob = self.named_blob(blob, repository)?;
                let reading = schedule.readings.get(&blob.digest, repository)?;
                VerifyWork::Blob {
                    repository: schedule.plan.repositories[repository].clone(),
                    meter: Arc::clone(&reading.meter),
                    blob,
                }
            }
            Verify::Manifest {
                delivery,
                node,
                tag,
            } => {
                let tags = &schedule.deliveries[delivery].tags;
                let name = tag.map(|tag| Name::Tag(tags[tag].0.clone()));
                VerifyWork::Manifest(self.put(delivery, node, name)?)
            }
        })
    }

    fn check_expected(&self, delivery: usize, item: usize) -> Option<Work> {
        let plan = &self.schedule.plan;
        let state = &self.schedule.deliveries[delivery];
        let repository = plan.repositories[state.repository].clone();
        let expected = plan.images[state.image].expected.get(item)?;
        Some(match &expected.at {
            Expectation::Manifest(digest) => Work::Check {
                repository,
                name: Name::Digest(digest.clone()),
            },
            Expectation::Blob(blob) => {
                let (digest, size) = plan.blobs[*blob].resolved.clone()?;
                Work::CheckBlob {
                    repository,
                    digest,
                    size,
                }
            }
        })
    }

    fn blobs_of(&self, node: &PlannedNode, delivery: &DeliveryState) -> Vec<NamedBlob> {
        let blobs = node.blobs.iter().filter_map(|&id| {
            let blob = self.named_blob(id, delivery.repository)?;
            Some(NamedBlob {
                is_taken_for_there: delivery.taken_for_there.contains(&id),
                ..blob
            })
        });
        blobs.collect()
    }

    fn named_blob(&self, id: BlobId, repository: RepositoryId) -> Option<NamedBlob> {
        let blob = &self.schedule.plan.blobs[id];
        let (digest, size) = blob.resolved.clone()?;
        let home = self.schedule.homes.get(id, repository)?;
        Some(NamedBlob {
            digest,
            size,
            origin: blob.origin.clone(),
            is_remembered: blob.is_remembered(),
            is_taken_for_there: false,
            meter: Arc::clone(&home.meter),
        })
    }
}

/// Sends the answer to a task, also when the worker panics: a push must not wait for ever.
struct Unanswered {
    task: Task,
    owed: Option<(SyncSender<Message>, Permit)>,
}

impl Unanswered {
    fn answer(&mut self, ended: Ended) {
        if let Some((sender, permit)) = self.owed.take() {
            let _ = sender.send(Message::Ended(self.task, Box::new(ended), permit));
        }
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let error = "a worker panicked: this is a bug in hoist".to_string();
        self.answer(Ended::Failed(ErrorReport::local(error)));
    }
}
