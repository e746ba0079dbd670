//! What was tried and what came of it.

mod confidence_interval;
mod front;
mod history;
mod objective;
mod ranking;
mod trial;

pub use confidence_interval::ConfidenceInterval;
pub(crate) use front::{constrained_dominates, crowding, fronts};
pub use history::History;
pub use objective::{Direction, Objective};
pub(crate) use ranking::{Ranked, ranking};
pub use trial::{Trial, TrialState};
