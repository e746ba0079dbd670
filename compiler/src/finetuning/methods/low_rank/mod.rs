//! What `lora` is made of: two factors beside a weight, the nodes that read them, where they start, and what else is trained.

mod biases;
mod branch;
mod factors;
mod magnitude;
mod principal;
mod tables;

pub(super) use biases::TrainedBiases;
pub(super) use branch::Branch;
pub(super) use factors::{Factors, floats};
pub(super) use magnitude::{GAIN_FLOOR, Magnitude};
pub(super) use principal::principal;
pub(super) use tables::{table_readers, tables};
