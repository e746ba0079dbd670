//! Models in the forms that they come in, each beside what ONNX Runtime makes of the file itself.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod beside_tensors;
mod cuda_operators;
mod decoders;
mod embedding_bags;
mod half_precision;
mod input_types;
mod kept;
mod old_opsets;
mod onnx_file;
#[path = "../onnx_runtime/mod.rs"]
mod onnx_runtime;
mod processor_blocks;
mod tied_tables;
mod traditional;
mod unfolded;
mod written_out;

use std::collections::BTreeSet;

use millstream_compiler::losses::PredictionKind;
use millstream_compiler::{FineTuning, HeadChoice, Model, OperatorCatalog, TrainingProgram, compile, describe};
use millstream_schemas::recipe::TrainSelection;
use onnx_file::onnx::{ModelProto, NodeProto, TensorProto};
use onnx_file::{Value, graph, model, node, rows, weight};
use onnx_runtime::{floats, run, session};
use ort::value::DynValue;
use prost::Message;

const ROWS: usize = 3;
const CLASSES: usize = 5;
const FLOAT: i32 = 1;

/// Numbers in −1 to 1, the same each time.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// From `x`, `lengths` behind the batch, to `z` `[batch, 8]` and from there to scores.
fn network(opset: i64, lengths: &[i64], nodes: Vec<NodeProto>, weights: Vec<TensorProto>) -> ModelProto {
    let head = node("Gemm", "z fc.weight fc.bias", "y");
    let weights = [weights, vec![weight("fc.weight", &[8, CLASSES as i64]), weight("fc.bias", &[CLASSES as i64])]];
    let (inputs, outputs) = (vec![rows("x", FLOAT, lengths)], vec![rows("y", FLOAT, &[CLASSES as i64])]);
    model(opset, graph([nodes, vec![head]].concat(), weights.concat(), inputs, outputs), vec![])
}

fn everything() -> FineTuning {
    FineTuning { head: HeadChoice::keep(), train: TrainSelection::All, ..FineTuning::head("batch", CLASSES) }
}

fn compiled(bytes: &[u8]) -> TrainingProgram {
    compile(&Model::from_bytes(bytes.to_vec()).unwrap(), &everything(), &OperatorCatalog::standard()).unwrap()
}

fn lengths_of(file: &ModelProto) -> Vec<usize> {
    let shape = Model::from_bytes(file.encode_to_vec()).unwrap().inputs().remove(0).1;
    std::iter::once(ROWS).chain(shape[1..].iter().map(|length| length.unwrap())).collect()
}

/// What ONNX Runtime makes of a batch.
fn answer(bytes: &[u8], shape: &[usize]) -> Vec<f32> {
    let x = floats(shape, &numbers(shape.iter().product(), 1));
    run(&mut session(bytes), vec![("x".to_owned(), x)]).remove(0)
}

/// A batch of the inputs' `shape`, targets of its rows, and these parameters, as a step reads them.
fn fed(program: &TrainingProgram, shape: &[usize], parameters: &[Vec<f32>]) -> Vec<(String, DynValue)> {
    let x = floats(shape, &numbers(shape.iter().product(), 2));
    let targets: Vec<f32> = (0..ROWS * CLASSES).map(|at| f32::from(u8::from(at % 6 == 0))).collect();
    let target = (program.manifest.targets[0].name.clone(), floats(&[ROWS, CLASSES], &targets));
    let values = program.manifest.parameters.iter().zip(parameters);
    let values = values.map(|(entry, values)| (entry.name.clone(), floats(&entry.shape, values)));
    [("x".to_owned(), x), target].into_iter().chain(values).collect()
}

/// The derivative of the loss along its own gradient, by the step and by central differences of the evaluation.
fn slopes(program: &TrainingProgram, shape: &[usize]) -> (f64, f64) {
    let inputs = |parameters: &[Vec<f32>]| fed(program, shape, parameters);
    let gradients = run(&mut session(&program.step().unwrap().to_vec()), inputs(&program.parameters)).split_off(2);
    let square: f64 = gradients.iter().flatten().map(|g| f64::from(*g).powi(2)).sum();
    let mut evaluation = session(&program.evaluation().unwrap().to_vec());
    let step = 1e-2 / square.sqrt();
    let mut loss = |sign: f64| {
        let moved = program.parameters.iter().zip(&gradients).map(|(values, gradient)| {
            let pairs = values.iter().zip(gradient);
            pairs.map(|(value, g)| (f64::from(*value) + sign * step * f64::from(*g)) as f32).collect()
        });
        f64::from(run(&mut evaluation, inputs(&moved.collect::<Vec<Vec<f32>>>()))[0][0])
    };
    (square, (loss(1.0) - loss(-1.0)) / (2.0 * step))
}

/// Reads, trains and exports a file: untrained it answers as the file does, to the bit, and so does the export of the export.
fn holds(name: &str, file: &ModelProto, wanted: &[&str], trained: usize) {
    holds_within(0.0, name, file, wanted, trained);
}

/// As [`holds`]; the answers differ by so much at most, of numbers of about one.
fn holds_within(tolerance: f32, name: &str, file: &ModelProto, wanted: &[&str], trained: usize) {
    let are_alike = |found: &[f32], own: &[f32]| {
        let close = |(found, own): (&f32, &f32)| found == own || (found - own).abs() <= tolerance * own.abs().max(1.0);
        found.len() == own.len() && found.iter().zip(own).all(close)
    };
    let (bytes, shape) = (file.encode_to_vec(), lengths_of(file));
    let program = compiled(&bytes);
    assert_eq!(program.trained, trained, "{name}");
    for note in wanted {
        assert!(program.notes.iter().any(|found| found.contains(note)), "{name}: {:?}", program.notes);
        let report = describe(&Model::from_bytes(bytes.clone()).unwrap(), None, &OperatorCatalog::standard()).unwrap();
        assert_eq!(report.parameters, trained, "{name}");
        assert!(report.notes.iter().any(|found| found.contains(note)), "{name}: {:?}", report.notes);
    }
    let own = answer(&bytes, &shape);
    let exported = program.export(&program.parameters, &[]).unwrap().to_vec();
    let found = answer(&exported, &shape);
    assert!(are_alike(&found, &own), "{name}: {found:?} instead of {own:?}");
    let scoring = Model::from_bytes(bytes.clone())
        .unwrap()
        .evaluated(None, PredictionKind::Numbers, None, &OperatorCatalog::standard())
        .unwrap();
    assert_eq!(scoring.scores, "y", "{name}");
    for (found, own) in answer(&scoring.model.file().to_vec(), &shape).iter().zip(&own) {
        assert!((found - own).abs() <= 2e-3 * own.abs().max(1.0), "{name}: {found} instead of {own}");
    }
    let (square, slope) = slopes(&program, &shape);
    assert!((slope - square).abs() <= 2e-2 * square, "{name}: slope {slope}, squared gradient {square}");
    let again = compiled(&exported);
    assert_eq!((again.trained, again.parameters.len()), (trained, program.parameters.len()), "{name}, again");
    assert_eq!(answer(&again.export(&again.parameters, &[]).unwrap().to_vec(), &shape), found, "{name}, again");
    let nodes = ModelProto::decode(exported.as_slice()).unwrap().graph.unwrap().node;
    let names: BTreeSet<&str> = nodes.iter().map(NodeProto::name).collect();
    assert_eq!(names.len(), nodes.len(), "{name}: node names are unique");
}

fn ints(values: &[i64]) -> Value {
    Value::Ints(values.to_vec())
}
