//! Prefixes in `GroupQueryAttention`, whose heads share keys and values: as those of the same attention in plain operators, with the
//! scores of the prefix in front of what its softmax reads.

use millstream_compiler::graph::{Attribute, Constant, ElementType, Graph, TensorType, ValueId};
use millstream_compiler::{Model, OperatorCatalog};
use millstream_schemas::Choice;
use millstream_schemas::recipe::TrainSelection;
use serde_json::json;

use crate::{CLASSES, IMAGE, ROWS, compiled_in, numbers, onnx_runtime, scores, weight};

const TOKENS: usize = 3;
const INPUTS: usize = 108;
/// Heads of queries.
const HEADS: usize = 4;
/// Heads of keys and values.
const GROUPS: usize = 2;
const SIZE: usize = 8;
/// Columns of queries, of keys and of values.
const COLUMNS: [usize; 3] = [HEADS * SIZE, GROUPS * SIZE, GROUPS * SIZE];
const ALL: usize = COLUMNS[0] + COLUMNS[1] + COLUMNS[2];
/// Earlier keys.
const PAST: usize = 2;
/// Keys of the prefix.
const LENGTH: usize = 2;
const SCALE: f32 = 0.5;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Form {
    /// Whether keys and values stand behind the queries in one input.
    is_packed: bool,
    has_past: bool,
    has_sinks: bool,
    /// What scores go through, c · tanh(s / c).
    cap: Option<f32>,
    /// How many keys a query sees, itself the last.
    window: Option<usize>,
}

impl Form {
    fn past(self) -> usize {
        if self.has_past { PAST } else { 0 }
    }

    /// All keys but the prefix.
    fn keys(self) -> usize {
        self.past() + TOKENS
    }

    fn sees(self, query: usize, key: usize) -> bool {
        let place = query + self.past();
        key <= place && self.window.is_none_or(|window| place < key + window)
    }
}

/// `[inputs, all]`.
fn matrix() -> Vec<f32> {
    numbers(INPUTS * ALL, 11).into_iter().map(|value| value / 4.0).collect()
}

/// Earlier keys or values, `[rows, groups, past, size]`.
fn earlier(seed: usize) -> Constant {
    Constant::f32([ROWS, GROUPS, PAST, SIZE], &numbers(ROWS * GROUPS * PAST * SIZE, seed))
}

/// A score for each head.
fn sinks() -> Vec<f32> {
    numbers(HEADS, 17).into_iter().map(|value| value + 1.0).collect()
}

fn reshape(graph: &mut Graph, value: ValueId, shape: &[usize]) -> ValueId {
    let shape: Vec<i64> = shape.iter().map(|length| *length as i64).collect();
    let shape = graph.named_constant("shape", Constant::i64([shape.len()], &shape));
    graph.add("Reshape", &[value, shape], &[]).unwrap()
}

fn turn(graph: &mut Graph, value: ValueId, order: &[i64]) -> ValueId {
    graph.add("Transpose", &[value], &[("perm", Attribute::Ints(order.to_vec()))]).unwrap()
}

fn tokens(graph: &mut Graph) -> ValueId {
    let x = graph.input("x", TensorType::f32(IMAGE));
    reshape(graph, x, &[ROWS, TOKENS, INPUTS])
}

fn end(graph: &mut Graph, mixed: ValueId) -> Vec<u8> {
    let mixed = reshape(graph, mixed, &[ROWS, TOKENS * HEADS * SIZE]);
    let head = weight(graph, "head.weight", &[TOKENS * HEADS * SIZE, CLASSES]);
    let scored = graph.add("MatMul", &[mixed, head], &[]).unwrap();
    graph.set_outputs(&[scored]);
    graph.to_onnx("attention")
}

/// Numbers of each group for each of its heads.
fn of_heads(groups: &[f32]) -> Vec<f32> {
    let each = groups.chunks(groups.len() / GROUPS);
    each.flat_map(|own| std::iter::repeat_n(own, HEADS / GROUPS)).flatten().copied().collect()
}

/// Keys or values `[rows, groups, keys, size]` for each head.
fn repeated(graph: &mut Graph, value: ValueId, keys: usize) -> ValueId {
    let apart = reshape(graph, value, &[ROWS, GROUPS, 1, keys, SIZE]);
    let wide = [ROWS, GROUPS, HEADS / GROUPS, keys, SIZE].map(|length| length as i64);
    let wide = graph.named_constant("shape", Constant::i64([5], &wide));
    let wide = graph.add("Expand", &[apart, wide], &[]).unwrap();
    reshape(graph, wide, &[ROWS, HEADS, keys, SIZE])
}

