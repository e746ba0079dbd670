//! Simplifications that need no data: shape arithmetic that exporters leave in graphs becomes constants.

use crate::CompilerError;
use crate::graph::Graph;
use crate::operators::{self, TypeRuleInput};

/// Replaces the first output of the node added last by a constant, when its operator's fold rule can tell it.
pub(crate) fn fold_last(graph: &mut Graph) -> Result<(), CompilerError> {
    let Some(node) = graph.nodes().last() else { return Ok(()) };
    let Some(fold) = operators::find(&node.operator, &node.domain).and_then(|row| row.fold) else { return Ok(()) };
    let Some(output) = node.outputs.first().copied().flatten() else { return Ok(()) };
    if node.outputs.len() > 1 || node.inputs.iter().flatten().any(|input| graph.tensor_type(*input).is_none()) {
        return Ok(());
    }
    if let Some(constant) = fold(&TypeRuleInput { graph, node, outputs: 1 })? {
        graph.set_constant(output, constant);
    }
    Ok(())
}
