//! What the frozen part gives of rows that have lengths of their own: by all that it reads of a row.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_compiler::FrozenPrefix;
use millstream_schemas::{Batch, Fingerprint, FingerprintWriter, Tensor, TensorData, TensorEntry};
use millstream_training::PrefixRunner;

use super::held_bytes::{Counted, HeldBytes};
use crate::RecipeError;

/// Bytes that a row takes beside its numbers, about.
pub(super) const BESIDE: u64 = 192;

/// What the border holds of rows, each at the length that its batch is filled up to: sums over a longer row are added up in another
/// order, so that even what a mask leaves out changes the last bits. It is found by the inputs of the row as the batch has them and by the
/// shapes of the batch, whichever row, set or epoch they are of.
#[derive(Debug)]
pub(crate) struct PaddedActivations {
    kept: Mutex<KeptRows>,
}

#[derive(Debug)]
struct KeptRows {
    /// Bytes at most.
    most: u64,
    rows: HashMap<Fingerprint, KeptRow>,
    /// The number of the next one.
    next: u64,
    held: Counted,
}

#[derive(Clone, Debug)]
struct KeptRow {
    /// Of one tensor behind the other.
    values: Arc<[f32]>,
    /// Of the tensors of the batch.
    shapes: Arc<[Vec<usize>]>,
    /// Those that came before it have smaller ones.
    number: u64,
}

impl PaddedActivations {
    /// Nothing of any row yet.
    pub(crate) fn new(most: u64, held: &Arc<HeldBytes>) -> Self {
        let kept = KeptRows { most, rows: HashMap::new(), next: 0, held: Counted::new(held, 0) };
        Self { kept: Mutex::new(kept) }
    }

    /// Keeps at most so many bytes from now on; with `is_used` by others, no fewer than they were promised. What is beyond that is dropped,
    /// what came last first: which rows stay does not depend on the process.
    pub(crate) fn limit(&self, most: u64, is_used: bool) {
        let mut kept = self.lock();
        kept.most = if is_used { kept.most.max(most) } else { most };
        let KeptRows { most, rows, held, .. } = &mut *kept;
        if held.bytes() <= *most {
            return;
        }
        let mut newest: Vec<(u64, Fingerprint)> = rows.iter().map(|(key, row)| (row.number, key.clone())).collect();
        newest.sort_unstable_by_key(|(number, _)| Reverse(*number));
        for (_, key) in newest {
            if held.bytes() <= *most {
                break;
            }
            if let Some(row) = rows.remove(&key) {
                held.remove(bytes_of(row.values.len()));
            }
        }
    }

    /// Bytes in memory.
    pub(crate) fn bytes_held(&self) -> u64 {
        self.lock().held.bytes()
    }

    fn lock(&self) -> MutexGuard<'_, KeptRows> {
        // rows are whole whoever panicked beside them
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tensors at the border of a batch of these rows; nothing where one of them is not there.
    fn border(&self, keys: &[Fingerprint]) -> Option<Vec<Tensor>> {
        let kept = self.lock();
        let rows: Vec<KeptRow> = keys.iter().map(|key| kept.rows.get(key).cloned()).collect::<Option<_>>()?;
        drop(kept);
        let shapes = Arc::clone(&rows.first()?.shapes);
        if rows.iter().any(|row| row.shapes != shapes) {
            return None;
        }
        let mut tensors = Vec::with_capacity(shapes.len());
        let mut from = 0;
        for shape in shapes.iter() {
            let until = from + of_row(shape);
            let mut values = Vec::with_capacity((until - from) * rows.len());
            rows.iter().for_each(|row| values.extend_from_slice(&row.values[from..until]));
            tensors.push(Tensor::f32(shape.clone(), values));
            from = until;
        }
        Some(tensors)
    }

    /// Keeps what was computed of a batch, as far as there is room.
    fn put(&self, keys: &[Fingerprint], border: &[Tensor]) {
        let shapes: Arc<[Vec<usize>]> = border.iter().map(|tensor| tensor.shape.clone()).collect();
        let numbers: usize = shapes.iter().map(|shape| of_row(shape)).sum();
        let bytes = bytes_of(numbers);
        let mut kept = self.lock();
        let KeptRows { most, rows, next, held } = &mut *kept;
        for (slot, key) in keys.iter().enumerate() {
            if rows.contains_key(key) {
                continue;
            }
            if held.bytes().saturating_add(bytes) > *most {
                break;
            }
            let mut values = Vec::with_capacity(numbers);
            for tensor in border {
                let of_row = of_row(&tensor.shape);
                let all = tensor.as_f32().unwrap_or_default();
                values.extend_from_slice(all.get(slot * of_row..(slot + 1) * of_row).unwrap_or_default());
            }
            if values.len() == numbers {
                held.add(bytes);
                rows.insert(key.clone(), KeptRow { values: values.into(), shapes: Arc::clone(&shapes), number: *next });
                *next += 1;
            }
        }
    }
}

/// Bytes that a row of so many numbers takes.
fn bytes_of(numbers: usize) -> u64 {
    (4 * numbers as u64).saturating_add(BESIDE)
}

