//! Prefixes in attentions that look at a window, and in those that are written as `Einsum` with relative places.

use std::path::Path;

use millstream_compiler::finetuning::heads::Pooling;
use millstream_compiler::finetuning::methods;
use millstream_compiler::graph::{Attribute, Constant, ElementType, Graph, Length, TensorType, ValueId};
use millstream_compiler::{FineTuning, HeadChoice, Method, Model, OperatorCatalog, TrainingProgram, compile};
use millstream_schemas::recipe::TrainSelection;
use millstream_schemas::{AxisLength, Choice};
use serde_json::json;

use crate::{CLASSES, IMAGE, ROWS, compiled_in, numbers, onnx_runtime, scores, session, weight};

const HEADS: usize = 2;
const SIZE: usize = 4;
const WIDTH: usize = HEADS * SIZE;
/// Keys of the prefix.
const LENGTH: usize = 2;
/// Places that the model with a window knows.
const PLACES: usize = 40;
/// How many keys a query sees there, itself the last.
const WINDOW: usize = 2;

fn prefix() -> Choice {
    Choice::new("prefix_tuning", json!({"length": LENGTH}))
}

fn learned() -> [Vec<f32>; 2] {
    [numbers(HEADS * SIZE * LENGTH, 1), numbers(HEADS * LENGTH * SIZE, 2)]
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Keys as they are stored, `[heads, size, length]` in the units of scores, as `[heads, length, size]` of a model that multiplies
/// products by `scale`.
fn as_keys(stored: &[f32], scale: f32) -> Vec<f32> {
    let places = (0..HEADS * LENGTH).flat_map(|at| (0..SIZE).map(move |number| (at / LENGTH, at % LENGTH, number)));
    places.map(|(head, place, number)| stored[(head * SIZE + number) * LENGTH + place] / scale).collect()
}

/// The lengths of rows are open.
fn node(graph: &mut Graph, operator: &str, inputs: &[ValueId], attributes: &[(&str, Attribute)]) -> ValueId {
    graph.append(operator, inputs, attributes, operator).unwrap()
}

fn turn(graph: &mut Graph, value: ValueId, order: &[i64]) -> ValueId {
    node(graph, "Transpose", &[value], &[("perm", Attribute::Ints(order.to_vec()))])
}

fn whole(graph: &mut Graph, values: &[i64]) -> ValueId {
    graph.named_constant("number", Constant::i64([values.len()], values))
}

/// One attention of GPT-Neo's local kind over rows of tokens: a table of places cuts the row, a table of truth values is cut to the
/// row's length and hides what lies outside of the window, and a mask as long as the row hides padding.
fn windowed(prefix: Option<&[Vec<f32>; 2]>) -> Vec<u8> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let graph = &mut graph;
    let rows = TensorType::new(ElementType::I64, [Length::named("batch"), Length::named("sequence")]);
    let tokens = graph.input("input_ids", rows);
    let front = if prefix.is_some() { LENGTH } else { 0 };
    let [zero, one, two, three] = [0, 1, 2, 3].map(|number| whole(graph, &[number]));
    let table = weight(graph, "words.weight", &[30, WIDTH]);
    let words = node(graph, "Gather", &[table, tokens], &[]);
    let shape = node(graph, "Shape", &[tokens], &[]);
    let length = node(graph, "Slice", &[shape, one, two], &[]);
    let table = weight(graph, "places.weight", &[1, PLACES, WIDTH]);
    let places = node(graph, "Slice", &[table, zero, length, one], &[]);
    let stream = node(graph, "Add", &[words, places], &[]);
    let [q, mut k, mut v] = ["query", "key", "value"].map(|name| {
        let matrix = weight(graph, &format!("{name}.weight"), &[WIDTH, WIDTH]);
        let made = node(graph, "MatMul", &[stream, matrix], &[]);
        let heads = whole(graph, &[0, 0, HEADS as i64, SIZE as i64]);
        let made = node(graph, "Reshape", &[made, heads], &[]);
        turn(graph, made, &[0, 2, 1, 3])
    });
    if let Some([keys, values]) = prefix {
        let mut joined = |own: &[f32], of_row: ValueId| {
            let own = Constant::f32([ROWS, HEADS, LENGTH, SIZE], &[own, own].concat());
            let own = graph.named_constant("prefix", own);
            node(graph, "Concat", &[own, of_row], &[("axis", 2.into())])
        };
        k = joined(&as_keys(keys, 1.0), k);
        v = joined(values, v);
    }
    let keys = turn(graph, k, &[0, 1, 3, 2]);
    let products = node(graph, "MatMul", &[q, keys], &[]);
    let sees = |query: usize, key: usize| key < front || (key - front <= query && key - front + WINDOW > query);
    let all = front + PLACES;
    let seen: Vec<u8> = (0..PLACES * all).map(|at| u8::from(sees(at / all, at % all))).collect();
    let seen = Constant { dtype: ElementType::Bool, shape: vec![1, 1, PLACES, all], bytes: seen.into() };
    let seen = graph.constant("window", seen);
    let front = whole(graph, &[front as i64]);
    let longer = node(graph, "Add", &[length, front], &[]);
    let seen = node(graph, "Slice", &[seen, zero, length, two], &[]);
    let seen = node(graph, "Slice", &[seen, zero, longer, three], &[]);
    let [least, hidden, nothing] = [f32::MIN, -1e9, 0.0].map(|number| graph.scalar(number));
    let windowed = node(graph, "Where", &[seen, products, least], &[]);
    let padding = graph.named_constant("padding", Constant::i64([], &[0]));
    let is_padding = node(graph, "Equal", &[tokens, padding], &[]);
    let of_keys = node(graph, "Where", &[is_padding, hidden, nothing], &[]);
    let of_queries = node(graph, "Where", &[is_padding, nothing, nothing], &[]);
    let axes = whole(graph, &[1, 2]);
    let of_keys = node(graph, "Unsqueeze", &[of_keys, axes], &[]);
    let axes = whole(graph, &[1, 3]);
    let of_queries = node(graph, "Unsqueeze", &[of_queries, axes], &[]);
    let mut mask = node(graph, "Add", &[of_keys, of_queries], &[]);
    if prefix.is_some() {
        let pads = whole(graph, &[0, 0, 0, LENGTH as i64, 0, 0, 0, 0]);
        mask = node(graph, "Pad", &[mask, pads], &[]);
    }
    let masked = node(graph, "Add", &[windowed, mask], &[]);
    let weights = node(graph, "Softmax", &[masked], &[("axis", (-1).into())]);
    let mixed = node(graph, "MatMul", &[weights, v], &[]);
    let mixed = turn(graph, mixed, &[0, 2, 1, 3]);
    let shape = whole(graph, &[0, 0, WIDTH as i64]);
    let mixed = node(graph, "Reshape", &[mixed, shape], &[]);
    let mean = node(graph, "ReduceMean", &[mixed], &[("axes", vec![1].into()), ("keepdims", 0.into())]);
    let head = weight(graph, "head.weight", &[WIDTH, CLASSES]);
    let scores = node(graph, "MatMul", &[mean, head], &[]);
    graph.set_outputs(&[scores]);
    graph.to_onnx("windowed")
}

