use super::{Gradient, Operator, Sample, TypeRuleInput, axes, fixed_integers, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Graph, Length, TensorType, ValueId};

/// `AffineGrid`: the places of an image of a size, from −1 to 1, each moved by a matrix: `[N, …, axes]` of matrices
/// `[N, axes, axes + 1]`. A product of matrices, where its gradient is needed.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "AffineGrid",
    opsets: 20..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let aligned = || vec![("align_corners", 1.into())];
        vec![
            Sample::new("an image", vec![varied(&[2, 2, 3]), fixed_integers(&[2, 3, 4, 5])], vec![]),
            Sample::new("corners in the middle", vec![varied(&[1, 2, 3]), fixed_integers(&[1, 1, 3, 2])], aligned()),
            Sample::new(
                "a row, corners in the middle",
                vec![varied(&[2, 2, 3]), fixed_integers(&[2, 1, 1, 3])],
                aligned(),
            ),
            Sample::new("an entry alone", vec![varied(&[1, 2, 3]), fixed_integers(&[1, 2, 1, 1])], vec![]),
            Sample::new("a volume", vec![varied(&[2, 3, 4]), fixed_integers(&[2, 1, 2, 3, 4])], vec![]),
        ]
    },
};

/// The spatial lengths of the size.
fn spatial(rule: &TypeRuleInput<'_>) -> Result<Vec<Length>, CompilerError> {
    let mut size = axes::lengths(rule.known_lengths(1)?).map_err(|message| rule.error(message))?;
    if size.len() < 3 {
        return Err(rule.error(format!("a size {size:?} without spatial axes")));
    }
    Ok(size.split_off(2))
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let theta = rule.input(0)?;
    let spatial = spatial(rule)?;
    let count = spatial.len();
    match theta.shape.as_slice() {
        [batch, rows, columns] if *rows == count && *columns == count + 1 => {
            let shape = [std::slice::from_ref(batch), &spatial, &[count.into()]].concat();
            Ok(vec![TensorType { dtype: theta.dtype, shape }])
        }
        other => Err(rule.error(format!("matrices {other:?} for {count} axes"))),
    }
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let theta = node.input(0)?;
    let is_aligned = node.node.int("align_corners").unwrap_or(0) != 0;
    let size = node.node.input(1).and_then(|size| node.graph.lengths_of(size));
    let spatial = size.ok_or_else(|| node.no_gradient("its size is computed from data"))?.split_off(2);
    let batch = node.input_type(0)?.shape[0].clone();
    let graph = &mut *node.graph;
    let whole = &[spatial.iter().product(), Length::from(1)];
    let mut columns = Vec::new();
    for axis in (0..spatial.len()).rev() {
        let along = places(graph, &spatial[axis], is_aligned)?;
        let mut shape = vec![Length::from(1); spatial.len()];
        shape[axis] = spatial[axis].clone();
        let along = graph.reshape(along, &shape)?;
        let all = graph.expand(along, &spatial)?;
        columns.push(graph.reshape(all, whole)?);
    }
    let one = graph.scalar(1.0);
    columns.push(graph.expand(one, whole)?);
    let places = graph.concat(&columns, 1)?;
    let turned = graph.transpose(theta, &[0, 2, 1])?;
    let moved = graph.add("MatMul", &[places, turned], &[])?;
    let shape = [std::slice::from_ref(&batch), &spatial, &[spatial.len().into()]].concat();
    Ok(vec![graph.reshape(moved, &shape)?])
}

/// Evenly spaced places of an axis, whose ends are −1 and 1: at the middle of the entries there, or half an entry beyond. An entry alone
/// whose middle is meant is at 1, as ONNX Runtime has it.
fn places(graph: &mut Graph, length: &Length, is_aligned: bool) -> Result<ValueId, CompilerError> {
    let at = graph.positions(length)?;
    let at = graph.cast(at, crate::graph::ElementType::F32)?;
    let [one, two] = [1.0, 2.0].map(|value| graph.scalar(value));
    let count = graph.length_as_float(length)?;
    if is_aligned {
        let last = graph.minus(count, one)?;
        let before_last = graph.minus(last, at)?;
        let doubled = graph.times(before_last, two)?;
        let divisor = graph.add("Max", &[last, one], &[])?;
        let share = graph.divided_by(doubled, divisor)?;
        return graph.minus(one, share);
    }
    let doubled = graph.times(at, two)?;
    let moved = graph.plus(doubled, one)?;
    let share = graph.divided_by(moved, count)?;
    graph.minus(share, one)
}
