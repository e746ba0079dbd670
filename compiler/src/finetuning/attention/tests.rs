use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::finetuning::{normalize, untie, write_einsum_layers};
use crate::graph::{Attribute, Constant, ElementType, Graph, TensorType, ValueId};
use crate::{Model, OperatorCatalog};

const ROWS: i64 = 2;
const LENGTH: i64 = 5;
const WIDTH: usize = 12;
const HEADS: i64 = 3;
const SIZE: i64 = 4;

/// A graph that is written form by form.
struct Written(Graph);

impl Written {
    fn new(opset: i64) -> (Self, ValueId) {
        let mut graph = Graph::new(opset, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32([ROWS as usize, LENGTH as usize, WIDTH]));
        (Self(graph), x)
    }

    fn add(&mut self, operator: &str, inputs: &[ValueId], attributes: &[(&str, Attribute)]) -> ValueId {
        self.0.add(operator, inputs, attributes).unwrap()
    }

    fn weight(&mut self, name: &str, shape: &[usize]) -> ValueId {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|at| (at % 7) as f32 / 7.0 - 0.4).collect();
        self.0.constant(name, Constant::f32(shape, &values))
    }

    fn ints(&mut self, values: &[i64]) -> ValueId {
        self.0.named_constant("ints", Constant::i64([values.len()], values))
    }

    fn number(&mut self, value: f32) -> ValueId {
        self.0.named_constant("number", Constant::f32([], &[value]))
    }

    fn index(&mut self, value: i64) -> ValueId {
        self.0.named_constant("index", Constant::i64([], &[value]))
    }

    /// x·W + b, the bias first.
    fn linear(&mut self, x: ValueId, name: &str, inputs: usize, outputs: usize) -> ValueId {
        let (weight, bias) = (self.weight(name, &[inputs, outputs]), self.weight(&format!("{name}_bias"), &[outputs]));
        let product = self.add("MatMul", &[x, weight], &[]);
        self.add("Add", &[bias, product], &[])
    }

    fn bare(&mut self, x: ValueId, name: &str, inputs: usize, outputs: usize) -> ValueId {
        let weight = self.weight(name, &[inputs, outputs]);
        self.add("MatMul", &[x, weight], &[])
    }

    fn reshape(&mut self, x: ValueId, shape: &[i64]) -> ValueId {
        let shape = self.ints(shape);
        self.add("Reshape", &[x, shape], &[])
    }

    fn turn(&mut self, x: ValueId, order: &[i64]) -> ValueId {
        self.add("Transpose", &[x], &[("perm", order.to_vec().into())])
    }

    fn heads(&mut self, x: ValueId, heads: i64) -> ValueId {
        let split = self.reshape(x, &[ROWS, LENGTH, heads, SIZE]);
        self.turn(split, &[0, 2, 1, 3])
    }

    fn softmax(&mut self, scores: ValueId) -> ValueId {
        self.add("Softmax", &[scores], &[("axis", (-1).into())])
    }

    /// Softmax(Q·Kᵀ/2)·V of heads, and their heads in a row again.
    fn attend(&mut self, [q, k, v]: [ValueId; 3]) -> ValueId {
        let (turned, scale) = (self.turn(k, &[0, 1, 3, 2]), self.number(2.0));
        let scores = self.add("MatMul", &[q, turned], &[]);
        let scores = self.add("Div", &[scores, scale], &[]);
        let weights = self.softmax(scores);
        let mixed = self.add("MatMul", &[weights, v], &[]);
        self.together(mixed)
    }

    fn together(&mut self, mixed: ValueId) -> ValueId {
        let mixed = self.turn(mixed, &[0, 2, 1, 3]);
        self.reshape(mixed, &[ROWS, LENGTH, HEADS * SIZE])
    }

    fn normalized(&mut self, x: ValueId) -> ValueId {
        let (scale, bias) = (self.weight("norm", &[WIDTH]), self.weight("norm_bias", &[WIDTH]));
        let inputs = [Some(x), Some(scale), Some(bias)];
        self.0.add_with("LayerNormalization", &inputs, &[("axis", (-1).into())], 1).unwrap()[0]
    }

    /// The layer behind the heads and, behind its sum with the stream, a feed-forward part.
    fn block(&mut self, stream: ValueId, mixed: ValueId) -> ValueId {
        let output = self.linear(mixed, "o", WIDTH, WIDTH);
        let sum = self.add("Add", &[output, stream], &[]);
        let read = self.normalized(sum);
        let wide = self.linear(read, "up", WIDTH, 20);
        let active = self.add("Relu", &[wide], &[]);
        let narrow = self.linear(active, "down", 20, WIDTH);
        self.add("Add", &[sum, narrow], &[])
    }

    fn separate(&mut self, x: ValueId) -> [ValueId; 3] {
        ["q", "k", "v"].map(|name| {
            let made = self.linear(x, name, WIDTH, WIDTH);
            self.heads(made, HEADS)
        })
    }

    fn found(&mut self, y: ValueId) -> Attentions {
        self.0.set_outputs(&[y]);
        find_attentions(&self.0)
    }
}

