//! Brings values to the scale of a model.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::point_step::{PointStep, RowPlace};
use crate::image_facts::ImageFacts;
use crate::render::vector;
use crate::steps::image_step::ImageStep;
use crate::steps::step::Step;
use crate::steps::step_row::StepRow;

pub(crate) const STEP: StepRow =
    StepRow::of::<Normalize>("normalize", &[r#"{"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.5]}"#]);

/// Subtracts the mean and divides by the standard deviation, per channel, where the image's range is 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalize {
    /// Of each channel; red, green, blue of colours.
    pub mean: Vec<f32>,
    /// Of each channel; red, green, blue of colours.
    pub std: Vec<f32>,
}

impl From<Normalize> for ImageStep {
    fn from(step: Normalize) -> Self {
        Self::Point(Arc::new(step))
    }
}

impl Step for Normalize {
    fn name(&self) -> &'static str {
        STEP.name
    }

    fn check(&self, input: &ImageFacts) -> Result<(), String> {
        let Self { mean, std } = self;
        let wanted = input.channels as usize;
        if mean.len() != wanted || std.len() != wanted {
            let (mean, std) = (mean.len(), std.len());
            return Err(format!("mean has {mean} numbers and std {std}, and the image has {wanted} channels"));
        }
        let sane = mean.iter().all(|value| value.is_finite()) && std.iter().all(|value| value.is_normal());
        if sane { Ok(()) } else { Err(format!("impossible parameters: {}", self.caption())) }
    }

    fn caption(&self) -> String {
        let list = |values: &[f32]| values.iter().map(|value| format!("{value:.3}")).collect::<Vec<_>>().join(" ");
        format!("mean {}, std {}", list(&self.mean), list(&self.std))
    }
}

impl PointStep for Normalize {
    fn apply(&self, _: &RowPlace, row: &mut [&mut [f32]]) {
        for (values, (mean, std)) in row.iter_mut().zip(self.mean.iter().zip(&self.std)) {
            vector::normalize(values, *mean, 1.0 / std);
        }
    }

    fn leaves_range(&self) -> bool {
        true
    }

    #[cfg(test)]
    fn twin(&self, _: &RowPlace, _: u32, pixel: &mut [f32]) {
        for (value, (mean, std)) in pixel.iter_mut().zip(self.mean.iter().zip(&self.std)) {
            *value = (*value - mean) / std;
        }
    }
}
