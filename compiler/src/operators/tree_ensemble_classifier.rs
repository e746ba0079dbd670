use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_floats, trees};
use crate::CompilerError;
use crate::graph::{Attribute, ElementType, TensorType};

/// `ai.onnx.ml.TreeEnsembleClassifier`: `[rows, features]` to a label `[rows]` and scores `[rows, classes]` by decision trees,
/// where the labels are whole numbers.
pub(super) const OPERATOR: Operator = Operator {
    domain: "ai.onnx.ml",
    name: "TreeEnsembleClassifier",
    opsets: 1..=5,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Zero(trees::REASON),
    samples: || {
        let ints = |values: &[i64]| Attribute::Ints(values.to_vec());
        let leaves = vec![
            ("classlabels_int64s", ints(&[4, 7, 9])),
            ("class_treeids", ints(&[0, 0, 0])),
            ("class_nodeids", ints(&[1, 2, 2])),
            ("class_ids", ints(&[0, 1, 2])),
            ("class_weights", Attribute::Floats(vec![1.0, 0.75, 0.25])),
        ];
        let rows = fixed_floats(&[3, 2], &[0.0, 1.0, 0.5, -1.0, 0.25, 2.0]);
        vec![Sample::new("three classes", vec![rows], [trees::stump(), leaves].concat()).with_outputs(2)]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let rows = trees::rows(rule)?;
    let Some(labels) = rule.node.ints("classlabels_int64s").filter(|labels| !labels.is_empty()) else {
        return Err(CompilerError::NotKnown {
            node: rule.graph.label(rule.node),
            operator: rule.node.qualified_operator(),
            message: "its labels are strings, which have no type here".into(),
        });
    };
    let scores = TensorType::f32([rows.clone(), labels.len().into()]);
    Ok(vec![TensorType::new(ElementType::I64, [rows]), scores])
}