/// One attention over rows of tokens with padding, as ONNX Runtime's optimizer writes it or in plain operators.
fn padded(is_one_node: bool, prefix: Option<&[Vec<f32>; 2]>) -> Vec<u8> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let graph = &mut graph;
    // a name of its own for each axis, as torch.export gives it
    let [tokens, seen] = ["input_ids", "attention_mask"].map(|name| {
        let axes = ["batch", "sequence"].map(|axis| Length::named(&format!("{axis}_of_{name}")));
        graph.input(name, TensorType::new(ElementType::I64, axes))
    });
    let table = weight(graph, "words.weight", &[30, WIDTH]);
    let stream = node(graph, "Gather", &[table, tokens], &[]);
    let parts = ["query", "key", "value"].map(|name| {
        let matrix = weight(graph, &format!("{name}.weight"), &[WIDTH, WIDTH]);
        node(graph, "MatMul", &[stream, matrix], &[])
    });
    let mixed = if is_one_node {
        let seen = node(graph, "Cast", &[seen], &[("to", 6.into())]);
        let inputs = [parts.map(Some).as_slice(), &[None, Some(seen)]].concat();
        let heads = [("num_heads", (HEADS as i64).into())];
        graph.add_in("com.microsoft", "MultiHeadAttention", &inputs, &heads, 1).unwrap()[0]
    } else {
        let [q, mut k, mut v] = parts.map(|part| {
            let heads = whole(graph, &[0, 0, HEADS as i64, SIZE as i64]);
            let made = node(graph, "Reshape", &[part, heads], &[]);
            turn(graph, made, &[0, 2, 1, 3])
        });
        if let Some([keys, values]) = prefix {
            let mut joined = |own: &[f32], of_row: ValueId| {
                let own = Constant::f32([ROWS, HEADS, LENGTH, SIZE], &[own, own].concat());
                let own = graph.named_constant("prefix", own);
                node(graph, "Concat", &[own, of_row], &[("axis", 2.into())])
            };
            k = joined(&as_keys(keys, 0.5), k);
            v = joined(values, v);
        }
        let keys = turn(graph, k, &[0, 1, 3, 2]);
        let products = node(graph, "MatMul", &[q, keys], &[]);
        let [half, one, far] = [0.5, 1.0, 1e4].map(|number| graph.scalar(number));
        let products = node(graph, "Mul", &[products, half], &[]);
        let floats = node(graph, "Cast", &[seen], &[("to", 1.into())]);
        let hidden = node(graph, "Sub", &[floats, one], &[]);
        let hidden = node(graph, "Mul", &[hidden, far], &[]);
        let axes = whole(graph, &[1, 2]);
        let mut hidden = node(graph, "Unsqueeze", &[hidden, axes], &[]);
        if prefix.is_some() {
            let pads = whole(graph, &[0, 0, 0, LENGTH as i64, 0, 0, 0, 0]);
            hidden = node(graph, "Pad", &[hidden, pads], &[]);
        }
        let masked = node(graph, "Add", &[products, hidden], &[]);
        let weights = node(graph, "Softmax", &[masked], &[("axis", (-1).into())]);
        let mixed = node(graph, "MatMul", &[weights, v], &[]);
        let mixed = turn(graph, mixed, &[0, 2, 1, 3]);
        let shape = whole(graph, &[0, 0, WIDTH as i64]);
        node(graph, "Reshape", &[mixed, shape], &[])
    };
    let mean = node(graph, "ReduceMean", &[mixed], &[("axes", vec![1].into()), ("keepdims", 0.into())]);
    let head = weight(graph, "head.weight", &[WIDTH, CLASSES]);
    let scores = node(graph, "MatMul", &[mean, head], &[]);
    graph.set_outputs(&[scores]);
    graph.to_onnx("padded")
}

