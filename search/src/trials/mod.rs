//! What was tried and what came of it.

mod front;
mod history;
mod objective;
mod ranking;
mod trial;

pub(crate) use front::{constrained_dominates, crowding, fronts};
pub use history::History;
pub use objective::{Direction, Objective};
pub(crate) use ranking::{Ranked, ranking};
pub use trial::{Trial, TrialState};
