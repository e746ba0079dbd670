//! Dropout in training: masks come from outside, and loss and gradients are those of what they leave.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;

use std::collections::BTreeMap;

use millstream_compiler::finetuning::FeatureHead;
use millstream_compiler::graph::{Constant, ElementType, Graph, Length, TensorType};
use millstream_compiler::{CompilerError, FineTuning, HeadChoice, Model, OperatorCatalog, TrainingProgram, compile};
use millstream_schemas::AxisLength;
use millstream_schemas::recipe::{DropoutMode, TrainSelection};
use onnx_runtime::{floats, run, session};
use ort::value::Tensor;

const ROWS: usize = 2;
const TOKENS: usize = 3;
const RATE: f32 = 0.25;

fn numbers(count: usize, factor: usize, first: usize) -> Vec<f32> {
    (0..count).map(|index| ((index * factor + first) % 23) as f32 / 11.5 - 1.0).collect()
}

/// `x` [batch, 3, 2] → a matrix to [batch·3, 4] → ReLU → dropout → a layer of 2 numbers → the mean of the tokens.
fn network(training_mode: Option<bool>) -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([Length::named("batch"), TOKENS.into(), 2.into()]));
    let mut constant =
        |name: &str, shape: &[usize], values: Vec<f32>| graph.constant(name, Constant::f32(shape.to_vec(), &values));
    let first = constant("first.weight", &[2, 4], numbers(8, 7, 3));
    let last = constant("last.weight", &[4, 2], numbers(8, 13, 5));
    let rate = constant("rate", &[], vec![RATE]);
    let mut inputs = vec![rate];
    let mode = |on: bool| Constant { dtype: ElementType::Bool, shape: vec![], bytes: vec![u8::from(on)].into() };
    inputs.extend(training_mode.map(|on| graph.constant("mode", mode(on))));
    let lengths = graph.constant("lengths", Constant::i64([2], &[-1, 2]));
    let value = graph.add("Reshape", &[x, lengths], &[]).unwrap();
    let value = graph.add("MatMul", &[value, first], &[]).unwrap();
    let value = graph.add("Relu", &[value], &[]).unwrap();
    let value = graph.add("Dropout", &[&[value][..], &inputs].concat(), &[]).unwrap();
    let value = graph.add("MatMul", &[value, last], &[]).unwrap();
    let lengths = graph.constant("tokens", Constant::i64([3], &[-1, TOKENS as i64, 2]));
    let value = graph.add("Reshape", &[value, lengths], &[]).unwrap();
    let value = graph.add("ReduceMean", &[value], &[("axes", vec![1].into()), ("keepdims", 0.into())]).unwrap();
    graph.output(value);
    Model::from_bytes(graph.to_onnx("network")).unwrap()
}

fn wanted(dropout: DropoutMode) -> FineTuning {
    let inputs = BTreeMap::from([("x".to_owned(), vec!["batch".into(), TOKENS.into(), 2.into()])]);
    let batch = AxisLength::from("batch");
    FineTuning {
        head: HeadChoice::keep(),
        train: TrainSelection::All,
        dropout,
        batch,
        inputs,
        ..FineTuning::head(ROWS, 2)
    }
}

fn data() -> Vec<f32> {
    numbers(ROWS * TOKENS * 2, 5, 2)
}

const MASK: [bool; 24] = {
    let (t, f) = (true, false);
    [t, f, t, t, f, t, t, t, t, t, f, f, t, t, t, t, f, t, t, f, t, t, t, t]
};

/// Outputs of the step by name.
fn ran(program: &TrainingProgram, parameters: &[Vec<f32>], mask: &[bool]) -> BTreeMap<String, Vec<f32>> {
    let mut session = session(&program.step().unwrap().to_vec());
    let mut inputs = vec![
        ("x".to_owned(), floats(&[ROWS, TOKENS, 2], &data())),
        ("targets".to_owned(), floats(&[ROWS, 2], &[1.0, 0.0, 0.0, 1.0])),
    ];
    let entries = program.manifest.parameters.iter().zip(parameters);
    inputs.extend(entries.map(|(entry, values)| (entry.name.clone(), floats(&entry.shape, values))));
    let [entry] = program.manifest.masks.as_slice() else { panic!("{:?}", program.manifest.masks) };
    let mask = Tensor::from_array(([ROWS, TOKENS, 4], mask.to_vec())).unwrap();
    inputs.push((entry.name.clone(), mask.into_dyn()));
    let names: Vec<String> = session.outputs().iter().map(|output| output.name().to_owned()).collect();
    names.into_iter().zip(run(&mut session, inputs)).collect()
}

