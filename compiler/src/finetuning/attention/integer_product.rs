use std::collections::HashMap;

use crate::graph::{ElementType, Graph, Node, ValueId};

/// A product with a constant matrix of integers, or a convolution with such kernels: it reads floats and gives floats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IntegerProduct {
    /// The node that gives the floats.
    pub(crate) end: usize,
    /// The node that reads the matrix.
    pub(crate) multiplies: usize,
    /// The matrix as it is stored.
    pub(crate) packed: ValueId,
    /// What it reads, before that is rounded.
    pub(crate) input: ValueId,
    /// Numbers that it reads.
    pub(crate) inputs: usize,
    /// Numbers that it makes.
    pub(crate) outputs: usize,
    /// The bias that the node itself adds.
    pub(crate) bias: Option<ValueId>,
    /// Of a convolution with kernels `[outputs, inputs in a group, …]`, how many groups it has; nothing of a product with a matrix.
    pub(crate) groups: Option<usize>,
}

/// The node that makes each value, and those that read it.
type Neighbours<'a> = (&'a HashMap<ValueId, usize>, &'a HashMap<ValueId, Vec<usize>>);

impl IntegerProduct {
    /// The one whose matrix the node `index` reads: one node, or what `DynamicQuantizeLinear` rounds, multiplied and scaled.
    pub(super) fn of(graph: &Graph, neighbours: Neighbours<'_>, index: usize) -> Option<Self> {
        let node = &graph.nodes()[index];
        let rounded = || {
            let producer = &graph.nodes()[*neighbours.0.get(&node.input(0)?)?];
            producer.is("DynamicQuantizeLinear").then_some(producer)
        };
        let whole = |end: usize, input: ValueId, bias: Option<ValueId>| {
            let packed = node.input(1)?;
            let [inputs, outputs] = *graph.constant_of(packed)?.shape.as_slice() else { return None };
            Some(Self { end, multiplies: index, packed, input, inputs, outputs, bias, groups: None })
        };
        match (node.domain.as_str(), node.operator.as_str()) {
            ("", "MatMulInteger") => {
                let rounding = rounded()?;
                let scale = rounding.outputs.get(1).copied().flatten()?;
                whole(scaled(graph, neighbours, node, scale)?, rounding.input(0)?, None)
            }
            ("", "ConvInteger") => {
                let (rounding, packed) = (rounded()?, node.input(1)?);
                let scale = rounding.outputs.get(1).copied().flatten()?;
                let [outputs, in_a_group, _, ..] = *graph.constant_of(packed)?.shape.as_slice() else { return None };
                let groups = usize::try_from(node.int("group").unwrap_or(1)).ok().filter(|groups| *groups > 0)?;
                let (end, input) = (scaled(graph, neighbours, node, scale)?, rounding.input(0)?);
                let inputs = in_a_group.checked_mul(groups)?;
                Some(Self { end, multiplies: index, packed, input, inputs, outputs, bias: None, groups: Some(groups) })
            }
            ("com.microsoft", "MatMulIntegerToFloat") => whole(index, rounded()?.input(0)?, node.input(6)),
            ("com.microsoft", "DynamicQuantizeMatMul") => whole(index, node.input(0)?, node.input(4)),
            ("com.microsoft", "MatMulBnb4" | "MatMulNBits") => {
                let length = |name: &str| usize::try_from(node.int(name)?).ok().filter(|length| *length > 0);
                let (packed, input) = (node.input(1)?, node.input(0)?);
                graph.constant_of(packed)?;
                let (inputs, outputs) = (length("K")?, length("N")?);
                let bias = if node.operator == "MatMulNBits" { node.input(5) } else { None };
                Some(Self { end: index, multiplies: index, packed, input, inputs, outputs, bias, groups: None })
            }
            _ => None,
        }
    }
}

/// The node that has multiplied a product of integers by the scale of what it reads and by that of its matrix.
fn scaled(graph: &Graph, (producers, readers): Neighbours<'_>, product: &Node, scale: ValueId) -> Option<usize> {
    let only = |value: ValueId| match readers.get(&value)?.as_slice() {
        [only] if !graph.outputs().contains(&value) => Some(*only),
        _ => None,
    };
    let made = |at: usize| graph.nodes()[at].outputs.first().copied().flatten();
    let mut at = only(product.outputs.first().copied().flatten()?)?;
    if !graph.nodes()[at].is("Cast") || graph.tensor_type(made(at)?)?.dtype != ElementType::F32 {
        return None;
    }
    let (mut by_input, mut by_matrix) = (false, false);
    loop {
        let value = made(at)?;
        at = only(value)?;
        let node = &graph.nodes()[at];
        let factor = node.inputs.iter().flatten().copied().find(|input| *input != value)?;
        let factors = match producers.get(&factor).map(|at| &graph.nodes()[*at]) {
            Some(both) if both.is("Mul") => both.inputs.iter().flatten().copied().collect(),
            _ => vec![factor],
        };
        for factor in factors {
            by_input |= factor == scale;
            by_matrix |= graph.constant_of(factor).is_some();
        }
        if !node.is("Mul") {
            return None;
        }
        if by_input && by_matrix {
            return Some(at);
        }
    }
}
