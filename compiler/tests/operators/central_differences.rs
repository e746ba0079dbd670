//! Gradients of the reverse pass, held against central differences through ONNX Runtime.

use std::collections::BTreeSet;

use millstream_compiler::OperatorCatalog;
use millstream_compiler::backward::gradients;
use millstream_compiler::graph::{Attribute, Constant, Graph, TensorType, ValueId};
use millstream_compiler::operators::Gradient;

use crate::built::{Built, Random, between_marks, sum};
use crate::onnx_runtime::{self, floats, run, session};
use crate::{HIDDEN, check_all, opsets_of};

/// Largest error of a gradient, relative to the largest one of its tensor.
const TOLERANCE: f64 = 2e-3;
/// More elements than these are checked in part, and all together along random directions.
const EACH: usize = 160;
/// So many elements are checked at each opset.
const FEW: usize = 8;

#[test]
fn gradients_are_those_of_central_differences() {
    check_all(|row, sample, opset| match row.gradient {
        Gradient::Defined(_) | Gradient::Expand(_) => {
            let opsets = opsets_of(row, sample);
            let at = opsets.iter().position(|known| *known == opset).unwrap_or(0);
            gradient_is_true(&Built::new(row, sample, opset)?, Turn { at, of: opsets.len() })
        }
        _ => Ok(()),
    });
}

#[test]
fn the_gradient_of_an_input_given_twice_is_the_sum_of_both() {
    if !onnx_runtime::available() {
        return;
    }
    for (operator, shape) in
        [("Add", &[2, 3][..]), ("Sub", &[2, 3]), ("Mul", &[2, 3]), ("Div", &[4]), ("MatMul", &[3, 3])]
    {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32(shape));
        let outputs = vec![graph.add(operator, &[x, x], &[]).expect("both fit")];
        let (values, mark) = between_marks(shape.iter().product(), (0.5, 1.5), 1);
        let built = Built { graph, varied: vec![(x, values)], step: mark / 10.0, outputs, runs: true };
        assert_eq!(gradient_is_true(&built, Turn { at: 0, of: 1 }), Ok(()), "{operator}(x, x)");
    }
}

#[test]
fn powers_of_zero_have_numbers_for_gradients() {
    if !onnx_runtime::available() {
        return;
    }
    let exponents = Constant::f32([4], &[0.0, 1.0, 2.0, 3.0]);
    for is_known in [true, false] {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32([4]));
        let mut given = vec![("x".to_owned(), floats(&[4], &[0.0; 4]))];
        let exponent = if is_known {
            graph.constant("exponents", exponents.clone())
        } else {
            given.push(("exponents".to_owned(), floats(&[4], &[0.0, 1.0, 2.0, 3.0])));
            graph.input("exponents", TensorType::f32([4]))
        };
        let y = graph.add("Pow", &[x, exponent], &[]).unwrap();
        let loss = graph.reduce_sum(y, &[0], false).unwrap();
        let dx = gradients(&mut graph, loss, &[x], &OperatorCatalog::standard()).unwrap()[0];
        graph.set_outputs(&[dx]);
        let found = run(&mut session(&graph.to_onnx("powers")), given);
        assert_eq!(found, [vec![0.0, 1.0, 0.0, 0.0]], "known: {is_known}");
    }
}

#[test]
fn the_gradient_of_a_norm_of_zeros_is_zero() {
    if !onnx_runtime::available() {
        return;
    }
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([2, 3]));
    let axes = [("axes", vec![1].into()), ("keepdims", 0.into())];
    let norm = graph.add("ReduceL2", &[x], &axes).expect("it fits");
    let values = vec![0.0, 0.0, 0.0, 3.0, 0.0, -4.0];
    let built = Built { graph, varied: vec![(x, values)], step: 0.0, outputs: vec![norm], runs: true };
    let given = own_gradients(&built, &[vec![1.0, 1.0]], &[0]);
    let wanted = vec![vec![0.0, 0.0, 0.0, f64::from(0.6f32), 0.0, f64::from(-0.8f32)]];
    assert_eq!(given, Ok(wanted));
}

