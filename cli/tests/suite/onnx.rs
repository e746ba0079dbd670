//! ONNX files written field by field, so that any of them can be wrong on purpose.

/// One message of the protobuf wire format.
#[derive(Clone, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(crate) fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    pub(crate) fn bytes(mut self, field: u64, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    pub(crate) fn message(self, field: u64, value: Self) -> Self {
        self.bytes(field, value.0)
    }
}

const FLOAT: u64 = 1;
const UINT8: u64 = 2;
const INT64: u64 = 7;
const INT: u64 = 2;
const INTS: u64 = 7;

/// A node with one output; an attribute of one number is no list.
pub(crate) fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[(&str, &[u64])]) -> Message {
    let node = inputs.iter().fold(Message::default(), |node, input| node.bytes(1, input)).bytes(2, output);
    attributes.iter().fold(node.bytes(3, output).bytes(4, operator), |node, (name, values)| {
        let attribute = Message::default().bytes(1, name);
        let attribute = match values {
            [one] => attribute.number(3, *one).number(20, INT),
            many => many.iter().fold(attribute, |attribute, value| attribute.number(8, *value)).number(20, INTS),
        };
        node.message(5, attribute)
    })
}

/// A node with one attribute more, a list.
pub(crate) fn with_list(node: Message, name: &str, values: &[u64]) -> Message {
    let attribute = Message::default().bytes(1, name).number(20, INTS);
    node.message(5, values.iter().fold(attribute, |attribute, value| attribute.number(8, *value)))
}

/// A constant of whole numbers.
pub(crate) fn whole(name: &str, values: &[i64]) -> Message {
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Message::default().number(1, values.len() as u64).number(2, INT64).bytes(8, name).bytes(9, data)
}

/// A constant of floats, of this one shape.
pub(crate) fn floats(name: &str, shape: &[u64], values: &[f32]) -> Message {
    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    weight_header(name, shape).bytes(9, data)
}

pub(crate) fn weight(name: &str, shape: &[u64]) -> Message {
    let count: u64 = shape.iter().product();
    let value = |index: u64| ((index * 2_654_435_761 % 1000) as f32 / 1000.0 - 0.5) * 0.6;
    let data: Vec<u8> = (0..count).flat_map(|index| value(index).to_le_bytes()).collect();
    weight_header(name, shape).bytes(9, data)
}

fn weight_header(name: &str, shape: &[u64]) -> Message {
    shape.iter().fold(Message::default(), |tensor, length| tensor.number(1, *length)).number(2, FLOAT).bytes(8, name)
}

/// A weight whose data lies in another file.
pub(crate) fn external(name: &str, shape: &[u64], location: &str) -> Message {
    let place = Message::default().bytes(1, "location").bytes(2, location);
    weight_header(name, shape).message(13, place).number(14, 1)
}

/// `[batch, …]` of floats.
fn value(name: &str, lengths: &[u64]) -> Message {
    let batch = Message::default().message(1, Message::default().bytes(2, "batch"));
    let shape = lengths.iter().fold(batch, |shape, length| shape.message(1, Message::default().number(1, *length)));
    let tensor = Message::default().number(1, FLOAT).message(2, shape);
    Message::default().bytes(1, name).message(2, Message::default().message(1, tensor))
}

/// A value of floats whose first axis has this length.
fn value_of(name: &str, lengths: &[u64]) -> Message {
    let shape = lengths
        .iter()
        .fold(Message::default(), |shape, length| shape.message(1, Message::default().number(1, *length)));
    let tensor = Message::default().number(1, FLOAT).message(2, shape);
    Message::default().bytes(1, name).message(2, Message::default().message(1, tensor))
}

/// An input or output; axes are numbers or names.
pub(crate) fn tensor(name: &str, is_whole: bool, axes: &[&str]) -> Message {
    tensor_of(name, if is_whole { INT64 } else { FLOAT }, axes)
}

fn tensor_of(name: &str, kind: u64, axes: &[&str]) -> Message {
    let axis = |axis: &&str| match axis.parse() {
        Ok(length) => Message::default().number(1, length),
        Err(_) => Message::default().bytes(2, *axis),
    };
    let shape = axes.iter().fold(Message::default(), |shape, name| shape.message(1, axis(name)));
    let tensor = Message::default().number(1, kind).message(2, shape);
    Message::default().bytes(1, name).message(2, Message::default().message(1, tensor))
}

