//! ONNX Runtime sessions: each is owned by a thread of its own and reads and writes tensors that stay bound.

mod bound;
mod device_store;
mod host_store;
mod options;
mod predictor;
mod row_weights;
mod step;
mod step_outcome;
mod step_thread;
mod store;
mod thread;
#[cfg(test)]
mod twin_tests;

pub use predictor::{Logits, Predictor};
pub use step::{OptimizerState, StepRunner, StepSettings};
pub use step_outcome::StepOutcome;
