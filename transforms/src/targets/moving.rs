use serde::{Deserialize, Serialize};

use super::boxes::BoundingBox;
use super::key_points::KeyPoint;
use super::mask::Mask;
use super::spans::Span;
use crate::error::TransformError;
use crate::image_drawing::ImageDrawing;
use crate::render::seen_beyond;
use crate::text_drawing::TextDrawing;

/// The targets of one row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Targets {
    /// The class of each pixel of the image.
    pub mask: Option<Mask>,
    /// Boxes in the image.
    pub boxes: Vec<BoundingBox>,
    /// Points in the image.
    pub key_points: Vec<KeyPoint>,
    /// Ranges of characters of the text.
    pub spans: Vec<Span>,
}

/// What becomes of targets that a step moves out of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoveRules {
    /// A box of whose area less than this share is left in the picture is removed, 0 to 1; one of which nothing is left
    /// always is.
    pub least_visible: f64,
    /// The class of mask pixels that come from outside the image.
    pub outside: i32,
}

impl Default for MoveRules {
    /// Boxes stay while anything of them is visible; what comes from outside is class 0.
    fn default() -> Self {
        Self { least_visible: 0.0, outside: 0 }
    }
}

impl Targets {
    /// Where they are after the steps that were drawn for the row's image. Spans stay.
    ///
    /// # Errors
    /// A mask of another size than the image the steps were drawn for, or a step that cannot be rendered.
    pub fn moved_with_image(&self, drawing: &ImageDrawing, rules: &MoveRules) -> Result<Self, TransformError> {
        let seen = match self.boxes.is_empty() && self.key_points.is_empty() {
            true => Vec::new(),
            false => seen_beyond(&drawing.source, &drawing.steps),
        };
        Ok(Self {
            mask: self.mask.as_ref().map(|mask| mask.moved(drawing, rules.outside)).transpose()?,
            boxes: self.boxes.iter().filter_map(|bounds| bounds.moved(drawing, &seen, rules.least_visible)).collect(),
            key_points: self.key_points.iter().map(|point| point.moved(drawing, &seen)).collect(),
            spans: self.spans.clone(),
        })
    }

    /// Where they are after the edits that were drawn for the row's text. What is marked in an image stays.
    pub fn moved_with_text(&self, drawing: &TextDrawing) -> Self {
        Self { spans: self.spans.iter().filter_map(|span| span.moved(drawing)).collect(), ..self.clone() }
    }
}
