//! Makes an image brighter or darker.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::point_step::{PointStep, RowPlace};
use crate::image_facts::ImageFacts;
use crate::render::vector;
use crate::steps::image_step::ImageStep;
use crate::steps::step::{Step, check_factor};
use crate::steps::step_row::StepRow;

pub(crate) const STEP: StepRow =
    StepRow::of::<Brightness>("brightness", &[r#"{"factor": 1.25}"#, r#"{"factor": 0.6}"#]);

/// Multiplies each value and clips to the range of the image, as torchvision's `adjust_brightness`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brightness {
    /// 0 makes black; 1 changes nothing.
    pub factor: f32,
}

impl From<Brightness> for ImageStep {
    fn from(step: Brightness) -> Self {
        Self::Point(Arc::new(step))
    }
}

impl Step for Brightness {
    fn name(&self) -> &'static str {
        STEP.name
    }

    fn check(&self, _: &ImageFacts) -> Result<(), String> {
        check_factor(self.factor)
    }

    fn caption(&self) -> String {
        format!("brightness ×{:.2}", self.factor)
    }
}

impl PointStep for Brightness {
    fn apply(&self, _: &RowPlace, row: &mut [&mut [f32]]) {
        row.iter_mut().for_each(|values| vector::scale(values, self.factor, 0.0));
    }

    #[cfg(test)]
    fn twin(&self, _: &RowPlace, _: u32, pixel: &mut [f32]) {
        pixel.iter_mut().for_each(|value| *value = (self.factor * *value).clamp(0.0, 1.0));
    }
}