#[test]
fn gradients_at_special_points_are_those_of_pytorch() {
    if !onnx_runtime::available() {
        return;
    }
    let along_rows = || vec![("axes", vec![1].into()), ("keepdims", 0.into())];
    type Row<'a> = (&'a str, Vec<(&'a str, Attribute)>, [f32; 6], [f64; 6]);
    let rows: Vec<Row<'_>> = vec![
        ("ReduceProd", along_rows(), [2.0, 0.0, 3.0, 0.0, 0.0, 4.0], [0.0, 6.0, 0.0, 0.0, 0.0, 0.0]),
        ("ReduceL1", along_rows(), [0.0, -2.0, 3.0, 0.0, 0.0, 4.0], [0.0, -1.0, 1.0, 0.0, 0.0, 1.0]),
        ("Softsign", vec![], [0.0, 1.0, -1.0, 0.0, 3.0, -3.0], [1.0, 0.25, 0.25, 1.0, 0.0625, 0.0625]),
        ("Celu", vec![], [0.0, 1.0, 2.0, 0.0, 1.0, 2.0], [1.0; 6]),
        ("Shrink", vec![], [0.5, -0.5, 0.75, 0.0, -0.75, 2.0], [0.0, 0.0, 1.0, 0.0, 1.0, 1.0]),
        ("ThresholdedRelu", vec![], [1.0, 0.0, 2.0, -2.0, 1.5, 1.0], [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]),
    ];
    for (operator, attributes, values, wanted) in rows {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32([2, 3]));
        let y = graph.add(operator, &[x], &attributes).expect("it fits");
        let built = Built { graph, varied: vec![(x, values.to_vec())], step: 0.0, outputs: vec![y], runs: true };
        let ones = vec![1.0; built.shape(y).iter().product()];
        assert_eq!(own_gradients(&built, &[ones], &[0]), Ok(vec![wanted.to_vec()]), "{operator}");
    }
}

#[test]
fn a_wrong_gradient_is_found() {
    let (given, numeric) = ([0.5, -1.0, 0.25], [0.5004, -0.9996, 0.2496]);
    assert!(difference(&given, &numeric).is_none());
    assert!(difference(&[0.5, -1.0, 0.26], &numeric).is_some());
    assert!(difference(&[0.5, 1.0, 0.25], &numeric).is_some());
    assert!(difference(&[0.0, 0.0, 0.0], &numeric).is_some());
    assert!(difference(&given, &[0.0, 0.0, 0.0]).is_some());
    assert!(difference(&[f64::NAN, -1.0, 0.25], &numeric).is_some());
}

/// Which of the opsets of a sample is checked, of how many: differences are the same at each, so its elements are shared out.
#[derive(Clone, Copy)]
struct Turn {
    at: usize,
    of: usize,
}

impl Turn {
    /// Its share of some things.
    fn share<T>(self, all: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        all.skip(self.at).step_by(self.of)
    }

    /// Which elements of a gradient it checks: its share of them, where they are many, and the largest, which the others are held against.
    fn places(self, given: &[f64]) -> Vec<usize> {
        let all = (0..given.len()).step_by(given.len().div_ceil(EACH).max(1));
        if all.len() <= FEW {
            return all.collect();
        }
        let largest = (0..given.len()).max_by(|a, b| given[*a].abs().total_cmp(&given[*b].abs()));
        let places: BTreeSet<usize> = self.share(all).chain(largest).collect();
        places.into_iter().collect()
    }
}

