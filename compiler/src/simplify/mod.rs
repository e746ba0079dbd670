//! Simplifications that need no data: shape arithmetic that exporters leave in graphs becomes
//! constants, or expressions over named lengths.

use crate::CompilerError;
use crate::graph::{Graph, Known};
use crate::operators::{OperatorCatalog, TypeRuleInput};

/// Bytes of folded constants in one model: shape arithmetic needs a few thousand.
pub(crate) const FOLDED_BYTES: usize = 64 << 20;

fn bytes(known: &Known) -> usize {
    match known {
        Known::Constant(constant) => constant.bytes.len(),
        Known::Integers(integers) => integers.elements.len() * size_of::<i64>(),
    }
}

/// Replaces the first output of the node `at` by a constant, or states its elements, when its operator's fold rule can tell
/// them and the budget of bytes lasts.
pub(crate) fn fold(
    graph: &mut Graph,
    at: usize,
    catalog: &OperatorCatalog,
    budget: &mut usize,
) -> Result<(), CompilerError> {
    let node = &graph.nodes()[at];
    let Some(fold) = catalog.find(&node.domain, &node.operator).and_then(|row| row.fold) else { return Ok(()) };
    let Some(output) = node.outputs.first().copied().flatten() else { return Ok(()) };
    if node.outputs.len() > 1 || node.inputs.iter().flatten().any(|input| graph.tensor_type(*input).is_none()) {
        return Ok(());
    }
    match fold(&TypeRuleInput { graph, node, outputs: 1 }) {
        Ok(Some(known)) if bytes(&known) <= *budget => {
            *budget -= bytes(&known);
            graph.set_known(output, known);
        }
        Ok(_) | Err(CompilerError::NotKnown { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