/// Roles in words: `query q, key k`, a part of a layer as `qkv[0..4]`.
fn told(graph: &Graph, attention: &Attention) -> String {
    let ranges = |columns: &[usize]| {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for column in columns {
            match ranges.last_mut() {
                Some((_, end)) if end == column => *end += 1,
                _ => ranges.push((*column, column + 1)),
            }
        }
        ranges.iter().map(|(start, end)| format!("{start}..{end}")).collect::<Vec<_>>().join(" ")
    };
    let mut words = Vec::new();
    for projection in [&attention.query, &attention.key, &attention.value] {
        let name = graph.name(projection.linear.weight);
        let is_whole = projection.columns.len() == projection.linear.outputs;
        words.push(if is_whole { name.to_owned() } else { format!("{name}[{}]", ranges(&projection.columns)) });
    }
    for role in [Role::Output, Role::FeedForwardIn, Role::FeedForwardOut] {
        let names: Vec<&str> = attention.linears(role).iter().map(|linear| graph.name(linear.weight)).collect();
        words.push(if names.is_empty() { "-".to_owned() } else { names.join("+") });
    }
    format!("{} heads of {}: {}", attention.heads, attention.head_size, words.join(" "))
}

fn only(written: &mut Written, y: ValueId) -> String {
    let attentions = written.found(y);
    assert_eq!(attentions.left_out, [], "nothing is left out");
    assert_eq!(attentions.found.len(), 1);
    told(&written.0, &attentions.found[0])
}

const PLAIN: &str = "3 heads of 4: q k v o up down";
const FUSED: &str = "3 heads of 4: qkv[0..12] qkv[12..24] qkv[24..36] o up down";

#[test]
fn three_layers_with_masks_and_scales_wherever_they_stand() {
    // divided behind the product, in the post-norm order of BERT
    let (mut written, x) = Written::new(17);
    let parts = written.separate(x);
    let mixed = written.attend(parts);
    let output = written.linear(mixed, "o", WIDTH, WIDTH);
    let sum = written.add("Add", &[output, x], &[]);
    let stream = written.normalized(sum);
    let wide = written.linear(stream, "up", WIDTH, 20);
    let (root, one, half) = (written.number(1.41), written.number(1.0), written.number(0.5));
    let error = written.add("Div", &[wide, root], &[]);
    let error = written.add("Erf", &[error], &[]);
    let error = written.add("Add", &[error, one], &[]);
    let active = written.add("Mul", &[wide, error], &[]);
    let active = written.add("Mul", &[active, half], &[]);
    let narrow = written.linear(active, "down", 20, WIDTH);
    let sum = written.add("Add", &[narrow, stream], &[]);
    let y = written.normalized(sum);
    assert_eq!(only(&mut written, y), PLAIN);

    // as PyTorch's scaled_dot_product_attention is exported: scales on both sides, a mask, what is no number replaced
    let (mut written, x) = Written::new(17);
    let [q, k, v] = written.separate(x);
    let root = written.number(0.7);
    let turned = written.turn(k, &[0, 1, 3, 2]);
    let (q, turned) = (written.add("Mul", &[q, root], &[]), written.add("Mul", &[turned, root], &[]));
    let scores = written.add("MatMul", &[q, turned], &[]);
    let mask = written.weight("mask", &[1, 1, LENGTH as usize, LENGTH as usize]);
    let bias = written.weight("bias", &[1, HEADS as usize, LENGTH as usize, LENGTH as usize]);
    let scores = written.add("Add", &[bias, scores], &[]);
    let scores = written.add("Add", &[scores, mask], &[]);
    let weights = written.softmax(scores);
    let (wrong, zero) = (written.add("IsNaN", &[weights], &[]), written.number(0.0));
    let weights = written.add("Where", &[wrong, zero, weights], &[]);
    let mixed = written.add("MatMul", &[weights, v], &[]);
    let mixed = written.together(mixed);
    let y = written.block(x, mixed);
    assert_eq!(only(&mut written, y), PLAIN);
}

