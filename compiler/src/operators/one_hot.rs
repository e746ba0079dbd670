use super::{
    Gradient, Operator, Sample, SampleInput, TypeRuleInput, axes, element_types, fixed_floats, fixed_integer,
    fixed_integers, fixed_integers_of, folding, varied, varied_in,
};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Attribute, Constant, Known, Length, TensorType};

/// `OneHot`: a new axis of length `depth` with the second of two values at the index and the first elsewhere; negative
/// indices count from the end. The values' gradients: dy summed there and elsewhere; indices have none.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "OneHot",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Defined(gradient),
    samples: || {
        let indices = || fixed_integers_of(&[2, 3], &[0, 3, -1, 1, 7, -4]);
        let off_on = || fixed_floats(&[2], &[-0.5, 2.0]);
        let axis = |axis: i64| vec![("axis", axis.into())];
        let whole = |values: &[f32], shape: &[usize]| SampleInput::Fixed(Constant::f32(shape, values));
        vec![
            Sample::new("trained values", vec![indices(), fixed_integer(4), varied(&[2])], vec![]),
            Sample::new("first axis", vec![indices(), fixed_integers(&[4]), off_on()], axis(0)),
            Sample::new("middle axis", vec![indices(), fixed_integer(4), off_on()], axis(-2)),
            Sample::new("integers", vec![indices(), fixed_integer(4), fixed_integers(&[0, 1])], axis(2)),
            Sample::new("float indices", vec![varied_in(&[3], 0.0, 3.0), whole(&[3.0], &[1]), varied(&[2])], vec![]),
        ]
    },
};

/// Of known integers, as exporters write repetitions along one axis.
fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let (Some(indices), Some(values)) = (folding::integer_input(rule, 0), folding::integer_input(rule, 2)) else {
        return Ok(None);
    };
    let axis = place(rule.node.int("axis"), indices.shape.len()).map_err(|message| rule.error(message))?;
    let numbers = indices.elements.iter().map(Length::as_number).collect::<Option<Vec<i64>>>();
    let (Some(shape), Some(numbers)) = (folding::small_shape(&types(rule)?.remove(0).shape), numbers) else {
        return Ok(None);
    };
    let depth = shape[axis] as i64;
    let steps = folding::steps(&indices.shape);
    Ok(folding::moved(&values, &shape, |at| {
        let others = at.iter().enumerate().filter(|(other, _)| *other != axis).map(|(_, at)| *at);
        let from: usize = others.zip(&steps).map(|(at, step)| at * step).sum();
        let index = numbers[from];
        let index = if index < 0 { index + depth } else { index };
        usize::from(index == at[axis] as i64)
    }))
}

/// The place of the new axis.
fn place(attribute: Option<i64>, rank: usize) -> Result<usize, String> {
    axes::from_front(attribute.unwrap_or(-1), rank + 1)
}

