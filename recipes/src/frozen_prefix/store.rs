use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use millstream_schemas::Fingerprint;

use super::activations::Activations;

/// Activations that runs of one process have in common, by all that decides them. Clones are the same.
#[derive(Clone)]
pub(crate) struct PrefixStore(Arc<Inner>);

struct Inner {
    /// Bytes in memory above which what no run uses is given up.
    memory: u64,
    /// Where files that do not stay lie as long as the process works, where runs come one after the other.
    files: Option<PathBuf>,
    /// Used last comes last.
    kept: Mutex<Vec<(Fingerprint, Arc<Slot>)>>,
}

#[derive(Default)]
struct Slot {
    /// Locked while it is filled, so that each is computed once.
    filled: Mutex<Option<Arc<Activations>>>,
    /// Bytes in files that do not stay, once it is filled: they count from before the first is written.
    promised: AtomicU64,
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
        f.debug_struct("PrefixStore").field("memory", &self.0.memory).finish_non_exhaustive()
    }
}

impl PrefixStore {
    pub(crate) fn new(memory: u64) -> Self {
        Self(Arc::new(Inner { memory, files: None, kept: Mutex::default() }))
    }

    /// For runs that come one after the other: files that do not stay lie in this folder, until the last clone is gone.
    pub(crate) fn with_files_in(memory: u64, folder: PathBuf) -> Self {
        Self(Arc::new(Inner { memory, files: Some(folder), kept: Mutex::default() }))
    }

    /// Where files that do not stay lie, where runs have a place in common.
    pub(crate) fn files(&self) -> Option<&Path> {
        self.0.files.as_deref()
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
        let mut filled = slot.filled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(activations) = &*filled {
            return Ok(Some(Arc::clone(activations)));
        }
        slot.promised.store(needed, Ordering::Relaxed);
        let beyond = self.give_up(room);
        let Some(made) = make(if needed > 0 { beyond } else { 0 })? else { return Ok(None) };
        let made = Arc::clone(filled.insert(Arc::new(made)));
        drop(filled);
        self.give_up(room);
        Ok(Some(made))
    }

    fn slot(&self, key: &Fingerprint) -> Arc<Slot> {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
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
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes_of = |slot: &Slot| {
            let filled = match slot.filled.try_lock() {
                Ok(filled) => filled,
                Err(TryLockError::Poisoned(filled)) => filled.into_inner(),
                // it is being filled
                Err(TryLockError::WouldBlock) => return ([0, slot.promised.load(Ordering::Relaxed)], true),
            };
            filled.as_ref().map_or(([0, 0], true), |own| {
                ([own.bytes_held(), own.bytes_in_passing_file()], Arc::strong_count(own) > 1)
            })
        };
        let most = [self.0.memory.max(room.memory), if self.0.files.is_some() { room.disk } else { 0 }];
        let all = kept.iter().map(|(_, slot)| bytes_of(slot).0);
        let mut held = all.fold([0_u64; 2], |sum, own| [sum[0].saturating_add(own[0]), sum[1].saturating_add(own[1])]);
        kept.retain(|(_, slot)| {
            let (own, is_used) = bytes_of(slot);
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
                Ok::<_, std::io::Error>(Some(Activations::open(&contents, Places { memory: 1000, file: None })?))
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
