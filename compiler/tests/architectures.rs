//! Twelve public architectures as two exporters write them, with a few random weights: everything is trained, at any length, by
//! the right gradients, and the exported model computes what the step did. `architectures/make.py` writes the files, and
//! `architectures/gradients.py` what float64 autograd of PyTorch says of the same step, which lies beside each.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use millstream_compiler::finetuning::heads::Pooling;
use millstream_compiler::{FineTuning, HeadChoice, Model, OperatorCatalog, TrainingProgram, compile};
use millstream_schemas::recipe::{BatchNormalization, TrainSelection};
use millstream_schemas::{AxisLength, ParameterEntry, TensorEntry};
use onnx_runtime::{floats, run, session};
use ort::value::{DynValue, Tensor};
use serde::Deserialize;

const CLASSES: usize = 5;
/// Largest error of one parameter's gradient, relative to its length in float64 and to what 32-bit floats can tell of it.
const FAR: f64 = 1e-5;
/// That where there are gates of ReLU: one that 32-bit floats see on the other side makes 1e-4.
const FAR_OF_GATES: f64 = 1e-3;
/// What 32-bit floats can tell, relative to the length of the whole gradient.
const LEAST: f64 = 1e-3;
/// Files with ReLU.
const GATED: [&str; 3] = ["regnet.training", "t5_encoder.script", "unet.script"];

