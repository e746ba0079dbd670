//! Models that give a class for each token: scores `[batch, sequence, classes]`, targets `[batch, sequence]`.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;

use millstream_compiler::graph::{Constant, Graph, Length, TensorType};
use millstream_compiler::losses::{PredictionKind, standard};
use millstream_compiler::{FineTuning, Loss, Model, OperatorCatalog, TrainingProgram, compile};
use millstream_schemas::recipe::TrainSelection;
use millstream_schemas::{AxisLength, Choice};
use onnx_runtime::{floats, run, session};
use ort::value::{DynValue, Tensor};
use serde_json::json;

const FEATURES: usize = 4;
const CLASSES: usize = 5;

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed * 104_729 + 13) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// Vectors of tokens, a layer, and a head for three classes with a softmax behind it.
fn tagger() -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let axes = [Length::named("batch"), Length::named("sequence"), FEATURES.into()];
    let x = graph.input("x", TensorType::f32(axes));
    let mut dense = |x, name: &str, width: usize| {
        let weight = Constant::f32([FEATURES, width], &numbers(FEATURES * width, width));
        let weight = graph.constant(&format!("{name}.weight"), weight);
        let bias = graph.constant(&format!("{name}.bias"), Constant::f32([width], &numbers(width, 3)));
        let product = graph.add("MatMul", &[x, weight], &[]).unwrap();
        graph.add("Add", &[bias, product], &[]).unwrap()
    };
    let hidden = dense(x, "body", FEATURES);
    let scores = dense(hidden, "classifier", 3);
    let chances = graph.add("Softmax", &[scores], &[("axis", (-1).into())]).unwrap();
    graph.set_outputs(&[chances]);
    Model::from_bytes(graph.to_onnx("tagger")).unwrap()
}

fn program(loss: &str) -> TrainingProgram {
    let loss = Loss::choose(standard(), &Choice::new(loss, json!({})), "training.loss").unwrap();
    let wanted =
        FineTuning { loss, train: TrainSelection::All, ..FineTuning::head(AxisLength::Named("batch".into()), CLASSES) };
    compile(&tagger(), &wanted, &OperatorCatalog::standard()).unwrap()
}

fn inputs(
    program: &TrainingProgram,
    parameters: &[Vec<f32>],
    [rows, sequence]: [usize; 2],
    (x, classes): (&[f32], &[i64]),
) -> Vec<(String, DynValue)> {
    let targets = Tensor::from_array(([rows, sequence], classes.to_vec())).unwrap().into_dyn();
    let mut inputs = vec![
        ("x".to_owned(), floats(&[rows, sequence, FEATURES], x)),
        (program.manifest.targets[0].name.clone(), targets),
    ];
    for (entry, values) in program.manifest.parameters.iter().zip(parameters) {
        inputs.push((entry.name.clone(), floats(&entry.shape, values)));
    }
    inputs
}

/// Mean of −log p of the tokens that count, from scores `[rows, sequence, classes]`.
fn reference(scores: &[f32], classes: &[i64]) -> f64 {
    let counted = scores.chunks(CLASSES).zip(classes).filter(|(_, class)| **class >= 0);
    let of_token = |(scores, class): (&[f32], &i64)| {
        let total: f64 = scores.iter().map(|score| f64::from(*score).exp()).sum();
        total.ln() - f64::from(scores[*class as usize])
    };
    let losses: Vec<f64> = counted.map(of_token).collect();
    losses.iter().sum::<f64>() / losses.len() as f64
}

