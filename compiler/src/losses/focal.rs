//! Cross-entropy that attends to what is not yet known.

use millstream_schemas::choice::{Options, at_least};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::class_weights::{self, ClassWeights};
use super::cross_entropy::{negative_mean, negative_means_of_rows, require_scores, unless_of_rows};
use super::loss_function::{LossFunction, LossInputs, LossNodes, PredictionKind, RowLossNodes};
use super::loss_kind::{Build, LossKind};
use crate::CompilerError;
use crate::graph::{Graph, TensorType, ValueId};

pub(super) const LOSS: LossKind = LossKind {
    name: "focal",
    summary: "Cross-entropy in which rows that are known well count less.",
    documentation: "Lin et al., \"Focal Loss for Dense Object Detection\" (2017), with a softmax: with p = \
        softmax(scores) and targets t as for `cross_entropy`, loss = −Σ_c α_c·t_c·(1 − p_c)^γ·log p_c / Σ t, so \
        that on a soft target each class has its term by its share. γ 0 without α is `cross_entropy`; the authors \
        take γ 2, and for two classes α [0.75, 0.25]. All metrics of classes go with it.",
    samples: &["{}", r#"{"gamma": 0}"#, r#"{"gamma": 0.5}"#, r#"{"gamma": 2, "alpha": [0.75, 0.25, 1]}"#],
    build: Build::of::<Focal>(),
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Focal {
    /// How much less well known rows count; 0 for not at all.
    #[schemars(range(min = 0))]
    gamma: f64,
    /// Factor of each class, in their order; none for 1 each; `balanced` for rows / (classes · rows of the class), of the rows
    /// that are trained on.
    alpha: ClassWeights,
}

impl Default for Focal {
    fn default() -> Self {
        Self { gamma: 2.0, alpha: ClassWeights::default() }
    }
}

impl Options for Focal {
    fn validate(&self) -> Result<(), String> {
        at_least("gamma", self.gamma)?;
        self.alpha.check("alpha")
    }
}

impl LossFunction for Focal {
    fn reads(&self) -> PredictionKind {
        PredictionKind::ClassScores
    }

    fn target(&self, prediction: &TensorType) -> Result<TensorType, CompilerError> {
        require_scores(prediction)?;
        self.alpha.require_one_each(LOSS.name, "alpha", prediction)?;
        Ok(prediction.clone())
    }

    fn takes_weights(&self) -> bool {
        false
    }

    fn nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<LossNodes, CompilerError> {
        let LossInputs { prediction, targets, .. } = *inputs;
        let (loss, sum) = focal(graph, prediction, targets, self.gamma as f32, self.alpha.factors())?;
        Ok(LossNodes { loss, weight: unless_of_rows(graph, prediction, &[], sum)? })
    }

    fn row_nodes(&self, graph: &mut Graph, inputs: &LossInputs) -> Result<Option<RowLossNodes>, CompilerError> {
        let LossInputs { prediction, targets, .. } = *inputs;
        let (loss, sums) = focal_of_rows(graph, prediction, targets, self.gamma as f32, self.alpha.factors())?;
        Ok(Some(RowLossNodes { loss, weight: unless_of_rows(graph, prediction, &[], sums)? }))
    }
}

/// The loss for targets that are probabilities, and what it is a mean over: their sum.
pub(super) fn focal(
    graph: &mut Graph,
    scores: ValueId,
    targets: ValueId,
    gamma: f32,
    alpha: &[f64],
) -> Result<(ValueId, ValueId), CompilerError> {
    let agreement = agreement(graph, scores, targets, gamma, alpha)?;
    negative_mean(graph, agreement, targets)
}

/// Of each row what [`focal`] is for it alone: `[batch]` each.
pub(super) fn focal_of_rows(
    graph: &mut Graph,
    scores: ValueId,
    targets: ValueId,
    gamma: f32,
    alpha: &[f64],
) -> Result<(ValueId, ValueId), CompilerError> {
    let agreement = agreement(graph, scores, targets, gamma, alpha)?;
    negative_means_of_rows(graph, agreement, targets)
}

/// α_c·t_c·(1 − p_c)^γ·log p_c, of the shape of the scores.
fn agreement(
    graph: &mut Graph,
    scores: ValueId,
    targets: ValueId,
    gamma: f32,
    alpha: &[f64],
) -> Result<ValueId, CompilerError> {
    let log_probability = graph.add("LogSoftmax", &[scores], &[("axis", 1.into())])?;
    let mut agreement = graph.times(targets, log_probability)?;
    if gamma > 0.0 {
        let probability = graph.add("Exp", &[log_probability], &[])?;
        let one = graph.scalar(1.0);
        let left = graph.minus(one, probability)?;
        // The slope of a power below 1 is infinite at 0, and times the slope of p, which is 0 there, no number.
        let least = graph.scalar(1e-8);
        let left = graph.add("Max", &[left, least], &[])?;
        let exponent = graph.scalar(gamma);
        let factor = graph.add("Pow", &[left, exponent], &[])?;
        agreement = graph.times(agreement, factor)?;
    }
    class_weights::by_class(graph, agreement, alpha)
}
