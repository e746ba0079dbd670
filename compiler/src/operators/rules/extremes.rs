//! What maxima and minima share.

use super::{element_types, folding};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{ElementType, Known, Length, TensorType};
use crate::operators::TypeRuleInput;

/// The shape that all inputs broadcast to.
pub(crate) fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let first = rule.input(0)?;
    let mut shape = first.shape.clone();
    for index in 1..rule.node.inputs.len() {
        let other = rule.input(index)?;
        if other.dtype != first.dtype {
            return Err(rule.types_differ(first, other));
        }
        shape = rule.broadcast(&shape, &other.shape)?;
    }
    Ok(vec![TensorType { dtype: first.dtype, shape }])
}

/// The type of an index on an axis: that of ArgMax and ArgMin.
pub(crate) fn index_types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let mut shape = element_types::numbers(rule, 0)?.shape.clone();
    let axis = rule.axis(rule.node.int("axis").unwrap_or(0), shape.len())?;
    if rule.node.int("keepdims").unwrap_or(1) != 0 {
        shape[axis] = 1.into();
    } else {
        shape.remove(axis);
    }
    Ok(vec![TensorType { dtype: ElementType::I64, shape }])
}

/// Of two inputs.
pub(crate) fn fold(
    rule: &TypeRuleInput<'_>,
    choose: fn(&Length, &Length) -> Length,
) -> Result<Option<Known>, CompilerError> {
    match rule.node.inputs.len() {
        2 => folding::binary(rule, |a, b| Some(choose(a, b))),
        _ => Ok(None),
    }
}

/// dy goes to the input that wins by `wins` (`Greater` or `Less`); of more than two inputs in pairs: the first with the second, what that
/// makes with the third, and so on. `operator`: what makes the winner of two.
pub(crate) fn gradient(b: &mut Backward<'_>, operator: &str, wins: &str) -> Result<(), CompilerError> {
    let count = b.node.inputs.len();
    let mut winners = vec![b.input(0)?];
    for index in 1..count.saturating_sub(1) {
        let (before, own) = (winners[index - 1], b.input(index)?);
        winners.push(b.graph.add(operator, &[before, own], &[])?);
    }
    let mut dy = b.dy()?;
    for index in (1..count).rev() {
        let (first, second) = (winners[index - 1], b.input(index)?);
        let wants_first = (0..index).any(|before| b.wants(before));
        // where both are equal the gradient goes to one of them only: to neither bound of a clipped value
        if !wants_first {
            let second_wins = b.graph.add(wins, &[second, first], &[])?;
            let gate = b.graph.cast(second_wins, ElementType::F32)?;
            let gradient = b.graph.times(dy, gate)?;
            return b.give(index, gradient);
        }
        let first_wins = b.graph.add(wins, &[first, second], &[])?;
        if b.wants(index) {
            let second_wins = b.graph.add("Not", &[first_wins], &[])?;
            let gate = b.graph.cast(second_wins, ElementType::F32)?;
            let gradient = b.graph.times(dy, gate)?;
            b.give(index, gradient)?;
        }
        let gate = b.graph.cast(first_wins, ElementType::F32)?;
        dy = b.graph.times(dy, gate)?;
    }
    b.give(0, dy)
}

#[cfg(test)]
mod tests {
    use millstream_schemas::recipe::TrainSelection;

    use crate::handmade::{graph, model, node, value, weight};
    use crate::{FineTuning, HeadChoice, Model, OperatorCatalog, compile};

    #[test]
    fn what_lies_below_a_maximum_of_three_is_trained_and_the_exported_model_keeps_it() {
        for operator in ["Max", "Min"] {
            let nodes = vec![
                node("MatMul", &["x", "a.weight"], &["a"]),
                node("MatMul", &["x", "b.weight"], &["b"]),
                node("MatMul", &["x", "c.weight"], &["c"]),
                node(operator, &["a", "b", "c"], &["most"]),
                node("MatMul", &["most", "head.weight"], &["y"]),
            ];
            let mut weights: Vec<_> = ["a", "b", "c"].map(|name| weight(&format!("{name}.weight"), &[3, 4])).to_vec();
            weights.push(weight("head.weight", &[4, 5]));
            let model = model(graph(nodes, weights, vec![value("x", &[3])], vec![value("y", &[5])]));
            let head = HeadChoice::keep();
            let wanted = FineTuning { head, train: TrainSelection::All, ..FineTuning::head(2, 5) };
            let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
            assert_eq!(program.manifest.parameters.len(), 4, "{operator}");
            let exported = program.export(&program.parameters, &[]).unwrap().to_vec();
            let exported = Model::from_bytes(exported).unwrap();
            let inputs = exported.file_graph().node.iter().find(|node| node.op_type() == operator).unwrap().input.len();
            assert_eq!(inputs, 3, "{operator}");
        }
    }
}
