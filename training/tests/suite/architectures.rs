//! Steps of public architectures on a device against those on the CPU.

use std::path::Path;
use std::time::Instant;

use millstream_compiler::finetuning::heads::Pooling;
use millstream_compiler::{FineTuning, HeadChoice, Model, OperatorCatalog, TrainingProgram, compile};
use millstream_runtime::{Device, DeviceRequest};
use millstream_schemas::recipe::TrainSelection;
use millstream_schemas::{AxisLength, Batch, Fingerprint, ResumePoint, RowId, Tensor, TensorEntry};
use millstream_training::{StepRunner, StepSettings};
use serde_json::json;

use crate::support::{numbers, optimizer};

const CLASSES: usize = 5;
const ROWS: usize = 3;
const SEQUENCE: usize = 9;
const STEPS: usize = 4;

type Head = fn() -> HeadChoice;

/// Files of the compiler's tests, and how they get a head.
const FILES: [(&str, Head); 10] = [
    ("bert.script", HeadChoice::default),
    ("deberta_v2.script", mean),
    ("gpt2.script", mean),
    ("llama.export", mean),
    ("modernbert.export", mean),
    ("roberta.export", mean),
    ("swin.script", HeadChoice::default),
    ("t5_encoder.script", mean),
    ("unet.script", HeadChoice::keep),
    ("vit.export", HeadChoice::default),
];

fn mean() -> HeadChoice {
    HeadChoice::pooled(Pooling::Mean)
}

fn compiled(file: &str, head: HeadChoice) -> TrainingProgram {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compiler/tests/architectures");
    let model = Model::read(&folder.join(format!("{file}.onnx"))).unwrap();
    let batch = AxisLength::Named("batch".into());
    let named = |shape: &[Option<usize>]| {
        let axes = shape.iter().enumerate().map(|(axis, length)| match (axis, length) {
            (0, _) => batch.clone(),
            (_, Some(length)) => AxisLength::Fixed(*length),
            (_, None) => AxisLength::Named("sequence".into()),
        });
        axes.collect::<Vec<AxisLength>>()
    };
    let inputs = model.inputs().iter().map(|(name, shape)| (name.clone(), named(shape))).collect();
    let wanted =
        FineTuning { batch: batch.clone(), inputs, head, train: TrainSelection::All, ..FineTuning::head(2, CLASSES) };
    compile(&model, &wanted, &OperatorCatalog::standard()).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Tokens, of which the second row has two fewer, or pictures; a class for each row or pixel.
fn batch(program: &TrainingProgram, step: usize) -> Batch {
    let shape_of = |entry: &TensorEntry| {
        let lengths = entry.shape.iter().map(|axis| match axis {
            AxisLength::Fixed(length) => *length,
            AxisLength::Named(name) if name == "batch" => ROWS,
            AxisLength::Named(_) => SEQUENCE,
        });
        lengths.collect::<Vec<usize>>()
    };
    let input = |entry: &TensorEntry| {
        let shape = shape_of(entry);
        let count: usize = shape.iter().product();
        let tensor = match entry.name.as_str() {
            "attention_mask" => {
                let is_token = |at: usize| !(SEQUENCE..2 * SEQUENCE).contains(&at) || at + 2 < 2 * SEQUENCE;
                Tensor::i64(shape, (0..count).map(|at| i64::from(is_token(at))).collect::<Vec<_>>())
            }
            "input_ids" => {
                Tensor::i64(shape, (0..count).map(|at| ((at + step) as i64 * 37) % 80 + 5).collect::<Vec<_>>())
            }
            _ => Tensor::f32(shape, numbers(step as u64, count)),
        };
        (entry.name.clone(), tensor)
    };
    let target = |entry: &TensorEntry| {
        let shape = shape_of(entry);
        let inner: usize = shape[2..].iter().product();
        let is_class = |at: usize| (at / inner) % CLASSES == (at / (inner * CLASSES) + at % inner) % CLASSES;
        let chances: Vec<f32> = (0..shape.iter().product()).map(|at| f32::from(is_class(at))).collect();
        (entry.name.clone(), Tensor::f32(shape, chances))
    };
    let (inputs, targets) = (program.manifest.inputs.iter().map(input), program.manifest.targets.iter().map(target));
    let row = |row| Some(RowId { file: "rows.parquet".into(), row_group: 0, row });
    Batch {
        tensors: inputs.chain(targets).collect(),
        lengths: Default::default(),
        weights: vec![1.0; ROWS],
        rows: (0..ROWS as u32).map(row).collect(),
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

struct Trained {
    losses: Vec<f32>,
    parameters: Vec<Vec<f32>>,
    warning: Option<String>,
    seconds_of_the_last_step: f64,
}

fn trained(program: &TrainingProgram, device: &Device) -> Trained {
    let settings = StepSettings {
        optimizer: optimizer("adamw", json!({"learning_rate": 1e-3, "epsilon": 1e-3})),
        threads: 1,
        ..StepSettings::default()
    };
    let mut runner = StepRunner::open(program, device, &settings).unwrap();
    let warning = runner.warning().map(String::from);
    let (mut losses, mut seconds_of_the_last_step) = (Vec::new(), 0.0);
    for step in 0..STEPS {
        let batch = batch(program, step);
        let started = Instant::now();
        let (_, outcome) = runner.step(batch, 1e-3).unwrap();
        seconds_of_the_last_step = started.elapsed().as_secs_f64();
        losses.push(outcome.loss);
    }
    Trained { losses, parameters: runner.parameters().unwrap(), warning, seconds_of_the_last_step }
}

fn distance(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    let squares = a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| f64::from(a - b).powi(2));
    squares.sum::<f64>().sqrt()
}

#[test]
#[ignore = "wants a CUDA device: cargo nextest run -p millstream-training --run-ignored only"]
fn architectures_are_trained_on_cuda_as_on_the_cpu() {
    let runtime = millstream_runtime::ready(None).unwrap();
    let (cuda, cpu) = (Device::resolve(DeviceRequest::Cuda(None), runtime).unwrap(), Device::cpu(runtime));
    let mut wrong = Vec::new();
    for (file, head) in FILES {
        let program = compiled(file, head());
        let (there, here) = (trained(&program, &cuda), trained(&program, &cpu));
        let moved = distance(&here.parameters, &program.parameters);
        let apart = distance(&there.parameters, &here.parameters) / moved;
        let milliseconds = 1e3 * there.seconds_of_the_last_step;
        let warning = there.warning.as_deref().unwrap_or("all nodes on the device");
        println!("{file}: apart {apart:.1e} of the way, {milliseconds:.2} ms, {warning}");
        let losses_apart = there.losses.iter().zip(&here.losses).map(|(a, b)| (a - b).abs());
        if apart > 1e-2 || losses_apart.fold(0.0, f32::max) > 1e-4 {
            wrong.push(format!("{file}: {:?} against {:?}, {apart}", there.losses, here.losses));
        }
        let again = trained(&program, &cuda);
        if (again.losses, again.parameters) != (there.losses, there.parameters) {
            wrong.push(format!("{file} is not the same when it is trained again"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
