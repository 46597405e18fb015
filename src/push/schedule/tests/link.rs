//! A long link, and a push over it by the clock: how long each task takes there, and what runs beside it.
//!
//! A connection costs a round trip; what it carries goes in windows that begin at ten segments
//! ([RFC 6928](https://www.rfc-editor.org/rfc/rfc6928)) and double with each round trip, up to what the
//! line bears; after an idle time they begin again. Time is in microseconds.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::world::World;
use crate::push::schedule::*;

const FIRST_WINDOW: u64 = 10 * 1460;
const IDLE: u64 = 200_000;

#[derive(Clone, Copy)]
pub(super) struct Link {
    pub(super) round_trip: u64,
    /// Of each connection, in bytes a second.
    pub(super) rate: u64,
    /// Permits.
    pub(super) jobs: usize,
}

/// A connection that carries nothing, since then.
struct Idle {
    window: u64,
    since: u64,
}

/// One task as it was done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) task: Task,
    pub(super) from: u64,
    pub(super) to: u64,
    /// Bytes that were sent.
    pub(super) sent: u64,
}

/// What is under way.
struct Running {
    window: u64,
    done: Done,
}

impl Link {
    /// Until the last byte of `size` is acknowledged.
    pub(super) fn body(&self, size: u64, window: &mut u64) -> u64 {
        let full = self.rate * self.round_trip / 1_000_000;
        let (mut left, mut took) = (size, 0);
        while left > 0 && *window < full {
            let sent = left.min(*window);
            left -= sent;
            *window += sent;
            took += self.round_trip;
        }
        match left {
            0 => took,
            _ => took + left * 1_000_000 / self.rate + self.round_trip,
        }
    }

    /// Runs `schedule` to its end and says what was done when.
    pub(super) fn play(&self, world: &mut World, schedule: &mut Schedule) -> Vec<Done> {
        let (mut now, mut ahead) = (0, None);
        let mut idle: VecDeque<Idle> = VecDeque::new();
        let mut running: Vec<Option<Running>> = Vec::new();
        let mut ends = BinaryHeap::new();
        let mut done = Vec::new();
        loop {
            while ends.len() < self.jobs
                && let Some(task) = schedule.next()
            {
                // The longest idle one first, as ureq has it.
                let (mut window, wait) = match idle.pop_front() {
                    Some(free) if now - free.since <= IDLE => (free.window, 0),
                    Some(_) => (FIRST_WINDOW, 0),
                    None => (FIRST_WINDOW, self.opening(now, ahead)),
                };
                let sent = to_send(world, schedule, task);
                let body = sent.map_or(0, |size| self.body(size, &mut window));
                let to = now + wait + self.round_trip + body;
                let sent = sent.unwrap_or(0);
                let from = now;
                let step = Done {
                    task,
                    from,
                    to,
                    sent,
                };
                ends.push(Reverse((to, running.len())));
                running.push(Some(Running { window, done: step }));
            }
            let Some(Reverse((to, number))) = ends.pop() else {
                return done;
            };
            now = to;
            let Running { window, done: step } = running[number].take().unwrap();
            idle.push_back(Idle { window, since: now });
            let how = world.answer(schedule, step.task);
            schedule.ended(step.task, how);
            done.push(step);
            if schedule.has_news && ahead.is_none() {
                ahead = Some(now + self.round_trip);
            }
        }
    }

    /// How long a new connection is waited for: a round trip, or less when it was opened `ahead`.
    fn opening(&self, now: u64, ahead: Option<u64>) -> u64 {
        ahead.map_or(self.round_trip, |at| at.saturating_sub(now))
    }

    /// No schedule brings new blobs of these sizes sooner: two questions, then the largest blob, or
    /// two over one connection where there are more than connections, or an equal share for each (of the
    /// bytes, or of the round trips), and the manifest.
    pub(super) fn least(&self, sizes: &[u64]) -> u64 {
        let mut sizes = sizes.to_vec();
        sizes.sort_unstable_by_key(|size| Reverse(*size));
        let jobs = self.jobs as u64;
        let upload = |size, window: &mut u64| self.round_trip + self.body(size, window);
        let largest = upload(sizes[0], &mut { FIRST_WINDOW });
        let mut window = FIRST_WINDOW;
        let pair = sizes.get(self.jobs - 1..=self.jobs);
        let pair = pair.map_or(0, |pair| {
            pair.iter().map(|size| upload(*size, &mut window)).sum()
        });
        let others = (sizes.len() as u64 / jobs).saturating_sub(1) * self.round_trip;
        let bytes = others + upload(sizes.iter().sum::<u64>() / jobs, &mut { FIRST_WINDOW });
        let small = 2 * self.round_trip * sizes.len() as u64 / jobs;
        4 * self.round_trip + largest.max(pair).max(bytes).max(small)
    }
}

/// The size of what goes up with a task; nothing for one that is a question and an answer.
fn to_send(world: &World, schedule: &Schedule, task: Task) -> Option<u64> {
    let Task::Transfer(transfer) = task else {
        return None;
    };
    let (digest, size) = schedule.plan.blobs[transfer.blob].resolved.clone()?;
    let there = |repository: RepositoryId| {
        let name = schedule.plan.repositories[repository].to_string();
        world.blobs.contains(&(name, digest.clone()))
    };
    let mounts = transfer.from.is_some_and(there) && !world.refuse_mounts;
    (!mounts && !there(transfer.repository)).then_some(size)
}

#[test]
fn windows_double_until_the_line_is_full() {
    let link = Link {
        round_trip: 50_000,
        rate: 10_000_000,
        jobs: 1,
    };
    for (size, window, round_trips) in [
        (0, FIRST_WINDOW, 0),
        (FIRST_WINDOW, FIRST_WINDOW, 1),
        (FIRST_WINDOW + 1, FIRST_WINDOW, 2),
        (1 << 18, FIRST_WINDOW, 5),
        (1 << 18, 1 << 18, 1),
    ] {
        let took = link.body(size, &mut { window });
        assert_eq!(took, round_trips * link.round_trip, "{size} {window}");
    }
    // 0.5 MB at once, and what is left at 10 MB a second.
    let took = link.body(20_000_000, &mut { 600_000 });
    assert_eq!(took, 2_050_000);
}
