//! Inputs of other types than batches hold, each beside a twin of the type that they hold; what is exported takes what the file takes.

use millstream_compiler::losses::PredictionKind;
use millstream_compiler::{Model, OperatorCatalog, TrainingProgram};
use ort::value::{DynValue, Tensor};
use prost::Message;

use crate::onnx_file::onnx::{ModelProto, NodeProto, TensorProto};
use crate::onnx_file::{Value, graph, integers, model, node, rows, weight};
use crate::{CLASSES, FLOAT, ROWS, compiled, ints, numbers, onnx_runtime};
use crate::{floats as float_values, run, session};

const UINT8: i32 = 2;
const INT8: i32 = 3;
const UINT16: i32 = 4;
const INT32: i32 = 6;
const INT64: i32 = 7;
const BOOL: i32 = 9;
const HALF: i32 = 10;
const DOUBLE: i32 = 11;
const UINT32: i32 = 12;

fn opened(file: &ModelProto) -> Model {
    Model::from_bytes(file.encode_to_vec()).unwrap()
}

/// Scores of eight numbers.
fn head() -> (NodeProto, Vec<TensorProto>) {
    let weights = vec![weight("fc.weight", &[8, CLASSES as i64]), weight("fc.bias", &[CLASSES as i64])];
    (node("Gemm", "z fc.weight fc.bias", "y"), weights)
}

/// The sum of the vectors of those tokens that a mask counts.
fn of_tokens(ids: i32, mask: i32) -> ModelProto {
    let (head, mut weights) = head();
    let nodes = vec![
        node("Gather", "table.weight ids", "words"),
        node("Cast", "mask", "counted").with("to", Value::Int(FLOAT.into())),
        node("Unsqueeze", "counted last", "by_feature"),
        node("Mul", "words by_feature", "seen"),
        node("ReduceSum", "seen places", "z").with("keepdims", Value::Int(0)),
        head,
    ];
    weights.extend([weight("table.weight", &[9, 8]), integers("last", &[1], &[2]), integers("places", &[1], &[1])]);
    let inputs = vec![rows("ids", ids, &[4]), rows("mask", mask, &[4])];
    model(17, graph(nodes, weights, inputs, vec![rows("y", FLOAT, &[CLASSES as i64])]), vec![])
}

/// Pixels, a convolution, and the mean of each of its eight channels.
fn of_pixels(kind: i32) -> ModelProto {
    let (head, mut weights) = head();
    let nodes = vec![
        node("Cast", "x", "pixels").with("to", Value::Int(FLOAT.into())),
        node("Conv", "pixels conv.weight", "c").with("strides", ints(&[2, 2])),
        node("GlobalAveragePool", "c", "mean"),
        node("Flatten", "mean", "z"),
        head,
    ];
    weights.push(weight("conv.weight", &[8, 3, 3, 3]));
    model(
        17,
        graph(nodes, weights, vec![rows("x", kind, &[3, 6, 6])], vec![rows("y", FLOAT, &[CLASSES as i64])]),
        vec![],
    )
}

/// A tensor as one of doubles.
fn doubled(tensor: TensorProto) -> TensorProto {
    let double_data = tensor.float_data.iter().map(|value| f64::from(*value)).collect();
    TensorProto { data_type: Some(DOUBLE), double_data, float_data: vec![], ..tensor }
}

/// Numbers of this type, shifted by what is a double or a float as they are, and two layers.
fn of_numbers(kind: i32) -> ModelProto {
    let own = |tensor: TensorProto| if kind == DOUBLE { doubled(tensor) } else { tensor };
    let (head, weights) = head();
    let nodes = vec![
        node("Constant", "", "tenth").with("value", Value::Tensor(tenth(kind))),
        node("Sub", "x tenth", "shifted"),
        node("MatMul", "shifted body.weight", "hidden"),
        node("Relu", "hidden", "z"),
        head,
    ];
    let weights = weights.into_iter().chain([weight("body.weight", &[6, 8])]).map(own).collect();
    model(17, graph(nodes, weights, vec![rows("x", kind, &[6])], vec![rows("y", kind, &[CLASSES as i64])]), vec![])
}

