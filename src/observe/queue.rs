//! A queue and a thread between the coordinator and an observer that may be slow.
//!
//! Bytes are counted by meters that observers sample, so a slow one misses progress, not facts.
//! Events themselves are few; only when the queue is full of them does the coordinator wait.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::observe::event::{Event, Observer};

/// An observer that wants to be woken although nothing happened.
pub(crate) trait Watcher: Send + 'static {
    fn observe(&mut self, event: &Event);

    /// At least once per period, events or not.
    fn tick(&mut self);

    /// No event will come any more.
    fn end(&mut self);
}

/// Hands events on to a thread; dropping it waits until the last one has been looked at.
pub(crate) struct Queued {
    events: Option<SyncSender<Event>>,
    thread: Option<JoinHandle<()>>,
}

/// Events that may wait: more than a coordinator sends while a terminal scrolls.
const WAITING: usize = 4096;

impl Queued {
    pub(crate) fn start(watcher: impl Watcher, period: Duration) -> io::Result<Self> {
        let (sender, events) = sync_channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || watch(watcher, &events, period))?;
        Ok(Self {
            events: Some(sender),
            thread: Some(thread),
        })
    }
}

impl Observer for Queued {
    fn observe(&mut self, event: &Event) {
        if let Some(events) = &self.events {
            // The thread ends before the queue only by a panic, and then nobody is told any more.
            _ = events.send(event.clone());
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.events = None;
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

fn watch(mut watcher: impl Watcher, events: &Receiver<Event>, period: Duration) {
    let mut next = std::time::Instant::now() + period;
    loop {
        let left = next.saturating_duration_since(std::time::Instant::now());
        match events.recv_timeout(left) {
            Ok(event) => watcher.observe(&event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if std::time::Instant::now() >= next {
            watcher.tick();
            next = std::time::Instant::now() + period;
        }
    }
    watcher.end();
}
