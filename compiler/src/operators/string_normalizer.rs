use super::{Gradient, Operator};

/// `StringNormalizer`: texts in other letters, without some words. What is made of texts is left aside on import.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "StringNormalizer",
    opsets: 10..=25,
    weights: &[],
    types: |rule| {
        Err(rule.error("it is about texts, which are left aside: batches hold numbers, and a tokenizer makes them (`data.inputs` with `token_ids`)"))
    },
    fold: None,
    gradient: Gradient::Zero("it changes texts"),
    samples: Vec::new,
};
