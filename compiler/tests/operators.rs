//! Every operator of the table, on its own samples: ONNX Runtime says what shapes and values are true, central
//! differences through it say what gradients are.

#![expect(clippy::print_stdout, reason = "tests that are left out say so")]

mod onnx_runtime;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use millstream_compiler::backward::gradients;
use millstream_compiler::graph::{Attribute, Constant, ElementType, Graph, Known, Node, TensorType, ValueId};
use millstream_compiler::operators::{Gradient, Operator, Sample, SampleInput, TypeRuleInput};
use millstream_compiler::{CompilerError, OperatorCatalog};
use onnx_runtime::{floats, run, session};
use ort::value::{DynValue, PrimitiveTensorElementType, ValueType};

/// Versions at which forms change: reductions at 18, ScatterND's sum at 16, Gelu at 20.
const OPSETS: [i64; 4] = [13, 17, 20, 25];
/// Largest error of a gradient, relative to the largest one of its tensor.
const TOLERANCE: f64 = 2e-3;
/// Inputs of at most this many elements hold no value twice: windows then have one maximum.
const DISTINCT: usize = 128;
/// Standard operators all of whose outputs have gradients.
const THROUGH_ALL: [&str; 5] = ["Attention", "GRU", "LSTM", "RNN", "Split"];
/// Operators that ONNX Runtime has no kernel for on the CPU: what is run is what they expand to.
const ON_CUDA_ALONE: &str = "BiasAdd BiasDropout BiasSoftmax BiasSplitGelu DecoderMaskedSelfAttention DequantizeWithOrder FusedMatMulActivation \
    GatedRelativePositionBias GemmFastGelu GroupNorm LongformerAttention NhwcConv NhwcFusedConv PackedAttention PackedMultiHeadAttention \
    QOrderedAttention QOrderedGelu QOrderedLayerNormalization QOrderedLongformerAttention QOrderedMatMul QuantizeWithOrder \
    RelativePositionBias RemovePadding RestorePadding SkipGroupNorm";
/// Operators that run graphs of their own: `forms/kept.rs` holds them, on models.
const OF_GRAPHS: [&str; 3] = ["If", "Loop", "Scan"];
/// Operators on texts, files and sequences, which are no tensors of numbers: `forms/beside_tensors.rs` holds them, on models.
const OF_NO_TENSORS: [&str; 6] =
    ["ImageDecoder", "RegexFullMatch", "SequenceMap", "StringConcat", "StringNormalizer", "StringSplit"];
/// More elements than these are checked in part, and all together along random directions.
const EACH: usize = 160;
/// What is as large as this stands for what a mask hides, whatever the inputs are.
const HIDDEN: f32 = 1e30;
/// So many elements are checked at each opset.
const FEW: usize = 8;