/// Numbers of a row of a tensor.
fn of_row(shape: &[usize]) -> usize {
    shape.iter().skip(1).product()
}

/// Of each slot all that the frozen part reads of it: slots that are alike in it give the same.
fn keys(batch: &Batch, inputs: &[String]) -> Vec<Fingerprint> {
    let of_slot = |slot: usize| {
        let mut bytes = Vec::new();
        for tensor in inputs.iter().filter_map(|name| batch.tensors.get(name)) {
            bytes.extend(tensor.shape.iter().flat_map(|length| (*length as u64).to_le_bytes()));
            let (from, until) = (slot * of_row(&tensor.shape), (slot + 1) * of_row(&tensor.shape));
            match &tensor.data {
                TensorData::F32(values) => {
                    bytes.extend(values[from..until].iter().flat_map(|value| value.to_le_bytes()))
                }
                TensorData::I64(values) => {
                    bytes.extend(values[from..until].iter().flat_map(|value| value.to_le_bytes()))
                }
                TensorData::U8(values) => bytes.extend_from_slice(&values[from..until]),
                // the graph refuses it
                _ => {}
            }
        }
        let mut key = FingerprintWriter::default();
        key.write_all(&bytes).expect("a fingerprint takes all bytes");
        key.finish()
    };
    (0..batch.capacity()).map(of_slot).collect()
}

/// Puts what is kept into batches that hold the inputs too, and computes what is not there.
#[derive(Clone)]
pub(crate) struct PaddedRows {
    kept: Arc<PaddedActivations>,
    runner: Arc<Mutex<PrefixRunner>>,
    inputs: Arc<[String]>,
    border: Arc<[String]>,
    counts: Arc<BatchCounts>,
}

/// Batches of a run that were all there, and those that were run.
#[derive(Debug, Default)]
struct BatchCounts {
    found: AtomicU64,
    run: AtomicU64,
}

impl fmt::Debug for PaddedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaddedRows").field("inputs", &self.inputs).field("border", &self.border).finish_non_exhaustive()
    }
}

impl PaddedRows {
    pub(crate) fn new(kept: Arc<PaddedActivations>, runner: PrefixRunner, prefix: &FrozenPrefix) -> Self {
        let names =
            |entries: &[TensorEntry]| -> Arc<[String]> { entries.iter().map(|entry| entry.name.clone()).collect() };
        let (inputs, border) = (names(prefix.inputs()), names(prefix.border()));
        Self { kept, runner: Arc::new(Mutex::new(runner)), inputs, border, counts: Arc::default() }
    }

    /// Batches that were all there, and those that were run whole.
    pub(crate) fn counts(&self) -> [u64; 2] {
        [&self.counts.found, &self.counts.run].map(|count| count.load(Ordering::Relaxed))
    }

