//! One stream whose batches several takers have, each at a pace of its own within a window.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use millstream_schemas::Batch;

use crate::budget::Admitted;
use crate::stages::damage::DamagedRow;
use crate::{Batches, Monitor, PipelineError};

/// How long the first waits for the last, at least, unless it is told otherwise: then the last goes on by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// And at most, however long takers were seen to pause.
const MOST_PATIENCE: Duration = Duration::from_secs(600);

/// A stream with its takers. Batches that the last of them has not taken are kept, as many as fit into the window; while the first batch
/// is among them, others can come. None waits for ever: whoever stands still for too long while the window is full loses its place, and
/// streams what is left by itself.
#[derive(Debug)]
pub(crate) struct JointStream {
    state: Mutex<State>,
    changed: Condvar,
    monitor: Monitor,
    /// Bytes of the batches that are kept, at most.
    window: u64,
    /// Epochs after which it ends; who wants fewer leaves, and who wants more goes on behind it.
    epochs: u64,
}

#[derive(Debug)]
struct State {
    /// Away while a taker waits for its next batch.
    source: Option<Batches>,
    kept: VecDeque<Arc<Kept>>,
    /// The number of the first that is kept.
    first: u64,
    bytes: u64,
    /// The largest batch so far.
    largest: u64,
    takers: BTreeMap<u64, Taker>,
    next_taker: u64,
    /// The longest time that a taker took between having a batch, or a place, and asking for the next.
    longest: Duration,
    /// How long the last is waited for, at least.
    patience: Duration,
    ended: bool,
    failed: bool,
}

#[derive(Debug)]
struct Taker {
    /// The number of the batch that it takes next.
    next: u64,
    /// Whether it has asked for that batch, and waits for it.
    asks: bool,
    /// When it had the batch before, or its place.
    moved: Instant,
    thread: ThreadId,
}

#[derive(Debug)]
struct Kept {
    handed: Handed,
    bytes: u64,
    _admitted: Option<Admitted>,
}

/// A batch, and the rows that were left out of it.
#[derive(Clone, Debug)]
pub(crate) struct Handed {
    pub(crate) batch: Batch,
    pub(crate) damaged: Vec<DamagedRow>,
}

/// What a taker gets.
#[derive(Debug)]
pub(crate) enum Taken {
    Batch(Box<Handed>),
    End,
    /// To the taker that met it; the others go on by themselves, and meet it too.
    Failed(PipelineError),
    /// It has lost its place: what it was to take is taken from a stream of its own.
    Left,
}

/// A place among the takers, given up when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    stream: Arc<JointStream>,
    taker: u64,
}

