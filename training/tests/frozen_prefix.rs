//! What is kept at the border of the frozen part gives the steps that the whole model gives, to the bit.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests that are left out say so, and one that cannot go on fails"
)]

#[expect(dead_code, reason = "this needs a part of what the suite needs")]
#[path = "suite/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use millstream_compiler::{FineTuning, FrozenPrefix, HeadChoice, Model, OperatorCatalog, TrainingProgram, compile};
use millstream_runtime::{Device, DeviceRequest};
use millstream_schemas::recipe::TrainSelection;
use millstream_schemas::{Batch, Fingerprint, ResumePoint, RowId, Tensor};
use millstream_training::{PrefixRunner, StepRunner, StepSettings};
use serde_json::json;

use support::{numbers, optimizer};

const CLASSES: usize = 5;
const BATCH: usize = 4;
const ROWS: usize = 3 * BATCH;

fn device() -> Device {
    Device::resolve(DeviceRequest::Cpu, millstream_runtime::ready(None).unwrap()).unwrap()
}

/// Rows of this data set, in this order; a row is the same in whichever batch it stands.
fn batch(program: &TrainingProgram, rows: &[usize]) -> Batch {
    let of_rows = |shape: &[usize], seed: usize| -> Vec<f32> {
        let elements: usize = shape.iter().skip(1).product();
        rows.iter().flat_map(|row| numbers((seed * 1000 + row) as u64, elements)).collect()
    };
    let mut tensors = BTreeMap::new();
    for (seed, entry) in program.manifest.inputs.iter().enumerate() {
        let shape = entry.fixed_shape().unwrap();
        tensors.insert(entry.name.clone(), Tensor::f32(shape.clone(), of_rows(&shape, seed)));
    }
    let class = |row: &usize| (0..CLASSES).map(|class| f32::from(u8::from(class == row % CLASSES))).collect::<Vec<_>>();
    let targets: Vec<f32> = rows.iter().flat_map(class).collect();
    tensors.insert("targets".into(), Tensor::f32([rows.len(), CLASSES], targets));
    let row = |row: &usize| Some(RowId { file: "f".into(), row_group: 0, row: *row as u32 });
    Batch {
        tensors,
        lengths: BTreeMap::new(),
        weights: vec![1.0; rows.len()],
        rows: rows.iter().map(row).collect(),
        resume: ResumePoint {
            version: 1,
            seed: 0,
            epoch: 0,
            position: 0,
            dataset: Fingerprint::default(),
            recipe: Fingerprint::default(),
        },
    }
}

/// Of each row what the border holds of it, computed in batches of rows in their order.
fn kept(prefix: &FrozenPrefix, program: &TrainingProgram) -> Vec<Vec<Vec<f32>>> {
    let mut runner = PrefixRunner::open(prefix, &device(), 2).unwrap();
    let all: Vec<usize> = (0..ROWS).collect();
    let mut kept = Vec::new();
    for rows in all.chunks(BATCH) {
        let (_, border) = runner.run(batch(program, rows)).unwrap();
        for slot in 0..BATCH {
            let of_slot = |values: &Vec<f32>| values.chunks(values.len() / BATCH).nth(slot).unwrap().to_vec();
            kept.push(border.iter().map(of_slot).collect());
        }
    }
    kept
}

fn at_border(prefix: &FrozenPrefix, whole: Batch, kept: &[Vec<Vec<f32>>], rows: &[usize]) -> Batch {
    let mut tensors = BTreeMap::new();
    for (at, entry) in prefix.border().iter().enumerate() {
        let values: Vec<f32> = rows.iter().flat_map(|row| kept[*row][at].clone()).collect();
        tensors.insert(entry.name.clone(), Tensor::f32(entry.fixed_shape().unwrap(), values));
    }
    tensors.insert("targets".into(), whole.tensors["targets"].clone());
    Batch { tensors, ..whole }
}

