//! Heads that read the table of the embedding, in the ways that exporters write it.

use millstream_compiler::{Model, OperatorCatalog, TrainingProgram, compile, describe};
use millstream_schemas::recipe::TrainSelection;
use prost::Message;

use crate::onnx_file::onnx::{ModelProto, NodeProto, TensorProto};
use crate::onnx_file::{Value, floats, graph, model, node, rows, weight};
use crate::{CLASSES, FLOAT, everything, holds_within, ints, numbers, onnx_runtime};

const WIDTH: usize = 8;

fn transposed(table: &[f32]) -> Vec<f32> {
    (0..WIDTH * CLASSES).map(|at| table[at % CLASSES * WIDTH + at / CLASSES]).collect()
}

/// Words by their numbers, what is between, and the words' scores, which `head` makes of `h`.
fn language_model(table: &[f32], head: Vec<NodeProto>, own: Vec<TensorProto>) -> ModelProto {
    let body = vec![
        node("Abs", "x", "positive"),
        node("Mul", "positive most", "scaled"),
        node("Cast", "scaled", "ids").with("to", Value::Int(7)),
        node("Gather", "wte.weight ids", "e"),
        node("MatMul", "e mix.weight", "mixed"),
        node("Tanh", "mixed", "t"),
        node("ReduceMean", "t", "h").with("axes", ints(&[1])).with("keepdims", Value::Int(0)),
    ];
    let shape = [CLASSES as i64, WIDTH as i64];
    let weights = vec![floats("most", &[], &[4.9]), floats("wte.weight", &shape, table), weight("mix.weight", &[8, 8])];
    let (inputs, outputs) = (vec![rows("x", FLOAT, &[3])], vec![rows("y", FLOAT, &[CLASSES as i64])]);
    model(17, graph([body, head].concat(), [weights, own].concat(), inputs, outputs), vec![])
}

fn named(path: &str, node: NodeProto) -> NodeProto {
    NodeProto { name: Some(path.into()), ..node }
}

/// A matrix of its own that is multiplied by.
fn stored_again(table: &[f32], copy: Vec<f32>) -> ModelProto {
    let head = vec![named("/lm_head/MatMul", node("MatMul", "h onnx::MatMul_7", "y"))];
    language_model(table, head, vec![floats("onnx::MatMul_7", &[WIDTH as i64, CLASSES as i64], &copy)])
}

fn tried(file: &ModelProto, train: TrainSelection) -> TrainingProgram {
    let wanted = millstream_compiler::FineTuning { train, ..everything() };
    compile(&Model::from_bytes(file.encode_to_vec()).unwrap(), &wanted, &OperatorCatalog::standard()).unwrap()
}

#[test]
fn a_head_that_is_the_embedding_stored_again_stays_one_parameter_with_it() {
    if !onnx_runtime::available() {
        return;
    }
    let table = numbers(CLASSES * WIDTH, 5);
    let turned = transposed(&table);
    let again =
        |shape: [usize; 2], values: &[f32]| vec![floats("lm_head.weight", &shape.map(|length| length as i64), values)];
    let (as_it_is, as_turned) = ([CLASSES, WIDTH], [WIDTH, CLASSES]);
    let gemm = |turned: i64| vec![node("Gemm", "h lm_head.weight", "y").with("transB", Value::Int(turned))];
    let turning =
        |of: &str| vec![node("Transpose", of, "turned").with("perm", ints(&[1, 0])), node("MatMul", "h turned", "y")];
    let mut trained_apart = turned.clone();
    trained_apart[17] += 1e-6;
    // a class a row: equal, and not one
    let ones: Vec<f32> = (0..CLASSES * WIDTH).map(|at| f32::from(u8::from(at % WIDTH == at / WIDTH))).collect();
    let told = "one parameter, are trained as one and stay equal";
    let (one, two) = (CLASSES * WIDTH + 64, 2 * CLASSES * WIDTH + 64);
    for (name, file, wanted, trained) in [
        ("transposed, without a name", stored_again(&table, turned.clone()), vec![told], one),
        ("transposed, with a name", language_model(&table, gemm(0), again(as_turned, &turned)), vec![told], one),
        ("as it is", language_model(&table, gemm(1), again(as_it_is, &table)), vec![told], one),
        (
            "as it is, transposed by a node",
            language_model(&table, turning("lm_head.weight"), again(as_it_is, &table)),
            vec![told],
            one,
        ),
        ("the table itself, transposed by a node", language_model(&table, turning("wte.weight"), vec![]), vec![], one),
        ("of other numbers", stored_again(&table, trained_apart), vec![], two),
        ("a class a row", stored_again(&ones, transposed(&ones)), vec![], two),
    ] {
        holds_within(1e-5, name, &file, &wanted, trained);
    }
}

#[test]
fn what_is_trained_of_a_tied_head_is_the_embedding_too_and_what_is_not_trained_stays_as_the_file_has_it() {
    let table = numbers(CLASSES * WIDTH, 5);
    let file = stored_again(&table, transposed(&table));
    let patterns = |name: &str| TrainSelection::Match(vec![name.into()]);
    for (train, trained) in [
        (TrainSelection::Head, CLASSES * WIDTH),
        (patterns("lm_head"), CLASSES * WIDTH),
        (TrainSelection::Embeddings, CLASSES * WIDTH),
    ] {
        let program = tried(&file, train.clone());
        assert_eq!((program.trained, program.frozen), (trained, 64), "{train:?}");
        let names: Vec<&str> = program.manifest.parameters.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["wte.weight"], "{train:?}");
    }
    let report =
        describe(&Model::from_bytes(file.encode_to_vec()).unwrap(), Some(&everything()), &OperatorCatalog::standard())
            .unwrap();
    let shared: Vec<(&str, Vec<&str>)> = report
        .shared
        .iter()
        .map(|weight| (weight.name.as_str(), weight.layers.iter().map(String::as_str).collect()))
        .collect();
    assert_eq!(shared, [("wte.weight", vec!["wte", "lm_head"])]);
}
