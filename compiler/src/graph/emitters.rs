//! Shorthands for nodes that gradient rules write often; they hide how opsets spell them.

use super::{Attribute, Constant, ElementType, Graph, Length, ValueId};
use crate::CompilerError;

type Emitted = Result<ValueId, CompilerError>;

/// From this version of the standard operators on reductions take their axes as an input, and `ReduceSum` for longer.
pub(crate) const AXES_INPUT_SINCE: i64 = 18;

/// The version from which on a reduction takes its axes as an input.
pub(crate) fn axes_input_since(operator: &str) -> i64 {
    if operator == "ReduceSum" { 13 } else { AXES_INPUT_SINCE }
}

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

    /// Sums over `axes`. `keep`: the axes stay, with length one.
    pub fn reduce_sum(&mut self, value: ValueId, axes: &[i64], keep: bool) -> Emitted {
        let axes = self.integers(axes);
        self.add("ReduceSum", &[value, axes], &[("keepdims", i64::from(keep).into())])
    }

    /// The mean over `axes`, which stay with length one.
    pub fn reduce_mean(&mut self, value: ValueId, axes: &[i64]) -> Emitted {
        if self.opset < AXES_INPUT_SINCE {
            return self.add("ReduceMean", &[value], &[("axes", Attribute::Ints(axes.to_vec()))]);
        }
        let axes = self.integers(axes);
        self.add("ReduceMean", &[value, axes], &[])
    }

    /// The largest over `axes`. `keep`: the axes stay, with length one.
    pub fn reduce_max(&mut self, value: ValueId, axes: &[i64], keep: bool) -> Emitted {
        let keep = ("keepdims", i64::from(keep).into());
        if self.opset < AXES_INPUT_SINCE {
            return self.add("ReduceMax", &[value], &[keep, ("axes", Attribute::Ints(axes.to_vec()))]);
        }
        let axes = self.integers(axes);
        self.add("ReduceMax", &[value, axes], &[keep])
    }

    /// Reads the same elements as another shape.
    pub fn reshape<L: Into<Length> + Clone>(&mut self, value: ValueId, shape: &[L]) -> Emitted {
        let shape = owned(shape);
        let from = self.shape(value)?.to_vec();
        if from.len() == shape.len() && from.iter().zip(&shape).all(|(have, want)| have.agrees_with(want)) {
            return Ok(value);
        }
        let said = match written(&from, &shape) {
            Some(numbers) => self.integers(&numbers),
            None => self.lengths(&shape)?,
        };
        self.add("Reshape", &[value, said], &[])
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
    pub fn slice<L: Into<Length> + Clone>(
        &mut self,
        value: ValueId,
        axes: &[i64],
        starts: &[L],
        ends: &[L],
        steps: &[i64],
    ) -> Emitted {
        let [starts, ends] = [starts, ends].map(|bounds| self.lengths(&owned(bounds)));
        let [axes, steps] = [axes, steps].map(|values| self.integers(values));
        self.add("Slice", &[value, starts?, ends?, axes, steps], &[])
    }

    /// A part of a value that is known to be in it: `start`, `count`, `step` for each of `axes`.
    pub fn part<L: Into<Length> + Clone>(
        &mut self,
        value: ValueId,
        axes: &[i64],
        starts: &[L],
        counts: &[L],
        steps: &[i64],
    ) -> Emitted {
        let mut made = self.known_type(value)?.clone();
        let (starts, counts) = (owned(starts), owned(counts));
        let mut ends = Vec::with_capacity(axes.len());
        let mut is_open = false;
        for (at, axis) in axes.iter().enumerate() {
            ends.push(&starts[at] + (&counts[at] - 1) * Length::number(steps[at]) + 1);
            let length = made.shape.get_mut(*axis as usize).ok_or_else(|| {
                CompilerError::unsupported(format!("a part along axis {axis}, which is not there"), "name another axis")
            })?;
            is_open |= [&*length, &starts[at], &counts[at]].iter().any(|length| length.as_number().is_none());
            *length = counts[at].clone();
        }
        if !is_open {
            return self.slice(value, axes, &starts, &ends, steps);
        }
        let [starts, ends] = [starts, ends].map(|bounds| self.lengths(&bounds));
        let [axes, steps] = [axes, steps].map(|values| self.integers(values));
        Ok(self.add_stated("Slice", &[value, starts?, ends?, axes, steps], made))
    }

    /// Repeats a value along axes of length one (or new leading axes) up to a shape.
    pub fn expand<L: Into<Length> + Clone>(&mut self, value: ValueId, shape: &[L]) -> Emitted {
        let mut shape = owned(shape);
        let from = self.shape(value)?.to_vec();
        let lead = shape.len().saturating_sub(from.len());
        // an axis that is there already need not be computed
        for (want, have) in shape.iter_mut().skip(lead).zip(&from) {
            if want.as_number().is_none() && want.agrees_with(have) {
                *want = 1.into();
            }
        }
        let shape = self.lengths(&shape)?;
        self.add("Expand", &[value, shape], &[])
    }

    /// Adds zeros around a value, this many before and after on each axis.
    pub fn pad<L: Into<Length> + Clone>(&mut self, value: ValueId, before: &[L], after: &[L]) -> Emitted {
        let pads = [owned(before), owned(after)].concat();
        if pads.iter().all(|pad| *pad == 0) {
            return Ok(value);
        }
        let pads = self.lengths(&pads)?;
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
    pub fn zeros<L: Into<Length> + Clone>(&mut self, shape: &[L]) -> Emitted {
        let shape = self.lengths(&owned(shape))?;
        self.add("ConstantOfShape", &[shape], &[])
    }
}

fn owned<L: Into<Length> + Clone>(lengths: &[L]) -> Vec<Length> {
    lengths.iter().cloned().map(Into::into).collect()
}

/// A shape as `Reshape` reads it, in numbers: those that it has, 0 for a length that stays on its axis, and −1 for one
/// that is left. `None` where more is open.
fn written(from: &[Length], shape: &[Length]) -> Option<Vec<i64>> {
    let open = shape.iter().filter(|length| length.as_number().is_none()).count();
    let mut left = 1;
    let mut numbers = Vec::with_capacity(shape.len());
    for (axis, length) in shape.iter().enumerate() {
        numbers.push(match length.as_number() {
            Some(number) => number,
            None if open > 1 && from.get(axis) == Some(length) => 0,
            None if left == 1 => {
                left = 0;
                -1
            }
            None => return None,
        });
    }
    // 0 would be a copy, and nothing is left over
    let empty = shape.iter().any(|length| *length == 0);
    let exact = || from.iter().product::<Length>().agrees_with(&shape.iter().product());
    (open == 0 || !empty && exact()).then_some(numbers)
}
