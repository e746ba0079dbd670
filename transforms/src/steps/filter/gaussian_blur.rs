//! Blurs with a Gaussian.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::filter_step::{FilterStep, Neighbours};
use crate::elementary::exp;
use crate::image_facts::ImageFacts;
use crate::render::vector;
use crate::steps::image_step::ImageStep;
use crate::steps::step::Step;
use crate::steps::step_row::StepRow;

pub(crate) const STEP: StepRow =
    StepRow::of::<GaussianBlur>("gaussian_blur", &[r#"{"sigma": 1.3}"#, r#"{"sigma": 0.4}"#]);

/// Smallest standard deviation, in pixels.
pub(crate) const LEAST_SIGMA: f64 = 0.1;
/// Largest standard deviation, in pixels.
pub(crate) const MOST_SIGMA: f64 = 100.0;

/// The mean of the pixels around each, weighted by a Gaussian that is cut at three standard deviations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaussianBlur {
    /// Standard deviation, in pixels.
    pub sigma: f64,
}

impl From<GaussianBlur> for ImageStep {
    fn from(step: GaussianBlur) -> Self {
        Self::Filter(Arc::new(step))
    }
}

impl GaussianBlur {
    /// Of the middle pixel and those to one side; all of both sides are 1 in sum.
    fn weights(&self) -> Vec<f32> {
        let bell = |offset: u32| exp(-0.5 * (f64::from(offset) / self.sigma) * (f64::from(offset) / self.sigma));
        let weights: Vec<f64> = (0..=self.radius()).map(bell).collect();
        let sum = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
        weights.iter().map(|weight| (weight / sum) as f32).collect()
    }
}

impl Step for GaussianBlur {
    fn name(&self) -> &'static str {
        STEP.name
    }

    fn check(&self, _: &ImageFacts) -> Result<(), String> {
        if (LEAST_SIGMA..=MOST_SIGMA).contains(&self.sigma) {
            return Ok(());
        }
        Err(format!("sigma is between {LEAST_SIGMA} and {MOST_SIGMA} pixels, got {}", self.sigma))
    }

    fn caption(&self) -> String {
        format!("σ {:.2}", self.sigma)
    }
}

impl FilterStep for GaussianBlur {
    fn radius(&self) -> u32 {
        (3.0 * self.sigma).ceil() as u32
    }

    fn filter(&self, input: &Neighbours<'_>, [left, top, width, height]: [u32; 4], out: &mut [f32]) {
        let weights = self.weights();
        let radius = weights.len() - 1;
        let columns: Vec<usize> = (-(radius as i64)..i64::from(width) + radius as i64)
            .map(|offset| input.column(i64::from(left) + offset))
            .collect();
        let mut down = vec![0.0; input.part[2] as usize];
        let mut padded = vec![0.0; columns.len()];
        for (y, out) in (i64::from(top)..i64::from(top + height)).zip(out.chunks_exact_mut(width as usize)) {
            let pair = |offset: usize| [input.row(y - offset as i64), input.row(y + offset as i64)];
            vector::weigh(&mut down, &weights, input.row(y), pair);
            padded.iter_mut().zip(&columns).for_each(|(value, column)| *value = down[*column]);
            let beside = |offset: usize| [&padded[radius - offset..], &padded[radius + offset..]];
            vector::weigh(out, &weights, &padded[radius..], beside);
        }
    }

    #[cfg(test)]
    fn twin(&self, at: &dyn Fn(i64, i64) -> f64) -> f64 {
        let radius = i64::from(self.radius());
        let bell = |offset: i64| (-0.5 * (offset as f64 / self.sigma).powi(2)).exp();
        let taps = || (-radius..=radius).flat_map(|down| (-radius..=radius).map(move |right| (right, down)));
        let total: f64 = taps().map(|(right, down)| bell(right) * bell(down)).sum();
        taps().map(|(right, down)| bell(right) * bell(down) * at(right, down)).sum::<f64>() / total
    }
}
