//! What losses between numbers share: a difference for each number, a mean over those of a row, a mean over rows by weight.

use super::cross_entropy::TINY;
use super::loss_function::{LossInputs, LossNodes};
use crate::CompilerError;
use crate::graph::{ElementType, Graph, Length, TensorType, ValueId};

/// Targets have the type of the prediction, which has a row for each of the batch.
fn same_as_prediction(prediction: &TensorType) -> Result<TensorType, CompilerError> {
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
    let (mean, _) = mean_by_weight(graph, of_row, weights)?;
    let numbers = graph.length_as_float(&numbers)?;
    Ok(LossNodes { loss: graph.divided_by(mean, numbers)?, weight: None })
}

/// Σ w·`of_row` / max(Σ w, tiny), both `[batch]`; and Σ w.
pub(super) fn mean_by_weight(
    graph: &mut Graph,
    of_row: ValueId,
    weights: ValueId,
) -> Result<(ValueId, ValueId), CompilerError> {
    let weighted = graph.times(of_row, weights)?;
    let sum = graph.reduce_sum(weighted, &[0], false)?;
    let weight = graph.reduce_sum(weights, &[0], false)?;
    let tiny = graph.scalar(TINY);
    let divisor = graph.add("Max", &[weight, tiny], &[])?;
    Ok((graph.divided_by(sum, divisor)?, weight))
}

/// The mean of a loss between numbers, under `ignore_padding` over the places that are none.
pub(super) fn mean_of_numbers(
    graph: &mut Graph,
    terms: ValueId,
    inputs: &LossInputs,
    ignore_padding: bool,
) -> Result<LossNodes, CompilerError> {
    if !ignore_padding {
        return row_mean(graph, terms, inputs);
    }
    let shape = graph.shape(terms)?;
    let (last, numbers) = (shape.len() as i64 - 1, shape[shape.len() - 1].clone());
    let others: Vec<i64> = (1..last).collect();
    let size = graph.add("Abs", &[inputs.targets], &[])?;
    let size = graph.reduce_sum(size, &[last], false)?;
    let counted = graph.add("Sign", &[size], &[])?;
    let of_place = graph.reduce_sum(terms, &[last], false)?;
    let share = graph.one_over(&numbers)?;
    let of_place = graph.times(of_place, share)?;
    let of_place = graph.times(of_place, counted)?;
    let [of_row, counted] = [of_place, counted].map(|value| match others.as_slice() {
        [] => Ok(value),
        others => graph.reduce_sum(value, others, false),
    });
    let (of_row, counted) = (of_row?, counted?);
    let weights = inputs.weights()?;
    let [of_row, counted] = [of_row, counted].map(|value| graph.times(value, weights));
    let [sum, weight] = [of_row?, counted?].map(|value| graph.reduce_sum(value, &[0], false));
    let (sum, weight) = (sum?, weight?);
    let tiny = graph.scalar(TINY);
    let divisor = graph.add("Max", &[weight, tiny], &[])?;
    Ok(LossNodes { loss: graph.divided_by(sum, divisor)?, weight: Some(weight) })
}

/// Refuses a prediction that has no axis of places that could be padding.
pub(super) fn target_of_numbers(prediction: &TensorType, ignore_padding: bool) -> Result<TensorType, CompilerError> {
    if ignore_padding && prediction.shape.len() < 2 {
        let message =
            format!("places that are padding need targets [batch, …, numbers], and the prediction is {prediction}");
        return Err(CompilerError::setting("training.loss", message));
    }
    same_as_prediction(prediction)
}