impl JointStream {
    /// A stream of so many epochs whose batches may be kept up to so many bytes, and whose last taker is waited for at least so long.
    pub(crate) fn new(source: Batches, window: u64, epochs: u64, patience: Duration) -> Arc<Self> {
        let monitor = source.monitor();
        let state = State {
            source: Some(source),
            kept: VecDeque::new(),
            first: 0,
            bytes: 0,
            largest: 0,
            takers: BTreeMap::new(),
            next_taker: 0,
            longest: Duration::ZERO,
            patience,
            ended: false,
            failed: false,
        };
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new(), monitor, window, epochs })
    }

    /// A place at the first batch, where that is still to be had.
    pub(crate) fn join(self: &Arc<Self>) -> Option<Place> {
        let mut state = self.lock();
        if state.first > 0 || state.failed {
            return None;
        }
        let taker = state.next_taker;
        state.next_taker += 1;
        let (moved, thread) = (Instant::now(), std::thread::current().id());
        state.takers.insert(taker, Taker { next: 0, asks: false, moved, thread });
        drop(state);
        Some(Place { stream: Arc::clone(self), taker })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What is kept and who takes it is whole whoever panicked beside it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, taker: u64) -> Taken {
        let mut state = self.lock();
        state.paused(taker, Instant::now());
        loop {
            let Some(next) = state.takers.get(&taker).map(|own| own.next) else { return Taken::Left };
            if let Some(kept) = state.kept.get((next - state.first) as usize).map(Arc::clone) {
                state.moved(taker, Instant::now());
                state.forget(self.window / 2);
                drop(state);
                self.changed.notify_all();
                // the last one has it without a copy
                let handed = Arc::try_unwrap(kept).map_or_else(|kept| kept.handed.clone(), |kept| kept.handed);
                return Taken::Batch(Box::new(handed));
            }
            if state.failed {
                state.takers.remove(&taker);
                return Taken::Left;
            }
            if state.ended {
                return Taken::End;
            }
            if state.source.is_none() {
                // another one waits for it
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let now = Instant::now();
            match state.room_in(self.window, now) {
                None => {}
                Some(Duration::ZERO) => {
                    state.leave_last(now);
                    self.changed.notify_all();
                    continue;
                }
                Some(left) => {
                    let waited = self.changed.wait_timeout(state, left);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                    continue;
                }
            }
            let Some(source) = state.source.take() else { continue };
            drop(state);
            let mut pulling = Pulling { stream: self, source: Some(source) };
            let finished = pulling.source.as_mut().and_then(Batches::next_finished);
            let source = pulling.source.take();
            state = self.lock();
            state.source = source;
            match finished {
                None => state.ended = true,
                Some(finished) => match finished.batch {
                    Err(error) => {
                        state.failed = true;
                        state.takers.remove(&taker);
                        drop(state);
                        self.changed.notify_all();
                        return Taken::Failed(error);
                    }
                    Ok(batch) => {
                        let bytes = finished.bytes.as_ref().map_or(0, Admitted::bytes);
                        let handed = Handed { batch, damaged: finished.damaged };
                        state.bytes += bytes;
                        state.largest = state.largest.max(bytes);
                        state.kept.push_back(Arc::new(Kept { handed, bytes, _admitted: finished.bytes }));
                    }
                },
            }
            self.changed.notify_all();
        }
    }
}

impl State {
    /// Notes that a taker asks for its batch, and how long it was away: what it waits from here on is no pause of its own.
    fn paused(&mut self, taker: u64, now: Instant) {
        if let Some(own) = self.takers.get_mut(&taker) {
            own.asks = true;
            self.longest = self.longest.max(now.saturating_duration_since(own.moved));
        }
    }

    fn moved(&mut self, taker: u64, now: Instant) {
        if let Some(own) = self.takers.get_mut(&taker) {
            own.next += 1;
            own.asks = false;
            own.moved = now;
            own.thread = std::thread::current().id();
        }
    }

    /// Gives up what all have taken. The beginning is kept for those that come later, as far as so many bytes go.
    fn forget(&mut self, beginning: u64) {
        if self.first == 0 && self.bytes <= beginning {
            return;
        }
        let last = self.takers.values().map(|taker| taker.next).min().unwrap_or(u64::MAX);
        while self.first < last
            && let Some(kept) = self.kept.pop_front()
        {
            self.first += 1;
            self.bytes -= kept.bytes;
        }
    }

    /// How long to wait until there may be room for one more batch; not at all where there is room.
    fn room_in(&mut self, window: u64, now: Instant) -> Option<Duration> {
        let is_full = |state: &Self| !state.kept.is_empty() && state.bytes.saturating_add(state.largest) > window;
        if is_full(self) {
            self.forget(0);
        }
        if !is_full(self) {
            return None;
        }
        let last = self.takers.values().filter(|taker| taker.next == self.first);
        Some(last.map(|taker| self.patience_left(taker, now)).min().unwrap_or(Duration::ZERO))
    }

    /// How long a taker may still stand where it is.
    fn patience_left(&self, taker: &Taker, now: Instant) -> Duration {
        let patience = self.longest.saturating_mul(2).min(MOST_PATIENCE).max(self.patience);
        if taker.asks {
            return patience;
        }
        // nothing comes of a thread that waits for itself
        if taker.thread == std::thread::current().id() {
            return Duration::ZERO;
        }
        patience.saturating_sub(now.saturating_duration_since(taker.moved))
    }

