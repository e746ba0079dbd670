//! Shorthands for nodes that gradient rules write often; they hide how opsets spell them.

use super::{Attribute, Constant, ElementType, Graph, ValueId};
use crate::CompilerError;

type Emitted = Result<ValueId, CompilerError>;

impl Graph {
    /// a + b, broadcast.
    pub fn plus(&mut self, a: ValueId, b: ValueId) -> Emitted {
        self.add("Add", &[a, b], &[])
    }

    /// a − b, broadcast.
    pub fn minus(&mut self, a: ValueId, b: ValueId) -> Emitted {
        self.add("Sub", &[a, b], &[])
    }

    /// a · b, broadcast.
    pub fn times(&mut self, a: ValueId, b: ValueId) -> Emitted {
        self.add("Mul", &[a, b], &[])
    }

    /// a / b, broadcast.
    pub fn divided_by(&mut self, a: ValueId, b: ValueId) -> Emitted {
        self.add("Div", &[a, b], &[])
    }

    /// A float scalar.
    pub fn scalar(&mut self, value: f32) -> ValueId {
        self.constant("scalar", Constant::f32([], &[value]))
    }

    /// A vector of integers.
    pub fn integers(&mut self, values: &[i64]) -> ValueId {
        self.constant("integers", Constant::i64([values.len()], values))
    }

    /// Sums over `axes`.
    pub fn reduce_sum(&mut self, value: ValueId, axes: &[i64], keep: bool) -> Emitted {
        let axes = self.integers(axes);
        self.add("ReduceSum", &[value, axes], &[("keepdims", i64::from(keep).into())])
    }

    /// The mean over `axes`, which stay with length one.
    pub fn reduce_mean(&mut self, value: ValueId, axes: &[i64]) -> Emitted {
        if self.opset < 18 {
            return self.add("ReduceMean", &[value], &[("axes", Attribute::Ints(axes.to_vec()))]);
        }
        let axes = self.integers(axes);
        self.add("ReduceMean", &[value, axes], &[])
    }

    /// Reads the same elements as another shape.
    pub fn reshape(&mut self, value: ValueId, shape: &[usize]) -> Emitted {
        if self.shape(value)? == shape {
            return Ok(value);
        }
        let shape: Vec<i64> = shape.iter().map(|length| *length as i64).collect();
        let shape = self.integers(&shape);
        self.add("Reshape", &[value, shape], &[])
    }

    /// Axes in another order.
    pub fn transpose(&mut self, value: ValueId, order: &[i64]) -> Emitted {
        self.add("Transpose", &[value], &[("perm", Attribute::Ints(order.to_vec()))])
    }

    /// Another element type.
    pub fn cast(&mut self, value: ValueId, dtype: ElementType) -> Emitted {
        self.add("Cast", &[value], &[("to", i64::from(dtype.to_onnx()).into())])
    }

    /// A part of a value: `start`, `end`, `step` for each of `axes`.
    pub fn slice(&mut self, value: ValueId, axes: &[i64], starts: &[i64], ends: &[i64], steps: &[i64]) -> Emitted {
        let [starts, ends, axes, steps] = [starts, ends, axes, steps].map(|values| self.integers(values));
        self.add("Slice", &[value, starts, ends, axes, steps], &[])
    }

    /// Repeats a value along axes of length one (or new leading axes) up to a shape.
    pub fn expand(&mut self, value: ValueId, shape: &[usize]) -> Emitted {
        let shape: Vec<i64> = shape.iter().map(|length| *length as i64).collect();
        let shape = self.integers(&shape);
        self.add("Expand", &[value, shape], &[])
    }

    /// Adds zeros around a value, this many before and after on each axis.
    pub fn pad(&mut self, value: ValueId, before: &[i64], after: &[i64]) -> Emitted {
        let pads: Vec<i64> = before.iter().chain(after).copied().collect();
        if pads.iter().all(|pad| *pad == 0) {
            return Ok(value);
        }
        let pads = self.integers(&pads);
        self.add("Pad", &[value, pads], &[])
    }

    /// Joins values along an axis.
    pub fn concat(&mut self, values: &[ValueId], axis: i64) -> Emitted {
        match values {
            [only] => Ok(*only),
            _ => self.add("Concat", values, &[("axis", axis.into())]),
        }
    }

    /// Floats, all zero.
    pub fn zeros(&mut self, shape: &[usize]) -> Emitted {
        let shape: Vec<i64> = shape.iter().map(|length| *length as i64).collect();
        let shape = self.integers(&shape);
        self.add("ConstantOfShape", &[shape], &[])
    }
}
