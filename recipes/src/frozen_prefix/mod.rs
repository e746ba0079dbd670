//! What the frozen part of a model gives, computed once for each row and kept.

mod activations;
mod activations_file;
mod filling;
mod held_bytes;
mod padded;
mod plan;
mod row_index;
mod run_prefix;
mod serving;
mod store;

pub(crate) use plan::{PrefixPlan, begun, planned};
pub(crate) use row_index::RowIndex;
pub(crate) use run_prefix::{Around, RunPrefix, training_streams};
pub(crate) use serving::Serving;
pub(crate) use store::PrefixStore;
