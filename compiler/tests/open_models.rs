//! Whole models compiled once for any batch and sequence: each length gives what a step of fixed lengths gives.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;

use std::collections::BTreeMap;
use std::path::PathBuf;

use millstream_compiler::{FineTuning, Loss, Model, OperatorCatalog, TrainingProgram, compile, losses};
use millstream_schemas::Choice;
use millstream_schemas::recipe::TrainSelection;
use millstream_schemas::{AxisLength, TensorEntry};
use onnx_runtime::{floats, run, session};
use ort::session::Session;
use ort::value::{DynValue, Tensor};

const CLASSES: usize = 5;
/// Largest difference of open to fixed lengths, relative to the largest value of a tensor: of networks whose nodes are
/// the same, and of those in which ONNX Runtime fuses others where it knows the lengths.
const TOLERANCES: [f32; 2] = [0.0, 1e-5];
/// Tensors smaller than this share of the largest are held against that: the gradient of a bias of keys is zero but for
/// rounding.
const SMALL: f32 = 1e-3;

fn corpus() -> Option<PathBuf> {
    let found = std::env::var_os("MILLSTREAM_CORPUS").map(PathBuf::from);
    if found.is_none() {
        println!("left out, MILLSTREAM_CORPUS is not set");
    }
    found.filter(|_| onnx_runtime::available())
}

/// Numbers in −1 to 1, the same each time.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

type Lengths = BTreeMap<String, usize>;

fn lengths(batch: usize, sequence: usize) -> Lengths {
    BTreeMap::from([("batch".to_owned(), batch), ("sequence".to_owned(), sequence)])
}

fn shape(entry: &TensorEntry, lengths: &Lengths) -> Vec<usize> {
    let axes = entry.shape.iter().map(|length| match length {
        AxisLength::Fixed(length) => *length,
        AxisLength::Named(name) => lengths[name],
    });
    axes.collect()
}

/// Images, or sentences of different length behind their mask; each row of another class.
fn inputs(program: &TrainingProgram, parameters: &[Vec<f32>], lengths: &Lengths) -> Vec<(String, DynValue)> {
    let mut inputs = Vec::new();
    for entry in &program.manifest.inputs {
        let shape = shape(entry, lengths);
        let count = shape.iter().product();
        let width = *shape.last().unwrap();
        let number = |at: usize| match entry.name.as_str() {
            "input_ids" => (at * 7919 % 11_000) as i64 + 500,
            "attention_mask" => i64::from(at % width < width - (at / width) % 3),
            _ => i64::from(at % width > width / 2),
        };
        let value = match entry.dtype.as_str() {
            "int64" => Tensor::from_array((shape, (0..count).map(number).collect::<Vec<i64>>())).unwrap().into_dyn(),
            _ => floats(&shape, &numbers(count, 3)),
        };
        inputs.push((entry.name.clone(), value));
    }
    let [entry] = program.manifest.targets.as_slice() else { panic!("{:?}", program.manifest.targets) };
    let targets = shape(entry, lengths);
    let one_hot = |at: usize| f32::from(u8::from(at % CLASSES == at / CLASSES % CLASSES));
    let values: Vec<f32> = (0..targets.iter().product()).map(one_hot).collect();
    inputs.push((entry.name.clone(), floats(&targets, &values)));
    for (entry, values) in program.manifest.parameters.iter().zip(parameters) {
        inputs.push((entry.name.clone(), floats(&entry.shape, values)));
    }
    inputs
}

fn wanted(name: &str, train: &TrainSelection) -> FineTuning {
    let output = name.starts_with("minilm").then(|| "scores".into());
    let choice = Choice::new("cross_entropy", serde_json::json!({"label_smoothing": 0.1}));
    let loss = Loss::choose(losses::standard(), &choice, "training.loss").unwrap();
    FineTuning { train: train.clone(), loss, output, ..FineTuning::head("batch", CLASSES) }
}

/// The step of open lengths, and the one of these.
fn open_and_fixed(
    name: &str,
    model: &Model,
    train: &TrainSelection,
    lengths: &Lengths,
) -> (TrainingProgram, TrainingProgram) {
    let (wanted, catalog) = (wanted(name, train), OperatorCatalog::standard());
    let open = compile(model, &wanted, &catalog).unwrap();
    let fix = |length: &AxisLength| match length {
        AxisLength::Named(name) => lengths[name].into(),
        AxisLength::Fixed(_) => length.clone(),
    };
    let inputs_of = |entry: &TensorEntry| (entry.name.clone(), entry.shape.iter().map(fix).collect());
    let inputs = open.manifest.inputs.iter().map(inputs_of).collect();
    let fixed = compile(model, &FineTuning { batch: lengths["batch"].into(), inputs, ..wanted }, &catalog).unwrap();
    (open, fixed)
}

