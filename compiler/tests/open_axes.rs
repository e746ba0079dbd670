//! Every operator of the table with axes of its samples left open: one graph takes several lengths, and gives for each
//! what a graph of fixed lengths gives.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;

use std::collections::{BTreeMap, BTreeSet};

use millstream_compiler::backward::gradients;
use millstream_compiler::graph::{Attribute, ElementType, Graph, Length, TensorType, ValueId};
use millstream_compiler::operators::{Gradient, Operator, Sample, SampleInput};
use millstream_compiler::{CompilerError, OperatorCatalog};
use onnx_runtime::{floats, load, run, session};
use ort::session::Session;
use ort::value::DynValue;

/// Largest difference to the fixed twin, relative to the largest value: another form of a gradient rounds otherwise.
const TOLERANCE: f32 = 2e-5;
const NAME: &str = "open";
/// With it all axes of all samples are opened, also at the lowest opset; without, all that are a batch, and half of the others.
const ALL_AXES: &str = "MILLSTREAM_ALL_AXES";
/// Operators whose inputs have the lengths of ones that samples fix.
const OF_FIXED_LENGTHS: [&str; 11] = [
    "AffineGrid",
    "DecoderMaskedMultiHeadAttention",
    "DecoderMaskedSelfAttention",
    "GroupQueryAttention",
    "LongformerAttention",
    "MaxUnpool",
    "NegativeLogLikelihoodLoss",
    "QAttention",
    "RelativePositionBias",
    "RemovePadding",
    "SoftmaxCrossEntropyLoss",
];
/// Standard operators all of whose outputs have gradients.
const THROUGH_ALL: [&str; 5] = ["Attention", "GRU", "LSTM", "RNN", "Split"];
/// What an open length leaves undecided, so that the model is to be exported with fixed lengths.
const LEFT_TO_THE_CALLER: [&str; 8] = [
    "which rounds: export the model with fixed lengths", // a factor that is no fraction
    "an aspect ratio is kept over axis",                 // the smallest of several ratios
    "of open lengths: export the model with fixed lengths", // a kernel has a size
    "its padding by rule (auto_pad) depends on",         // an attribute, in numbers
    "; export the model with fixed lengths for what is open", // one, which broadcasts, or not; groups of channels
    "axes of length one go, on axis",                    // one or not
    "a part in steps of -2",                             // where it starts, counted from the end
    "or not known to fit it: export the model with fixed lengths", // padding, in numbers
];

/// Which axes of the varied inputs are open, by input and axis: all of one length.
type Open = BTreeSet<(usize, usize)>;

/// A graph of one node with its outputs, and where it has them its gradients, as outputs; all of them floats.
struct Built {
    graph: Graph,
    /// Inputs with their index in the sample, which seeds their values.
    inputs: Vec<(ValueId, usize)>,
}

/// The graph of a sample, the open axes having this length.
fn build(row: &Operator, sample: &Sample, opset: i64, open: &Open, length: &Length) -> Result<Built, CompilerError> {
    let mut graph = Graph::new(opset, OperatorCatalog::standard());
    if !row.domain.is_empty() {
        graph.other_opsets.insert(row.domain.to_owned(), *row.opsets.start());
    }
    let (mut inputs, mut given) = (Vec::new(), Vec::new());
    for (index, input) in sample.inputs.iter().enumerate() {
        given.push(match input {
            SampleInput::Varied { shape, .. } => {
                let axes = shape.iter().enumerate();
                let shape = axes.map(|(axis, fixed)| match open.contains(&(index, axis)) {
                    true => length.clone(),
                    false => fixed.into(),
                });
                let id = graph.input(&format!("input_{index}"), TensorType::f32(shape));
                inputs.push((id, index));
                Some(id)
            }
            SampleInput::Fixed(constant) => Some(graph.constant(&format!("fixed_{index}"), constant.clone())),
            SampleInput::Absent => None,
        });
    }
    let attributes: Vec<(&str, Attribute)> = sample.attributes.clone();
    let outputs = graph.add_in(row.domain, row.name, &given, &attributes, sample.outputs)?;
    let wanted: Vec<ValueId> = inputs.iter().map(|(id, _)| *id).collect();
    let mut results = Vec::new();
    for output in &outputs {
        let is_float = graph.known_type(*output)?.dtype == ElementType::F32;
        results.push(if is_float { *output } else { graph.cast(*output, ElementType::F32)? });
    }
    if !wanted.is_empty() && matches!(row.gradient, Gradient::Defined(_) | Gradient::Expand(_)) {
        let is_through_all = row.domain.is_empty() && THROUGH_ALL.contains(&row.name);
        let through = if is_through_all { outputs.as_slice() } else { &outputs[..1] };
        let mut loss = graph.scalar(0.0);
        for (at, output) in through.iter().enumerate() {
            let weights = graph.known_type(*output)?.clone();
            let axes: Vec<i64> = (0..weights.shape.len() as i64).collect();
            let weights = graph.input(&format!("weights_{at}"), weights);
            inputs.push((weights, 100 + at));
            let part = graph.times(*output, weights)?;
            let part = if axes.is_empty() { part } else { graph.reduce_sum(part, &axes, false)? };
            loss = graph.plus(loss, part)?;
        }
        for gradient in gradients(&mut graph, loss, &wanted, &OperatorCatalog::standard())? {
            results.push(graph.add("Identity", &[gradient], &[])?);
        }
    }
    graph.set_outputs(&results);
    Ok(Built { graph, inputs })
}

