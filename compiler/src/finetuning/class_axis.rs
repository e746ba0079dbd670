//! Which axis of class scores counts classes: a convolution's second, or a linear layer's last, as where each token has a
//! class. Losses and metrics read `[batch, classes, …]`.

use std::collections::HashMap;

use super::nodes::producers;
use crate::CompilerError;
use crate::graph::{Graph, Length, ValueId};

/// Scores as `[batch, classes, …]`: as they are, or with their last axis made the second. `classes`: how many there are,
/// where it is known.
///
/// # Errors
/// The rule of `Transpose` is missing in the graph's table.
pub(crate) fn classes_second(
    graph: &mut Graph,
    scores: ValueId,
    classes: Option<usize>,
) -> Result<ValueId, CompilerError> {
    let Some(known) = graph.tensor_type(scores) else { return Ok(scores) };
    if !is_last(&known.shape, classes, || is_linear(graph, scores)) {
        return Ok(scores);
    }
    let axes = known.shape.len() as i64;
    let order: Vec<i64> = [0, axes - 1].into_iter().chain(1..axes - 1).collect();
    graph.append("Transpose", &[scores], &[("perm", order.into())], "scores_by_class")
}

/// Whether the last axis, and not the second, counts classes.
fn is_last(shape: &[Length], classes: Option<usize>, is_linear: impl Fn() -> bool) -> bool {
    let [_, second, .., last] = shape else { return false };
    match classes.map(|classes| (*second == classes, *last == classes)) {
        Some((second, last)) if second != last => last,
        _ => is_linear(),
    }
}

/// Whether a linear layer makes the value: a walk back over its bias and what leaves the order of the axes.
fn is_linear(graph: &Graph, value: ValueId) -> bool {
    let makers: HashMap<ValueId, usize> = producers(graph);
    let mut next = Some(value);
    // A loop has no end, and the gate refuses graphs with one.
    for _ in 0..graph.nodes().len() {
        let Some(node) = next.and_then(|value| makers.get(&value)).map(|index| &graph.nodes()[*index]) else { break };
        match node.operator.as_str() {
            "Gemm" | "MatMul" => return true,
            "Add" | "Cast" | "Dropout" | "Identity" | "Reshape" => {
                next = node.inputs.iter().flatten().copied().find(|input| makers.contains_key(input));
            }
            _ => break,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_of_the_classes_is_the_one_of_their_number_or_else_what_makes_the_scores_tells() {
        let sequence = || Length::named("sequence");
        let rows: [(Vec<Length>, Option<usize>, bool, bool); 9] = [
            (vec![2.into(), 5.into()], Some(5), true, false),
            (vec![2.into(), 5.into(), 8.into()], Some(5), true, false),
            (vec![2.into(), 8.into(), 5.into()], Some(5), false, true),
            (vec![2.into(), sequence(), 5.into()], Some(5), false, true),
            (vec![2.into(), 5.into(), sequence()], Some(5), true, false),
            (vec![2.into(), 5.into(), 5.into()], Some(5), true, true),
            (vec![2.into(), 5.into(), 5.into()], Some(5), false, false),
            (vec![2.into(), 6.into(), 7.into()], Some(5), false, false),
            (vec![2.into(), sequence(), 5.into()], None, true, true),
        ];
        for (shape, classes, linear, wanted) in rows {
            assert_eq!(is_last(&shape, classes, || linear), wanted, "{shape:?}, {classes:?}, {linear}");
        }
    }
}
