//! A recipe carried out.
//!
//! Each command of the command line is one function here that returns a typed report: [`check`] says what would happen,
//! [`train`] makes it happen, [`evaluate`] measures a model, [`preview`] shows what the transforms do, [`inspect`] looks
//! into datasets and models, [`lr_find`] looks for a learning rate, [`search`] for any values of a recipe, [`compile`] writes
//! the training step for a loop of one's own, [`ensemble`] makes one model of several, [`comparison`] holds runs against each
//! other, [`reproduction`] makes one again, [`error_analysis`] looks for what its errors depend on, [`documents`] and [`runs`]
//! tell of them. Nothing here prints.
//!
//! What [`train`] does in one go is there in parts, which can be shared: [`Opened`] (data and model, checked against each
//! other) is compiled to [`Compiled`], of which a [`Run`] is started that advances by steps or epochs. Several runs of a
//! process can share [`Resources`]: memory, workers, threads of ONNX Runtime.
#![forbid(unsafe_code)]

mod adapter_output;
pub mod adapters;
mod balanced_loss;
mod calibrated;
mod catalogs;
mod check;
mod choices;
mod class_balance;
mod class_count;
mod classes;
mod commented;
pub mod comparison;
mod compile;
mod compiled;
mod data_facts;
mod data_report;
mod decisions;
pub mod documents;
mod dry_run;
mod earlier_fingerprints;
pub mod ensemble;
mod error;
pub mod error_analysis;
mod evaluate;
mod evaluation_plan;
mod evaluation_sets;
mod events;
mod first_difference;
mod folder_files;
mod freezing;
mod frozen_prefix;
mod image_inputs;
pub mod import;
mod imported;
pub mod init;
mod input_facts;
mod input_types;
pub mod inspect;
mod kept_predictions;
mod labels_file;
mod line_object;
mod lineage;
mod load;
mod locked_folder;
mod log_choices;
mod loss_targets;
mod lr_find;
mod machine_memory;
mod made_of;
mod measuring;
mod memory_check;
mod memory_estimate;
mod model_choices;
mod model_inputs;
mod moment;
mod noted_files;
mod one_length;
mod open_places;
mod opened;
mod origin;
mod overlap;
mod pages;
mod parameter_groups;
mod precision;
pub mod predict;
mod preprocessing;
pub mod preview;
mod program_files;
mod record_source;
mod replaced_inputs;
mod replaced_model;
mod report;
pub mod reproduction;
mod resources;
mod results;
mod right_answers;
mod row_source;
mod run;
mod run_about;
mod run_end;
mod run_files;
mod run_folder;
mod run_length;
mod run_logs;
mod run_parts;
mod run_predictions;
mod run_start;
mod run_state;
mod run_summary;
pub mod runs;
mod runs_memory;
mod same_run;
pub mod search;
mod setting_changes;
mod significance;
mod slices;
mod start_mode;
mod statistics;
mod step_settings;
mod stream;
mod stream_options;
mod study_part;
mod table_records;
mod temporary_folder;
mod tensor_encoding;
mod train;
mod transform_differences;
mod unless_stopped;
pub mod watch;

pub use calibrated::Calibrated;
pub use catalogs::Catalogs;
pub use check::{CheckReport, DeviceReport, check};
pub use commented::commented;
pub use compile::{CompileOptions, CompileReport, compile};
pub use compiled::Compiled;
pub use data_report::DataReport;
pub use decisions::{Decision, decisions, note};
pub use dry_run::{DryRunReport, dry_run};
pub use error::RecipeError;
pub use evaluate::{EvaluateOptions, EvaluationReport, evaluate};
pub use events::{Event, Events, Silent, Stop};
pub use freezing::FreezeStage;
pub use imported::{import_rows_of, import_training_rows_of};
pub use load::load;
pub use lr_find::{LrFindOptions, LrFindReport, lr_find};
pub use memory_estimate::MemoryEstimate;
pub use opened::{Opened, OpenedParts};
pub use origin::{Origin, Parent, commit};
pub use parameter_groups::GroupReport;
pub use program_files::WrittenFile;
pub use replaced_inputs::{require_no_input, require_no_source};
pub use report::compare_runs;
pub use resources::{ResourceOptions, Resources};
pub use row_source::RowSource;
pub use run::{Run, RunProgress};
pub use run_parts::RunPart;
pub use run_start::RunOptions;
pub use run_state::RunState;
pub use run_summary::RunSummary;
pub use setting_changes::SettingChange;
pub use start_mode::StartMode;
pub use study_part::{StudyPart, StudyRole};
pub use train::{TrainOptions, train};
