use super::{Gradient, Operator, picked_losses};

/// `NegativeLogLikelihoodLoss`: −w · s of the class of each example, for logarithms of probabilities s `[N, C, …]` and weights w
/// of classes; their mean by weights, their sum, or each. As those operators.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "NegativeLogLikelihoodLoss",
    opsets: 13..=25,
    weights: &[],
    types: |rule| Ok(vec![picked_losses::types(rule)?]),
    fold: None,
    gradient: Gradient::Expand(|node| {
        let scores = node.input(0)?;
        Ok(vec![picked_losses::loss(node, scores)?])
    }),
    samples: picked_losses::samples,
};