#[test]
fn a_prefix_goes_into_fused_attention_with_padding_at_any_length() {
    if !onnx_runtime::available() {
        return;
    }
    assert!(apart(&scores(&padded(true, None)), &scores(&padded(false, None))) < 2e-6);
    let model = Model::from_bytes(padded(true, None)).unwrap();
    let program = open(&model, TrainSelection::Nothing, HeadChoice::keep());
    session(&program.step().unwrap().to_vec());
    let tuned = scores(&program.export(&learned(), &[]).unwrap().to_vec());
    let wanted = scores(&padded(false, Some(&learned())));
    assert!(apart(&tuned, &wanted) < 2e-6, "{tuned:?}, {wanted:?}");
    assert!(apart(&scores(&padded(true, None)), &wanted) > 1e-3, "the prefix changes something");
}

/// At any length of rows.
fn open(model: &Model, train: TrainSelection, head: HeadChoice) -> TrainingProgram {
    let axes = || vec![AxisLength::Fixed(ROWS), AxisLength::Named("sequence".into())];
    let inputs = model.inputs().into_iter().map(|(name, _)| (name, axes())).collect();
    let prefix = Method::choose(methods::standard(), &prefix(), "model.methods[0]").unwrap();
    let wanted = FineTuning { inputs, head, train, methods: vec![prefix], ..FineTuning::head(ROWS, CLASSES) };
    compile(model, &wanted, &OperatorCatalog::standard()).unwrap()
}