/// 0.1, as near as the type comes.
fn tenth(kind: i32) -> TensorProto {
    match kind {
        DOUBLE => TensorProto { data_type: Some(DOUBLE), double_data: vec![0.1], ..TensorProto::default() },
        _ => TensorProto { data_type: Some(FLOAT), float_data: vec![0.1], ..TensorProto::default() },
    }
}

fn whole(shape: [usize; 2], values: impl Iterator<Item = usize>) -> DynValue {
    Tensor::from_array((shape.to_vec(), values.map(|value| value as i64).collect::<Vec<i64>>())).unwrap().into_dyn()
}

fn bytes(shape: &[usize]) -> DynValue {
    let count: usize = shape.iter().product();
    Tensor::from_array((shape.to_vec(), (0..count).map(|at| (at * 37 % 256) as u8).collect::<Vec<u8>>()))
        .unwrap()
        .into_dyn()
}

/// What batches hold for a model of tokens, of pixels or of numbers.
fn batch(model: &Model) -> Vec<(String, DynValue)> {
    let given = |(name, shape): (String, Vec<Option<usize>>)| {
        let shape: Vec<usize> = shape.iter().map(|length| length.unwrap_or(ROWS)).collect();
        let value = match (name.as_str(), model.input_type(&name)) {
            ("ids", Some("int64")) => whole([ROWS, 4], (0..ROWS * 4).map(|at| at * 5 % 9)),
            ("mask", Some("int64")) => whole([ROWS, 4], (0..ROWS * 4).map(|at| usize::from(at % 4 < 3))),
            (_, Some("uint8")) => bytes(&shape),
            (_, Some("float32")) => float_values(&shape, &numbers(shape.iter().product(), 1)),
            other => panic!("{other:?}"),
        };
        (name, value)
    };
    model.inputs().into_iter().map(given).collect()
}

/// What the step gives for a batch, what the evaluation gives, and what the model is evaluated by.
fn computed(file: &ModelProto, program: &TrainingProgram) -> Vec<Vec<f32>> {
    let model = opened(file);
    let with_parameters = || {
        let targets: Vec<f32> = (0..ROWS * CLASSES).map(|at| f32::from(u8::from(at % 6 == 0))).collect();
        let mut inputs = batch(&model);
        inputs.push((program.manifest.targets[0].name.clone(), float_values(&[ROWS, CLASSES], &targets)));
        let parameters = program.manifest.parameters.iter().zip(&program.parameters);
        inputs.extend(parameters.map(|(entry, values)| (entry.name.clone(), float_values(&entry.shape, values))));
        inputs
    };
    let catalog = OperatorCatalog::standard();
    let scoring = model.evaluated(None, PredictionKind::Numbers, None, &catalog).unwrap();
    [
        run(&mut session(&program.step().unwrap().to_vec()), with_parameters()),
        run(&mut session(&program.evaluation().unwrap().to_vec()), with_parameters()),
        run(&mut session(&scoring.model.file().to_vec()), batch(&model)),
    ]
    .concat()
}

/// A file computes what its twin does, to the bit, and is exported as it came: inputs, outputs and nodes. `notes` say how it is trained.
#[track_caller]
fn holds(file: &ModelProto, twin: &ModelProto, notes: &[&str]) {
    let [own, wanted] = [file, twin].map(|file| compiled(&file.encode_to_vec()));
    assert_eq!(computed(file, &own), computed(twin, &wanted));
    let dtypes = |program: &TrainingProgram| {
        let entries = program.manifest.inputs.iter().map(|entry| (entry.name.clone(), entry.dtype.clone()));
        entries.collect::<Vec<_>>()
    };
    assert_eq!(dtypes(&own), dtypes(&wanted));
    for note in notes {
        assert!(own.notes.iter().any(|found| found.contains(note)), "{:?}", own.notes);
    }
    let exported = own.export(&own.parameters, &[]).unwrap().to_vec();
    let exported = ModelProto::decode(exported.as_slice()).unwrap();
    let [found, came] = [&exported, file].map(|file| file.graph.clone().unwrap());
    assert_eq!((&found.input, &found.output), (&came.input, &came.output));
    let shown = |nodes: &[NodeProto]| {
        let parts = nodes.iter().map(|node| (node.op_type().to_owned(), node.input.clone(), node.output.clone()));
        parts.filter(|(operator, ..)| operator != "Constant").collect::<Vec<_>>()
    };
    assert_eq!(shown(&found.node), shown(&came.node));
    // what is exported is trained on alike
    let again = compiled(&exported.encode_to_vec());
    assert_eq!(computed(&exported, &again), computed(twin, &wanted));
}

