use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{ElementType, TensorType, ValueId};

/// `com.microsoft.BiasDropout`, as ONNX Runtime's optimizer writes it for CUDA: `Dropout` of x + bias, and a residual added. As those
/// operators.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "BiasDropout",
    opsets: 1..=1,
    weights: &[1],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let (x, bias) = (|| varied(&[2, 3, 4]), || varied(&[4]));
        vec![
            Sample::new("with a residual", vec![x(), bias(), varied(&[2, 3, 4])], vec![]),
            Sample::new("without", vec![x(), bias(), SampleInput::Absent], vec![]),
            Sample::new("with mask", vec![x(), bias()], vec![]).with_outputs(2),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?.clone();
    let mask = TensorType { dtype: ElementType::Bool, shape: x.shape.clone() };
    Ok(vec![x, mask])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let (x, bias) = (node.input(0)?, node.input(1)?);
    let [residual, ratio, mode] = [2, 3, 4].map(|index| node.node.input(index));
    let outputs = node.node.outputs.len();
    let sum = node.graph.plus(x, bias)?;
    let mut made = node.graph.add_with("Dropout", &[Some(sum), ratio, mode], &[], outputs.clamp(1, 2))?;
    if let Some(residual) = residual {
        made[0] = node.graph.plus(made[0], residual)?;
    }
    Ok(made)
}
