use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_floats, trees};
use crate::CompilerError;
use crate::graph::{Attribute, TensorType};

/// `ai.onnx.ml.TreeEnsembleRegressor`: `[rows, features]` to numbers `[rows, targets]` by decision trees.
pub(super) const OPERATOR: Operator = Operator {
    domain: "ai.onnx.ml",
    name: "TreeEnsembleRegressor",
    opsets: 1..=5,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Zero(trees::REASON),
    samples: || {
        let ints = |values: &[i64]| Attribute::Ints(values.to_vec());
        let leaves = vec![
            ("n_targets", Attribute::Int(2)),
            ("target_treeids", ints(&[0, 0, 0])),
            ("target_nodeids", ints(&[1, 1, 2])),
            ("target_ids", ints(&[0, 1, 0])),
            ("target_weights", Attribute::Floats(vec![0.5, -1.0, 2.0])),
        ];
        let rows = fixed_floats(&[3, 2], &[0.0, 1.0, 0.5, -1.0, 0.25, 2.0]);
        vec![Sample::new("two targets", vec![rows], [trees::stump(), leaves].concat())]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let targets = rule.node.int("n_targets").and_then(|count| usize::try_from(count).ok()).unwrap_or(1);
    Ok(vec![TensorType::f32([trees::rows(rule)?, targets.into()])])
}
