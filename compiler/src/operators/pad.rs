use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, axes, fixed_integers, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Constant, Graph, Node, TensorType};

/// `Pad`: a margin around some axes; a negative one cuts. In mode `constant`, dx is dy without the margin.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Pad",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let value = SampleInput::Fixed(Constant::f32([], &[0.5]));
        let two_axes =
            vec![varied(&[2, 3, 4]), fixed_integers(&[1, 0, 2, 1]), SampleInput::Absent, fixed_integers(&[-1, 1])];
        vec![
            Sample::new("zeros", vec![varied(&[2, 3]), fixed_integers(&[0, 1, 2, 0])], vec![]),
            Sample::new("a value", vec![varied(&[2, 3]), fixed_integers(&[1, 1, 1, 1]), value], vec![]),
            Sample::new("cut", vec![varied(&[4, 5]), fixed_integers(&[-1, 1, 0, -2])], vec![]),
            Sample::new("named axes", two_axes, vec![]).since(18),
        ]
    },
};

/// Elements added before and after each axis.
fn margins(graph: &Graph, node: &Node, rank: usize) -> Result<(Vec<i64>, Vec<i64>), String> {
    let pads = axes::integers_of(graph, node, 1).ok_or("the pads are computed from data or missing")?;
    let named = if graph.opset >= 18 && node.input(3).is_some() {
        axes::integers_of(graph, node, 3).ok_or("the axes are computed from data")?
    } else {
        (0..rank as i64).collect()
    };
    axes::all_from_front(&named, rank)?;
    if pads.len() != 2 * named.len() {
        return Err(format!("{} pads for {} axes", pads.len(), named.len()));
    }
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    for (at, axis) in named.iter().enumerate() {
        let axis = axes::from_front(*axis, rank)?;
        (before[axis], after[axis]) = (pads[at], pads[at + named.len()]);
    }
    Ok((before, after))
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = rule.input(0)?;
    rule.require_known(1..2)?;
    rule.require_known(3..4)?;
    let (before, after) = margins(rule.graph, rule.node, x.shape.len()).map_err(|message| rule.error(message))?;
    let padded = |axis: usize| -> Option<usize> {
        let length = i64::try_from(x.shape[axis]).ok()?;
        usize::try_from(length.checked_add(before[axis])?.checked_add(after[axis])?).ok()
    };
    let shape = (0..x.shape.len()).map(padded).collect::<Option<Vec<usize>>>();
    let shape = shape.ok_or_else(|| rule.error(format!("pads {before:?} and {after:?} around {:?}", x.shape)))?;
    Ok(vec![TensorType { dtype: x.dtype, shape }])
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let mode = b.node.string("mode").unwrap_or("constant").to_owned();
    if mode != "constant" {
        return Err(b.no_gradient("only mode `constant` has one"));
    }
    let (shape, dy) = (b.input_shape(0)?, b.dy()?);
    let (before, after) = margins(b.graph, &b.node, shape.len()).map_err(|message| b.error(message))?;
    let (mut axes, mut starts, mut ends) = (vec![], vec![], vec![]);
    for axis in 0..shape.len() {
        let (start, cut) = (before[axis].max(0), after[axis].max(0));
        if start > 0 || cut > 0 {
            axes.push(axis as i64);
            starts.push(start);
            ends.push(b.output_shape(0)?[axis] as i64 - cut);
        }
    }
    let dx = if axes.is_empty() { dy } else { b.graph.slice(dy, &axes, &starts, &ends, &vec![1; axes.len()])? };
    let back = |pads: &[i64]| pads.iter().map(|pad| (-pad).max(0)).collect::<Vec<i64>>();
    let dx = b.graph.pad(dx, &back(&before), &back(&after))?;
    b.give(0, dx)
}
