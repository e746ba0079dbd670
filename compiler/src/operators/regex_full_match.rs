use super::{Gradient, Operator, texts};

/// `RegexFullMatch`: whether texts fit a pattern. What is made of texts is left aside on import.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "RegexFullMatch",
    opsets: 20..=25,
    weights: &[],
    types: texts::left_aside,
    fold: None,
    gradient: Gradient::Zero("it compares texts"),
    samples: Vec::new,
};
