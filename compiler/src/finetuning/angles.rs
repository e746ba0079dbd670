//! Which values of a graph are angles.

use std::collections::HashSet;

use super::views::VIEWS;
use crate::graph::{Graph, ValueId};

/// Values that sines and cosines are taken of, and what those are made of by arithmetic and in other forms.
pub(super) fn angles(graph: &Graph) -> HashSet<ValueId> {
    const ARITHMETIC: [&str; 10] =
        ["Add", "Cast", "Concat", "Div", "Einsum", "Gather", "MatMul", "Mul", "Slice", "Sub"];
    let mut found = HashSet::new();
    for node in graph.nodes().iter().rev().filter(|node| node.domain.is_empty()) {
        let operator = node.operator.as_str();
        let leads_there = node.outputs.iter().flatten().any(|made| found.contains(made));
        let hands_on = ARITHMETIC.contains(&operator) || VIEWS.contains(&operator);
        if matches!(operator, "Cos" | "Sin") || leads_there && hands_on {
            found.extend(node.inputs.iter().flatten());
        }
    }
    found
}
