//! What losses between numbers share: a difference for each number, a mean over those of a row, a mean over rows by weight.

use super::cross_entropy::TINY;
use super::loss_function::{LossInputs, LossNodes};
use crate::CompilerError;
use crate::graph::{ElementType, Graph, Length, TensorType, ValueId};

/// Targets have the type of the prediction, which has a row for each of the batch.
pub(super) fn same_as_prediction(prediction: &TensorType) -> Result<TensorType, CompilerError> {
    if prediction.dtype == ElementType::F32 && !prediction.shape.is_empty() {
        return Ok(prediction.clone());
    }
    Err(CompilerError::setting(
        "training.loss",
        format!("the loss wants numbers, float32 [batch, …], and the prediction is {prediction}"),
    ))
}

/// Prediction less target, number by number.
pub(super) fn difference(graph: &mut Graph, inputs: &LossInputs) -> Result<ValueId, CompilerError> {
    graph.minus(inputs.prediction, inputs.targets)
}

/// Σ_rows w·mean(`terms` of the row) / max(Σ w, tiny), for `terms` of the shape of the prediction.
pub(super) fn row_mean(graph: &mut Graph, terms: ValueId, inputs: &LossInputs) -> Result<LossNodes, CompilerError> {
    let shape = graph.shape(terms)?;
    let (axes, numbers): (Vec<i64>, Length) = ((1..shape.len() as i64).collect(), shape[1..].iter().product());
    let of_row = if axes.is_empty() { terms } else { graph.reduce_sum(terms, &axes, false)? };
    let weights = inputs.weights()?;
    let weighted = graph.times(of_row, weights)?;
    let sum = graph.reduce_sum(weighted, &[0], false)?;
    let weight = graph.reduce_sum(weights, &[0], false)?;
    let tiny = graph.scalar(TINY);
    let weight = graph.add("Max", &[weight, tiny], &[])?;
    let numbers = graph.length_as_float(&numbers)?;
    let mean = graph.divided_by(sum, weight)?;
    Ok(LossNodes { loss: graph.divided_by(mean, numbers)?, weight: None })
}
