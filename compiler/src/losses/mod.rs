//! Losses: graphs from the model's output and the targets to one number.

mod cross_entropy;

pub use cross_entropy::cross_entropy;
