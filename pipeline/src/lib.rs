//! Parquet rows to augmented batches.
//!
//! [`Dataset`] opens files and finds columns; [`Batches`] streams them: in an order that is a function of seed, epoch and
//! position, under one ceiling on memory, the same bytes for any number of worker threads, and with a
//! [`ResumePoint`](millstream_schemas::ResumePoint) in every batch.
//!
//! ```no_run
//! use millstream_pipeline::{Batches, Dataset, StreamOptions};
//! use millstream_transforms::Chain;
//!
//! let dataset = Dataset::open("flowers/flowers-train-*.parquet", ".".as_ref())?;
//! let columns = dataset.resolve_columns(None, "label")?;
//! let chain = Chain::parse(&[])?;
//! let mut batches = Batches::open(&dataset, StreamOptions::new(chain, columns), None)?;
//! while let Some(batch) = batches.next().transpose()? {
//!     println!("{} rows, continue at {:?}", batch.len(), batch.resume);
//!     batches.recycle(batch);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod budget;
mod columns;
mod dataset;
pub mod decode;
mod division;
mod error;
mod image_size;
mod label;
mod monitor;
mod order;
mod permutation;
mod plan;
mod resolve_columns;
mod shared_rows;
mod sources;
mod stages;
mod stream;
mod stream_options;

pub use columns::{Columns, InputKind};
pub use dataset::{ClassHistogram, DataFile, Dataset, Row, RowGroupSize, RowInput};
pub use error::{Damage, PipelineError};
pub use monitor::{Monitor, StreamCounters};
pub use shared_rows::{SharedFile, SharedRows};
pub use sources::SplitRole;
pub use stages::damage::check_quarantine;
pub use stream::Batches;
pub use stream_options::{Beside, StreamOptions};
