use super::{Constant, ElementType, Length, TensorType};

/// A small tensor of integers or truth values whose elements are known before the run, as numbers or as expressions over
/// named lengths: what exporters compute with shapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integers {
    /// Element type.
    pub dtype: ElementType,
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The elements, row-major.
    pub elements: Vec<Length>,
}

/// What is known of a value before the run.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// All of it.
    Constant(Constant),
    /// Its elements as expressions.
    Integers(Integers),
}

impl Integers {
    /// Integers of a vector.
    pub fn vector(elements: Vec<Length>) -> Self {
        Self { dtype: ElementType::I64, shape: vec![elements.len()], elements }
    }

    /// The elements of a constant of integers or truth values.
    pub fn of(constant: &Constant) -> Option<Self> {
        let elements = constant.to_i64()?.into_iter().map(Length::number).collect();
        Some(Self { dtype: constant.dtype, shape: constant.shape.clone(), elements })
    }

    /// Its type.
    pub fn tensor_type(&self) -> TensorType {
        TensorType::new(self.dtype, &self.shape)
    }
}
