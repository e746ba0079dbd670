//! What is fitted to a trained model on labelled rows: a temperature, thresholds. Plain functions of what the model gave.

mod outcomes;
mod temperature;
mod threshold;

pub use outcomes::Outcomes;
pub use temperature::{Temperature, fit_temperature};
pub use threshold::{Criterion, FittedThresholds, Threshold, fit_thresholds};
