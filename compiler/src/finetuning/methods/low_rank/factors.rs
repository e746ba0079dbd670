use super::super::linear_weight::LinearMap;
use crate::graph::Constant;

/// Two factors of low rank beside a weight: s·A·B, whatever the form is that the weight is stored in.
///
/// A weight is seen as one matrix `[outputs, columns]` for each group; a linear map has one group and its inputs as columns, a
/// convolution the elements of a window of its group. A table of embeddings is a linear map of its rows.
#[derive(Clone, Debug)]
pub(in super::super) struct Factors {
    pub(in super::super) map: LinearMap,
    pub(in super::super) rank: usize,
    /// s.
    pub(in super::super) scale: f64,
}

impl Factors {
    /// Shapes of A and B: `[inputs, rank]` and `[rank, outputs]`; of a convolution a kernel to `rank` channels for each
    /// group, and one of length 1 from those to the outputs.
    pub(in super::super) fn shapes(&self) -> [Vec<usize>; 2] {
        let rank = self.rank;
        match &self.map {
            LinearMap::Dense { inputs, outputs, .. } => [vec![*inputs, rank], vec![rank, *outputs]],
            LinearMap::Convolution { outputs, inputs_in_a_group, kernel, groups } => [
                [&[groups.saturating_mul(rank), *inputs_in_a_group], kernel.as_slice()].concat(),
                [vec![*outputs, rank], vec![1; kernel.len()]].concat(),
            ],
        }
    }

    pub(super) fn groups(&self) -> usize {
        match &self.map {
            LinearMap::Dense { .. } => 1,
            LinearMap::Convolution { groups, .. } => *groups,
        }
    }

    /// Numbers that one output is made of.
    pub(in super::super) fn columns(&self) -> usize {
        match &self.map {
            LinearMap::Dense { inputs, .. } => *inputs,
            LinearMap::Convolution { inputs_in_a_group, kernel, .. } => {
                inputs_in_a_group * kernel.iter().product::<usize>()
            }
        }
    }

    pub(in super::super) fn outputs(&self) -> usize {
        match &self.map {
            LinearMap::Dense { outputs, .. } | LinearMap::Convolution { outputs, .. } => *outputs,
        }
    }

    pub(super) fn outputs_in_a_group(&self) -> usize {
        self.outputs() / self.groups().max(1)
    }

    /// What the stored weight is multiplied by where it is used.
    pub(super) fn weight_factor(&self) -> f64 {
        match &self.map {
            LinearMap::Dense { factor, .. } => f64::from(*factor),
            LinearMap::Convolution { .. } => 1.0,
        }
    }

    /// Whether the weight is stored with its outputs first.
    pub(super) fn is_outputs_first(&self) -> bool {
        !matches!(&self.map, LinearMap::Dense { is_transposed: false, .. })
    }

    pub(super) fn weight_at(&self, output: usize, column: usize) -> usize {
        if self.is_outputs_first() { output * self.columns() + column } else { column * self.outputs() + output }
    }

    pub(super) fn a_at(&self, group: usize, k: usize, column: usize) -> usize {
        match &self.map {
            LinearMap::Dense { .. } => column * self.rank + k,
            LinearMap::Convolution { .. } => (group * self.rank + k) * self.columns() + column,
        }
    }

    pub(super) fn b_at(&self, output: usize, k: usize) -> usize {
        match &self.map {
            LinearMap::Dense { outputs, .. } => k * outputs + output,
            LinearMap::Convolution { .. } => output * self.rank + k,
        }
    }

    /// The weights of an output as they are used: those stored, and what A and B (`[a, b]`) add to them.
    pub(in super::super) fn row(&self, own: &[f32], [a, b]: [&[f32]; 2], output: usize) -> Vec<f64> {
        let group = output / self.outputs_in_a_group().max(1);
        let of_output: Vec<f64> = (0..self.rank).map(|k| f64::from(b[self.b_at(output, k)])).collect();
        let product = |column: usize| -> f64 {
            of_output.iter().enumerate().map(|(k, b)| f64::from(a[self.a_at(group, k, column)]) * b).sum()
        };
        let used = |column: usize| f64::from(own[self.weight_at(output, column)]) * self.weight_factor();
        (0..self.columns()).map(|column| used(column) + self.scale * product(column)).collect()
    }

    /// The weight with what A and B add to it, each output's part multiplied by its `gain`, in the form that it is stored in.
    pub(in super::super) fn merged(
        &self,
        own: &Constant,
        factors: [&[f32]; 2],
        gain: impl Fn(usize, &[f64]) -> f64,
    ) -> Constant {
        let mut values = floats(own);
        let stored = values.clone();
        for output in 0..self.outputs() {
            let row = self.row(&stored, factors, output);
            let factor = gain(output, &row) / self.weight_factor();
            for (column, value) in row.iter().enumerate() {
                values[self.weight_at(output, column)] = (value * factor) as f32;
            }
        }
        Constant::f32(own.shape.clone(), &values)
    }

    /// The weight without what A and B add, so that with them it is what it was.
    pub(in super::super) fn without(&self, own: &Constant, factors: [&[f32]; 2]) -> Constant {
        let less = Self { scale: -self.scale, ..self.clone() };
        less.merged(own, factors, |_, _| 1.0)
    }
}

/// The numbers of a weight.
pub(in super::super) fn floats(constant: &Constant) -> Vec<f32> {
    constant.to_f32().expect("weights of layers are 32-bit floats")
}