/// Numbers in a range, no two of one input the same.
fn values(shape: &[usize], seed: usize, (low, high): (f32, f32)) -> Vec<f32> {
    let number = |at: usize| ((at * 7919 + seed * 104_729 + 13) % 10_007) as f32 / 10_007.0;
    (0..shape.iter().product()).map(|at| low + (high - low) * number(at)).collect()
}

fn feed(built: &Built, sample: &Sample, length: usize) -> Vec<(String, DynValue)> {
    let feed = |(id, index): &(ValueId, usize)| {
        let known = built.graph.known_type(*id).unwrap().with(&|_| Some(length.into()));
        let shape = known.fixed_shape().expect("one name is open");
        let range = match sample.inputs.get(*index) {
            Some(SampleInput::Varied { range, .. }) => *range,
            _ => (-1.0, 1.0),
        };
        (built.graph.name(*id).to_owned(), floats(&shape, &values(&shape, *index, range)))
    };
    built.inputs.iter().map(feed).collect()
}

fn outputs(session: &mut Session, inputs: Vec<(String, DynValue)>) -> Result<Vec<Vec<f32>>, ort::Error> {
    let names: Vec<String> = session.outputs().iter().map(|output| output.name().to_owned()).collect();
    let outputs = session.run(inputs)?;
    let floats = |name: &String| outputs[name.as_str()].try_extract_tensor::<f32>().map(|found| found.1.to_vec());
    names.iter().map(floats).collect()
}

/// The axes of the first input, each alone and with all of the same length in all inputs.
fn candidates(sample: &Sample) -> Vec<(Open, usize)> {
    let shapes: Vec<(usize, &Vec<usize>)> = sample
        .inputs
        .iter()
        .enumerate()
        .filter_map(|(index, input)| match input {
            SampleInput::Varied { shape, .. } => Some((index, shape)),
            _ => None,
        })
        .collect();
    let mut found = Vec::new();
    for (index, shape) in &shapes {
        for (axis, length) in shape.iter().enumerate() {
            let alike = shapes.iter().flat_map(|(other, shape)| {
                shape.iter().enumerate().filter(|(_, other)| *other == length).map(move |(axis, _)| (*other, axis))
            });
            let at_same_place = |(other, place): &(usize, usize)| {
                let rank = shapes.iter().find(|(index, _)| index == other).map_or(0, |(_, shape)| shape.len());
                rank - place == shape.len() - axis
            };
            let alike: Open = alike.collect();
            let aligned: Open = alike.iter().copied().filter(at_same_place).collect();
            for open in [Open::from([(*index, axis)]), aligned, alike] {
                if !found.contains(&(open.clone(), *length)) {
                    found.push((open, *length));
                }
            }
        }
    }
    found
}

fn first_varied(sample: &Sample) -> Option<usize> {
    sample.inputs.iter().position(|input| matches!(input, SampleInput::Varied { .. }))
}

