use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use millstream_schemas::Fingerprint;
use millstream_schemas::recipe::ByteSize;

use super::activations::Activations;
use super::held_bytes::HeldBytes;
use super::padded::PaddedActivations;
use crate::{RecipeError, Stop};

/// Where a recipe says what is kept.
pub(super) const PLACE: &str = "training.frozen_prefix";
/// How often one that waits looks whether it is to stop.
const PAUSE: Duration = Duration::from_millis(100);

/// Activations that runs of one process have in common, by all that decides them. Clones are the same.
#[derive(Clone)]
pub(crate) struct PrefixStore(Arc<Inner>);

struct Inner {
    /// Bytes in memory that all of them take together at most.
    memory: u64,
    /// Where files that do not stay lie as long as the process works, where runs come one after the other.
    files: Option<PathBuf>,
    /// Whether each run has a thread of its own, so that one can wait for another to end.
    may_wait: bool,
    /// Used last comes last.
    kept: Mutex<Vec<(Fingerprint, Arc<Slot>)>>,
    /// Of rows that have lengths of their own; used last comes last.
    padded: Mutex<Vec<(Fingerprint, Arc<PaddedActivations>)>>,
    /// What runs that are there hold or will hold in memory.
    reserved: Mutex<Reserved>,
    /// Told whenever a run gives that back.
    released: Condvar,
    /// Bytes in memory that all of them could take together so far.
    most: AtomicU64,
    held: Arc<HeldBytes>,
}

#[derive(Debug, Default)]
struct Reserved {
    /// Bytes by key, each with the number of runs that use it.
    held: Vec<(Fingerprint, u64, usize)>,
    /// Runs that wait, who came first in front.
    waiting: VecDeque<u64>,
    /// The number of the next one that waits.
    next: u64,
}

impl Reserved {
    fn bytes(&self) -> u64 {
        self.held.iter().fold(0_u64, |sum, (_, bytes, _)| sum.saturating_add(*bytes))
    }

    fn has(&self, key: &Fingerprint) -> bool {
        self.held.iter().any(|(known, ..)| known == key)
    }

    /// Bytes that are reserved under a key.
    fn of(&self, key: &Fingerprint) -> u64 {
        self.held.iter().find(|(known, ..)| known == key).map_or(0, |(_, bytes, _)| *bytes)
    }

    /// The place of one that is to wait behind all others.
    fn queue(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting.push_back(number);
        number
    }

    /// Whether nobody who came before waits.
    fn is_next(&self, place: Option<u64>) -> bool {
        self.waiting.front().copied() == place
    }

    fn add(&mut self, key: &Fingerprint, bytes: u64) {
        match self.held.iter_mut().find(|(known, ..)| known == key) {
            Some((_, known, runs)) => (*known, *runs) = ((*known).max(bytes), *runs + 1),
            None => self.held.push((key.clone(), bytes, 1)),
        }
    }

    fn remove(&mut self, key: &Fingerprint) {
        self.held.iter_mut().filter(|(known, ..)| known == key).for_each(|(_, _, runs)| *runs -= 1);
        self.held.retain(|(_, _, runs)| *runs > 0);
    }
}

/// A run's part in the memory of a store; given back when dropped.
pub(crate) struct Reservation {
    store: PrefixStore,
    keys: Vec<Fingerprint>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut reserved = lock(&self.store.0.reserved);
        self.keys.iter().for_each(|key| reserved.remove(key));
        drop(reserved);
        self.store.0.released.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // lists and counts are whole whoever panicked beside them
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Slot {
    /// Locked while it is filled, so that each is computed once.
    filled: Mutex<Option<Arc<Activations>>>,
    /// Bytes in files that do not stay, once it is filled: they count from before the first is written.
    promised: AtomicU64,
}

impl Slot {
    /// Bytes in memory and in files that do not stay, and whether a run uses it.
    fn bytes(&self) -> ([u64; 2], bool) {
        let filled = match self.filled.try_lock() {
            Ok(filled) => filled,
            Err(TryLockError::Poisoned(filled)) => filled.into_inner(),
            // it is being filled
            Err(TryLockError::WouldBlock) => return ([0, self.promised.load(Ordering::Relaxed)], true),
        };
        filled
            .as_ref()
            .map_or(([0, 0], true), |own| ([own.bytes_held(), own.bytes_in_passing_file()], Arc::strong_count(own) > 1))
    }
}

/// What a run allows for what is kept, used or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Bytes in memory.
    pub(crate) memory: u64,
    /// Bytes in files that do not stay.
    pub(crate) disk: u64,
}