/// Scores of the keys of the row and of earlier ones, `[rows, heads, tokens, keys]`.
fn own_scores(graph: &mut Graph, form: Form, [queries, keys]: [ValueId; 2]) -> ValueId {
    let turned = turn(graph, keys, &[0, 1, 3, 2]);
    let products = graph.add("MatMul", &[queries, turned], &[]).unwrap();
    let scale = graph.named_constant("scale", Constant::f32([], &[SCALE]));
    let mut scored = graph.add("Mul", &[products, scale], &[]).unwrap();
    if let Some(cap) = form.cap {
        let cap = graph.named_constant("cap", Constant::f32([], &[cap]));
        let share = graph.add("Div", &[scored, cap], &[]).unwrap();
        let bent = graph.add("Tanh", &[share], &[]).unwrap();
        scored = graph.add("Mul", &[bent, cap], &[]).unwrap();
    }
    let places = (0..TOKENS).flat_map(|query| (0..form.keys()).map(move |key| (query, key)));
    let hidden: Vec<f32> = places.map(|(query, key)| if form.sees(query, key) { 0.0 } else { -1e9 }).collect();
    let hidden = graph.named_constant("hidden", Constant::f32([TOKENS, form.keys()], &hidden));
    graph.add("Add", &[scored, hidden], &[]).unwrap()
}

/// The attention in plain operators. Keys of the prefix are `[groups, size, length]`, whose products with queries are the scores; values
/// `[groups, length, size]`.
fn written(form: Form, prefix: Option<[&[f32]; 2]>) -> Vec<u8> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let graph = &mut graph;
    let tokens = tokens(graph);
    let all = graph.named_constant("qkv.weight", Constant::f32([INPUTS, ALL], &matrix()));
    let all = graph.add("MatMul", &[tokens, all], &[]).unwrap();
    let lengths = graph.named_constant("lengths", Constant::i64([3], &COLUMNS.map(|columns| columns as i64)));
    let parts = graph.add_with("Split", &[Some(all), Some(lengths)], &[("axis", 2.into())], 3).unwrap();
    let queries = reshape(graph, parts[0], &[ROWS, TOKENS, HEADS, SIZE]);
    let queries = turn(graph, queries, &[0, 2, 1, 3]);
    let [keys, values] = [1, 2].map(|at| {
        let own = reshape(graph, parts[at], &[ROWS, TOKENS, GROUPS, SIZE]);
        let mut own = turn(graph, own, &[0, 2, 1, 3]);
        if form.has_past {
            let past = graph.named_constant("past", earlier(at));
            own = graph.concat(&[past, own], 2).unwrap();
        }
        repeated(graph, own, form.keys())
    });
    let mut scored = vec![own_scores(graph, form, [queries, keys])];
    let mut weighed = vec![values];
    if let Some([keys, values]) = prefix {
        let keys = graph.named_constant("prefix", Constant::f32([1, HEADS, SIZE, LENGTH], &of_heads(keys)));
        scored.insert(0, graph.add("MatMul", &[queries, keys], &[]).unwrap());
        let of_all = of_heads(values).repeat(ROWS);
        weighed.insert(0, graph.named_constant("prefix", Constant::f32([ROWS, HEADS, LENGTH, SIZE], &of_all)));
    }
    if form.has_sinks {
        let of_tokens: Vec<f32> = sinks().into_iter().flat_map(|sink| std::iter::repeat_n(sink, TOKENS)).collect();
        let of_all = Constant::f32([ROWS, HEADS, TOKENS, 1], &of_tokens.repeat(ROWS));
        scored.push(graph.named_constant("sinks", of_all));
        let nothing = Constant::f32([ROWS, HEADS, 1, SIZE], &[0.0; ROWS * HEADS * SIZE]);
        weighed.push(graph.named_constant("nothing", nothing));
    }
    let scored = graph.concat(&scored, 3).unwrap();
    let weights = graph.add("Softmax", &[scored], &[("axis", (-1).into())]).unwrap();
    let weighed = graph.concat(&weighed, 2).unwrap();
    let mixed = graph.add("MatMul", &[weights, weighed], &[]).unwrap();
    let mixed = turn(graph, mixed, &[0, 2, 1, 3]);
    end(graph, mixed)
}

fn whole(graph: &mut Graph, name: &str, shape: &[usize], values: &[i32]) -> ValueId {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    graph.constant(name, Constant { dtype: ElementType::I32, shape: shape.to_vec(), bytes: bytes.into() })
}

