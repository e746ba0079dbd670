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

/// Replaces each output of the node `at` by a constant, or states its elements, when its operator's fold rule can tell them and
/// the budget of bytes lasts.
pub(crate) fn fold(
    graph: &mut Graph,
    at: usize,
    catalog: &OperatorCatalog,
    budget: &mut usize,
) -> Result<(), CompilerError> {
    let node = &graph.nodes()[at];
    let Some(fold) = catalog.find(&node.domain, &node.operator).and_then(|row| row.fold) else { return Ok(()) };
    if node.inputs.iter().flatten().any(|input| graph.tensor_type(*input).is_none()) {
        return Ok(());
    }
    let outputs = node.outputs.clone();
    for (index, output) in outputs.iter().enumerate() {
        let Some(output) = *output else { continue };
        let rule = TypeRuleInput { graph, node: &graph.nodes()[at], outputs: outputs.len(), output: index };
        match fold(&rule) {
            Ok(Some(known)) if bytes(&known) <= *budget => {
                *budget -= bytes(&known);
                graph.set_known(output, known);
            }
            Ok(_) | Err(CompilerError::NotKnown { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Constant, ElementType, Length, TensorType, ValueId};

    /// Operators with the number that each takes beside what the one before makes.
    type Steps<'a> = Vec<(&'a str, Option<f32>)>;

    /// Adds a node and folds it.
    fn add(graph: &mut Graph, operator: &str, inputs: &[ValueId], to: Option<ElementType>) -> ValueId {
        let attributes: Vec<_> = to.map(|to| ("to", i64::from(to.to_onnx()).into())).into_iter().collect();
        let made = graph.add(operator, inputs, &attributes).unwrap();
        let at = graph.nodes().len() - 1;
        fold(graph, at, &OperatorCatalog::standard(), &mut FOLDED_BYTES.clone()).unwrap();
        made
    }

    /// The lengths that a chain of nodes makes of the length of an axis, cast to floats first and to integers last.
    fn chain(length: &Length, steps: &Steps<'_>) -> Option<Vec<Length>> {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32([length.clone()]));
        let shape = add(&mut graph, "Shape", &[x], None);
        let mut value = add(&mut graph, "Cast", &[shape], Some(ElementType::F32));
        for (operator, operand) in steps {
            let operand = operand.map(|number| graph.scalar(number));
            let inputs: Vec<ValueId> = [value].into_iter().chain(operand).collect();
            value = add(&mut graph, operator, &inputs, None);
        }
        let whole = add(&mut graph, "Cast", &[value], Some(ElementType::I64));
        graph.lengths_of(whole)
    }

    #[test]
    fn floats_that_are_computed_of_shapes_are_followed() {
        let n = Length::named("n");
        let rows: Vec<(Steps<'_>, i64, Option<Length>)> = vec![
            (vec![], 7, Some(n.clone())),
            (vec![("Mul", Some(2.0)), ("Add", Some(1.0))], 15, Some(&n * 2 + 1)),
            (vec![("Div", Some(2.0)), ("Floor", None)], 3, Some(n.quotient(&2.into()))),
            (vec![("Div", Some(2.0)), ("Ceil", None), ("Sub", Some(1.0))], 3, Some(n.quotient_up(2) - 1)),
            (vec![("Div", Some(2.0))], 3, Some(n.quotient(&2.into()))),
            (vec![("Mul", Some(4.0)), ("Div", Some(2.0))], 14, Some(&n * 2)),
            (vec![("Mul", Some(0.5)), ("Floor", None)], 3, None),
            (vec![("Mul", Some(7.0)), ("Sqrt", None)], 7, None),
            (vec![("Clip", Some(8.0))], 8, None),
            (vec![("Pow", Some(2.0))], 49, None),
            (vec![("Neg", None), ("Div", Some(2.0))], -3, None),
        ];
        for (steps, fixed, open) in rows {
            let number = Length::number(fixed);
            assert_eq!(chain(&7.into(), &steps), Some(vec![number]), "{steps:?} of 7");
            assert_eq!(chain(&n, &steps), open.map(|open| vec![open]), "{steps:?} of an open length");
        }
    }

    #[test]
    fn floats_of_the_model_stay_what_they_are() {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let weight = graph.constant("weight", Constant::f32([1], &[2.0]));
        let scale = graph.scalar(3.0);
        let product = add(&mut graph, "Mul", &[weight, scale], None);
        assert!(graph.constant_of(product).is_none());
        let x = graph.input("x", TensorType::f32([4, 4]));
        let shape = add(&mut graph, "Shape", &[x], None);
        let lengths = add(&mut graph, "Cast", &[shape], Some(ElementType::F32));
        let pair = graph.constant("pair", Constant::f32([2], &[2.0, 4.0]));
        let beside = add(&mut graph, "Mul", &[lengths, pair], None);
        assert!(graph.constant_of(lengths).is_some() && graph.constant_of(beside).is_none());
        let times = add(&mut graph, "Mul", &[lengths, scale], None);
        assert_eq!(graph.constant_of(times), Some(&Constant::f32([2], &[12.0, 12.0])));
    }
}
