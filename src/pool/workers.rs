//! A pool of threads, fixed in number, that take jobs from one bounded channel. All but the first are
//! started when there is first a job for them: most pushes find everything there and need one.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

pub type Job = Box<dyn FnOnce() + Send>;

/// Dropping it waits for the jobs it has; see [`Workers::abandon`].
///
/// A pool whose last owner is one of its own jobs may be dropped there: that thread does not wait for
/// itself.
pub struct Workers {
    /// None only while it is being dropped: the threads end when the channel closes.
    jobs: Option<SyncSender<Job>>,
    threads: Mutex<Threads>,
    shared: Arc<Shared>,
    name: String,
    count: usize,
    abandoned: bool,
}

struct Threads {
    started: Vec<ThreadId>,
    /// How many there may be: fewer than were asked for once the system has refused one.
    limit: usize,
}

struct Shared {
    queue: Mutex<Receiver<Job>>,
    /// Jobs that were handed over and are not done.
    unfinished: Mutex<usize>,
    done: Condvar,
    panics: AtomicUsize,
}

impl Shared {
    fn unfinished(&self) -> MutexGuard<'_, usize> {
        self.unfinished
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Workers {
    /// Up to `count` threads (at least one) named `NAME-0`, `NAME-1`, …, and room for as many waiting
    /// jobs.
    ///
    /// # Errors
    /// What the system says when it will not start the first. Where it refuses a later one, the pool
    /// does with those it has.
    pub fn new(name: &str, count: usize) -> io::Result<Self> {
        let count = count.max(1);
        let (jobs, queue) = sync_channel(count);
        let shared = Arc::new(Shared {
            queue: Mutex::new(queue),
            unfinished: Mutex::new(0),
            done: Condvar::new(),
            panics: AtomicUsize::new(0),
        });
        let workers = Self {
            jobs: Some(jobs),
            threads: Mutex::new(Threads {
                started: Vec::with_capacity(count),
                limit: count,
            }),
            shared,
            name: name.to_owned(),
            count,
            abandoned: false,
        };
        workers.start(1)?;
        Ok(workers)
    }

    /// Hands over a job; waits while the channel is full. A job that panics ends neither its thread
    /// nor the process: it is logged and counted.
    pub fn submit(&self, job: Job) {
        let unfinished = {
            let mut unfinished = self.shared.unfinished();
            *unfinished += 1;
            *unfinished
        };
        if let Err(error) = self.start(unfinished) {
            log::warn!("{} has fewer threads than it could use: {error}", self.name);
        }
        let jobs = self.jobs.as_ref().expect("open until dropped");
        if jobs.send(job).is_err() {
            log::error!("a job was given to a pool whose threads are gone");
        }
    }

    /// Sees to it that there are `wanted` threads, as far as there may be so many.
    fn start(&self, wanted: usize) -> io::Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        while threads.started.len() < wanted.min(threads.limit) {
            let number = threads.started.len();
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new()
                .name(format!("{}-{number}", self.name))
                .spawn(move || work(&shared));
            match thread {
                Ok(handle) => threads.started.push(handle.thread().id()),
                Err(error) => {
                    threads.limit = number;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// How many threads were asked for.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many jobs have panicked so far.
    pub fn panics(&self) -> usize {
        self.shared.panics.load(Ordering::Relaxed)
    }

    /// Leaves the threads to themselves, for a process that is about to end.
    pub fn abandon(mut self) {
        self.abandoned = true;
    }

    fn started(&mut self) -> &[ThreadId] {
        let threads = self.threads.get_mut();
        &threads.unwrap_or_else(PoisonError::into_inner).started
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs = None;
        if self.abandoned {
            return;
        }
        let own = self.started().contains(&thread::current().id());
        // Without a job the threads end by themselves, and there is no need to see each of them off.
        let unfinished = self.shared.unfinished();
        let waited = self
            .shared
            .done
            .wait_while(unfinished, |unfinished| *unfinished > usize::from(own));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("count", &self.count)
            .field("panics", &self.panics())
            .finish_non_exhaustive()
    }
}

fn work(shared: &Shared) {
    loop {
        // One idle thread waits in the channel, the others for the lock.
        let queue = shared.queue.lock();
        let next = queue.unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        let outcome = catch_unwind(AssertUnwindSafe(job));
        if let Err(thrown) = outcome {
            shared.panics.fetch_add(1, Ordering::Relaxed);
            log::error!(
                "a job of {} panicked: {}",
                thread::current().name().unwrap_or("a pool"),
                thrown_text(&*thrown)
            );
        }
        *shared.unfinished() -= 1;
        shared.done.notify_all();
    }
}

fn thrown_text(thrown: &(dyn Any + Send)) -> &str {
    if let Some(text) = thrown.downcast_ref::<&str>() {
        text
    } else if let Some(text) = thrown.downcast_ref::<String>() {
        text
    } else {
        "without a message"
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn every_job_runs_once_before_the_pool_is_gone() {
        let done = Arc::new(AtomicUsize::new(0));
        let workers = Workers::new("t", 3).unwrap();
        for _ in 0..500 {
            let done = Arc::clone(&done);
            workers.submit(Box::new(move || {
                done.fetch_add(1, Ordering::Relaxed);
            }));
        }
        drop(workers);
        assert_eq!(done.load(Ordering::Relaxed), 500);
    }

    #[test]
    fn all_threads_work_at_once_under_their_names() {
        let workers = Workers::new("upload", 3).unwrap();
        assert_eq!(workers.count(), 3);
        let barrier = Arc::new(Barrier::new(3));
        let (names, seen) = channel();
        for _ in 0..3 {
            let (barrier, names) = (Arc::clone(&barrier), names.clone());
            workers.submit(Box::new(move || {
                barrier.wait();
                names
                    .send(thread::current().name().map(str::to_owned))
                    .unwrap();
            }));
        }
        drop(names);
        let seen: HashSet<String> = seen.iter().flatten().collect();
        let expected = ["upload-0", "upload-1", "upload-2"].map(str::to_owned);
        assert_eq!(seen, HashSet::from(expected));
    }

    #[test]
    fn a_thread_is_started_when_there_is_a_job_for_it() {
        let mut workers = Workers::new("t", 3).unwrap();
        let (done, finished) = channel();
        for _ in 0..5 {
            let done = done.clone();
            workers.submit(Box::new(move || done.send(()).unwrap()));
            finished.recv().unwrap();
            while *workers.shared.unfinished() > 0 {
                thread::yield_now();
            }
        }
        assert_eq!(workers.started().len(), 1);
        let (open, gate) = channel::<()>();
        workers.submit(Box::new(move || {
            let _ = gate.recv();
        }));
        workers.submit(Box::new(|| ()));
        assert_eq!(workers.started().len(), 2);
        drop(open);
    }

    #[test]
    fn a_pool_does_with_the_threads_that_it_has() {
        let workers = Workers::new("t", 4).unwrap();
        workers.threads.lock().unwrap().limit = 1;
        let (done, finished) = channel();
        for number in 0..20 {
            let done = done.clone();
            workers.submit(Box::new(move || done.send(number).unwrap()));
        }
        drop((workers, done));
        assert_eq!(finished.iter().count(), 20);
    }

    #[test]
    fn a_panic_costs_the_job_only() {
        let workers = Workers::new("t", 1).unwrap();
        workers.submit(Box::new(|| panic!("as this test wants")));
        let (answer, answered) = channel();
        workers.submit(Box::new(move || answer.send(7).unwrap()));
        assert_eq!(answered.recv(), Ok(7));
        assert_eq!(workers.panics(), 1);
    }

    #[test]
    fn a_full_channel_makes_the_giver_wait() {
        let workers = Arc::new(Workers::new("t", 1).unwrap());
        let (open, gate) = channel::<()>();
        workers.submit(Box::new(move || gate.recv().unwrap()));
        let given = Arc::new(AtomicUsize::new(0));
        let giver = {
            let (workers, given) = (Arc::clone(&workers), Arc::clone(&given));
            thread::spawn(move || {
                for _ in 0..4 {
                    workers.submit(Box::new(|| ()));
                    given.fetch_add(1, Ordering::SeqCst);
                }
            })
        };
        // One job runs or waits to, one more fits the channel: the giver cannot be done.
        assert!(!giver.is_finished());
        open.send(()).unwrap();
        giver.join().unwrap();
        assert_eq!(given.load(Ordering::SeqCst), 4);
    }

    #[test]
    fn a_job_may_be_the_last_owner_of_its_pool() {
        let workers = Arc::new(Workers::new("t", 2).unwrap());
        let (go, gone) = (Arc::new(Barrier::new(2)), channel());
        let (own, wait, tell) = (Arc::clone(&workers), Arc::clone(&go), gone.0);
        workers.submit(Box::new(move || {
            wait.wait();
            drop(own);
            tell.send(()).unwrap();
        }));
        drop(workers);
        go.wait();
        assert_eq!(gone.1.recv(), Ok(()));
    }

    #[test]
    fn an_abandoned_pool_is_not_waited_for() {
        let workers = Workers::new("t", 1).unwrap();
        let (open, gate) = channel::<()>();
        workers.submit(Box::new(move || {
            let _ = gate.recv();
        }));
        workers.abandon();
        drop(open);
    }
}
