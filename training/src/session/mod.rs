//! ONNX Runtime sessions: each is owned by a thread of its own and reads and writes tensors that stay bound.

mod bound;
mod cohorts;
mod device_store;
mod frozen_weights;
mod gathered;
mod host_store;
mod kernels;
mod loss_runner;
mod masks;
mod options;
mod predictor;
mod row_weights;
mod scored;
mod step;
mod step_outcome;
mod step_thread;
mod store;
mod thread;
#[cfg(test)]
mod twin_tests;

pub use kernels::check_kernels;
pub use loss_runner::LossRunner;
pub use predictor::Predictor;
pub use row_weights::RowWeights;
pub use scored::{Prediction, Scored};
pub use step::{OptimizerState, StepRunner, StepSettings};
pub use step_outcome::StepOutcome;
