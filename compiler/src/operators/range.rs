use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, folding, shape_floats};
use crate::CompilerError;
use crate::graph::{Constant, ElementType, Known, Length, TensorType};

/// `Range`: numbers from `start` to `limit` (not included) in steps of `delta`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Range",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: Some(fold),
    gradient: Gradient::Zero("its length and values are fixed before the run"),
    samples: || {
        let whole = |values: [i64; 3]| values.map(|value| SampleInput::Fixed(Constant::i64([], &[value]))).to_vec();
        let float = |values: [f32; 3]| values.map(|value| SampleInput::Fixed(Constant::f32([], &[value]))).to_vec();
        vec![
            Sample::new("upwards", whole([2, 9, 3]), vec![]),
            Sample::new("downwards", whole([5, -1, -2]), vec![]),
            Sample::new("empty", whole([5, 5, 1]), vec![]),
            Sample::new("floats", float([0.0, 1.0, 0.25]), vec![]),
        ]
    },
};

/// Start, limit and delta where they are whole numbers, or expressions over named lengths.
fn whole(rule: &TypeRuleInput<'_>) -> Result<[Length; 3], CompilerError> {
    let mut whole = [0usize; 3].map(Length::from);
    for (index, length) in whole.iter_mut().enumerate() {
        if rule.input(index)?.dtype == ElementType::F32 {
            *length = shape_floats::whole_number(rule, index).ok_or_else(|| rule.not_known(index))?;
            continue;
        }
        let given = rule.known_lengths(index)?;
        *length = given.first().cloned().ok_or_else(|| rule.error(format!("input {index} is empty")))?;
    }
    Ok(whole)
}

fn count(rule: &TypeRuleInput<'_>) -> Result<Length, CompilerError> {
    let floats: Option<Vec<f32>> =
        (0..3).map(|index| rule.constant(index).and_then(Constant::to_f32)?.first().copied()).collect();
    let count = if let Some(floats) = floats {
        f64::from(floats[1] - floats[0]) / f64::from(floats[2])
    } else {
        let whole = whole(rule)?;
        let numbers = whole.each_ref().map(Length::as_number);
        let [Some(start), Some(limit), Some(delta)] = numbers else { return open_count(rule, &whole) };
        (i128::from(limit) - i128::from(start)) as f64 / delta as f64
    };
    if !count.is_finite() || count > (1u64 << 32) as f64 {
        return Err(rule.error("a range without end"));
    }
    Ok((count.ceil().max(0.0) as usize).into())
}

fn open_count(rule: &TypeRuleInput<'_>, [start, limit, delta]: &[Length; 3]) -> Result<Length, CompilerError> {
    let step = delta.as_number().filter(|step| *step != 0).and_then(|step| usize::try_from(step.unsigned_abs()).ok());
    match step {
        Some(step) => {
            let distance = if delta.fixed().is_some() { limit - start } else { start - limit };
            // a limit before the start leaves nothing; the rest of a division is a length that convolutions have made
            let none = if distance.has_quotient() { 0.into() } else { distance.minimum(&0.into()) };
            Ok((distance - none).quotient_up(step))
        }
        _ => Err(rule.error(rule.open(&format!("a range in steps of {delta}"), 0, &[start, limit, delta]))),
    }
}

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    Ok(vec![TensorType { dtype: rule.input(0)?.dtype, shape: vec![count(rule)?] }])
}

fn fold(rule: &TypeRuleInput<'_>) -> Result<Option<Known>, CompilerError> {
    let output = types(rule)?.remove(0);
    let shape = folding::small_shape(&output.shape);
    let Some(shape) = shape.filter(|_| (0..3).all(|index| folding::integer_input(rule, index).is_some())) else {
        return Ok(None);
    };
    let [start, _, delta] = whole(rule)?;
    let elements = (0..shape[0]).map(|at| &delta * at + &start).collect();
    Ok(folding::from_elements(output.dtype, &shape, elements))
}

#[cfg(test)]
mod tests {
    use crate::graph::Length;
    use crate::handmade::{graph, node, read, untyped, value, whole, with};

    #[test]
    fn a_range_of_floats_up_to_an_open_length_is_as_long_as_the_whole_numbers() {
        // places as floats, of rotary angles and of biases by distance
        let nodes = vec![
            node("Shape", &["x"], &["lengths"]),
            node("Squeeze", &["lengths"], &["rows"]),
            with(node("Cast", &["rows"], &["limit"]), "to", &[1]),
            with(node("Cast", &["none"], &["start"]), "to", &[1]),
            with(node("Cast", &["one"], &["delta"]), "to", &[1]),
            node("Range", &["start", "limit", "delta"], &["range"]),
        ];
        let numbers = vec![whole("none", &[], &[0]), whole("one", &[], &[1])];
        let read = read(graph(nodes, numbers, vec![value("x", &[])], vec![untyped("range")]));
        assert_eq!(read.shape(read.find("range").unwrap()).unwrap(), [Length::named("batch")]);
    }

    #[test]
    fn a_range_downwards_from_an_open_length_is_as_long_as_the_way() {
        // positions of XLNet
        let batch = Length::named("batch");
        for (step, wanted) in [(-1, &batch + &batch), (-2, batch.clone()), (1, 0.into())] {
            let nodes = vec![
                node("Shape", &["x"], &["lengths"]),
                node("Squeeze", &["lengths"], &["start"]),
                node("Neg", &["start"], &["limit"]),
                node("Range", &["start", "limit", "delta"], &["range"]),
            ];
            let read =
                read(graph(nodes, vec![whole("delta", &[], &[step])], vec![value("x", &[])], vec![untyped("range")]));
            assert_eq!(read.shape(read.find("range").unwrap()).unwrap(), [wanted], "in steps of {step}");
        }
    }
}
