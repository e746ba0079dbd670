use std::collections::BTreeMap;

use crate::{ResumePoint, RowId};

/// A dense array, row-major, first axis the batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The elements; as many as the product of `shape`.
    pub data: TensorData,
}

/// The elements of a [`Tensor`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TensorData {
    /// 32-bit floating point.
    F32(Vec<f32>),
    /// 64-bit signed integers.
    I64(Vec<i64>),
    /// Text, one string a row.
    Text(Vec<String>),
}

impl Tensor {
    /// A float tensor; `data` must have as many elements as `shape` says.
    pub fn f32(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.iter().product::<usize>(), data.len(), "shape {shape:?} does not fit the data");
        Self { shape, data: TensorData::F32(data) }
    }

    /// The elements, if they are floats.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            TensorData::F32(data) => Some(data),
            _ => None,
        }
    }

    /// The elements, if they are floats.
    pub fn as_f32_mut(&mut self) -> Option<&mut [f32]> {
        match &mut self.data {
            TensorData::F32(data) => Some(data),
            _ => None,
        }
    }

    /// The strings, if it is text.
    pub fn as_text(&self) -> Option<&[String]> {
        match &self.data {
            TensorData::Text(data) => Some(data),
            _ => None,
        }
    }
}

/// What one training step consumes.
///
/// Every batch has the same capacity. A slot without a usable row (the tail of an epoch, or a damaged row under the
/// policy `skip`) has no [`RowId`], zeros in its inputs and zero weight in its targets: the loss, a weighted mean,
/// leaves it out exactly, and graphs of fixed shape need no special last batch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Named inputs, each `[capacity, …]`.
    pub inputs: BTreeMap<String, Tensor>,
    /// Class probabilities `[capacity, classes]`; a row of zeros has no weight in the loss (masked or empty slot).
    pub targets: Tensor,
    /// Class of each slot before any mixing; −1 where unknown.
    pub labels: Vec<i64>,
    /// Where each slot came from; `None` for an empty one.
    pub rows: Vec<Option<RowId>>,
    /// Where to continue after this batch.
    pub resume: ResumePoint,
}

impl Batch {
    /// Slots, empty ones included.
    pub fn capacity(&self) -> usize {
        self.rows.len()
    }

    /// Slots that hold a row.
    pub fn len(&self) -> usize {
        self.rows.iter().flatten().count()
    }

    /// Whether no slot holds a row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
