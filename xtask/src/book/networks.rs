//! Small networks for the pages, each an ONNX file written field by field: xtask builds the program and has none of its crates.
//!
//! Weights are the same each time, so that pages print the same.

/// One message of the protobuf wire format.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    fn message(self, field: u64, value: &Self) -> Self {
        self.bytes(field, &value.0)
    }
}

const FLOAT: u64 = 1;
const INT64: u64 = 7;
const INT: u64 = 2;
const INTS: u64 = 7;
/// Numbers of a token's vector.
const WIDTH: u64 = 32;

/// An attribute: a number, or a list of them.
enum Value<'a> {
    One(u64),
    Many(&'a [u64]),
}

use Value::{Many, One};

/// A node with one output, which it is called by.
fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[(&str, Value<'_>)]) -> Message {
    let node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input));
    let node = node.text(2, output).text(3, output).text(4, operator);
    attributes.iter().fold(node, |node, (name, value)| {
        let attribute = Message::default().text(1, name);
        let attribute = match value {
            One(value) => attribute.number(3, *value).number(20, INT),
            Many(values) => values.iter().fold(attribute, |all, value| all.number(8, *value)).number(20, INTS),
        };
        node.message(5, &attribute)
    })
}

/// A constant of one axis of whole numbers.
fn whole(name: &str, values: &[i64]) -> Message {
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Message::default().number(1, values.len() as u64).number(2, INT64).text(8, name).bytes(9, &data)
}

/// A constant of floats between −0.3 and 0.3.
fn weight(name: &str, shape: &[u64]) -> Message {
    let count: u64 = shape.iter().product();
    let value = |index: u64| ((index * 2_654_435_761 % 1000) as f32 / 1000.0 - 0.5) * 0.6;
    let data: Vec<u8> = (0..count).flat_map(|index| value(index).to_le_bytes()).collect();
    let tensor = shape.iter().fold(Message::default(), |tensor, length| tensor.number(1, *length));
    tensor.number(2, FLOAT).text(8, name).bytes(9, &data)
}

/// An input or output; axes are numbers or names.
fn tensor(name: &str, kind: u64, axes: &[&str]) -> Message {
    let axis = |axis: &str| match axis.parse() {
        Ok(length) => Message::default().number(1, length),
        Err(_) => Message::default().text(2, axis),
    };
    let shape = axes.iter().fold(Message::default(), |shape, name| shape.message(1, &axis(name)));
    let tensor = Message::default().number(1, kind).message(2, &shape);
    Message::default().text(1, name).message(2, &Message::default().message(1, &tensor))
}

fn file(nodes: &[Message], weights: &[Message], inputs: &[Message], output: &Message) -> Vec<u8> {
    let graph = nodes.iter().fold(Message::default(), |graph, node| graph.message(1, node)).text(2, "network");
    let graph = weights.iter().fold(graph, |graph, weight| graph.message(5, weight));
    let graph = inputs.iter().fold(graph, |graph, input| graph.message(11, input)).message(12, output);
    let opset = Message::default().text(1, "").number(2, 17);
    Message::default().number(1, 8).text(2, "book").message(7, &graph).message(8, &opset).0
}

/// Tokens and their mask `[batch, sequence]` to `hidden` `[batch, sequence, 32]`, by two layers.
pub(super) fn encoder(tokens: u64) -> Vec<u8> {
    let nodes = [
        node("Gather", &["embeddings.weight", "input_ids"], "embedded", &[]),
        node("MatMul", &["embedded", "encoder.layer.0.weight"], "inner", &[]),
        node("Add", &["inner", "encoder.layer.0.bias"], "moved", &[]),
        node("Relu", &["moved"], "bent", &[]),
        node("MatMul", &["bent", "encoder.layer.1.weight"], "outer", &[]),
        node("Add", &["outer", "encoder.layer.1.bias"], "told", &[]),
        node("Cast", &["attention_mask"], "shares", &[("to", One(FLOAT))]),
        node("Unsqueeze", &["shares", "last"], "kept", &[]),
        node("Mul", &["told", "kept"], "hidden", &[]),
    ];
    let weights = [
        weight("embeddings.weight", &[tokens, WIDTH]),
        weight("encoder.layer.0.weight", &[WIDTH, WIDTH]),
        weight("encoder.layer.0.bias", &[WIDTH]),
        weight("encoder.layer.1.weight", &[WIDTH, WIDTH]),
        weight("encoder.layer.1.bias", &[WIDTH]),
        whole("last", &[2]),
    ];
    let inputs = ["input_ids", "attention_mask"].map(|name| tensor(name, INT64, &["batch", "sequence"]));
    file(&nodes, &weights, &inputs, &tensor("hidden", FLOAT, &["batch", "sequence", &WIDTH.to_string()]))
}