impl fmt::Debug for PrefixStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.0.held.now();
        f.debug_struct("PrefixStore").field("memory", &self.0.memory).field("held", &held).finish_non_exhaustive()
    }
}

impl PrefixStore {
    pub(crate) fn new(memory: u64) -> Self {
        Self::of(memory, None, false)
    }

    /// For runs each of which has a thread of its own, as trials of a search: files that do not stay lie in this folder, until the last
    /// clone is gone, and a run that finds no room in memory waits until there is some.
    pub(crate) fn with_files_in(memory: u64, folder: PathBuf) -> Self {
        Self::of(memory, Some(folder), true)
    }

    fn of(memory: u64, files: Option<PathBuf>, may_wait: bool) -> Self {
        Self(Arc::new(Inner {
            memory,
            files,
            may_wait,
            kept: Mutex::default(),
            padded: Mutex::default(),
            reserved: Mutex::default(),
            released: Condvar::new(),
            most: AtomicU64::new(0),
            held: Arc::default(),
        }))
    }

    /// Whether it has a ceiling that several runs are under.
    pub(crate) fn is_shared(&self) -> bool {
        self.0.memory < u64::MAX
    }

    /// Bytes in memory that all of them may take together; a run whose recipe allows more has that.
    pub(crate) fn memory(&self) -> u64 {
        self.0.memory
    }

    /// Where files that do not stay lie, where runs have a place in common.
    pub(crate) fn files(&self) -> Option<&Path> {
        self.0.files.as_deref()
    }

    /// Bytes in memory that all of them could take together so far.
    pub(crate) fn most(&self) -> u64 {
        self.0.most.load(Ordering::Relaxed)
    }

    /// Bytes in memory.
    pub(crate) fn held(&self) -> &HeldBytes {
        &self.0.held
    }

    /// Keeps room in memory for what a run will hold, all at once, so that no run that holds some of it waits for more; what several runs
    /// use counts once. `room` are the bytes that this run allows for all. Where there is none, a run with a thread of its own waits until
    /// others end, behind those that came before it, and says so by `told`; one that cannot wait and can do without (not `is_needed`) has
    /// nothing, and says that.
    ///
    /// # Errors
    /// There is no room and it cannot wait, or it was asked to stop before there was.
    pub(crate) fn reserve(
        &self,
        wanted: &[(Fingerprint, u64)],
        room: u64,
        is_needed: bool,
        stop: &Stop,
        told: &mut dyn FnMut(String),
    ) -> Result<Option<Reservation>, RecipeError> {
        let (inner, most) = (&*self.0, self.0.memory.max(room));
        let mut reserved = lock(&inner.reserved);
        let mut place = None;
        loop {
            let others = reserved.bytes();
            let more = wanted.iter().map(|(key, bytes)| bytes.saturating_sub(reserved.of(key)));
            let more = more.fold(0_u64, u64::saturating_add);
            // what is there for others already takes the room of nobody who waits
            let is_there = more == 0 && wanted.iter().all(|(key, _)| reserved.has(key));
            let fits = others == 0 || others.saturating_add(more) <= most;
            if is_there || (fits && reserved.is_next(place)) {
                break;
            }
            let message = {
                let [more, others, most] = [more, others, most].map(ByteSize);
                match fits {
                    true => {
                        format!("what this one keeps takes {more}, and a run that came before it waits for that room")
                    }
                    false => format!(
                        "what runs at the same time keep takes {others}, this one's takes {more} more, and there are {most} for all of them"
                    ),
                }
            };
            // who can wait does, so that what a trial keeps, and gives in its last bits, does not depend on which came first
            if !is_needed && !inner.may_wait {
                told(format!("{PLACE}: {message}: of this one it is run at each step"));
                return Ok(None);
            }
            if !inner.may_wait {
                return Err(RecipeError::mismatch(
                    PLACE,
                    format!(
                        "{message}; open it once others have ended, open fewer at a time, or let them share more memory (a \
                         quarter of it is for what is kept)"
                    ),
                ));
            }
            if stop.is_requested() {
                self.leave_queue(&mut reserved, place);
                return Err(RecipeError::Stopped);
            }
            if place.is_none() {
                place = Some(reserved.queue());
                told(format!("{PLACE}: {message}: this one waits until others end"));
            }
            reserved = inner.released.wait_timeout(reserved, PAUSE).unwrap_or_else(PoisonError::into_inner).0;
        }
        self.leave_queue(&mut reserved, place);
        inner.most.fetch_max(most, Ordering::Relaxed);
        wanted.iter().for_each(|(key, bytes)| reserved.add(key, *bytes));
        self.make_room(&reserved, most);
        drop(reserved);
        Ok(Some(Reservation { store: self.clone(), keys: wanted.iter().map(|(key, _)| key.clone()).collect() }))
    }