#[test]
fn a_prefix_is_seen_from_every_window_where_a_table_of_places_cuts_the_row() {
    if !onnx_runtime::available() {
        return;
    }
    let model = Model::from_bytes(windowed(None)).unwrap();
    let program = open(&model, TrainSelection::Nothing, HeadChoice::keep());
    program.step().unwrap();
    let tuned = scores(&program.export(&learned(), &[]).unwrap().to_vec());
    let (wanted, base) = (scores(&windowed(Some(&learned()))), scores(&windowed(None)));
    assert!(apart(&tuned, &wanted) < 2e-6, "{tuned:?}, {wanted:?}");
    assert!(apart(&base, &wanted) > 1e-3, "the prefix changes something");
}

/// One attention as XLNet has it: `Einsum` over tokens, rows, heads and numbers, a bias of the queries, products with relative places,
/// and a mask.
fn relative(prefix: Option<&[Vec<f32>; 2]>) -> Vec<u8> {
    const TOKENS: usize = 3;
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let graph = &mut graph;
    let x = graph.input("x", TensorType::f32(IMAGE));
    let shape = whole(graph, &[ROWS as i64, TOKENS as i64, 108]);
    let rows = node(graph, "Reshape", &[x, shape], &[]);
    let tokens = turn(graph, rows, &[1, 0, 2]);
    let [q, mut k, mut v] = ["query", "key", "value"].map(|name| {
        let matrix = weight(graph, &format!("{name}.weight"), &[108, WIDTH]);
        let made = node(graph, "MatMul", &[tokens, matrix], &[]);
        let heads = whole(graph, &[TOKENS as i64, ROWS as i64, HEADS as i64, SIZE as i64]);
        node(graph, "Reshape", &[made, heads], &[])
    });
    let front = if prefix.is_some() { LENGTH } else { 0 };
    if let Some([keys, values]) = prefix {
        // [heads, length, size] as [length, rows, heads, size]
        let mut joined = |own: &[f32], of_tokens: ValueId| {
            let number = |place: usize, head: usize, number: usize| own[(head * LENGTH + place) * SIZE + number];
            let places = (0..LENGTH * ROWS * HEADS).map(|at| (at / (ROWS * HEADS), at % HEADS));
            let own: Vec<f32> = places
                .flat_map(|(place, head)| (0..SIZE).map(move |at| (place, head, at)))
                .map(|(place, head, at)| number(place, head, at))
                .collect();
            let own = graph.named_constant("prefix", Constant::f32([LENGTH, ROWS, HEADS, SIZE], &own));
            node(graph, "Concat", &[own, of_tokens], &[("axis", 0.into())])
        };
        k = joined(&as_keys(keys, 0.5), k);
        v = joined(values, v);
    }
    let keys = front + TOKENS;
    let einsum = |graph: &mut Graph, of: [ValueId; 2], equation: &str| {
        node(graph, "Einsum", &of, &[("equation", equation.into())])
    };
    let biases = ["content", "place"].map(|name| weight(graph, &format!("{name}.bias"), &[HEADS, SIZE]));
    let [content, place] = biases.map(|bias| node(graph, "Add", &[q, bias], &[]));
    let by_content = einsum(graph, [content, k], "ibnd,jbnd->bnij");
    let far = [vec![0.0; front * WIDTH], numbers(TOKENS * WIDTH, 8)].concat();
    let far = graph.constant("relative", Constant::f32([keys, HEADS, SIZE], &far));
    let by_place = einsum(graph, [place, far], "ibnd,jnd->bnij");
    let sum = node(graph, "Add", &[by_content, by_place], &[]);
    let half = graph.scalar(0.5);
    let sum = node(graph, "Mul", &[sum, half], &[]);
    let hidden: Vec<f32> =
        (0..TOKENS * keys).map(|at| f32::from(u8::from(at % keys > front + at / keys)) * 1e9).collect();
    let hidden = graph.constant("hidden", Constant::f32([1, 1, TOKENS, keys], &hidden));
    let masked = node(graph, "Sub", &[sum, hidden], &[]);
    let weights = node(graph, "Softmax", &[masked], &[("axis", 3.into())]);
    let mixed = einsum(graph, [weights, v], "bnij,jbnd->ibnd");
    let mixed = turn(graph, mixed, &[1, 0, 2, 3]);
    let shape = whole(graph, &[ROWS as i64, (TOKENS * WIDTH) as i64]);
    let mixed = node(graph, "Reshape", &[mixed, shape], &[]);
    let head = weight(graph, "head.weight", &[TOKENS * WIDTH, CLASSES]);
    let scores = node(graph, "MatMul", &[mixed, head], &[]);
    graph.set_outputs(&[scores]);
    graph.to_onnx("relative")
}

