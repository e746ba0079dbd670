use std::ops::RangeInclusive;

use crate::graph::{Attribute, Constant, ElementType};

/// An example of an operator, run by the checks of its shape rule and its gradient.
#[derive(Clone)]
pub struct Sample {
    /// What is special about it.
    pub name: &'static str,
    /// The operator's inputs.
    pub inputs: Vec<SampleInput>,
    /// Its attributes.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Number of outputs; gradients are checked through the first.
    pub outputs: usize,
    /// Opsets that know this form.
    pub opsets: RangeInclusive<i64>,
}

/// An input of a [`Sample`].
#[derive(Clone)]
pub enum SampleInput {
    /// Floats of this shape, drawn evenly from the range; the gradient with respect to them is checked.
    Varied {
        /// Length of each axis.
        shape: Vec<usize>,
        /// Smallest and largest value.
        range: (f32, f32),
    },
    /// A constant; no gradient flows to it.
    Fixed(Constant),
    /// An optional input left out.
    Absent,
}

impl Sample {
    /// A sample with one output.
    pub fn new(name: &'static str, inputs: Vec<SampleInput>, attributes: Vec<(&'static str, Attribute)>) -> Self {
        Self { name, inputs, attributes, outputs: 1, opsets: 13..=25 }
    }

    /// The same, with several outputs.
    #[must_use]
    pub fn with_outputs(self, outputs: usize) -> Self {
        Self { outputs, ..self }
    }

    /// The same, only from this opset on.
    #[must_use]
    pub fn since(self, opset: i64) -> Self {
        let opsets = opset..=*self.opsets.end();
        Self { opsets, ..self }
    }

    /// The same, only up to this opset.
    #[must_use]
    pub fn until(self, opset: i64) -> Self {
        let opsets = *self.opsets.start()..=opset;
        Self { opsets, ..self }
    }
}

/// Floats in −1 to 1 whose gradient is checked.
pub fn varied(shape: &[usize]) -> SampleInput {
    SampleInput::Varied { shape: shape.to_vec(), range: (-1.0, 1.0) }
}

/// Floats in a range whose gradient is checked.
pub fn varied_in(shape: &[usize], low: f32, high: f32) -> SampleInput {
    SampleInput::Varied { shape: shape.to_vec(), range: (low, high) }
}

/// Truth values.
pub fn fixed_truths(shape: &[usize], values: &[bool]) -> SampleInput {
    let bytes: Vec<u8> = values.iter().map(|value| u8::from(*value)).collect();
    SampleInput::Fixed(Constant { dtype: ElementType::Bool, shape: shape.to_vec(), bytes: bytes.into() })
}

/// A vector of integers.
pub fn fixed_integers(values: &[i64]) -> SampleInput {
    SampleInput::Fixed(Constant::i64([values.len()], values))
}

/// A whole number, without axes.
pub fn fixed_integer(value: i64) -> SampleInput {
    SampleInput::Fixed(Constant::i64([], &[value]))
}

/// Integers of a shape.
pub fn fixed_integers_of(shape: &[usize], values: &[i64]) -> SampleInput {
    SampleInput::Fixed(Constant::i64(shape, values))
}

/// Floats of a shape; no gradient flows to them.
pub fn fixed_floats(shape: &[usize], values: &[f32]) -> SampleInput {
    SampleInput::Fixed(Constant::f32(shape, values))
}
