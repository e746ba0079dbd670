use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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
    kept: Mutex<Vec<(Fingerprint, Slot)>>,
}

/// Locked while it is filled, so that each is computed once.
type Slot = Arc<Mutex<Option<Arc<Activations>>>>;

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
    /// the bytes that `make` writes into a file that does not stay: there is room for them before it begins.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn get<E>(
        &self,
        key: &Fingerprint,
        room: Room,
        needed: u64,
        make: impl FnOnce() -> Result<Option<Activations>, E>,
    ) -> Result<Option<Arc<Activations>>, E> {
        let slot = self.slot(key);
        let mut filled = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(activations) = &*filled {
            return Ok(Some(Arc::clone(activations)));
        }
        self.give_up(Room { disk: room.disk.saturating_sub(needed), ..room });
        let Some(made) = make()? else { return Ok(None) };
        let made = Arc::clone(filled.insert(Arc::new(made)));
        drop(filled);
        self.give_up(room);
        Ok(Some(made))
    }

    fn slot(&self, key: &Fingerprint) -> Slot {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match kept.iter().position(|(known, _)| known == key) {
            Some(at) => kept.remove(at).1,
            None => Slot::default(),
        };
        kept.push((key.clone(), Arc::clone(&slot)));
        slot
    }

    /// Drops what no run uses: what was not used for longest as long as too much is held, and files that do not stay at once where runs
    /// have no place for them in common.
    fn give_up(&self, room: Room) {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes_of = |slot: &Slot| match slot.try_lock() {
            Ok(filled) => filled.as_ref().map_or(([0, 0], true), |own| {
                ([own.bytes_held(), own.bytes_in_passing_file()], Arc::strong_count(own) > 1)
            }),
            // it is being filled
            Err(_) => ([0, 0], true),
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
            let make = || {
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
            store.get(&Fingerprint::default(), Room { memory: 0, disk: 0 }, 0, || Ok::<_, ()>(None)).unwrap().is_none()
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
            let make = || {
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
}
