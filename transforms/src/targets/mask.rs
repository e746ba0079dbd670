use serde::{Deserialize, Serialize};

use crate::error::TransformError;
use crate::image_drawing::ImageDrawing;
use crate::image_facts::ImageFacts;
use crate::render::nearest;

/// The class of each pixel of an image, row by row from the top left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Width × height classes, of less than 2²⁴ either way.
    pub classes: Vec<i32>,
}

/// Whole numbers up to this are floats of 32 bits.
const MOST_CLASS: u32 = 1 << 24;

impl Mask {
    /// What the steps make of it: each pixel has the class of the one pixel that it comes from, or `outside`.
    pub(super) fn moved(&self, drawing: &ImageDrawing, outside: i32) -> Result<Self, TransformError> {
        let Self { width, height, classes } = self;
        let wanted = *width as usize * *height as usize;
        if classes.len() != wanted {
            let (width, height, got) = (*width, *height, classes.len());
            return Err(TransformError::PixelCount { width, height, channels: 1, wanted, got });
        }
        let size = |facts: &ImageFacts| ImageFacts::new(facts.width, facts.height);
        if (drawing.source.width, drawing.source.height) != (*width, *height) {
            return Err(TransformError::OtherImage {
                wanted: size(&drawing.source),
                got: ImageFacts::new(*width, *height),
            });
        }
        if let Some(class) = classes.iter().chain([&outside]).find(|class| class.unsigned_abs() > MOST_CLASS) {
            return Err(TransformError::Class { class: *class, most: MOST_CLASS });
        }
        let values: Vec<f32> = classes.iter().map(|class| *class as f32).collect();
        let (values, facts) = nearest(drawing, &values, outside as f32)?;
        let classes = values.iter().map(|value| *value as i32).collect();
        Ok(Self { width: facts.width, height: facts.height, classes })
    }
}
