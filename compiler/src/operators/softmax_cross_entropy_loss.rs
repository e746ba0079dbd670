use super::{Gradient, Operator, Sample, picked_losses};

/// `SoftmaxCrossEntropyLoss`: `NegativeLogLikelihoodLoss` of `LogSoftmax` over the classes, as those operators; its second output
/// is what that makes.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "SoftmaxCrossEntropyLoss",
    opsets: 13..=25,
    weights: &[],
    types: |rule| Ok(vec![picked_losses::types(rule)?, rule.input(0)?.clone()]),
    fold: None,
    gradient: Gradient::Expand(|node| {
        let scores = node.input(0)?;
        let scores = node.graph.add("LogSoftmax", &[scores], &[("axis", 1.into())])?;
        Ok(vec![picked_losses::loss(node, scores)?, scores])
    }),
    samples: || picked_losses::samples().into_iter().map(|sample: Sample| sample.with_outputs(2)).collect(),
};
