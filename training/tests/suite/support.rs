//! A network and batches small enough to be trained in milliseconds.

use std::convert::Infallible;

use millstream_compiler::graph::{Attribute, Constant, Graph, Length, TensorType};
use millstream_compiler::{FineTuning, HeadChoice, Model, OperatorCatalog, TrainingProgram, compile};
use millstream_runtime::{Device, DeviceKind, DeviceRequest};
use millstream_schemas::recipe::{
    BatchNormalization, DepthMode, DepthSchedule, DropoutMode, Precision, StatisticsTransforms, StochasticDepthRecipe,
    TrainSelection,
};
use millstream_schemas::{Batch, Choice, Fingerprint, ResumePoint, RowId, Tensor};
use millstream_training::optimizers::{self, Optimizer};
use millstream_training::schedules::{self, Schedule};

/// Numbers in a row.
pub(crate) const WIDTH: usize = 8;
/// Rows in a batch.
pub(crate) const BATCH: usize = 6;
/// Classes.
pub(crate) const CLASSES: usize = 3;

/// An optimizer with these options.
pub(crate) fn optimizer(name: &str, options: serde_json::Value) -> Optimizer {
    Optimizer::choose(optimizers::standard(), &Choice::new(name, options), "training.optimizer").unwrap()
}

/// A schedule with these options.
pub(crate) fn schedule(name: &str, options: serde_json::Value) -> Schedule {
    Schedule::choose(schedules::standard(), &Choice::new(name, options), "training.schedule").unwrap()
}

/// Numbers in ±1 that are the same on every machine.
pub(crate) fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// A perceptron with one hidden layer, `x` [batch, 8] → `logits` [batch, 3], as ONNX bytes.
pub(crate) fn model() -> Vec<u8> {
    perceptron(false)
}

/// The perceptron, with its hidden layer normalized and dropped out of, or not.
fn perceptron(is_regularized: bool) -> Vec<u8> {
    const HIDDEN: usize = 16;
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([Length::named("batch"), WIDTH.into()]));
    let scaled = |seed, count| numbers(seed, count).into_iter().map(|value| 0.5 * value).collect::<Vec<_>>();
    let hidden_weight = graph.constant("hidden.weight", Constant::f32([HIDDEN, WIDTH], &scaled(1, HIDDEN * WIDTH)));
    let hidden_bias = graph.constant("hidden.bias", Constant::f32([HIDDEN], &scaled(2, HIDDEN)));
    let head_weight = graph.constant("head.weight", Constant::f32([CLASSES, HIDDEN], &scaled(3, CLASSES * HIDDEN)));
    let head_bias = graph.constant("head.bias", Constant::f32([CLASSES], &scaled(4, CLASSES)));
    let transposed = [("transB", Attribute::Int(1))];
    // a bias in front of a normalization has no gradient but noise
    let inputs = &[x, hidden_weight, hidden_bias][..if is_regularized { 2 } else { 3 }];
    let mut hidden = graph.add("Gemm", inputs, &transposed).unwrap();
    if is_regularized {
        let mut of_channels = |name: &str, value: f32| graph.constant(name, Constant::f32([HIDDEN], &[value; HIDDEN]));
        let rows = [("scale", 1.0), ("bias", 0.1), ("running_mean", 0.0), ("running_var", 1.0)];
        let inputs = rows.map(|(name, value)| of_channels(&format!("norm.{name}"), value));
        hidden = graph.add("BatchNormalization", &[&[hidden][..], &inputs].concat(), &[]).unwrap();
    }
    let mut hidden = graph.add("Relu", &[hidden], &[]).unwrap();
    if is_regularized {
        let rate = graph.constant("rate", Constant::f32([], &[0.1]));
        hidden = graph.add("Dropout", &[hidden, rate], &[]).unwrap();
    }
    let logits = graph.add("Gemm", &[hidden, head_weight, head_bias], &transposed).unwrap();
    graph.rename(logits, "logits").unwrap();
    graph.set_outputs(&[logits]);
    graph.to_onnx("perceptron")
}

/// The perceptron compiled to train all of it.
pub(crate) fn program() -> TrainingProgram {
    program_of(model())
}

/// As [`program`], in another precision.
pub(crate) fn program_in(precision: Precision) -> TrainingProgram {
    let wanted = FineTuning { precision, ..whole() };
    compile(&Model::from_bytes(model()).unwrap(), &wanted, &OperatorCatalog::standard()).unwrap()
}

/// The perceptron with a normalization by the batch, whose running statistics follow the data, and with dropout.
pub(crate) fn regularized_program() -> TrainingProgram {
    normalized_program(BatchNormalization::Training)
}

/// The same, whose running statistics are computed anew for what is exported.
pub(crate) fn reestimated_program() -> TrainingProgram {
    normalized_program(BatchNormalization::Reestimated { rows: None, transforms: StatisticsTransforms::Train })
}

