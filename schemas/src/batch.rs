use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Buffer, ResumePoint, RowId};

/// What the elements of a tensor are; serializes as ONNX names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ElementType {
    /// 32-bit floating point.
    #[serde(rename = "float32")]
    F32,
    /// 64-bit floating point.
    #[serde(rename = "float64")]
    F64,
    /// 16-bit floating point (IEEE 754), as bits.
    #[serde(rename = "float16")]
    F16,
    /// 16-bit floating point with the exponent of 32-bit ones, as bits.
    #[serde(rename = "bfloat16")]
    Bf16,
    /// Bytes.
    #[serde(rename = "uint8")]
    U8,
    /// 32-bit signed integers.
    #[serde(rename = "int32")]
    I32,
    /// 64-bit signed integers.
    #[serde(rename = "int64")]
    I64,
    /// Truth values, a byte each: 0 or 1.
    #[serde(rename = "bool")]
    Bool,
    /// Text.
    #[serde(rename = "string")]
    Text,
}

impl ElementType {
    /// As ONNX names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::U8 => "uint8",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::Bool => "bool",
            Self::Text => "string",
        }
    }

    /// Bytes of an element; of text, those of an empty one.
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::Bool => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
            Self::Text => size_of::<String>(),
        }
    }
}

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
    F32(Buffer<f32>),
    /// 64-bit floating point.
    F64(Buffer<f64>),
    /// 16-bit floating point (IEEE 754), as bits.
    F16(Buffer<u16>),
    /// 16-bit floating point with the exponent of 32-bit ones, as bits.
    Bf16(Buffer<u16>),
    /// Bytes.
    U8(Buffer<u8>),
    /// 32-bit signed integers.
    I32(Buffer<i32>),
    /// 64-bit signed integers.
    I64(Buffer<i64>),
    /// Truth values: 0 or 1.
    Bool(Buffer<u8>),
    /// Text.
    Text(Vec<String>),
}

impl TensorData {
    /// What the elements are.
    pub fn element_type(&self) -> ElementType {
        match self {
            Self::F32(_) => ElementType::F32,
            Self::F64(_) => ElementType::F64,
            Self::F16(_) => ElementType::F16,
            Self::Bf16(_) => ElementType::Bf16,
            Self::U8(_) => ElementType::U8,
            Self::I32(_) => ElementType::I32,
            Self::I64(_) => ElementType::I64,
            Self::Bool(_) => ElementType::Bool,
            Self::Text(_) => ElementType::Text,
        }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(data) => data.len(),
            Self::F64(data) => data.len(),
            Self::F16(data) | Self::Bf16(data) => data.len(),
            Self::U8(data) | Self::Bool(data) => data.len(),
            Self::I32(data) => data.len(),
            Self::I64(data) => data.len(),
            Self::Text(data) => data.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Tensor {
    /// A float tensor.
    ///
    /// # Panics
    /// If `data` does not have as many elements as `shape` says.
    pub fn f32(shape: impl Into<Vec<usize>>, data: impl Into<Buffer<f32>>) -> Self {
        Self::new(shape, TensorData::F32(data.into()))
    }

    /// A tensor of integers.
    ///
    /// # Panics
    /// If `data` does not have as many elements as `shape` says.
    pub fn i64(shape: impl Into<Vec<usize>>, data: impl Into<Buffer<i64>>) -> Self {
        Self::new(shape, TensorData::I64(data.into()))
    }

    /// A tensor of any elements.
    ///
    /// # Panics
    /// If `data` does not have as many elements as `shape` says.
    pub fn new(shape: impl Into<Vec<usize>>, data: TensorData) -> Self {
        let shape = shape.into();
        assert_eq!(shape.iter().product::<usize>(), data.len(), "shape {shape:?} does not fit the data");
        Self { shape, data }
    }

    /// What the elements are.
    pub fn element_type(&self) -> ElementType {
        self.data.element_type()
    }

    /// The elements, if they are 32-bit floats.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            TensorData::F32(data) => Some(data),
            _ => None,
        }
    }

    /// The elements, if they are 32-bit floats.
    pub fn as_f32_mut(&mut self) -> Option<&mut [f32]> {
        match &mut self.data {
            TensorData::F32(data) => Some(data),
            _ => None,
        }
    }

