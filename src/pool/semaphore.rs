//! A counting semaphore whose permits travel through a channel, and whose limit can shrink and grow.
//!
//! Every free permit is a token in the channel: taking one is receiving, giving it back is sending.
//! Tokens in the channel and tokens out always add up to the limit plus the excess, which is what a
//! shrunken limit still has to swallow.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;

/// Cheap to clone; clones share the permits.
#[derive(Clone, Debug)]
pub struct Semaphore {
    shared: Arc<Shared>,
}

impl Semaphore {
    /// `limit` permits, at least one.
    pub fn new(limit: usize) -> Self {
        let most = limit.max(1);
        let (give, free) = sync_channel(most);
        for _ in 0..most {
            give.send(Token).expect("the receiver is here");
        }
        let limits = Limits {
            now: most,
            most,
            excess: 0,
            went_well: 0,
        };
        Self {
            shared: Arc::new(Shared {
                free: Mutex::new(free),
                somebody_waits: AtomicBool::new(false),
                give,
                limits: Mutex::new(limits),
            }),
        }
    }

    /// A permit, if one is free now.
    pub fn try_acquire(&self) -> Option<Permit> {
        self.shared.take_now().map(|token| self.permit(token))
    }

    /// Waits for a permit. Waiting threads are served one after the other.
    pub fn acquire(&self) -> Permit {
        self.permit(self.shared.take())
    }

    /// Halves the limit, never below one. Permits that are out stay valid; the excess is swallowed
    /// as they come back.
    pub fn shrink(&self) {
        let mut limits = self.shared.limits();
        limits.went_well = 0;
        let now = (limits.now / 2).max(1);
        limits.excess += limits.now - now;
        limits.now = now;
        while limits.excess > 0 && self.shared.take_now().is_some() {
            limits.excess -= 1;
        }
    }

    /// Something that was done with a permit went well: after as many as there are permits the limit
    /// rises by one, never above where it started.
    pub fn went_well(&self) {
        let mut limits = self.shared.limits();
        limits.went_well += 1;
        if limits.now == limits.most || limits.went_well < limits.now {
            return;
        }
        limits.went_well = 0;
        limits.now += 1;
        self.shared.give(&mut limits);
    }

    pub fn limit(&self) -> usize {
        self.shared.limits().now
    }

    fn permit(&self, _: Token) -> Permit {
        Permit {
            shared: Arc::clone(&self.shared),
        }
    }
}

/// The right to do one thing; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.give(&mut self.shared.limits());
    }
}

#[derive(Debug)]
struct Token;

#[derive(Debug)]
struct Limits {
    now: usize,
    most: usize,
    /// Tokens to swallow before any goes into the channel again.
    excess: usize,
    /// What went well since the limit changed.
    went_well: usize,
}

#[derive(Debug)]
struct Shared {
    free: Mutex<Receiver<Token>>,
    /// Set while a thread sits in `recv` with `free` locked: then the channel is empty, and the next
    /// token is that thread's.
    somebody_waits: AtomicBool,
    give: SyncSender<Token>,
    /// Locked before `free`, never after it.
    limits: Mutex<Limits>,
}

