//! Prefixes in attentions that are one node and order, count or keep their keys themselves: as keys and values in front of those
//! of the same attention in plain operators.

use millstream_compiler::graph::{Attribute, Constant, ElementType, Graph, TensorType, ValueId};
use millstream_compiler::{Model, OperatorCatalog};
use millstream_schemas::Choice;
use millstream_schemas::recipe::TrainSelection;
use serde_json::json;

use crate::{CLASSES, IMAGE, ROWS, compiled_in, numbers, onnx_runtime, scores, weight, weight_values};

const TOKENS: usize = 3;
const INPUTS: usize = 108;
const HEADS: usize = 2;
const SIZE: usize = 4;
const WIDTH: usize = HEADS * SIZE;
/// Earlier keys.
const PAST: usize = 2;
/// Keys of the prefix.
const LENGTH: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    /// `Attention` of opset 23.
    Standard,
    /// `com.microsoft.MultiHeadAttention`.
    MultiHead,
    /// `com.microsoft.Attention`, whose weights are those of queries, keys and values.
    Fused,
    /// `com.microsoft.GroupQueryAttention` of as many heads of keys.
    Grouped,
}

/// Which keys a mask hides.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Hidden {
    Nothing,
    /// The last one of the second row, by a number for each key.
    Keys,
    /// The same, by how many keys each row has.
    Counts,
    /// Others for each query, by a number for each of both.
    Places,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Form {
    operator: Operator,
    has_bias: bool,
    hidden: Hidden,
    /// Whether numbers are added to the scores.
    is_scored: bool,
    has_past: bool,
    is_causal: bool,
    /// How many keys of the row a query sees, itself the last; of [`Operator::Grouped`].
    window: Option<usize>,
}

impl Form {
    fn of(operator: Operator) -> Self {
        let is_causal = operator == Operator::Grouped;
        let hidden = Hidden::Nothing;
        Self { operator, has_bias: false, hidden, is_scored: false, has_past: false, is_causal, window: None }
    }

    fn past(self) -> usize {
        if self.has_past { PAST } else { 0 }
    }

    /// All keys but the prefix.
    fn keys(self) -> usize {
        self.past() + TOKENS
    }

    /// Whether a mask leaves a key to a query.
    fn sees(self, row: usize, query: usize, key: usize) -> bool {
        let is_last_of_second = row == 1 && key + 1 == self.keys();
        match self.hidden {
            Hidden::Nothing => true,
            Hidden::Keys | Hidden::Counts => !is_last_of_second,
            Hidden::Places => (query + key + row) % 3 != 1,
        }
    }

    /// What is added to the scores.
    fn scored(self) -> Vec<f32> {
        numbers(ROWS * HEADS * TOKENS * self.keys(), 5)
    }
}

fn tokens(graph: &mut Graph) -> ValueId {
    let x = graph.input("x", TensorType::f32(IMAGE));
    reshape(graph, x, &[ROWS, TOKENS, INPUTS])
}

fn reshape(graph: &mut Graph, value: ValueId, shape: &[usize]) -> ValueId {
    let shape: Vec<i64> = shape.iter().map(|length| *length as i64).collect();
    let shape = graph.named_constant("shape", Constant::i64([shape.len()], &shape));
    graph.add("Reshape", &[value, shape], &[]).unwrap()
}

fn turn(graph: &mut Graph, value: ValueId, order: &[i64]) -> ValueId {
    graph.add("Transpose", &[value], &[("perm", Attribute::Ints(order.to_vec()))]).unwrap()
}

fn end(graph: &mut Graph, mixed: ValueId) -> Vec<u8> {
    let mixed = reshape(graph, mixed, &[ROWS, TOKENS * WIDTH]);
    let head = weight(graph, "head.weight", &[TOKENS * WIDTH, CLASSES]);
    let scores = graph.add("MatMul", &[mixed, head], &[]).unwrap();
    graph.set_outputs(&[scores]);
    graph.to_onnx("attention")
}

/// `[inputs, 3 · width]`.
fn all_weights() -> Vec<f32> {
    weight_values("qkv.weight", &[INPUTS, 3 * WIDTH])
}

fn all_biases() -> Vec<f32> {
    numbers(3 * WIDTH, 9)
}

/// Earlier keys or values, `[rows, heads, past, size]`.
fn earlier(seed: usize) -> Vec<f32> {
    numbers(ROWS * HEADS * PAST * SIZE, seed)
}

