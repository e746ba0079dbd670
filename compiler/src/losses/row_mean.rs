//! What losses between numbers share: a difference for each number, a mean over those of a row, a mean over rows by weight.

use super::loss_function::{LossInputs, LossNodes, RowLossNodes};
use crate::CompilerError;
use crate::graph::{ElementType, Graph, Length, TensorType, ValueId};

/// What a mean is divided by at least: a batch without any labelled row has loss 0, not NaN.
pub(super) const TINY: f32 = 1e-12;

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
    let (of_row, numbers) = sums_of_numbers(graph, terms)?;
    let weights = inputs.weights()?;
    let (mean, _) = mean_by_weight(graph, of_row, weights)?;
    let numbers = graph.length_as_float(&numbers)?;
    Ok(LossNodes { loss: graph.divided_by(mean, numbers)?, weight: None })
}

/// Of each row what [`row_mean`] is for it alone.
pub(super) fn rows_of_mean(
    graph: &mut Graph,
    terms: ValueId,
    inputs: &LossInputs,
) -> Result<RowLossNodes, CompilerError> {
    let (of_row, numbers) = sums_of_numbers(graph, terms)?;
    let mean = rows_by_weight(graph, of_row, inputs.weights()?)?;
    let numbers = graph.length_as_float(&numbers)?;
    Ok(RowLossNodes { loss: graph.divided_by(mean, numbers)?, weight: None })
}

/// The sum of each row, `[batch]`, and how many numbers it has.
fn sums_of_numbers(graph: &mut Graph, terms: ValueId) -> Result<(ValueId, Length), CompilerError> {
    let numbers: Length = graph.shape(terms)?[1..].iter().product();
    Ok((sums_of_rows(graph, terms)?, numbers))
}

/// The sum of each row, `[batch]`.
pub(super) fn sums_of_rows(graph: &mut Graph, terms: ValueId) -> Result<ValueId, CompilerError> {
    let axes: Vec<i64> = (1..graph.shape(terms)?.len() as i64).collect();
    if axes.is_empty() { Ok(terms) } else { graph.reduce_sum(terms, &axes, false) }
}

/// Of each row what [`mean_by_weight`] is for it alone: w·`of_row` / max(w, tiny), `[batch]`.
pub(super) fn rows_by_weight(graph: &mut Graph, of_row: ValueId, weights: ValueId) -> Result<ValueId, CompilerError> {
    let weighted = graph.times(of_row, weights)?;
    divided_by_weight(graph, weighted, weights)
}

/// `sum` / max(`weight`, tiny), number by number.
pub(super) fn divided_by_weight(graph: &mut Graph, sum: ValueId, weight: ValueId) -> Result<ValueId, CompilerError> {
    let tiny = graph.scalar(TINY);
    let divisor = graph.add("Max", &[weight, tiny], &[])?;
    graph.divided_by(sum, divisor)
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
    Ok((divided_by_weight(graph, sum, weight)?, weight))
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
    let (of_row, counted) = sums_of_places(graph, terms, inputs)?;
    let [sum, weight] = [of_row, counted].map(|value| graph.reduce_sum(value, &[0], false));
    let (sum, weight) = (sum?, weight?);
    Ok(LossNodes { loss: divided_by_weight(graph, sum, weight)?, weight: Some(weight) })
}

/// Of each row what [`mean_of_numbers`] is for it alone.
pub(super) fn rows_of_numbers(
    graph: &mut Graph,
    terms: ValueId,
    inputs: &LossInputs,
    ignore_padding: bool,
) -> Result<RowLossNodes, CompilerError> {
    if !ignore_padding {
        return rows_of_mean(graph, terms, inputs);
    }
    let (of_row, counted) = sums_of_places(graph, terms, inputs)?;
    Ok(RowLossNodes { loss: divided_by_weight(graph, of_row, counted)?, weight: Some(counted) })
}

/// Of each row the sum of the means of its places that are no padding, and how many those are, each by its weight: `[batch]`.
fn sums_of_places(graph: &mut Graph, terms: ValueId, inputs: &LossInputs) -> Result<(ValueId, ValueId), CompilerError> {
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
    Ok((of_row?, counted?))
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
