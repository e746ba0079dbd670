//! Spreads the values of each channel over the whole range.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::whole_step::WholeStep;
use crate::image_facts::ImageFacts;
use crate::steps::image_step::ImageStep;
use crate::steps::step::Step;
use crate::steps::step_row::StepRow;

pub(crate) const STEP: StepRow = StepRow::of::<Equalize>("equalize", &["{}"]);

/// Equalizes the histogram of each channel at 256 levels, as Pillow's `ImageOps.equalize`.
///
/// Of an image of more levels the result has 256.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Equalize {}

impl From<Equalize> for ImageStep {
    fn from(step: Equalize) -> Self {
        Self::Whole(Arc::new(step))
    }
}

impl Step for Equalize {
    fn name(&self) -> &'static str {
        STEP.name
    }

    fn check(&self, _: &ImageFacts) -> Result<(), String> {
        Ok(())
    }

    fn caption(&self) -> String {
        String::new()
    }
}

fn level(value: f32) -> u8 {
    (value * 255.0 + 0.5) as u8
}

/// What each level becomes; nothing where a channel has one level, or too few pixels.
fn table(histogram: &[u64; 256]) -> Option<[f32; 256]> {
    let last = *histogram.iter().rev().find(|count| **count > 0)?;
    let step = (histogram.iter().sum::<u64>() - last) / 255;
    if step == 0 {
        return None;
    }
    let mut sum = step / 2;
    Some(histogram.map(|count| {
        let level = (sum / step).min(255);
        sum += count;
        level as f32 * (1.0 / 255.0)
    }))
}

impl WholeStep for Equalize {
    fn apply(&self, channels: &mut [&mut [f32]]) {
        for values in channels {
            let mut histogram = [0; 256];
            values.iter().for_each(|value| histogram[usize::from(level(*value))] += 1);
            if let Some(table) = table(&histogram) {
                values.iter_mut().for_each(|value| *value = table[usize::from(level(*value))]);
            }
        }
    }

    /// Sorted: a pixel's level is the share of the pixels below it.
    #[cfg(test)]
    fn twin(&self, channels: &mut [Vec<f32>]) {
        for values in channels {
            let mut levels: Vec<u8> = values.iter().map(|value| level(*value)).collect();
            levels.sort_unstable();
            let brightest = levels.iter().filter(|level| **level == levels[levels.len() - 1]).count();
            let step = (levels.len() - brightest) / 255;
            for value in values {
                let below = levels.partition_point(|other| *other < level(*value));
                if let Some(equalized) = (step / 2 + below).checked_div(step) {
                    *value = equalized.min(255) as f32 / 255.0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Levels of `ImageOps.equalize` of Pillow 13 for the level `j · j / 400` of pixel 10·j, of 2,800 pixels.
    #[test]
    fn levels_are_those_of_pillow() {
        let before = (0..2800u32).map(|pixel| pixel / 10 * (pixel / 10) / 400);
        let mut values: Vec<f32> = before.map(|level| level as f32 / 255.0).collect();
        Equalize {}.apply(&mut [&mut values]);
        let after: Vec<u8> = values.iter().step_by(250).map(|value| level(*value)).collect();
        assert_eq!(after, [0, 20, 49, 75, 100, 125, 150, 175, 200, 225, 250, 255]);
    }

    #[test]
    fn one_level_and_few_pixels_stay() {
        for before in [vec![0.4; 1000], vec![0.1, 0.5, 0.9]] {
            let mut values = before.clone();
            Equalize {}.apply(&mut [&mut values]);
            assert_eq!(values, before);
        }
    }
}