/// The attention in plain operators, of keys and values of the prefix, of earlier ones, and of those of the row.
fn written(form: Form, prefix: Option<[&[f32]; 2]>) -> Vec<u8> {
    let mut graph = Graph::new(17, OperatorCatalog::standard());
    let graph = &mut graph;
    let tokens = tokens(graph);
    let all = graph.constant("qkv.weight", Constant::f32([INPUTS, 3 * WIDTH], &all_weights()));
    let mut all = graph.add("MatMul", &[tokens, all], &[]).unwrap();
    if form.has_bias {
        let bias = graph.constant("qkv.bias", Constant::f32([3 * WIDTH], &all_biases()));
        all = graph.add("Add", &[all, bias], &[]).unwrap();
    }
    let lengths = graph.named_constant("lengths", Constant::i64([3], &[WIDTH as i64; 3]));
    let parts = graph.add_with("Split", &[Some(all), Some(lengths)], &[("axis", 2.into())], 3).unwrap();
    let mut heads = Vec::new();
    for (at, part) in parts.into_iter().enumerate() {
        let part = reshape(graph, part, &[ROWS, TOKENS, HEADS, SIZE]);
        let own = turn(graph, part, &[0, 2, 1, 3]);
        let mut joined = Vec::new();
        if let (Some([keys, values]), true) = (prefix, at > 0) {
            // keys are stored [heads, size, length], in the units of the scores
            let key = |head: usize, place: usize, number: usize| keys[(head * SIZE + number) * LENGTH + place] / 0.5;
            let places = (0..HEADS).flat_map(|head| (0..LENGTH).map(move |place| (head, place)));
            let keys: Vec<f32> =
                places.flat_map(|(head, place)| (0..SIZE).map(move |number| key(head, place, number))).collect();
            let of_row = if at == 1 { keys } else { values.to_vec() };
            let of_all = Constant::f32([ROWS, HEADS, LENGTH, SIZE], &[of_row.as_slice(), &of_row].concat());
            joined.push(graph.named_constant("prefix", of_all));
        }
        if form.has_past && at > 0 {
            let past = Constant::f32([ROWS, HEADS, PAST, SIZE], &earlier(at));
            joined.push(graph.named_constant("past", past));
        }
        joined.push(own);
        heads.push(graph.concat(&joined, 2).unwrap());
    }
    let length = if prefix.is_some() { LENGTH } else { 0 };
    let keys = turn(graph, heads[1], &[0, 1, 3, 2]);
    let products = graph.add("MatMul", &[heads[0], keys], &[]).unwrap();
    let half = graph.scalar(0.5);
    let products = graph.add("Mul", &[products, half], &[]).unwrap();
    let (scored, mut added) = (form.scored(), Vec::new());
    for row in 0..ROWS {
        for head in 0..HEADS {
            for query in 0..TOKENS {
                added.extend(std::iter::repeat_n(0.0, length));
                for key in 0..form.keys() {
                    let is_before = form.window.is_some_and(|window| key + window <= query + form.past());
                    let is_after = form.is_causal && key > query + form.past();
                    let own = ((row * HEADS + head) * TOKENS + query) * form.keys() + key;
                    added.push(match form.sees(row, query, key) && !is_after && !is_before {
                        true if form.is_scored => scored[own],
                        true => 0.0,
                        false => -1e9,
                    });
                }
            }
        }
    }
    let shape = [ROWS, HEADS, TOKENS, length + form.keys()];
    let added = graph.constant("added", Constant::f32(shape, &added));
    let masked = graph.add("Add", &[products, added], &[]).unwrap();
    let weights = graph.add("Softmax", &[masked], &[("axis", (-1).into())]).unwrap();
    let mixed = graph.add("MatMul", &[weights, heads[2]], &[]).unwrap();
    let mixed = turn(graph, mixed, &[0, 2, 1, 3]);
    end(graph, mixed)
}

fn whole(graph: &mut Graph, name: &str, shape: &[usize], values: &[i32]) -> ValueId {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    graph.constant(name, Constant { dtype: ElementType::I32, shape: shape.to_vec(), bytes: bytes.into() })
}

/// The mask as the operators of ONNX Runtime have it.
fn mask(graph: &mut Graph, form: Form) -> Option<ValueId> {
    let keys = form.keys();
    let places = |queries: usize| {
        let all = (0..ROWS).flat_map(move |row| (0..queries).map(move |query| (row, query)));
        all.flat_map(|(row, query)| (0..keys).map(move |key| i32::from(form.sees(row, query, key)))).collect::<Vec<_>>()
    };
    match form.hidden {
        Hidden::Nothing => None,
        Hidden::Keys => Some(whole(graph, "mask", &[ROWS, keys], &places(1))),
        Hidden::Counts => Some(whole(graph, "mask", &[ROWS], &[keys as i32, keys as i32 - 1])),
        Hidden::Places => Some(whole(graph, "mask", &[ROWS, TOKENS, keys], &places(TOKENS))),
    }
}

