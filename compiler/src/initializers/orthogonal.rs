use millstream_schemas::choice::{Options, above};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::initializer::{Build, InitializerFunction, InitializerKind};
use super::{Fans, WeightRandom};

pub(super) const INITIALIZER: InitializerKind = InitializerKind {
    name: "orthogonal",
    summary: "Rows, or columns where there are fewer, at right angles to each other.",
    documentation: "A. Saxe et al., \"Exact solutions to the nonlinear dynamics of learning in deep linear neural networks\" (2013): \
        the first axis against all others, as a matrix of normal numbers made orthonormal (Gram and Schmidt, twice), times \
        `gain`.",
    samples: &[("{}", 0.058_926), (r#"{"gain": 2}"#, 0.117_851)],
    build: Build::of::<Orthogonal>(),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Orthogonal {
    /// Length of the rows or columns, above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    gain: f64,
}

impl Default for Orthogonal {
    fn default() -> Self {
        Self { gain: 1.0 }
    }
}

impl Options for Orthogonal {
    fn validate(&self) -> Result<(), String> {
        above("gain", self.gain)
    }
}

impl InitializerFunction for Orthogonal {
    fn values(&self, shape: &[usize], _: Fans, random: &mut WeightRandom) -> Vec<f32> {
        let rows = shape.first().copied().unwrap_or(1);
        let columns: usize = shape.iter().skip(1).product();
        let (count, length) = (rows.min(columns), rows.max(columns));
        let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(count);
        while vectors.len() < count {
            let mut vector: Vec<f64> = (0..length).map(|_| random.normal()).collect();
            // what is left of rounding after the first time is taken away by the second
            for known in [&vectors, &vectors].into_iter().flatten() {
                let along = dot(&vector, known);
                vector.iter_mut().zip(known).for_each(|(value, known)| *value -= along * known);
            }
            let norm = dot(&vector, &vector).sqrt();
            if norm > f64::EPSILON {
                vector.iter_mut().for_each(|value| *value /= norm);
                vectors.push(vector);
            }
        }
        let mut values = vec![0.0; rows * columns];
        for (at, value) in values.iter_mut().enumerate() {
            let (row, column) = (at / columns, at % columns);
            let drawn = if rows <= columns { vectors[row][column] } else { vectors[column][row] };
            *value = (drawn * self.gain) as f32;
        }
        values
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_or_columns_are_at_right_angles() {
        let gain = 3.0;
        for shape in [vec![5, 12], vec![12, 5], vec![4, 2, 3], vec![7, 7]] {
            let (rows, columns) = (shape[0], shape[1..].iter().product::<usize>());
            let mut random = WeightRandom::new(3, "w");
            let values = Orthogonal { gain }.values(&shape, Fans::of_dense(columns, rows), &mut random);
            let (count, length) = (rows.min(columns), rows.max(columns));
            let at = |vector: usize, place: usize| {
                let (row, column) = if rows <= columns { (vector, place) } else { (place, vector) };
                f64::from(values[row * columns + column])
            };
            for a in 0..count {
                for b in 0..count {
                    let product: f64 = (0..length).map(|place| at(a, place) * at(b, place)).sum();
                    let wanted = if a == b { gain * gain } else { 0.0 };
                    assert!((product - wanted).abs() < 1e-5, "{shape:?}: {product}");
                }
            }
        }
    }
}
