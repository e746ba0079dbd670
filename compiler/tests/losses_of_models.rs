//! Models compiled with losses of other things than classes: what is read of them, how the targets look, what is exported.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;

use millstream_compiler::graph::{Constant, ElementType, Graph, Length, TensorType, ValueId};
use millstream_compiler::losses::{PredictionKind, standard};
use millstream_compiler::{
    CompilerError, FineTuning, HeadChoice, Loss, Model, OperatorCatalog, TrainingProgram, compile,
};
use millstream_schemas::recipe::TrainSelection;
use millstream_schemas::{AxisLength, Choice, TensorEntry};
use onnx_runtime::{floats, run, session};
use ort::session::Session;
use ort::value::{DynValue, Tensor};
use serde_json::{Value, json};

const FEATURES: usize = 4;
const ROWS: usize = 4;
const SEQUENCE: usize = 3;

type Tail = fn(&mut Graph, ValueId) -> Result<ValueId, CompilerError>;

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed * 104_729 + 13) % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// Two linear layers over the last of so many axes, and what follows them.
fn model(axes: usize, outputs: usize, tail: Tail) -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let shape = [Length::named("batch"), Length::named("sequence"), FEATURES.into()];
    let shape = if axes == 2 { vec![shape[0].clone(), shape[2].clone()] } else { shape.to_vec() };
    let mut value = graph.input("x", TensorType::f32(shape));
    for (name, width) in [("body", FEATURES), ("head", outputs)] {
        let weight = Constant::f32([FEATURES, width], &numbers(FEATURES * width, width));
        let weight = graph.constant(&format!("{name}.weight"), weight);
        let bias = graph.constant(&format!("{name}.bias"), Constant::f32([width], &numbers(width, 3)));
        value = graph.add("MatMul", &[value, weight], &[]).unwrap();
        value = graph.add("Add", &[value, bias], &[]).unwrap();
    }
    let output = tail(&mut graph, value).unwrap();
    graph.set_outputs(&[output]);
    Model::from_bytes(graph.to_onnx("model")).unwrap()
}

fn fine_tuning(loss: &str, options: Value, head: HeadChoice, classes: usize) -> FineTuning {
    let loss = Loss::choose(standard(), &Choice::new(loss, options), "training.loss").unwrap();
    let batch = AxisLength::Named("batch".into());
    FineTuning { loss, head, train: TrainSelection::All, ..FineTuning::head(batch, classes) }
}

fn length(axis: &AxisLength) -> usize {
    match axis {
        AxisLength::Fixed(length) => *length,
        AxisLength::Named(name) if name == "batch" => ROWS,
        AxisLength::Named(_) => SEQUENCE,
    }
}

fn tensor(entry: &TensorEntry, of: impl Fn(usize) -> f32) -> (String, DynValue) {
    let shape: Vec<usize> = entry.shape.iter().map(length).collect();
    let values: Vec<f32> = (0..shape.iter().product()).map(of).collect();
    let value = match entry.dtype == ElementType::I64.name() {
        true => Tensor::from_array((shape, values.iter().map(|value| *value as i64).collect::<Vec<_>>()))
            .unwrap()
            .into_dyn(),
        false => floats(&shape, &values),
    };
    (entry.name.clone(), value)
}

/// The loss, the prediction and the gradients of a step whose targets are 0 and 1.
fn step(opened: &mut Session, program: &TrainingProgram, parameters: &[Vec<f32>]) -> (f64, Vec<f32>, Vec<Vec<f32>>) {
    let manifest = &program.manifest;
    let mut inputs = vec![tensor(&manifest.inputs[0], |at| numbers(at + 1, 1)[at])];
    inputs.push(tensor(&manifest.targets[0], |at| (at % 2) as f32));
    inputs.extend(manifest.weights.iter().map(|weights| tensor(weights, |_| 1.0)));
    inputs.extend(manifest.lengths.iter().map(|lengths| tensor(lengths, |_| SEQUENCE as f32)));
    for (entry, values) in manifest.parameters.iter().zip(parameters) {
        inputs.push((entry.name.clone(), floats(&entry.shape, values)));
    }
    let mut outputs = run(opened, inputs);
    let gradients = outputs.split_off(outputs.len() - manifest.parameters.len());
    (f64::from(outputs[0][0]), outputs.swap_remove(1), gradients)
}

