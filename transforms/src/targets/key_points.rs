use serde::{Deserialize, Serialize};

use crate::image_drawing::ImageDrawing;

/// A point in an image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPoint {
    /// From the left, in pixels; the centre of the first is ½.
    pub x: f64,
    /// From the top, in pixels.
    pub y: f64,
    /// Whether it is in the picture; stays `false` once it is.
    pub visible: bool,
}

impl KeyPoint {
    /// Where it is after the steps; marked as not visible where one of them took it out of the picture for good: one after
    /// which what lies outside is not `seen`.
    pub(super) fn moved(&self, drawing: &ImageDrawing, seen: &[bool]) -> Self {
        let (mut point, mut visible, mut facts) = ((self.x, self.y), self.visible, drawing.source);
        for (drawn, seen) in drawing.steps.iter().zip(seen) {
            point = drawn.step.forward(point.0, point.1);
            facts = drawn.step.output(&facts);
            let inside = |place: f64, length: u32| place >= 0.0 && place < f64::from(length);
            visible &= *seen || (inside(point.0, facts.width) && inside(point.1, facts.height));
        }
        Self { x: point.0, y: point.1, visible }
    }
}