#[test]
fn a_prefix_in_relative_attention_as_einsum_is_keys_without_a_relative_place() {
    if !onnx_runtime::available() {
        return;
    }
    let model = Model::from_bytes(relative(None)).unwrap();
    let program = compiled_in(&model, &[prefix()], TrainSelection::Nothing).unwrap();
    program.step().unwrap();
    let tuned = scores(&program.export(&learned(), &[]).unwrap().to_vec());
    let (wanted, base) = (scores(&relative(Some(&learned()))), scores(&relative(None)));
    assert!(apart(&tuned, &wanted) < 4e-6, "{tuned:?}, {wanted:?}");
    assert!(apart(&base, &wanted) > 1e-3, "the prefix changes something");
    // XLNet has no cache of keys that PEFT could put a prefix into
    let as_in_peft = Choice::new("prefix_tuning", json!({"length": LENGTH, "moves_places": true}));
    let error = compiled_in(&model, &[as_in_peft], TrainSelection::Nothing).unwrap_err().to_string();
    assert!(error.contains("is written as `Einsum`, as in models without a cache of keys"), "{error}");
}

/// Where heads lie.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    Apart,
    /// In the axis of rows, but for the softmax, as DeBERTa has them.
    Joined,
    /// In the axis of rows, of tokens that stand in front of those, as PyTorch's multi-head attention has them.
    TokensFirst,
}

