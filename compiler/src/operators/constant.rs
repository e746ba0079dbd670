use super::{Gradient, Operator, Sample, TypeRuleInput};
use crate::CompilerError;
use crate::graph::{Attribute, Constant, Known};

/// `Constant`: a value written into the graph.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Constant",
    opsets: 13..=25,
    weights: &[],
    types: |rule| Ok(vec![value(rule)?.tensor_type()]),
    fold: Some(|rule| value(rule).map(|value| Some(Known::Constant(value)))),
    gradient: Gradient::Zero("it depends on nothing"),
    samples: || {
        let tensor = Attribute::Tensor(Constant::f32([2, 1], &[0.5, -1.0]));
        vec![
            Sample::new("tensor", vec![], vec![("value", tensor)]),
            Sample::new("number", vec![], vec![("value_float", 0.5.into())]),
            Sample::new("numbers", vec![], vec![("value_floats", Attribute::Floats(vec![0.5, 1.5]))]),
            Sample::new("whole number", vec![], vec![("value_int", 7.into())]),
            Sample::new("whole numbers", vec![], vec![("value_ints", vec![7, -8].into())]),
        ]
    },
};

fn value(rule: &TypeRuleInput<'_>) -> Result<Constant, CompilerError> {
    let given = ["value", "value_float", "value_floats", "value_int", "value_ints"];
    match given.iter().find_map(|name| rule.node.attributes.get(*name)) {
        Some(Attribute::Tensor(value)) => Ok(value.clone()),
        Some(Attribute::Float(value)) => Ok(Constant::f32([], &[*value])),
        Some(Attribute::Floats(values)) => Ok(Constant::f32([values.len()], values)),
        Some(Attribute::Int(value)) => Ok(Constant::i64([], &[*value])),
        Some(Attribute::Ints(values)) => Ok(Constant::i64([values.len()], values)),
        _ => Err(rule.error("a constant that is neither a tensor nor numbers")),
    }
}
