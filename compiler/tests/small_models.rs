//! Models of a few nodes, run by ONNX Runtime.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;

use millstream_compiler::graph::{Attribute, Constant, Graph, TensorType, ValueId};
use millstream_compiler::losses::PredictionKind;
use millstream_compiler::{CompilerError, FineTuning, HeadChoice, Loss, Model, OperatorCatalog, compile, losses};
use millstream_schemas::Choice;
use millstream_schemas::recipe::TrainSelection;
use onnx_runtime::{floats, run, session};

/// Rows in a batch.
const ROWS: usize = 3;
/// Numbers in a row.
const WIDTH: usize = 4;
/// Classes.
const CLASSES: usize = 5;

/// Numbers in −1 to 1, the same each time.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect()
}

fn weight(graph: &mut Graph, name: &str, shape: &[usize]) -> ValueId {
    let count = shape.iter().product();
    graph.constant(name, Constant::f32(shape, &numbers(count, name.len())))
}

fn dense(graph: &mut Graph, x: ValueId) -> Result<ValueId, CompilerError> {
    let (weights, bias) = (weight(graph, "head.weight", &[CLASSES, WIDTH]), weight(graph, "head.bias", &[CLASSES]));
    graph.add("Gemm", &[x, weights, bias], &[("transB", 1.into())])
}

type Tail = fn(&mut Graph, ValueId) -> Result<ValueId, CompilerError>;

#[test]
fn the_scores_of_a_model_that_ends_in_softmax_are_its_logits() {
    if !onnx_runtime::available() {
        return;
    }
    // what follows the head, and whether the scores are still what the model gives
    let rows: [(Tail, bool); 5] = [
        (|_, logits| Ok(logits), true),
        (|graph, logits| graph.add("Softmax", &[logits], &[("axis", 1.into())]), false),
        (|graph, logits| graph.add("LogSoftmax", &[logits], &[]), false),
        (
            |graph, logits| {
                let probability = graph.add("Softmax", &[logits], &[])?;
                graph.add("Identity", &[probability], &[])
            },
            false,
        ),
        (|graph, logits| graph.add("Sigmoid", &[logits], &[]), true),
    ];
    for (has_dense_head, (tail, whole)) in [true, false].into_iter().flat_map(|dense| rows.map(|row| (dense, row))) {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32([ROWS, WIDTH]));
        let logits = if has_dense_head { dense(&mut graph, x) } else { graph.add("Tanh", &[x], &[]) }.unwrap();
        let last = tail(&mut graph, logits).unwrap();
        graph.set_outputs(&[logits]);
        let x = || vec![("x".to_owned(), floats(&[ROWS, WIDTH], &numbers(ROWS * WIDTH, 1)))];
        let wanted = if whole { last } else { logits };
        graph.set_outputs(&[wanted]);
        let wanted = run(&mut session(&graph.to_onnx("scores")), x()).remove(0);
        graph.set_outputs(&[last]);
        let scoring = Model::from_bytes(graph.to_onnx("network"))
            .unwrap()
            .evaluated(None, PredictionKind::ClassScores, None, &OperatorCatalog::standard())
            .unwrap();
        let mut session = session(&scoring.model.file().to_vec());
        let at = session.outputs().iter().position(|output| output.name() == scoring.scores).unwrap();
        assert_eq!(run(&mut session, x())[at], wanted, "scores `{}`", scoring.scores);
    }
}

/// Cross-entropy with so much of the targets spread.
fn smoothed(label_smoothing: f64) -> Loss {
    let choice = Choice::new("cross_entropy", serde_json::json!({"label_smoothing": label_smoothing}));
    Loss::choose(losses::standard(), &choice, "training.loss").unwrap()
}

/// The loss in plain Rust, from the formula.
fn reference_loss(logits: &[f32], targets: &[f32], smoothing: f64) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for (logits, targets) in logits.chunks(CLASSES).zip(targets.chunks(CLASSES)) {
        let weight: f64 = targets.iter().map(|target| f64::from(*target)).sum();
        let largest = logits.iter().fold(f32::NEG_INFINITY, |largest, value| largest.max(*value));
        let total: f64 = logits.iter().map(|value| f64::from(value - largest).exp()).sum();
        for (logit, target) in logits.iter().zip(targets) {
            let smoothed = (1.0 - smoothing) * f64::from(*target) + smoothing * weight / CLASSES as f64;
            sum -= smoothed * (f64::from(logit - largest) - total.ln());
        }
        weights += weight;
    }
    sum / weights.max(1e-12)
}

