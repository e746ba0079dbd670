use super::{Gradient, Operator, texts};

/// `StringConcat`: texts joined. What is made of texts is left aside on import.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "StringConcat",
    opsets: 20..=25,
    weights: &[],
    types: texts::left_aside,
    fold: None,
    gradient: Gradient::Zero("it joins texts"),
    samples: Vec::new,
};
