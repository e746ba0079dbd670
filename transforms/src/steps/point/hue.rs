//! Turns the hues.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::point_step::{PointStep, RowPlace};
use crate::image_facts::ImageFacts;
use crate::render::vector;
use crate::steps::image_step::ImageStep;
use crate::steps::step::{Step, check_colour};
use crate::steps::step_row::StepRow;

pub(crate) const STEP: StepRow = StepRow::of::<Hue>("hue", &[r#"{"turn": 0.1}"#, r#"{"turn": -0.45}"#]);

/// Turns the hue of each colour in the hexagon of HSV, as torchvision's `adjust_hue`.
///
/// The largest and the smallest of red, green and blue stay; which of them is which, and where the third lies between
/// them, moves around the hexagon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hue {
    /// In turns: −½ to ½; ⅓ makes green of red.
    pub turn: f32,
}

impl From<Hue> for ImageStep {
    fn from(step: Hue) -> Self {
        Self::Point(Arc::new(step))
    }
}

impl Step for Hue {
    fn name(&self) -> &'static str {
        STEP.name
    }

    fn check(&self, input: &ImageFacts) -> Result<(), String> {
        check_colour(input)?;
        if (-0.5..=0.5).contains(&self.turn) {
            return Ok(());
        }
        Err(format!("turn is between -0.5 and 0.5, got {}", self.turn))
    }

    fn caption(&self) -> String {
        format!("hue {:+.0}°", 360.0 * self.turn)
    }
}

impl PointStep for Hue {
    fn apply(&self, _: &RowPlace, row: &mut [&mut [f32]]) {
        if let [red, green, blue] = row {
            vector::turn_hues(red, green, blue, self.turn);
        }
    }

    /// To HSV and back, by the textbook (Smith 1978).
    #[cfg(test)]
    fn twin(&self, _: &RowPlace, _: u32, pixel: &mut [f32]) {
        let [red, green, blue] = *pixel else { return };
        let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
        let spread = most - least;
        if spread == 0.0 {
            return;
        }
        let sixths = if most == red {
            (green - blue) / spread
        } else if most == green {
            2.0 + (blue - red) / spread
        } else {
            4.0 + (red - green) / spread
        };
        let hue = (sixths / 6.0 + self.turn).rem_euclid(1.0) * 6.0;
        let (sector, within) = (hue.floor(), hue - hue.floor());
        let (falling, rising) = (most - spread * within, least + spread * within);
        let turned = match sector as i32 {
            1 => [falling, most, least],
            2 => [least, most, rising],
            3 => [least, falling, most],
            4 => [rising, least, most],
            5 => [most, least, falling],
            _ => [most, rising, least],
        };
        pixel.copy_from_slice(&turned);
    }
}