#[test]
fn outputs_have_the_stated_types_and_folded_values() {
    check_all(|row, sample, opset| {
        let built = Built::new(row, sample, opset)?;
        if !built.runs && !matches!(row.gradient, Gradient::Expand(_)) {
            return Ok(()); // nothing here says what it is
        }
        types_are_true(&built)?;
        fold_is_true(row, &built)
    });
}

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
fn expansions_compute_what_their_operators_do() {
    check_all(|row, sample, opset| match row.gradient {
        Gradient::Expand(_) => expansion_is_true(&Built::new(row, sample, opset)?),
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
fn every_fold_rule_folds_a_sample() {
    // their folds are of floats that nodes compute of shapes, which the tests of `simplify` hold
    const OF_COMPUTED_FLOATS: [&str; 4] = ["Ceil", "Floor", "Pow", "Sqrt"];
    let of_samples = |row: &&Operator| row.fold.is_some() && !OF_COMPUTED_FLOATS.contains(&row.name);
    for row in OperatorCatalog::standard().rows().filter(of_samples) {
        let folds = (row.samples)().iter().any(|sample| {
            let opset = *sample.opsets.end().min(row.opsets.end());
            Built::new(row, sample, opset).unwrap().folded(row, 0).unwrap().is_some()
        });
        assert!(folds, "no sample of {} folds", row.name);
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

/// Runs a check on every sample at every opset that knows it, and reports all that fail.
fn check_all(check: impl Fn(&Operator, &Sample, i64) -> Result<(), String>) {
    if !onnx_runtime::available() {
        return;
    }
    let mut failures = BTreeSet::new();
    for row in OperatorCatalog::standard().rows() {
        let samples = (row.samples)();
        let has_none = OF_GRAPHS.contains(&row.name) || OF_NO_TENSORS.contains(&row.name);
        assert!(samples.is_empty() == has_none, "{} has no samples", row.name);
        for sample in &samples {
            let opsets = opsets_of(row, sample);
            assert!(!opsets.is_empty(), "{}, {}: no opset is checked", row.name, sample.name);
            for opset in opsets {
                let panicked = |_| Err("panicked".to_owned());
                let outcome = catch_unwind(AssertUnwindSafe(|| check(row, sample, opset))).unwrap_or_else(panicked);
                if let Err(message) = outcome {
                    failures.insert(format!("{} ({}), opset {opset}: {message}", row.name, sample.name));
                }
            }
        }
    }
    let list: Vec<String> = failures.into_iter().collect();
    assert!(list.is_empty(), "{} failed:\n{}", list.len(), list.join("\n"));
}

/// The opsets that a sample is checked at.
fn opsets_of(row: &Operator, sample: &Sample) -> Vec<i64> {
    OPSETS.into_iter().filter(|opset| is_known(row, *opset) && sample.opsets.contains(opset)).collect()
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

/// Whether a row is of this standard opset; other domains have versions of their own, and are checked at their first.
fn is_known(row: &Operator, opset: i64) -> bool {
    !row.domain.is_empty() || row.opsets.contains(&opset)
}

/// A graph with one node, made from a sample.
struct Built {
    graph: Graph,
    /// Inputs whose gradient is checked, with their values.
    varied: Vec<(ValueId, Vec<f32>)>,
    /// Size of a step that crosses no kink: values lie between the marks of a grid, and kinks on them.
    step: f32,
    outputs: Vec<ValueId>,
    /// Whether there is a kernel to run it.
    runs: bool,
}

impl Built {
    fn new(row: &Operator, sample: &Sample, opset: i64) -> Result<Self, String> {
        let mut graph = Graph::new(opset, OperatorCatalog::standard());
        if !row.domain.is_empty() {
            graph.other_opsets.insert(row.domain.to_owned(), *row.opsets.start());
        }
        let (mut varied, mut inputs) = (vec![], vec![]);
        let mut step = f32::INFINITY;
        for (index, input) in sample.inputs.iter().enumerate() {
            inputs.push(match input {
                SampleInput::Varied { shape, range } => {
                    let id = graph.input(&format!("input_{index}"), TensorType::f32(shape.clone()));
                    let (values, mark) = between_marks(shape.iter().product(), *range, index as u32);
                    step = step.min(mark / 10.0);
                    varied.push((id, values));
                    Some(id)
                }
                SampleInput::Fixed(constant) => Some(graph.constant(&format!("fixed_{index}"), constant.clone())),
                SampleInput::Absent => None,
            });
        }
        let attributes: Vec<(&str, Attribute)> = sample.attributes.clone();
        let outputs = graph.add_in(row.domain, row.name, &inputs, &attributes, sample.outputs);
        let outputs = outputs.map_err(|error| error.to_string())?;
        let runs = ON_CUDA_ALONE.split_whitespace().all(|name| name != row.name) || is_on_cuda();
        Ok(Self { graph, varied, step, outputs, runs })
    }

    /// What is run for the node: itself, or what it expands to.
    fn forward(&self) -> Graph {
        if self.runs { self.graph.clone() } else { self.expanded().expect("its samples expand") }
    }

    /// With what the node expands to.
    fn expanded(&self) -> Result<Graph, CompilerError> {
        let mut expanded = self.graph.clone();
        let wanted: Vec<ValueId> = self.varied.iter().map(|(id, _)| *id).collect();
        let loss = sum(&mut expanded, self.outputs[0])?;
        gradients(&mut expanded, loss, &wanted, &OperatorCatalog::standard())?;
        Ok(expanded)
    }

    /// All outputs, or the first where further ones are statistics.
    fn differentiable(&self) -> Vec<ValueId> {
        let is_through_all = |node: &Node| node.domain.is_empty() && THROUGH_ALL.contains(&node.operator.as_str());
        let through_all = self.graph.nodes().last().is_some_and(is_through_all);
        if through_all { self.outputs.clone() } else { self.outputs[..1].to_vec() }
    }

    fn shape(&self, value: ValueId) -> Vec<usize> {
        let known = self.graph.known_type(value).expect("the table knows the operator");
        known.fixed_shape().expect("samples have fixed lengths")
    }

    fn inputs(&self, graph: &Graph, values: &[Vec<f32>]) -> Vec<(String, DynValue)> {
        let named = self.varied.iter().zip(values);
        named.map(|((id, _), values)| (graph.name(*id).to_owned(), floats(&self.shape(*id), values))).collect()
    }

    fn values(&self) -> Vec<Vec<f32>> {
        self.varied.iter().map(|(_, values)| values.clone()).collect()
    }

    fn folded(&self, row: &Operator, output: usize) -> Result<Option<Constant>, String> {
        let Some(fold) = row.fold else { return Ok(None) };
        let node = self.graph.nodes().last().expect("a node was added");
        let folded = fold(&TypeRuleInput { graph: &self.graph, node, outputs: self.outputs.len(), output });
        match folded.map_err(|error| error.to_string())? {
            Some(Known::Constant(constant)) => Ok(Some(constant)),
            Some(Known::Integers(integers)) => Err(format!("{integers:?} of fixed lengths")),
            None => Ok(None),
        }
    }

    /// What ONNX Runtime computes.
    fn run(&self) -> Vec<Constant> {
        let mut graph = self.forward();
        for output in &self.outputs {
            graph.output(*output);
        }
        let mut session = session(&graph.to_onnx("sample"));
        let outputs = session.run(self.inputs(&graph, &self.values())).expect("the sample runs");
        self.outputs.iter().map(|output| constant_of(&outputs[graph.name(*output)])).collect()
    }
}

fn is_on_cuda() -> bool {
    std::env::var("MILLSTREAM_TEST_DEVICE").is_ok_and(|device| device == "cuda")
}

fn constant_of(value: &DynValue) -> Constant {
    use ort::value::TensorElementType as Element;
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else { panic!("not a tensor") };
    let (dtype, bytes) = match ty {
        Element::Float32 => (ElementType::F32, bytes(value, f32::to_le_bytes)),
        Element::Int64 => (ElementType::I64, bytes(value, i64::to_le_bytes)),
        Element::Int32 => (ElementType::I32, bytes(value, i32::to_le_bytes)),
        Element::Uint8 => (ElementType::U8, bytes(value, u8::to_le_bytes)),
        Element::Bool => (ElementType::Bool, bytes(value, |truth: bool| [u8::from(truth)])),
        Element::Int8 => (ElementType::I8, bytes(value, i8::to_le_bytes)),
        other => panic!("an output of type {other:?}"),
    };
    Constant { dtype, shape: shape.iter().map(|length| *length as usize).collect(), bytes: bytes.into() }
}

fn bytes<T: PrimitiveTensorElementType + Copy, const N: usize>(value: &DynValue, each: fn(T) -> [u8; N]) -> Vec<u8> {
    let values = value.try_extract_tensor::<T>().expect("its type was asked for").1;
    values.iter().flat_map(|value| each(*value)).collect()
}

/// Values from a range, each in the middle between two of at least 64 evenly spaced marks, or a quarter beside it for
/// every second input, so that two inputs are never equal. Also the distance of marks.
fn between_marks(count: usize, (low, high): (f32, f32), seed: u32) -> (Vec<f32>, f32) {
    let mut random = Random(0x9e37_79b9 ^ seed.wrapping_mul(0x85eb_ca6b));
    let marks = if count <= DISTINCT { (2 * count).next_power_of_two().max(64) } else { 64 };
    let mut places: Vec<usize> = (0..marks).collect();
    for last in (1..marks).rev() {
        places.swap(last, random.below(last + 1));
    }
    let distance = (high - low) / marks as f32;
    let beside = if seed % 2 == 1 { 0.75 } else { 0.5 };
    let place = |at: usize, random: &mut Random| if at < marks { places[at] } else { random.below(marks) };
    let values = (0..count).map(|at| low + distance * (place(at, &mut random) as f32 + beside)).collect();
    (values, distance)
}

/// A small generator (xorshift), the same each time.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn below(&mut self, count: usize) -> usize {
        self.next() as usize % count
    }

    fn signed(&mut self) -> f32 {
        self.below(2001) as f32 / 1000.0 - 1.0
    }
}

fn types_are_true(built: &Built) -> Result<(), String> {
    for (index, (value, true_value)) in built.outputs.iter().zip(built.run()).enumerate() {
        let stated = built.graph.known_type(*value).expect("the table knows the operator");
        if *stated != true_value.tensor_type() {
            return Err(format!("output {index} is stated as {stated} and is {}", true_value.tensor_type()));
        }
    }
    Ok(())
}

/// All float outputs of an expanded node are those of the node, nearly.
fn expansion_is_true(built: &Built) -> Result<(), String> {
    if built.varied.is_empty() || !built.runs {
        return Ok(());
    }
    let mut expanded = built.expanded().map_err(|error| error.to_string())?;
    let is_float = |value: &ValueId| expanded.known_type(*value).is_ok_and(|known| known.dtype == ElementType::F32);
    let outputs: Vec<ValueId> = built.outputs.iter().copied().filter(is_float).collect();
    let mut node = built.graph.clone();
    let [got, truth] = [&mut expanded, &mut node].map(|graph| {
        graph.set_outputs(&outputs);
        run(&mut session(&graph.to_onnx("outputs")), built.inputs(graph, &built.values()))
    });
    for (index, (got, truth)) in got.iter().zip(&truth).enumerate() {
        let told = truth.iter().filter(|value| value.abs() < HIDDEN);
        let scale = told.fold(1e-3, |largest: f32, value| largest.max(value.abs()));
        let off = |(a, b): (&f32, &f32)| a != b && ((a - b).is_nan() || (a - b).abs() > 2e-5 * scale);
        if got.len() != truth.len() || got.iter().zip(truth).any(off) {
            return Err(format!("output {index} expands to {got:?}, is {truth:?}"));
        }
    }
    Ok(())
}

fn fold_is_true(row: &Operator, built: &Built) -> Result<(), String> {
    for output in 0..built.outputs.len() {
        let Some(folded) = built.folded(row, output)? else { continue };
        let computed = &built.run()[output];
        if folded != *computed {
            return Err(format!("output {output} folds to {folded:?}, is {computed:?}"));
        }
    }
    Ok(())
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

/// Lengths, axes and counts that no real model has.
const EXTREMES: [i64; 8] = [i64::MIN, i64::MIN + 1, -1, 0, 1, 7, 1 << 40, i64::MAX];

#[test]
fn hostile_nodes_are_refused_or_stated_but_never_panic() {
    let mut panics = BTreeSet::new();
    for row in OperatorCatalog::standard().rows() {
        for sample in (row.samples)() {
            let opsets: Vec<i64> = [13, 20].into_iter().filter(|opset| is_known(row, *opset)).collect();
            for (number, (what, hostile)) in distorted(&sample).into_iter().enumerate() {
                // by turns: attributes and inputs have the same forms at both, but for few
                if let Some(opset) = opsets.get(number % opsets.len().max(1)).copied() {
                    let tried = catch_unwind(AssertUnwindSafe(|| {
                        let Ok(built) = Built::new(row, &hostile, opset) else { return };
                        let _ = built.folded(row, 0);
                        let wanted: Vec<ValueId> = built.varied.iter().map(|(id, _)| *id).collect();
                        let mut graph = built.graph.clone();
                        let Ok(loss) = sum(&mut graph, built.outputs[0]) else { return };
                        let _ = gradients(&mut graph, loss, &wanted, &OperatorCatalog::standard());
                    }));
                    if tried.is_err() {
                        panics.insert(format!("{} ({}), opset {opset}: {what}", row.name, sample.name));
                    }
                }
            }
        }
    }
    let list: Vec<String> = panics.into_iter().collect();
    assert!(list.is_empty(), "{} panicked:\n{}", list.len(), list.join("\n"));
}

/// The sum of all elements.
fn sum(graph: &mut Graph, value: ValueId) -> Result<ValueId, CompilerError> {
    let axes: Vec<i64> = (0..graph.shape(value)?.len() as i64).collect();
    if axes.is_empty() { Ok(value) } else { graph.reduce_sum(value, &axes, false) }
}

/// A sample with one thing about it changed to something that does not fit.
fn distorted(sample: &Sample) -> Vec<(String, Sample)> {
    let mut all = vec![("too many outputs".to_owned(), sample.clone().with_outputs(sample.outputs + 7))];
    for index in 0..sample.inputs.len() {
        let mut with = |what: &str, input: SampleInput| {
            let mut changed = sample.clone();
            changed.inputs[index] = input;
            all.push((format!("input {index} {what}"), changed));
        };
        with("left out", SampleInput::Absent);
        for shape in [&[][..], &[0], &[5], &[2, 0, 3], &[1, 1, 1, 1, 1, 1]] {
            with("of another shape", SampleInput::Varied { shape: shape.to_vec(), range: (-1.0, 1.0) });
        }
        for value in EXTREMES {
            with(&format!("is [{value}]"), SampleInput::Fixed(Constant::i64([1], &[value])));
            with(&format!("is [2, {value}]"), SampleInput::Fixed(Constant::i64([2], &[2, value])));
            with(&format!("is four times {value}"), SampleInput::Fixed(Constant::i64([4], &[value; 4])));
        }
    }
    for index in 0..sample.attributes.len() {
        let (name, attribute) = &sample.attributes[index];
        let mut with = |value: Attribute| {
            let mut changed = sample.clone();
            all.push((format!("{name} is {value:?}"), {
                changed.attributes[index].1 = value;
                changed
            }));
        };
        with(Attribute::String("nonsense".into()));
        for value in EXTREMES {
            with(Attribute::Int(value));
            let length = if let Attribute::Ints(values) = attribute { values.len() } else { 2 };
            with(Attribute::Ints(vec![value; length]));
            with(Attribute::Ints(vec![value; length + 1]));
        }
    }
    all
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
