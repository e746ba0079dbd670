//! A look into datasets and models, without training anything.

mod dataset;
mod model;
mod whole_step;

pub use crate::class_count::ClassCount;
pub use dataset::{ColumnReport, DatasetReport, FileReport, inspect_dataset};
pub use model::{ModelInspection, PatternMatch, inspect_model};
pub use whole_step::WholeStep;