#[test]
fn loss_and_gradients_are_those_of_what_the_masks_leave() {
    if !onnx_runtime::available() {
        return;
    }
    let program = compile(&network(None), &wanted(DropoutMode::Live), &OperatorCatalog::standard()).unwrap();
    let mask = &program.manifest.masks[0];
    assert_eq!((format!("{:?}", mask.shape), mask.keep), ("[batch, 3, 4]".to_owned(), 0.75));
    assert!(
        program.notes.iter().any(|note| note.contains("1 Dropout node of the model's file drop")),
        "{:?}",
        program.notes
    );
    let got = ran(&program, &program.parameters, &MASK);
    // by hand
    let (x, first, last) = (data(), numbers(8, 7, 3), numbers(8, 13, 5));
    let mut scores = vec![0.0; ROWS * 2];
    for token in 0..ROWS * TOKENS {
        for hidden in 0..4 {
            let value: f32 = (0..2).map(|at| x[token * 2 + at] * first[at * 4 + hidden]).sum();
            let value = if MASK[token * 4 + hidden] { value.max(0.0) / (1.0 - RATE) } else { 0.0 };
            for class in 0..2 {
                scores[token / TOKENS * 2 + class] += value * last[hidden * 2 + class] / TOKENS as f32;
            }
        }
    }
    for (got, wanted) in got[&program.manifest.prediction.name].iter().zip(&scores) {
        assert!((got - wanted).abs() < 1e-5, "{got}, wanted {wanted}");
    }
    for (at, entry) in program.manifest.parameters.iter().enumerate() {
        for element in 0..program.parameters[at].len() {
            let moved = |by: f32| {
                let mut parameters = program.parameters.clone();
                parameters[at][element] += by;
                f64::from(ran(&program, &parameters, &MASK)["loss"][0])
            };
            let wanted = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            let got = f64::from(got[&entry.gradient][element]);
            assert!((got - wanted).abs() < 2e-3, "{} {element}: {got}, wanted {wanted}", entry.name);
        }
    }
}

#[test]
fn evaluation_and_the_exported_model_pass_all_on() {
    if !onnx_runtime::available() {
        return;
    }
    let scores = |program: &TrainingProgram| {
        let tuned = program.export(&program.parameters, &[]).unwrap().to_vec();
        run(&mut session(&tuned), vec![("x".to_owned(), floats(&[ROWS, TOKENS, 2], &data()))]).remove(0)
    };
    let compiled = |mode, dropout| compile(&network(mode), &wanted(dropout), &OperatorCatalog::standard()).unwrap();
    let base = scores(&compiled(None, DropoutMode::Off));
    // one that drops in inference too, as files exported for training do
    let trained = compiled(Some(true), DropoutMode::Off);
    assert!(
        trained.notes.iter().any(|note| note.contains("exported for training: 1 Dropout node")),
        "{:?}",
        trained.notes
    );
    for program in [compiled(None, DropoutMode::Live), compiled(Some(true), DropoutMode::Live), trained] {
        assert_eq!(scores(&program), base);
        let mut evaluation = session(&program.evaluation().unwrap().to_vec());
        assert!(evaluation.inputs().iter().all(|input| !input.name().ends_with("mask")));
        let mut inputs = vec![
            ("x".to_owned(), floats(&[ROWS, TOKENS, 2], &data())),
            ("targets".to_owned(), floats(&[ROWS, 2], &[1.0, 0.0, 0.0, 1.0])),
        ];
        let entries = program.manifest.parameters.iter().zip(&program.parameters);
        inputs.extend(entries.map(|(entry, values)| (entry.name.clone(), floats(&entry.shape, values))));
        let got = run(&mut evaluation, inputs);
        assert!(got.contains(&base), "{got:?}, wanted {base:?} among them");
    }
}

#[test]
fn a_new_head_drops_in_front_of_each_of_its_layers() {
    let head = FeatureHead { hidden: vec![5], dropout: 0.1, ..FeatureHead::default() };
    let wanted =
        FineTuning { head: HeadChoice::on_features(head), train: TrainSelection::Head, ..wanted(DropoutMode::Off) };
    let program = compile(&network(None), &wanted, &OperatorCatalog::standard()).unwrap();
    let masks: Vec<String> =
        program.manifest.masks.iter().map(|mask| format!("{:?} {}", mask.shape, mask.keep)).collect();
    assert_eq!(masks, ["[batch, 2] 0.9", "[batch, 5] 0.9"]);
}

#[test]
fn a_model_without_dropout_cannot_drop() {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([ROWS, 2]));
    let weight = graph.constant("weight", Constant::f32([2, 2], &numbers(4, 7, 3)));
    let value = graph.add("MatMul", &[x, weight], &[]).unwrap();
    graph.output(value);
    let model = Model::from_bytes(graph.to_onnx("network")).unwrap();
    let wanted = FineTuning { dropout: DropoutMode::Live, ..FineTuning::head(ROWS, 2) };
    let refused = compile(&model, &wanted, &OperatorCatalog::standard()).unwrap_err();
    assert!(matches!(&refused, CompilerError::Setting { place, .. } if place == "model.dropout"), "{refused:?}");
    assert!(refused.to_string().starts_with("the model has no Dropout node"), "{refused}");
}