fn shape(entry: &TensorEntry) -> String {
    entry.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[test]
fn each_reads_what_it_means_and_its_gradients_are_those_of_the_whole_model() {
    if !onnx_runtime::available() {
        return;
    }
    let bare: Tail = |_, value| Ok(value);
    let sigmoid: Tail = |graph, value| graph.add("Sigmoid", &[value], &[]);
    let softmax: Tail = |graph, value| graph.add("Softmax", &[value], &[("axis", 2.into())]);
    let two_vectors: Tail = |graph, value| {
        let shape = graph.integers(&[0, 2, 3]);
        graph.add("Reshape", &[value, shape], &[])
    };
    let (keep, new) = (HeadChoice::keep, HeadChoice::default);
    // loss, axes of the input, outputs of the head, what follows it, head, classes; targets, whether the exported model
    // gives something else than what the loss reads
    type Row = (&'static str, usize, usize, Tail, HeadChoice, usize, &'static str, bool);
    let rows: [Row; 10] = [
        ("binary_cross_entropy", 2, 3, sigmoid, keep(), 3, "batch, 3", true),
        ("binary_cross_entropy", 2, 3, sigmoid, new(), 5, "batch, 5", true),
        ("binary_cross_entropy", 2, 3, bare, new(), 5, "batch, 5", false),
        ("cosine_embedding", 2, 6, two_vectors, keep(), 0, "batch", false),
        ("cosine_embedding", 2, 6, bare, keep(), 0, "batch, 6", false),
        ("info_nce", 2, 6, bare, keep(), 0, "batch", false),
        ("triplet", 2, 6, bare, keep(), 0, "batch", false),
        ("causal_language_modelling", 3, 5, bare, keep(), 0, "batch, sequence", false),
        ("causal_language_modelling", 3, 5, softmax, keep(), 0, "batch, sequence", true),
        ("ctc", 3, 5, bare, keep(), 0, "batch, target_symbols", false),
    ];
    for (loss, axes, outputs, tail, head, classes, targets, is_bent) in rows {
        let options = match loss {
            "ctc" => json!({"blank": 4}),
            "info_nce" => json!({"temperature": 0.5}),
            _ => json!({}),
        };
        let wanted = fine_tuning(loss, options, head, classes);
        let program = compile(&model(axes, outputs, tail), &wanted, &OperatorCatalog::standard()).unwrap();
        assert_eq!(shape(&program.manifest.targets[0]), targets, "{loss}");
        let mut opened = session(&program.step().unwrap().to_vec());
        let (_, prediction, gradients) = step(&mut opened, &program, &program.parameters);
        let exported = program.export(&program.parameters, &[]).unwrap();
        let x = || vec![tensor(&program.manifest.inputs[0], |at| numbers(at + 1, 1)[at])];
        let given = run(&mut session(&exported.to_vec()), x()).remove(0);
        assert_eq!(given != prediction, is_bent, "{loss}: the exported model keeps what follows its scores");
        let reads = wanted.loss.reads();
        let scoring = Model::from_bytes(exported.to_vec()).unwrap();
        let scoring = scoring.evaluated(None, reads, None, &OperatorCatalog::standard()).unwrap();
        let mut evaluated = session(&scoring.model.file().to_vec());
        let at = evaluated.outputs().iter().position(|output| output.name() == scoring.scores).unwrap();
        assert_eq!(run(&mut evaluated, x())[at], prediction, "{loss}: evaluation reads what training does");
        let square: f64 = gradients.iter().flatten().map(|slope| f64::from(*slope).powi(2)).sum();
        let step_size = 3e-3 / square.sqrt();
        let mut moved = |sign: f64| {
            let move_one = |(value, slope): (&f32, &f32)| value + (sign * step_size * f64::from(*slope)) as f32;
            let pairs = program.parameters.iter().zip(&gradients);
            let parameters: Vec<Vec<f32>> = pairs.map(|(p, g)| p.iter().zip(g).map(move_one).collect()).collect();
            step(&mut opened, &program, &parameters).0
        };
        let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step_size);
        assert!(
            square > 0.0 && (slope - square).abs() < 5e-3 * square,
            "{loss}: slope {slope}, squared gradient {square}"
        );
    }
}

/// Images `[batch, 1, 2, 3]`, each pixel times 2 and 0.5 more, through a sigmoid.
fn one_score_a_pixel() -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let image = graph.input("x", TensorType::f32([Length::named("batch"), 1.into(), 2.into(), 3.into()]));
    let weight = graph.constant("head.weight", Constant::f32([1, 1, 1, 1], &[2.0]));
    let bias = graph.constant("head.bias", Constant::f32([1], &[0.5]));
    let scores = graph.add("Conv", &[image, weight, bias], &[]).unwrap();
    let chances = graph.add("Sigmoid", &[scores], &[]).unwrap();
    graph.set_outputs(&[chances]);
    Model::from_bytes(graph.to_onnx("model")).unwrap()
}

