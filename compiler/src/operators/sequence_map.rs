use super::{Gradient, Operator};

/// `SequenceMap`: a graph for each tensor of a sequence. On import it is refused.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "SequenceMap",
    opsets: 17..=25,
    weights: &[],
    types: |rule| {
        Err(rule.error(
            "what it does to each tensor of a sequence is a graph of its own; export the model with that written out",
        ))
    },
    fold: None,
    gradient: Gradient::Refused("it runs a graph for each tensor of a sequence"),
    samples: Vec::new,
};
