use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use millstream_schemas::Fingerprint;

use super::activations::Activations;

/// Activations that runs of one process have in common, by all that decides them. Clones are the same.
#[derive(Clone)]
pub(crate) struct PrefixStore(Arc<Inner>);

struct Inner {
    /// Bytes in memory above which what no run uses is given up.
    memory: u64,
    /// Used last comes last.
    kept: Mutex<Vec<(Fingerprint, Slot)>>,
}

/// Locked while it is filled, so that each is computed once.
type Slot = Arc<Mutex<Option<Arc<Activations>>>>;

impl fmt::Debug for PrefixStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrefixStore").field("memory", &self.0.memory).finish_non_exhaustive()
    }
}

impl PrefixStore {
    pub(crate) fn new(memory: u64) -> Self {
        Self(Arc::new(Inner { memory, kept: Mutex::default() }))
    }

    /// What is kept under a key, or what `make` makes; nothing where that makes nothing. Another run that wants the same waits.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn get<E>(
        &self,
        key: &Fingerprint,
        make: impl FnOnce() -> Result<Option<Activations>, E>,
    ) -> Result<Option<Arc<Activations>>, E> {
        let slot = self.slot(key);
        let mut filled = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(activations) = &*filled {
            return Ok(Some(Arc::clone(activations)));
        }
        let Some(made) = make()? else { return Ok(None) };
        let made = Arc::clone(filled.insert(Arc::new(made)));
        drop(filled);
        self.give_up();
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

    /// Drops what no run uses: files that do not stay, and what was not used for longest as long as too much is held.
    fn give_up(&self) {
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes_of = |slot: &Slot| match slot.try_lock() {
            Ok(filled) => filled.as_ref().map_or((0, true, false), |own| {
                (own.bytes_held(), Arc::strong_count(own) > 1, own.is_in_passing_file())
            }),
            // it is being filled
            Err(_) => (0, true, false),
        };
        let mut held: u64 = kept.iter().map(|(_, slot)| bytes_of(slot).0).sum();
        let memory = self.0.memory;
        kept.retain(|(_, slot)| {
            let (bytes, is_used, is_passing) = bytes_of(slot);
            let stays = is_used || (held <= memory && !is_passing);
            held = held.saturating_sub(if stays { 0 } else { bytes });
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
            store.get(&key, make).unwrap().unwrap()
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
        assert!(store.get(&Fingerprint::default(), || Ok::<_, ()>(None)).unwrap().is_none());
    }
}
