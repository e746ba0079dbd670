use super::{Gradient, Operator, Sample, same_as_first, varied, varied_in};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Length, ValueId};

/// `com.microsoft.BiasSoftmax`, as ONNX Runtime's optimizer writes it for CUDA: softmax of x + bias over all axes from `axis` on, the bias
/// of any shape that fits. As those operators.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "BiasSoftmax",
    opsets: 1..=1,
    weights: &[],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let scores = || varied_in(&[2, 3, 2, 4], -3.0, 3.0);
        let over = |axis: i64, inner: i64| vec![("axis", axis.into()), ("is_inner_broadcast", inner.into())];
        vec![
            Sample::new("a mask for each row", vec![scores(), varied(&[2, 1, 1, 4])], over(3, 1)),
            Sample::new("one for all", vec![scores(), varied(&[2, 4])], over(-1, 0)),
            Sample::new("over two axes", vec![scores(), varied(&[2, 4])], over(2, 0)),
        ]
    },
};

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let (x, bias) = (node.input(0)?, node.input(1)?);
    let shape = node.input_type(0)?.shape;
    let (axis, rank) = (node.node.int("axis").unwrap_or(1), shape.len() as i64);
    let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).unwrap_or(usize::MAX);
    if axis >= shape.len() {
        return Err(node.error(format!("axis {axis} of {rank}")));
    }
    let graph = &mut *node.graph;
    let sum = graph.plus(x, bias)?;
    let last = [("axis", (-1).into())];
    if axis + 1 == shape.len() {
        return Ok(vec![graph.add("Softmax", &[sum], &last)?]);
    }
    let rest: Length = shape[axis..].iter().product();
    let flat = graph.reshape(sum, &[&shape[..axis], &[rest]].concat())?;
    let flat = graph.add("Softmax", &[flat], &last)?;
    Ok(vec![graph.reshape(flat, &shape)?])
}