    /// The elements, if they are 64-bit integers.
    pub fn as_i64(&self) -> Option<&[i64]> {
        match &self.data {
            TensorData::I64(data) => Some(data),
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

/// The tensor that the model's output is held against, as training steps call it.
pub const TARGETS: &str = "targets";

/// What stands for the first class in the targets of boxes where a box is around a crowd; the number of each further class is one less.
pub const CROWD: i64 = -2;

/// What a tensor of a batch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TensorRole {
    /// An input of the model.
    Input,
    /// What its output is held against.
    Target,
}

/// What a tensor of every batch of a stream is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: TensorRole,
    /// What its elements are.
    pub element_type: ElementType,
    /// Length of each axis behind the first, which is the batch; `None` where it differs from batch to batch, as long as
    /// the longest row.
    pub shape: Vec<Option<usize>>,
    /// The most elements that a row can have.
    pub most_elements: usize,
    /// What shorter rows are filled up with, and, of integers, empty slots.
    pub padding: i64,
    /// A length that differs from batch to batch is a multiple of this, up to the most.
    pub multiple_of: usize,
    /// The tensor whose rows are as long as those of this one, where lengths differ from batch to batch and another has them
    /// first: the tokens of a mask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_long_as: Option<String>,
}

impl TensorSpec {
    /// A tensor whose rows all have this shape: an input, until somebody says otherwise, whose padding is 0.
    pub fn fixed(name: impl Into<String>, element_type: ElementType, shape: &[usize]) -> Self {
        Self {
            name: name.into(),
            role: TensorRole::Input,
            element_type,
            shape: shape.iter().copied().map(Some).collect(),
            most_elements: shape.iter().copied().fold(1, usize::saturating_mul),
            padding: 0,
            multiple_of: 1,
            as_long_as: None,
        }
    }

    /// The most entries that a row can have along the axis whose length differs from batch to batch; nothing where none does.
    pub fn longest(&self) -> Option<usize> {
        let of_entry: usize = self.shape.iter().flatten().product();
        self.shape.contains(&None).then(|| self.most_elements / of_entry.max(1))
    }
}

/// What every batch of a stream holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchSpec {
    /// Slots.
    pub capacity: usize,
    /// The tensors, inputs first.
    pub tensors: Vec<TensorSpec>,
}

impl BatchSpec {
    /// The tensor of a name.
    pub fn get(&self, name: &str) -> Option<&TensorSpec> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// The tensors of a role.
    pub fn of_role(&self, role: TensorRole) -> impl Iterator<Item = &TensorSpec> {
        self.tensors.iter().filter(move |tensor| tensor.role == role)
    }
}

/// What one training step consumes: named tensors, as a [`BatchSpec`] describes them.
///
/// Every batch has the same capacity. A slot without a usable row (the tail of an epoch, or a damaged row under the
/// policy `skip`) has no [`RowId`], zeros in its tensors (the padding in those of integers, and in inputs whose rows have lengths of their own a copy of the
/// first row) and weight zero: the loss, a weighted mean, leaves it out exactly, and graphs of fixed shape need no special last batch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// By name, inputs and targets alike, each `[capacity, …]`.
    pub tensors: BTreeMap<String, Tensor>,
    /// Of tensors whose rows have lengths of their own, by name, how long each slot's row was before it was filled up.
    pub lengths: BTreeMap<String, Vec<usize>>,
    /// How much each slot counts in the loss: 0 for an empty slot and for a row without a target.
    pub weights: Vec<f32>,
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

    /// What the model's output is held against: the tensor [`TARGETS`].
    pub fn targets(&self) -> Option<&Tensor> {
        self.tensors.get(TARGETS)
    }

    /// The class of a slot by a tensor of class probabilities `[capacity, classes, …]`: the highest, the first of equals; or
    /// by one of the numbers of classes `[capacity]`. `None` where the slot has weight zero, or there is no such tensor.
    pub fn class(&self, tensor: &str, slot: usize) -> Option<usize> {
        let tensor = self.tensors.get(tensor)?;
        let known = *self.weights.get(slot)? > 0.0;
        if let (Some(numbers), [_]) = (tensor.as_i64(), tensor.shape.as_slice()) {
            return numbers.get(slot).and_then(|class| usize::try_from(*class).ok()).filter(|_| known);
        }
        let classes = tensor.shape.get(1..)?.iter().product();
        let row = tensor.as_f32()?.chunks_exact(std::cmp::max(classes, 1)).nth(slot)?;
        let highest = (0..row.len()).reduce(|best, index| if row[index] > row[best] { index } else { best });
        highest.filter(|_| known)
    }
}
