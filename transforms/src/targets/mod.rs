//! What belongs to a row and follows its image or its text.
//!
//! [`Targets`] go in with the steps that were drawn for the row, and come out where the steps put them. Coordinates are
//! continuous pixels of the picture: pixel (i, j) covers [i, i+1) × [j, j+1). A chain says at once which of its
//! transforms cannot move a kind of target: [`Chain::check_target`](crate::Chain::check_target).
//!
//! ```
//! use millstream_schemas::Choice;
//! use millstream_transforms::targets::{BoundingBox, BoxFormat, MoveRules, Targets};
//! use millstream_transforms::{Chain, DrawKey, ImageFacts};
//! use serde_json::json;
//!
//! let facts = ImageFacts::new(100, 80);
//! let chain = Chain::parse(&[Choice::new("horizontal_flip", json!({"probability": 1}))])?;
//! let drawing = chain.draw_image(&facts, &DrawKey { seed: 0, epoch: 0, row: 0 })?;
//! let cat = BoxFormat::Coco.read([10.0, 20.0, 30.0, 40.0], &facts, 7)?;
//! let targets = Targets { boxes: vec![cat], ..Targets::default() };
//! let moved = targets.moved_with_image(&drawing, &MoveRules::default())?;
//! assert_eq!(moved.boxes, [BoundingBox { left: 60.0, top: 20.0, right: 90.0, bottom: 60.0, label: 7 }]);
//! # Ok::<(), millstream_transforms::TransformError>(())
//! ```

mod boxes;
mod key_points;
mod mask;
mod moving;
#[cfg(test)]
mod properties;
mod spans;

pub use boxes::{BoundingBox, BoxFormat};
pub use key_points::KeyPoint;
pub use mask::Mask;
pub use moving::{MoveRules, Targets};
pub use spans::Span;
