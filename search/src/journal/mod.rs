//! A study in a file: one JSON line an event, which several processes append to, and which is whole whenever one of them dies.

mod clock;
mod csv;
mod heart;
mod journal_file;
mod optuna;
mod shared_study;

pub use csv::csv;
pub use heart::Heart;
pub use optuna::optuna;
pub use shared_study::{SharedStudy, Sharing};

pub use crate::study::Event;
