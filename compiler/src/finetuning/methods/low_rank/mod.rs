//! What `lora` is made of: two factors beside a weight, the nodes that read them, where they start, what else is trained,
//! and what files hold of them.

mod biases;
mod branch;
mod factors;
mod file_parts;
mod layer_patterns;
mod magnitude;
mod principal;
mod tables;

pub(super) use biases::TrainedBiases;
pub(super) use branch::Branch;
pub(super) use factors::{Factors, floats};
pub(super) use file_parts::{FileParts, in_file, note_of_folded, why_not_in_peft};
pub(super) use layer_patterns::{by_pattern, note_of_unwanted, require_matches};
pub(super) use magnitude::{GAIN_FLOOR, Magnitude};
pub(super) use principal::principal;
pub(super) use tables::{table_readers, tables};
