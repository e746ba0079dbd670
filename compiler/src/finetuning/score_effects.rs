//! What operators do to class scores on their way to a model's output: one table for all that walk along it.

use crate::graph::{Graph, Node};

/// What an operator does to the scores that it reads first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScoreEffect {
    /// The same numbers on the same axes.
    Keeps,
    /// The same numbers in the same order, on other axes.
    Reshapes,
    /// The same numbers on the same axes, which stand in another order.
    Transposes,
    /// Some of the numbers.
    Picks,
    /// Numbers for more places or for fewer, on the same axes.
    Resizes,
    /// Means over places.
    Averages,
    /// Several numbers become one, or several values one.
    Joins,
    /// Multiplied or divided.
    Scales,
    /// Moved by a number.
    Shifts,
    /// Other numbers, bounded, cut or bent: no scores any more, but a mean of them may be one.
    Bends,
    /// Chances or their logarithms.
    Chances,
    /// Logarithms, which make scores of chances.
    Logarithms,
    /// Numbers of places, which say nothing of scores.
    Indexes,
}

use ScoreEffect::{
    Averages, Bends, Chances, Indexes, Joins, Keeps, Logarithms, Picks, Reshapes, Resizes, Scales, Shifts, Transposes,
};

/// Standard operators, by name. What is not here is passed by nothing that looks for scores.
const EFFECTS: [(&str, ScoreEffect); 41] = [
    ("Add", Joins),
    ("ArgMax", Indexes),
    ("AveragePool", Averages),
    ("Cast", Keeps),
    ("Celu", Bends),
    ("Clip", Bends),
    ("Concat", Joins),
    ("Div", Scales),
    ("Dropout", Keeps),
    ("Elu", Bends),
    ("Exp", Bends),
    ("Flatten", Reshapes),
    ("Gather", Picks),
    ("GatherND", Picks),
    ("GlobalAveragePool", Averages),
    ("HardSigmoid", Chances),
    ("Hardmax", Chances),
    ("Identity", Keeps),
    ("Log", Logarithms),
    ("LogSoftmax", Chances),
    ("LpNormalization", Bends),
    ("Mean", Joins),
    ("Mul", Scales),
    ("ReduceMax", Joins),
    ("ReduceMean", Averages),
    ("ReduceSum", Joins),
    ("Relu", Bends),
    ("Reshape", Reshapes),
    ("Resize", Resizes),
    ("Sigmoid", Chances),
    ("Slice", Picks),
    ("Softmax", Chances),
    ("Softplus", Bends),
    ("Softsign", Bends),
    ("Squeeze", Reshapes),
    ("Sub", Shifts),
    ("Sum", Joins),
    ("Tanh", Bends),
    ("TopK", Indexes),
    ("Transpose", Transposes),
    ("Unsqueeze", Reshapes),
];

/// What a node does to the scores that it reads first; nothing of what makes something else of them.
pub(crate) fn score_effect(node: &Node) -> Option<ScoreEffect> {
    let row = EFFECTS.iter().find(|(operator, _)| node.is(operator));
    row.map(|(_, effect)| *effect)
}

/// Whether a node leaves the rows of a batch on the first axis, where it has the axes in another order.
pub(super) fn leaves_rows_first(transpose: &Node) -> bool {
    transpose.ints("perm").is_some_and(|order| order.first() == Some(&0))
}

/// Whether what a node takes of a value it takes with all of its last axis, on which a linear layer has its classes.
pub(super) fn leaves_last_axis(graph: &Graph, node: &Node) -> bool {
    let shape = |at: usize| node.input(at).and_then(|value| graph.tensor_type(value)).map(|known| &known.shape);
    let Some(axes) = shape(0).map(|shape| shape.len() as i64) else { return false };
    let is_before_last = |axis: i64| (if axis < 0 { axis + axes } else { axis }) < axes - 1;
    match node.operator.as_str() {
        "Gather" => is_before_last(node.int("axis").unwrap_or(0)),
        "GatherND" => {
            let taken = shape(1).and_then(|shape| shape.last()?.fixed());
            taken.is_some_and(|taken| node.int("batch_dims").unwrap_or(0) + (taken as i64) < axes)
        }
        "Slice" => {
            let numbers = |at: usize| graph.constant_of(node.input(at)?)?.to_i64();
            let sliced = match (node.ints("axes"), node.input(3)) {
                (Some(axes), _) => Some(axes.to_vec()),
                (None, Some(_)) => numbers(3),
                (None, None) => shape(1).and_then(|shape| Some((0..shape.first()?.fixed()? as i64).collect())),
            };
            sliced.is_some_and(|sliced| sliced.into_iter().all(is_before_last))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_stand_once_and_in_order() {
        let names: Vec<&str> = EFFECTS.iter().map(|(operator, _)| *operator).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }
}