#[test]
fn cross_entropy_is_the_formula() {
    if !onnx_runtime::available() {
        return;
    }
    let row = |values: [f32; CLASSES]| values;
    let (first, last, masked) = (row([1.0, 0.0, 0.0, 0.0, 0.0]), row([0.0, 0.0, 0.0, 0.0, 1.0]), row([0.0; CLASSES]));
    let soft = row([0.5, 0.0, 0.3, 0.2, 0.0]);
    let half = row([0.0, 0.25, 0.25, 0.0, 0.0]);
    let batches = [
        ("labels", [first, last, first]),
        ("soft labels", [soft, last, soft]),
        ("a masked row", [first, masked, last]),
        ("rows of different weight", [half, soft, masked]),
        ("all masked", [masked; ROWS]),
    ];
    for smoothing in [0.0, 0.1] {
        for (name, targets) in &batches {
            for scale in [1.0, 200.0] {
                let loss = smoothed(smoothing);
                let program = loss.compile(&TensorType::f32([ROWS, CLASSES]), &OperatorCatalog::standard()).unwrap();
                let logits: Vec<f32> = numbers(ROWS * CLASSES, 5).iter().map(|value| value * scale).collect();
                let targets = targets.concat();
                let shape = [ROWS, CLASSES];
                let inputs = vec![
                    (program.prediction.name.clone(), floats(&shape, &logits)),
                    (program.targets.name.clone(), floats(&shape, &targets)),
                ];
                let found = f64::from(run(&mut session(&program.model), inputs)[0][0]);
                let wanted = reference_loss(&logits, &targets, smoothing);
                let close = (found - wanted).abs() <= 1e-5 * wanted.abs().max(1.0);
                assert!(close, "{name}, smoothing {smoothing}, scale {scale}: {found} instead of {wanted}");
            }
        }
    }
}

/// A network of few kinks, so that differences tell its gradients well.
fn varied_network() -> Graph {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let image = graph.input("image", TensorType::f32([ROWS, 3, 8, 8]));
    let mut add = |operator: &str, inputs: &[(&str, &[usize])], x: ValueId, attributes: &[(&str, Attribute)]| {
        let weights = inputs.iter().map(|(name, shape)| weight(&mut graph, name, shape));
        let inputs: Vec<ValueId> = std::iter::once(x).chain(weights.collect::<Vec<_>>()).collect();
        graph.add(operator, &inputs, attributes).unwrap()
    };
    let pads = ("pads", vec![1, 1, 1, 1].into());
    let x = add("Conv", &[("stem.weight", &[6, 3, 3, 3]), ("stem.bias", &[6])], image, std::slice::from_ref(&pads));
    let x = add("Sigmoid", &[], x, &[]);
    let pool = [("kernel_shape", vec![2, 2].into()), ("strides", vec![2, 2].into())];
    let x = add("MaxPool", &[], x, &pool);
    let x = add("Conv", &[("depthwise.weight", &[6, 1, 3, 3])], x, &[pads, ("group", 6.into())]);
    let x = add("PRelu", &[("slope", &[1])], x, &[]);
    let x = add("Conv", &[("mix.weight", &[WIDTH, 6, 1, 1]), ("mix.bias", &[WIDTH])], x, &[]);
    let x = add("GlobalAveragePool", &[], x, &[]);
    let x = add("Flatten", &[], x, &[]);
    let x = add("LayerNormalization", &[("norm.weight", &[WIDTH]), ("norm.bias", &[WIDTH])], x, &[]);
    let x = add("MatMul", &[("fc.kernel", &[WIDTH, WIDTH])], x, &[]);
    let x = add("Add", &[("fc.bias", &[WIDTH])], x, &[]);
    let x = add("Tanh", &[], x, &[]);
    let logits = dense(&mut graph, x).unwrap();
    graph.rename(logits, "logits").unwrap();
    graph.set_outputs(&[logits]);
    graph
}