/// The same as one node.
fn one_node(form: Form) -> Vec<u8> {
    let opset = if form.operator == Operator::Standard { 23 } else { 17 };
    let mut graph = Graph::new(opset, OperatorCatalog::standard());
    let graph = &mut graph;
    let tokens = tokens(graph);
    let (matrix, biases) = (all_weights(), all_biases());
    let scored = Constant::f32([ROWS, HEADS, TOKENS, form.keys()], &form.scored());
    let scored = form.is_scored.then(|| graph.constant("scored", scored));
    if form.operator == Operator::Fused {
        let all = graph.constant("qkv.weight", Constant::f32([INPUTS, 3 * WIDTH], &matrix));
        let bias = form.has_bias.then(|| graph.constant("qkv.bias", Constant::f32([3 * WIDTH], &biases)));
        let mask = mask(graph, form);
        let past = Constant::f32([2, ROWS, HEADS, PAST, SIZE], &[earlier(1), earlier(2)].concat());
        let past = form.has_past.then(|| graph.constant("past", past));
        let inputs = [Some(tokens), Some(all), bias, mask, past, scored];
        let attributes = [("num_heads", (HEADS as i64).into()), ("unidirectional", i64::from(form.is_causal).into())];
        let mixed = graph.add_in("com.microsoft", "Attention", &inputs, &attributes, 1).unwrap()[0];
        return end(graph, mixed);
    }
    let parts = ["q", "k", "v"].into_iter().enumerate().map(|(at, name)| {
        let rows = matrix.chunks(3 * WIDTH);
        let own: Vec<f32> = rows.flat_map(|row| row[at * WIDTH..(at + 1) * WIDTH].iter().copied()).collect();
        let own = graph.constant(&format!("{name}.weight"), Constant::f32([INPUTS, WIDTH], &own));
        let made = graph.add("MatMul", &[tokens, own], &[]).unwrap();
        if form.has_bias && form.operator != Operator::MultiHead {
            let own = Constant::f32([WIDTH], &biases[at * WIDTH..(at + 1) * WIDTH]);
            let own = graph.constant(&format!("{name}.bias"), own);
            return Some(graph.add("Add", &[made, own], &[]).unwrap());
        }
        Some(made)
    });
    let parts: Vec<Option<ValueId>> = parts.collect();
    let past = [1, 2].map(|seed| {
        let past = Constant::f32([ROWS, HEADS, PAST, SIZE], &earlier(seed));
        form.has_past.then(|| graph.named_constant("past", past))
    });
    let heads = HEADS as i64;
    let mixed = match form.operator {
        Operator::Standard => {
            let seen = (0..ROWS).flat_map(|row| (0..TOKENS).map(move |query| (row, query)));
            let seen: Vec<u8> = seen
                .flat_map(|(row, query)| (0..form.keys()).map(move |key| u8::from(form.sees(row, query, key))))
                .collect();
            let shape = vec![ROWS, 1, TOKENS, form.keys()];
            let seen = Constant { dtype: ElementType::Bool, shape, bytes: seen.into() };
            let seen = (form.hidden != Hidden::Nothing).then(|| graph.constant("mask", seen));
            let inputs = [parts, vec![seen.or(scored)], past.to_vec()].concat();
            let attributes = [
                ("q_num_heads", heads.into()),
                ("kv_num_heads", heads.into()),
                ("is_causal", i64::from(form.is_causal).into()),
            ];
            graph.add_with("Attention", &inputs, &attributes, 1).unwrap()[0]
        }
        Operator::Grouped => {
            let lasts = whole(graph, "lasts", &[ROWS], &[form.keys() as i32 - 1; ROWS]);
            let total = whole(graph, "total", &[], &[form.keys() as i32]);
            let inputs = [parts, past.to_vec(), vec![Some(lasts), Some(total)]].concat();
            let window = form.window.map_or(-1, |window| window as i64);
            let attributes =
                [("num_heads", heads.into()), ("kv_num_heads", heads.into()), ("local_window_size", window.into())];
            graph.add_in("com.microsoft", "GroupQueryAttention", &inputs, &attributes, 1).unwrap()[0]
        }
        _ => {
            let bias = form.has_bias.then(|| graph.constant("qkv.bias", Constant::f32([3 * WIDTH], &biases)));
            let mask = mask(graph, form);
            let inputs = [parts, vec![bias, mask, scored], past.to_vec()].concat();
            let attributes = [("num_heads", heads.into()), ("unidirectional", i64::from(form.is_causal).into())];
            graph.add_in("com.microsoft", "MultiHeadAttention", &inputs, &attributes, 1).unwrap()[0]
        }
    };
    end(graph, mixed)
}

