//! Gradients of the reverse pass, held against central differences through ONNX Runtime.

use std::cell::RefCell;
use std::collections::BTreeSet;

use millstream_compiler::OperatorCatalog;
use millstream_compiler::backward::gradients;
use millstream_compiler::graph::{Constant, Graph, TensorType, ValueId};
use millstream_compiler::operators::Gradient;

use crate::built::{Built, Random, between_marks, is_on_cuda, sum};
use crate::float64::Forward;
use crate::onnx_runtime::{self, run, session};
use crate::{HIDDEN, check_all, opsets_of};

/// Largest error of a gradient, relative to the largest one of its tensor, where differences are of 32-bit floats.
const TOLERANCE: f64 = 2e-3;
/// The same where differences are of 64-bit floats: what is left is the rounding of the gradient itself.
const FLOAT64_TOLERANCE: f64 = 1e-5;
/// At least so many operators are held against differences of 64-bit floats: those that ONNX Runtime has such kernels for.
const IN_FLOAT64: usize = 80;
/// More elements than these are checked in part, and all together along random directions.
const EACH: usize = 160;
/// So many elements are checked at each opset.
const FEW: usize = 8;

#[test]
fn gradients_are_those_of_central_differences() {
    if !onnx_runtime::available() {
        return;
    }
    let in_float64 = RefCell::new(BTreeSet::new());
    check_all(|row, sample, opset| match row.gradient {
        Gradient::Defined(_) | Gradient::Expand(_) => {
            let opsets = opsets_of(row, sample);
            let at = opsets.iter().position(|known| *known == opset).unwrap_or(0);
            if gradient_is_true(&Built::new(row, sample, opset)?, Turn { at, of: opsets.len() })? {
                in_float64.borrow_mut().insert((row.domain, row.name));
            }
            Ok(())
        }
        _ => Ok(()),
    });
    let found = in_float64.into_inner();
    let names: Vec<&str> = found.iter().map(|(_, name)| *name).collect();
    println!("differences in 64 bits for {} operators: {}", names.len(), names.join(" "));
    assert!(is_on_cuda() || names.len() >= IN_FLOAT64, "{} operators: {names:?}", names.len());
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
        let is_float64 = gradient_is_true(&built, Turn { at: 0, of: 1 });
        assert_eq!(is_float64, Ok(!is_on_cuda()), "{operator}(x, x)");
    }
}

#[test]
fn a_wrong_gradient_is_found() {
    let difference = |given: &[f64], numeric: &[f64]| difference(given, numeric, TOLERANCE);
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

/// Checks the gradients of a weighted sum of all float outputs whose gradient the operator has. Whether differences were of 64-bit floats.
fn gradient_is_true(built: &Built, turn: Turn) -> Result<bool, String> {
    if built.varied.is_empty() {
        return Ok(false);
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
        if let Some(message) = difference(&single[0], given, TOLERANCE) {
            return Err(format!("input {alone} wanted alone and with others: {message}"));
        }
    }
    let mut forward = Forward::new(built, &outputs);
    let is_float64 = forward.is_float64;
    let tolerance = if is_float64 { FLOAT64_TOLERANCE } else { TOLERANCE };
    let loss = |forward: &mut Forward, values: &[Vec<f64>]| -> f64 {
        let outputs = forward.run(built, values);
        let pairs = outputs.iter().zip(&weights).flat_map(|(output, weights)| output.iter().zip(weights));
        let told = pairs.filter(|(value, _)| value.abs() < f64::from(HIDDEN) || value.is_nan());
        told.map(|(value, weight)| *value * f64::from(*weight)).sum()
    };
    let values: Vec<Vec<f64>> =
        built.values().iter().map(|values| values.iter().map(|value| f64::from(*value)).collect()).collect();
    for (index, given) in given.iter().enumerate() {
        let mut slope = |direction: &[(usize, f64)]| -> f64 {
            let step = forward.step;
            let mut moved = |sign: f64| {
                let mut values = values.clone();
                for (at, length) in direction {
                    values[index][*at] = forward.rounded(values[index][*at] + sign * length * step);
                }
                (loss(&mut forward, &values), values[index][direction[0].0])
            };
            // the step that was really taken, after rounding
            let ((above, high), (below, low)) = (moved(1.0), moved(-1.0));
            (above - below) / ((high - low) / direction[0].1)
        };
        let count = given.len();
        let places = turn.places(given);
        let numeric: Vec<f64> = places.iter().map(|at| slope(&[(*at, 1.0)])).collect();
        let picked: Vec<f64> = places.iter().map(|at| given[*at]).collect();
        let problem = |message| format!("gradient of input {index}: {message}");
        if let Some(message) = difference(&picked, &numeric, tolerance) {
            return Err(problem(message));
        }
        for number in 0..if count > EACH { 4 } else { 0 } {
            let direction: Vec<(usize, f64)> =
                (0..count).map(|at| (at, if random.below(2) == 0 { 1.0 } else { -1.0 })).collect();
            if number % turn.of != turn.at {
                continue;
            }
            let expected: f64 = direction.iter().map(|(at, sign)| given[*at] * sign).sum();
            let length = given.iter().map(|value| value * value).sum::<f64>().sqrt();
            let found = slope(&direction);
            if (found - expected).abs() > tolerance * length {
                return Err(problem(format!("{expected} along a direction, differences give {found}")));
            }
        }
        wrong_ones_are_found(&picked, &numeric, tolerance).map_err(problem)?;
    }
    Ok(is_float64)
}

/// The check would have failed had the rule been a little wrong.
fn wrong_ones_are_found(given: &[f64], numeric: &[f64], tolerance: f64) -> Result<(), String> {
    if given.iter().all(|value| *value == 0.0) {
        return Ok(());
    }
    let scaled: Vec<f64> = given.iter().map(|value| value * (1.0 + 5.0 * tolerance)).collect();
    let scale = given.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let mut one_off = given.to_vec();
    one_off[given.len() / 2] += 5.0 * tolerance * scale;
    for wrong in [scaled, one_off] {
        if difference(&wrong, numeric, tolerance).is_none() {
            return Err("a wrong gradient would not have been found".into());
        }
    }
    Ok(())
}

/// Gradients by the reverse pass, run by ONNX Runtime.
pub(crate) fn own_gradients(built: &Built, weights: &[Vec<f32>], wanted: &[usize]) -> Result<Vec<Vec<f64>>, String> {
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
fn difference(given: &[f64], numeric: &[f64], tolerance: f64) -> Option<String> {
    if given.len() != numeric.len() {
        return Some(format!("{} elements, wanted {}", given.len(), numeric.len()));
    }
    let scale = given.iter().chain(numeric).fold(1e-6, |largest: f64, value| largest.max(value.abs()));
    let off = |a: f64, b: f64| (a - b).is_nan() || (a - b).abs() > tolerance * scale;
    let at = (0..given.len()).find(|at| off(given[*at], numeric[*at]))?;
    Some(format!("{} at element {at}, differences give {} (largest {scale})", given[at], numeric[at]))
}
