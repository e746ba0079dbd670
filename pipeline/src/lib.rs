//! Parquet rows to augmented batches.
//!
//! [`Dataset`] opens files and finds columns; [`Batches`] streams them: in an order that is a function of seed, epoch and
//! position, under one ceiling on memory, the same bytes for any number of worker threads, and with a
//! [`ResumePoint`](millstream_schemas::ResumePoint) in every batch.
//!
//! ```no_run
//! use millstream_pipeline::encodings::Encoders;
//! use millstream_pipeline::{Batches, Dataset, StreamOptions};
//! use millstream_transforms::Chain;
//!
//! let dataset = Dataset::open("flowers/flowers-train-*.parquet", ".".as_ref())?;
//! let encoders = Encoders::standard(&dataset, None, "label")?;
//! let chain = Chain::parse(&[])?;
//! let mut batches = Batches::open(&dataset, StreamOptions::new(chain, encoders), None)?;
//! while let Some(batch) = batches.next().transpose()? {
//!     println!("{} rows, continue at {:?}", batch.len(), batch.resume);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod budget;
mod class_draws;
mod class_histogram;
mod dataset;
pub mod decode;
mod divided_rows;
mod division;
pub mod encodings;
mod error;
mod find_columns;
mod joint_batches;
mod joint_stream;
mod length_groups;
mod monitor;
mod order;
mod permutation;
mod place;
mod prediction_file;
mod row_lengths;
mod row_marks;
mod shared_resources;
mod shared_rows;
mod sources;
mod stages;
pub mod stores;
mod stream;
mod stream_options;
mod stream_plan;
mod table_file;
mod work_times;

pub use {arrow_array, arrow_schema};

pub use class_draws::rows_drawn;
pub use class_histogram::ClassHistogram;
pub use dataset::{DataFile, Dataset, Row, RowGroupSize};
pub use error::{Damage, PipelineError, row_in_words};
pub use joint_batches::{JointBatches, JointCounts, JointStreams};
pub use monitor::{Monitor, StreamCounters};
pub use prediction_file::{PredictionWriter, predictions_header, read_predictions};
pub use row_marks::{Drawn, MarkReader};
pub use shared_resources::SharedResources;
pub use shared_rows::{SharedFile, SharedRows};
pub use sources::{Holds, List, RowValues, Split, SplitRole, Struct, Value};
pub use stages::damage::check_quarantine;
pub use stream::Batches;
pub use stream_options::{Beside, StreamOptions};
pub use table_file::{TableFile, TableSettings, file_metadata};
