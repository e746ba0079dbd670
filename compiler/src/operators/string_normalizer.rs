use super::{Gradient, Operator, texts};

/// `StringNormalizer`: texts in other letters, without some words. What is made of texts is left aside on import.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "StringNormalizer",
    opsets: 10..=25,
    weights: &[],
    types: texts::left_aside,
    fold: None,
    gradient: Gradient::Zero("it changes texts"),
    samples: Vec::new,
};