#[test]
fn one_score_a_pixel_has_the_binary_losses_worked_by_hand_on_masks() {
    if !onnx_runtime::available() {
        return;
    }
    static PIXELS: [f32; 6] = [0.5, -1.0, 0.25, 1.5, 7.0, -0.75];
    const CLASSES: [i64; 6] = [1, 0, 0, 1, -100, 1];
    // the chance of the second class, and whether a pixel is of it, where it counts
    let counted = || {
        let pixels = PIXELS.iter().zip(CLASSES).filter(|(_, class)| *class >= 0);
        pixels.map(|(x, class)| (1.0 / (1.0 + (-(2.0 * f64::from(*x) + 0.5)).exp()), class == 1))
    };
    let of_true = |(p, is_second): (f64, bool)| if is_second { p } else { 1.0 - p };
    let mean = |of: &dyn Fn(f64) -> f64| counted().map(of_true).map(of).sum::<f64>() / 5.0;
    let weighed = |(p, is_second)| if is_second { -3.0 * f64::ln(p) } else { -f64::ln(1.0 - p) };
    let apart = |is_second: bool| {
        let chance = |(p, _): (f64, bool)| if is_second { p } else { 1.0 - p };
        let both: f64 = counted().filter(|(_, class)| *class == is_second).map(chance).sum();
        let predicted: f64 = counted().map(chance).sum();
        let there = counted().filter(|(_, class)| *class == is_second).count() as f64;
        1.0 - (2.0 * both + 1.0) / (predicted + there + 1.0)
    };
    let rows = [
        ("sparse_cross_entropy", json!({}), mean(&|p| -p.ln())),
        // three pixels of the second class, two of the first
        ("sparse_cross_entropy", json!({"class_weights": [1, 3]}), counted().map(weighed).sum::<f64>() / 11.0),
        ("sparse_focal", json!({"gamma": 2}), mean(&|p| -(1.0 - p) * (1.0 - p) * p.ln())),
        ("dice", json!({}), (apart(false) + apart(true)) / 2.0),
    ];
    for (loss, options, wanted) in rows {
        let tuning = fine_tuning(loss, options.clone(), HeadChoice::keep(), 2);
        let tuning = FineTuning { prediction_axes: Some(4), ..tuning };
        let program = compile(&one_score_a_pixel(), &tuning, &OperatorCatalog::standard()).unwrap();
        let manifest = &program.manifest;
        assert_eq!(shape(&manifest.prediction), "batch, 2, 2, 3");
        let x = || ("x".to_owned(), floats(&[1, 1, 2, 3], &PIXELS));
        let classes = Tensor::from_array((vec![1_usize, 2, 3], CLASSES.to_vec())).unwrap().into_dyn();
        let mut inputs = vec![x(), (manifest.targets[0].name.clone(), classes)];
        let parameters = manifest.parameters.iter().zip(&program.parameters);
        inputs.extend(parameters.map(|(entry, values)| (entry.name.clone(), floats(&entry.shape, values))));
        let outputs = run(&mut session(&program.step().unwrap().to_vec()), inputs);
        let found = f64::from(outputs[0][0]);
        assert!((found - wanted).abs() < 1e-6 * wanted.max(1.0), "{loss} {options}: {found}, wanted {wanted}");
        let scores = PIXELS.map(|x| 2.0 * x + 0.5);
        assert_eq!(outputs[1], [[0.0; 6], scores].concat());
        if loss == "sparse_cross_entropy" && options == json!({}) {
            // by a score, binary cross-entropy has the slope of the chance less the class
            let slope = |(p, is_second): (f64, bool)| p - f64::from(u8::from(is_second));
            let at = manifest.parameters.iter().position(|entry| entry.shape == [1]).unwrap();
            let gradient = f64::from(outputs[outputs.len() - manifest.parameters.len() + at][0]);
            assert!((gradient - counted().map(slope).sum::<f64>() / 5.0).abs() < 1e-6, "{gradient}");
        }
        // the exported model gives one score as before, and is evaluated as it was trained
        let exported = program.export(&program.parameters, &[]).unwrap().to_vec();
        let given = run(&mut session(&exported), vec![x()]).remove(0);
        let off = given.iter().zip(scores).map(|(found, score)| (found - 1.0 / (1.0 + (-score).exp())).abs());
        assert!(given.len() == 6 && off.fold(0.0, f32::max) < 1e-6, "{given:?}");
        let reads = tuning.loss.reads();
        let scoring = Model::from_bytes(exported).unwrap();
        let scoring = scoring.evaluated_for(None, reads, Some(2), None, &OperatorCatalog::standard()).unwrap();
        let mut evaluated = session(&scoring.model.file().to_vec());
        let at = evaluated.outputs().iter().position(|output| output.name() == scoring.scores).unwrap();
        assert_eq!(run(&mut evaluated, vec![x()])[at], outputs[1]);
    }
}

#[test]
fn what_follows_a_head_and_is_not_of_the_loss_is_refused_or_taken_away() {
    let softmax: Tail = |graph, value| graph.add("Softmax", &[value], &[("axis", 1.into())]);
    let labels = |head| fine_tuning("binary_cross_entropy", json!({}), head, 3);
    let error = compile(&model(2, 3, softmax), &labels(HeadChoice::keep()), &OperatorCatalog::standard()).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("(Softmax)") && error.contains("what it gives is no score any more"), "{error}");
    for (loss, reads) in [("binary_cross_entropy", PredictionKind::LabelScores), ("mse", PredictionKind::Numbers)] {
        let wanted = fine_tuning(loss, json!({}), HeadChoice::default(), 3);
        assert_eq!(wanted.loss.reads(), reads);
        let program = compile(&model(2, 3, softmax), &wanted, &OperatorCatalog::standard()).unwrap();
        assert!(program.notes.iter().any(|note| note.contains("(Softmax)")), "{loss}: {:?}", program.notes);
    }
}