/// The same as one node.
fn one_node(form: Form) -> Vec<u8> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let graph = &mut graph;
    let tokens = tokens(graph);
    let matrix = matrix();
    let mut inputs = if form.is_packed {
        let all = graph.constant("qkv.weight", Constant::f32([INPUTS, ALL], &matrix));
        vec![Some(graph.add("MatMul", &[tokens, all], &[]).unwrap()), None, None]
    } else {
        let starts = [0, COLUMNS[0], COLUMNS[0] + COLUMNS[1]];
        let parts = ["q", "k", "v"].into_iter().zip(starts).zip(COLUMNS).map(|((name, start), columns)| {
            let rows = matrix.chunks(ALL).map(|row| &row[start..start + columns]);
            let own: Vec<f32> = rows.flatten().copied().collect();
            let own = graph.constant(&format!("{name}.weight"), Constant::f32([INPUTS, columns], &own));
            Some(graph.add("MatMul", &[tokens, own], &[]).unwrap())
        });
        parts.collect::<Vec<Option<ValueId>>>()
    };
    inputs.extend([1, 2].map(|at| form.has_past.then(|| graph.named_constant("past", earlier(at)))));
    inputs.push(Some(whole(graph, "lasts", &[ROWS], &[form.keys() as i32 - 1; ROWS])));
    inputs.push(Some(whole(graph, "total", &[], &[form.keys() as i32])));
    if form.has_sinks {
        inputs.extend([None; 4]);
        inputs.push(Some(graph.named_constant("sinks", Constant::f32([HEADS], &sinks()))));
    }
    let attributes = [
        ("num_heads", Attribute::Int(HEADS as i64)),
        ("kv_num_heads", Attribute::Int(GROUPS as i64)),
        ("scale", Attribute::Float(SCALE)),
        ("softcap", Attribute::Float(form.cap.unwrap_or(0.0))),
        ("local_window_size", Attribute::Int(form.window.map_or(-1, |window| window as i64))),
    ];
    // those with earlier keys give all that they have
    let outputs = if form.has_past { 3 } else { 1 };
    let mixed = graph.add_in("com.microsoft", "GroupQueryAttention", &inputs, &attributes, outputs).unwrap()[0];
    end(graph, mixed)
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn forms() -> Vec<Form> {
    let plain = Form::default();
    let (past, sinks, cap, window) = (
        Form { has_past: true, ..plain },
        Form { has_sinks: true, ..plain },
        Form { cap: Some(0.2), ..plain },
        Form { window: Some(2), ..plain },
    );
    let all = Form { is_packed: true, has_past: true, has_sinks: true, cap: Some(0.2), window: Some(2) };
    let packed = Form { is_packed: true, ..plain };
    vec![
        plain,
        packed,
        past,
        sinks,
        cap,
        window,
        Form { has_sinks: true, is_packed: true, ..cap },
        Form { window: Some(3), ..past },
        Form { has_past: false, ..all },
        all,
    ]
}

#[test]
fn a_prefix_in_grouped_attention_stands_in_front_of_its_softmax_in_every_form() {
    if !onnx_runtime::available() {
        return;
    }
    let prefix = [Choice::new("prefix_tuning", json!({"length": LENGTH}))];
    let learned = [numbers(GROUPS * SIZE * LENGTH, 1), numbers(GROUPS * LENGTH * SIZE, 2)];
    let plain = scores(&written(Form::default(), Some([&learned[0], &learned[1]])));
    for form in forms() {
        let model = Model::from_bytes(one_node(form)).unwrap();
        let program = compiled_in(&model, &prefix, TrainSelection::Nothing).unwrap();
        let shapes: Vec<&[usize]> = program.manifest.parameters.iter().map(|entry| entry.shape.as_slice()).collect();
        assert_eq!(shapes, [[GROUPS, SIZE, LENGTH], [GROUPS, LENGTH, SIZE]], "{form:?}");
        program.step().unwrap();
        let tuned = scores(&program.export(&learned, &[]).unwrap().to_vec());
        let wanted = scores(&written(form, Some([&learned[0], &learned[1]])));
        assert!(apart(&tuned, &wanted) < 2e-5, "{form:?}: {tuned:?}, {wanted:?}");
        let base = scores(&written(form, None));
        assert!(apart(&base, &wanted) > 1e-3, "{form:?}: the prefix changes something");
        let is_plain = Form { is_packed: false, ..form } == Form::default();
        assert_eq!(apart(&plain, &wanted) > 1e-3, !is_plain, "{form:?} differs from one that is plain");
    }
}

/// What stands in plain operators above is what ONNX Runtime computes of the node, which takes several tokens behind earlier keys of one
/// row only.
#[test]
fn grouped_attention_in_one_node_and_in_plain_operators_computes_the_same() {
    if !onnx_runtime::available() {
        return;
    }
    for form in forms().into_iter().filter(|form| !form.has_past) {
        let (one, parts) = (scores(&one_node(form)), scores(&written(form, None)));
        assert!(apart(&one, &parts) < 2e-5, "{form:?}: {one:?}, {parts:?}");
    }
}