/// Why the open graph is not the fixed ones, if it is not; nothing when no other length fits the sample.
fn compare(row: &Operator, sample: &Sample, opset: i64, open: &Open, own: usize) -> Result<usize, String> {
    let twin = |length: usize| {
        let twin = build(row, sample, opset, open, &length.into()).ok()?;
        // not all that does not fit is seen before the run
        let wanted = outputs(&mut load(&twin.graph.to_onnx("fixed")).ok()?, feed(&twin, sample, length)).ok()?;
        Some((length, twin, wanted))
    };
    let twins: Vec<(usize, Built, Vec<Vec<f32>>)> =
        [own, own + 1, 2 * own, 3 * own].into_iter().filter_map(twin).take(2).collect();
    if twins.len() < 2 {
        return Ok(0);
    }
    let built = build(row, sample, opset, open, &Length::named(NAME)).map_err(|error| error.to_string())?;
    let mut open_session = session(&built.graph.to_onnx("open"));
    for (length, twin, wanted) in &twins {
        for (output, twin_output) in built.graph.outputs().iter().zip(twin.graph.outputs()) {
            let stated = built.graph.known_type(*output).unwrap().with(&|_| Some(length.into()));
            let fixed = twin.graph.known_type(*twin_output).unwrap();
            if stated != *fixed {
                return Err(format!("length {length}: stated as {stated}, fixed {fixed}"));
            }
        }
        let got = run(&mut open_session, feed(&built, sample, *length));
        for (at, (got, wanted)) in got.iter().zip(wanted).enumerate() {
            let scale = wanted.iter().fold(1e-3, |largest: f32, value| largest.max(value.abs()));
            let same = |a: &f32, b: &f32| a == b || (a - b).abs() <= TOLERANCE * scale || a.is_nan() && b.is_nan();
            if got.len() != wanted.len() || !got.iter().zip(wanted).all(|(a, b)| same(a, b)) {
                return Err(format!("length {length}: result {at} is {got:?}, fixed {wanted:?}"));
            }
        }
    }
    Ok(1)
}

#[test]
fn an_open_axis_gives_for_every_length_what_a_fixed_one_gives() {
    if !onnx_runtime::available() {
        return;
    }
    let (mut failures, mut refused) = (BTreeSet::new(), BTreeMap::new());
    let (mut compared, mut of_each) = (0, BTreeMap::new());
    let all_axes = std::env::var_os(ALL_AXES).is_some();
    for row in OperatorCatalog::standard().rows() {
        for (sample_number, sample) in (row.samples)().into_iter().enumerate() {
            let known =
                |opset: &i64| (!row.domain.is_empty() || row.opsets.contains(opset)) && sample.opsets.contains(opset);
            let opsets: Vec<i64> = [13, 17, 20, 25].into_iter().filter(known).collect();
            let (lowest, highest) = (*opsets.first().unwrap(), *opsets.last().unwrap());
            let is_of_batch = |open: &Open| first_varied(&sample).is_some_and(|first| open.contains(&(first, 0)));
            let candidates = candidates(&sample);
            let widest = candidates.iter().filter(|(open, _)| is_of_batch(open)).map(|(open, _)| open.len()).max();
            for (number, (open, own)) in candidates.into_iter().enumerate() {
                let is_batch = is_of_batch(&open);
                if !is_batch && !all_axes && (sample_number + number) % 2 == 1 {
                    continue;
                }
                let at_lowest = is_batch && (all_axes || Some(open.len()) == widest);
                for opset in if at_lowest { BTreeSet::from([lowest, highest]) } else { BTreeSet::from([highest]) } {
                    // what ONNX Runtime refuses stops the test: the last case is it
                    let case = format!("{} ({}), opset {opset}, {open:?}", row.name, sample.name);
                    println!("{case}");
                    match compare(row, &sample, opset, &open, own) {
                        Ok(count) => {
                            compared += count;
                            *of_each.entry(row.name).or_insert(0) += if is_batch { count } else { 0 };
                        }
                        Err(message) if LEFT_TO_THE_CALLER.iter().any(|reason| message.contains(reason)) => {
                            refused.insert(case, message);
                        }
                        Err(message) => {
                            failures.insert(format!("{case}: {message}"));
                        }
                    }
                }
            }
        }
    }
    let never = of_each.iter().filter(|(name, count)| **count == 0 && !OF_FIXED_LENGTHS.contains(*name));
    let never: Vec<&str> = never.map(|(name, _)| *name).collect();
    println!("{compared} compared, {} refused, never: {never:?}", refused.len());
    for (case, message) in &refused {
        println!("refused: {case}: {message}");
    }
    let list: Vec<String> = failures.into_iter().collect();
    assert!(list.is_empty(), "{} failed:\n{}", list.len(), list.join("\n"));
    assert!(never.is_empty(), "{never:?}");
}
