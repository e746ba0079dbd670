//! Scores of symbols at each place of a sequence.

use crate::CompilerError;
use crate::graph::{ElementType, Graph, TensorType, ValueId};

/// Refuses a prediction that is not float32 `[batch, sequence, symbols]`.
pub(super) fn require_sequence(prediction: &TensorType) -> Result<(), CompilerError> {
    if prediction.dtype == ElementType::F32 && prediction.shape.len() == 3 {
        return Ok(());
    }
    let message = format!(
        "the loss wants scores at each place of a sequence, float32 [batch, sequence, symbols], and the prediction is \
         {prediction}"
    );
    Err(CompilerError::setting("training.loss", message))
}

/// How many symbols have a score.
pub(super) fn symbols(graph: &Graph, prediction: ValueId) -> Result<usize, CompilerError> {
    graph.shape(prediction)?[2].fixed().ok_or_else(|| {
        CompilerError::setting(
            "training.loss",
            "the number of scores at a place is open; export the model with a fixed number of them",
        )
    })
}