fn heads_at(layout: Layout, prefix: Option<&[Vec<f32>; 2]>) -> Vec<u8> {
    const TOKENS: i64 = 3;
    let (rows, heads, size, width) = (ROWS as i64, HEADS as i64, SIZE as i64, WIDTH as i64);
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let graph = &mut graph;
    let reshape = |graph: &mut Graph, value: ValueId, shape: &[i64]| {
        let shape = whole(graph, shape);
        node(graph, "Reshape", &[value, shape], &[])
    };
    let x = graph.input("x", TensorType::f32(IMAGE));
    let mut tokens = reshape(graph, x, &[rows, TOKENS, 108]);
    if layout == Layout::TokensFirst {
        tokens = turn(graph, tokens, &[1, 0, 2]);
    }
    let [q, mut k, mut v] = ["query", "key", "value"].map(|name| {
        let matrix = weight(graph, &format!("{name}.weight"), &[108, WIDTH]);
        let made = node(graph, "MatMul", &[tokens, matrix], &[]);
        if layout == Layout::TokensFirst {
            let made = reshape(graph, made, &[TOKENS, rows * heads, size]);
            return turn(graph, made, &[1, 0, 2]);
        }
        let made = reshape(graph, made, &[rows, TOKENS, heads, size]);
        let made = turn(graph, made, &[0, 2, 1, 3]);
        if layout == Layout::Joined { reshape(graph, made, &[rows * heads, TOKENS, size]) } else { made }
    });
    if let (Some([keys, values]), Layout::Apart) = (prefix, layout) {
        let mut joined = |own: &[f32], of_row: ValueId| {
            let own = Constant::f32([ROWS, HEADS, LENGTH, SIZE], &[own, own].concat());
            let own = graph.named_constant("prefix", own);
            node(graph, "Concat", &[own, of_row], &[("axis", 2.into())])
        };
        k = joined(&as_keys(keys, 0.5), k);
        v = joined(values, v);
    }
    let order: &[i64] = if layout == Layout::Apart { &[0, 1, 3, 2] } else { &[0, 2, 1] };
    let keys = turn(graph, k, order);
    let half = graph.scalar(0.5);
    let q = node(graph, "Mul", &[q, half], &[]);
    let mut scores = node(graph, "MatMul", &[q, keys], &[]);
    if layout == Layout::Joined {
        scores = reshape(graph, scores, &[rows, heads, TOKENS, TOKENS]);
    }
    let front = if prefix.is_some() { LENGTH as i64 } else { 0 };
    let all = front + TOKENS;
    let hidden: Vec<f32> = (0..TOKENS * all).map(|at| if at % all > front + at / all { -1e9 } else { 0.0 }).collect();
    let shape: &[usize] = &[1, 1, TOKENS as usize, all as usize];
    let shape = if layout == Layout::TokensFirst { &shape[1..] } else { shape };
    let hidden = graph.constant("hidden", Constant::f32(shape, &hidden));
    let masked = node(graph, "Add", &[scores, hidden], &[]);
    let mut weights = node(graph, "Softmax", &[masked], &[("axis", (-1).into())]);
    if layout == Layout::Joined {
        weights = reshape(graph, weights, &[rows * heads, TOKENS, TOKENS]);
    }
    let mut mixed = node(graph, "MatMul", &[weights, v], &[]);
    if layout == Layout::TokensFirst {
        mixed = turn(graph, mixed, &[1, 0, 2]);
        mixed = reshape(graph, mixed, &[TOKENS, rows, width]);
        mixed = turn(graph, mixed, &[1, 0, 2]);
    } else {
        if layout == Layout::Joined {
            mixed = reshape(graph, mixed, &[rows, heads, TOKENS, size]);
        }
        mixed = turn(graph, mixed, &[0, 2, 1, 3]);
    }
    let mixed = reshape(graph, mixed, &[rows, TOKENS * width]);
    let head = weight(graph, "head.weight", &[TOKENS as usize * WIDTH, CLASSES]);
    let scores = node(graph, "MatMul", &[mixed, head], &[]);
    graph.set_outputs(&[scores]);
    graph.to_onnx("heads")
}

