//! Where a program is cut in two, and where it is not.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use millstream_compiler::graph::{Constant, Graph, Length, TensorType, ValueId};
use millstream_compiler::{
    CompilerError, FineTuning, FrozenPrefix, HeadChoice, Model, NoFrozenPrefix, OperatorCatalog, compile,
};
use millstream_schemas::recipe::{DropoutMode, Precision, TrainSelection};

const ROWS: usize = 4;
const WIDTH: usize = 6;
const CLASSES: usize = 3;

fn weight(graph: &mut Graph, name: &str, shape: [usize; 2]) -> ValueId {
    let values: Vec<f32> = (0..shape[0] * shape[1]).map(|at| (at % 7) as f32 / 7.0 - 0.4).collect();
    graph.constant(name, Constant::f32(shape, &values))
}

fn dense(graph: &mut Graph, x: ValueId, name: &str, width: usize) -> ValueId {
    let of_x = graph.shape(x).unwrap()[1].fixed().unwrap();
    let matrix = weight(graph, &format!("{name}.weight"), [of_x, width]);
    graph.add("MatMul", &[x, matrix], &[]).unwrap()
}

/// `x` `[batch, WIDTH]`, what lies between, and a head.
fn model(between: impl FnOnce(&mut Graph, ValueId) -> Result<ValueId, CompilerError>) -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let x = graph.input("x", TensorType::f32([Length::named("batch"), WIDTH.into()]));
    let features = between(&mut graph, x).unwrap();
    let logits = dense(&mut graph, features, "head", CLASSES);
    graph.rename(logits, "logits").unwrap();
    graph.set_outputs(&[logits]);
    Model::from_bytes(graph.to_onnx("network")).unwrap()
}

fn head() -> FineTuning {
    FineTuning { head: HeadChoice::keep(), train: TrainSelection::Head, ..FineTuning::head(ROWS, CLASSES) }
}

fn cut(model: &Model, wanted: &FineTuning) -> Result<FrozenPrefix, NoFrozenPrefix> {
    let catalog = OperatorCatalog::standard();
    FrozenPrefix::of(&compile(model, wanted, &catalog).unwrap(), model, wanted, &catalog)
}

/// Widths of the tensors at the border, and the nodes in front of it.
fn found(model: &Model, wanted: &FineTuning) -> (Vec<usize>, usize) {
    let prefix = cut(model, wanted).unwrap_or_else(|no| panic!("{no}"));
    let widths = prefix.border().iter().map(|entry| entry.fixed_shape().unwrap()[1]).collect();
    let inputs = &prefix.program().manifest.inputs;
    assert_eq!((inputs.as_slice(), prefix.inputs()[0].name.as_str()), (prefix.border(), "x"));
    assert!(prefix.border().iter().all(|entry| entry.shape[0].fixed() == Some(ROWS)));
    (widths, prefix.nodes())
}

#[test]
fn the_cut_is_where_training_begins() {
    let hidden = model(|graph, x| {
        let hidden = dense(graph, x, "hidden", 5);
        graph.add("Relu", &[hidden], &[])
    });
    assert_eq!(found(&hidden, &head()), (vec![5], 2));
    let all = FineTuning { train: TrainSelection::All, ..head() };
    assert!(cut(&hidden, &all).unwrap_err().reason.starts_with("nothing in front of what is trained keeps rows apart"));
    let two = model(|graph, x| {
        let first = dense(graph, x, "first", 5);
        let bent = graph.add("Relu", &[first], &[])?;
        let other = graph.add("Tanh", &[first], &[])?;
        let second = dense(graph, bent, "second", 5);
        graph.add("Add", &[second, other], &[])
    });
    assert_eq!(found(&two, &head()), (vec![5], 5));
    // the branch beside a trained layer is kept too
    let last = FineTuning { train: TrainSelection::Last(2), ..head() };
    assert_eq!(found(&two, &last), (vec![5, 5], 3));
}