#[test]
fn one_layer_for_queries_keys_and_values_is_divided_as_its_columns_flow() {
    // GPT-2: a matrix product of two axes, split
    let (mut written, x) = Written::new(17);
    let read = written.normalized(x);
    let flat = written.reshape(read, &[-1, WIDTH as i64]);
    let (weight, bias) = (written.weight("qkv", &[WIDTH, 36]), written.weight("qkv_bias", &[36]));
    let made = written.add("Gemm", &[flat, weight, bias], &[]);
    let made = written.reshape(made, &[ROWS, LENGTH, 36]);
    let lengths = written.ints(&[12, 12, 12]);
    let parts = written.0.add_with("Split", &[Some(made), Some(lengths)], &[("axis", 2.into())], 3).unwrap();
    let parts = [0, 1, 2].map(|at| written.heads(parts[at], HEADS));
    let mixed = written.attend(parts);
    let y = written.block(x, mixed);
    assert_eq!(only(&mut written, y), FUSED);

    // timm: [B, N, 3, H, D], the axis of 3 first
    let (mut written, x) = Written::new(17);
    let made = written.linear(x, "qkv", WIDTH, 36);
    let made = written.reshape(made, &[ROWS, LENGTH, 3, HEADS, SIZE]);
    let made = written.turn(made, &[2, 0, 3, 1, 4]);
    let parts = [0, 1, 2].map(|at| {
        let index = written.index(at);
        written.add("Gather", &[made, index], &[("axis", 0.into())])
    });
    let mixed = written.attend(parts);
    let y = written.block(x, mixed);
    assert_eq!(only(&mut written, y), FUSED);

    // PyTorch's MultiheadAttention: tokens first, an axis of 1 in front, slices that are squeezed
    let (mut written, x) = Written::new(17);
    let tokens = written.turn(x, &[1, 0, 2]);
    let made = written.linear(tokens, "qkv", WIDTH, 36);
    let made = written.reshape(made, &[LENGTH, ROWS, 3, WIDTH as i64]);
    let axis = written.ints(&[0]);
    let made = written.add("Unsqueeze", &[made, axis], &[]);
    let made = written.turn(made, &[3, 1, 2, 0, 4]);
    let third = written.ints(&[-2]);
    let made = written.add("Squeeze", &[made, third], &[]);
    let parts = [0, 1, 2].map(|at| {
        let index = written.index(at);
        let part = written.add("Gather", &[made, index], &[("axis", 0.into())]);
        let part = written.reshape(part, &[LENGTH, ROWS * HEADS, SIZE]);
        let part = written.turn(part, &[1, 0, 2]);
        written.reshape(part, &[ROWS, HEADS, LENGTH, SIZE])
    });
    let mixed = written.attend(parts);
    let y = written.block(x, mixed);
    assert_eq!(only(&mut written, y), FUSED);
}

#[test]
fn columns_that_alternate_by_head_and_a_feed_forward_part_beside_the_attention() {
    // GPT-NeoX: [B, T, H, 3·D], the parts of a head side by side; both are added to one stream
    let (mut written, x) = Written::new(17);
    let read = written.normalized(x);
    let made = written.linear(read, "qkv", WIDTH, 36);
    let made = written.reshape(made, &[ROWS, LENGTH, HEADS, 3 * SIZE]);
    let made = written.turn(made, &[0, 2, 1, 3]);
    let lengths = written.ints(&[4, 4, 4]);
    let parts = written.0.add_with("Split", &[Some(made), Some(lengths)], &[("axis", (-1).into())], 3).unwrap();
    let mixed = written.attend([parts[0], parts[1], parts[2]]);
    let output = written.linear(mixed, "o", WIDTH, WIDTH);
    let beside = written.normalized(x);
    let wide = written.linear(beside, "up", WIDTH, 20);
    let active = written.add("Relu", &[wide], &[]);
    let narrow = written.linear(active, "down", 20, WIDTH);
    let sum = written.add("Add", &[narrow, output], &[]);
    let y = written.add("Add", &[sum, x], &[]);
    let wanted = "3 heads of 4: qkv[0..4 12..16 24..28] qkv[4..8 16..20 28..32] qkv[8..12 20..24 32..36] o up down";
    assert_eq!(only(&mut written, y), wanted);
}

