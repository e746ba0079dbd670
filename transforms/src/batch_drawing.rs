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
    /// Carries the steps out. Slots without a row stay as they are. Bytes are pixels, and become the nearest bytes.
    ///
    /// # Errors
    /// A tensor that is neither floats nor bytes (text cannot be mixed) or whose rows differ in length, or a drawing for a batch of another capacity.
    pub fn apply(&self, batch: &mut Batch) -> Result<(), TransformError> {
        for DrawnBatchStep { transform, step } in &self.steps {
            let refused = |message: String| TransformError::Batch { transform: transform.to_string(), message };
            let BatchStep::Mix { weight, partners } = step;
            check_partners(partners, *weight, batch.capacity()).map_err(refused)?;
            if let Some(name) = batch.lengths.keys().next() {
                return Err(refused(format!("rows of `{}` have lengths of their own, and are not mixed", shown(name))));
            }
            for (name, tensor) in &batch.tensors {
                let can_be_mixed = matches!(tensor.data, TensorData::F32(_) | TensorData::U8(_));
                if !can_be_mixed || tensor.data.len() % partners.len().max(1) != 0 {
                    let message =
                        format!("tensor `{name}` is not a tensor of {} rows of floats or pixels", partners.len());
                    return Err(refused(message));
                }
            }
            let (own, rest) = (*weight, 1.0 - *weight);
            for tensor in batch.tensors.values_mut() {
                match &mut tensor.data {
                    TensorData::F32(values) => mix(values, partners, |a, b| own * a + rest * b),
                    TensorData::U8(values) => {
                        mix(values, partners, |a, b| (own * f32::from(a) + rest * f32::from(b) + 0.5) as u8);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
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
fn mix<T: Copy>(values: &mut [T], partners: &[usize], mixed: impl Fn(T, T) -> T) {
    let width = values.len() / partners.len().max(1);
    let blend = |own: &mut [T], other: &[T]| {
        own.iter_mut().zip(other).for_each(|(own, other)| *own = mixed(*own, *other));
    };
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
                blend(&mut values[slot * width..][..width], &first);
                break;
            }
            let (low, high) = values.split_at_mut(slot.max(partner) * width);
            let (low, high) = (&mut low[slot.min(partner) * width..][..width], &mut high[..width]);
            if slot < partner {
                blend(low, high)
            } else {
                blend(high, low)
            }
            slot = partner;
        }
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
        mix(&mut after, &partners, |own, other| 0.75 * own + 0.25 * other);
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
