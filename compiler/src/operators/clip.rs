use super::{
    Gradient, Operator, Sample, SampleInput, TypeRuleInput, fixed_integer, fixed_integers, folding, shape_floats,
    varied,
};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Constant, ElementType, Known, Length, TensorType};

/// `Clip`: y = min(max(x, low), high); either bound may be left out. dx = dy strictly between them, else 0.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Clip",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Defined(gradient),
    samples: || {
        let bound = |value: f32| SampleInput::Fixed(Constant::f32([], &[value]));
        vec![
            Sample::new("both bounds", vec![varied(&[3, 7]), bound(-0.5), bound(0.25)], vec![]),
            Sample::new("low bound", vec![varied(&[3, 7]), bound(0.0)], vec![]),
            Sample::new("high bound", vec![varied(&[3, 7]), SampleInput::Absent, bound(0.5)], vec![]),
            Sample::new("integers", vec![fixed_integers(&[-3, 2, 9]), fixed_integer(0), fixed_integer(5)], vec![]),
            Sample::new("no bound", vec![varied(&[3, 7])], vec![]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let clipped = rule.input(0)?;
    let mut bounds = [1, 2].into_iter().filter_map(|index| rule.optional(index));
    match bounds.find(|bound| bound.dtype != clipped.dtype) {
        Some(bound) => Err(rule.types_differ(clipped, bound)),
        None => Ok(vec![clipped.clone()]),
    }
}

/// Integers, and floats that are computed of shapes.
fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let bounds = [1, 2].map(|index| rule.node.input(index).is_some().then_some(index));
    if let Some(source) = folding::integer_input(rule, 0) {
        let bound = |index: Option<usize>| match index {
            Some(index) => folding::integer_input(rule, index)?.elements.into_iter().next().map(Some),
            None => Some(None),
        };
        let [Some(low), Some(high)] = bounds.map(bound) else { return Ok(None) };
        let raised = |x: &Length| low.as_ref().map_or_else(|| x.clone(), |low| x + low - x.minimum(low));
        let clipped = |x: &Length| high.as_ref().map_or_else(|| raised(x), |high| raised(x).minimum(high));
        let elements = source.elements.iter().map(clipped).collect();
        return Ok(folding::from_elements(source.dtype, &source.shape, elements));
    }
    let given = std::iter::once(0).chain(bounds.into_iter().flatten());
    let Some(inputs) = shape_floats::inputs(rule, given) else { return Ok(None) };
    let number = |input: &shape_floats::Floats, at: usize| match input.elements.get(at) {
        Some(shape_floats::Element::Number(number)) => Some(*number),
        _ => None,
    };
    let mut limits = inputs[1..].iter().map(|bound| number(bound, 0));
    let mut limit = |index: Option<usize>, none: f32| index.map_or(Some(none), |_| limits.next().flatten());
    let (low, high) = (limit(bounds[0], f32::NEG_INFINITY), limit(bounds[1], f32::INFINITY));
    let (Some(low), Some(high)) = (low, high) else { return Ok(None) };
    let clipped = |at: usize| number(&inputs[0], at).map(|x| shape_floats::Element::Number(x.max(low).min(high)));
    let elements = (0..inputs[0].elements.len()).map(clipped).collect::<Option<Vec<_>>>();
    Ok(elements.and_then(|elements| shape_floats::from_elements(&inputs[0].shape, &elements)))
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (y, dy) = (b.output(0)?, b.dy()?);
    let mut inside = None;
    for (index, comparison) in [(1, "Greater"), (2, "Less")] {
        let Some(bound) = b.node.input(index) else { continue };
        let holds = b.graph.add(comparison, &[y, bound], &[])?;
        inside = Some(match inside {
            Some(other) => b.graph.add("And", &[other, holds], &[])?,
            None => holds,
        });
    }
    let Some(inside) = inside else { return b.give(0, dy) };
    let gate = b.graph.cast(inside, ElementType::F32)?;
    let dx = b.graph.times(dy, gate)?;
    b.give(0, dx)
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use crate::graph::ElementType;
    use crate::handmade::{constant_node, graph, node, proto, value, weight, whole, with};
    use crate::{FineTuning, Model, OperatorCatalog, compile};

    #[test]
    fn integers_clipped_to_bounds_of_floats_are_told_as_a_file_that_is_not_valid() {
        let to_floats = i64::from(ElementType::F32.to_onnx());
        // up to opset 11 floats were all that `Clip` knew, and the integers are read as such
        for (operator, opset, is_advised) in [("Add", 11, true), ("Clip", 12, false), ("Clip", 17, false)] {
            let nodes = vec![
                constant_node("low", &[]),
                node(operator, &["places", "low"], &["clipped"]),
                with(node("Cast", &["clipped"], &["moved"]), "to", &[to_floats]),
                node("Add", &["x", "moved"], &["h"]),
                node("Gemm", &["h", "head.weight"], &["y"]),
            ];
            let weights = vec![weight("head.weight", &[3, 2]), whole("places", &[3], &[-1, 0, 1])];
            let mut file = proto(graph(nodes, weights, vec![value("x", &[3])], vec![value("y", &[2])]));
            file.opset_import[0].version = Some(opset);
            let model = Model::from_bytes(file.encode_to_vec()).unwrap();
            let error = compile(&model, &FineTuning::head(2, 2), &OperatorCatalog::standard()).unwrap_err().to_string();
            for part in ["clipped", operator, "element types differ: int64 and float32", "export the model again"] {
                assert!(error.contains(part), "{part} is not in: {error}");
            }
            assert_eq!(error.contains("with opset 12"), is_advised, "{opset}: {error}");
        }
    }
}