#[test]
fn integers_and_truth_values_are_given_as_int64_and_exported_as_they_came() {
    if !onnx_runtime::available() {
        return;
    }
    let twin = of_tokens(INT64, INT64);
    for (ids, mask, note) in [
        (INT32, INT64, "input `ids` is of int32: batches hold int64"),
        (INT32, INT32, "inputs `ids`, `mask` are of int32: batches hold int64"),
        (INT32, BOOL, "input `mask` is of bool: batches hold int64, of which training and evaluation make bool"),
        (INT64, UINT8, "the exported model takes uint8 as the file does"),
        (INT64, INT8, "`mask` is of int8"),
        (INT64, UINT16, "`mask` is of uint16"),
        (INT64, UINT32, "`mask` is of uint32"),
    ] {
        holds(&of_tokens(ids, mask), &twin, &[note]);
    }
    let model = opened(&of_tokens(INT32, BOOL));
    assert_eq!((model.element_types()["ids"], model.input_type("ids")), ("int32", Some("int64")));
    assert_eq!(model.input_range("ids"), Some(-2_147_483_648..=2_147_483_647));
    assert_eq!(model.input_range("mask"), Some(0..=1));
    assert_eq!(opened(&twin).input_range("ids"), None);
    let notes = compiled(&twin.encode_to_vec()).notes;
    assert!(notes.iter().all(|note| !note.contains("batches hold")), "{notes:?}");
}

#[test]
fn pixels_of_wider_integers_are_given_as_bytes() {
    if !onnx_runtime::available() {
        return;
    }
    for kind in [INT32, UINT16] {
        holds(&of_pixels(kind), &of_pixels(UINT8), &["input `x` is of", "batches hold uint8"]);
    }
    assert_eq!(opened(&of_pixels(INT32)).input_range("x"), None);
    assert_eq!(opened(&of_pixels(HALF)).input_type("x"), Some("float32"));
}

#[test]
fn a_model_of_doubles_is_trained_in_32_bits_and_keeps_the_digits_that_training_does_not_change() {
    if !onnx_runtime::available() {
        return;
    }
    let file = of_numbers(DOUBLE);
    let note =
        "what the file has in float64 is trained and evaluated in float32; the exported model has it in float64 again";
    holds(&file, &of_numbers(FLOAT), &[note]);
    let program = compiled(&file.encode_to_vec());
    assert_eq!(program.trained, 6 * 8 + 8 * CLASSES + CLASSES);
    let mut parameters = program.parameters.clone();
    parameters[0].fill(0.1);
    let exported = program.export(&parameters, &[]).unwrap().to_vec();
    let exported = ModelProto::decode(exported.as_slice()).unwrap().graph.unwrap();
    let doubles = |tensor: &TensorProto| -> Vec<f64> {
        assert_eq!(tensor.data_type(), DOUBLE);
        let raw = tensor.raw_data.clone().unwrap_or_default();
        raw.chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect()
    };
    let tensor = |name: &str| exported.initializer.iter().find(|tensor| tensor.name() == name).unwrap();
    let trained = &program.manifest.parameters[0].name;
    assert!(doubles(tensor(trained)).iter().all(|number| *number == f64::from(0.1_f32)), "{trained}");
    // in a node as it came, or beside the weights
    let constant = exported.node.iter().find(|node| node.output[0] == "tenth");
    let constant = constant.map_or_else(|| tensor("tenth"), |node| node.attribute[0].t.as_ref().unwrap());
    assert_eq!(doubles(constant), [0.1]);
}