fn forms() -> Vec<Form> {
    let mut forms = Vec::new();
    for operator in [Operator::MultiHead, Operator::Fused] {
        let plain = Form::of(operator);
        let hidden = [Hidden::Keys, Hidden::Counts, Hidden::Places];
        forms.extend([plain, Form { has_bias: true, ..plain }, Form { is_scored: true, ..plain }]);
        forms.extend(hidden.map(|hidden| Form { hidden, ..plain }));
        forms.extend([
            Form { has_past: true, ..plain },
            Form { is_causal: true, ..plain },
            Form { is_causal: true, has_past: true, ..plain },
            Form { has_bias: true, hidden: Hidden::Keys, is_scored: true, has_past: true, is_causal: true, ..plain },
        ]);
    }
    let plain = Form { is_causal: true, ..Form::of(Operator::Standard) };
    forms.extend([
        plain,
        Form { has_bias: true, hidden: Hidden::Places, ..plain },
        Form { is_scored: true, ..plain },
        Form { has_past: true, ..plain },
        Form { has_past: true, is_causal: false, ..plain },
        Form::of(Operator::Grouped),
        Form { window: Some(2), ..Form::of(Operator::Grouped) },
    ]);
    forms
}

#[test]
fn a_prefix_in_one_node_that_orders_counts_or_keeps_keys_is_seen_by_every_query() {
    if !onnx_runtime::available() {
        return;
    }
    let prefix = [Choice::new("prefix_tuning", json!({"length": LENGTH}))];
    let learned = [numbers(HEADS * SIZE * LENGTH, 1), numbers(HEADS * LENGTH * SIZE, 2)];
    let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    for form in forms() {
        let model = Model::from_bytes(one_node(form)).unwrap();
        let program = compiled_in(&model, &prefix, TrainSelection::Nothing).unwrap();
        let shapes: Vec<&[usize]> = program.manifest.parameters.iter().map(|entry| entry.shape.as_slice()).collect();
        assert_eq!(shapes, [[HEADS, SIZE, LENGTH], [HEADS, LENGTH, SIZE]], "{form:?}");
        let told = "written out in plain operators, since one node takes no prefix: 1 attention";
        assert!(program.notes.iter().any(|note| note.contains(told)), "{form:?}: {:?}", program.notes);
        program.step().unwrap();
        let tuned = scores(&program.export(&learned, &[]).unwrap().to_vec());
        let wanted = scores(&written(form, Some([&learned[0], &learned[1]])));
        assert!(apart(&tuned, &wanted) < 4e-6, "{form:?}: {tuned:?}, {wanted:?}");
        let base = scores(&written(form, None));
        assert!(apart(&base, &wanted) > 1e-3, "{form:?}: the prefix changes something");
        let other = scores(&written(Form::of(Operator::MultiHead), Some([&learned[0], &learned[1]])));
        let is_plain = Form { operator: Operator::MultiHead, ..form } == Form::of(Operator::MultiHead);
        assert_eq!(apart(&other, &wanted) > 1e-3, !is_plain, "{form:?} differs from one that sees all");
    }
    let twice = [prefix[0].clone(), prefix[0].clone()];
    let model = Model::from_bytes(one_node(Form::of(Operator::MultiHead))).unwrap();
    let error = compiled_in(&model, &twice, TrainSelection::Nothing).unwrap_err().to_string();
    assert!(error.contains("goes into a model once"), "{error}");
}

/// What nodes compute without a prefix is what they compute in plain operators: so it is one and the same attention above.
#[test]
fn attentions_in_one_node_and_in_plain_operators_compute_the_same() {
    if !onnx_runtime::available() {
        return;
    }
    for operator in [Operator::Standard, Operator::MultiHead, Operator::Fused] {
        let plain = Form { has_bias: operator == Operator::Fused, ..Form::of(operator) };
        for form in [plain, Form { has_bias: true, ..plain }, Form { is_causal: true, ..plain }] {
            let (one, parts) = (scores(&one_node(form)), scores(&written(form, None)));
            let apart = one.iter().zip(&parts).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 4e-6, "{form:?}: {one:?}, {parts:?}");
        }
    }
}