    /// Gives a batch the tensors at the border. One with a row that is not kept is run whole, as it would be without.
    ///
    /// # Errors
    /// ONNX Runtime fails.
    pub(crate) fn serve(&self, batch: Batch) -> Result<Batch, RecipeError> {
        let keys = keys(&batch, &self.inputs);
        let (mut batch, border) = match self.kept.border(&keys) {
            Some(border) => {
                self.counts.found.fetch_add(1, Ordering::Relaxed);
                (batch, border)
            }
            None => {
                self.counts.run.fetch_add(1, Ordering::Relaxed);
                let mut runner = self.runner.lock().unwrap_or_else(PoisonError::into_inner);
                let (batch, border) = runner.tensors(batch)?;
                drop(runner);
                self.kept.put(&keys, &border);
                (batch, border)
            }
        };
        batch.tensors.extend(self.border.iter().cloned().zip(border));
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use millstream_schemas::{ResumePoint, RowId};

    use super::super::store::PrefixStore;
    use super::*;
    use crate::Stop;

    /// Rows of these tokens, as `1 2|3`, filled up to a length.
    fn batch(rows: &str, length: usize) -> Batch {
        let padded = |row: &str| {
            let mut row: Vec<i64> = row.split(' ').map(|token| token.parse().unwrap()).collect();
            row.resize(length, 0);
            row
        };
        let rows: Vec<Vec<i64>> = rows.split('|').map(padded).collect();
        let ids = rows.concat();
        let row = |at: usize| Some(RowId { file: "f".into(), row_group: 0, row: at as u32 });
        Batch {
            tensors: BTreeMap::from([("ids".to_owned(), Tensor::i64([rows.len(), length], ids))]),
            lengths: BTreeMap::new(),
            weights: vec![1.0; rows.len()],
            rows: (0..rows.len()).map(row).collect(),
            resume: ResumePoint {
                version: 1,
                seed: 0,
                epoch: 0,
                position: 0,
                dataset: Fingerprint::default(),
                recipe: Fingerprint::default(),
            },
        }
    }

    /// What the frozen part would give: for each place the token, and for each row how long it is.
    fn border(batch: &Batch) -> Vec<Tensor> {
        let ids = &batch.tensors["ids"];
        let (slots, length) = (ids.shape[0], ids.shape[1]);
        let places: Vec<f32> = ids.as_i64().unwrap().iter().map(|id| *id as f32).collect();
        vec![Tensor::f32([slots, length, 1], places), Tensor::f32([slots, 1], vec![length as f32; slots])]
    }

    #[test]
    fn a_row_is_found_in_any_place_at_the_length_that_it_was_filled_up_to_and_at_no_other() {
        let (inputs, held) = (["ids".to_owned()], Arc::new(HeldBytes::default()));
        let kept = PaddedActivations::new(u64::MAX, &held);
        let (first, second) = (batch("1 2|3", 4), batch("5 6 7|3", 8));
        for one in [&first, &second] {
            assert!(kept.border(&keys(one, &inputs)).is_none());
            kept.put(&keys(one, &inputs), &border(one));
        }
        for (rows, length, is_there) in [
            ("3|1 2", 4, true),
            ("3|3", 4, true),
            ("3|5 6 7", 8, true),
            ("1 2|3", 8, false),
            ("5 6 7|3", 4, false),
            ("3", 4, false),
        ] {
            let asked = batch(rows, length);
            let wanted = is_there.then(|| border(&asked));
            assert_eq!(kept.border(&keys(&asked, &inputs)), wanted, "{rows} at {length}");
        }
        assert_eq!(kept.bytes_held(), 2 * (4 * 5 + BESIDE) + 2 * (4 * 9 + BESIDE));
        assert_eq!((held.now(), held.peak()), (kept.bytes_held(), kept.bytes_held()));
        drop(kept);
        assert_eq!(held.now(), 0);
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let (inputs, held) = (["ids".to_owned()], Arc::new(HeldBytes::default()));
        let kept = PaddedActivations::new(2 * (4 * 5 + BESIDE) + 1, &held);
        for one in [batch("1|2", 4), batch("3|4", 4)] {
            kept.put(&keys(&one, &inputs), &border(&one));
        }
        let is_there = |rows: &str| kept.border(&keys(&batch(rows, 4), &inputs)).is_some();
        assert!(is_there("2|1") && !is_there("3|1"));
        assert_eq!(held.peak(), 2 * (4 * 5 + BESIDE));
        // another run allows more, and one that comes alone after it less
        kept.limit(4 * (4 * 5 + BESIDE), true);
        kept.limit(4 * 5 + BESIDE, true);
        let more = batch("3|4", 4);
        kept.put(&keys(&more, &inputs), &border(&more));
        assert_eq!(kept.bytes_held(), 4 * (4 * 5 + BESIDE));
        kept.limit(4 * 5 + BESIDE, false);
        assert_eq!((kept.bytes_held(), held.now()), (4 * 5 + BESIDE, 4 * 5 + BESIDE));
    }

    #[test]
    fn rows_that_came_first_stay_where_less_is_allowed_whichever_process_it_is() {
        let (inputs, held) = (["ids".to_owned()], Arc::new(HeldBytes::default()));
        let kept = PaddedActivations::new(u64::MAX, &held);
        let names: Vec<String> = (1..=16).map(|token| token.to_string()).collect();
        let all = batch(&names.join("|"), 4);
        kept.put(&keys(&all, &inputs), &border(&all));
        for most in [9, 5, 0] {
            kept.limit(most * (4 * 5 + BESIDE), false);
            // a batch of that row alone, as long as the batch that it came in
            let is_there = |key: Fingerprint| kept.border(&vec![key; 16]).is_some();
            let there: Vec<bool> = keys(&all, &inputs).into_iter().map(is_there).collect();
            let wanted: Vec<bool> = (0..16).map(|at| at < most).collect();
            assert_eq!(there, wanted, "{most}");
        }
        // what is dropped can come again
        kept.limit(u64::MAX, false);
        kept.put(&keys(&all, &inputs), &border(&all));
        assert_eq!(kept.bytes_held(), 16 * (4 * 5 + BESIDE));
    }

    #[test]
    fn a_run_without_room_neither_fills_what_others_were_promised_nor_holds_it_when_they_have_ended() {
        let (inputs, row) = (["ids".to_owned()], 4 * 5 + BESIDE);
        let [first, second] = ["a", "b"].map(|key| Fingerprint::of_bytes(key.as_bytes()));
        let store = PrefixStore::new(2 * row);
        let reserve = |key: &Fingerprint| {
            store.reserve(&[(key.clone(), 2 * row)], 0, true, &Stop::default(), &mut |_| {}).unwrap().unwrap()
        };
        let (more, less) = (batch("1|2", 4), batch("3|4", 4));
        let before = store.padded(&first, None);
        let reserved = reserve(&first);
        let own = store.padded(&first, Some(2 * row));
        let behind = store.padded(&first, None);
        for without in [&before, &behind] {
            without.put(&keys(&less, &inputs), &border(&less));
            assert_eq!((without.bytes_held(), own.bytes_held()), (0, 0));
        }
        own.put(&keys(&more, &inputs), &border(&more));
        assert_eq!(store.held().now(), 2 * row);
        drop((own, reserved));
        let another = reserve(&second);
        // those without room go on
        assert_eq!((store.held().now(), before.bytes_held(), behind.bytes_held()), (0, 0, 0));
        drop(another);
    }
}
