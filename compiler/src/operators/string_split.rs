use super::{Gradient, Operator, texts};

/// `StringSplit`: parts of texts, and how many each has. What is made of texts is left aside on import.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "StringSplit",
    opsets: 20..=25,
    weights: &[],
    types: texts::left_aside,
    fold: None,
    gradient: Gradient::Zero("it takes texts apart"),
    samples: Vec::new,
};