#[test]
fn heads_that_equations_multiply() {
    // Funnel: tokens in front of heads all the way, beside the scores others of a place
    let (mut written, x) = Written::new(17);
    let [q, k, v] = ["q", "k", "v"].map(|name| {
        let made = written.linear(x, name, WIDTH, WIDTH);
        written.reshape(made, &[ROWS, LENGTH, HEADS, SIZE])
    });
    let places = written.weight("places", &[LENGTH as usize, HEADS as usize, SIZE as usize]);
    let scores = written.add("Einsum", &[q, k], &[("equation", "bind,bjnd->bnij".into())]);
    let of_places = written.add("Einsum", &[q, places], &[("equation", "bind,jnd->bnij".into())]);
    let scores = written.add("Add", &[scores, of_places], &[]);
    let weights = written.softmax(scores);
    let mixed = written.add("Einsum", &[weights, v], &[("equation", "bnij,bjnd->bind".into())]);
    let mixed = written.reshape(mixed, &[ROWS, LENGTH, HEADS * SIZE]);
    let y = written.block(x, mixed);
    assert_eq!(only(&mut written, y), PLAIN);
}

#[test]
fn rotated_and_grouped_heads_with_a_gated_feed_forward_part() {
    let (mut written, x) = Written::new(17);
    let (cos, sin) = (written.weight("cos", &[1, 1, 5, 4]), written.weight("sin", &[1, 1, 5, 4]));
    let rotate = |written: &mut Written, heads: ValueId| {
        let straight = written.add("Mul", &[heads, cos], &[]);
        let (zero, two, four, last) =
            (written.ints(&[0]), written.ints(&[2]), written.ints(&[i64::MAX]), written.ints(&[3]));
        let first = written.add("Slice", &[heads, zero, two, last], &[]);
        let second = written.add("Slice", &[heads, two, four, last], &[]);
        let second = written.add("Neg", &[second], &[]);
        let turned = written.add("Concat", &[second, first], &[("axis", (-1).into())]);
        let turned = written.add("Mul", &[turned, sin], &[]);
        written.add("Add", &[straight, turned], &[])
    };
    let grouped = |written: &mut Written, heads: ValueId| {
        let axis = written.ints(&[2]);
        let heads = written.add("Unsqueeze", &[heads, axis], &[]);
        let shape = written.ints(&[ROWS, 1, HEADS, LENGTH, SIZE]);
        let heads = written.add("Expand", &[heads, shape], &[]);
        written.reshape(heads, &[ROWS, HEADS, LENGTH, SIZE])
    };
    let q = written.bare(x, "q", WIDTH, WIDTH);
    let (k, v) = (written.bare(x, "k", WIDTH, 4), written.bare(x, "v", WIDTH, 4));
    let (q, k, v) = (written.heads(q, HEADS), written.heads(k, 1), written.heads(v, 1));
    let (q, k) = (rotate(&mut written, q), rotate(&mut written, k));
    let (k, v) = (grouped(&mut written, k), grouped(&mut written, v));
    let mixed = written.attend([q, k, v]);
    let output = written.bare(mixed, "o", WIDTH, WIDTH);
    let sum = written.add("Add", &[x, output], &[]);
    let read = written.normalized(sum);
    let gate = written.bare(read, "gate", WIDTH, 20);
    let wide = written.bare(read, "up", WIDTH, 20);
    let sigmoid = written.add("Sigmoid", &[gate], &[]);
    let gate = written.add("Mul", &[gate, sigmoid], &[]);
    let active = written.add("Mul", &[gate, wide], &[]);
    let narrow = written.bare(active, "down", 20, WIDTH);
    let y = written.add("Add", &[sum, narrow], &[]);
    let attentions = written.found(y);
    assert_eq!(told(&written.0, &attentions.found[0]), "3 heads of 4: q k v o gate+up down");
    assert_eq!(attentions.found[0].key.columns.len(), 4, "one head of keys for three of queries");
}

