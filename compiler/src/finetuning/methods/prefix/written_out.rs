//! A prefix in an attention that is one node and orders, counts or keeps its keys itself: the node is written out in its parts first,
//! by the rule that its gradient is computed by, and the prefix goes in front of its softmax.

use super::axes::Axes;
use crate::CompilerError;
use crate::backward::Expansion;
use crate::finetuning::attention::Attention;
use crate::graph::{Graph, Node, ValueId};
use crate::operators::{ExpandRule, Gradient, OperatorCatalog};

/// Where a prefix goes into an attention of products and a softmax.
#[derive(Clone, Debug)]
pub(in super::super) struct Openings {
    /// The queries that keys are multiplied with, `[rows, heads, tokens, size]`.
    pub(in super::super) queries: ValueId,
    /// What the softmax reads, `[rows, heads, tokens, keys]`.
    pub(in super::super) scores: ValueId,
    /// What the heads give, `[rows, heads, tokens, size]`.
    pub(in super::super) mixed: ValueId,
    /// Where their axes stand, if not so.
    pub(in super::super) axes: Axes,
}

/// The rule that writes the node out.
///
/// # Errors
/// There is none; the reason, in words.
pub(super) fn rule(graph: &Graph, node: &Node, operators: &OperatorCatalog) -> Result<ExpandRule, String> {
    match operators.gradient_of(&node.domain, &node.operator, graph.opset_of(&node.domain)) {
        Ok(Gradient::Expand(rule)) => Ok(rule),
        Ok(_) => Err(format!("{} is one node, and no rule writes it out", node.qualified_operator())),
        Err(reason) => Err(format!("{} is one node, and {reason}", node.qualified_operator())),
    }
}

/// Writes the attention out, and tells where a prefix goes into it: queries `[rows, heads, tokens, size]` that no scale has
/// multiplied, scores as the softmax reads them, and what the heads give, `[rows, heads, tokens, size]`.
///
/// # Errors
/// The node has a prefix already, or has a form that its rule does not write out.
pub(in super::super) fn write_out(
    graph: &mut Graph,
    attention: &Attention,
    operators: &OperatorCatalog,
) -> Result<Openings, CompilerError> {
    let makes = |node: &Node| node.outputs.first().copied().flatten() == Some(attention.mixed);
    let at = graph.nodes().iter().position(makes).expect("what heads give keeps its name");
    let Ok(rule) = rule(graph, &graph.nodes()[at], operators) else {
        return Err(CompilerError::setting("", "prefix_tuning goes into a model once; take a longer one"));
    };
    let label = graph.label(&graph.nodes()[at]);
    let refuse = |problem: String| {
        CompilerError::setting("", format!("no prefix can go into the attention of `{label}`: {problem}"))
    };
    let mut openings = None;
    graph
        .replace_node(at, |graph, node| {
            let mut expansion = Expansion::new(graph, node);
            let made = rule(&mut expansion)?;
            openings = expansion.attention.map(|parts| {
                // what stands for an output of the node gets its name
                let named = |value: ValueId| {
                    let mut outputs = made.iter().zip(&expansion.node.outputs);
                    outputs.find_map(|(made, output)| output.filter(|_| *made == value)).unwrap_or(value)
                };
                let [scores, mixed] = [parts.scores, parts.mixed].map(named);
                Openings { queries: parts.queries, scores, mixed, axes: Axes::Apart }
            });
            Ok(made)
        })
        .map_err(|error| refuse(error.to_string()))?;
    openings.ok_or_else(|| refuse("the rule that writes it out does not tell its queries and scores".into()))
}