fn normalized_program(batch_normalization: BatchNormalization) -> TrainingProgram {
    let model = Model::from_bytes(perceptron(true)).unwrap();
    let wanted = FineTuning {
        head: HeadChoice::keep(),
        train: TrainSelection::All,
        batch_normalization,
        dropout: DropoutMode::Live,
        ..FineTuning::head(BATCH, CLASSES)
    };
    compile(&model, &wanted, &OperatorCatalog::standard()).unwrap()
}

/// A network of two residual branches, which are left out at random in training.
pub(crate) fn residual_program() -> TrainingProgram {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let mut value = graph.input("x", TensorType::f32([Length::named("batch"), WIDTH.into()]));
    let scaled = |seed, count| numbers(seed, count).into_iter().map(|value| 0.5 * value).collect::<Vec<_>>();
    for branch in 0..2 {
        let weight = Constant::f32([WIDTH, WIDTH], &scaled(5 + branch, WIDTH * WIDTH));
        let weight = graph.constant(&format!("{branch}.weight"), weight);
        let product = graph.add("MatMul", &[value, weight], &[]).unwrap();
        let end = graph.add("Relu", &[product], &[]).unwrap();
        value = graph.add("Add", &[value, end], &[]).unwrap();
    }
    let weight = graph.constant("head.weight", Constant::f32([WIDTH, CLASSES], &scaled(9, WIDTH * CLASSES)));
    let logits = graph.add("MatMul", &[value, weight], &[]).unwrap();
    graph.set_outputs(&[logits]);
    let (mode, schedule) = (DepthMode::Row, DepthSchedule::Constant);
    let stochastic_depth = Some(StochasticDepthRecipe { probability: 0.4, mode, schedule });
    let wanted = FineTuning { stochastic_depth, ..whole() };
    let model = Model::from_bytes(graph.to_onnx("residual")).unwrap();
    compile(&model, &wanted, &OperatorCatalog::standard()).unwrap()
}

/// Another model of these inputs and parameters compiled so.
pub(crate) fn program_of(model: Vec<u8>) -> TrainingProgram {
    compile(&Model::from_bytes(model).unwrap(), &whole(), &OperatorCatalog::standard()).unwrap()
}

fn whole() -> FineTuning {
    FineTuning { head: HeadChoice::keep(), train: TrainSelection::All, ..FineTuning::head(BATCH, CLASSES) }
}

/// Names of the classes.
pub(crate) fn classes() -> Vec<String> {
    ["circle", "square", "star"].map(String::from).to_vec()
}

/// The batch at a position of an epoch: a pure function of both. Each class has a centre of its own.
pub(crate) fn batch(epoch: u64, index: u64, per_epoch: u64) -> Batch {
    let labels: Vec<i64> = (0..BATCH as u64).map(|slot| ((epoch + index + slot) % CLASSES as u64) as i64).collect();
    let mut x = numbers(1000 + epoch * 100 + index, BATCH * WIDTH);
    let mut targets = vec![0.0; BATCH * CLASSES];
    for (slot, label) in labels.iter().enumerate() {
        x[slot * WIDTH + *label as usize] += 1.5;
        targets[slot * CLASSES + *label as usize] = 1.0;
    }
    let last = index + 1 == per_epoch;
    let row = |slot| RowId {
        file: "train.parquet".into(),
        row_group: epoch as u32,
        row: (index * BATCH as u64 + slot) as u32,
    };
    Batch {
        tensors: [
            ("x".to_owned(), Tensor::f32([BATCH, WIDTH], x)),
            ("targets".to_owned(), Tensor::f32([BATCH, CLASSES], targets)),
        ]
        .into(),
        lengths: Default::default(),
        weights: vec![1.0; BATCH],
        rows: (0..BATCH as u64).map(|slot| Some(row(slot))).collect(),
        resume: ResumePoint {
            version: 1,
            seed: 0,
            epoch: if last { epoch + 1 } else { epoch },
            position: if last { 0 } else { (index + 1) * BATCH as u64 },
            dataset: Fingerprint::default(),
            recipe: Fingerprint::default(),
        },
    }
}

/// All batches of all epochs from a resume point on.
pub(crate) fn batches(
    epochs: u64,
    per_epoch: u64,
    from: Option<&ResumePoint>,
) -> impl Iterator<Item = Result<Batch, Infallible>> + use<> {
    let start = from.map_or(0, |from| from.epoch * per_epoch + from.position / BATCH as u64);
    (start..epochs * per_epoch).map(move |step| Ok(batch(step / per_epoch, step % per_epoch, per_epoch)))
}

/// The CPU, and CUDA where there is one.
pub(crate) fn devices() -> Vec<Device> {
    let automatic = Device::resolve(DeviceRequest::Auto, millstream_runtime::ready(None).unwrap()).unwrap();
    if automatic.kind == DeviceKind::Cpu {
        println!("on CUDA: left out, {}", automatic.reason);
        return vec![automatic];
    }
    vec![Device::cpu(millstream_runtime::ready(None).unwrap()), automatic]
}
