//! Steps in float16 against those in 32-bit floats, on public architectures with a few random weights, as ONNX Runtime's CPU
//! provider runs them: it computes in 32 bits, and leaves out some of the roundings to 16 bits. All of them are in the tests beside
//! the pass, `src/mixed_precision/tests.rs`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;

use std::path::Path;

use millstream_compiler::finetuning::heads::Pooling;
use millstream_compiler::{FineTuning, HeadChoice, Model, OperatorCatalog, TrainingProgram, compile};
use millstream_schemas::recipe::{Precision, TrainSelection};
use millstream_schemas::{AxisLength, TensorEntry};
use onnx_runtime::{floats, run, session};
use ort::value::{DynValue, Tensor};

const CLASSES: usize = 5;
const LENGTHS: (usize, usize) = (2, 9);

fn compiled(file: &str, head: HeadChoice, precision: Precision) -> TrainingProgram {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/architectures/{file}.onnx"));
    let model = Model::read(&path).unwrap();
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
    let train = TrainSelection::All;
    let wanted = FineTuning { batch: batch.clone(), inputs, head, train, precision, ..FineTuning::head(2, CLASSES) };
    compile(&model, &wanted, &OperatorCatalog::standard()).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Numbers in −1 to 1, the same each time.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed * 104_729 + 13) % 2003) as f32 / 1001.0 - 1.0).collect()
}

fn shape_of(entry: &TensorEntry) -> Vec<usize> {
    let length = |axis: &AxisLength| match axis {
        AxisLength::Fixed(length) => *length,
        AxisLength::Named(name) if name == "batch" => LENGTHS.0,
        AxisLength::Named(_) => LENGTHS.1,
    };
    entry.shape.iter().map(length).collect()
}

fn value_of(entry: &TensorEntry) -> DynValue {
    let shape = shape_of(entry);
    let count: usize = shape.iter().product();
    match entry.name.as_str() {
        "attention_mask" => {
            let is_token = |at: usize| !(LENGTHS.1..2 * LENGTHS.1).contains(&at) || at + 2 < 2 * LENGTHS.1;
            let mask: Vec<i64> = (0..count).map(|at| i64::from(is_token(at))).collect();
            Tensor::from_array((shape, mask)).unwrap().into_dyn()
        }
        "input_ids" => {
            let ids: Vec<i64> = (0..count).map(|at| (at as i64 * 37) % 80 + 5).collect();
            Tensor::from_array((shape, ids)).unwrap().into_dyn()
        }
        _ => floats(&shape, &numbers(count, 3)),
    }
}

/// All that a step reads; the loss is scaled where it takes a scale.
fn inputs(program: &TrainingProgram, scale: Option<f32>) -> Vec<(String, DynValue)> {
    let manifest = &program.manifest;
    let mut inputs: Vec<_> = manifest.inputs.iter().map(|entry| (entry.name.clone(), value_of(entry))).collect();
    let target = &manifest.targets[0];
    let shape = shape_of(target);
    let inner: usize = shape[2..].iter().product();
    let is_class = |at: usize| (at / inner) % CLASSES == (at * 5 / (inner * CLASSES)) % CLASSES;
    let chances: Vec<f32> = (0..shape.iter().product()).map(|at| f32::from(is_class(at))).collect();
    inputs.push((target.name.clone(), floats(&shape, &chances)));
    for (entry, values) in manifest.parameters.iter().zip(&program.parameters) {
        inputs.push((entry.name.clone(), floats(&entry.shape, values)));
    }
    if let (Some(entry), Some(scale)) = (&manifest.loss_scale, scale) {
        inputs.push((entry.name.clone(), floats(&[], &[scale])));
    }
    inputs
}

/// Loss, and all gradients in one row.
fn step(program: &TrainingProgram, scale: Option<f32>) -> (f32, Vec<f32>) {
    let mut step = session(&program.step().unwrap().to_vec());
    let names: Vec<String> = step.outputs().iter().map(|output| output.name().to_owned()).collect();
    let outputs = run(&mut step, inputs(program, scale));
    let of = |name: &str| outputs[names.iter().position(|known| known == name).unwrap()].clone();
    let manifest = &program.manifest;
    (of(&manifest.loss.name)[0], manifest.parameters.iter().flat_map(|entry| of(&entry.gradient)).collect())
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

/// How far gradients are from others, relative to these.
fn distance(got: &[f32], wanted: &[f32]) -> f64 {
    let off = norm(got.iter().zip(wanted).map(|(got, wanted)| f64::from(*got) - f64::from(*wanted)));
    off / norm(wanted.iter().map(|value| f64::from(*value)))
}

type Head = fn() -> HeadChoice;

const FILES: [(&str, Head); 10] = [
    ("bert.script", HeadChoice::default),
    ("deberta_v2.script", || HeadChoice::pooled(Pooling::Mean)),
    ("gpt2.script", || HeadChoice::pooled(Pooling::Mean)),
    ("llama.export", || HeadChoice::pooled(Pooling::Mean)),
    ("modernbert.export", || HeadChoice::pooled(Pooling::Mean)),
    ("roberta.export", || HeadChoice::pooled(Pooling::Mean)),
    ("swin.script", HeadChoice::default),
    ("t5_encoder.script", || HeadChoice::pooled(Pooling::Mean)),
    ("unet.script", HeadChoice::keep),
    ("vit.export", HeadChoice::default),
];

#[test]
fn loss_and_gradients_are_those_of_32_bits_within_the_tolerance_of_the_format() {
    if !onnx_runtime::available() {
        return;
    }
    for (file, head) in FILES {
        let full = compiled(file, head(), Precision::Float32);
        assert_eq!((full.mixed.is_none(), full.manifest.loss_scale.is_none()), (true, true));
        let (wanted_loss, wanted) = step(&full, None);
        let program = compiled(file, head(), Precision::Float16);
        let mixed = program.mixed.clone().unwrap();
        let (loss, gradients) = step(&program, Some(1024.0));
        let (off, of_loss) = (distance(&gradients, &wanted), f64::from((loss - wanted_loss).abs() / wanted_loss));
        println!("{file}: gradients off by {off:.1e}, loss by {of_loss:.1e}, {mixed:?}");
        // 2⁻¹¹ is what one rounding is off by at most; it is not the same graph under another name either
        assert!((1e-5..5e-3).contains(&off), "{file}: gradients off by {off}");
        assert!(of_loss < 5e-3, "{file}: loss {loss}, wanted {wanted_loss}");
        assert!(mixed.in_16_bits > mixed.products && mixed.products > 0, "{file}: {mixed:?}");
        let evaluated = run(&mut session(&program.evaluation().unwrap().to_vec()), inputs(&program, None));
        // ONNX Runtime fuses more of an evaluation, and then rounds less often
        assert!((evaluated[0][0] - loss).abs() < 1e-4 * loss, "{file}: evaluation {}, step {loss}", evaluated[0][0]);
        // a scale that is another power of two changes nothing but what is next to 0
        let (_, scaled) = step(&program, Some(256.0));
        assert!(distance(&scaled, &gradients) < off / 4.0, "{file}: {} apart", distance(&scaled, &gradients));
    }
}
