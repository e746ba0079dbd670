use millstream_pipeline::{Batches, Dataset, StreamOptions};
use millstream_schemas::{Batch, BatchSpec, ResumePoint, TensorData, TensorRole};
use millstream_training::PrefixRunner;

use super::activations::Activations;
use super::row_index::RowIndex;
use crate::{RecipeError, Stop};

/// Rows whose activations are computed: always in this order and in these batches, whoever asks for them, since the sums of a row may
/// depend on where it stands in a batch.
pub(crate) struct Filling<'a> {
    pub(crate) dataset: &'a Dataset,
    pub(crate) options: StreamOptions,
    /// The epoch whose draws are taken.
    pub(crate) epoch: u64,
    /// Batches that are taken.
    pub(crate) batches: u64,
    /// What batches hold.
    pub(crate) spec: &'a BatchSpec,
}

impl Filling<'_> {
    /// Computes them; `false` when it was asked to stop before that was done. `told` is told the rows done.
    ///
    /// # Errors
    /// A row is damaged under the policy `fail`, ONNX Runtime fails, or a file cannot be written.
    pub(crate) fn fill(
        self,
        runner: &mut PrefixRunner,
        index: &RowIndex,
        into: &mut Activations,
        stop: &Stop,
    ) -> Result<bool, RecipeError> {
        let Self { dataset, options, epoch, batches, spec } = self;
        let written = || RecipeError::io("write", "the activations of the frozen prefix");
        let from = ResumePoint {
            version: ResumePoint::VERSION,
            seed: options.seed,
            epoch,
            position: 0,
            dataset: dataset.fingerprint_with(&options.encoders.columns_of(TensorRole::Target))?,
            recipe: options.fingerprint(),
        };
        let mut stream = Batches::open(dataset, options, Some(&from))?;
        let (mut last, mut values) = (None, Vec::new());
        for _ in 0..batches {
            let Some(batch) = stream.next().transpose()? else { break };
            if stop.is_requested() {
                return Ok(false);
            }
            let (batch, border) = runner.run(batch)?;
            for slot in 0..batch.capacity() {
                let Some(place) = batch.rows[slot].as_ref().and_then(|row| index.place(row)) else { continue };
                gather(&border, slot, batch.capacity(), &mut values);
                into.put(place, &values).map_err(written())?;
            }
            last = Some(batch);
        }
        let left_out =
            (stream.counters().damaged_rows, stream.first_unreadable().map(|(row, damage)| format!("{row}: {damage}")));
        drop(stream);
        match last {
            Some(mut batch) => {
                clear(&mut batch, spec);
                let (batch, border) = runner.run(batch)?;
                gather(&border, 0, batch.capacity(), &mut values);
            }
            // where there is no row, no slot is served
            None => values = vec![0.0; into.numbers()],
        }
        into.finish(&values, left_out).map_err(written())?;
        Ok(true)
    }
}

/// What the border holds of a slot.
fn gather(border: &[Vec<f32>], slot: usize, slots: usize, values: &mut Vec<f32>) {
    values.clear();
    for tensor in border {
        let of_row = tensor.len() / slots.max(1);
        values.extend(&tensor[slot * of_row..(slot + 1) * of_row]);
    }
}

/// Makes all slots empty ones, as the stream makes them where rows are of one length.
fn clear(batch: &mut Batch, spec: &BatchSpec) {
    for (name, tensor) in &mut batch.tensors {
        match &mut tensor.data {
            TensorData::F32(values) => values.fill(0.0),
            TensorData::I64(values) => values.fill(spec.get(name).map_or(0, |tensor| tensor.padding)),
            TensorData::U8(values) => values.fill(0),
            _ => {}
        }
    }
}
