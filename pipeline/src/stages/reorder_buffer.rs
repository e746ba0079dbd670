//! Finished batches on their way to the consumer: put in any order, taken in order, blocking or polled.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Items numbered from 0 without gaps.
#[derive(Debug)]
pub(crate) struct ReorderBuffer<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: BTreeMap<u64, T>,
    next: u64,
    /// How many items there will be, once that is known.
    end: Option<u64>,
    /// To be delivered in place of the first item that is missing.
    failure: Option<T>,
    waker: Option<Waker>,
}

impl<T> Default for ReorderBuffer<T> {
    fn default() -> Self {
        let state = State { items: BTreeMap::new(), next: 0, end: None, failure: None, waker: None };
        Self { state: Mutex::new(state), arrived: Condvar::new() }
    }
}

impl<T> ReorderBuffer<T> {
    /// Delivers item `number`. The first one under a number counts.
    pub(crate) fn put(&self, number: u64, item: T) {
        let mut state = self.lock();
        if number >= state.next && state.end.is_none_or(|end| number < end) {
            state.items.entry(number).or_insert(item);
        }
        self.wake(state);
    }

    /// No item will have this number or a larger one.
    pub(crate) fn end(&self, number: u64) {
        let mut state = self.lock();
        state.end = Some(state.end.map_or(number, |end| end.min(number)));
        self.wake(state);
    }

    /// Some items will never come; this one stands for the first of them, and nothing follows it.
    pub(crate) fn fail(&self, item: T) {
        let mut state = self.lock();
        state.failure.get_or_insert(item);
        self.wake(state);
    }

    /// Nobody takes any more: what waits is dropped, and so is what comes.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        let waiting = std::mem::take(&mut state.items);
        state.end = Some(state.next);
        self.wake(state);
        drop(waiting);
    }

    /// The next item; `None` after the last.
    pub(crate) fn take(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Poll::Ready(item) = state.next() {
                return item;
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same without blocking.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.lock();
        let polled = state.next();
        if polled.is_pending() {
            state.waker = Some(context.waker().clone());
        }
        polled
    }

    /// Items that can be taken without waiting.
    pub(crate) fn waiting(&self) -> usize {
        let state = self.lock();
        state.items.keys().zip(state.next..).take_while(|(number, next)| **number == *next).count()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, mut state: MutexGuard<'_, State<T>>) {
        let waker = state.waker.take();
        drop(state);
        self.arrived.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> State<T> {
    fn next(&mut self) -> Poll<Option<T>> {
        if self.end.is_some_and(|end| self.next >= end) {
            return Poll::Ready(None);
        }
        if let Some(item) = self.items.remove(&self.next) {
            self.next += 1;
            return Poll::Ready(Some(item));
        }
        match self.failure.take() {
            Some(failure) => {
                self.end = Some(self.next);
                Poll::Ready(Some(failure))
            }
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn letters_come_in_order_whoever_brings_them() {
        let finished = Arc::new(ReorderBuffer::default());
        let bringers: Vec<_> = (0..4_u64)
            .map(|bringer| {
                let finished = Arc::clone(&finished);
                std::thread::spawn(move || (0..250).rev().for_each(|i| finished.put(i * 4 + bringer, i * 4 + bringer)))
            })
            .collect();
        let taken: Vec<_> = (0..1000).map(|_| finished.take().unwrap()).collect();
        assert!(taken.into_iter().eq(0..1000));
        bringers.into_iter().for_each(|bringer| bringer.join().unwrap());
        finished.end(1000);
        assert_eq!(finished.take(), None);
    }

    #[test]
    fn a_polled_mailbox_wakes_and_counts() {
        let finished = Arc::new(ReorderBuffer::default());
        finished.put(1, "b");
        assert_eq!(finished.waiting(), 0);
        let bringer = Arc::clone(&finished);
        let thread = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            bringer.put(0, "a");
            bringer.end(2);
        });
        let next = || futures::executor::block_on(futures::future::poll_fn(|context| finished.poll(context)));
        assert_eq!([next(), next(), next()], [Some("a"), Some("b"), None]);
        thread.join().unwrap();
    }
}
