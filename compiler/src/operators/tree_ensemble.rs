use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_floats, trees};
use crate::CompilerError;
use crate::graph::{Attribute, Constant, ElementType, TensorType};

/// `ai.onnx.ml.TreeEnsemble`: `[rows, features]` to numbers `[rows, targets]` by decision trees.
pub(super) const OPERATOR: Operator = Operator {
    domain: "ai.onnx.ml",
    name: "TreeEnsemble",
    opsets: 5..=5,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Zero(trees::REASON),
    samples: || {
        let ints = |values: &[i64]| Attribute::Ints(values.to_vec());
        let numbers = |values: &[f32]| Attribute::Tensor(Constant::f32([values.len()], values));
        let modes = Constant { dtype: ElementType::U8, shape: vec![1], bytes: vec![0].into() };
        let stump = vec![
            ("n_targets", Attribute::Int(2)),
            ("tree_roots", ints(&[0])),
            ("nodes_modes", Attribute::Tensor(modes)),
            ("nodes_featureids", ints(&[0])),
            ("nodes_splits", numbers(&[0.25])),
            ("nodes_truenodeids", ints(&[0])),
            ("nodes_trueleafs", ints(&[1])),
            ("nodes_falsenodeids", ints(&[1])),
            ("nodes_falseleafs", ints(&[1])),
            ("leaf_targetids", ints(&[0, 1])),
            ("leaf_weights", numbers(&[0.5, 2.0])),
        ];
        let rows = fixed_floats(&[3, 2], &[0.0, 1.0, 0.5, -1.0, 0.25, 2.0]);
        vec![Sample::new("two targets", vec![rows], stump)]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let targets = rule.node.int("n_targets").and_then(|count| usize::try_from(count).ok()).unwrap_or(1);
    Ok(vec![TensorType::new(rule.input(0)?.dtype, [trees::rows(rule)?, targets.into()])])
}
