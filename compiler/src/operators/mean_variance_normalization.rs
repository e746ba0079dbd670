use super::{Gradient, Operator, Sample, TypeRuleInput, axes, normalizations, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Node, TensorType};
use normalizations::Standardized;

/// `MeanVarianceNormalization`: x̂ = (x − mean) · r with r = 1/(√variance + 1e-9), over axes (0, 2 and 3 unless they are
/// given). dx = r · (dy − mean(dy) − x̂ · mean(dy · x̂)).
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "MeanVarianceNormalization",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        vec![
            Sample::new("images", vec![varied(&[2, 3, 3, 2])], vec![]),
            Sample::new("named axes", vec![varied(&[2, 3, 4])], vec![("axes", vec![1, 2].into())]),
        ]
    },
};

/// Added to the deviation, as the definition has it.
const EPSILON: f32 = 1e-9;

fn normalized_axes(node: &Node, rank: usize) -> Result<Vec<usize>, String> {
    axes::all_from_front(node.ints("axes").unwrap_or(&[0, 2, 3]), rank)
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    normalized_axes(rule.node, x.shape.len()).map_err(|message| rule.error(message))?;
    Ok(vec![x.clone()])
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (x, dy, rank) = (b.input(0)?, b.dy()?, b.input_shape(0)?.len());
    let found = normalized_axes(&b.node, rank).map_err(|message| b.error(message))?;
    let axes: Vec<i64> = found.into_iter().map(|axis| axis as i64).collect();
    if axes.is_empty() {
        return Err(b.no_gradient("it normalizes over no axis"));
    }
    let mean = b.graph.reduce_mean(x, &axes)?;
    let centred = b.graph.minus(x, mean)?;
    let square = b.graph.times(centred, centred)?;
    let variance = b.graph.reduce_mean(square, &axes)?;
    let deviation = b.graph.add("Sqrt", &[variance], &[])?;
    let epsilon = b.graph.scalar(EPSILON);
    let divisor = b.graph.plus(deviation, epsilon)?;
    let inverse = b.graph.add("Reciprocal", &[divisor], &[])?;
    let hat = b.graph.times(centred, inverse)?;
    let dx = Standardized { hat, inverse, axes, is_centred: true }.back(b.graph, dy)?;
    b.give(0, dx)
}
