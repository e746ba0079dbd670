//! One ceiling on the bytes a stream holds, taken before the work.
//!
//! The ceiling is divided at the start into three shares that never lend to each other: batches, rows as stored, and
//! images being decoded. Work in one share never waits for another share while it holds its own, so waiting always
//! ends: batches leave when they are consumed, rows when their images are decoded, decoded images when they are
//! rendered.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Bytes held by all shares, now and at most.
#[derive(Debug, Default)]
pub(crate) struct Held {
    now: AtomicU64,
    peak: AtomicU64,
}

impl Held {
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    pub(crate) fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    fn add(&self, bytes: u64) {
        let now = self.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(now, Ordering::Relaxed);
    }

    fn subtract(&self, bytes: u64) {
        self.now.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A part of the ceiling. Admission is first come, first served, so that nothing large is starved by small things.
#[derive(Clone, Debug)]
pub(crate) struct Share(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: u64,
    state: Mutex<State>,
    freed: Condvar,
    held: Arc<Held>,
}

#[derive(Debug, Default)]
struct State {
    used: u64,
    queue: VecDeque<u64>,
    next_ticket: u64,
    wake: Vec<oneshot::Sender<()>>,
}

/// Admitted bytes; given back when dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    share: Share,
    bytes: u64,
}

/// More bytes than the whole share.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl Share {
    pub(crate) fn new(limit: u64, held: &Arc<Held>) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Inner { limit, state, freed: Condvar::new(), held: Arc::clone(held) }))
    }

    /// All that it may hold.
    pub(crate) fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Waits, blocking this thread, until the bytes are free.
    pub(crate) fn admit_blocking(&self, bytes: u64) -> Result<Admitted, TooLarge> {
        if bytes > self.0.limit {
            return Err(TooLarge);
        }
        let mut state = self.lock();
        let ticket = Self::queue(&mut state);
        while !self.first_and_fits(&state, ticket, bytes) {
            state = self.0.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(self.enter(&mut state, bytes))
    }

    /// Waits until the bytes are free. At most one task of a share may wait this way at a time, and it must not be
    /// cancelled while others go on.
    pub(crate) async fn admit(&self, bytes: u64) -> Result<Admitted, TooLarge> {
        if bytes > self.0.limit {
            return Err(TooLarge);
        }
        let ticket = Self::queue(&mut self.lock());
        loop {
            let freed = {
                let mut state = self.lock();
                if self.first_and_fits(&state, ticket, bytes) {
                    return Ok(self.enter(&mut state, bytes));
                }
                let (wake, freed) = oneshot::channel();
                state.wake.push(wake);
                freed
            };
            // An error means that the sender is gone, which only says: look again.
            let _ = freed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(state: &mut State) -> u64 {
        state.next_ticket += 1;
        let ticket = state.next_ticket;
        state.queue.push_back(ticket);
        ticket
    }

    fn first_and_fits(&self, state: &State, ticket: u64, bytes: u64) -> bool {
        state.queue.front() == Some(&ticket) && state.used.saturating_add(bytes) <= self.0.limit
    }

    fn enter(&self, state: &mut State, bytes: u64) -> Admitted {
        state.queue.pop_front();
        state.used += bytes;
        self.0.held.add(bytes);
        self.wake(state);
        Admitted { share: self.clone(), bytes }
    }

    fn wake(&self, state: &mut State) {
        self.0.freed.notify_all();
        for wake in state.wake.drain(..) {
            // The receiver may be gone; then nobody waits.
            let _ = wake.send(());
        }
    }
}

impl Admitted {
    /// States what turned out to be held. Less is given back at once; more is counted, so that others wait for it, but
    /// does not wait itself, since waiting while holding could be waiting for oneself.
    pub(crate) fn settle(&mut self, bytes: u64) {
        let mut state = self.share.lock();
        state.used = state.used - self.bytes + bytes;
        let held = &self.share.0.held;
        held.add(bytes.saturating_sub(self.bytes));
        held.subtract(self.bytes.saturating_sub(bytes));
        self.bytes = bytes;
        self.share.wake(&mut state);
    }

    /// How many.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Hands some of the bytes to another holder.
    pub(crate) fn split(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { share: self.share.clone(), bytes }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.settle(0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn never_above_the_limit_and_all_are_served() {
        let held = Arc::default();
        let share = Share::new(100, &held);
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let share = share.clone();
                scope.spawn(move || {
                    for round in 0..200 {
                        let bytes = (thread * 37 + round * 11) % 100 + 1;
                        let admitted = share.admit_blocking(bytes).unwrap();
                        assert!(share.lock().used <= 100);
                        drop(admitted);
                    }
                });
            }
        });
        assert_eq!((held.now(), share.lock().used), (0, 0));
        assert!(held.peak() <= 100);
    }

    #[test]
    fn what_can_never_fit_is_refused_at_once() {
        let share = Share::new(100, &Arc::default());
        assert_eq!(share.admit_blocking(101).unwrap_err(), TooLarge);
        assert_eq!(futures::executor::block_on(share.admit(101)).unwrap_err(), TooLarge);
    }

    #[test]
    fn waiting_tasks_are_woken_and_corrections_count() {
        let held = Arc::default();
        let share = Share::new(100, &held);
        let mut first = share.admit_blocking(80).unwrap();
        let waiting = share.clone();
        let waiter = std::thread::spawn(move || futures::executor::block_on(waiting.admit(60)).unwrap());
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waiter.is_finished());
        first.settle(40);
        let mut second = waiter.join().unwrap();
        assert_eq!((held.now(), held.peak()), (100, 100));
        second.settle(75);
        assert_eq!((held.now(), held.peak()), (115, 115));
        // What is held beyond the limit keeps others out as much as what was admitted.
        let waiting = share.clone();
        let waiter = std::thread::spawn(move || waiting.admit_blocking(20).unwrap());
        drop(second.split(10));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!waiter.is_finished());
        drop(first);
        drop((waiter.join().unwrap(), second));
        assert_eq!((held.now(), share.lock().used), (0, 0));
    }
}
