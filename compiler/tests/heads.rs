//! New heads on features of every form, and heads whose scores are added: what is trained, the gradients, the exported model.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests stop at the first surprise, and say when left out"
)]

mod onnx_runtime;

use millstream_compiler::finetuning::heads::{Activation, FeatureLayout, HeadInput, Pooling};
use millstream_compiler::graph::{Constant, ElementType, Graph, Length, TensorType, ValueId};
use millstream_compiler::losses::standard;
use millstream_compiler::{
    FeatureHead, FineTuning, HeadChoice, Loss, Model, OperatorCatalog, TrainingProgram, compile,
};
use millstream_schemas::{AxisLength, Choice, TensorEntry};
use onnx_runtime::{floats, run, session};
use ort::session::Session;
use ort::value::{DynValue, Tensor};
use serde_json::json;

const FEATURES: usize = 4;
const CLASSES: usize = 3;
const ROWS: usize = 3;
const SEQUENCE: usize = 5;
const SIDE: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Vectors,
    Sequences,
    Maps,
}

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 + seed * 104_729 + 13) % 2003) as f32 / 1001.0 - 1.0).collect()
}

fn weight(graph: &mut Graph, name: &str, shape: &[usize]) -> ValueId {
    graph.constant(name, Constant::f32(shape, &numbers(shape.iter().product(), name.len())))
}

fn input(graph: &mut Graph, form: Form) -> ValueId {
    let (batch, features) = (Length::named("batch"), Length::from(FEATURES));
    let side = || Length::from(SIDE);
    let shape = match form {
        Form::Vectors => vec![batch, features],
        Form::Sequences => vec![batch, Length::named("sequence"), features],
        Form::Maps => vec![batch, features, side(), side()],
    };
    graph.input("x", TensorType::f32(shape))
}

/// A backbone without a head, with a mask where it gives sequences; `classifier` puts one and a softmax behind it.
fn backbone(form: Form, classifier: bool, opset: i64) -> Model {
    let mut graph = Graph::new(opset, OperatorCatalog::standard());
    let x = input(&mut graph, form);
    if form == Form::Sequences {
        let shape = [Length::named("batch"), Length::named("sequence")];
        graph.input("attention_mask", TensorType::new(ElementType::I64, shape));
    }
    let body = match form {
        Form::Maps => {
            let kernel = weight(&mut graph, "body.weight", &[FEATURES, FEATURES, 1, 1]);
            graph.add("Conv", &[x, kernel], &[]).unwrap()
        }
        _ => {
            let body = weight(&mut graph, "body.weight", &[FEATURES, FEATURES]);
            graph.add("MatMul", &[x, body], &[]).unwrap()
        }
    };
    let mut output = graph.add("Tanh", &[body], &[]).unwrap();
    if classifier {
        let head = weight(&mut graph, "old.weight", &[FEATURES, 7]);
        let scores = graph.add("MatMul", &[output, head], &[]).unwrap();
        output = graph.add("Softmax", &[scores], &[]).unwrap();
    }
    graph.set_outputs(&[output]);
    Model::from_bytes(graph.to_onnx("backbone")).unwrap()
}

fn compiled(model: &Model, head: HeadChoice, loss: &str) -> TrainingProgram {
    let loss = Loss::choose(standard(), &Choice::new(loss, json!({})), "training.loss").unwrap();
    let wanted = FineTuning { head, loss, ..FineTuning::head(AxisLength::Named("batch".into()), CLASSES) };
    compile(model, &wanted, &OperatorCatalog::standard()).unwrap()
}

fn lengths(entry: &TensorEntry) -> Vec<usize> {
    let length = |axis: &AxisLength| match axis {
        AxisLength::Fixed(length) => *length,
        AxisLength::Named(name) if name == "batch" => ROWS,
        AxisLength::Named(_) => SEQUENCE,
    };
    entry.shape.iter().map(length).collect()
}

/// Whether a token is one: the last two of the second row are padding.
fn is_token(at: usize) -> bool {
    !(2 * SEQUENCE - 2..2 * SEQUENCE).contains(&at)
}

fn tensor(entry: &TensorEntry, of: impl Fn(usize) -> f32) -> (String, DynValue) {
    let shape = lengths(entry);
    let values: Vec<f32> = (0..shape.iter().product()).map(of).collect();
    let value = match entry.dtype == ElementType::I64.name() {
        true => {
            let whole: Vec<i64> = values.iter().map(|value| *value as i64).collect();
            Tensor::from_array((shape, whole)).unwrap().into_dyn()
        }
        false => floats(&shape, &values),
    };
    (entry.name.clone(), value)
}