/// Runs a step of open lengths with each of these, and one of fixed lengths beside it.
fn holds_for(name: &str, model: &Model, train: &TrainSelection, all: &[Lengths]) -> (TrainingProgram, Session) {
    let program = compile(model, &wanted(name, train), &OperatorCatalog::standard()).unwrap();
    assert_eq!(program.manifest.batch, "batch".into());
    assert_eq!(program.manifest.prediction.shape, ["batch".into(), CLASSES.into()]);
    let tolerance = TOLERANCES[usize::from(name.starts_with("minilm"))];
    let mut step = session(&program.step().unwrap().to_vec());
    for lengths in all {
        let (open, fixed) = open_and_fixed(name, model, train, lengths);
        assert_eq!(open.step().unwrap().to_vec(), program.step().unwrap().to_vec());
        assert!(fixed.manifest.inputs.iter().all(|entry| entry.fixed_shape().is_some()));
        assert_eq!(fixed.parameters, open.parameters);
        let peak = (open.activation_bytes(lengths).unwrap(), fixed.activation_bytes(&Lengths::new()).unwrap());
        let got = run(&mut step, inputs(&open, &open.parameters, lengths));
        let other = run(&mut session(&fixed.step().unwrap().to_vec()), inputs(&fixed, &fixed.parameters, lengths));
        assert_eq!(got.len(), other.len());
        let largest = |values: &[f32]| values.iter().fold(1e-6, |largest: f32, value| largest.max(value.abs()));
        let floor = SMALL * other.iter().map(|values| largest(values)).fold(0.0, f32::max);
        let mut farthest: f32 = 0.0;
        for (got, other) in got.iter().zip(&other) {
            assert_eq!(got.len(), other.len());
            let scale = largest(other).max(floor);
            let far = got.iter().zip(other).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f32::max);
            assert!(got.iter().all(|value| value.is_finite()), "{name} {train:?} {lengths:?}");
            farthest = farthest.max(far);
        }
        println!("{name} {train:?} {lengths:?}: off by {farthest:.1e}, bytes open and fixed {peak:?}");
        assert!(farthest <= tolerance, "{name} {train:?} {lengths:?}: off by {farthest}");
    }
    (program, step)
}

#[test]
fn one_step_takes_any_batch_of_images() {
    let Some(corpus) = corpus() else { return };
    let rows = [
        ("mobilenet_v2_1.0_224", TrainSelection::Last(4)),
        ("mobilenet_v2_1.0_224", TrainSelection::All),
        ("mobilenet_v1_0.25_128", TrainSelection::All),
        ("resnet20_cifar10", TrainSelection::All),
        ("resnet20_cifar10_opset20", TrainSelection::All),
    ];
    for (name, train) in rows {
        let model = Model::read(&corpus.join("models").join(name).join("model.onnx")).unwrap();
        holds_for(name, &model, &train, &[lengths(3, 1), lengths(5, 1), lengths(1, 1)]);
    }
}

/// A field of a protocol buffer that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut encoded = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 128 {
        encoded.push((length % 128) as u8 | 128);
        length /= 128;
    }
    encoded.push(length as u8);
    encoded.extend_from_slice(bytes);
    encoded
}

/// The encoder with a dense layer on its first token: `scores` `[batch, classes]`. Two messages one after the other are
/// one, with the lists of both.
fn with_head(encoder: &[u8]) -> Vec<u8> {
    const WIDTH: usize = 384;
    let node = |operator: &str, inputs: &[&str], output: &str, attributes: Vec<u8>| {
        let inputs: Vec<u8> = inputs.iter().flat_map(|input| field(1, input.as_bytes())).collect();
        let rest = [field(2, output.as_bytes()), field(3, output.as_bytes()), field(4, operator.as_bytes())].concat();
        field(1, &[inputs, rest, attributes].concat())
    };
    let axis = field(5, &[field(1, b"axis"), vec![3 << 3, 1, 0xa0, 0x01, 2]].concat()); // i = 1, type = INT
    let index = field(5, &[vec![2 << 3, 7], field(8, b"first"), field(9, &0i64.to_le_bytes())].concat());
    let values: Vec<u8> = numbers(WIDTH * CLASSES, 11).iter().flat_map(|value| (value * 0.05).to_le_bytes()).collect();
    let dims = vec![1 << 3, 0x80, 0x03, 1 << 3, CLASSES as u8];
    let weight = field(5, &[dims, vec![2 << 3, 1], field(8, b"head.weight"), field(9, &values)].concat());
    let graph = [
        node("Gather", &["last_hidden_state", "first"], "pooled", axis),
        node("Gemm", &["pooled", "head.weight"], "scores", Vec::new()),
        index,
        weight,
        field(12, &field(1, b"scores")),
    ];
    [encoder, &field(7, &graph.concat())].concat()
}

