use super::{Gradient, Operator, Sample, TypeRuleInput, same_as_first, varied};
use crate::CompilerError;
use crate::graph::TensorType;

/// `LogSoftmax`: y = x − ln Σeˣ over an axis. dx = dy − eʸ · Σdy.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "LogSoftmax",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Defined(|b| {
        let (y, dy) = (b.output(0)?, b.dy()?);
        let axis = b.node.int("axis").unwrap_or(-1);
        let share = b.graph.add("Exp", &[y], &[])?;
        let sum = b.graph.reduce_sum(dy, &[axis], true)?;
        let part = b.graph.times(share, sum)?;
        let dx = b.graph.minus(dy, part)?;
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
