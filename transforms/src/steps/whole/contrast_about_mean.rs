//! More or less contrast about the image's mean grey.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::whole_step::WholeStep;
use crate::image_facts::ImageFacts;
use crate::render::vector;
use crate::steps::image_step::ImageStep;
use crate::steps::step::{Step, check_factor};
use crate::steps::step_row::StepRow;

pub(crate) const STEP: StepRow =
    StepRow::of::<ContrastAboutMean>("contrast_about_mean", &[r#"{"factor": 1.3}"#, r#"{"factor": 0.4}"#]);

/// Multiplies the distance of each value from the image's mean grey and clips, as torchvision's `adjust_contrast`.
///
/// The grey of a colour is its ITU-R BT.601 luma; of pixels that are no colours, the mean of all values is taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContrastAboutMean {
    /// 0 makes grey; 1 changes nothing.
    pub factor: f32,
}

impl From<ContrastAboutMean> for ImageStep {
    fn from(step: ContrastAboutMean) -> Self {
        Self::Whole(Arc::new(step))
    }
}

impl Step for ContrastAboutMean {
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

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64
}

impl WholeStep for ContrastAboutMean {
    fn apply(&self, channels: &mut [&mut [f32]]) {
        let means: Vec<f64> = channels.iter().map(|values| mean(values)).collect();
        let grey = match means[..] {
            [red, green, blue] => 0.299 * red + 0.587 * green + 0.114 * blue,
            _ => means.iter().sum::<f64>() / means.len() as f64,
        };
        let offset = (grey * (1.0 - f64::from(self.factor))) as f32;
        channels.iter_mut().for_each(|values| vector::scale(values, self.factor, offset));
    }

    #[cfg(test)]
    fn twin(&self, channels: &mut [Vec<f32>]) {
        let pixels = channels[0].len();
        let shares = if channels.len() == 3 {
            vec![0.299, 0.587, 0.114]
        } else {
            vec![1.0 / channels.len() as f64; channels.len()]
        };
        let grey =
            |pixel: usize| channels.iter().zip(&shares).map(|(c, share)| share * f64::from(c[pixel])).sum::<f64>();
        let mean = (0..pixels).map(grey).sum::<f64>() / pixels as f64;
        for value in channels.iter_mut().flatten() {
            *value = ((mean + f64::from(self.factor) * (f64::from(*value) - mean)) as f32).clamp(0.0, 1.0);
        }
    }
}
