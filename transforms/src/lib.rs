//! Draw first, render later.
//!
//! A transform never touches data when it is drawn: from the facts of a sample (its size, its text) and a generator
//! keyed by the row's identity it *draws* concrete, serializable steps. A renderer then carries all steps out at once,
//! so that the decoder knows the crop before it starts, neighbouring geometric steps become one resampling, and any
//! sample can be replayed or explained from its steps.
//!
//! ```
//! use millstream_schemas::Choice;
//! use millstream_transforms::{Chain, DrawKey, RgbImage, Scratch};
//! use serde_json::json;
//!
//! let chain = Chain::parse(&[
//!     Choice::new("random_resized_crop", json!({"size": 32})),
//!     Choice::new("rotate", json!({"degrees": 15})),
//!     Choice::new("horizontal_flip", json!({})),
//! ])?;
//! let photo = RgbImage { width: 50, height: 40, pixels: vec![128; 50 * 40 * 3] };
//! let key = DrawKey { seed: 1, epoch: 0, row: 7 };
//! let drawing = chain.draw_image(&photo.facts(), &key)?;
//! let mut pixels = vec![0.0; 3 * 32 * 32];
//! drawing.render(&photo, &mut Scratch::default(), &mut pixels)?;
//! for step in &drawing.steps {
//!     println!("{step}"); // random_resized_crop 31×29 at (4, 7) → 32×32
//! }
//! # Ok::<(), millstream_transforms::TransformError>(())
//! ```
#![deny(unsafe_code)]

mod batch;
mod batch_drawing;
mod batch_transform;
mod catalog;
mod chain;
mod chain_node;
mod chain_parser;
mod combination;
mod combine;
mod elementary;
mod error;
mod foreign_words;
mod image;
mod image_drawing;
mod image_facts;
mod image_limits;
mod image_transform;
mod kind;
mod matrix;
mod options;
#[cfg(test)]
mod properties;
pub mod random;
mod raster;
mod render;
pub mod steps;
mod target;
pub mod targets;
mod text;
mod text_drawing;
mod text_transform;
mod transform;

pub use batch_drawing::{BatchDrawing, BatchStep, DrawnBatchStep};
pub use batch_transform::BatchTransform;
pub use catalog::{standard, table, transform_schema};
pub use chain::Chain;
pub use error::TransformError;
pub use image_drawing::{DecodeRequest, ImageDrawing};
pub use image_facts::{Depth, ImageFacts, LARGEST_SIDE, MOST_CHANNELS};
pub use image_transform::ImageTransform;
pub use kind::Kind;
pub use matrix::Matrix;
pub use random::{DrawKey, Random};
pub use raster::{Raster, RgbImage, SampleSlice, Samples, SourceImage, luma};
pub use render::{ImagePlan, ImageTensor, PixelValues, Scratch};
pub use steps::{DrawnStep, ImageStep, Kernel};
pub use target::Target;
pub use text_drawing::{TextDrawing, TextEdit};
pub use text_transform::{Change, TextTransform};
pub use transform::{Build, Transform};
