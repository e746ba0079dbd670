//! Masks of dropout: drawn anew for each batch, from the seed and the batch's place among the updates alone.

use millstream_schemas::{AxisLength, GOLDEN, MaskEntry, mix};
use ort::memory::Allocator;
use ort::session::IoBinding;
use ort::value::Tensor;

use crate::TrainingError;

/// The masks that a training step takes, in the order of its manifest.
pub(super) struct Masks {
    seed: u64,
    masks: Vec<Mask>,
}

struct Mask {
    entry: MaskEntry,
    /// Of the name: masks of one step are independent.
    key: u64,
    tensor: Tensor<bool>,
    shape: Vec<usize>,
}

impl Masks {
    pub(super) fn new(entries: &[MaskEntry], seed: u64) -> Result<Self, TrainingError> {
        let mask = |entry: &MaskEntry| {
            let shape: Vec<usize> = entry.shape.iter().map(|length| length.fixed().unwrap_or(1)).collect();
            let key = entry.name.bytes().fold(0, |key, byte| mix(key ^ u64::from(byte)).wrapping_add(GOLDEN));
            Ok(Mask { entry: entry.clone(), key, tensor: allocate(&entry.name, &shape)?, shape })
        };
        Ok(Self { seed, masks: entries.iter().map(mask).collect::<Result<_, TrainingError>>()? })
    }

    /// Draws those of the batch that comes after so many updates, and after so many batches that were gathered for the next
    /// one; says whether a mask has another shape now, and is to be bound anew. `length_of` gives the length of a named axis.
    ///
    /// # Errors
    /// No input has an axis of a name that a mask has.
    pub(super) fn draw(
        &mut self,
        (updates, gathered): (u64, u64),
        length_of: &dyn Fn(&str) -> Option<usize>,
    ) -> Result<bool, TrainingError> {
        let (step, mut is_other) = (mix(mix(mix(self.seed ^ GOLDEN) ^ updates).wrapping_add(gathered)), false);
        for mask in &mut self.masks {
            let length = |length: &AxisLength| match length {
                AxisLength::Fixed(length) => Ok(*length),
                AxisLength::Named(name) => length_of(name)
                    .ok_or_else(|| TrainingError::OutputAxis { output: mask.entry.name.clone(), axis: name.clone() }),
            };
            let shape = mask.entry.shape.iter().map(length).collect::<Result<Vec<usize>, _>>()?;
            if shape != mask.shape {
                mask.tensor = allocate(&mask.entry.name, &shape)?;
                mask.shape = shape;
                is_other = true;
            }
            fill(mask.tensor.extract_tensor_mut().1, mask.entry.keep, step ^ mask.key);
        }
        Ok(is_other)
    }

    pub(super) fn bind(&self, binding: &mut IoBinding) -> Result<(), TrainingError> {
        self.masks.iter().try_for_each(|mask| {
            let name = &mask.entry.name;
            let bound = binding.bind_input(name, &mask.tensor);
            bound.map_err(TrainingError::session(format!("binding the input `{name}`")))
        })
    }
}

fn allocate(name: &str, shape: &[usize]) -> Result<Tensor<bool>, TrainingError> {
    Tensor::new(&Allocator::default(), shape).map_err(TrainingError::session(format!("allocating `{name}`")))
}

/// True where 32 bits of a counter's hash lie below the probability.
fn fill(mask: &mut [bool], keep: f32, key: u64) {
    let below = (f64::from(keep) * 2.0_f64.powi(32)) as u64;
    let is_kept = |bits: u64| bits < below;
    let draw = |pair: usize| mix(key.wrapping_add((pair as u64).wrapping_mul(GOLDEN)));
    let mut pairs = mask.chunks_exact_mut(2);
    let mut drawn = 0;
    for pair in &mut pairs {
        let bits = draw(drawn);
        (pair[0], pair[1]) = (is_kept(bits >> 32), is_kept(bits & 0xffff_ffff));
        drawn += 1;
    }
    if let [last] = pairs.into_remainder() {
        *last = is_kept(draw(drawn) >> 32);
    }
}

#[cfg(test)]
mod tests {
    use super::fill;

    #[test]
    fn a_mask_keeps_its_share_and_neighbours_masks_and_steps_are_independent() {
        const LENGTH: usize = 1 << 16;
        let drawn = |keep, key| {
            let mut mask = vec![false; LENGTH];
            fill(&mut mask, keep, key);
            mask
        };
        let share = |mask: &[bool]| mask.iter().filter(|kept| **kept).count() as f64 / mask.len() as f64;
        for keep in [0.1_f32, 0.5, 0.9] {
            // five standard deviations
            let spread = 5.0 * (f64::from(keep) * (1.0 - f64::from(keep)) / LENGTH as f64).sqrt();
            let both = |a: &[bool], b: &[bool]| a.iter().zip(b).map(|(a, b)| *a && *b).collect::<Vec<_>>();
            let (first, second) = (drawn(keep, 7), drawn(keep, 8));
            assert!((share(&first) - f64::from(keep)).abs() < spread, "{keep}: {}", share(&first));
            for pairs in [both(&first, &second), both(&first[1..], &first), both(&first[2..], &first)] {
                assert!((share(&pairs) - f64::from(keep).powi(2)).abs() < spread, "{keep}: {}", share(&pairs));
            }
        }
        assert!(drawn(1.0, 3).iter().all(|kept| *kept));
        assert_eq!(drawn(0.5, 9)[..101], {
            let mut odd = vec![false; 101];
            fill(&mut odd, 0.5, 9);
            odd
        });
    }
}