#[test]
fn a_prefix_where_heads_lie_in_the_axis_of_rows_is_that_of_heads_apart() {
    if !onnx_runtime::available() {
        return;
    }
    // queries are scaled here, and products with the prefix are as these are
    let [keys, values] = learned();
    let halves = [keys.iter().map(|key| key * 0.5).collect(), values.clone()];
    let wanted = scores(&heads_at(Layout::Apart, Some(&halves)));
    let base = scores(&heads_at(Layout::Apart, None));
    assert!(apart(&base, &wanted) > 1e-3, "the prefix changes something");
    for layout in [Layout::Apart, Layout::Joined, Layout::TokensFirst] {
        assert!(apart(&scores(&heads_at(layout, None)), &base) < 2e-6, "{layout:?}");
        let model = Model::from_bytes(heads_at(layout, None)).unwrap();
        let program = compiled_in(&model, &[prefix()], TrainSelection::Nothing).unwrap();
        session(&program.step().unwrap().to_vec());
        let tuned = scores(&program.export(&learned(), &[]).unwrap().to_vec());
        assert!(apart(&tuned, &wanted) < 4e-6, "{layout:?}: {tuned:?}, {wanted:?}");
    }
}

#[test]
fn a_prefix_goes_into_exported_encoders_with_relative_places_at_any_length() {
    if !onnx_runtime::available() {
        return;
    }
    for file in ["deberta_v2", "xlnet"] {
        let path = format!("tests/architectures/{file}.script.onnx");
        let model = Model::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        let program = open(&model, TrainSelection::Head, HeadChoice::pooled(Pooling::Mean));
        let prefixes = program.manifest.parameters.iter().filter(|entry| entry.name.contains("prefix_")).count();
        assert_eq!(prefixes, 4, "{file}: keys and values of two layers");
        session(&program.step().unwrap().to_vec());
        session(&program.export(&program.parameters, &[]).unwrap().to_vec());
    }
}

/// An attention over as many tokens as it has heads, whose scores are an `Einsum` and whose values are weighed by a `MatMul`.
fn as_many_tokens_as_heads(equation: &str) -> Model {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let graph = &mut graph;
    let (rows, heads, size) = (ROWS as i64, HEADS as i64, SIZE as i64);
    let x = graph.input("x", TensorType::f32(IMAGE));
    let shape = whole(graph, &[rows, heads, 162]);
    let tokens = node(graph, "Reshape", &[x, shape], &[]);
    let [q, k, v] = ["query", "key", "value"].map(|name| {
        let matrix = weight(graph, &format!("{name}.weight"), &[162, WIDTH]);
        let made = node(graph, "MatMul", &[tokens, matrix], &[]);
        let shape = whole(graph, &[rows, heads, heads, size]);
        let made = node(graph, "Reshape", &[made, shape], &[]);
        if name == "value" || equation.starts_with("bh") { turn(graph, made, &[0, 2, 1, 3]) } else { made }
    });
    let scores = node(graph, "Einsum", &[q, k], &[("equation", equation.into())]);
    let half = graph.scalar(0.5);
    let scores = node(graph, "Mul", &[scores, half], &[]);
    let weights = node(graph, "Softmax", &[scores], &[("axis", (-1).into())]);
    let mixed = node(graph, "MatMul", &[weights, v], &[]);
    let mixed = turn(graph, mixed, &[0, 2, 1, 3]);
    let shape = whole(graph, &[rows, heads * WIDTH as i64]);
    let mixed = node(graph, "Reshape", &[mixed, shape], &[]);
    let head = weight(graph, "head.weight", &[HEADS * WIDTH, CLASSES]);
    let scores = node(graph, "MatMul", &[mixed, head], &[]);
    graph.set_outputs(&[scores]);
    Model::from_bytes(graph.to_onnx("einsum")).unwrap()
}

#[test]
fn a_prefix_is_not_multiplied_along_the_tokens_where_there_are_as_many_as_heads() {
    let compiled = |equation: &str| {
        let model = as_many_tokens_as_heads(equation);
        compiled_in(&model, &[prefix()], TrainSelection::Nothing).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(compiled("bhqd,bhkd->bhqk"), Ok(()));
    let error = compiled("bqhd,bkhd->bhqk").unwrap_err();
    assert!(error.contains("has not the axes rows, heads and tokens in this order"), "{error}");
}