/// The model's inputs; `padding` stands in the features of tokens that are none.
fn data(program: &TrainingProgram, padding: f32) -> Vec<(String, DynValue)> {
    let of = |entry: &TensorEntry| match entry.name.as_str() {
        "attention_mask" => tensor(entry, |at| f32::from(is_token(at))),
        _ => {
            let is_sequence = entry.shape.len() == 3;
            let x = numbers(lengths(entry).iter().product(), 1);
            tensor(entry, |at| if is_sequence && !is_token(at / FEATURES) { padding } else { x[at] })
        }
    };
    program.manifest.inputs.iter().map(of).collect()
}

/// The loss, the prediction and the gradients.
fn step(
    opened: &mut Session,
    program: &TrainingProgram,
    parameters: &[Vec<f32>],
    padding: f32,
) -> (f64, Vec<f32>, Vec<Vec<f32>>) {
    let mut inputs = data(program, padding);
    inputs.push(tensor(&program.manifest.targets[0], |at| (at % CLASSES) as f32));
    for (entry, values) in program.manifest.parameters.iter().zip(parameters) {
        inputs.push((entry.name.clone(), floats(&entry.shape, values)));
    }
    let mut outputs = run(opened, inputs);
    let gradients = outputs.split_off(outputs.len() - program.manifest.parameters.len());
    (f64::from(outputs[0][0]), outputs.swap_remove(1), gradients)
}

/// The gradient is that of the loss, and the exported model gives what the loss reads; returns what that is.
fn holds(program: &TrainingProgram, what: &str) -> Vec<f32> {
    let mut opened = session(&program.step().unwrap().to_vec());
    let (_, prediction, gradients) = step(&mut opened, program, &program.parameters, 0.5);
    let square: f64 = gradients.iter().flatten().map(|slope| f64::from(*slope).powi(2)).sum();
    let step_size = 3e-3 / square.sqrt();
    let mut moved = |sign: f64| {
        let move_one = |(value, slope): (&f32, &f32)| value + (sign * step_size * f64::from(*slope)) as f32;
        let pairs = program.parameters.iter().zip(&gradients);
        let parameters: Vec<Vec<f32>> = pairs.map(|(p, g)| p.iter().zip(g).map(move_one).collect()).collect();
        step(&mut opened, program, &parameters, 0.5).0
    };
    let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step_size);
    assert!(square > 0.0 && (slope - square).abs() < 1e-2 * square, "{what}: slope {slope}, squared gradient {square}");
    assert!(gradients.iter().all(|of| of.iter().any(|slope| *slope != 0.0)), "{what}: a weight that nothing moves");
    let exported = program.export(&program.parameters, &[]).unwrap();
    let given = run(&mut session(&exported.to_vec()), data(program, 0.5)).remove(0);
    assert_eq!(given.len(), prediction.len(), "{what}");
    let sum = |values: &[f32]| values.iter().map(|value| f64::from(*value)).sum::<f64>();
    assert!((sum(&given) - sum(&prediction)).abs() < 1e-4, "{what}: the exported model gives other scores");
    prediction
}

