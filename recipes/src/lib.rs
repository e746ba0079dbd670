//! A recipe carried out.
//!
//! Each command of the command line is one function here that returns a typed report: [`check`] says what would happen,
//! [`train`] makes it happen, [`evaluate`] measures a model, [`preview`] shows what the transforms do, [`inspect`] looks
//! into datasets and models. Nothing here prints.
#![forbid(unsafe_code)]

mod catalogs;
mod check;
mod choices;
mod class_count;
mod classes;
mod error;
mod evaluate;
mod events;
pub mod inspect;
mod labels_file;
mod load;
mod model_choices;
mod model_inputs;
mod overlap;
mod plan;
mod preprocessing;
pub mod preview;
mod report;
mod row_source;
mod run_folder;
mod train;

pub use catalogs::Catalogs;
pub use check::{CheckReport, DataReport, DeviceReport, MemoryEstimate, check};
pub use error::RecipeError;
pub use evaluate::{EvaluateOptions, EvaluationReport, evaluate};
pub use events::{Event, Events, Silent, Stop};
pub use load::load;
pub use plan::{Plan, plan};
pub use report::compare_runs;
pub use row_source::RowSource;
pub use train::{RunSummary, StartMode, TrainOptions, train};