#[test]
fn attention_as_one_node_of_any_domain() {
    let (mut written, x) = Written::new(23);
    let parts = written.separate(x).map(Some);
    let mixed = written.0.add_with("Attention", &parts, &[], 1).unwrap()[0];
    let mixed = written.together(mixed);
    let y = written.block(x, mixed);
    assert_eq!(only(&mut written, y), PLAIN);

    let (mut written, x) = Written::new(17);
    let parts = ["q", "k", "v"].map(|name| Some(written.bare(x, name, WIDTH, WIDTH)));
    let heads = [("num_heads", HEADS.into())];
    let mixed = written.0.add_in("com.microsoft", "MultiHeadAttention", &parts, &heads, 1).unwrap()[0];
    let y = written.block(x, mixed);
    assert_eq!(only(&mut written, y), PLAIN);

    let (mut written, x) = Written::new(17);
    let (weight, bias) = (written.weight("qkv", &[WIDTH, 36]), written.weight("qkv_bias", &[36]));
    let inputs = [Some(x), Some(weight), Some(bias)];
    let mixed = written.0.add_in("com.microsoft", "Attention", &inputs, &heads, 1).unwrap()[0];
    let y = written.block(x, mixed);
    assert_eq!(only(&mut written, y), FUSED);
    assert!(written.found(y).found[0].query.linear.is_inside);
}

#[test]
fn attention_of_grouped_queries_as_one_node_with_packed_layers_or_with_three() {
    for is_packed in [false, true] {
        let (mut written, x) = Written::new(17);
        let parts = match is_packed {
            true => [Some(written.bare(x, "qkv", WIDTH, 3 * WIDTH)), None, None],
            false => ["q", "k", "v"].map(|name| Some(written.bare(x, name, WIDTH, WIDTH))),
        };
        let whole =
            |count: usize| Constant { dtype: ElementType::I32, shape: vec![count], bytes: vec![0; 4 * count].into() };
        let lasts = written.0.constant("lasts", whole(ROWS as usize));
        let total = written.0.constant("total", whole(1));
        let inputs = [parts.as_slice(), &[None, None, Some(lasts), Some(total)]].concat();
        let heads = [("num_heads", HEADS.into()), ("kv_num_heads", HEADS.into())];
        let mixed = written.0.add_in("com.microsoft", "GroupQueryAttention", &inputs, &heads, 1).unwrap()[0];
        let y = written.block(x, mixed);
        assert_eq!(only(&mut written, y), if is_packed { FUSED } else { PLAIN });
    }
}

#[test]
fn a_softmax_that_does_not_attend_is_none_and_one_whose_layers_are_not_certain_is_left_out() {
    // weights of a mixture, and of pooling by a learned query
    let (mut written, x) = Written::new(17);
    let scores = written.linear(x, "scores", WIDTH, WIDTH);
    let gates = written.softmax(scores);
    let y = written.add("Mul", &[gates, x], &[]);
    assert_eq!(written.found(y), Attentions::default());
    let learned = written.weight("learned", &[LENGTH as usize, 7]);
    let pooled = written.bare(x, "narrow", WIDTH, LENGTH as usize);
    let pooled = written.softmax(pooled);
    let y = written.add("MatMul", &[pooled, learned], &[]);
    assert_eq!(written.found(y), Attentions::default());

    // what is left out, and why
    let reason = |written: &mut Written, y: ValueId| {
        let attentions = written.found(y);
        assert_eq!((attentions.found.len(), attentions.left_out.len()), (0, 1));
        attentions.left_out[0].reason.clone()
    };
    let (mut written, x) = Written::new(17);
    let scores = written.linear(x, "scores", WIDTH, LENGTH as usize);
    let weights = written.softmax(scores);
    let y = written.add("MatMul", &[weights, x], &[]);
    assert_eq!(reason(&mut written, y), "no product of queries and keys leads to it");

    // the queries are the stream itself
    let (mut written, x) = Written::new(17);
    let [_, k, v] = written.separate(x);
    let q = written.heads(x, HEADS);
    let y = written.attend([q, k, v]);
    assert_eq!(reason(&mut written, y), "no product of queries and keys leads to it");
    let (mut written, x) = Written::new(17);
    let before = written.linear(x, "before", WIDTH, WIDTH);
    let [_, k, v] = written.separate(before);
    let q = written.heads(before, HEADS);
    let y = written.attend([q, k, v]);
    assert_eq!(reason(&mut written, y), "one of its queries, keys and values is made of another");
    let (mut written, x) = Written::new(17);
    let [q, k, v] = written.separate(x);
    let k = written.add("Add", &[q, k], &[]);
    let y = written.attend([q, k, v]);
    assert_eq!(reason(&mut written, y), "2 linear layers make its keys, wanted one");

    // shared queries and keys
    let (mut written, x) = Written::new(17);
    let [q, _, v] = written.separate(x);
    let y = written.attend([q, q, v]);
    assert!(reason(&mut written, y).contains("which is which is not known"));
}

