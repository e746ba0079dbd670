use super::{Gradient, Operator, Sample, TypeRuleInput, same_as_first, varied};
use crate::CompilerError;
use crate::graph::TensorType;

/// `Softmax`: y = eˣ / Σeˣ over an axis. With q = dy · y: dx = q − y · Σq.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Softmax",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (y, dy) = (b.output(0)?, b.dy()?);
        let axis = b.node.int("axis").unwrap_or(-1);
        // faster on the CPU provider than y · (dy − Σ)
        let q = b.graph.times(dy, y)?;
        let sum = b.graph.reduce_sum(q, &[axis], true)?;
        let share = b.graph.times(y, sum)?;
        let dx = b.graph.minus(q, share)?;
        b.give(0, dx)
    }),
    samples: || {
        vec![
            Sample::new("last axis", vec![varied(&[3, 5])], vec![]),
            Sample::new("middle axis", vec![varied(&[2, 4, 3])], vec![("axis", 1.into())]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    rule.axis(rule.node.int("axis").unwrap_or(-1), rule.input(0)?.shape.len())?;
    same_as_first(rule)
}
