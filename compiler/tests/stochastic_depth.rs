//! Stochastic depth in training: masks come from outside, and loss and gradients are those of the branches that they leave.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;

use std::collections::BTreeMap;

use millstream_compiler::graph::{Attribute, Constant, Graph, Length, TensorType};
use millstream_compiler::{CompilerError, FineTuning, HeadChoice, Model, OperatorCatalog, TrainingProgram, compile};
use millstream_schemas::AxisLength;
use millstream_schemas::recipe::{DepthMode, DepthSchedule, StochasticDepthRecipe, TrainSelection};
use onnx_runtime::{floats, run, session};
use ort::value::Tensor;

const ROWS: usize = 3;
const WIDTH: usize = 4;
const BRANCHES: usize = 3;

fn numbers(count: usize, factor: usize, first: usize) -> Vec<f32> {
    (0..count).map(|index| ((index * factor + first) % 23) as f32 / 11.5 - 1.0).collect()
}

fn weights(branch: usize) -> Vec<f32> {
    numbers(WIDTH * WIDTH, 7, 3 + branch)
}

fn head() -> Vec<f32> {
    numbers(WIDTH * 2, 13, 5)
}

/// `x` [batch, 4] → three times x + tanh(x·w) → a layer of 2 numbers.
fn network() -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let mut value = graph.input("x", TensorType::f32([Length::named("batch"), WIDTH.into()]));
    for branch in 0..BRANCHES {
        let weight = graph.constant(&format!("{branch}.weight"), Constant::f32([WIDTH, WIDTH], &weights(branch)));
        let product = graph.add("MatMul", &[value, weight], &[]).unwrap();
        let end = graph.add("Tanh", &[product], &[]).unwrap();
        // on either side
        let operands = if branch == 1 { [end, value] } else { [value, end] };
        value = graph.add("Add", &operands, &[]).unwrap();
    }
    let weight = graph.constant("head.weight", Constant::f32([WIDTH, 2], &head()));
    let scores = graph.add("MatMul", &[value, weight], &[]).unwrap();
    graph.output(scores);
    Model::from_bytes(graph.to_onnx("network")).unwrap()
}

fn wanted(batch: AxisLength, mode: DepthMode, schedule: DepthSchedule) -> FineTuning {
    FineTuning {
        head: HeadChoice::keep(),
        train: TrainSelection::All,
        stochastic_depth: Some(StochasticDepthRecipe { probability: 0.5, mode, schedule }),
        batch,
        ..FineTuning::head(ROWS, 2)
    }
}

fn compiled(mode: DepthMode, schedule: DepthSchedule) -> TrainingProgram {
    compile(&network(), &wanted("batch".into(), mode, schedule), &OperatorCatalog::standard()).unwrap()
}

fn data() -> Vec<f32> {
    numbers(ROWS * WIDTH, 5, 2)
}

/// Outputs of the step by name.
fn ran(program: &TrainingProgram, parameters: &[Vec<f32>], masks: &[Vec<bool>]) -> BTreeMap<String, Vec<f32>> {
    let mut session = session(&program.step().unwrap().to_vec());
    let mut inputs = vec![
        ("x".to_owned(), floats(&[ROWS, WIDTH], &data())),
        ("targets".to_owned(), floats(&[ROWS, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 0.0])),
    ];
    let entries = program.manifest.parameters.iter().zip(parameters);
    inputs.extend(entries.map(|(entry, values)| (entry.name.clone(), floats(&entry.shape, values))));
    assert_eq!(program.manifest.masks.len(), masks.len());
    for (entry, mask) in program.manifest.masks.iter().zip(masks) {
        inputs.push((entry.name.clone(), Tensor::from_array(([mask.len()], mask.clone())).unwrap().into_dyn()));
    }
    let names: Vec<String> = session.outputs().iter().map(|output| output.name().to_owned()).collect();
    names.into_iter().zip(run(&mut session, inputs)).collect()
}

