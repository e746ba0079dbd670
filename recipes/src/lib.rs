//! A recipe carried out.
//!
//! Each command of the command line is one function here that returns a typed report: [`check`] says what would happen,
//! [`train`] makes it happen, [`evaluate`] measures a model, [`preview`] shows what the transforms do, [`inspect`] looks
//! into datasets and models. Nothing here prints.
#![forbid(unsafe_code)]

mod check;
mod classes;
mod error;
mod evaluate;
mod events;
pub mod inspect;
mod labels_file;
mod load;
mod overlap;
mod plan;
mod preprocessing;
pub mod preview;
mod report;
mod run_folder;
mod schema;
mod train;

pub use check::{CheckReport, DataReport, DeviceReport, MemoryEstimate, check};
pub use error::RecipeError;
pub use evaluate::{EvaluateOptions, EvaluationReport, evaluate};
pub use events::{Event, Events, Silent, Stop};
pub use load::load;
pub use plan::{ModelInput, Plan, RowSource, plan};
pub use report::compare_runs;
pub use schema::recipe_schema;
pub use train::{RunSummary, StartMode, TrainOptions, train};
