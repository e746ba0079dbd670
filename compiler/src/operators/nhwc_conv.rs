use super::{Gradient, Operator, Sample, TypeRuleInput, conv, fused_activations, normalizations, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Graph, TensorType, ValueId};

/// `com.microsoft.NhwcConv`, as ONNX Runtime's optimizer writes it into diffusion models for CUDA: `Conv` of x `[N, …, C]` by kernels
/// `[M, C/group, …]` to `[N, …, M]`. As `Conv` between two `Transpose`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "NhwcConv",
    opsets: 1..=1,
    weights: &[1, 2],
    types,
    fold: None,
    gradient: Gradient::Expand(|node| Ok(vec![convolved(node)?])),
    samples: || {
        let pads = |pads: &[i64]| ("pads", Attribute::Ints(pads.to_vec()));
        let inputs = || vec![varied(&[2, 4, 5, 3]), varied(&[2, 3, 3, 3]), varied(&[2])];
        let depthwise = vec![varied(&[1, 5, 4, 4]), varied(&[4, 1, 3, 3])];
        vec![
            Sample::new("padded", inputs(), vec![pads(&[1, 1, 1, 1])]),
            Sample::new("strides", inputs(), vec![("strides", Attribute::Ints(vec![2, 2])), pads(&[0, 0, 1, 1])]),
            Sample::new("depthwise", depthwise, vec![("group", 4.into())]),
        ]
    },
};

pub(super) fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, kernel) = (rule.input(0)?, rule.input(1)?);
    let made = conv::shape_with_channels_last(rule.node, &x.shape, &kernel.shape);
    let shape = made.map_err(|message| rule.error(message))?;
    normalizations::require_vector(rule, 2, &kernel.shape[0])?;
    Ok(vec![TensorType { dtype: x.dtype, shape }])
}

/// What the convolution of a node gives, channels last.
pub(super) fn convolved(node: &mut Expansion<'_>) -> Result<ValueId, CompilerError> {
    let own = fused_activations::attributes_before(&node.node);
    let own: Vec<(&str, Attribute)> = own.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let x = node.input(0)?;
    let x = turned(node.graph, x, |order| order.rotate_right(1))?;
    let mut inputs = vec![Some(x), Some(node.input(1)?)];
    inputs.extend(node.node.input(2).map(Some));
    let y = node.graph.add_with("Conv", &inputs, &own, 1)?[0];
    turned(node.graph, y, |order| order.rotate_left(1))
}

/// The axes behind the first in another order.
fn turned(graph: &mut Graph, value: ValueId, turn: fn(&mut [i64])) -> Result<ValueId, CompilerError> {
    let mut order: Vec<i64> = (0..graph.shape(value)?.len() as i64).collect();
    turn(&mut order[1..]);
    graph.transpose(value, &order)
}