/// The scores of a row, what branches add times these factors.
fn by_hand(row: usize, factors: &[f32]) -> Vec<f32> {
    let mut value = data()[row * WIDTH..(row + 1) * WIDTH].to_vec();
    for (branch, factor) in factors.iter().enumerate() {
        let weights = weights(branch);
        let end = |to: usize| (0..WIDTH).map(|from| value[from] * weights[from * WIDTH + to]).sum::<f32>().tanh();
        value = (0..WIDTH).map(|to| value[to] + factor * end(to)).collect();
    }
    let head = head();
    (0..2).map(|class| (0..WIDTH).map(|from| value[from] * head[from * 2 + class]).sum()).collect()
}

#[track_caller]
fn assert_close(got: &[f32], wanted: &[f32]) {
    assert_eq!(got.len(), wanted.len());
    let far = got.iter().zip(wanted).any(|(got, wanted)| (got - wanted).abs() > 1e-5);
    assert!(!far, "{got:?}, wanted {wanted:?}");
}

#[test]
fn loss_and_gradients_are_those_of_the_branches_that_the_masks_leave() {
    if !onnx_runtime::available() {
        return;
    }
    let (t, f) = (true, false);
    type Row = (DepthMode, DepthSchedule, Vec<Vec<bool>>, [[f32; BRANCHES]; ROWS]);
    let rows: [Row; 3] = [
        // of three branches a linear schedule leaves out 0, a quarter and a half: the first has no mask
        (
            DepthMode::Row,
            DepthSchedule::Linear,
            vec![vec![t, f, t], vec![f, t, t]],
            [[1.0, 4.0 / 3.0, 0.0], [1.0, 0.0, 2.0], [1.0, 4.0 / 3.0, 2.0]],
        ),
        (
            DepthMode::Row,
            DepthSchedule::Constant,
            vec![vec![f, t, t], vec![t, t, f], vec![t, f, f]],
            [[0.0, 2.0, 2.0], [2.0, 2.0, 0.0], [2.0, 0.0, 0.0]],
        ),
        (DepthMode::Batch, DepthSchedule::Linear, vec![vec![f], vec![t]], [[1.0, 0.0, 2.0]; ROWS]),
    ];
    for (mode, schedule, masks, factors) in rows {
        let program = compiled(mode, schedule);
        let got = ran(&program, &program.parameters, &masks);
        let scores: Vec<f32> = factors.iter().enumerate().flat_map(|(row, factors)| by_hand(row, factors)).collect();
        assert_close(&got[&program.manifest.prediction.name], &scores);
        for (at, entry) in program.manifest.parameters.iter().enumerate() {
            for element in 0..program.parameters[at].len() {
                let moved = |by: f32| {
                    let mut parameters = program.parameters.clone();
                    parameters[at][element] += by;
                    f64::from(ran(&program, &parameters, &masks)["loss"][0])
                };
                let wanted = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                let got = f64::from(got[&entry.gradient][element]);
                assert!((got - wanted).abs() < 2e-3, "{mode:?} {} {element}: {got}, wanted {wanted}", entry.name);
            }
        }
    }
}

#[test]
fn masks_are_of_rows_or_of_batches_and_their_shares_grow_with_the_depth() {
    let masks = |program: &TrainingProgram| -> Vec<String> {
        program.manifest.masks.iter().map(|mask| format!("{:?} {}", mask.shape, mask.keep)).collect()
    };
    let program = compiled(DepthMode::Row, DepthSchedule::Linear);
    assert_eq!(masks(&program), ["[batch] 0.75", "[batch] 0.5"]);
    let note = "3 residual branches are left out in training, of each row with a probability of 0 at the first to 0.5 at the last";
    assert!(program.notes.contains(&note.to_owned()), "{:?}", program.notes);
    let program = compiled(DepthMode::Batch, DepthSchedule::Constant);
    assert_eq!(masks(&program), ["[1] 0.5", "[1] 0.5", "[1] 0.5"]);
    let note = "3 residual branches are left out in training, of each batch with a probability of 0.5";
    assert!(program.notes.contains(&note.to_owned()), "{:?}", program.notes);
    let fixed = wanted(ROWS.into(), DepthMode::Row, DepthSchedule::Linear);
    let program = compile(&network(), &fixed, &OperatorCatalog::standard()).unwrap();
    assert_eq!(masks(&program), ["[3] 0.75", "[3] 0.5"]);
}

