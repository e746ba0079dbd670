use millstream_compiler::RowPlaces;
use millstream_schemas::{Batch, TARGETS, Tensor};

use crate::TrainingError;

/// How many places of a prediction's second axis, which has `all`, are each row's: all, unless rows have lengths of their own.
///
/// # Errors
/// They have, and what is the row's does not follow from them.
pub(super) fn row_lengths(batch: &Batch, places: &RowPlaces, all: usize) -> Result<Vec<usize>, TrainingError> {
    if batch.lengths.keys().all(|name| name == TARGETS) {
        return Ok(vec![all; batch.capacity()]);
    }
    let of_slot = |slot: usize| {
        let length = |input: &str| batch.lengths.get(input).and_then(|lengths| lengths.get(slot)).copied();
        places.of_row(&length).map(|places| places.min(all))
    };
    (0..batch.capacity()).map(of_slot).collect::<Option<_>>().ok_or_else(|| TrainingError::Input {
        name: "prediction".into(),
        wanted: "a second axis whose length follows from those of the inputs, so that it is known how much of it is each row's".into(),
        got: format!("one of {all}, for rows of different lengths: what makes it has no rule that tells it"),
    })
}

/// As an input of a graph, `[batch]`.
pub(super) fn as_tensor(lengths: &[usize]) -> Tensor {
    Tensor::i64([lengths.len()], lengths.iter().map(|length| *length as i64).collect::<Vec<_>>())
}
