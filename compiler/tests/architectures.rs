//! Eleven public architectures as two exporters write them, with a few random weights: everything is trained, at any length, by
//! the right gradients, and the exported model computes what the step did. `architectures/make.py` writes the files.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;

use std::path::Path;

use millstream_compiler::finetuning::heads::Pooling;
use millstream_compiler::{FineTuning, HeadChoice, Model, OperatorCatalog, TrainingProgram, compile};
use millstream_schemas::recipe::TrainSelection;
use millstream_schemas::{AxisLength, TensorEntry};
use onnx_runtime::{floats, run, session};
use ort::value::{DynValue, Tensor};

const CLASSES: usize = 5;
/// Largest error of one parameter's slope, relative to its gradient's length and to what 32-bit floats can tell.
const FAR: f64 = 1e-2;
/// That, relative to the length of the whole gradient.
const LEAST: f64 = 1e-3;

#[derive(Clone, Copy)]
enum Output {
    /// Class scores, by a new head.
    Scores,
    /// Vectors of tokens: their mean gets a head.
    Tokens,
    /// Classes of pixels, as they are.
    Pixels,
}

/// File, what it gives, numbers that are trained, a layer of the source that is among them.
///
/// Numbers are those that `make.py` prints, with these differences: a new head of 5 classes (165), in the place of one where
/// there is one; an unused pooler (1,056) in `roberta`; scales and shifts of batch normalization that the exporter folded into
/// convolutions (64) in `unet`; tables of relative positions (588) that it read out (3,072) in `swin`;
/// what stands for hidden tokens and tells segments apart (224) in `xlnet`, which is given neither.
const ROWS: [(&str, Output, usize, &str); 11] = [
    ("bert.script", Output::Scores, 22_851 - 99 + 165, "model.bert.encoder.layer.1.attention.self.query"),
    ("deberta_v2.script", Output::Tokens, 20_928 + 165, "model.encoder.layer.0.attention.self.query_proj"),
    ("gpt2.script", Output::Tokens, 29_952 + 165, "model.h.1.mlp.c_fc"),
    ("llama.export", Output::Tokens, 21_792 + 165, "model.layers.0.mlp.gate_proj"),
    ("modernbert.export", Output::Tokens, 23_840 + 165, "model.layers.1.attn.Wqkv"),
    ("roberta.export", Output::Tokens, 23_072 - 1_056 + 165, "model.encoder.layer.0.output.dense"),
    ("swin.script", Output::Scores, 35_942 - 330 + 165 - 588 + 3_072, "features.3.1.attn.qkv"),
    ("t5_encoder.script", Output::Tokens, 19_872 + 165, "model.encoder.block.0.layer.0.SelfAttention.q"),
    ("unet.script", Output::Pixels, 3_237 - 64, "up.0"),
    ("vit.export", Output::Scores, 24_234 - 330 + 165, "model.vit.embeddings.cls_token"),
    ("xlnet.script", Output::Tokens, 22_432 - 224 + 165, "model.layer.1.rel_attn.q"),
];

fn compiled(file: &str, output: Output) -> TrainingProgram {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/architectures/{file}.onnx"));
    let model = Model::read(&path).unwrap();
    let head = match output {
        Output::Scores => HeadChoice::default(),
        Output::Tokens => HeadChoice::pooled(Pooling::Mean),
        Output::Pixels => HeadChoice::keep(),
    };
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

/// Numbers in −1 to 1, the same each time.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed * 104_729 + 13) % 2003) as f32 / 1001.0 - 1.0).collect()
}

fn shape_of(entry: &TensorEntry, rows: usize, sequence: usize) -> Vec<usize> {
    let length = |axis: &AxisLength| match axis {
        AxisLength::Fixed(length) => *length,
        AxisLength::Named(name) if name == "batch" => rows,
        AxisLength::Named(_) => sequence,
    };
    entry.shape.iter().map(length).collect()
}

/// The model's own inputs: tokens, of which the second row has two fewer, or pictures.
fn data(program: &TrainingProgram, rows: usize, sequence: usize) -> Vec<(String, DynValue)> {
    let of = |entry: &TensorEntry| {
        let shape = shape_of(entry, rows, sequence);
        let count: usize = shape.iter().product();
        let value = match entry.name.as_str() {
            "attention_mask" => {
                let is_token = |at: usize| !(sequence..2 * sequence).contains(&at) || at + 2 < 2 * sequence;
                let mask: Vec<i64> = (0..count).map(|at| i64::from(is_token(at))).collect();
                Tensor::from_array((shape, mask)).unwrap().into_dyn()
            }
            "input_ids" => {
                let ids: Vec<i64> = (0..count).map(|at| (at as i64 * 37) % 80 + 5).collect();
                Tensor::from_array((shape, ids)).unwrap().into_dyn()
            }
            _ => floats(&shape, &numbers(count, 3)),
        };
        (entry.name.clone(), value)
    };
    program.manifest.inputs.iter().map(of).collect()
}