impl Shared {
    fn limits(&self) -> MutexGuard<'_, Limits> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Token {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(token) = free.try_recv() {
            return token;
        }
        self.somebody_waits.store(true, Ordering::SeqCst);
        let token = free.recv().expect("the sender is here");
        self.somebody_waits.store(false, Ordering::SeqCst);
        token
    }

    fn take_now(&self) -> Option<Token> {
        loop {
            match self.free.try_lock() {
                Ok(free) => return free.try_recv().ok(),
                Err(TryLockError::Poisoned(free)) => return free.into_inner().try_recv().ok(),
                Err(TryLockError::WouldBlock) if self.somebody_waits.load(Ordering::SeqCst) => {
                    return None;
                }
                // Held for the length of one `try_recv`.
                Err(TryLockError::WouldBlock) => thread::yield_now(),
            }
        }
    }

    fn give(&self, limits: &mut Limits) {
        if limits.excess > 0 {
            limits.excess -= 1;
        } else {
            // There is room for every token there is, so this never waits.
            self.give.send(Token).expect("the receiver is here");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc::channel;

    use super::*;

    fn take_all(semaphore: &Semaphore) -> Vec<Permit> {
        std::iter::from_fn(|| semaphore.try_acquire()).collect()
    }

    #[test]
    fn gives_out_as_many_as_it_has() {
        for (limit, expected) in [(0, 1), (1, 1), (16, 16)] {
            let semaphore = Semaphore::new(limit);
            let held = take_all(&semaphore);
            assert_eq!((held.len(), semaphore.limit()), (expected, expected));
            drop(held);
            assert_eq!(take_all(&semaphore).len(), expected);
        }
    }

    #[test]
    fn free_permits_are_swallowed_at_once_and_held_ones_when_they_return() {
        let semaphore = Semaphore::new(8);
        let mut held: Vec<Permit> = (0..6).map(|_| semaphore.acquire()).collect();
        semaphore.shrink();
        assert_eq!(semaphore.limit(), 4);
        assert!(semaphore.try_acquire().is_none(), "six of four are out");
        held.truncate(4);
        assert!(semaphore.try_acquire().is_none(), "four of four are out");
        held.truncate(3);
        assert!(semaphore.try_acquire().is_some());
    }

    #[test]
    fn halves_down_to_one_and_grows_back_to_where_it_started() {
        let semaphore = Semaphore::new(5);
        let downwards: Vec<usize> = (0..4)
            .map(|_| {
                semaphore.shrink();
                semaphore.limit()
            })
            .collect();
        assert_eq!(downwards, [2, 1, 1, 1]);
        assert_eq!(take_all(&semaphore).len(), 1);
        let upwards: Vec<usize> = (0..12)
            .map(|_| {
                semaphore.went_well();
                semaphore.limit()
            })
            .collect();
        assert_eq!(upwards, [2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5]);
        assert_eq!(take_all(&semaphore).len(), 5);
    }

    #[test]
    fn what_went_well_before_counts_for_nothing_after_trouble() {
        let semaphore = Semaphore::new(8);
        semaphore.shrink();
        for _ in 0..3 {
            semaphore.went_well();
        }
        semaphore.shrink();
        semaphore.went_well();
        assert_eq!(semaphore.limit(), 2);
        semaphore.went_well();
        assert_eq!(semaphore.limit(), 3);
    }

    #[test]
    fn growing_spares_permits_that_were_to_be_swallowed() {
        let semaphore = Semaphore::new(4);
        let mut held = take_all(&semaphore);
        semaphore.shrink();
        semaphore.went_well();
        semaphore.went_well();
        assert_eq!(semaphore.limit(), 3);
        held.truncate(3);
        assert!(semaphore.try_acquire().is_none());
        held.truncate(2);
        assert!(semaphore.try_acquire().is_some());
    }

    #[test]
    fn somebody_who_waits_comes_first_and_hinders_nobody_else() {
        let semaphore = Semaphore::new(1);
        let held = semaphore.acquire();
        let (tell, told) = channel();
        let waiting = {
            let semaphore = semaphore.clone();
            thread::spawn(move || {
                let permit = semaphore.acquire();
                tell.send(()).unwrap();
                permit
            })
        };
        while !semaphore.shared.somebody_waits.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        assert!(semaphore.try_acquire().is_none());
        semaphore.shrink();
        semaphore.went_well();
        assert!(told.try_recv().is_err());
        drop(held);
        let second = waiting.join().unwrap();
        assert!(semaphore.try_acquire().is_none());
        drop(second);
        assert!(semaphore.try_acquire().is_some());
    }

    #[test]
    fn never_more_out_than_the_start_and_none_lost_under_load() {
        let semaphore = Semaphore::new(5);
        let (out, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |thread: usize| {
            for round in 0..2000 {
                let permit = match (thread + round) % 3 {
                    0 => semaphore.try_acquire(),
                    _ => Some(semaphore.acquire()),
                };
                if permit.is_some() {
                    most.fetch_max(out.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    match round % 97 {
                        0 => semaphore.shrink(),
                        n if n % 2 == 0 => semaphore.went_well(),
                        _ => thread::yield_now(),
                    }
                    out.fetch_sub(1, Ordering::SeqCst);
                }
            }
        };
        thread::scope(|scope| {
            for thread in 0..8 {
                scope.spawn(move || work(thread));
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 5);
        for _ in 0..1 + 2 + 3 + 4 {
            semaphore.went_well();
        }
        assert_eq!(take_all(&semaphore).len(), 5);
    }
}
