//! Stream Parquet datasets, augment what flows through, and fine-tune pretrained ONNX models: one Rust process, the stock
//! ONNX Runtime, CPU or CUDA.
//!
//! Three ways to use it:
//! - declare a [`Chain`] of transforms and draw, replay or render it on your own images and texts,
//! - stream a large [`Dataset`] through it as [`Batches`], and
//! - plug the batches into a training loop: the one of [`recipes::train`], or your own around a
//!   [`StepRunner`](training::StepRunner), as in `examples/own_loop.rs`.
//!
//! The modules are the crates of the workspace under their names.
#![forbid(unsafe_code)]

pub use millstream_compiler as compiler;
pub use millstream_pipeline as pipeline;
pub use millstream_recipes as recipes;
pub use millstream_runtime as runtime;
pub use millstream_schemas as schemas;
pub use millstream_training as training;
pub use millstream_transforms as transforms;

pub use millstream_compiler::{FineTuning, Model, OperatorCatalog, TrainingProgram, compile};
pub use millstream_pipeline::encodings::Encoders;
pub use millstream_pipeline::{Batches, Dataset, StreamOptions};
pub use millstream_recipes::Catalogs;
pub use millstream_schemas::choice::Catalog;
pub use millstream_schemas::{Batch, Choice, Recipe, ResumePoint, RowId, Tensor};
pub use millstream_transforms::{Chain, DrawKey};
