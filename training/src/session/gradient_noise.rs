//! Noise on gradients: drawn anew for each step, from the seed, the step and the name of the parameter alone.

use std::f64::consts::TAU;

use millstream_schemas::{GOLDEN, ParameterEntry, mix};
use serde::Serialize;

use super::bound::OwnedTensor;
use super::cohorts::Cohorts;
use crate::TrainingError;

/// Normal noise of variance η/(1 + t)^γ that is added to each number of a gradient in the step t, counted from 0 (Neelakantan et
/// al., "Adding Gradient Noise Improves Learning for Very Deep Networks", 2015), in front of all clipping. It is drawn on the host,
/// so that every device adds the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GradientNoise {
    /// η, the variance in the first step, above 0.
    pub eta: f64,
    /// γ, how fast the variance falls, 0 or more.
    pub gamma: f64,
}

impl GradientNoise {
    /// The standard deviation in a step.
    fn deviation(self, step: u64) -> f64 {
        (self.eta / (1.0 + step as f64).powf(self.gamma)).sqrt()
    }
}

/// The noise of a run.
pub(super) struct Noise {
    settings: GradientNoise,
    seed: u64,
    /// Of the names of the parameters: their noise is independent.
    keys: Vec<u64>,
}

impl Noise {
    pub(super) fn new(settings: GradientNoise, seed: u64, entries: &[ParameterEntry]) -> Self {
        let key = |entry: &ParameterEntry| {
            entry.name.bytes().fold(1, |key, byte| mix(key ^ u64::from(byte)).wrapping_add(GOLDEN))
        };
        Self { settings, seed, keys: entries.iter().map(key).collect() }
    }

    /// Adds that of a step to the gradients of all that is updated.
    pub(super) fn add(
        &self,
        step: u64,
        entries: &[ParameterEntry],
        cohorts: &Cohorts,
        gradients: &mut [OwnedTensor],
    ) -> Result<(), TrainingError> {
        let deviation = self.settings.deviation(step);
        for (index, ((entry, gradient), key)) in entries.iter().zip(gradients).zip(&self.keys).enumerate() {
            if !entry.is_statistic && !cohorts.is_frozen(index) {
                // twice over, since masks of dropout are drawn from the same seed and step
                let key = mix(mix(mix(!self.seed) ^ step)) ^ key;
                gradient.change(|values| add_normals(values, deviation, key))?;
            }
        }
        Ok(())
    }
}

/// Adds normal numbers, two from 64 bits of a counter's hash (Box and Muller, "A Note on the Generation of Random Normal Deviates",
/// 1958).
fn add_normals(values: &mut [f32], deviation: f64, key: u64) {
    const UNIT: f64 = 1.0 / 4_294_967_296.0;
    for (pair, values) in values.chunks_mut(2).enumerate() {
        let bits = mix(key.wrapping_add((pair as u64).wrapping_mul(GOLDEN)));
        // above 0 and at most 1, whose logarithm is finite
        let radius = deviation * (-2.0 * (((bits >> 32) as f64 + 1.0) * UNIT).ln()).sqrt();
        let (sine, cosine) = (TAU * (bits & 0xffff_ffff) as f64 * UNIT).sin_cos();
        values.iter_mut().zip([cosine, sine]).for_each(|(value, along)| *value += (radius * along) as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(count: usize, key: u64) -> Vec<f64> {
        let mut values = vec![0.0; count];
        add_normals(&mut values, 1.0, key);
        values.into_iter().map(f64::from).collect()
    }

    #[test]
    fn noise_is_normal_and_that_of_neighbours_and_of_other_keys_is_independent() {
        const COUNT: usize = 1 << 16;
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / COUNT as f64;
        let (first, second) = (drawn(COUNT, 7), drawn(COUNT, 8));
        // five standard deviations of each mean
        let spread = |variance: f64| 5.0 * (variance / COUNT as f64).sqrt();
        for (power, wanted, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
            let got = mean(&mut first.iter().map(|value| value.powi(power)));
            assert!((got - wanted).abs() < spread(variance), "moment {power}: {got}");
        }
        for (what, other) in [("keys", &second[..]), ("neighbours", &first[1..]), ("pairs", &first[2..])] {
            let got = mean(&mut first.iter().zip(other).map(|(a, b)| a * b));
            assert!(got.abs() < spread(1.0), "{what}: {got}");
        }
        assert_eq!(drawn(101, 9)[..], drawn(102, 9)[..101]);
    }

    #[test]
    fn the_variance_falls_as_the_paper_has_it() {
        let noise = GradientNoise { eta: 0.01, gamma: 0.55 };
        for (step, wanted) in [(0, 0.1), (9, (0.01 / 10.0_f64.powf(0.55)).sqrt())] {
            assert!((noise.deviation(step) - wanted).abs() < 1e-15);
        }
    }
}
