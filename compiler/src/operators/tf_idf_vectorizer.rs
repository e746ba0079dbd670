use super::{Gradient, Operator, Sample, TypeRuleInput, element_types, fixed_integers, fixed_integers_of};
use crate::CompilerError;
use crate::graph::{Attribute, ElementType, Length, TensorType};

/// `TfIdfVectorizer`: how often runs of whole numbers occur in `[C]` or `[N, C]`, by the place that each has: `[…, places]`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "TfIdfVectorizer",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Zero("it counts whole numbers"),
    samples: || {
        let ints = |values: &[i64]| Attribute::Ints(values.to_vec());
        let attributes = || {
            vec![
                ("mode", Attribute::from("TF")),
                ("min_gram_length", 1.into()),
                ("max_gram_length", 2.into()),
                ("max_skip_count", 0.into()),
                ("ngram_counts", ints(&[0, 2])),
                ("ngram_indexes", ints(&[0, 1, 3])),
                ("pool_int64s", ints(&[1, 3, 1, 3])),
            ]
        };
        let rows = fixed_integers_of(&[2, 3], &[1, 3, 1, 2, 3, 3]);
        vec![
            Sample::new("one row", vec![fixed_integers(&[1, 3, 1, 3])], attributes()),
            Sample::new("rows", vec![rows], attributes()),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = element_types::positions(rule, 0)?;
    let last = rule.node.ints("ngram_indexes").and_then(|places| places.iter().max()).copied();
    let count = last.filter(|last| (0..1 << 31).contains(last)).map(|last| Length::number(last + 1));
    let count = count.ok_or_else(|| rule.error("ngram_indexes name no places"))?;
    match x.shape.as_slice() {
        [_] => Ok(vec![TensorType::new(ElementType::F32, [count])]),
        [rows, _] => Ok(vec![TensorType::new(ElementType::F32, [rows.clone(), count])]),
        other => Err(rule.error(format!("numbers {other:?}, wanted one or two axes"))),
    }
}