/// Each parameter's gradient is the slope of the loss: along what is half that gradient and half a direction that it does not choose, so
/// that one which is zero and should not be is found too.
fn each_gradient_is_true(
    file: &str,
    program: &TrainingProgram,
    gradients: &[&Vec<f32>],
    loss: &mut dyn FnMut(&[Vec<f32>]) -> f64,
) {
    let length = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
    let wide = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<f64>>();
    let all: Vec<f64> = gradients.iter().flat_map(|gradient| wide(gradient)).collect();
    let least = LEAST * length(&all);
    for (index, entry) in program.manifest.parameters.iter().enumerate() {
        let gradient = wide(gradients[index]);
        let own = length(&gradient);
        let chosen = wide(&numbers(gradient.len(), index + 1));
        let other = length(&chosen).max(f64::MIN_POSITIVE);
        let scale = if own > 0.0 { 1.0 / own } else { 0.0 };
        let direction: Vec<f64> = gradient.iter().zip(&chosen).map(|(a, b)| a * scale + b / other).collect();
        let unit = length(&direction).max(f64::MIN_POSITIVE);
        let stated = gradient.iter().zip(&direction).map(|(slope, step)| slope * step / unit).sum::<f64>();
        let nearest = [0.1, 0.03, 0.01].map(|size| {
            let mut moved = |sign: f64| {
                let mut parameters = program.parameters.clone();
                for (value, step) in parameters[index].iter_mut().zip(&direction) {
                    *value = (f64::from(*value) + sign * size * step / unit) as f32;
                }
                loss(&parameters)
            };
            ((moved(1.0) - moved(-1.0)) / (2.0 * size) - stated).abs()
        });
        let error = nearest.into_iter().fold(f64::INFINITY, f64::min);
        assert!(error < FAR * (own + least), "{file}, `{}`: {stated} along a direction, off by {error}", entry.name);
    }
}

#[test]
fn public_architectures_are_trained_whole_at_any_length() {
    if !onnx_runtime::available() {
        return;
    }
    for (file, output, trained, layer) in ROWS {
        let program = compiled(file, output);
        assert_eq!(program.trained, trained, "{file}");
        assert!(
            program.manifest.parameters.iter().any(|entry| entry.layer == layer),
            "{file} has no layer `{layer}`: {:?}",
            program.manifest.parameters.iter().map(|entry| &entry.layer).collect::<Vec<_>>()
        );
        let mut step = session(&program.step().unwrap().to_vec());
        let names: Vec<String> = step.outputs().iter().map(|output| output.name().to_owned()).collect();
        for (rows, sequence) in [(2, 9), (3, 6)] {
            let inputs = |parameters: &[Vec<f32>]| {
                let mut inputs = data(&program, rows, sequence);
                let target = &program.manifest.targets[0];
                let shape = shape_of(target, rows, sequence);
                let inner: usize = shape[2..].iter().product();
                let is_class = |at: usize| (at / inner) % CLASSES == (at * 5 / (inner * CLASSES)) % CLASSES;
                let chances: Vec<f32> = (0..shape.iter().product()).map(|at| f32::from(is_class(at))).collect();
                inputs.push((target.name.clone(), floats(&shape, &chances)));
                for (entry, values) in program.manifest.parameters.iter().zip(parameters) {
                    inputs.push((entry.name.clone(), floats(&entry.shape, values)));
                }
                inputs
            };
            let outputs = run(&mut step, inputs(&program.parameters));
            let output_of = |name: &str| &outputs[names.iter().position(|known| known == name).unwrap()];
            let gradients: Vec<&Vec<f32>> =
                program.manifest.parameters.iter().map(|entry| output_of(&entry.gradient)).collect();
            let squares = gradients.iter().flat_map(|values| values.iter()).map(|value| f64::from(*value).powi(2));
            let norm = squares.sum::<f64>().sqrt();
            // along the gradient, the loss climbs as steeply as the gradient is long
            let nearest = [0.03, 0.01, 0.003].map(|length| {
                let mut loss = |sign: f64| {
                    let scale = sign * length / norm;
                    let moved = |(values, gradient): (&Vec<f32>, &&Vec<f32>)| -> Vec<f32> {
                        let pairs = values.iter().zip(gradient.iter());
                        pairs.map(|(value, slope)| (f64::from(*value) + scale * f64::from(*slope)) as f32).collect()
                    };
                    let parameters: Vec<Vec<f32>> = program.parameters.iter().zip(&gradients).map(moved).collect();
                    f64::from(run(&mut step, inputs(&parameters))[0][0])
                };
                ((loss(1.0) - loss(-1.0)) / (2.0 * length) - norm).abs() / norm
            });
            let error = nearest.into_iter().fold(f64::INFINITY, f64::min);
            assert!(norm > 1e-3 && error < 5e-3, "{file}, {rows} rows of {sequence}: {norm}, off by {error}");
            println!("{file}, {rows} rows of {sequence}: gradient {norm:.4}, off by {error:.1e}");
            if rows == 2 {
                let mut loss = |parameters: &[Vec<f32>]| f64::from(run(&mut step, inputs(parameters))[0][0]);
                each_gradient_is_true(file, &program, &gradients, &mut loss);
            }

            let exported = program.export(&program.parameters, &[]).unwrap();
            let scores = run(&mut session(&exported.to_vec()), data(&program, rows, sequence)).remove(0);
            let measured = output_of(&program.manifest.prediction.name);
            assert_eq!(scores.len(), measured.len(), "{file}");
            let far = scores.iter().zip(measured).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(far < 1e-4, "{file}: the exported model gives other scores, by {far}");
        }
    }
}
