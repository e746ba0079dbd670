//! A new head that tells boxes at the places of a map: which map it reads, what it begins with, what it refuses.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use millstream_compiler::finetuning::heads;
use millstream_compiler::graph::{Constant, Graph, Length, TensorType, ValueId};
use millstream_compiler::initializers;
use millstream_compiler::losses::standard;
use millstream_compiler::{
    BoxMap, FineTuning, HeadChoice, Loss, Model, OperatorCatalog, TrainingProgram, box_maps, compile,
};
use millstream_schemas::recipe::TrainSelection;
use millstream_schemas::{AxisLength, Choice};
use serde_json::{Value, json};

const CLASSES: usize = 3;
const FEATURES: usize = 5;

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed * 104_729 + 13) % 2003) as f32 / 1001.0 - 1.0).collect()
}

fn weight(graph: &mut Graph, name: &str, shape: &[usize]) -> ValueId {
    graph.constant(name, Constant::f32(shape, &numbers(shape.iter().product(), name.len())))
}

/// What stands behind the map of a backbone.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tail {
    /// Nothing: the map is the output.
    Map,
    /// The mean over the places.
    Pooled,
    /// That, and a linear layer of seven classes.
    Classifier,
    /// The places as tokens, each added to what a product of all of them makes of it.
    Tokens,
}

/// A convolution that halves pictures of eight by eight pixels.
fn backbone(tail: Tail) -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let shape = [Length::named("batch"), 3.into(), 8.into(), 8.into()];
    let x = graph.input("x", TensorType::f32(shape));
    let kernel = weight(&mut graph, "body.weight", &[FEATURES, 3, 2, 2]);
    let map = graph.add("Conv", &[x, kernel], &[("strides", vec![2, 2].into())]).unwrap();
    let map = graph.add("Relu", &[map], &[]).unwrap();
    let pooled = |graph: &mut Graph| {
        let pooled = graph.add("GlobalAveragePool", &[map], &[]).unwrap();
        graph.add("Flatten", &[pooled], &[]).unwrap()
    };
    let output = match tail {
        Tail::Map => map,
        Tail::Pooled => pooled(&mut graph),
        Tail::Classifier => {
            let pooled = pooled(&mut graph);
            let classes = weight(&mut graph, "old.weight", &[FEATURES, 7]);
            graph.add("Gemm", &[pooled, classes], &[]).unwrap()
        }
        Tail::Tokens => {
            let places = graph.constant("places", Constant::i64([3], &[0, FEATURES as i64, 16]));
            let tokens = graph.add("Reshape", &[map, places], &[]).unwrap();
            let mixed = weight(&mut graph, "mixed.weight", &[16, 16]);
            let mixed = graph.add("MatMul", &[tokens, mixed], &[]).unwrap();
            graph.plus(tokens, mixed).unwrap()
        }
    };
    graph.set_outputs(&[output]);
    Model::from_bytes(graph.to_onnx("backbone")).unwrap()
}

fn compiled(tail: Tail, options: Value, loss: &str) -> Result<TrainingProgram, String> {
    let head = Choice::new("boxes", options);
    let head = HeadChoice::choose(heads::standard(), &head, "model.head", initializers::standard())
        .map_err(|error| error.to_string())?;
    let loss = Loss::choose(standard(), &Choice::named(loss), "training.loss").unwrap();
    let batch = AxisLength::Named("batch".into());
    let wanted = FineTuning { head, loss, train: TrainSelection::Head, ..FineTuning::head(batch, CLASSES) };
    compile(&backbone(tail), &wanted, &OperatorCatalog::standard()).map_err(|error| error.to_string())
}

#[test]
fn the_last_map_is_read_whatever_stands_behind_it() {
    for tail in [Tail::Map, Tail::Pooled, Tail::Classifier] {
        let program = compiled(tail, json!({"hidden": [6]}), "fcos").unwrap();
        let prediction: Vec<Option<usize>> = program.manifest.prediction.shape.iter().map(AxisLength::fixed).collect();
        assert_eq!(prediction, [None, Some(CLASSES + 4), Some(4), Some(4)], "{tail:?}");
        let targets: Vec<Option<usize>> = program.manifest.targets[0].shape.iter().map(AxisLength::fixed).collect();
        assert_eq!(targets, [None, None, Some(5)], "{tail:?}");
        let mut shapes: Vec<Vec<usize>> = program.manifest.parameters.iter().map(|entry| entry.shape.clone()).collect();
        shapes.sort();
        let wanted = [vec![6], vec![6, FEATURES, 3, 3], vec![CLASSES + 4], vec![CLASSES + 4, 6, 1, 1]];
        assert_eq!(shapes, wanted, "{tail:?}");
        let note = program.notes.iter().find(|note| note.contains("tells boxes at the places of"));
        assert!(note.is_some_and(|note| note.contains("of 5 features")), "{tail:?}: {:?}", program.notes);
    }
}

