//! More or less contrast about the middle of the range.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::point_step::{PointStep, RowPlace};
use crate::image_facts::ImageFacts;
use crate::render::vector;
use crate::steps::image_step::ImageStep;
use crate::steps::step::{Step, check_factor};
use crate::steps::step_row::StepRow;

pub(crate) const STEP: StepRow = StepRow::of::<Contrast>("contrast", &[r#"{"factor": 1.4}"#, r#"{"factor": 0.5}"#]);

/// Multiplies the distance of each value from the middle grey, and clips: `½ + factor · (value − ½)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contrast {
    /// 0 makes grey; 1 changes nothing.
    pub factor: f32,
}

impl From<Contrast> for ImageStep {
    fn from(step: Contrast) -> Self {
        Self::Point(Arc::new(step))
    }
}

impl Step for Contrast {
    fn name(&self) -> &'static str {
        STEP.name
    }

    fn check(&self, _: &ImageFacts) -> Result<(), String> {
        check_factor(self.factor)
    }

    fn caption(&self) -> String {
        format!("contrast ×{:.2}", self.factor)
    }
}

impl PointStep for Contrast {
    fn apply(&self, _: &RowPlace, row: &mut [&mut [f32]]) {
        let offset = 0.5 * (1.0 - self.factor);
        row.iter_mut().for_each(|values| vector::scale(values, self.factor, offset));
    }

    #[cfg(test)]
    fn twin(&self, _: &RowPlace, _: u32, pixel: &mut [f32]) {
        pixel.iter_mut().for_each(|value| *value = (0.5 + self.factor * (*value - 0.5)).clamp(0.0, 1.0));
    }
}