/// The length of the new axis; exporters write it as a float, too.
fn depth(rule: &TypeRuleInput<'_>) -> Result<Length, CompilerError> {
    let float = rule.constant(1).and_then(Constant::to_f32).and_then(|depth| depth.first().copied());
    let depth = match float {
        Some(depth) if depth.fract() == 0.0 && (0.0..1e9).contains(&depth) => Length::from(depth as usize),
        Some(depth) => return Err(rule.error(format!("a depth of {depth}"))),
        None => rule.known_lengths(1)?.first().cloned().ok_or_else(|| rule.error("no depth"))?,
    };
    let depth = axes::lengths(vec![depth]).map_err(|message| rule.error(message))?;
    Ok(depth.into_iter().next().expect("one went in"))
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (indices, values) = (element_types::numbers(rule, 0)?, rule.input(2)?);
    if values.shape.len() != 1 || values.shape[0] != 2 {
        return Err(rule.error(format!("values {:?}, wanted two: off and on", values.shape)));
    }
    let place = place(rule.node.int("axis"), indices.shape.len()).map_err(|message| rule.error(message))?;
    let mut shape = indices.shape.clone();
    shape.insert(place, depth(rule)?);
    Ok(vec![TensorType { dtype: values.dtype, shape }])
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    if b.wants(0) {
        // constant between whole numbers
        let shape = b.input_shape(0)?;
        let none = b.graph.zeros(&shape)?;
        b.give(0, none)?;
    }
    if b.wants(2) {
        let (indices, depth, dy) = (b.input(0)?, b.input(1)?, b.dy()?);
        let all: Vec<i64> = (0..b.output_shape(0)?.len() as i64).collect();
        let off_on = b.graph.constant("off_on", Constant::f32([2], &[0.0, 1.0]));
        let axis = [("axis", Attribute::Int(b.node.int("axis").unwrap_or(-1)))];
        let at_index = b.graph.add("OneHot", &[indices, depth, off_on], &axis)?;
        let there = b.graph.times(dy, at_index)?;
        let on = b.graph.reduce_sum(there, &all, false)?;
        let elsewhere = b.graph.minus(dy, there)?;
        let off = b.graph.reduce_sum(elsewhere, &all, false)?;
        let [off, on] = [off, on].map(|sum| b.graph.reshape(sum, &[1usize]));
        let both = b.graph.concat(&[off?, on?], 0)?;
        b.give(2, both)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::handmade::{graph, model, node, untyped, value, weight, with};
    use crate::model_file::onnx::TensorProto;
    use crate::{FineTuning, OperatorCatalog, compile};
    use millstream_schemas::recipe::TrainSelection;

    fn integers(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
        let (name, values) = (Some(name.into()), values.to_vec());
        TensorProto { name, dims: dims.to_vec(), data_type: Some(7), int64_data: values, ..TensorProto::default() }
    }

    fn float(name: &str, value: f32) -> TensorProto {
        TensorProto { name: Some(name.into()), data_type: Some(1), float_data: vec![value], ..TensorProto::default() }
    }

    /// Repeats an axis of 4 as often as it is long, and takes the root of 4 for a length.
    #[test]
    fn repetitions_that_exporters_write_by_one_hot_and_roots_of_constants_are_lengths() {
        let nodes = vec![
            node("Gemm", &["x", "body.weight"], &["hidden"]),
            node("Shape", &["hidden"], &["shape"]),
            node("Gather", &["shape", "last"], &["width"]),
            with(node("Concat", &["one", "width"], &["off_on"]), "axis", &[0]),
            node("OneHot", &["last", "two", "off_on"], &["repeats"]),
            node("Reshape", &["repeats", "flat"], &["repetitions"]),
            node("Tile", &["hidden", "repetitions"], &["tiled"]),
            node("Pow", &["four", "half"], &["root"]),
            with(node("Cast", &["root"], &["count"]), "to", &[7]),
            node("Unsqueeze", &["count", "first"], &["counts"]),
            with(node("Concat", &["first", "counts", "flat"], &["lengths"]), "axis", &[0]),
            node("Reshape", &["tiled", "lengths"], &["pairs"]),
            node("Flatten", &["pairs"], &["features"]),
            node("Gemm", &["features", "head.weight"], &["scores"]),
        ];
        let vector = |name: &str, value: i64| integers(name, &[1], &[value]);
        let constants = vec![
            weight("body.weight", &[3, 4]),
            weight("head.weight", &[16, 2]),
            vector("last", -1),
            vector("one", 1),
            vector("flat", -1),
            vector("first", 0),
            integers("two", &[], &[2]),
            float("four", 4.0),
            float("half", 0.5),
        ];
        let model = model(graph(nodes, constants, vec![value("x", &[3])], vec![untyped("scores")]));
        let wanted = FineTuning { train: TrainSelection::All, ..FineTuning::head(2, 5) };
        let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
        assert_eq!(program.trained, 3 * 4 + 16 * 5);
    }
}
