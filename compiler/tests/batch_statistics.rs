//! BatchNormalization in training mode does what PyTorch's does.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;

use std::collections::BTreeMap;

use millstream_compiler::graph::{Attribute, Constant, Graph, Length, TensorType};
use millstream_compiler::losses::standard;
use millstream_compiler::{FineTuning, HeadChoice, Loss, Model, OperatorCatalog, TrainingProgram, compile};
use millstream_schemas::recipe::{BatchNormalization, StatisticsTransforms, TrainSelection};
use millstream_schemas::{AxisLength, Choice};
use onnx_runtime::{floats, run, session};
use ort::value::{DynValue, Tensor};
use serde_json::json;

const ROWS: usize = 4;

fn numbers(count: usize, factor: usize, first: usize, scale: f32, shift: f32) -> Vec<f32> {
    (0..count).map(|index| (((index * factor + first) % 23) as f32 / 23.0 - 0.5) * scale + shift).collect()
}

/// `x` [batch, 2, 3, 2] → convolution → batch normalization → ReLU → mean → a layer of 2 classes.
fn network() -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([Length::named("batch"), 2.into(), 3.into(), 2.into()]));
    let mut constant =
        |name: &str, shape: &[usize], values: Vec<f32>| graph.constant(name, Constant::f32(shape.to_vec(), &values));
    let kernel = constant("conv.weight", &[3, 2, 1, 1], numbers(6, 7, 3, 2.0, 0.0));
    let scale = constant("bn.weight", &[3], numbers(3, 5, 20, 1.0, 1.0));
    let bias = constant("bn.bias", &[3], numbers(3, 11, 2, 1.0, 0.0));
    let mean = constant("bn.running_mean", &[3], numbers(3, 3, 1, 1.0, 0.0));
    let variance = constant("bn.running_var", &[3], numbers(3, 9, 4, 1.0, 1.0));
    let matrix = constant("fc.weight", &[2, 3], numbers(6, 13, 5, 2.0, 0.0));
    let shift = constant("fc.bias", &[2], numbers(2, 1, 9, 1.0, 0.0));
    let value = graph.add("Conv", &[x, kernel], &[]).unwrap();
    let settings = [("epsilon", Attribute::Float(1e-3)), ("momentum", Attribute::Float(0.8))];
    let value = graph.add("BatchNormalization", &[value, scale, bias, mean, variance], &settings).unwrap();
    let value = graph.add("Relu", &[value], &[]).unwrap();
    let value = graph.add("GlobalAveragePool", &[value], &[]).unwrap();
    let value = graph.add("Flatten", &[value], &[]).unwrap();
    let value = graph.add("Gemm", &[value, matrix, shift], &[("transB", 1.into())]).unwrap();
    graph.output(value);
    Model::from_bytes(graph.to_onnx("network")).unwrap()
}

fn compiled(batch: AxisLength, batch_normalization: BatchNormalization) -> TrainingProgram {
    let wanted = FineTuning {
        head: HeadChoice::keep(),
        train: TrainSelection::All,
        batch_normalization,
        batch,
        ..FineTuning::head(ROWS, 2)
    };
    compile(&network(), &wanted, &OperatorCatalog::standard()).unwrap()
}