#[test]
fn one_step_takes_sentences_of_any_length() {
    let Some(corpus) = corpus() else { return };
    let name = "minilm-l6-h384-v12k";
    let bytes = std::fs::read(corpus.join("models").join(name).join("model.onnx")).unwrap();
    let model = Model::from_bytes(with_head(&bytes)).unwrap();
    let all = [lengths(2, 7), lengths(3, 32), lengths(1, 1)];
    for train in [TrainSelection::Head, TrainSelection::Last(3), TrainSelection::All] {
        let (program, mut step) = holds_for(name, &model, &train, &all);
        if train != TrainSelection::All {
            continue;
        }
        let gradients = run(&mut step, inputs(&program, &program.parameters, &all[0])).split_off(2);
        let mut evaluation = session(&program.evaluation().unwrap().to_vec());
        let wanted = ["word_embeddings", "position_embeddings", "LayerNorm", "query", "intermediate", "head"];
        for part in wanted {
            let entries = program.manifest.parameters.iter();
            let index =
                entries.clone().position(|entry| entry.name.contains(part) || entry.layer.contains(part)).unwrap();
            let square: f64 = gradients[index].iter().map(|g| f64::from(*g).powi(2)).sum();
            let step_size = 2e-2 / square.sqrt();
            let mut loss = |sign: f64| {
                let mut moved = program.parameters.clone();
                for (value, g) in moved[index].iter_mut().zip(&gradients[index]) {
                    *value += (sign * step_size * f64::from(*g)) as f32;
                }
                f64::from(run(&mut evaluation, inputs(&program, &moved, &all[0]))[0][0])
            };
            let slope = (loss(1.0) - loss(-1.0)) / (2.0 * step_size);
            let error = (slope - square).abs() / square;
            println!("{}: norm {:.1e}, off by {error:.1e}", program.manifest.parameters[index].name, square.sqrt());
            assert!(error < 2e-2, "{part}: slope {slope}, squared gradient {square}");
        }
    }
}

/// Milliseconds of a step, the least of several.
fn least(session: &mut Session, inputs: &dyn Fn() -> Vec<(String, DynValue)>) -> f64 {
    let once = |session: &mut Session| {
        let given = inputs();
        let start = std::time::Instant::now();
        let outputs = session.run(given).unwrap();
        let taken = start.elapsed().as_secs_f64() * 1e3;
        drop(outputs);
        taken
    };
    (0..12).map(|_| once(session)).fold(f64::INFINITY, f64::min)
}

#[test]
#[ignore = "a measurement; run it alone, with --no-capture"]
fn milliseconds_of_a_step_of_open_and_of_fixed_lengths() {
    let Some(corpus) = corpus() else { return };
    let read = |name: &str| std::fs::read(corpus.join("models").join(name).join("model.onnx")).unwrap();
    let (images, text) = ("mobilenet_v2_1.0_224", "minilm-l6-h384-v12k");
    let rows = [
        (images, read(images), TrainSelection::Head, lengths(16, 1)),
        (images, read(images), TrainSelection::Last(7), lengths(16, 1)),
        (images, read(images), TrainSelection::All, lengths(16, 1)),
        (text, with_head(&read(text)), TrainSelection::Head, lengths(16, 32)),
        (text, with_head(&read(text)), TrainSelection::Last(8), lengths(16, 32)),
        (text, with_head(&read(text)), TrainSelection::All, lengths(16, 32)),
    ];
    for (name, bytes, train, lengths) in rows {
        let model = Model::from_bytes(bytes).unwrap();
        let (open, fixed) = open_and_fixed(name, &model, &train, &lengths);
        let [mut of_open, mut of_fixed] = [&open, &fixed].map(|program| session(&program.step().unwrap().to_vec()));
        let given = || inputs(&open, &open.parameters, &lengths);
        // by turns, so that what else the machine does falls on both
        let mut taken = [f64::INFINITY; 2];
        for _ in 0..3 {
            taken[0] = taken[0].min(least(&mut of_open, &given));
            taken[1] = taken[1].min(least(&mut of_fixed, &given));
        }
        println!("{name} {train:?} {lengths:?}: open {:.1} ms, fixed {:.1} ms", taken[0], taken[1]);
    }
}
