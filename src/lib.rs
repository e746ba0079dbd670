//! Stream Parquet datasets, augment what flows through, and fine-tune pretrained ONNX models: one Rust process, the stock
//! ONNX Runtime, CPU or CUDA.
//!
//! Three ways to use it:
//! - declare a [`Chain`] of transforms and draw, replay or render it on your own images and texts,
//! - stream a large [`Dataset`] through it as [`Batches`], and
//! - plug the batches into a training loop: that of a recipe, `recipes::train`, or your own around a
//!   `training::StepRunner`, as in `examples/own_loop.rs`.
//!
//! The names at the root are what most programs need. The modules hold the rest by subject, each a crate of the workspace:
//! what rows of your own (transforms, encodings, operators, losses, metrics, optimizers) are written with is there.
//!
//! # Features
//!
//! | feature | what it brings | without it |
//! |---|---|---|
//! | `training` (default) | recipes, fine-tuning, ONNX Runtime | transforms, datasets, streams of batches |
//! | `tokenizers` (default) | the encoding `token_ids` | texts are batched as they are |
//! | `brotli` (default) | Parquet files that are compressed with brotli | such a file is refused |
//! | `yaml` (by `training`) | recipes are read from files | they are made as values, or with `serde` |
#![forbid(unsafe_code)]

/// An ONNX model in, a training step out: the graph, operators with their gradients, losses, initializers.
#[cfg(feature = "training")]
pub use millstream_compiler as compiler;
/// From storage to batches: datasets, stores, encodings, streams.
pub use millstream_pipeline as pipeline;
/// A recipe carried out: check, train, evaluate, preview, inspect.
#[cfg(feature = "training")]
pub use millstream_recipes as recipes;
/// The ONNX Runtime library, found, installed and loaded, and its devices.
#[cfg(feature = "training")]
pub use millstream_runtime as runtime;
/// The words that all the others use: features, batches, recipes, names with options, and how messages show foreign text.
pub use millstream_schemas as schemas;
/// Hyperparameter search that knows neither models nor data: spaces, proposers, stopping rules, studies.
#[cfg(feature = "training")]
pub use millstream_search as search;
/// A compiled training step at work: sessions, optimizers, schedules, metrics, checkpoints, reports.
#[cfg(feature = "training")]
pub use millstream_training as training;
/// Draw first, render later: transforms of images, texts and batches, and the steps that they draw.
pub use millstream_transforms as transforms;

/// A dataset streamed: an iterator of batches, or an asynchronous stream.
pub use millstream_pipeline::Batches;
/// Rows of Parquet files that fit together, on disk, in memory, or in a store of your own.
pub use millstream_pipeline::Dataset;
/// How a dataset is streamed: order, batch size, memory, workers, what happens to damaged rows.
pub use millstream_pipeline::StreamOptions;
/// Which columns are read and what tensors they become.
pub use millstream_pipeline::encodings::Encoders;
/// A name with options, as a recipe writes it.
pub use millstream_schemas::Choice;
/// All that a run is to do, as one value.
pub use millstream_schemas::Recipe;
/// Where a stream goes on: six numbers.
pub use millstream_schemas::ResumePoint;
/// The file, row group and row that a sample comes from.
pub use millstream_schemas::RowId;
/// The rows of one kind of thing (transforms, operators, …), to which rows of your own can be added.
pub use millstream_schemas::choice::Catalog;
/// Named tensors, a weight for each row, and where the rows come from.
pub use millstream_schemas::{Batch, Tensor};
/// Transforms in a row, which draw and render.
pub use millstream_transforms::Chain;
/// What the random numbers of a drawing depend on: seed, epoch and row.
pub use millstream_transforms::DrawKey;

/// Which layers of a model are trained, and with what head.
#[cfg(feature = "training")]
pub use millstream_compiler::FineTuning;
/// A pretrained ONNX model, checked before anything else sees it.
#[cfg(feature = "training")]
pub use millstream_compiler::Model;
/// Operators by domain and name.
#[cfg(feature = "training")]
pub use millstream_compiler::OperatorCatalog;
/// A training step: graphs as bytes, and a manifest of their inputs and outputs.
#[cfg(feature = "training")]
pub use millstream_compiler::TrainingProgram;
/// Makes a training step of a model and a loss.
#[cfg(feature = "training")]
pub use millstream_compiler::compile;
/// All that a recipe may choose from by name.
#[cfg(feature = "training")]
pub use millstream_recipes::Catalogs;
