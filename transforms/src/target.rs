use std::fmt;

use serde::{Deserialize, Serialize};

/// What a transform moves or changes: whoever keeps such data beside the rows has to let them follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Target {
    /// Boxes in an image; their corners follow [`project_point`](crate::ImageDrawing::project_point).
    Boxes,
    /// The image itself.
    Image,
    /// Points in an image; they follow [`project_point`](crate::ImageDrawing::project_point).
    KeyPoints,
    /// What the loss compares with.
    Labels,
    /// Images that mark each pixel; they take the same geometric steps.
    Masks,
    /// Ranges of characters; they follow [`project_position`](crate::TextDrawing::project_position).
    Spans,
    /// The text itself.
    Text,
}

impl Target {
    /// What marks places in an image.
    const MARKS: &[Self] = &[Self::Boxes, Self::KeyPoints, Self::Masks];
    /// Of transforms that move pixels.
    pub(crate) const PLACES: &[Self] = &[Self::Boxes, Self::Image, Self::KeyPoints, Self::Masks];
    /// Of transforms that change pixels where they are.
    pub(crate) const PIXELS: &[Self] = &[Self::Image];
    /// Of transforms of text.
    pub(crate) const CHARACTERS: &[Self] = &[Self::Spans, Self::Text];
}

impl Target {
    /// Whether what has the stated targets moves or mixes what this one marks, and leaves it behind.
    pub(crate) fn is_left_behind(self, stated: &[Self], mixes_rows: bool) -> bool {
        let leaves = match self {
            Self::Boxes | Self::KeyPoints | Self::Masks => {
                let moves_pixels = stated.iter().any(|target| Self::MARKS.contains(target));
                moves_pixels || (mixes_rows && stated.contains(&Self::Image))
            }
            Self::Spans => stated.contains(&Self::Text),
            Self::Image | Self::Labels | Self::Text => false,
        };
        leaves && !stated.contains(&self)
    }
}

/// In words, as several.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boxes => "boxes",
            Self::Image => "images",
            Self::KeyPoints => "key points",
            Self::Labels => "labels",
            Self::Masks => "masks",
            Self::Spans => "spans",
            Self::Text => "texts",
        })
    }
}