/// Tokens `[batch, sequence]` to scores of the next one `[batch, sequence, tokens]`.
pub(super) fn writer(tokens: u64) -> Vec<u8> {
    let nodes = [
        node("Gather", &["embeddings.weight", "input_ids"], "embedded", &[]),
        node("MatMul", &["embedded", "head.weight"], "product", &[]),
        node("Add", &["product", "head.bias"], "scores", &[]),
    ];
    let weights = [
        weight("embeddings.weight", &[tokens, WIDTH]),
        weight("head.weight", &[WIDTH, tokens]),
        weight("head.bias", &[tokens]),
    ];
    let inputs = [tensor("input_ids", INT64, &["batch", "sequence"])];
    file(&nodes, &weights, &inputs, &tensor("scores", FLOAT, &["batch", "sequence", &tokens.to_string()]))
}

/// A question and an answer with their masks to both vectors, `[batch, 2, 32]`.
pub(super) fn pairs(tokens: u64) -> Vec<u8> {
    let (mut nodes, mut inputs) = (Vec::new(), Vec::new());
    for text in ["question", "answer"] {
        let of = |what: &str| format!("{text}.{what}");
        let (mask, length) = (format!("{text}_mask"), format!("{text}_length"));
        nodes.extend([
            node("Gather", &["embeddings.weight", text], &of("embedded"), &[]),
            node("Cast", &[&mask], &of("shares"), &[("to", One(FLOAT))]),
            node("Unsqueeze", &[&of("shares"), "last"], &of("kept"), &[]),
            node("Mul", &[&of("embedded"), &of("kept")], &of("own"), &[]),
            node("ReduceSum", &[&of("own"), "middle"], &of("sum"), &[("keepdims", One(0))]),
            node("MatMul", &[&of("sum"), "projection.weight"], &of("vector"), &[]),
            node("Unsqueeze", &[&of("vector"), "middle"], &of("row"), &[]),
        ]);
        inputs.extend([text, &mask].map(|name| tensor(name, INT64, &["batch", &length])));
    }
    nodes.push(node("Concat", &["question.row", "answer.row"], "vectors", &[("axis", One(1))]));
    let weights = [
        weight("embeddings.weight", &[tokens, WIDTH]),
        weight("projection.weight", &[WIDTH, WIDTH]),
        whole("last", &[2]),
        whole("middle", &[1]),
    ];
    file(&nodes, &weights, &inputs, &tensor("vectors", FLOAT, &["batch", "2", &WIDTH.to_string()]))
}

/// A sequence of vectors of four numbers to scores of five symbols, half as many.
pub(super) fn listener() -> Vec<u8> {
    let nodes = [
        node("Transpose", &["sound"], "channels", &[("perm", Many(&[0, 2, 1]))]),
        node(
            "Conv",
            &["channels", "conv.weight", "conv.bias"],
            "mixed",
            &[("pads", Many(&[1, 1])), ("strides", Many(&[2]))],
        ),
        node("Relu", &["mixed"], "bent", &[]),
        node("Transpose", &["bent"], "steps", &[("perm", Many(&[0, 2, 1]))]),
        node("MatMul", &["steps", "head.weight"], "product", &[]),
        node("Add", &["product", "head.bias"], "scores", &[]),
    ];
    let weights = [
        weight("conv.weight", &[12, 4, 3]),
        weight("conv.bias", &[12]),
        weight("head.weight", &[12, 5]),
        weight("head.bias", &[5]),
    ];
    let inputs = [tensor("sound", FLOAT, &["batch", "time", "4"])];
    file(&nodes, &weights, &inputs, &tensor("scores", FLOAT, &["batch", "half", "5"]))
}

/// Images of 48×48 pixels to two points, `[batch, 2, 2]`.
pub(super) fn pointer() -> Vec<u8> {
    let nodes = [
        node(
            "Conv",
            &["image", "conv.weight", "conv.bias"],
            "mixed",
            &[("pads", Many(&[1, 1, 1, 1])), ("strides", Many(&[4, 4]))],
        ),
        node("Relu", &["mixed"], "bent", &[]),
        node("MaxPool", &["bent"], "pooled", &[("kernel_shape", Many(&[2, 2])), ("strides", Many(&[2, 2]))]),
        node("Flatten", &["pooled"], "features", &[]),
        node("Gemm", &["features", "hidden.weight", "hidden.bias"], "inner", &[("transB", One(1))]),
        node("Relu", &["inner"], "warm", &[]),
        node("Gemm", &["warm", "head.weight", "head.bias"], "numbers", &[("transB", One(1))]),
        node("Reshape", &["numbers", "form"], "points", &[]),
    ];
    let weights = [
        weight("conv.weight", &[16, 3, 4, 4]),
        weight("conv.bias", &[16]),
        weight("hidden.weight", &[32, 576]),
        weight("hidden.bias", &[32]),
        weight("head.weight", &[4, 32]),
        weight("head.bias", &[4]),
        whole("form", &[-1, 2, 2]),
    ];
    let inputs = [tensor("image", FLOAT, &["batch", "3", "48", "48"])];
    file(&nodes, &weights, &inputs, &tensor("points", FLOAT, &["batch", "2", "2"]))
}
