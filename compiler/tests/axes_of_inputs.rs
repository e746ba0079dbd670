//! Which axes of a training step are open: what the file says, what the caller fixes and what the caller names.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use std::collections::BTreeMap;

use millstream_compiler::graph::{Constant, Graph, Length, TensorType, ValueId};
use millstream_compiler::{CompilerError, FineTuning, Model, OperatorCatalog, compile};
use millstream_schemas::AxisLength;
use millstream_schemas::recipe::TrainSelection;

type Middle = fn(&mut Graph, ValueId) -> Result<ValueId, CompilerError>;

/// `x` `[batch, sequence, 4]` → dense → `middle`, which makes `[batch, 6]` of `[batch, sequence, 6]` → dense.
fn network(middle: Middle) -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let axes: [Length; 3] = [Length::named("batch"), Length::named("sequence"), 4.into()];
    let x = graph.input("x", TensorType::f32(axes));
    let weight = |graph: &mut Graph, name: &str, shape: [usize; 2]| {
        graph.constant(name, Constant::f32(shape, &vec![0.25; shape[0] * shape[1]]))
    };
    let body = weight(&mut graph, "body.weight", [4, 6]);
    let hidden = graph.add("MatMul", &[x, body], &[]).unwrap();
    let features = middle(&mut graph, hidden).unwrap();
    let head = weight(&mut graph, "head.weight", [6, 3]);
    let scores = graph.add("Gemm", &[features, head], &[]).unwrap();
    graph.output(scores);
    Model::from_bytes(graph.to_onnx("network")).unwrap()
}

fn mean(graph: &mut Graph, x: ValueId) -> Result<ValueId, CompilerError> {
    graph.add("ReduceMean", &[x], &[("axes", vec![1].into()), ("keepdims", 0.into())])
}

fn axes(shape: [AxisLength; 3]) -> BTreeMap<String, Vec<AxisLength>> {
    BTreeMap::from([("x".to_owned(), shape.to_vec())])
}

#[test]
fn the_caller_fixes_lengths_or_names_them_and_the_rest_keeps_the_names_of_the_file() {
    type Row<'a> = (AxisLength, BTreeMap<String, Vec<AxisLength>>, &'a str);
    let rows: Vec<Row<'_>> = vec![
        ("batch".into(), BTreeMap::new(), "[batch, sequence, 4]"),
        ("rows".into(), BTreeMap::new(), "[rows, sequence, 4]"),
        ("rows".into(), axes(["rows".into(), 9.into(), 4.into()]), "[rows, 9, 4]"),
        (3.into(), axes([3.into(), "tokens".into(), 4.into()]), "[3, tokens, 4]"),
        (3.into(), axes([3.into(), 9.into(), 4.into()]), "[3, 9, 4]"),
    ];
    let model = network(mean);
    for (batch, inputs, wanted) in rows {
        let train = TrainSelection::All;
        let wanted_tuning = FineTuning { batch: batch.clone(), inputs, train, ..FineTuning::head(1, 5) };
        let program = compile(&model, &wanted_tuning, &OperatorCatalog::standard()).unwrap();
        let manifest = &program.manifest;
        assert_eq!(format!("{:?}", manifest.inputs[0].shape), wanted);
        assert_eq!((&manifest.batch, &manifest.targets[0].shape[..]), (&batch, &[batch.clone(), 5.into()][..]));
        let lengths: BTreeMap<String, usize> =
            ["batch", "rows", "sequence", "tokens"].map(|name| (name.to_owned(), 9)).into();
        assert!(program.activation_bytes(&lengths).unwrap()[0] > 0);
        let open = program.activation_bytes(&BTreeMap::new()).map_err(|error| error.to_string());
        let is_open = manifest.inputs[0].fixed_shape().is_none();
        assert_eq!(open.is_err(), is_open, "{wanted}: {open:?}");
    }
}

#[test]
fn what_cannot_be_open_is_refused_with_the_node_and_what_to_do() {
    let refused = |middle: Middle, wanted: FineTuning| {
        compile(&network(middle), &wanted, &OperatorCatalog::standard()).unwrap_err().to_string()
    };
    let error = refused(mean, FineTuning::head(3, 5));
    assert!(error.contains("input `x` with axis 1 of unknown length"), "{error}");
    let error = refused(mean, FineTuning { inputs: axes([3.into(), 9.into(), 5.into()]), ..FineTuning::head(3, 5) });
    assert!(error.contains("takes [?, ?, 4] and the data gives [3, 9, 5]"), "{error}");
}

#[test]
fn a_length_that_an_exporter_wrote_in_is_refused_where_its_axis_is_open() {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let axes: [Length; 3] = [Length::named("batch"), Length::named("sequence"), 6.into()];
    let x = graph.input("x", TensorType::f32(axes));
    for (said, refusal) in [
        (
            vec![-1, 7, 6],
            Some("cannot be reshaped to [-1, 7, 6]; export the model with fixed lengths for what is open"),
        ),
        (
            vec![0, 7, 6],
            Some(
                "[batch, sequence, 6] cannot be reshaped to [0, 7, 6]; export the model with fixed lengths for what is open",
            ),
        ),
        (vec![0, 0, 2, -1], None),
    ] {
        let shape = graph.constant("shape", Constant::i64([said.len()], &said));
        match (graph.add("Reshape", &[x, shape], &[]), refusal) {
            (Ok(made), None) => assert_eq!(format!("{:?}", graph.shape(made).unwrap()), "[batch, sequence, 2, 3]"),
            (Err(error), Some(refusal)) => assert!(error.to_string().contains(refusal), "{error}"),
            (outcome, refusal) => panic!("{said:?}: {outcome:?} instead of {refusal:?}"),
        }
    }
}