#[test]
fn each_parameter_of_a_network_has_the_gradient_of_central_differences() {
    if !onnx_runtime::available() {
        return;
    }
    let model = Model::from_bytes(varied_network().to_onnx("network")).unwrap();
    let train = TrainSelection::All;
    let wanted = FineTuning { head: HeadChoice::keep(), train, loss: smoothed(0.1), ..FineTuning::head(ROWS, CLASSES) };
    let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
    assert_eq!(program.frozen, 0);
    let entries = &program.manifest.parameters;
    let inputs = |parameters: &[Vec<f32>]| {
        let shape = [ROWS, 3, 8, 8];
        let mut inputs = vec![("image".to_owned(), floats(&shape, &numbers(ROWS * 3 * 64, 2)))];
        let targets: Vec<f32> = (0..ROWS * CLASSES).map(|at| f32::from(u8::from(at % 6 == 0))).collect();
        inputs.push((program.manifest.targets[0].name.clone(), floats(&[ROWS, CLASSES], &targets)));
        let values = entries.iter().zip(parameters);
        inputs.extend(values.map(|(entry, values)| (entry.name.clone(), floats(&entry.shape, values))));
        inputs
    };
    let gradients = run(&mut session(&program.step().unwrap().to_vec()), inputs(&program.parameters)).split_off(2);
    let mut evaluation = session(&program.evaluation().unwrap().to_vec());
    for (index, entry) in entries.iter().enumerate() {
        let square: f64 = gradients[index].iter().map(|g| f64::from(*g).powi(2)).sum();
        let step_size = 2e-2 / square.sqrt();
        let mut loss = |sign: f64| {
            let mut moved = program.parameters.clone();
            for (value, g) in moved[index].iter_mut().zip(&gradients[index]) {
                *value += (sign * step_size * f64::from(*g)) as f32;
            }
            f64::from(run(&mut evaluation, inputs(&moved))[0][0])
        };
        let slope = (loss(1.0) - loss(-1.0)) / (2.0 * step_size);
        let error = (slope - square).abs() / square;
        println!("{}: norm {:.1e}, off by {error:.1e}", entry.name, square.sqrt());
        assert!(error < 4e-2, "{}: slope {slope}, squared gradient {square}", entry.name);
    }
}

#[test]
fn a_pool_that_overlaps_is_trained_in_an_older_opset_as_in_a_newer_one() {
    if !onnx_runtime::available() {
        return;
    }
    let outputs = |opset: i64| {
        let mut graph = Graph::new(opset, OperatorCatalog::standard());
        let image = graph.input("image", TensorType::f32([ROWS, 3, 8, 8]));
        let stem = weight(&mut graph, "stem.weight", &[WIDTH, 3, 3, 3]);
        let x = graph.add("Conv", &[image, stem], &[]).unwrap();
        let pool = [("kernel_shape", vec![3, 3].into()), ("strides", vec![2, 2].into())];
        let x = graph.add("MaxPool", &[x], &pool).unwrap();
        let x = graph.add("GlobalAveragePool", &[x], &[]).unwrap();
        let x = graph.add("Flatten", &[x], &[]).unwrap();
        let logits = dense(&mut graph, x).unwrap();
        graph.set_outputs(&[logits]);
        let model = Model::from_bytes(graph.to_onnx("network")).unwrap();
        let wanted =
            FineTuning { head: HeadChoice::keep(), train: TrainSelection::All, ..FineTuning::head(ROWS, CLASSES) };
        let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
        let targets: Vec<f32> = (0..ROWS * CLASSES).map(|at| f32::from(u8::from(at % 6 == 0))).collect();
        let mut inputs = vec![
            ("image".to_owned(), floats(&[ROWS, 3, 8, 8], &numbers(ROWS * 3 * 64, 2))),
            (program.manifest.targets[0].name.clone(), floats(&[ROWS, CLASSES], &targets)),
        ];
        let values = program.manifest.parameters.iter().zip(&program.parameters);
        inputs.extend(values.map(|(entry, values)| (entry.name.clone(), floats(&entry.shape, values))));
        run(&mut session(&program.step().unwrap().to_vec()), inputs)
    };
    let newer = outputs(17);
    assert!(newer.iter().all(|values| values.iter().any(|value| *value != 0.0)), "{newer:?}");
    assert_eq!(outputs(13), newer);
}
