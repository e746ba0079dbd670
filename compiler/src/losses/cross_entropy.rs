//! Softmax cross-entropy with soft targets.

use millstream_schemas::choice::{Options, share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class_weights::{self, ClassWeights};
use super::loss_function::{LossFunction, LossInputs, LossNodes, PredictionKind, RowLossNodes};
use super::loss_kind::{Build, LossKind};
use super::row_mean::{divided_by_weight, sums_of_rows};
use crate::CompilerError;
use crate::graph::{ElementType, Graph, TensorType, ValueId};

pub(super) const LOSS: LossKind = LossKind {
    name: "cross_entropy",
    summary: "Softmax cross-entropy between scores and class probabilities.",
    documentation: "Targets are class probabilities of the shape of the scores, `[batch, classes]`, as of `class_label` and `class_probabilities`, or `[batch, \
        classes, …]` with a distribution at each further place, as in a mask. A distribution t sums to its weight \
        w, so one of zeros is left out. With s = `label_smoothing`, t' = (1 − s)·t + s·w/classes (Szegedy et \
        al., \"Rethinking the Inception Architecture for Computer Vision\", 2016) and c = `class_weights`, 1 each by \
        themselves: loss = −Σ c·t'·log_softmax(scores) / Σ c·t, which for targets of one class each is PyTorch's \
        `CrossEntropyLoss`. All metrics of classes go with it.",
    samples: &["{}", r#"{"label_smoothing": 0.1}"#, r#"{"label_smoothing": 0.2, "class_weights": [1, 0.25, 2]}"#],
    build: Build::of::<CrossEntropy>(),
};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct CrossEntropy {
    /// Share of the target probability spread evenly over all classes, 0 to below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    label_smoothing: f64,
    /// How much each class counts, in their order, 0 or more; none for 1 each; `balanced` for rows / (classes · rows of the
    /// class), of the rows that are trained on.
    class_weights: ClassWeights,
}

impl Options for CrossEntropy {
    fn validate(&self) -> Result<(), String> {
        share("label_smoothing", self.label_smoothing)?;
        self.class_weights.check("class_weights")
    }
}

impl LossFunction for CrossEntropy {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError> {
        require_scores(prediction)?;
        self.class_weights.require_one_each(LOSS.name, "class_weights", prediction)?;
        Ok(prediction.clone())
    }

    fn takes_weights(&self) -> bool {
        false
    }

    fn nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<LossNodes, CompilerError> {
        let LossInputs { prediction, targets, .. } = *inputs;
        of_probabilities(graph, prediction, targets, self.label_smoothing as f32, self.class_weights.factors())
    }

    fn row_nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<Option<RowLossNodes>, CompilerError> {
        let LossInputs { prediction, targets, .. } = *inputs;
        let (smoothing, class_weights) = (self.label_smoothing as f32, self.class_weights.factors());
        rows_of_probabilities(graph, prediction, targets, smoothing, class_weights).map(Some)
    }
}

/// Scores have an axis of classes behind that of the batch.
pub(super) fn require_scores(prediction: &TensorType) -> Result<(), CompilerError> {
    if prediction.dtype == ElementType::F32 && prediction.shape.len() >= 2 {
        return Ok(());
    }
    Err(CompilerError::setting(
        "training.loss",
        format!("the loss wants class scores, float32 [batch, classes, …], and the prediction is {prediction}"),
    ))
}

/// The nodes, for targets that are probabilities. A row with many places has a weight of its own: the sum over them.
pub(super) fn of_probabilities(
    graph: &mut Graph,
    scores: ValueId,
    targets: ValueId,
    smoothing: f32,
    class_weights: &[f64],
) -> Result<LossNodes, CompilerError> {
    let (agreement, counted) = agreement_and_count(graph, scores, targets, smoothing, class_weights)?;
    let (loss, sum) = negative_mean(graph, agreement, counted)?;
    Ok(LossNodes { loss, weight: unless_of_rows(graph, scores, class_weights, sum)? })
}

/// Of each row what [`of_probabilities`] is for it alone.
pub(super) fn rows_of_probabilities(
    graph: &mut Graph,
    scores: ValueId,
    targets: ValueId,
    smoothing: f32,
    class_weights: &[f64],
) -> Result<RowLossNodes, CompilerError> {
    let (agreement, counted) = agreement_and_count(graph, scores, targets, smoothing, class_weights)?;
    let (loss, sums) = negative_means_of_rows(graph, agreement, counted)?;
    Ok(RowLossNodes { loss, weight: unless_of_rows(graph, scores, class_weights, sums)? })
}

/// What a mean is over, left out where it is the sum of the rows' weights: of scores `[batch, classes]` whose targets count as they are.
pub(super) fn unless_of_rows(
    graph: &Graph,
    scores: ValueId,
    class_weights: &[f64],
    counted: ValueId,
) -> Result<Option<ValueId>, CompilerError> {
    let is_of_rows = class_weights.is_empty() && graph.shape(scores)?.len() == 2;
    Ok((!is_of_rows).then_some(counted))
}

/// c·t'·log_softmax(scores) and c·t, both of the shape of the scores.
fn agreement_and_count(
    graph: &mut Graph,
    scores: ValueId,
    targets: ValueId,
    smoothing: f32,
    class_weights: &[f64],
) -> Result<(ValueId, ValueId), CompilerError> {
    let log_probability = graph.add("LogSoftmax", &[scores], &[("axis", 1.into())])?;
    let smoothed = if smoothing > 0.0 {
        let classes = graph.shape(scores)?[1].clone();
        let weight = graph.reduce_sum(targets, &[1], true)?;
        let spread = match classes.fixed() {
            Some(classes) => graph.scalar(smoothing / classes as f32),
            None => {
                let (share, smoothing) = (graph.one_over(&classes)?, graph.scalar(smoothing));
                graph.times(share, smoothing)?
            }
        };
        let everywhere = graph.times(weight, spread)?;
        let kept = graph.scalar(1.0 - smoothing);
        let own = graph.times(targets, kept)?;
        graph.plus(own, everywhere)?
    } else {
        targets
    };
    let agreement = graph.times(smoothed, log_probability)?;
    let agreement = class_weights::by_class(graph, agreement, class_weights)?;
    let counted = class_weights::by_class(graph, targets, class_weights)?;
    Ok((agreement, counted))
}

/// −Σ `terms` / max(Σ `counted`, tiny), both `[batch, classes, …]`; and Σ `counted`.
pub(super) fn negative_mean(
    graph: &mut Graph,
    terms: ValueId,
    counted: ValueId,
) -> Result<(ValueId, ValueId), CompilerError> {
    let axes: Vec<i64> = (0..graph.shape(counted)?.len() as i64).collect();
    let terms = graph.reduce_sum(terms, &axes, false)?;
    let sum = graph.reduce_sum(counted, &axes, false)?;
    let mean = divided_by_weight(graph, terms, sum)?;
    Ok((graph.add("Neg", &[mean], &[])?, sum))
}

/// Of each row what [`negative_mean`] is for it alone: `[batch]` each.
pub(super) fn negative_means_of_rows(
    graph: &mut Graph,
    terms: ValueId,
    counted: ValueId,
) -> Result<(ValueId, ValueId), CompilerError> {
    let (terms, sums) = (sums_of_rows(graph, terms)?, sums_of_rows(graph, counted)?);
    let means = divided_by_weight(graph, terms, sums)?;
    Ok((graph.add("Neg", &[means], &[])?, sums))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::OperatorCatalog;

    #[test]
    fn the_weight_of_a_mean_is_left_out_of_batches_and_of_rows_alike() {
        for (axes, class_weights, has_weight) in
            [(2, &[][..], false), (3, &[][..], true), (2, &[1.0, 2.0, 0.5][..], true)]
        {
            let mut graph = Graph::new(17, OperatorCatalog::standard());
            let shape = &[4_usize, 3, 2][..axes];
            let [scores, targets] = ["scores", "targets"].map(|name| graph.input(name, TensorType::f32(shape)));
            let of_batch = of_probabilities(&mut graph, scores, targets, 0.0, class_weights).unwrap();
            let of_rows = rows_of_probabilities(&mut graph, scores, targets, 0.0, class_weights).unwrap();
            let given = [of_batch.weight.is_some(), of_rows.weight.is_some()];
            assert_eq!(given, [has_weight; 2], "{axes} axes, class weights {class_weights:?}");
        }
    }
}