#[derive(Clone, Copy)]
enum Output {
    /// Class scores, by a new head in the place of this layer.
    Scores(&'static str),
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
/// what stands for hidden tokens and tells segments apart (224) in `xlnet`, which is given neither. A new head of `regnet` has 85.
const ROWS: [(&str, Output, usize, &str); 12] = [
    (
        "bert.script",
        Output::Scores("model.classifier"),
        22_851 - 99 + 165,
        "model.bert.encoder.layer.1.attention.self.query",
    ),
    ("deberta_v2.script", Output::Tokens, 20_928 + 165, "model.encoder.layer.0.attention.self.query_proj"),
    ("gpt2.script", Output::Tokens, 29_952 + 165, "model.h.1.mlp.c_fc"),
    ("llama.export", Output::Tokens, 21_792 + 165, "model.layers.0.mlp.gate_proj"),
    ("modernbert.export", Output::Tokens, 23_840 + 165, "model.layers.1.attn.Wqkv"),
    ("regnet.training", Output::Scores("fc"), 2_862 - 170 + 85, "trunk_output.block2.block2-0.f.se.fc1"),
    ("roberta.export", Output::Tokens, 23_072 - 1_056 + 165, "model.encoder.layer.0.output.dense"),
    ("swin.script", Output::Scores("head"), 35_942 - 330 + 165 - 588 + 3_072, "features.3.1.attn.qkv"),
    ("t5_encoder.script", Output::Tokens, 19_872 + 165, "model.encoder.block.0.layer.0.SelfAttention.q"),
    ("unet.script", Output::Pixels, 3_237 - 64, "up.0"),
    ("vit.export", Output::Scores("model.classifier"), 24_234 - 330 + 165, "model.vit.embeddings.cls_token"),
    ("xlnet.script", Output::Tokens, 22_432 - 224 + 165, "model.layer.1.rel_attn.q"),
];

fn path_of(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/architectures").join(file)
}

/// The step that trains everything, by the batch where the file was exported so, with a head whose numbers `gradients.py` has too.
fn compiled(file: &str, output: Output) -> TrainingProgram {
    let model = Model::read(&path_of(&format!("{file}.onnx"))).unwrap();
    let (head, layer) = match output {
        Output::Scores(layer) => (HeadChoice::default(), Some(layer)),
        Output::Tokens => (HeadChoice::pooled(Pooling::Mean), Some("head")),
        Output::Pixels => (HeadChoice::keep(), None),
    };
    let batch_normalization = match file.ends_with(".training") {
        true => BatchNormalization::Training,
        false => BatchNormalization::Frozen,
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
    let wanted = FineTuning {
        batch: batch.clone(),
        inputs,
        head,
        train: TrainSelection::All,
        batch_normalization,
        ..FineTuning::head(2, CLASSES)
    };
    let compiled = compile(&model, &wanted, &OperatorCatalog::standard());
    let mut program = compiled.unwrap_or_else(|error| panic!("{file}: {error}"));
    if let Some(layer) = layer {
        for (part, seed) in [("weight", 11), ("bias", 12)] {
            let name = format!("{layer}.{part}");
            let at = program.manifest.parameters.iter().position(|entry| entry.name == name).unwrap();
            let count = program.parameters[at].len();
            program.parameters[at] = numbers(count, seed).iter().map(|value| value / 8.0).collect();
        }
    }
    program
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

/// What float64 says of the first step, as `gradients.py` writes it.
#[derive(Deserialize)]
struct Reference {
    loss: f64,
    /// By initializer of the file and weight of the head.
    gradients: BTreeMap<String, Figures>,
    /// Of next values, by running statistic.
    statistics: BTreeMap<String, Figures>,
}

/// What there is of a tensor.
#[derive(Deserialize)]
struct Figures {
    /// Numbers in it.
    count: usize,
    /// Euclidean.
    length: f64,
    /// Its parts along two directions.
    along: [f64; 2],
}

impl Figures {
    fn differences(&self, values: &[f32]) -> [f64; 3] {
        let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        let along = |seed: u32| {
            let parts = values.iter().enumerate().map(|(at, value)| f64::from(*value) * direction(at, seed));
            parts.sum::<f64>() / (values.len() as f64).sqrt()
        };
        [length - self.length, along(1) - self.along[0], along(2) - self.along[1]]
    }
}

/// Ones of both signs, as in `gradients.py`.
fn direction(at: usize, seed: u32) -> f64 {
    let mut mixed = (at as u32).wrapping_mul(0x9E37_79B1).wrapping_add(seed.wrapping_mul(0x85EB_CA77));
    for _ in 0..2 {
        mixed = (mixed ^ (mixed >> 16)).wrapping_mul(0x045D_9F3B);
    }
    if (mixed ^ (mixed >> 16)) & 1 == 1 { 1.0 } else { -1.0 }
}

/// Loss, gradients and next running statistics are those of float64; `given` has a tensor for each parameter of the manifest.
fn step_is_that_of_float64(file: &str, program: &TrainingProgram, loss: f32, given: &[&Vec<f32>]) {
    let path = path_of(&format!("{file}.gradients.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let reference: Reference = serde_json::from_str(&text).unwrap();
    assert!(
        (f64::from(loss) - reference.loss).abs() < 1e-5,
        "{file}: the loss is {loss}, in float64 {}",
        reference.loss
    );
    let figures = |entry: &ParameterEntry| {
        let table = if entry.is_statistic { &reference.statistics } else { &reference.gradients };
        table.get(&entry.name).unwrap_or_else(|| panic!("{file}: float64 says nothing of `{}`", entry.name))
    };
    let entries = &program.manifest.parameters;
    let squares = entries.iter().filter(|entry| !entry.is_statistic).map(|entry| figures(entry).length.powi(2));
    let least = LEAST * squares.sum::<f64>().sqrt();
    let far = if GATED.contains(&file) { FAR_OF_GATES } else { FAR };
    for (entry, values) in entries.iter().zip(given) {
        let wanted = figures(entry);
        assert_eq!(values.len(), wanted.count, "{file}, `{}`", entry.name);
        let differences = wanted.differences(values);
        let allowed = far * (wanted.length + least);
        assert!(
            differences.iter().all(|difference| difference.abs() < allowed),
            "{file}, `{}`: length and parts are {differences:?} off those in float64, of {}; allowed are {allowed}",
            entry.name,
            wanted.length
        );
    }
    let statistics = entries.iter().filter(|entry| entry.is_statistic).count();
    assert_eq!(statistics, reference.statistics.len(), "{file}");
}

/// The prediction of the evaluation, which takes the running statistics where the step normalizes by the batch.
fn evaluated(program: &TrainingProgram, inputs: Vec<(String, DynValue)>) -> Vec<f32> {
    let mut evaluation = session(&program.evaluation().unwrap().to_vec());
    let wanted = &program.manifest.prediction.name;
    let at = evaluation.outputs().iter().position(|output| output.name() == wanted).unwrap();
    run(&mut evaluation, inputs).swap_remove(at)
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
                let is_class = |at: usize| (at / inner) % CLASSES == (at / (inner * CLASSES) + at % inner) % CLASSES;
                let chances: Vec<f32> = (0..shape.iter().product()).map(|at| f32::from(is_class(at))).collect();
                inputs.push((target.name.clone(), floats(&shape, &chances)));
                for (entry, values) in program.manifest.parameters.iter().zip(parameters) {
                    inputs.push((entry.name.clone(), floats(&entry.shape, values)));
                }
                inputs
            };
            let outputs = run(&mut step, inputs(&program.parameters));
            let output_of = |name: &str| &outputs[names.iter().position(|known| known == name).unwrap()];
            let entries = &program.manifest.parameters;
            let given: Vec<&Vec<f32>> = entries.iter().map(|entry| output_of(&entry.gradient)).collect();
            if (rows, sequence) == (2, 9) {
                step_is_that_of_float64(file, &program, outputs[0][0], &given);
            }
            // what is given of a running statistic is no slope
            let slopes = |(entry, values): (&ParameterEntry, &&Vec<f32>)| match entry.is_statistic {
                true => vec![0.0; values.len()],
                false => values.to_vec(),
            };
            let gradients: Vec<Vec<f32>> = entries.iter().zip(&given).map(slopes).collect();
            let squares = gradients.iter().flat_map(|values| values.iter()).map(|value| f64::from(*value).powi(2));
            let norm = squares.sum::<f64>().sqrt();
            // along the gradient, the loss climbs as steeply as the gradient is long
            let nearest = [0.03, 0.01, 0.003].map(|length| {
                let mut loss = |sign: f64| {
                    let scale = sign * length / norm;
                    let moved = |(values, gradient): (&Vec<f32>, &Vec<f32>)| -> Vec<f32> {
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

            let exported = program.export(&program.parameters, &[]).unwrap();
            let scores = run(&mut session(&exported.to_vec()), data(&program, rows, sequence)).remove(0);
            let measured = match entries.iter().any(|entry| entry.is_statistic) {
                true => evaluated(&program, inputs(&program.parameters)),
                false => output_of(&program.manifest.prediction.name).clone(),
            };
            assert_eq!(scores.len(), measured.len(), "{file}");
            let far = scores.iter().zip(&measured).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(far < 1e-4, "{file}: the exported model gives other scores, by {far}");
        }
    }
}