#[test]
fn heads_of_one_or_more_layers_stand_on_features_of_every_form() {
    if !onnx_runtime::available() {
        return;
    }
    let head = |pooling: Option<Pooling>, hidden: &[usize], activation| FeatureHead {
        pooling,
        hidden: hidden.to_vec(),
        activation,
        ..FeatureHead::default()
    };
    let before = FeatureHead { reads: HeadInput::BeforeHead, ..head(None, &[6], Activation::Silu) };
    let (one, two) = ((FEATURES + 1) * CLASSES, (FEATURES + 1) * 6 + 7 * CLASSES);
    let relu = Activation::Relu;
    // form, whether there is a head already, the new one, its numbers, how many rows, tokens or pixels have scores
    type Row = (Form, bool, FeatureHead, usize, usize);
    let rows: Vec<Row> = vec![
        (Form::Vectors, false, head(None, &[], relu), one, ROWS),
        (Form::Vectors, false, head(None, &[6], Activation::Gelu), two, ROWS),
        (Form::Vectors, false, head(None, &[6, 5], Activation::Tanh), 5 * 6 + 7 * 5 + 6 * CLASSES, ROWS),
        (Form::Vectors, true, before, two, ROWS),
        (Form::Sequences, false, head(None, &[], relu), one, ROWS * SEQUENCE),
        (Form::Sequences, false, head(None, &[6], Activation::Gelu), two, ROWS * SEQUENCE),
        (Form::Sequences, false, head(Some(Pooling::Mean), &[6], Activation::Tanh), two, ROWS),
        (Form::Sequences, false, head(Some(Pooling::First), &[], relu), one, ROWS),
        (Form::Sequences, false, head(Some(Pooling::Max), &[], relu), one, ROWS),
        (Form::Sequences, false, head(Some(Pooling::Attention), &[], relu), one + FEATURES, ROWS),
        (Form::Maps, false, head(None, &[], relu), one, ROWS * SIDE * SIDE),
        (Form::Maps, false, head(None, &[6], Activation::Gelu), two, ROWS * SIDE * SIDE),
        (Form::Maps, false, head(Some(Pooling::Mean), &[], relu), one, ROWS),
        (Form::Maps, false, head(Some(Pooling::Max), &[6], Activation::Tanh), two, ROWS),
    ];
    for (form, classifier, head, trained, places) in rows {
        for opset in [13, 18] {
            let what = format!("{form:?} {head:?} in opset {opset}");
            let choice = HeadChoice::on_features(head.clone());
            let program = compiled(&backbone(form, classifier, opset), choice, "sparse_cross_entropy");
            assert_eq!(program.trained, trained, "{what}: `train: head` is all of it and nothing else");
            let prediction = holds(&program, &what);
            assert_eq!(prediction.len(), places * CLASSES, "{what}");
            if let (Form::Sequences, Some(pooling)) = (form, head.pooling) {
                let mut opened = session(&program.step().unwrap().to_vec());
                let with = |padding: f32, opened: &mut Session| step(opened, &program, &program.parameters, padding).1;
                let (one, other) = (with(-7.0, &mut opened), with(7.0, &mut opened));
                assert_eq!(one, other, "{pooling:?}: padding counts");
            }
        }
    }
}

#[test]
fn a_model_that_answers_with_the_mean_of_two_heads_gets_two_new_ones() {
    if !onnx_runtime::available() {
        return;
    }
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = input(&mut graph, Form::Vectors);
    let parts = ["head", "head_dist"].map(|name| {
        let weight = weight(&mut graph, &format!("{name}.weight"), &[FEATURES, 7]);
        let bias = graph.constant(&format!("{name}.bias"), Constant::f32([7], &numbers(7, 2)));
        graph.add("Gemm", &[x, weight, bias], &[]).unwrap()
    });
    let sum = graph.add("Add", &parts, &[]).unwrap();
    let two = graph.scalar(2.0);
    let mean = graph.add("Div", &[sum, two], &[]).unwrap();
    let output = graph.add("Softmax", &[mean], &[]).unwrap();
    graph.set_outputs(&[mean]);
    let scores = Model::from_bytes(graph.to_onnx("model")).unwrap();
    graph.set_outputs(&[output]);
    let chances = Model::from_bytes(graph.to_onnx("model")).unwrap();
    let program = compiled(&scores, HeadChoice::default(), "cross_entropy");
    let layers: Vec<&str> = program.manifest.parameters.iter().map(|entry| entry.layer.as_str()).collect();
    assert_eq!(layers, ["head", "head", "head_dist", "head_dist"]);
    assert_eq!(program.trained, 2 * (FEATURES + 1) * CLASSES);
    assert_eq!(holds(&program, "two heads").len(), ROWS * CLASSES);
    let behind_softmax = compiled(&chances, HeadChoice::default(), "cross_entropy");
    assert_eq!((behind_softmax.trained, behind_softmax.notes), (program.trained, Vec::new()));
}

/// Features behind a convolution over so many places, with the axes in an order of their own.
fn convolved(places: &[usize], order: &[i64]) -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let mut shape = vec![Length::named("batch"), FEATURES.into()];
    shape.extend(places.iter().map(Length::from));
    let x = graph.input("x", TensorType::f32(shape));
    let kernel = [vec![FEATURES, FEATURES], vec![1; places.len()]].concat();
    let kernel = weight(&mut graph, "body.weight", &kernel);
    let map = graph.add("Conv", &[x, kernel], &[]).unwrap();
    let bent = graph.add("Tanh", &[map], &[]).unwrap();
    let output = graph.transpose(bent, order).unwrap();
    graph.set_outputs(&[output]);
    Model::from_bytes(graph.to_onnx("backbone")).unwrap()
}