#[test]
fn evaluation_and_the_exported_model_have_all_branches() {
    if !onnx_runtime::available() {
        return;
    }
    let program = compiled(DepthMode::Row, DepthSchedule::Constant);
    let wanted: Vec<f32> = (0..ROWS).flat_map(|row| by_hand(row, &[1.0; BRANCHES])).collect();
    let tuned = program.export(&program.parameters, &[]).unwrap().to_vec();
    let scores = run(&mut session(&tuned), vec![("x".to_owned(), floats(&[ROWS, WIDTH], &data()))]).remove(0);
    assert_close(&scores, &wanted);
    let mut evaluation = session(&program.evaluation().unwrap().to_vec());
    assert!(evaluation.inputs().iter().all(|input| !input.name().ends_with("mask")));
    let mut inputs = vec![
        ("x".to_owned(), floats(&[ROWS, WIDTH], &data())),
        ("targets".to_owned(), floats(&[ROWS, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 0.0])),
    ];
    let entries = program.manifest.parameters.iter().zip(&program.parameters);
    inputs.extend(entries.map(|(entry, values)| (entry.name.clone(), floats(&entry.shape, values))));
    let got = run(&mut evaluation, inputs);
    assert!(got.contains(&scores), "{got:?}, wanted {scores:?} among them");
}

/// Tokens first: `x` [batch, 3, 4], turned, one branch, turned back, the mean of the tokens.
fn tokens_first() -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([Length::named("batch"), 3.into(), WIDTH.into()]));
    let turn = || [("perm", Attribute::Ints(vec![1, 0, 2]))];
    let turned = graph.add("Transpose", &[x], &turn()).unwrap();
    let weight = graph.constant("body.weight", Constant::f32([WIDTH, WIDTH], &weights(0)));
    let end = graph.add("MatMul", &[turned, weight], &[]).unwrap();
    let sum = graph.add("Add", &[turned, end], &[]).unwrap();
    let back = graph.add("Transpose", &[sum], &turn()).unwrap();
    let mean = [("axes", vec![1].into()), ("keepdims", 0.into())];
    let mean = graph.add("ReduceMean", &[back], &mean).unwrap();
    let weight = graph.constant("head.weight", Constant::f32([WIDTH, 2], &head()));
    let scores = graph.add("MatMul", &[mean, weight], &[]).unwrap();
    graph.output(scores);
    Model::from_bytes(graph.to_onnx("network")).unwrap()
}

#[test]
fn a_model_without_branches_or_with_rows_elsewhere_is_refused_with_the_reason() {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([Length::named("batch"), WIDTH.into()]));
    let weight = graph.constant("head.weight", Constant::f32([WIDTH, 2], &head()));
    let scores = graph.add("MatMul", &[x, weight], &[]).unwrap();
    graph.output(scores);
    let plain = Model::from_bytes(graph.to_onnx("network")).unwrap();
    let tried = |model: &Model, mode| {
        compile(model, &wanted("batch".into(), mode, DepthSchedule::Linear), &OperatorCatalog::standard())
    };
    for (model, wanted) in [
        (plain, "no addition joins a value with what layers make of it; leave it out"),
        (tokens_first(), "1 residual branch of the model has its rows on another axis than the first"),
    ] {
        let error = tried(&model, DepthMode::Row).unwrap_err();
        assert!(
            matches!(&error, CompilerError::Setting { place, .. } if place == "model.stochastic_depth"),
            "{error:?}"
        );
        assert!(error.to_string().contains(wanted), "{error}");
    }
    // a single branch has the whole share
    let program = tried(&tokens_first(), DepthMode::Batch).unwrap();
    assert_eq!(program.manifest.masks[0].keep, 0.5);
}
