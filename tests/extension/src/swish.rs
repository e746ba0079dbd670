//! An operator: `extension.Swish`, y = x · sigmoid(β · x).

use millstream::compiler::CompilerError;
use millstream::compiler::backward::Expansion;
use millstream::compiler::graph::{TensorType, ValueId};
use millstream::compiler::operators::{Gradient, Operator, Sample, TypeRuleInput, varied};

pub const SWISH: Operator = Operator {
    domain: "extension",
    name: "Swish",
    opsets: 1..=1,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || vec![Sample::new("default beta", vec![varied(&[2, 3])], vec![])],
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    Ok(vec![rule.input(0)?.clone()])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let x = node.input(0)?;
    let beta = node.graph.scalar(node.node.float("beta").unwrap_or(1.0));
    let scaled = node.graph.times(x, beta)?;
    let gate = node.graph.add("Sigmoid", &[scaled], &[])?;
    Ok(vec![node.graph.times(x, gate)?])
}