    /// Lets who waits behind one that waits no more look again.
    fn leave_queue(&self, reserved: &mut Reserved, place: Option<u64>) {
        if place.is_some() {
            reserved.waiting.retain(|other| Some(*other) != place);
            self.0.released.notify_all();
        }
    }

    /// Drops what no run uses, what was not used for longest first, as long as it takes more than what is reserved leaves.
    fn make_room(&self, reserved: &Reserved, most: u64) {
        let (mut kept, mut padded) = (lock(&self.0.kept), lock(&self.0.padded));
        // of what is reserved counts too what it holds beyond that
        let beyond = |key: &Fingerprint, bytes: u64| bytes.saturating_sub(reserved.of(key));
        let of_padded = padded.iter().map(|(key, own)| beyond(key, own.bytes_held()));
        let of_kept = kept.iter().map(|(key, slot)| beyond(key, slot.bytes().0[0]));
        let mut held = of_padded.chain(of_kept).fold(reserved.bytes(), u64::saturating_add);
        let mut stays = |key: &Fingerprint, bytes: u64, is_used: bool| {
            let is_kept = held <= most || is_used || bytes == 0 || reserved.has(key);
            held -= if is_kept { 0 } else { bytes };
            is_kept
        };
        padded.retain(|(key, own)| stays(key, own.bytes_held(), Arc::strong_count(own) > 1));
        kept.retain(|(key, slot)| {
            let ([bytes, _], is_used) = slot.bytes();
            stays(key, bytes, is_used)
        });
    }

    /// Those of rows that have lengths of their own, under a key; from now on at most so many bytes of them, or as many as a run that uses
    /// them was promised. A run without room (`most` is none) has some of its own that hold nothing: what it used of others' would outlive
    /// their promises, and it would fill them with rows that they do not ask for.
    pub(crate) fn padded(&self, key: &Fingerprint, most: Option<u64>) -> Arc<PaddedActivations> {
        let Some(most) = most else { return Arc::new(PaddedActivations::new(0, &self.0.held)) };
        let mut padded = lock(&self.0.padded);
        let own = match padded.iter().position(|(known, _)| known == key) {
            Some(at) => {
                let own = padded.remove(at).1;
                own.limit(most, Arc::strong_count(&own) > 1);
                own
            }
            None => Arc::new(PaddedActivations::new(most, &self.0.held)),
        };
        padded.push((key.clone(), Arc::clone(&own)));
        own
    }