/// Outputs of a graph by name, for four rows of which the third has no weight.
fn ran(graph: &[u8], program: &TrainingProgram) -> BTreeMap<String, Vec<f32>> {
    let targets = floats(&[ROWS, 2], &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    ran_with(graph, program, targets)
}

/// The same with these targets.
fn ran_with(graph: &[u8], program: &TrainingProgram, targets: DynValue) -> BTreeMap<String, Vec<f32>> {
    let mut session = session(graph);
    let mut inputs = vec![
        ("x".to_owned(), floats(&[ROWS, 2, 3, 2], &numbers(ROWS * 12, 37, 11, 4.0, 0.0))),
        ("targets".to_owned(), targets),
    ];
    let parameters = program.manifest.parameters.iter().zip(&program.parameters);
    inputs.extend(parameters.map(|(entry, values)| (entry.name.clone(), floats(&entry.shape, values))));
    let names: Vec<String> = session.outputs().iter().map(|output| output.name().to_owned()).collect();
    names.into_iter().zip(run(&mut session, inputs)).collect()
}

#[track_caller]
fn assert_close(got: &[f32], wanted: &[f32]) {
    assert_eq!(got.len(), wanted.len());
    let far = got.iter().zip(wanted).any(|(got, wanted)| (got - wanted).abs() > 3e-6_f32.max(wanted.abs() * 1e-5));
    assert!(!far, "{got:?}, wanted {wanted:?}");
}

/// `torch.nn.Sequential(Conv2d(2, 3, 1, bias=False), BatchNorm2d(3, eps=1e-3, momentum=0.2), ReLU(), AdaptiveAvgPool2d(1), Flatten(),
/// Linear(3, 2)).double().train()` with these weights, on the three rows that have weight, by `cross_entropy` and `backward`.
#[test]
fn a_step_by_the_batch_is_the_one_of_pytorch_on_the_rows_that_have_weight() {
    if !onnx_runtime::available() {
        return;
    }
    for batch in [ROWS.into(), AxisLength::from("batch")] {
        let program = compiled(batch, BatchNormalization::Training);
        let got = ran(&program.step().unwrap().to_vec(), &program);
        assert_close(&got["loss"], &[0.599_124_3]);
        let gradients: [(&str, &[f32]); 4] = [
            ("conv.weight", &[-0.020_745_6, 0.120_07, -0.005_568_98, -0.002_929_91, -0.020_449, -0.020_189_4]),
            ("bn.weight", &[-0.145_453, 0.036_502_1, 0.032_450_7]),
            ("bn.bias", &[-0.189_456, 0.045_961_8, 0.022_980_9]),
            ("fc.weight", &[0.086_936, 0.040_122_9, 0.025_645_6, -0.086_936, -0.040_122_9, -0.025_645_6]),
        ];
        for (name, wanted) in gradients {
            assert_close(&got[&format!("{name}.gradient")], wanted);
        }
        assert_close(&got["bn.running_mean.next"], &[-0.336_82, -0.236_841, -0.160_05]);
        assert_close(&got["bn.running_var.next"], &[0.667_657, 1.239_29, 1.234_96]);
        let statistics = program.manifest.parameters.iter().filter(|entry| entry.is_statistic);
        let named: Vec<_> =
            statistics.map(|entry| (entry.name.as_str(), entry.layer.as_str(), entry.weight_decay)).collect();
        assert_eq!(named, [("bn.running_mean", "bn", false), ("bn.running_var", "bn", false)]);
        assert_eq!(program.trained, 6 + 6 + 8);
        assert!(program.notes[0].contains("1 BatchNormalization node in trained layers"), "{:?}", program.notes);
    }
}

/// The loss takes no weights, and its targets sum to none: a row that is ignored everywhere has no part in the statistics.
#[test]
fn rows_whose_class_is_ignored_are_left_out_of_the_statistics_of_the_batch() {
    if !onnx_runtime::available() {
        return;
    }
    for (options, ignored) in [(json!({}), -100), (json!({ "ignore_index": -1 }), -1)] {
        let choice = Choice::new("sparse_cross_entropy", options);
        let loss = Loss::choose(standard(), &choice, "training.loss").unwrap();
        let wanted = FineTuning {
            head: HeadChoice::keep(),
            train: TrainSelection::All,
            batch_normalization: BatchNormalization::Training,
            loss,
            ..FineTuning::head(ROWS, 2)
        };
        let program = compile(&network(), &wanted, &OperatorCatalog::standard()).unwrap();
        let targets = Tensor::from_array(([ROWS], vec![0i64, 1, ignored, 1])).unwrap().into_dyn();
        let got = ran_with(&program.step().unwrap().to_vec(), &program, targets);
        assert_close(&got["loss"], &[0.599_124_3]);
        assert_close(&got["bn.running_mean.next"], &[-0.336_82, -0.236_841, -0.160_05]);
        assert_close(&got["bn.running_var.next"], &[0.667_657, 1.239_29, 1.234_96]);
    }
}

#[test]
fn evaluation_and_export_use_the_running_statistics() {
    if !onnx_runtime::available() {
        return;
    }
    let frozen = compiled(ROWS.into(), BatchNormalization::Frozen);
    assert!(frozen.manifest.parameters.iter().all(|entry| !entry.is_statistic));
    let mut program = compiled(ROWS.into(), BatchNormalization::Training);
    let evaluated = |program: &TrainingProgram| ran(&program.evaluation().unwrap().to_vec(), program);
    assert_eq!(evaluated(&program)["loss"], evaluated(&frozen)["loss"]);
    // other statistics are other scores, the same in the evaluation and in the tuned model
    let count = program.parameters.len();
    program.parameters[count - 2] = vec![0.25, -0.5, 0.125];
    program.parameters[count - 1] = vec![0.5, 2.0, 3.0];
    let evaluated = evaluated(&program);
    let tuned = program.export(&program.parameters, &[]).unwrap().to_vec();
    let x = floats(&[ROWS, 2, 3, 2], &numbers(ROWS * 12, 37, 11, 4.0, 0.0));
    let scores = run(&mut session(&tuned), vec![("x".into(), x)]).remove(0);
    assert_close(&scores, &evaluated[&program.manifest.prediction.name]);
    assert_ne!(evaluated["loss"], ran(&frozen.evaluation().unwrap().to_vec(), &frozen)["loss"]);
}

/// Mean and variance of the batch that PyTorch's running ones have followed, above.
#[test]
fn statistics_of_a_batch_are_given_alone_where_they_are_to_be_computed_anew() {
    if !onnx_runtime::available() {
        return;
    }
    let reestimated = BatchNormalization::Reestimated { rows: None, transforms: StatisticsTransforms::Train };
    for batch in [ROWS.into(), AxisLength::from("batch")] {
        let (program, followed) = (compiled(batch.clone(), reestimated), compiled(batch, BatchNormalization::Training));
        assert!(followed.batch_statistics().unwrap().is_none());
        assert_eq!(program.step().unwrap().to_vec(), followed.step().unwrap().to_vec());
        let got = ran(&program.batch_statistics().unwrap().unwrap().to_vec(), &program);
        assert_eq!(got.len(), 2);
        let next: [(&str, &[f32]); 2] = [
            ("bn.running_mean", &[-0.336_82, -0.236_841, -0.160_05]),
            ("bn.running_var", &[0.667_657, 1.239_29, 1.234_96]),
        ];
        for (name, next) in next {
            let at = program.manifest.parameters.iter().position(|entry| entry.name == name).unwrap();
            let before = program.parameters[at].iter();
            let wanted: Vec<f32> = next.iter().zip(before).map(|(next, before)| (next - 0.8 * before) / 0.2).collect();
            for (got, wanted) in got[&format!("{name}.of_batch")].iter().zip(&wanted) {
                assert!((got - wanted).abs() < 2e-5, "{name}: {got}, wanted {wanted}");
            }
        }
        assert!(program.notes[0].contains("`train` computes those of what it exports anew"), "{:?}", program.notes);
    }
}

#[test]
fn a_model_without_trained_normalizations_cannot_normalize_by_the_batch() {
    let wanted = FineTuning { batch_normalization: BatchNormalization::Training, ..FineTuning::head(ROWS, 2) };
    let refused = compile(&network(), &wanted, &OperatorCatalog::standard()).unwrap_err().to_string();
    assert!(refused.contains("batch_normalization: frozen") && refused.contains("in no trained layer"), "{refused}");
}