/// Steps of both, on batches in which rows stand in any order; whether all numbers are equal to the bit.
fn hold_together(name: &str, model: &Model, wanted: &FineTuning) -> FrozenPrefix {
    let catalog = OperatorCatalog::standard();
    let program = compile(model, wanted, &catalog).unwrap();
    let prefix = FrozenPrefix::of(&program, model, wanted, &catalog).unwrap_or_else(|error| panic!("{name}: {error}"));
    let kept = kept(&prefix, &program);
    let settings = StepSettings { threads: 2, optimizer: optimizer("adamw", json!({})), ..StepSettings::default() };
    let open = |program: &TrainingProgram| StepRunner::open(program, &device(), &settings).unwrap();
    let (mut whole, mut behind) = (open(&program), open(prefix.program()));
    for step in 0..6 {
        let rows: Vec<usize> = (0..BATCH).map(|slot| (step * 7 + slot * 5) % ROWS).collect();
        let given = batch(&program, &rows);
        let cut = at_border(&prefix, given.clone(), &kept, &rows);
        if step % 3 == 2 {
            let ((_, wanted), (_, got)) = (whole.evaluate(given).unwrap(), behind.evaluate(cut).unwrap());
            assert_eq!(bits(&wanted.prediction.values), bits(&got.prediction.values), "{name}: evaluation at {step}");
            assert_eq!(wanted.loss.to_bits(), got.loss.to_bits(), "{name}: evaluation at {step}");
            continue;
        }
        let ((_, wanted), (_, got)) = (whole.step(given, 0.01).unwrap(), behind.step(cut, 0.01).unwrap());
        assert_eq!(wanted.loss.to_bits(), got.loss.to_bits(), "{name}: loss of step {step}");
        let (wanted, got) = (whole.parameters().unwrap(), behind.parameters().unwrap());
        for (entry, (wanted, got)) in program.manifest.parameters.iter().zip(wanted.iter().zip(&got)) {
            assert_eq!(bits(wanted), bits(got), "{name}: `{}` behind step {step}", entry.name);
        }
    }
    let values = behind.parameters().unwrap();
    let [whole, cut] = [&program, prefix.program()].map(|program| program.export(&values, &[]).unwrap().to_vec());
    assert!(whole == cut, "{name}: the exported model is another");
    prefix
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn steps_behind_the_border_are_those_of_the_whole_model() {
    let model = Model::from_bytes(support::model()).unwrap();
    let wanted = FineTuning { head: HeadChoice::default(), ..FineTuning::head(BATCH, CLASSES) };
    let prefix = hold_together("perceptron", &model, &wanted);
    assert_eq!((prefix.border().len(), prefix.numbers_per_row(), prefix.nodes()), (1, 16, 2));
}

#[test]
fn steps_behind_the_border_are_those_of_vision_transformers() {
    // windows of a swin transformer are not followed: it is cut in front of the first
    for (file, least) in [("swin.script", 1), ("vit.export", 50)] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../compiler/tests/architectures");
        let model = Model::read(&folder.join(format!("{file}.onnx"))).unwrap();
        let wanted = FineTuning { head: HeadChoice::default(), ..FineTuning::head(BATCH, CLASSES) };
        let prefix = hold_together(file, &model, &wanted);
        assert!(prefix.nodes() >= least, "{file}: {} nodes in front of {:?}", prefix.nodes(), prefix.border());
    }
}

#[test]
fn steps_behind_the_border_are_those_of_networks_of_the_corpus() {
    let Some(corpus) = std::env::var_os("MILLSTREAM_CORPUS").map(PathBuf::from) else {
        println!("left out, MILLSTREAM_CORPUS is not set");
        return;
    };
    for (name, train, numbers) in [
        ("mobilenet_v2_1.0_224", TrainSelection::Head, 1280),
        ("mobilenet_v2_1.0_224", TrainSelection::Last(6), 0),
        ("mobilenet_v1_0.25_128", TrainSelection::Head, 256),
        ("resnet20_cifar10", TrainSelection::Head, 64),
        ("resnet20_cifar10", TrainSelection::Last(4), 0),
        ("resnet20_cifar10_opset20", TrainSelection::Head, 64),
    ] {
        let model = Model::read(&corpus.join("models").join(name).join("model.onnx")).unwrap();
        let wanted =
            FineTuning { head: HeadChoice::default(), train: train.clone(), ..FineTuning::head(BATCH, CLASSES) };
        let prefix = hold_together(&format!("{name}, {train:?}"), &model, &wanted);
        println!("{name}, {train:?}: {} numbers at {:?}", prefix.numbers_per_row(), prefix.border());
        assert!(numbers == 0 || prefix.numbers_per_row() == numbers, "{name}: {}", prefix.numbers_per_row());
    }
}