#[test]
fn each_of_several_feed_forward_parts_of_a_block_is_found() {
    // MobileBERT: two behind each other, normalized behind their sums
    let (mut written, x) = Written::new(17);
    let parts = written.separate(x);
    let mixed = written.attend(parts);
    let output = written.linear(mixed, "o", WIDTH, WIDTH);
    let sum = written.add("Add", &[output, x], &[]);
    let mut stream = written.normalized(sum);
    for [up, down] in [["up", "down"], ["up_again", "down_again"]] {
        let wide = written.linear(stream, up, WIDTH, 20);
        let active = written.add("Relu", &[wide], &[]);
        let narrow = written.linear(active, down, 20, WIDTH);
        let sum = written.add("Add", &[narrow, stream], &[]);
        stream = written.normalized(sum);
    }
    assert_eq!(only(&mut written, stream), "3 heads of 4: q k v o up+up_again down+down_again");
}

#[test]
fn a_feed_forward_part_behind_an_attention_that_is_added_to_nothing() {
    // LeViT, where an attention makes fewer tokens than it reads
    let (mut written, x) = Written::new(17);
    let parts = written.separate(x);
    let mixed = written.attend(parts);
    let stream = written.linear(mixed, "o", WIDTH, WIDTH);
    let wide = written.linear(stream, "up", WIDTH, 20);
    let active = written.add("Relu", &[wide], &[]);
    let narrow = written.linear(active, "down", 20, WIDTH);
    let y = written.add("Add", &[stream, narrow], &[]);
    assert_eq!(only(&mut written, y), PLAIN);
}

#[test]
fn a_layer_that_reads_the_heads_and_what_a_convolution_gives() {
    // ConvBERT
    let (mut written, x) = Written::new(17);
    let parts = written.separate(x);
    let mixed = written.attend(parts);
    let beside = written.bare(x, "convolution", WIDTH, 8);
    let both = written.add("Concat", &[mixed, beside], &[("axis", 2.into())]);
    let output = written.linear(both, "o", 20, WIDTH);
    let y = written.add("Add", &[output, x], &[]);
    assert_eq!(only(&mut written, y), "3 heads of 4: q k v o - -");
}

#[test]
fn queries_that_are_pooled() {
    // Hiera: each query is the largest of two, of a layer that makes keys and values as well
    let (mut written, x) = Written::new(17);
    let x = written.add("Concat", &[x, x], &[("axis", 1.into())]);
    let made = written.linear(x, "qkv", WIDTH, 36);
    let made = written.reshape(made, &[ROWS, 2 * LENGTH, 3, HEADS, SIZE]);
    let made = written.turn(made, &[2, 0, 3, 1, 4]);
    let [q, k, v] = [0, 1, 2].map(|at| {
        let index = written.index(at);
        written.add("Gather", &[made, index], &[("axis", 0.into())])
    });
    let q = written.reshape(q, &[ROWS, HEADS, 2, LENGTH, SIZE]);
    let q = written.add("ReduceMax", &[q], &[("axes", vec![2].into()), ("keepdims", 0.into())]);
    let y = written.attend([q, k, v]);
    assert_eq!(only(&mut written, y), "3 heads of 4: qkv[0..12] qkv[12..24] qkv[24..36] - - -");
}