/// Checks the gradients of a weighted sum of all float outputs whose gradient the operator has.
fn gradient_is_true(built: &Built, turn: Turn) -> Result<(), String> {
    if built.varied.is_empty() {
        return Ok(());
    }
    let mut random = Random(77);
    let outputs = built.differentiable();
    let weights: Vec<Vec<f32>> = outputs
        .iter()
        .map(|output| (0..built.shape(*output).iter().product()).map(|_| random.signed()).collect())
        .collect();
    let all: Vec<usize> = (0..built.varied.len()).collect();
    let given = own_gradients(built, &weights, &all)?;
    // one input alone has been wanted alone
    for (alone, given) in turn.share(given.iter().enumerate()).filter(|_| given.len() > 1) {
        let single = own_gradients(built, &weights, &[alone])?;
        if let Some(message) = difference(&single[0], given) {
            return Err(format!("input {alone} wanted alone and with others: {message}"));
        }
    }
    let mut forward = built.forward();
    forward.set_outputs(&outputs);
    let mut forward_session = session(&forward.to_onnx("forward"));
    let mut loss = |values: &[Vec<f32>]| -> f64 {
        let outputs = run(&mut forward_session, built.inputs(&forward, values));
        let pairs = outputs.iter().zip(&weights).flat_map(|(output, weights)| output.iter().zip(weights));
        let told = pairs.filter(|(value, _)| value.abs() < HIDDEN || value.is_nan());
        told.map(|(value, weight)| f64::from(*value) * f64::from(*weight)).sum()
    };
    for (index, given) in given.iter().enumerate() {
        let values = built.values();
        let mut slope = |direction: &[(usize, f32)]| -> f64 {
            let mut moved = |sign: f32| {
                let mut values = values.clone();
                for (at, length) in direction {
                    values[index][*at] += sign * length * built.step;
                }
                loss(&values)
            };
            let (above, below) = (moved(1.0), moved(-1.0));
            // the step that was really taken, after rounding
            let (at, length) = direction[0];
            let base = values[index][at];
            let taken = f64::from(base + length * built.step) - f64::from(base - length * built.step);
            (above - below) / (taken / f64::from(length))
        };
        let count = given.len();
        let places = turn.places(given);
        let numeric: Vec<f64> = places.iter().map(|at| slope(&[(*at, 1.0)])).collect();
        let picked: Vec<f64> = places.iter().map(|at| given[*at]).collect();
        let problem = |message| format!("gradient of input {index}: {message}");
        if let Some(message) = difference(&picked, &numeric) {
            return Err(problem(message));
        }
        for number in 0..if count > EACH { 4 } else { 0 } {
            let direction: Vec<(usize, f32)> =
                (0..count).map(|at| (at, if random.below(2) == 0 { 1.0 } else { -1.0 })).collect();
            if number % turn.of != turn.at {
                continue;
            }
            let expected: f64 = direction.iter().map(|(at, sign)| given[*at] * f64::from(*sign)).sum();
            let length = given.iter().map(|value| value * value).sum::<f64>().sqrt();
            let found = slope(&direction);
            if (found - expected).abs() > TOLERANCE * length {
                return Err(problem(format!("{expected} along a direction, differences give {found}")));
            }
        }
        wrong_ones_are_found(&picked, &numeric).map_err(problem)?;
    }
    Ok(())
}

/// The check would have failed had the rule been a little wrong.
fn wrong_ones_are_found(given: &[f64], numeric: &[f64]) -> Result<(), String> {
    if given.iter().all(|value| *value == 0.0) {
        return Ok(());
    }
    let scaled: Vec<f64> = given.iter().map(|value| value * 1.01).collect();
    let scale = given.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let mut one_off = given.to_vec();
    one_off[given.len() / 2] += 0.01 * scale;
    for wrong in [scaled, one_off] {
        if difference(&wrong, numeric).is_none() {
            return Err("a wrong gradient would not have been found".into());
        }
    }
    Ok(())
}

/// Gradients by the reverse pass, run by ONNX Runtime.
fn own_gradients(built: &Built, weights: &[Vec<f32>], wanted: &[usize]) -> Result<Vec<Vec<f64>>, String> {
    let mut graph = built.graph.clone();
    let wanted: Vec<ValueId> = wanted.iter().map(|index| built.varied[*index].0).collect();
    let ids = (|| {
        let mut loss = graph.scalar(0.0);
        for (output, weights) in built.differentiable().into_iter().zip(weights) {
            let weights = graph.constant("weights", Constant::f32(built.shape(output), weights));
            let weighted = graph.times(output, weights)?;
            let part = sum(&mut graph, weighted)?;
            loss = graph.plus(loss, part)?;
        }
        gradients(&mut graph, loss, &wanted, &OperatorCatalog::standard())
    })()
    .map_err(|error| error.to_string())?;
    for (id, wanted) in ids.iter().zip(&wanted) {
        let (got, want) = (graph.tensor_type(*id), graph.tensor_type(*wanted));
        if got != want {
            return Err(format!("a gradient of type {got:?} for an input of type {want:?}"));
        }
        let output = graph.add("Identity", &[*id], &[]).map_err(|error| error.to_string())?;
        graph.output(output);
    }
    let mut session = session(&graph.to_onnx("gradients"));
    let found = run(&mut session, built.inputs(&graph, &built.values()));
    Ok(found.into_iter().map(|values| values.into_iter().map(f64::from).collect()).collect())
}

/// What is wrong with a gradient, if it is off by more than the tolerance.
fn difference(given: &[f64], numeric: &[f64]) -> Option<String> {
    if given.len() != numeric.len() {
        return Some(format!("{} elements, wanted {}", given.len(), numeric.len()));
    }
    let scale = given.iter().chain(numeric).fold(1e-6, |largest: f64, value| largest.max(value.abs()));
    let off = |a: f64, b: f64| (a - b).is_nan() || (a - b).abs() > TOLERANCE * scale;
    let at = (0..given.len()).find(|at| off(given[*at], numeric[*at]))?;
    Some(format!("{} at element {at}, differences give {} (largest {scale})", given[at], numeric[at]))
}
