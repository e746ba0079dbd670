use std::borrow::Cow;
use std::fmt;

use millstream_schemas::{Batch, TensorData, shown};
use serde::{Deserialize, Serialize};

use crate::error::TransformError;

/// One thing that happens to a batch, with exact parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum BatchStep {
    /// Every slot becomes `weight` × itself + (1 − `weight`) × its partner, inputs and targets alike.
    Mix {
        /// Share of a slot's own row, 0 to 1.
        weight: f32,
        /// For each slot the slot it is mixed with; itself for those left alone. Each slot occurs once.
        partners: Vec<usize>,
    },
}

/// A step, and the transform that drew it. Displays as a caption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawnBatchStep {
    /// Registered name of the transform.
    pub transform: Cow<'static, str>,
    /// What happens.
    pub step: BatchStep,
}

impl fmt::Display for DrawnBatchStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BatchStep::Mix { weight, .. } = &self.step;
        write!(f, "{} {weight:.2} : {:.2}", self.transform, 1.0 - weight)
    }
}

/// Everything that happens to one batch. JSON and back is exact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchDrawing {
    /// In order.
    pub steps: Vec<DrawnBatchStep>,
}

impl BatchDrawing {
    /// Carries the steps out. Slots without a row stay as they are.
    ///
    /// # Errors
    /// A tensor that is not f32 (text cannot be mixed) or whose rows differ in length, or a drawing for a batch of another capacity.
    pub fn apply(&self, batch: &mut Batch) -> Result<(), TransformError> {
        for DrawnBatchStep { transform, step } in &self.steps {
            let refused = |message: String| TransformError::Batch { transform: transform.to_string(), message };
            let BatchStep::Mix { weight, partners } = step;
            check_partners(partners, *weight, batch.capacity()).map_err(refused)?;
            if let Some(name) = batch.lengths.keys().next() {
                return Err(refused(format!("rows of `{}` have lengths of their own, and are not mixed", shown(name))));
            }
            for (name, tensor) in &batch.tensors {
                if !matches!(tensor.data, TensorData::F32(_)) || tensor.data_len() % partners.len().max(1) != 0 {
                    return Err(refused(format!("tensor `{name}` is not a float tensor of {} rows", partners.len())));
                }
            }
            for tensor in batch.tensors.values_mut() {
                if let Some(values) = tensor.as_f32_mut() {
                    mix(values, *weight, partners);
                }
            }
        }
        Ok(())
    }
}

trait DataLength {
    fn data_len(&self) -> usize;
}

impl DataLength for millstream_schemas::Tensor {
    fn data_len(&self) -> usize {
        self.as_f32().map_or(0, <[f32]>::len)
    }
}

fn check_partners(partners: &[usize], weight: f32, capacity: usize) -> Result<(), String> {
    if partners.len() != capacity {
        return Err(format!("drawn for {} slots, and the batch has {capacity}", partners.len()));
    }
    let mut seen = vec![false; capacity];
    for partner in partners {
        match seen.get_mut(*partner) {
            Some(seen) if !*seen => *seen = true,
            _ => return Err(format!("slot {partner} is not there, or is partner twice")),
        }
    }
    if (0.0..=1.0).contains(&weight) { Ok(()) } else { Err(format!("weight is between 0 and 1, got {weight}")) }
}

/// Mixes rows in place; one row is kept aside for each cycle of the permutation.
fn mix(values: &mut [f32], weight: f32, partners: &[usize]) {
    let width = values.len() / partners.len().max(1);
    let rest = 1.0 - weight;
    let mut done = vec![false; partners.len()];
    for start in 0..partners.len() {
        if done[start] || partners[start] == start || width == 0 {
            continue;
        }
        let first = values[start * width..][..width].to_vec();
        let mut slot = start;
        loop {
            done[slot] = true;
            let partner = partners[slot];
            if partner == start {
                blend(&mut values[slot * width..][..width], &first, weight, rest);
                break;
            }
            let (low, high) = values.split_at_mut(slot.max(partner) * width);
            let (low, high) = (&mut low[slot.min(partner) * width..][..width], &mut high[..width]);
            if slot < partner {
                blend(low, high, weight, rest)
            } else {
                blend(high, low, weight, rest)
            }
            slot = partner;
        }
    }
}

fn blend(own: &mut [f32], other: &[f32], weight: f32, rest: f32) {
    for (own, other) in own.iter_mut().zip(other) {
        *own = weight * *own + rest * other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_mix_with_rows_as_they_were() {
        let before: Vec<f32> = (0..10).map(|value| value as f32).collect();
        let partners = [3, 1, 0, 4, 2];
        let mut after = before.clone();
        mix(&mut after, 0.75, &partners);
        for slot in 0..5 {
            for column in 0..2 {
                let wanted = 0.75 * before[slot * 2 + column] + 0.25 * before[partners[slot] * 2 + column];
                assert_eq!(after[slot * 2 + column], wanted, "{slot}");
            }
        }
    }

    #[test]
    fn a_drawing_that_does_not_fit_is_refused() {
        assert!(check_partners(&[0, 0], 0.5, 2).is_err());
        assert!(check_partners(&[1, 2], 0.5, 2).is_err());
        assert!(check_partners(&[1, 0], 0.5, 3).is_err());
        assert!(check_partners(&[1, 0], f32::NAN, 2).is_err());
        assert!(check_partners(&[1, 0], 0.5, 2).is_ok());
    }
}