/// A model of these nodes, weights, inputs and outputs.
pub(crate) fn model(
    nodes: Vec<Message>,
    weights: Vec<Message>,
    inputs: Vec<Message>,
    outputs: Vec<Message>,
) -> Vec<u8> {
    let graph = nodes.into_iter().fold(Message::default(), |graph, node| graph.message(1, node)).bytes(2, "network");
    let graph = weights.into_iter().fold(graph, |graph, weight| graph.message(5, weight));
    let graph = inputs.into_iter().fold(graph, |graph, input| graph.message(11, input));
    let graph = outputs.into_iter().fold(graph, |graph, output| graph.message(12, output));
    let opset = Message::default().bytes(1, "").number(2, 17);
    Message::default().number(1, 8).bytes(2, "tests").message(7, graph).message(8, opset).0
}

/// A network whose exporter fixed the number of rows, in its input and in the shape of a `Reshape`. Every name in it
/// begins with `prefix`.
pub(crate) fn fixed_batch(rows: u64, prefix: &str) -> Vec<u8> {
    let name = |name: &str| format!("{prefix}{name}");
    let node = |operator: &str, inputs: &[&str], output: &str, attributes: &[(&str, &[u64])]| {
        let inputs: Vec<String> = inputs.iter().map(|input| name(input)).collect();
        node(operator, &inputs.iter().map(String::as_str).collect::<Vec<_>>(), &name(output), attributes)
    };
    let nodes = [
        node("Conv", &["image", "conv.weight", "conv.bias"], "mixed", &[("strides", &[2, 2]), ("pads", &[1, 1, 1, 1])]),
        node("GlobalAveragePool", &["mixed"], "mean", &[]),
        node("Reshape", &["mean", "shape"], "features", &[]),
        node("Gemm", &["features", "head.weight", "head.bias"], "logits", &[("transB", &[1])]),
    ];
    let graph =
        nodes.into_iter().fold(Message::default(), |graph, node| graph.message(1, node)).bytes(2, name("graph"));
    let shape: Vec<u8> = [rows, 8].iter().flat_map(|length| length.to_le_bytes()).collect();
    let shape = Message::default().number(1, 2).number(2, 7).bytes(8, name("shape")).bytes(9, shape);
    let weights =
        [("conv.weight", &[8, 3, 3, 3][..]), ("conv.bias", &[8]), ("head.weight", &[7, 8]), ("head.bias", &[7])];
    let weights = weights.map(|(own, shape)| weight(&name(own), shape));
    let graph = weights.into_iter().fold(graph.message(5, shape), |graph, weight| graph.message(5, weight));
    let graph = graph.message(11, value_of(&name("image"), &[rows, 3, 16, 16]));
    let graph = graph.message(12, value_of(&name("logits"), &[rows, 7]));
    let opset = Message::default().bytes(1, "").number(2, 17);
    let metadata = Message::default().bytes(1, name("key")).bytes(2, name("value"));
    let model = Message::default().number(1, 8).bytes(2, name("tests")).bytes(3, name("1")).bytes(4, name("domain"));
    model.bytes(6, name("documentation")).message(7, graph).message(8, opset).message(14, metadata).0
}

/// `image` [batch, 3, 16, 16] → convolution → an operator → mean → `head`: a dense layer with 7 classes → `logits`.
pub(crate) fn network(operator: &str) -> Vec<u8> {
    network_with(operator, weight("conv.weight", &[8, 3, 3, 3]), None)
}

/// The same with this message as the convolution's weight, and an operator that makes `probabilities` of the logits.
pub(crate) fn network_with(operator: &str, convolution: Message, last: Option<&str>) -> Vec<u8> {
    let nodes = [
        node("Conv", &["image", "conv.weight", "conv.bias"], "mixed", &[("strides", &[2, 2]), ("pads", &[1, 1, 1, 1])]),
        node(operator, &["mixed"], "bent", &[]),
        node("GlobalAveragePool", &["bent"], "mean", &[]),
        node("Flatten", &["mean"], "features", &[("axis", &[1])]),
        node("Gemm", &["features", "head.weight", "head.bias"], "logits", &[("transB", &[1])]),
    ];
    let nodes = nodes.into_iter().chain(last.map(|last| node(last, &["logits"], "probabilities", &[])));
    let graph = nodes.fold(Message::default(), |graph, node| graph.message(1, node)).bytes(2, "network");
    let weights = [convolution, weight("conv.bias", &[8]), weight("head.weight", &[7, 8]), weight("head.bias", &[7])];
    let graph = weights.into_iter().fold(graph, |graph, weight| graph.message(5, weight));
    let output = if last.is_some() { "probabilities" } else { "logits" };
    let graph = graph.message(11, value("image", &[3, 16, 16])).message(12, value(output, &[7]));
    let opset = Message::default().bytes(1, "").number(2, 17);
    Message::default().number(1, 8).bytes(2, "tests").message(7, graph).message(8, opset).0
}

