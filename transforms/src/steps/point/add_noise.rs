//! Adds noise to each value.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::point_step::{PointStep, RowPlace};
use crate::image_facts::ImageFacts;
use crate::render::vector;
use crate::steps::image_step::ImageStep;
use crate::steps::step::Step;
use crate::steps::step_row::StepRow;

pub(crate) const STEP: StepRow =
    StepRow::of::<AddNoise>("add_noise", &[r#"{"kind": "gaussian", "strength": 0.1, "seed": 5}"#]);

/// The distribution of noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoiseKind {
    /// Normal, independent for each value.
    Gaussian,
}

/// Adds noise to each value and clips to the range of the image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddNoise {
    /// Its distribution.
    pub kind: NoiseKind,
    /// Standard deviation, where the image's range is 0 to 1.
    pub strength: f32,
    /// Which noise.
    pub seed: u64,
}

impl From<AddNoise> for ImageStep {
    fn from(step: AddNoise) -> Self {
        Self::Point(Arc::new(step))
    }
}

impl Step for AddNoise {
    fn name(&self) -> &'static str {
        STEP.name
    }

    fn check(&self, _: &ImageFacts) -> Result<(), String> {
        if (0.0..=1.0).contains(&self.strength) {
            return Ok(());
        }
        Err(format!("strength is between 0 and 1, got {}", self.strength))
    }

    fn caption(&self) -> String {
        format!("σ {:.3}", self.strength)
    }
}

impl PointStep for AddNoise {
    fn apply(&self, place: &RowPlace, row: &mut [&mut [f32]]) {
        for (channel, values) in (0..).zip(row) {
            let number = channel * place.height + place.y;
            vector::add_noise(values, self.strength, self.seed, number, [place.left, place.width]);
        }
    }

    #[cfg(test)]
    fn twin(&self, place: &RowPlace, column: u32, pixel: &mut [f32]) {
        let half = place.width.div_ceil(2);
        for (channel, value) in (0..).zip(pixel) {
            let counter = (channel * place.height + place.y) * half + column % half;
            let pair = crate::render::noise::normal_pair(counter, crate::render::noise::keys(self.seed));
            let normal = if column < half { pair.0 } else { pair.1 };
            *value = (*value + self.strength * normal).clamp(0.0, 1.0);
        }
    }
}
