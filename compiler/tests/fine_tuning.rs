//! Whole models of the corpus: what is trained, whether the gradients are true, whether the export is the model.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;

use std::path::{Path, PathBuf};

use millstream_compiler::losses::PredictionKind;
use millstream_compiler::{
    FineTuning, HeadChoice, Loss, Model, OperatorCatalog, TrainingProgram, compile, describe, losses,
};
use millstream_schemas::Choice;
use millstream_schemas::recipe::TrainSelection;
use onnx_runtime::{floats, run, session};

fn corpus() -> Option<PathBuf> {
    let found = std::env::var_os("MILLSTREAM_CORPUS").map(PathBuf::from);
    if found.is_none() {
        println!("left out: MILLSTREAM_CORPUS is not set");
    }
    found
}

fn model(corpus: &Path, name: &str) -> Model {
    Model::read(&corpus.join("models").join(name).join("model.onnx")).unwrap()
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

fn step_inputs(program: &TrainingProgram, parameters: &[Vec<f32>]) -> Vec<(String, ort::value::DynValue)> {
    let manifest = &program.manifest;
    let mut inputs = Vec::new();
    for input in &manifest.inputs {
        let shape = input.fixed_shape().unwrap();
        inputs.push((input.name.clone(), floats(&shape, &numbers(shape.iter().product(), 3))));
    }
    let [entry] = manifest.targets.as_slice() else { panic!("{:?}", manifest.targets) };
    let shape = entry.fixed_shape().unwrap();
    let (rows, classes) = (shape[0], shape[1]);
    let mut targets = vec![0.0; rows * classes];
    for row in 0..rows {
        targets[row * classes + row % classes] = 1.0;
    }
    inputs.push((entry.name.clone(), floats(&shape, &targets)));
    for (entry, values) in manifest.parameters.iter().zip(parameters) {
        inputs.push((entry.name.clone(), floats(&entry.shape, values)));
    }
    inputs
}

/// Cross-entropy with a tenth of the targets spread.
fn smoothed() -> Loss {
    let choice = Choice::new("cross_entropy", serde_json::json!({"label_smoothing": 0.1}));
    Loss::choose(losses::standard(), &choice, "training.loss").unwrap()
}

/// Model, what is trained, how many numbers that must be; 0 where the other checks say it.
fn rows() -> Vec<(&'static str, TrainSelection, usize)> {
    let matching = |pattern: &str| TrainSelection::Match(vec![pattern.to_owned()]);
    vec![
        ("mobilenet_v2_1.0_224", TrainSelection::Head, 1280 * 5 + 5),
        (
            "mobilenet_v2_1.0_224",
            TrainSelection::Last(4),
            1280 * 5 + 5 + 320 * 1280 + 1280 + 960 * 320 + 320 + 960 * 9 + 960,
        ),
        ("mobilenet_v1_0.25_128", TrainSelection::All, 0),
        ("resnet20_cifar10", TrainSelection::Head, 64 * 5 + 5),
        ("resnet20_cifar10", TrainSelection::All, 0),
        ("resnet20_cifar10_opset20", matching("layer3.*"), 0),
        ("resnet20_cifar10_opset20", TrainSelection::All, 0),
    ]
}

#[test]
fn gradients_of_whole_models_agree_with_differences_of_the_loss() {
    let Some(corpus) = corpus() else { return };
    if !onnx_runtime::available() {
        return;
    }
    for (name, train, _) in rows() {
        let wanted = FineTuning { train: train.clone(), loss: smoothed(), ..FineTuning::head(2, 5) };
        let program = compile(&model(&corpus, name), &wanted, &OperatorCatalog::standard()).unwrap();
        let mut step = session(&program.step().unwrap().to_vec());
        let outputs = run(&mut step, step_inputs(&program, &program.parameters));
        assert!(outputs[0][0].is_finite(), "{name}: loss {}", outputs[0][0]);
        let mut evaluation = session(&program.evaluation().unwrap().to_vec());
        let mut loss =
            |parameters: &[Vec<f32>]| f64::from(run(&mut evaluation, step_inputs(&program, parameters))[0][0]);
        assert!((loss(&program.parameters) - f64::from(outputs[0][0])).abs() < 1e-5);
        // along the gradient itself the slope is its squared length, the largest there is, so rounding matters least
        let gradients = &outputs[2..];
        let square: f64 = gradients.iter().flatten().map(|g| f64::from(*g).powi(2)).sum();
        assert!(square > 0.0, "{name}: all gradients are zero");
        let step_size = 5e-4 / square.sqrt();
        let moved = |sign: f64| -> Vec<Vec<f32>> {
            let pairs = program.parameters.iter().zip(gradients);
            pairs
                .map(|(p, g)| p.iter().zip(g).map(|(p, g)| p + (sign * step_size * f64::from(*g)) as f32).collect())
                .collect()
        };
        let slope = (loss(&moved(1.0)) - loss(&moved(-1.0))) / (2.0 * step_size);
        let error = (slope - square).abs() / square;
        println!("{name} {train:?}: slope {slope:.6}, squared gradient {square:.6}, off by {error:.1e}");
        assert!(error < 2e-2, "{name} {train:?}: slope {slope}, squared gradient {square}");
    }
}

/// The model with another function of four letters in the place of each `Relu`.
fn with_activation(model: &Model, activation: &str) -> Model {
    let scoring = model.evaluated(None, PredictionKind::ClassScores, None, &OperatorCatalog::standard()).unwrap();
    let mut bytes = scoring.model.file().to_vec();
    let (old, new) = (b"\x22\x04Relu", [b"\x22\x04", activation.as_bytes()].concat()); // field 4 of a node: its operator
    let places: Vec<usize> = (0..bytes.len() - old.len()).filter(|at| bytes[*at..].starts_with(old)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + new.len()].copy_from_slice(&new);
    }
    Model::from_bytes(bytes).unwrap()
}

