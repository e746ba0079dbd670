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
    /// A mean over the places, a convolution of it and its `HardSwish` in single operators, and a linear layer of seven classes.
    Activated,
    /// A mean over the places, something like its normalization in single operators, and a linear layer of seven classes.
    Normalized,
    /// Scores of three classes and four distances at each place.
    Detector,
    /// Scores of three classes, enlarged to the size of the picture.
    Segmentation,
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
    let classifier = |graph: &mut Graph, vectors: ValueId| {
        let classes = weight(graph, "old.weight", &[FEATURES, 7]);
        graph.add("Gemm", &[vectors, classes], &[]).unwrap()
    };
    let places = |graph: &mut Graph, scores: usize| {
        let kernel = weight(graph, "own.weight", &[scores, FEATURES, 1, 1]);
        graph.add("Conv", &[map, kernel], &[]).unwrap()
    };
    let output = match tail {
        Tail::Map => map,
        Tail::Detector => places(&mut graph, CLASSES + 4),
        Tail::Segmentation => {
            let scores = places(&mut graph, 3);
            let scales = graph.constant("scales", Constant::f32([4], &[1.0, 1.0, 2.0, 2.0]));
            graph.add_with("Resize", &[Some(scores), None, Some(scales)], &[("mode", "nearest".into())], 1).unwrap()[0]
        }
        Tail::Activated => {
            let pooled = graph.add("GlobalAveragePool", &[map], &[]).unwrap();
            let kernel = weight(&mut graph, "wide.weight", &[FEATURES, FEATURES, 1, 1]);
            let wide = graph.add("Conv", &[pooled, kernel], &[]).unwrap();
            let gate = graph.add("HardSigmoid", &[wide], &[]).unwrap();
            let activated = graph.times(wide, gate).unwrap();
            let vectors = graph.add("Flatten", &[activated], &[]).unwrap();
            classifier(&mut graph, vectors)
        }
        Tail::Normalized => {
            let vectors = pooled(&mut graph);
            let sum = graph.reduce_sum(vectors, &[1], true).unwrap();
            let off = graph.minus(vectors, sum).unwrap();
            let squares = graph.times(off, off).unwrap();
            let variance = graph.reduce_sum(squares, &[1], true).unwrap();
            let deviation = graph.add("Sqrt", &[variance], &[]).unwrap();
            let normalized = graph.divided_by(off, deviation).unwrap();
            classifier(&mut graph, normalized)
        }
        Tail::Pooled => pooled(&mut graph),
        Tail::Classifier => {
            let pooled = pooled(&mut graph);
            classifier(&mut graph, pooled)
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
    let own = [Tail::Detector, Tail::Segmentation];
    for tail in [Tail::Map, Tail::Pooled, Tail::Classifier, Tail::Activated, Tail::Normalized].into_iter().chain(own) {
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

/// A model of seven classes that halves pictures of so many pixels a side three times, to the larger half.
fn pyramid(pixels: usize) -> Model {
    pyramid_of([pixels.into(), pixels.into()])
}

/// The same of pictures of this height and width, which may be open.
fn pyramid_of([height, width]: [Length; 2]) -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let shape = [Length::named("batch"), 3.into(), height, width];
    let mut value = graph.input("x", TensorType::f32(shape));
    for (at, (read, made)) in [(3, 4), (4, 5), (5, 6)].into_iter().enumerate() {
        let kernel = weight(&mut graph, &format!("stage.{at}.weight"), &[made, read, 3, 3]);
        let halved = [("strides", vec![2, 2].into()), ("pads", vec![1, 1, 1, 1].into())];
        value = graph.add("Conv", &[value, kernel], &halved).unwrap();
        value = graph.add("Relu", &[value], &[]).unwrap();
        // another map of the same size, which is not the last
        let kernel = weight(&mut graph, &format!("further.{at}.weight"), &[made + 10, made, 1, 1]);
        let further = graph.add("Conv", &[value, kernel], &[]).unwrap();
        let kernel = weight(&mut graph, &format!("back.{at}.weight"), &[made, made + 10, 1, 1]);
        value = graph.add("Conv", &[further, kernel], &[]).unwrap();
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
    /// Pixels a side, how often it is wanted, places a side, features of the maps that are added, what is noted.
    type Row = (usize, usize, usize, &'static [usize], Option<&'static str>);
    let rows: [Row; 8] = [
        (16, 0, 2, &[], None),
        (16, 1, 4, &[5], None),
        (16, 2, 8, &[5, 4], None),
        (16, 3, 8, &[5, 4], Some("`finer: 3` was applied 2 times: the model has no map of 16×16 places")),
        // 37 pixels become 19, 10 and 5 places
        (37, 1, 10, &[5], None),
        (37, 2, 19, &[5, 4], None),
        // 33 become 17, 9 and 5
        (33, 2, 17, &[5, 4], None),
        (33, 3, 17, &[5, 4], Some("`finer: 3` was applied 2 times: the model has no map of 34×34 places")),
    ];
    for (pixels, finer, side, added, noted) in rows {
        let head = Choice::new("boxes", json!({"finer": finer, "hidden": []}));
        let head = HeadChoice::choose(heads::standard(), &head, "model.head", initializers::standard()).unwrap();
        let loss = Loss::choose(standard(), &Choice::named("fcos"), "training.loss").unwrap();
        let batch = AxisLength::Named("batch".into());
        let wanted = FineTuning { head, loss, train: TrainSelection::Head, ..FineTuning::head(batch, CLASSES) };
        let program = compile(&pyramid(pixels), &wanted, &OperatorCatalog::standard()).unwrap();
        let prediction: Vec<Option<usize>> = program.manifest.prediction.shape.iter().map(AxisLength::fixed).collect();
        assert_eq!(prediction, [None, Some(CLASSES + 4), Some(side), Some(side)], "{pixels} {finer}");
        assert_eq!(program.manifest.parameters.len(), 2 + 4 * added.len(), "{pixels} {finer}");
        for (at, features) in added.iter().enumerate() {
            let name = format!("head.finer.{at}.side.weight");
            let found = program.manifest.parameters.iter().find(|entry| entry.name == name);
            assert_eq!(found.unwrap().shape[1], *features, "{pixels} {finer} {at}");
        }
        let found = program.notes.iter().find(|note| note.contains("was applied")).map(String::as_str);
        assert_eq!(found, noted, "{pixels} {finer}");
    }
}

#[test]
fn a_detector_from_an_export_with_open_height_and_width_is_made_finer_too() {
    let open = || pyramid_of([Length::named("height"), Length::named("width")]);
    let wanted = |pixels: Option<usize>| {
        let head = Choice::new("boxes", json!({"finer": 2, "hidden": []}));
        let head = HeadChoice::choose(heads::standard(), &head, "model.head", initializers::standard()).unwrap();
        let loss = Loss::choose(standard(), &Choice::named("fcos"), "training.loss").unwrap();
        let batch = AxisLength::Named("batch".into());
        let sides =
            |side: usize| vec![batch.clone(), AxisLength::Fixed(3), AxisLength::Fixed(side), AxisLength::Fixed(side)];
        let inputs = pixels.map(|side| ("x".to_owned(), sides(side))).into_iter().collect();
        FineTuning { head, loss, inputs, train: TrainSelection::Head, ..FineTuning::head(batch.clone(), CLASSES) }
    };
    let trained = |program: &TrainingProgram| -> Vec<(String, Vec<usize>)> {
        program.manifest.parameters.iter().map(|entry| (entry.name.clone(), entry.shape.clone())).collect()
    };
    // of 37 pixels each side is cut to the odd one
    for pixels in [16, 37] {
        let of_open = compile(&open(), &wanted(Some(pixels)), &OperatorCatalog::standard()).unwrap();
        let of_fixed = compile(&pyramid(pixels), &wanted(Some(pixels)), &OperatorCatalog::standard()).unwrap();
        assert_eq!(trained(&of_open), trained(&of_fixed), "{pixels}");
        assert_eq!(of_open.manifest.prediction.shape, of_fixed.manifest.prediction.shape, "{pixels}");
        assert!(of_open.notes.iter().all(|note| !note.contains("was applied")), "{:?}", of_open.notes);
    }
    // where nothing says how large pictures are it is noted, with what to do
    let of_any = compile(&open(), &wanted(None), &OperatorCatalog::standard()).unwrap();
    let note = of_any.notes.iter().find(|note| note.contains("`finer: 2` was applied 0 times"));
    assert!(
        note.is_some_and(|note| note.contains("export the model with a fixed height and width")),
        "{:?}",
        of_any.notes
    );
}

#[test]
fn the_maps_that_a_head_can_stand_on_are_told_with_their_size_and_stride() {
    let catalog = OperatorCatalog::standard();
    let found = box_maps(&pyramid(16), &catalog).unwrap();
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
fn a_picture_that_was_normalized_is_no_map_of_features() {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let shape = [Length::named("batch"), 3.into(), 8.into(), 8.into()];
    let x = graph.input("x", TensorType::f32(shape));
    let mean = weight(&mut graph, "mean", &[3, 1, 1]);
    let normalized = graph.minus(x, mean).unwrap();
    let pixels = graph.add("Flatten", &[normalized], &[]).unwrap();
    let classes = weight(&mut graph, "old.weight", &[3 * 64, 7]);
    let output = graph.add("Gemm", &[pixels, classes], &[]).unwrap();
    graph.set_outputs(&[output]);
    let model = Model::from_bytes(graph.to_onnx("pixels")).unwrap();
    let head = Choice::named("boxes");
    let head = HeadChoice::choose(heads::standard(), &head, "model.head", initializers::standard()).unwrap();
    let loss = Loss::choose(standard(), &Choice::named("fcos"), "training.loss").unwrap();
    let batch = AxisLength::Named("batch".into());
    let wanted = FineTuning { head, loss, ..FineTuning::head(batch, CLASSES) };
    let error = compile(&model, &wanted, &OperatorCatalog::standard()).err().unwrap().to_string();
    assert!(error.contains("there is no map") && error.contains("`x` is made by no node"), "{error}");
}

#[test]
fn what_has_no_map_and_losses_of_something_else_are_refused() {
    for (tail, options, loss, message) in [
        (Tail::Tokens, json!({}), "fcos", "there is no map [batch, features, height, width] behind output"),
        (Tail::Map, json!({}), "cross_entropy", "use `training.loss: fcos`"),
        (Tail::Map, json!({"prior": 1}), "fcos", "prior is above 0 and below 1, got 1"),
        (Tail::Map, json!({"finer": 4}), "fcos", "finer is 0 to 3, got 4"),
        (Tail::Map, json!({"hidden": [4, 0]}), "fcos", "hidden holds widths of 1 or more, got 0"),
        (
            Tail::Map,
            json!({"hidden": [9_000_000_000_000_000_000_u64]}),
            "fcos",
            "a layer of 5 features and 9000000000000000000 outputs holds more than 2147483647 bytes; take smaller widths",
        ),
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