#[test]
fn what_joins_rows_or_draws_is_run_at_each_step() {
    let axis = [("axes", vec![0].into()), ("keepdims", 1.into())];
    let centred = model(|graph, x| {
        let hidden = dense(graph, x, "hidden", 5);
        let mean = graph.add("ReduceMean", &[hidden], &axis)?;
        graph.add("Sub", &[hidden, mean], &[])
    });
    assert_eq!(found(&centred, &head()), (vec![5], 1));
    let of_input = model(|graph, x| {
        let mean = graph.add("ReduceMean", &[x], &axis)?;
        let centred = graph.add("Sub", &[x, mean], &[])?;
        Ok(dense(graph, centred, "hidden", 5))
    });
    let reason = cut(&of_input, &head()).unwrap_err().reason;
    assert!(reason.contains("(ReduceMean) stands in the way: it reduces over the rows"), "{reason}");
    let turned = model(|graph, x| {
        let hidden = dense(graph, x, "hidden", 5);
        let columns = graph.add("Transpose", &[hidden], &[("perm", vec![1, 0].into())])?;
        let bent = graph.add("Relu", &[columns], &[])?;
        graph.add("Transpose", &[bent], &[("perm", vec![1, 0].into())])
    });
    assert_eq!(found(&turned, &head()), (vec![5], 4));
}

#[test]
fn dropout_in_front_of_the_head_stays_behind_the_cut() {
    let dropped = model(|graph, x| {
        let hidden = dense(graph, x, "hidden", 5);
        let rate = graph.constant("rate", Constant::f32([], &[0.5]));
        graph.add("Dropout", &[hidden, rate], &[])
    });
    let live = FineTuning { dropout: DropoutMode::Live, ..head() };
    assert_eq!(found(&dropped, &live), (vec![5], 1));
    assert_eq!(cut(&dropped, &live).unwrap().program().manifest.masks.len(), 1);
}

#[test]
fn what_cannot_be_kept_is_said() {
    let hidden = model(|graph, x| Ok(dense(graph, x, "hidden", 5)));
    let mixed = FineTuning { precision: Precision::Bfloat16, ..head() };
    assert!(cut(&hidden, &mixed).unwrap_err().reason.contains("16 bits"));
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let shape = [Length::named("batch"), Length::named("time"), WIDTH.into()];
    let x = graph.input("x", TensorType::f32(shape));
    let mean = graph.add("ReduceMean", &[x], &[("axes", vec![1].into()), ("keepdims", 0.into())]).unwrap();
    let hidden = dense(&mut graph, mean, "hidden", 5);
    let logits = dense(&mut graph, hidden, "head", CLASSES);
    graph.set_outputs(&[logits]);
    let model = Model::from_bytes(graph.to_onnx("network")).unwrap();
    let inputs = [("x".to_owned(), vec![ROWS.into(), "time".into(), WIDTH.into()])].into();
    let reason = cut(&model, &FineTuning { inputs, ..head() }).unwrap_err().reason;
    assert!(reason.contains("rows of input `x` have lengths of their own"), "{reason}");
}

#[test]
fn rows_that_have_lengths_of_their_own_are_cut_where_batches_hold_the_inputs_too() {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let shape = [Length::named("batch"), Length::named("time"), WIDTH.into()];
    let x = graph.input("x", TensorType::f32(shape));
    let first = weight(&mut graph, "first.weight", [WIDTH, 5]);
    let first = graph.add("MatMul", &[x, first], &[]).unwrap();
    let bent = graph.add("Relu", &[first], &[]).unwrap();
    let second = weight(&mut graph, "second.weight", [5, 4]);
    let second = graph.add("MatMul", &[bent, second], &[]).unwrap();
    let mean = graph.add("ReduceMean", &[second], &[("axes", vec![1].into()), ("keepdims", 0.into())]).unwrap();
    let logits = dense(&mut graph, mean, "head", CLASSES);
    graph.set_outputs(&[logits]);
    let model = Model::from_bytes(graph.to_onnx("network")).unwrap();
    let inputs: std::collections::BTreeMap<_, _> =
        [("x".to_owned(), vec![ROWS.into(), "time".into(), WIDTH.into()])].into();
    let catalog = OperatorCatalog::standard();
    // the mean of each row, and before that what each of its places has
    for (train, wanted, nodes) in
        [(TrainSelection::Head, "[[4, 4]]", 4), (TrainSelection::Last(2), "[[4, time, 5]]", 2)]
    {
        let wanted_tuning = FineTuning { inputs: inputs.clone(), train, ..head() };
        let program = compile(&model, &wanted_tuning, &catalog).unwrap();
        let prefix = FrozenPrefix::beside_inputs(&program, &model, &wanted_tuning, &catalog).unwrap();
        let shapes: Vec<_> = prefix.border().iter().map(|entry| &entry.shape).collect();
        assert_eq!((format!("{shapes:?}").as_str(), prefix.nodes()), (wanted, nodes));
        let names: Vec<&str> = prefix.program().manifest.inputs.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!((names.len(), names[1]), (2, "x"), "the inputs of the model follow");
    }
}