#[test]
fn the_gradient_of_every_parameter_agrees_with_differences_of_the_loss() {
    let Some(corpus) = corpus() else { return };
    if !onnx_runtime::available() {
        return;
    }
    // How far a step changes the loss: less drowns in rounding, more meets curvature. The gates of Relu flip within any
    // step; with a smooth function in its place what is left is rounding, and the tolerance ten times as small.
    let rows = [
        ("resnet20_cifar10", "Relu", 1e-3, 5e-2),
        ("resnet20_cifar10_opset20", "Relu", 1e-3, 5e-2),
        ("resnet20_cifar10", "Tanh", 3e-4, 5e-3),
    ];
    for (name, activation, change, tolerance) in rows {
        let wanted = FineTuning { train: TrainSelection::All, ..FineTuning::head(4, 5) };
        let program =
            compile(&with_activation(&model(&corpus, name), activation), &wanted, &OperatorCatalog::standard())
                .unwrap();
        let gradients =
            run(&mut session(&program.step().unwrap().to_vec()), step_inputs(&program, &program.parameters))
                .split_off(2);
        let mut evaluation = session(&program.evaluation().unwrap().to_vec());
        for (index, entry) in program.manifest.parameters.iter().enumerate() {
            let square: f64 = gradients[index].iter().map(|g| f64::from(*g).powi(2)).sum();
            let step_size = (change / square).min(2e-2 / square.sqrt());
            let mut loss = |sign: f64| {
                let mut moved = program.parameters.clone();
                for (value, g) in moved[index].iter_mut().zip(&gradients[index]) {
                    *value += (sign * step_size * f64::from(*g)) as f32;
                }
                f64::from(run(&mut evaluation, step_inputs(&program, &moved))[0][0])
            };
            let slope = (loss(1.0) - loss(-1.0)) / (2.0 * step_size);
            let error = (slope - square).abs() / square;
            println!("{name}, {activation}, {}: norm {:.1e} off by {error:.1e}", entry.name, square.sqrt());
            assert!(
                error < tolerance,
                "{name}, {activation}, {}: slope {slope}, squared gradient {square}",
                entry.name
            );
        }
    }
}

#[test]
fn the_selection_decides_what_is_trained() {
    let Some(corpus) = corpus() else { return };
    for (name, train, trained) in rows() {
        let wanted = FineTuning { train: train.clone(), ..FineTuning::head(2, 5) };
        let model = model(&corpus, name);
        let program = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap();
        let report = describe(&model, Some(&wanted), &OperatorCatalog::standard()).unwrap();
        assert_eq!(report.trained, program.trained, "{name} {train:?}");
        assert_eq!(report.parameters + report.other_weights, program.trained + program.frozen, "{name} {train:?}");
        if train == TrainSelection::All {
            assert_eq!(program.frozen, 0, "{name}");
        } else if trained > 0 {
            assert_eq!(program.trained, trained, "{name} {train:?}");
        }
    }
}

#[test]
fn an_untrained_export_computes_what_the_model_computed() {
    let Some(corpus) = corpus() else { return };
    if !onnx_runtime::available() {
        return;
    }
    for (name, classes) in [("mobilenet_v1_0.25_128", 1001), ("resnet20_cifar10", 10), ("resnet20_cifar10_opset20", 10)]
    {
        let wanted =
            FineTuning { head: HeadChoice::keep(), train: TrainSelection::All, ..FineTuning::head(3, classes) };
        let path = corpus.join("models").join(name).join("model.onnx");
        let program = compile(&Model::read(&path).unwrap(), &wanted, &OperatorCatalog::standard()).unwrap();
        let exported = program.export(&program.parameters, &[]).unwrap().to_vec();
        let input = &program.manifest.inputs[0];
        let shape = input.fixed_shape().unwrap();
        let image = || vec![(input.name.clone(), floats(&shape, &numbers(shape.iter().product(), 9)))];
        let before = run(&mut session(&std::fs::read(&path).unwrap()), image());
        let after = run(&mut session(&exported), image());
        assert_eq!(before, after, "{name}");
    }
}

#[test]
fn learning_rates_fall_with_the_distance_from_the_head() {
    let Some(corpus) = corpus() else { return };
    let wanted = FineTuning { train: TrainSelection::Last(3), layer_decay: 0.5, ..FineTuning::head(2, 5) };
    let program = compile(&model(&corpus, "mobilenet_v2_1.0_224"), &wanted, &OperatorCatalog::standard()).unwrap();
    let rates: Vec<(&str, f32)> = program
        .manifest
        .parameters
        .iter()
        .map(|entry| (entry.layer.as_str(), entry.learning_rate_multiplier))
        .collect();
    let wanted = [
        ("conv50", 0.25),
        ("conv50", 0.25),
        ("conv51", 0.5),
        ("conv51", 0.5),
        ("classifier", 1.0),
        ("classifier", 1.0),
    ];
    assert_eq!(rates, wanted);
}