    /// Takes the places of those behind all others that have stood still for too long.
    fn leave_last(&mut self, now: Instant) {
        let is_left = |taker: &&Taker| taker.next == self.first && self.patience_left(taker, now).is_zero();
        let left: Vec<u64> = self.takers.iter().filter(|(_, taker)| is_left(taker)).map(|(own, _)| *own).collect();
        for own in left {
            self.takers.remove(&own);
        }
        self.forget(0);
    }
}

impl Place {
    /// The next batch of this taker; it waits for it, and for others to make room, for a bounded time.
    pub(crate) fn next(&self) -> Taken {
        self.stream.next(self.taker)
    }

    /// That of the stream.
    pub(crate) fn monitor(&self) -> Monitor {
        self.stream.monitor.clone()
    }

    /// Epochs after which the stream ends.
    pub(crate) fn epochs(&self) -> u64 {
        self.stream.epochs
    }

    /// Lets the others go on without this taker, which has all that it wants.
    pub(crate) fn leave(&self) {
        let mut state = self.stream.lock();
        if state.takers.remove(&self.taker).is_some() {
            state.forget(self.stream.window / 2);
            drop(state);
            self.stream.changed.notify_all();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The stream while it is waited for: where that panics, the others are not left waiting.
struct Pulling<'a> {
    stream: &'a JointStream,
    source: Option<Batches>,
}

impl Drop for Pulling<'_> {
    fn drop(&mut self) {
        if self.source.is_some() {
            self.stream.lock().failed = true;
            self.stream.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// Takers of another thread at some moment: the batch that each takes next, and seconds since it had the one before.
    fn state(takers: &[(u64, u64)]) -> (State, Instant) {
        // so late that there are moments before it, however short a time the machine has run
        let now = Instant::now() + seconds(1000);
        let thread = std::thread::spawn(|| std::thread::current().id()).join().unwrap();
        let taker =
            |(next, since): &(u64, u64)| Taker { next: *next, asks: false, moved: now - seconds(*since), thread };
        let state = State {
            source: None,
            kept: VecDeque::new(),
            first: 0,
            bytes: 0,
            largest: 0,
            takers: (0..).zip(takers.iter().map(taker)).collect(),
            next_taker: takers.len() as u64,
            longest: Duration::ZERO,
            patience: PATIENCE,
            ended: false,
            failed: false,
        };
        (state, now)
    }

    #[test]
    fn patience_does_not_grow_by_waiting_for_others() {
        let (mut state, now) = state(&[(4, 3)]);
        state.paused(0, now);
        // the batch comes nine seconds after it was asked for
        let later = now + seconds(9);
        state.moved(0, later);
        assert_eq!((state.longest, state.takers[&0].next), (seconds(3), 5));
        state.paused(0, later);
        assert_eq!(state.longest, seconds(3));
    }

    #[test]
    fn only_takers_that_stand_still_lose_their_place() {
        let (mut state, now) = state(&[(0, 8), (0, 1), (2, 8), (0, 0)]);
        state.takers.get_mut(&3).unwrap().thread = std::thread::current().id();
        assert_eq!(state.patience_left(&state.takers[&1], now), seconds(4));
        state.leave_last(now);
        assert_eq!(state.takers.keys().copied().collect::<Vec<_>>(), [1, 2]);
        state.longest = seconds(10);
        assert_eq!(state.patience_left(&state.takers[&1], now), seconds(19));
        // whoever waits for its batch does not stand still, on whatever thread it was before
        state.paused(2, now);
        state.takers.get_mut(&2).unwrap().thread = std::thread::current().id();
        assert_eq!(state.patience_left(&state.takers[&2], now), seconds(20));
        // and none is waited for longer than is told, unless that is more
        (state.longest, state.patience) = (seconds(7000), seconds(2));
        assert_eq!(state.patience_left(&state.takers[&2], now), MOST_PATIENCE);
        state.patience = seconds(3600);
        assert_eq!(state.patience_left(&state.takers[&2], now), seconds(3600));
    }
}