#[test]
fn tokens_are_trained_at_any_length_and_those_that_are_padding_do_not_count() {
    if !onnx_runtime::available() {
        return;
    }
    let program = program("sparse_cross_entropy");
    let shape = |entry: &millstream_schemas::TensorEntry| {
        entry.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(shape(&program.manifest.targets[0]), "batch, sequence");
    assert_eq!(shape(&program.manifest.prediction), format!("batch, {CLASSES}, sequence"));
    let mut step = session(&program.step().unwrap().to_vec());
    for (lengths, classes) in [
        ([2, 4], vec![0, 4, -100, -100, 1, 2, 3, -100]),
        ([2, CLASSES], vec![-100, 4, 0, 0, 3, 1, 2, 3, -100, -100]),
        ([3, 1], vec![2, -100, 0]),
    ] {
        let [rows, sequence] = lengths;
        let x = numbers(rows * sequence * FEATURES, 1);
        let mut compute =
            |parameters: &[Vec<f32>], x: &[f32]| run(&mut step, inputs(&program, parameters, lengths, (x, &classes)));
        let outputs = compute(&program.parameters, &x);
        let exported = program.export(&program.parameters, &[]).unwrap();
        let chances =
            run(&mut session(&exported.to_vec()), vec![("x".to_owned(), floats(&[rows, sequence, FEATURES], &x))]);
        let scores: Vec<f32> = chances[0].iter().map(|chance| chance.ln()).collect();
        let wanted = reference(&scores, &classes);
        assert!((f64::from(outputs[0][0]) - wanted).abs() < 1e-5, "{lengths:?}: {}, wanted {wanted}", outputs[0][0]);
        let counted = classes.iter().filter(|class| **class >= 0).count();
        assert_eq!(outputs[2], [counted as f32], "what the mean is over");
        // what stands at padding changes neither the loss nor a gradient
        let mut other = x.clone();
        for (vector, _) in other.chunks_mut(FEATURES).zip(&classes).filter(|(_, class)| **class < 0) {
            vector.fill(9.0);
        }
        let again = compute(&program.parameters, &other);
        let gradients = |outputs: &[Vec<f32>]| outputs[3..].concat();
        assert_eq!((again[0][0], gradients(&again)), (outputs[0][0], gradients(&outputs)), "{lengths:?}");
        // along the gradient the slope is its squared length
        let square: f64 = gradients(&outputs).iter().map(|slope| f64::from(*slope).powi(2)).sum();
        let step_size = 1e-2 / square.sqrt();
        let mut moved = |sign: f64| {
            let pairs = program.parameters.iter().zip(&outputs[3..]);
            let move_one = |(value, slope): (&f32, &f32)| value + (sign * step_size * f64::from(*slope)) as f32;
            let parameters: Vec<Vec<f32>> = pairs.map(|(p, g)| p.iter().zip(g).map(move_one).collect()).collect();
            f64::from(compute(&parameters, &x)[0][0])
        };
        let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step_size);
        assert!((slope - square).abs() < 2e-3 * square, "{lengths:?}: slope {slope}, squared gradient {square}");
    }
}

#[test]
fn the_focal_loss_of_tokens_is_compiled_too_and_evaluation_reads_classes_as_training_does() {
    if !onnx_runtime::available() {
        return;
    }
    let program = program("sparse_focal");
    assert_eq!(program.manifest.targets[0].shape.len(), 2);
    let exported = Model::from_bytes(program.export(&program.parameters, &[]).unwrap().to_vec()).unwrap();
    let scoring =
        exported.evaluated(None, PredictionKind::ClassScores, Some(CLASSES), &OperatorCatalog::standard()).unwrap();
    let [rows, sequence] = [2, 3];
    let x = numbers(rows * sequence * FEATURES, 1);
    let mut evaluated = session(&scoring.model.file().to_vec());
    let at = evaluated.outputs().iter().position(|output| output.name() == scoring.scores).unwrap();
    let scores = run(&mut evaluated, vec![("x".to_owned(), floats(&[rows, sequence, FEATURES], &x))]).swap_remove(at);
    let classes = [0, 1, 2, 3, 4, 0];
    let outputs = run(
        &mut session(&program.step().unwrap().to_vec()),
        inputs(&program, &program.parameters, [rows, sequence], (&x, &classes)),
    );
    assert_eq!(scores, outputs[1], "the scores that training computes its loss from");
}