#[test]
fn a_part_that_is_not_certain_is_not_there() {
    // a layer behind the block is no feed-forward part
    let (mut written, x) = Written::new(17);
    let parts = written.separate(x);
    let mixed = written.attend(parts);
    let output = written.linear(mixed, "o", WIDTH, WIDTH);
    let sum = written.add("Add", &[output, x], &[]);
    let pooled = written.linear(sum, "pooler", WIDTH, WIDTH);
    let pooled = written.add("Tanh", &[pooled], &[]);
    let y = written.linear(pooled, "classifier", WIDTH, WIDTH);
    assert_eq!(only(&mut written, y), "3 heads of 4: q k v o - -");
    // nor is a head the layer behind the heads
    let (mut written, x) = Written::new(17);
    let parts = written.separate(x);
    let mixed = written.attend(parts);
    let sum = written.add("Add", &[mixed, x], &[]);
    let y = written.linear(sum, "classifier", WIDTH, WIDTH);
    assert_eq!(only(&mut written, y), "3 heads of 4: q k v - - -");
}

fn prepared(path: &Path) -> Graph {
    let catalog = OperatorCatalog::standard();
    let mut graph = Model::read(path).unwrap().graph(&BTreeMap::new(), &catalog).unwrap();
    normalize(&mut graph);
    write_einsum_layers(&mut graph).unwrap();
    untie(&mut graph, &catalog);
    graph
}

#[test]
fn roles_are_found_in_public_architectures_of_both_exporters() {
    // file; how many attentions, heads of the first and their size; layers of each role
    let rows = [
        ("bert.script", 2, [4, 8], [2, 2, 2, 2, 2, 2]),
        ("deberta_v2.script", 2, [4, 8], [2, 2, 2, 2, 2, 2]),
        ("gpt2.script", 2, [4, 8], [2, 2, 2, 2, 2, 2]),
        ("llama.export", 2, [4, 8], [2, 2, 2, 2, 4, 2]),
        ("modernbert.export", 2, [4, 8], [2, 2, 2, 2, 2, 2]),
        ("roberta.export", 2, [4, 8], [2, 2, 2, 2, 2, 2]),
        ("swin.script", 4, [2, 8], [4, 4, 4, 4, 4, 4]),
        ("t5_encoder.script", 2, [4, 8], [2, 2, 2, 2, 2, 2]),
        ("unet.script", 0, [0, 0], [0; 6]),
        ("vit.export", 2, [4, 8], [2, 2, 2, 2, 2, 2]),
        ("xlnet.script", 2, [4, 8], [2, 2, 2, 2, 2, 2]),
    ];
    for (file, count, heads, layers) in rows {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/architectures/{file}.onnx"));
        let attentions = find_attentions(&prepared(&path));
        assert_eq!(attentions.left_out, [], "{file}");
        assert_eq!(attentions.found.len(), count, "{file}: {}", attentions.summary());
        let first = attentions.found.first().map_or([0, 0], |first| [first.heads, first.head_size]);
        assert_eq!(first, heads, "{file}");
        assert_eq!(Role::ALL.map(|role| attentions.weights(role).len()), layers, "{file}: {}", attentions.summary());
    }
}

#[test]
fn every_layer_of_minilm_is_found_and_named_as_in_its_source() {
    let Ok(corpus) = std::env::var("MILLSTREAM_CORPUS") else {
        println!("left out, MILLSTREAM_CORPUS is not set");
        return;
    };
    let path = Path::new(&corpus).join("models/minilm-l6-h384-v12k/model.onnx");
    let graph = prepared(&path);
    let attentions = find_attentions(&graph);
    assert_eq!(
        attentions.summary(),
        "query (6 layers in 6 blocks), key (6 layers in 6 blocks), value (6 layers in 6 blocks), output (6 layers in 6 blocks), \
         feed_forward_in (6 layers in 6 blocks), feed_forward_out (6 layers in 6 blocks)"
    );
    let first = &attentions.found[0];
    assert_eq!((first.heads, first.head_size), (12, 32));
}
