//! Stronger or paler colours.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::point_step::{PointStep, RowPlace};
use crate::image_facts::ImageFacts;
use crate::render::vector;
use crate::steps::image_step::ImageStep;
use crate::steps::step::{Step, check_colour, check_factor};
use crate::steps::step_row::StepRow;

pub(crate) const STEP: StepRow = StepRow::of::<Saturation>("saturation", &[r#"{"factor": 1.5}"#, r#"{"factor": 0}"#]);

/// Multiplies the distance of each colour from its grey (ITU-R BT.601 luma) and clips, as torchvision's
/// `adjust_saturation`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saturation {
    /// 0 makes grey; 1 changes nothing.
    pub factor: f32,
}

impl From<Saturation> for ImageStep {
    fn from(step: Saturation) -> Self {
        Self::Point(Arc::new(step))
    }
}

impl Step for Saturation {
    fn name(&self) -> &'static str {
        STEP.name
    }

    fn check(&self, input: &ImageFacts) -> Result<(), String> {
        check_colour(input)?;
        check_factor(self.factor)
    }

    fn caption(&self) -> String {
        format!("saturation ×{:.2}", self.factor)
    }
}

impl PointStep for Saturation {
    fn apply(&self, _: &RowPlace, row: &mut [&mut [f32]]) {
        if let [red, green, blue] = row {
            vector::saturate(red, green, blue, self.factor);
        }
    }

    #[cfg(test)]
    fn twin(&self, _: &RowPlace, _: u32, pixel: &mut [f32]) {
        let grey = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
        pixel.iter_mut().for_each(|value| *value = (grey + self.factor * (*value - grey)).clamp(0.0, 1.0));
    }
}
