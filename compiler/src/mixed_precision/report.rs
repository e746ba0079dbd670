use std::collections::BTreeMap;
use std::fmt;

use millstream_schemas::count;
use serde::Serialize;

use super::kernels::{Role, row_of};
use crate::graph::{ElementType, Graph, Node, ValueId};

/// What of a graph runs in 16 bits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MixedPrecision {
    /// The format, as `bfloat16`.
    pub format: &'static str,
    /// Nodes that compute with floats, casts aside.
    pub nodes: usize,
    /// Those of them that read or make floats of 16 bits.
    pub in_16_bits: usize,
    /// Products of matrices and convolutions among those.
    pub products: usize,
    /// Casts from and to 16 bits.
    pub casts: usize,
    /// Products of matrices and convolutions that stay in 32 bits.
    pub in_float32: Vec<InFloat32>,
}

/// Nodes of an operator that stay in 32 bits although they are products or convolutions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InFloat32 {
    /// The operator.
    pub operator: String,
    /// How many nodes.
    pub nodes: usize,
    /// Why, in words.
    pub reason: String,
}

impl MixedPrecision {
    /// Counts the nodes of a graph that its outputs need, and that are not of the loss.
    pub(crate) fn of(graph: &Graph, format: ElementType, is_of_loss: impl Fn(ValueId) -> bool) -> Self {
        let mut this =
            Self { format: format.name(), nodes: 0, in_16_bits: 0, products: 0, casts: 0, in_float32: Vec::new() };
        let mut wide: BTreeMap<(String, String), usize> = BTreeMap::new();
        for node in graph.live_nodes() {
            let values = || node.inputs.iter().chain(&node.outputs).flatten();
            let has = |dtype| values().any(|value| graph.tensor_type(*value).is_some_and(|known| known.dtype == dtype));
            if node.is("Cast") {
                this.casts += usize::from(has(format) && has(ElementType::F32));
                continue;
            }
            let is_product = row_of(node).is_some_and(|row| row.role == Role::Product);
            this.nodes += usize::from(has(format) || has(ElementType::F32));
            this.in_16_bits += usize::from(has(format));
            this.products += usize::from(has(format) && is_product);
            let of_loss = node.outputs.iter().flatten().any(|value| is_of_loss(*value));
            if is_product && has(ElementType::F32) && !has(format) && !of_loss {
                *wide.entry((node.operator.clone(), reason(graph, format, node))).or_default() += 1;
            }
        }
        let rows = wide.into_iter().map(|((operator, reason), nodes)| InFloat32 { operator, nodes, reason });
        this.in_float32 = rows.collect();
        this
    }
}

/// In words, for example `bfloat16: 40 of 90 nodes of the training step run in 16 bits, …`.
impl fmt::Display for MixedPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, nodes, in_16_bits, products, casts, in_float32 } = self;
        write!(
            f,
            "{format}: {in_16_bits} of {nodes} nodes of the training step run in 16 bits, {products} of them products of matrices \
             or convolutions, with {}",
            count(*casts as u64, "cast")
        )?;
        for InFloat32 { operator, nodes, reason } in in_float32 {
            write!(f, "; {nodes} {operator} stay in float32: {reason}")?;
        }
        Ok(())
    }
}

/// Why a product stays in 32 bits.
fn reason(graph: &Graph, format: ElementType, node: &Node) -> String {
    let opset = graph.opset_of(&node.domain);
    match row_of(node).and_then(|row| row.since(format)) {
        None => format!("ONNX Runtime has no {} kernel for it on CUDA", format.name()),
        Some(since) if opset < since => {
            format!("it takes {} from opset {since} on, and the model follows {opset}", format.name())
        }
        Some(_) => format!("its form, or a weight beyond the range of {}", format.name()),
    }
}
