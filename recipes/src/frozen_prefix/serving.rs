use std::sync::Arc;

use millstream_schemas::{Batch, Tensor, TensorData, TensorEntry, TensorRole, TensorSpec};

use super::activations::Activations;
use super::padded::PaddedRows;
use super::row_index::RowIndex;
use crate::{Opened, RecipeError, RowSource};

/// What is kept of rows with the draws of a variant.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    /// Of each row.
    Rows(Arc<Activations>),
    /// Of each row at each length, as far as it was met.
    Padded(PaddedRows),
}

/// Puts what is kept into batches.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    border: Vec<TensorEntry>,
    targets: Vec<TensorSpec>,
    index: RowIndex,
    /// Of each variant of the rows; the epoch e has that of e mod so many.
    variants: Vec<Option<Kept>>,
}

impl Serving {
    /// Nothing of any variant yet.
    pub(crate) fn of(opened: &Opened, source: &RowSource, border: &[TensorEntry], variants: u64) -> Self {
        Self {
            border: border.to_vec(),
            targets: opened.spec.of_role(TensorRole::Target).cloned().collect(),
            index: RowIndex::of(&source.dataset),
            variants: vec![None; usize::try_from(variants).unwrap_or(usize::MAX).max(1)],
        }
    }

    pub(crate) fn index(&self) -> &RowIndex {
        &self.index
    }

    /// Of which variant an epoch's rows are.
    pub(crate) fn variant_of(&self, epoch: u64) -> usize {
        usize::try_from(epoch % self.variants.len() as u64).unwrap_or(0)
    }

    pub(crate) fn lacks(&self, variant: usize) -> bool {
        self.variants[variant].is_none()
    }

    /// Whether a variant is still to come.
    pub(crate) fn lacks_any(&self) -> bool {
        self.variants.iter().any(Option::is_none)
    }

    pub(crate) fn take(&mut self, variant: usize, kept: Kept) {
        self.variants[variant] = Some(kept);
    }

    /// Takes what is the same for all variants.
    pub(crate) fn take_for_all(&mut self, kept: &Kept) {
        self.variants.fill(Some(kept.clone()));
    }

    /// Damaged rows, and the first whose input cannot be used, with the reason.
    pub(crate) fn left_out(&self) -> (u64, Option<String>) {
        let of_variant = |kept: &Kept| match kept {
            Kept::Rows(all) => {
                let (rows, first) = all.left_out();
                (rows, first.map(str::to_owned))
            }
            // a row that cannot be used is left out when it is read
            Kept::Padded(_) => (0, None),
        };
        let most = self.variants.iter().flatten().map(of_variant).max_by_key(|(rows, _)| *rows);
        most.unwrap_or_default()
    }

    /// Gives a batch the tensors at the border. Rows that were left out as damaged are left out of it too.
    ///
    /// # Errors
    /// A file cannot be read, or ONNX Runtime fails.
    pub(crate) fn serve(&self, mut batch: Batch) -> Result<Batch, RecipeError> {
        // where to go on after it is in the epoch behind where it is an epoch's last
        let epoch = batch.resume.epoch - u64::from(batch.resume.position == 0);
        let kept = self.variants[self.variant_of(epoch)].as_ref();
        let kept = match kept.expect("it is filled before its first batch is taken") {
            Kept::Rows(kept) => kept,
            Kept::Padded(rows) => return rows.serve(batch),
        };
        let numbers: Vec<usize> = self.border.iter().map(of_row).collect();
        let slots = batch.capacity();
        let mut tensors: Vec<Tensor> = self.border.iter().map(|entry| zeros(entry, slots)).collect();
        let mut row = vec![0.0; numbers.iter().sum()];
        for slot in 0..slots {
            let place = batch.rows[slot].as_ref().map(|id| self.index.place(id));
            let read = kept.read(place.map(|place| place.unwrap_or(usize::MAX)), &mut row);
            let is_there = read.map_err(RecipeError::io("read", "the activations of the frozen prefix"))?;
            let mut rest = row.as_slice();
            for (tensor, numbers) in tensors.iter_mut().zip(&numbers) {
                let (own, others) = rest.split_at(*numbers);
                let values = tensor.as_f32_mut().expect("they were just made of floats");
                values[slot * numbers..(slot + 1) * numbers].copy_from_slice(own);
                rest = others;
            }
            if !is_there {
                self.leave_out(&mut batch, slot);
            }
        }
        batch.tensors.extend(self.border.iter().map(|entry| entry.name.clone()).zip(tensors));
        Ok(batch)
    }

    /// Makes a slot an empty one.
    fn leave_out(&self, batch: &mut Batch, slot: usize) {
        batch.rows[slot] = None;
        batch.weights[slot] = 0.0;
        let slots = batch.rows.len();
        for spec in &self.targets {
            let Some(tensor) = batch.tensors.get_mut(&spec.name) else { continue };
            let elements = tensor.data.len() / slots.max(1);
            let range = slot * elements..(slot + 1) * elements;
            match &mut tensor.data {
                TensorData::F32(values) => values[range].fill(0.0),
                TensorData::I64(values) => values[range].fill(spec.padding),
                TensorData::U8(values) => values[range].fill(0),
                _ => {}
            }
            if let Some(lengths) = batch.lengths.get_mut(&spec.name) {
                lengths[slot] = 0;
            }
        }
    }
}

/// Numbers of a row.
fn of_row(entry: &TensorEntry) -> usize {
    entry.shape.iter().skip(1).filter_map(millstream_schemas::AxisLength::fixed).product()
}

fn zeros(entry: &TensorEntry, slots: usize) -> Tensor {
    let of_row = entry.shape.iter().skip(1).filter_map(millstream_schemas::AxisLength::fixed);
    let shape: Vec<usize> = std::iter::once(slots).chain(of_row).collect();
    let values = millstream_schemas::Buffer::<f32>::zeros(shape.iter().product());
    Tensor::f32(shape, values)
}
