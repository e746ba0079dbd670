use super::{Gradient, Operator};

/// `StringSplit`: parts of texts, and how many each has. What is made of texts is left aside on import.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "StringSplit",
    opsets: 20..=25,
    weights: &[],
    types: |rule| {
        Err(rule.error("it is about texts, which are left aside: batches hold numbers, and a tokenizer makes them (`data.inputs` with `token_ids`)"))
    },
    fold: None,
    gradient: Gradient::Zero("it takes texts apart"),
    samples: Vec::new,
};
