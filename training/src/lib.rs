//! Runs compiled training graphs on ONNX Runtime.
//!
//! `millstream-runtime` loads the library and finds a [`Device`](millstream_runtime::Device), and then either [`StepRunner`]
//! makes single steps for a loop of your own, or [`Trainer`] runs a whole training with evaluation, checkpoints and resume.
//! [`Predictor`] runs a finished model. Batches come from anywhere: this crate takes an iterator of them.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (program, batches): (millstream_compiler::TrainingProgram, Vec<millstream_schemas::Batch>) = unimplemented!();
//! use millstream_runtime::{Device, DeviceRequest, ready};
//! use millstream_training::{StepRunner, StepSettings};
//!
//! let device = Device::resolve(DeviceRequest::Auto, ready(None)?)?;
//! let mut runner = StepRunner::open(&program, &device, &StepSettings::default())?;
//! for batch in batches {
//!     let (_batch, outcome) = runner.step(batch, 1e-3)?;
//!     println!("loss {}", outcome.loss);
//! }
//! program.export(&runner.parameters()?, &[])?.write_to(&mut std::fs::File::create("tuned.onnx")?)?;
//! # Ok(())
//! # }
//! ```
#![deny(unsafe_code)]

#[cfg(test)]
extern crate self as millstream_training; // so that unit tests and the suite share `support`

mod batches;
pub mod calibration;
pub mod checkpoint;
mod curve;
pub mod divergence;
mod early_stopping;
pub mod ensembles;
mod epoch_evaluation;
mod error;
mod evaluation_record;
mod evaluator;
mod freezing;
mod kept_states;
pub mod logs;
mod loop_settings;
mod made_step;
pub mod metrics;
mod number_or_null;
pub mod observers;
mod onnx_runtime_error;
pub mod optimizers;
pub mod pace;
mod prediction_sink;
pub mod range_test;
pub mod record;
mod reestimation;
pub mod report;
mod resume_check;
mod row_loss;
mod row_slices;
pub mod schedules;
mod session;
mod settings;
mod speed;
#[cfg(test)]
#[expect(dead_code, reason = "unit tests need a part of what the suite needs")]
#[path = "../tests/suite/support.rs"]
mod support;
mod trainer;
#[cfg(test)]
mod trajectories;
mod until;
mod views;

pub use batches::BatchSource;
pub use checkpoint::{Checkpoint, CheckpointSettings};
pub use early_stopping::EarlyStopping;
pub use epoch_evaluation::EpochEvaluation;
pub use error::{BoxError, Rows, TrainingError};
pub use evaluation_record::{AveragedRecord, EvaluationRecord, ReestimatedRecord, SetEvaluation, SkippedUpdates};
pub use evaluator::{EvaluationBatches, EvaluationExtras, EvaluationSet, RunSources, evaluate, evaluate_with};
pub use freezing::{FreezePlan, Freezing, Moment};
pub use kept_states::KeptRecord;
pub use loop_settings::{CheckpointAverage, EvaluationInterval, LoopSettings, NonFinite, Reestimation};
pub use metrics::{Evaluation, FigureKind, MetricSet};
pub use observers::{EndReason, Event, Observer, StepEvent};
pub use onnx_runtime_error::OnnxRuntimeError;
pub use prediction_sink::PredictionSink;
pub use record::{History, RunRecord};
pub use reestimation::{RunningStatistics, running_statistics};
pub use row_loss::RowLoss;
pub use row_slices::RowSlices;
pub use session::{
    GradientNoise, LossRunner, LossScale, OptimizerState, Prediction, Predictor, PrefixRunner, RowWeights, Scored,
    StepOutcome, StepRunner, StepSettings, check_kernels,
};
pub use settings::TrainerSettings;
pub use trainer::Trainer;
pub use until::{Ending, Until};
pub use views::{Averaged, ViewMean};
