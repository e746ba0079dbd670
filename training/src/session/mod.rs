//! ONNX Runtime sessions: each is owned by a thread of its own and reads and writes tensors that stay bound.

mod bound;
mod device_store;
mod host_store;
mod options;
mod predictor;
mod step;
mod step_thread;
mod store;
mod thread;
#[cfg(test)]
mod twin_tests;

pub use predictor::{Logits, Predictor};
pub(crate) use step::Weight;
pub use step::{OptimizerState, StepOutcome, StepRunner, StepSettings};