    /// What is kept under a key, or what `make` makes; nothing where that makes nothing. Another run that wants the same waits. `needed` are
    /// the bytes that `make` writes into a file that does not stay: what no run uses makes room for them before it begins, and it is told how
    /// many bytes more than there is room for are in use or being written then.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn get<E>(
        &self,
        key: &Fingerprint,
        room: Room,
        needed: u64,
        make: impl FnOnce(u64) -> Result<Option<Activations>, E>,
    ) -> Result<Option<Arc<Activations>>, E> {
        let slot = self.slot(key);
        let mut filled = lock(&slot.filled);
        if let Some(activations) = &*filled {
            return Ok(Some(Arc::clone(activations)));
        }
        slot.promised.store(needed, Ordering::Relaxed);
        let beyond = self.give_up(room);
        let Some(made) = make(if needed > 0 { beyond } else { 0 })? else { return Ok(None) };
        let made = Arc::clone(filled.insert(Arc::new(made.counted_in(&self.0.held))));
        drop(filled);
        self.give_up(room);
        Ok(Some(made))
    }

    fn slot(&self, key: &Fingerprint) -> Arc<Slot> {
        let mut kept = lock(&self.0.kept);
        let slot = match kept.iter().position(|(known, _)| known == key) {
            Some(at) => kept.remove(at).1,
            None => Arc::default(),
        };
        kept.push((key.clone(), Arc::clone(&slot)));
        slot
    }

    /// Drops what no run uses: what was not used for longest as long as too much is held, and files that do not stay at once where runs
    /// have no place for them in common. Gives by how many bytes more is in a common place than there is room for.
    fn give_up(&self, room: Room) -> u64 {
        let mut kept = lock(&self.0.kept);
        let most = [self.0.memory.max(room.memory), if self.0.files.is_some() { room.disk } else { 0 }];
        let all = kept.iter().map(|(_, slot)| slot.bytes().0);
        let mut held = all.fold([0_u64; 2], |sum, own| [sum[0].saturating_add(own[0]), sum[1].saturating_add(own[1])]);
        kept.retain(|(_, slot)| {
            let (own, is_used) = slot.bytes();
            let is_too_much = (0..2).any(|at| own[at] > 0 && held[at] > most[at]);
            let stays = is_used || !is_too_much;
            if !stays {
                held = [0, 1].map(|at| held[at].saturating_sub(own[at]));
            }
            stays
        });
        if self.0.files.is_some() { held[1].saturating_sub(room.disk) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::activations::Places;
    use super::super::activations_file::Contents;
    use super::*;

    #[test]
    fn each_is_made_once_and_what_nobody_uses_makes_room() {
        let store = PrefixStore::new(100);
        let mut made = Vec::new();
        let mut get = |key: &str| {
            let key = Fingerprint::of_bytes(key.as_bytes());
            let contents = Contents { key: key.clone(), rows: 10, numbers: 1 };
            let make = |_: u64| {
                made.push(key.0.clone());
                let mut all = Activations::open(&contents, Places { memory: 1000, file: None })?;
                (0..10).try_for_each(|row| all.put(row, &[0.5]))?;
                Ok::<_, std::io::Error>(Some(all))
            };
            store.get(&key, Room { memory: 0, disk: 0 }, 0, make).unwrap().unwrap()
        };
        let first = get("a");
        assert!(Arc::ptr_eq(&first, &get("a")));
        // 40 bytes each: of three that were made two stay, and one of them is in use
        for key in ["b", "c", "a", "c", "b"] {
            get(key);
        }
        let short: Vec<&str> = made.iter().map(|key| &key[..2]).collect();
        let [a, b, c] = ["a", "b", "c"].map(|key| Fingerprint::of_bytes(key.as_bytes()).0[..2].to_owned());
        assert_eq!(short, [a, b.clone(), c, b]);
        assert!(
            store
                .get(&Fingerprint::default(), Room { memory: 0, disk: 0 }, 0, |_| Ok::<_, ()>(None))
                .unwrap()
                .is_none()
        );
    }

    /// Whether one that wants these bytes under these keys has them at once.
    fn asked(store: &PrefixStore, wanted: &[(&str, u64)]) -> Option<Reservation> {
        let wanted: Vec<_> =
            wanted.iter().map(|(key, bytes)| (Fingerprint::of_bytes(key.as_bytes()), *bytes)).collect();
        // one that would wait is asked to stop
        let stop = Stop::default();
        stop.request();
        store.reserve(&wanted, 0, true, &stop, &mut |_| {}).ok().flatten()
    }

    #[test]
    fn what_runs_at_the_same_time_hold_is_never_more_than_there_is_room_for() {
        let folder = tempfile::tempdir().unwrap();
        for store in [PrefixStore::new(100), PrefixStore::with_files_in(100, folder.path().join("activations"))] {
            let fill = |key: &str| {
                let key = Fingerprint::of_bytes(key.as_bytes());
                let contents = Contents { key: key.clone(), rows: 10, numbers: 1 };
                let made = store.get(&key, Room { memory: 0, disk: 0 }, 0, |_| {
                    let mut all = Activations::open(&contents, Places { memory: 1000, file: None })?;
                    (0..10).try_for_each(|row| all.put(row, &[0.5]))?;
                    Ok::<_, std::io::Error>(Some(all))
                });
                made.unwrap().unwrap()
            };
            let first = (asked(&store, &[("a", 40), ("b", 40)]).unwrap(), fill("a"), fill("b"));
            // the same counts once, and what is more does not fit
            let second = (asked(&store, &[("b", 40)]).unwrap(), fill("b"));
            assert!(asked(&store, &[("b", 40), ("c", 40)]).is_none());
            drop(first);
            // `a` makes room, since nobody uses it; `b` does not
            let third = (asked(&store, &[("c", 40)]).unwrap(), fill("c"));
            assert!(asked(&store, &[("a", 40)]).is_none());
            drop((second, third));
            let padded = asked(&store, &[("d", 90)]).unwrap();
            assert!(store.held().now() <= 10, "{:?}", store.held());
            drop(padded);
            // alone it goes on whatever it takes, as a run without others does
            assert!(asked(&store, &[("e", 101)]).is_some());
            assert_eq!(store.held().peak(), 80);
        }
    }

    #[test]
    fn a_trial_that_finds_no_room_waits_until_another_ends() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrefixStore::with_files_in(100, folder.path().join("activations"));
        let first = asked(&store, &[("a", 60)]).unwrap();
        let (told, is_told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let wanted = [(Fingerprint::of_bytes(b"b"), 60)];
                let told = told;
                let mut told = |message| told.send(message).unwrap();
                store.reserve(&wanted, 0, true, &Stop::default(), &mut told).is_ok_and(|own| own.is_some())
            });
            let message: String = is_told.recv().unwrap();
            let wanted = "and there are 100 B for all of them: this one waits until others end";
            assert!(message.ends_with(wanted), "{message}");
            assert!(!waiting.is_finished());
            drop(first);
            assert!(waiting.join().unwrap());
        });
    }

    #[test]
    fn who_waits_for_much_has_it_before_those_that_came_later_for_little() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrefixStore::with_files_in(100, folder.path().join("activations"));
        let first = asked(&store, &[("a", 60)]).unwrap();
        let (told, is_told) = std::sync::mpsc::channel();
        let said = &Mutex::new(Vec::new());
        // whether one could do without does not matter where it can wait
        let wait = |key: &'static str, bytes: u64, is_needed: bool| {
            let (store, told) = (store.clone(), told.clone());
            move || {
                let wanted = [(Fingerprint::of_bytes(key.as_bytes()), bytes)];
                let mut say = |message: String| {
                    lock(said).push(message);
                    told.send(key).unwrap();
                };
                let own = store.reserve(&wanted, 0, is_needed, &Stop::default(), &mut say).unwrap().unwrap();
                told.send(key).unwrap();
                own
            }
        };
        std::thread::scope(|scope| {
            let much = scope.spawn(wait("much", 90, true));
            assert_eq!(is_told.recv().unwrap(), "much");
            // there would be room for it
            let little = scope.spawn(wait("little", 30, false));
            assert_eq!(is_told.recv().unwrap(), "little");
            // what is there already takes nobody's room
            let same = asked(&store, &[("a", 60)]).unwrap();
            // it would have room but for the one that waits: no numbers say that it has none
            let wanted =
                "keeps takes 30 B, and a run that came before it waits for that room: this one waits until others end";
            let all = lock(said).clone();
            assert!(all.len() == 2 && all[1].ends_with(wanted), "{all:?}");
            assert!(!little.is_finished());
            drop((first, same));
            assert_eq!(is_told.recv().unwrap(), "much");
            assert!(!little.is_finished());
            drop(much.join().unwrap());
            assert_eq!(is_told.recv().unwrap(), "little");
            drop(little.join().unwrap());
        });
    }

    #[test]
    fn runs_that_come_one_after_the_other_find_the_files_of_those_before_them_within_the_room_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrefixStore::with_files_in(0, folder.path().join("activations"));
        let files = store.files().unwrap().to_owned();
        let (mut made, mut most) = (0, 0);
        let mut get = |key: &str, disk: u64| {
            let key = Fingerprint::of_bytes(key.as_bytes());
            let contents = Contents { key: key.clone(), rows: 10, numbers: 1 };
            let places = Places { memory: 0, file: Some((&files, false)) };
            let make = |beyond: u64| {
                assert_eq!(beyond, 0);
                made += 1;
                let mut all = Activations::open(&contents, places)?;
                all.finish(&[0.0], (0, None))?;
                most = most.max(std::fs::read_dir(&files)?.count());
                Ok::<_, std::io::Error>(Some(all))
            };
            let needed = Activations::bytes_of_passing_file(&contents, places);
            store.get(&key, Room { memory: 0, disk }, needed, make).unwrap().unwrap();
            made
        };
        // 44 bytes each
        assert_eq!(["a", "b", "a", "b"].map(|key| get(key, 88)), [1, 2, 2, 2]);
        assert_eq!(["c", "b", "a"].map(|key| get(key, 88)), [3, 3, 4]);
        // nor were there more while one was written
        assert_eq!((std::fs::read_dir(&files).unwrap().count(), most), (2, 2));
        drop(store);
        assert!(!files.exists());
    }

    #[test]
    fn files_of_two_trials_that_are_written_at_the_same_time_count_for_each_other_and_what_is_too_much_is_told() {
        for (disk, wanted) in [(88, [0_u64, 0]), (60, [0, 28])] {
            let folder = tempfile::tempdir().unwrap();
            let store = PrefixStore::with_files_in(0, folder.path().join("activations"));
            let files = store.files().unwrap().to_owned();
            // 44 bytes each
            let open = |key: &Fingerprint| {
                let contents = Contents { key: key.clone(), rows: 10, numbers: 1 };
                let mut all = Activations::open(&contents, Places { memory: 0, file: Some((&files, false)) })?;
                all.finish(&[0.0], (0, None))?;
                Ok::<_, std::io::Error>(Some(all))
            };
            let [before, one, other] = ["before", "one", "other"].map(|key| Fingerprint::of_bytes(key.as_bytes()));
            let room = Room { memory: 0, disk };
            store.get(&before, room, 44, |_| open(&before)).unwrap().unwrap();
            let mut told = [u64::MAX; 2];
            let [of_one, of_other] = &mut told;
            let made = store.get(&one, room, 44, |beyond| {
                *of_one = beyond;
                // another trial begins before a byte of this one is written
                let made = store.get(&other, room, 44, |beyond| {
                    *of_other = beyond;
                    open(&other)
                })?;
                assert!(made.is_some());
                assert_eq!(std::fs::read_dir(&files)?.count(), 1, "what no run uses made no room");
                open(&one)
            });
            assert!(made.unwrap().is_some());
            assert_eq!(told, wanted, "{disk}");
        }
    }
}
