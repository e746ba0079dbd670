use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_integers_of};
use crate::CompilerError;
use crate::graph::{Attribute, ElementType, TensorType};

/// `ai.onnx.ml.LabelEncoder`: numbers by a table of keys and values, a default for what is no key.
pub(super) const OPERATOR: Operator = Operator {
    domain: "ai.onnx.ml",
    name: "LabelEncoder",
    opsets: 2..=5,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Zero("it looks values up in a table: constant between keys"),
    samples: || {
        let keys = fixed_integers_of(&[2, 2], &[5, 7, 9, 7]);
        let table = |values: (&'static str, Attribute)| vec![("keys_int64s", Attribute::Ints(vec![5, 7])), values];
        vec![
            Sample::new("floats", vec![keys.clone()], table(("values_floats", Attribute::Floats(vec![0.5, -1.0])))),
            Sample::new("whole numbers", vec![keys], table(("values_int64s", Attribute::Ints(vec![1, 0])))),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let dtype = match (rule.node.attributes.get("values_tensor"), rule.node.attributes.get("values_int64s")) {
        (Some(Attribute::Tensor(values)), _) => values.dtype,
        (_, Some(_)) => ElementType::I64,
        _ if rule.node.attributes.contains_key("values_floats") => ElementType::F32,
        _ => return Err(rule.error("it has no values that are numbers")),
    };
    Ok(vec![TensorType { dtype, shape: rule.input(0)?.shape.clone() }])
}