/// [`network`] of `Relu` whose last layer is a convolution of one place: `logits` [batch, 7, 1, 1].
pub(crate) fn network_of_one_place() -> Vec<u8> {
    let windows: [(&str, &[u64]); 2] = [("strides", &[2, 2]), ("pads", &[1, 1, 1, 1])];
    let nodes = vec![
        node("Conv", &["image", "conv.weight", "conv.bias"], "mixed", &windows),
        node("Relu", &["mixed"], "bent", &[]),
        node("GlobalAveragePool", &["bent"], "mean", &[]),
        node("Conv", &["mean", "head.weight", "head.bias"], "logits", &[]),
    ];
    let weights: [(&str, &[u64]); 4] =
        [("conv.weight", &[8, 3, 3, 3]), ("conv.bias", &[8]), ("head.weight", &[7, 8, 1, 1]), ("head.bias", &[7])];
    let weights = weights.into_iter().map(|(name, shape)| weight(name, shape)).collect();
    let image = tensor("image", false, &["batch", "3", "16", "16"]);
    model(nodes, weights, vec![image], vec![tensor("logits", false, &["batch", "7", "1", "1"])])
}

/// [`network`] of `Relu` whose convolution is normalized, by running statistics that were never gathered.
pub(crate) fn network_with_normalization() -> Vec<u8> {
    let normalized = ["mixed", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"];
    let nodes = vec![
        node("Conv", &["image", "conv.weight"], "mixed", &[("strides", &[2, 2]), ("pads", &[1, 1, 1, 1])]),
        node("BatchNormalization", &normalized, "even", &[]),
        node("Relu", &["even"], "bent", &[]),
        node("GlobalAveragePool", &["bent"], "mean", &[]),
        node("Flatten", &["mean"], "features", &[("axis", &[1])]),
        node("Gemm", &["features", "head.weight", "head.bias"], "logits", &[("transB", &[1])]),
    ];
    let weights = [("conv.weight", &[8, 3, 3, 3][..]), ("head.weight", &[7, 8]), ("head.bias", &[7])];
    let mut weights: Vec<Message> = weights.into_iter().map(|(name, shape)| weight(name, shape)).collect();
    for (name, value) in [("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)] {
        weights.push(floats(&format!("norm.{name}"), &[8], &[value; 8]));
    }
    let image = tensor("image", false, &["batch", "3", "16", "16"]);
    model(nodes, weights, vec![image], vec![tensor("logits", false, &["batch", "7"])])
}

/// [`network`] of `Relu` with an input of bytes or floats, channels last or first: as exporters from TensorFlow write it, what is before
/// the convolution moves the axes and brings bytes to 0 to 1.
pub(crate) fn network_of(channels_last: bool, bytes: bool) -> Vec<u8> {
    let mut nodes = Vec::new();
    let mut from = "image";
    if bytes {
        nodes.extend([
            node("Cast", &[from], "whole", &[("to", &[FLOAT])]),
            node("Div", &["whole", "white"], "scaled", &[]),
        ]);
        from = "scaled";
    }
    if channels_last {
        nodes.push(node("Transpose", &[from], "planes", &[("perm", &[0, 3, 1, 2])]));
        from = "planes";
    }
    nodes.extend([
        node("Conv", &[from, "conv.weight", "conv.bias"], "mixed", &[("strides", &[2, 2]), ("pads", &[1, 1, 1, 1])]),
        node("Relu", &["mixed"], "bent", &[]),
        node("GlobalAveragePool", &["bent"], "mean", &[]),
        node("Flatten", &["mean"], "features", &[("axis", &[1])]),
        node("Gemm", &["features", "head.weight", "head.bias"], "logits", &[("transB", &[1])]),
    ]);
    let weights =
        [("conv.weight", &[8, 3, 3, 3][..]), ("conv.bias", &[8]), ("head.weight", &[7, 8]), ("head.bias", &[7])];
    let mut weights: Vec<Message> = weights.into_iter().map(|(name, shape)| weight(name, shape)).collect();
    weights.extend(bytes.then(|| floats("white", &[], &[255.0])));
    let axes: [&str; 4] = if channels_last { ["batch", "16", "16", "3"] } else { ["batch", "3", "16", "16"] };
    let image = tensor_of("image", if bytes { UINT8 } else { FLOAT }, &axes);
    model(nodes, weights, vec![image], vec![tensor("logits", false, &["batch", "7"])])
}
