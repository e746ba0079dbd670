//! ONNX Runtime sessions: each is owned by a thread of its own and reads and writes tensors that stay bound.

mod batch_input;
mod bound;
mod bound_graph;
mod cohorts;
mod device_ascent;
mod device_store;
mod frozen_weights;
mod gathered;
mod gradient_noise;
mod host_store;
mod kernels;
mod loss_runner;
mod loss_scale;
mod masks;
mod optimizer_state;
mod options;
#[cfg(test)]
mod penalty_tests;
mod placement;
mod predictor;
mod prefix_runner;
mod row_lengths;
mod row_weights;
#[cfg(test)]
mod scaled_tests;
mod scored;
mod step;
mod step_outcome;
mod step_settings;
mod step_thread;
mod store;
mod thread;
#[cfg(test)]
mod twin_tests;

pub use gradient_noise::GradientNoise;
pub use kernels::check_kernels;
pub use loss_runner::LossRunner;
pub use loss_scale::LossScale;
pub use optimizer_state::OptimizerState;
pub use predictor::Predictor;
pub use prefix_runner::PrefixRunner;
pub use row_weights::RowWeights;
pub use scored::{Prediction, Scored};
pub use step::StepRunner;
pub use step_outcome::StepOutcome;
pub use step_settings::StepSettings;
pub(crate) use step_settings::{average_of, has_statistics_of_last};
pub(crate) use step_thread::BatchStatistics;