#[test]
fn maps_and_sequences_are_pooled_over_their_places_whichever_axis_their_features_are_on() {
    if !onnx_runtime::available() {
        return;
    }
    // places, orders of the axes, and which axis has the features then
    type Row<'a> = (&'a [usize], &'a [(&'a [i64], usize)]);
    let rows: [Row<'_>; 2] = [
        (&[3, 5], &[(&[0, 1, 2, 3], 1), (&[0, 2, 3, 1], 3), (&[0, 2, 1, 3], 2)]),
        (&[5], &[(&[0, 1, 2], 1), (&[0, 2, 1], 2)]),
    ];
    for (places, orders) in rows {
        let mut first = None;
        for (order, axis) in orders {
            let what = format!("{places:?}, axes {order:?}");
            let model = convolved(places, order);
            let program = compiled(&model, HeadChoice::pooled(Pooling::Mean), "sparse_cross_entropy");
            assert_eq!(program.trained, (FEATURES + 1) * CLASSES, "{what}");
            let told = format!("reads axis {axis} of ");
            assert!(program.notes.iter().any(|note| note.contains(&told)), "{what}: {:?}", program.notes);
            let prediction = holds(&program, &what);
            let wanted = first.get_or_insert_with(|| prediction.clone());
            let apart = prediction.iter().zip(wanted.iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-5, "{what}: {apart}");
            // without pooling each place has scores
            let each = compiled(&model, HeadChoice::on_features(FeatureHead::default()), "sparse_cross_entropy");
            assert_eq!(each.trained, (FEATURES + 1) * CLASSES, "{what}");
            assert_eq!(holds(&each, &what).len(), ROWS * CLASSES * places.iter().product::<usize>(), "{what}");
        }
    }
}

#[test]
fn which_axis_holds_the_features_is_asked_where_nothing_tells() {
    let model = |lengths: &[Length]| {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let shape: Vec<Length> = [Length::named("batch")].iter().chain(lengths).cloned().collect();
        let x = graph.input("x", TensorType::f32(shape));
        let output = graph.add("Relu", &[x], &[]).unwrap();
        graph.set_outputs(&[output]);
        Model::from_bytes(graph.to_onnx("backbone")).unwrap()
    };
    let compiled = |model: &Model, layout| {
        let head = FeatureHead { pooling: Some(Pooling::Mean), layout, ..FeatureHead::default() };
        let batch = AxisLength::Named("batch".into());
        let wanted = FineTuning { head: HeadChoice::on_features(head), ..FineTuning::head(batch, CLASSES) };
        compile(model, &wanted, &OperatorCatalog::standard()).map(|program| program.trained)
    };
    let trained = |features: usize| (features + 1) * CLASSES;
    let (of_map, of_sequence): ([Length; 3], [Length; 2]) = ([6.into(), 7.into(), 8.into()], [6.into(), 8.into()]);
    for lengths in [&of_map[..], &of_sequence] {
        let model = model(lengths);
        let error = compiled(&model, None).unwrap_err().to_string();
        assert!(error.contains("{pooling: mean, layout: channels_first}"), "{error}");
        assert_eq!(compiled(&model, Some(FeatureLayout::ChannelsFirst)).unwrap(), trained(6));
        assert_eq!(compiled(&model, Some(FeatureLayout::ChannelsLast)).unwrap(), trained(8));
    }
    // as many in each row are features
    let sequence = model(&[Length::named("sequence"), 8.into()]);
    assert_eq!(compiled(&sequence, None).unwrap(), trained(8));
    let map = model(&[6.into(), Length::named("height"), Length::named("width")]);
    assert_eq!(compiled(&map, None).unwrap(), trained(6));
}

#[test]
fn features_that_do_not_fit_a_head_are_refused() {
    let on = |pooling, hidden: &[usize]| FeatureHead { pooling, hidden: hidden.to_vec(), ..FeatureHead::default() };
    let before = FeatureHead { reads: HeadInput::BeforeHead, ..FeatureHead::default() };
    for (form, head, message) in [
        (Form::Vectors, on(Some(Pooling::Mean), &[]), "a pooled head needs an output [batch, sequence, features]"),
        (Form::Maps, on(Some(Pooling::First), &[]), "becomes one vector by `pooling: mean` or `max`"),
        (Form::Maps, on(Some(Pooling::Attention), &[]), "becomes one vector by `pooling: mean` or `max`"),
        (Form::Vectors, on(None, &[0]), "a layer of 4 features and 0 outputs holds no number"),
        (Form::Vectors, on(None, &[1 << 38]), "take smaller widths of `hidden`"),
        (Form::Vectors, before, "(Tanh) is no dense layer"),
    ] {
        let wanted = FineTuning { head: HeadChoice::on_features(head), ..FineTuning::head(2, CLASSES) };
        let error = compile(&backbone(form, false, 17), &wanted, &OperatorCatalog::standard()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