/// A model of seven classes that halves pictures of 16 by 16 pixels three times.
fn pyramid() -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let shape = [Length::named("batch"), 3.into(), 16.into(), 16.into()];
    let mut value = graph.input("x", TensorType::f32(shape));
    for (at, (read, made)) in [(3, 4), (4, 5), (5, 6)].into_iter().enumerate() {
        let kernel = weight(&mut graph, &format!("stage.{at}.weight"), &[made, read, 2, 2]);
        value = graph.add("Conv", &[value, kernel], &[("strides", vec![2, 2].into())]).unwrap();
        value = graph.add("Relu", &[value], &[]).unwrap();
    }
    let pooled = graph.add("GlobalAveragePool", &[value], &[]).unwrap();
    let pooled = graph.add("Flatten", &[pooled], &[]).unwrap();
    let classes = weight(&mut graph, "old.weight", &[6, 7]);
    let output = graph.add("Gemm", &[pooled, classes], &[]).unwrap();
    graph.set_outputs(&[output]);
    Model::from_bytes(graph.to_onnx("pyramid")).unwrap()
}

#[test]
fn the_map_is_made_finer_as_often_as_the_model_has_one_of_that_size() {
    // how often, how many places a side, how many parameters there are
    for (finer, side, parameters) in [(0, 2, 2), (1, 4, 6), (2, 8, 10), (3, 8, 10)] {
        let head = Choice::new("boxes", json!({"finer": finer, "hidden": []}));
        let head = HeadChoice::choose(heads::standard(), &head, "model.head", initializers::standard()).unwrap();
        let loss = Loss::choose(standard(), &Choice::named("fcos"), "training.loss").unwrap();
        let batch = AxisLength::Named("batch".into());
        let wanted = FineTuning { head, loss, train: TrainSelection::Head, ..FineTuning::head(batch, CLASSES) };
        let program = compile(&pyramid(), &wanted, &OperatorCatalog::standard()).unwrap();
        let prediction: Vec<Option<usize>> = program.manifest.prediction.shape.iter().map(AxisLength::fixed).collect();
        assert_eq!(prediction, [None, Some(CLASSES + 4), Some(side), Some(side)], "{finer}");
        assert_eq!(program.manifest.parameters.len(), parameters, "{finer}");
    }
}

#[test]
fn the_maps_that_a_head_can_stand_on_are_told_with_their_size_and_stride() {
    let catalog = OperatorCatalog::standard();
    let found = box_maps(&pyramid(), &catalog).unwrap();
    let [of_output] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(of_output.obstacle, None);
    let told = |map: &BoxMap| (map.features, map.places, map.pixels);
    let both = |side| [Some(side); 2];
    let wanted = [(6, both(2), both(8)), (5, both(4), both(4)), (4, both(8), both(2))];
    assert_eq!(of_output.maps.iter().map(told).collect::<Vec<_>>(), wanted);
    for tail in [Tail::Map, Tail::Pooled, Tail::Classifier] {
        let found = box_maps(&backbone(tail), &catalog).unwrap();
        assert_eq!(found[0].maps.iter().map(told).collect::<Vec<_>>(), [(FEATURES, both(4), both(2))], "{tail:?}");
    }
    let found = box_maps(&backbone(Tail::Tokens), &catalog).unwrap();
    let why = found[0].obstacle.as_ref().unwrap();
    assert!(found[0].maps.is_empty() && why.contains("there is no map"), "{found:?}");

    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([Length::named("batch"), 4.into()]));
    let y = graph.add("Relu", &[x], &[]).unwrap();
    graph.set_outputs(&[y]);
    let of_numbers = Model::from_bytes(graph.to_onnx("numbers")).unwrap();
    assert!(box_maps(&of_numbers, &catalog).unwrap().is_empty());
}

#[test]
fn what_has_no_map_and_losses_of_something_else_are_refused() {
    for (tail, options, loss, message) in [
        (Tail::Tokens, json!({}), "fcos", "there is no map [batch, features, height, width] behind output"),
        (Tail::Map, json!({}), "cross_entropy", "use `training.loss: fcos`"),
        (Tail::Map, json!({"prior": 1}), "fcos", "prior is above 0 and below 1, got 1"),
        (Tail::Map, json!({"finer": 4}), "fcos", "finer is 0 to 3, got 4"),
        (Tail::Map, json!({"hidden": [4, 0]}), "fcos", "hidden holds widths of 1 or more, got 0"),
    ] {
        let error = compiled(tail, options, loss).err().unwrap();
        assert!(error.contains(message), "{tail:?} {loss}: {error}");
    }
}

#[test]
fn a_model_that_gives_another_number_of_scores_than_the_boxes_need_is_refused() {
    let loss = Loss::choose(standard(), &Choice::named("fcos"), "training.loss").unwrap();
    let batch = AxisLength::Named("batch".into());
    let wanted =
        FineTuning { head: HeadChoice::keep(), loss, train: TrainSelection::All, ..FineTuning::head(batch, CLASSES) };
    let error = compile(&backbone(Tail::Map), &wanted, &OperatorCatalog::standard()).err().unwrap().to_string();
    assert!(error.contains("wanted float32 [batch, 7, height, width]") && error.contains("`head: boxes`"), "{error}");
}
