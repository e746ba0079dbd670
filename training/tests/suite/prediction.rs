//! Exported models, and batches that do not fit.

use crate::support::{BATCH, CLASSES, WIDTH, batch, classes, model, program};
use millstream_compiler::graph::{Constant, Graph, Length, TensorType};
use millstream_compiler::losses::PredictionKind;
use millstream_compiler::{Loss, OperatorCatalog, unsound_fusions};
use millstream_runtime::Device;
use millstream_schemas::Tensor;
use millstream_training::{
    BatchSource, BoxError, LossRunner, MetricSet, Predictor, StepRunner, StepSettings, evaluate,
};

fn device() -> Device {
    Device::cpu(millstream_runtime::ready(None).unwrap())
}

#[test]
fn an_exported_model_says_what_the_training_graph_said() {
    let program = program();
    let mut runner = StepRunner::open(&program, &device(), &StepSettings::default()).unwrap();
    for index in 0..8 {
        let (_, outcome) = runner.step(batch(0, index, 8), 0.01).unwrap();
        assert!(outcome.updated && outcome.loss.is_finite());
    }
    let (asked, scored) = runner.evaluate(batch(9, 0, 8)).unwrap();
    let exported = program.export(&runner.parameters().unwrap(), &[]).unwrap().to_vec();
    let mut predictor = Predictor::open(&exported, &device(), 1, None).unwrap();
    assert_eq!(predictor.classes(), Some(CLASSES));
    let (_, predicted) = predictor.predict(asked).unwrap();
    assert_eq!(predicted.shape, [BATCH, CLASSES]);
    for (a, b) in predicted.values.iter().zip(&scored.prediction.values) {
        assert!((a - b).abs() < 1e-5, "{a} and {b}");
    }
}

#[test]
fn a_session_is_opened_once_for_all_that_ask_it_and_stays_as_long_as_one_of_them() {
    let first = Predictor::open(&model(), &device(), 1, Some("logits")).unwrap();
    let clones: Vec<Predictor> = (0..3).map(|_| first.clone()).collect();
    drop(first);
    let asking = clones
        .into_iter()
        .map(|mut predictor| std::thread::spawn(move || predictor.predict(batch(0, 0, 1)).unwrap().1));
    let asking: Vec<_> = asking.collect();
    let answers: Vec<_> = asking.into_iter().map(|asked| asked.join().unwrap()).collect();
    assert_eq!(answers[0].shape, [BATCH, CLASSES]);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

/// ONNX Runtime 1.31 makes the zeros in front of the pool its own padding, which no maximum sees.
#[test]
fn zeros_in_front_of_a_pool_count_in_its_maximum() {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([1, 1, 4, 4].map(Length::from)));
    let sides = graph.constant("sides", Constant::i64([8], &[0, 0, 1, 1, 0, 0, 1, 1]));
    let padded = graph.add("Pad", &[x, sides], &[]).unwrap();
    let pooled = graph.add("MaxPool", &[padded], &[("kernel_shape", vec![3, 3].into())]).unwrap();
    let scores = graph.add("Flatten", &[pooled], &[]).unwrap();
    graph.output(scores);
    let model = graph.to_onnx("padded");
    assert_eq!(unsound_fusions(&model), ["Pad_Fusion"]);
    let mut predictor = Predictor::open(&model, &device(), 1, None).unwrap();
    let mut asked = batch(0, 0, 1);
    asked.tensors.insert("x".into(), Tensor::f32([1, 1, 4, 4], vec![-1.0; 16]));
    let (_, predicted) = predictor.predict(asked).unwrap();
    let inner = |place: usize| [1, 2].contains(&(place / 4)) && [1, 2].contains(&(place % 4));
    let wanted: Vec<f32> = (0..16).map(|place| if inner(place) { -1.0 } else { 0.0 }).collect();
    assert_eq!(predicted.values, wanted);
}

#[test]
fn any_batch_size_is_taken_where_the_model_leaves_it_open() {
    let mut predictor = Predictor::open(&model(), &device(), 1, Some("logits")).unwrap();
    let mut small = batch(0, 0, 1);
    small.tensors.insert("x".into(), Tensor::f32([1, WIDTH], vec![0.5; WIDTH]));
    let (_, predicted) = predictor.predict(small).unwrap();
    assert_eq!((predicted.shape, predicted.values.len()), (vec![1, CLASSES], CLASSES));
}

#[test]
fn evaluation_of_a_model_counts_rows_and_stops_when_told() {
    let mut predictor = Predictor::open(&model(), &device(), 1, None).unwrap();
    let source = || (0..3).map(|index| Ok::<_, BoxError>(batch(0, index, 3)));
    let mut told = Vec::new();
    let mut note = |rows| {
        told.push(rows);
        true
    };
    let mut loss = LossRunner::new(&Loss::default(), &OperatorCatalog::standard(), &device());
    let metrics = MetricSet::usual(PredictionKind::ClassScores);
    let mut measure = |source: &mut dyn BatchSource, note: &mut dyn FnMut(u64) -> bool| {
        evaluate(&mut predictor, &mut loss, &metrics, source, &classes(), note)
    };
    let found = measure(&mut source(), &mut note).unwrap().unwrap();
    assert_eq!((found.rows, told), (18, vec![6, 12, 18]));
    assert_eq!(measure(&mut source(), &mut |_| false).unwrap(), None);
    let none = measure(&mut std::iter::empty::<Result<_, BoxError>>(), &mut |_| true);
    assert!(none.unwrap_err().to_string().contains("none of the evaluation rows"));
}

#[test]
fn a_batch_that_does_not_fit_is_an_error_with_wanted_and_got() {
    let mut runner = StepRunner::open(&program(), &device(), &StepSettings::default()).unwrap();
    let mut predictor = Predictor::open(&model(), &device(), 1, None).unwrap();
    let mut wide = batch(0, 0, 1);
    wide.tensors.insert("x".into(), Tensor::f32([BATCH, 9], vec![0.0; BATCH * 9]));
    let mut unnamed = batch(0, 0, 1);
    let tensor = unnamed.tensors.remove("x").unwrap();
    unnamed.tensors.insert("image".into(), tensor);
    for (wrong, got) in [(wide, "float32 [6, 9]"), (unnamed, "no tensor of this name, only [\"image\", \"targets\"]")] {
        let stepped = runner.step(wrong.clone(), 0.1).unwrap_err().to_string();
        assert!(stepped.contains("input `x`") && stepped.contains(got), "{stepped}");
        let predicted = predictor.predict(wrong).unwrap_err().to_string();
        assert!(predicted.contains("input `x`") && predicted.contains(got), "{predicted}");
    }
    // The session is still good.
    runner.step(batch(0, 0, 1), 0.1).unwrap();
}

#[test]
fn a_model_that_is_none_is_an_error() {
    let message = Predictor::open(b"no model", &device(), 1, None).err().unwrap().to_string();
    assert!(message.starts_with("ONNX Runtime: opening the model graph on cpu: "), "{message}");
    let message = Predictor::open(&model(), &device(), 1, Some("features")).err().unwrap().to_string();
    assert!(message.contains("`logits`"), "{message}");
}
