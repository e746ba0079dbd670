//! How an input takes images: in which order its axes stand, and by what that is seen.

use std::collections::{HashMap, HashSet};

use millstream_schemas::ImageLayout;

use super::Model;
use super::onnx::{NodeProto, TensorProto};

/// Nodes that are looked at behind an input.
const MOST_NODES: usize = 64;
/// Operators that leave the axes where they are: what changes pixels before the first layer.
const KEEP_AXES: [&str; 12] = [
    "Add",
    "Cast",
    "CastLike",
    "Clip",
    "DequantizeLinear",
    "Div",
    "Identity",
    "Mul",
    "Pad",
    "QuantizeLinear",
    "Resize",
    "Sub",
];

/// An input that images can be given to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageInput {
    /// The order of its axes.
    pub layout: ImageLayout,
    /// Values of a pixel, where the file says it.
    pub channels: Option<usize>,
    /// By what the order is seen, in words; none where nothing tells it and it is the usual one.
    pub seen: Option<String>,
}

impl Model {
    /// How an input takes images: the order of its axes by its shape, or where that fits both, by the nodes that read it. `None` where it
    /// has not the four axes of a batch of images.
    pub fn image_input(&self, name: &str) -> Option<ImageInput> {
        let (_, shape) = self.inputs().into_iter().find(|(own, _)| own == name)?;
        let [_, first, _, last] = shape[..] else { return None };
        let input = |layout, seen| {
            let channels = if layout == ImageLayout::ChannelsFirst { first } else { last };
            Some(ImageInput { layout, channels, seen })
        };
        let side = |channels: Option<usize>| channels.map_or(String::new(), |channels| channels.to_string());
        match layout_by_channels(first, last) {
            Some(ImageLayout::ChannelsFirst) => {
                input(ImageLayout::ChannelsFirst, Some(format!("axis 1 has the length {}", side(first))))
            }
            Some(ImageLayout::ChannelsLast) => {
                input(ImageLayout::ChannelsLast, Some(format!("its last axis has the length {}", side(last))))
            }
            None => match self.layout_by_readers(name) {
                Some((layout, reader)) => input(layout, Some(reader)),
                None => input(ImageLayout::default(), None),
            },
        }
    }

    /// What the first node behind an input that is no matter of pixels alone says of the order of axes.
    fn layout_by_readers(&self, name: &str) -> Option<(ImageLayout, String)> {
        let graph = self.file_graph();
        let constants: HashMap<&str, &TensorProto> =
            graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
        let mut same = HashSet::from([name]);
        // nodes stand behind those that they read
        let readers = graph.node.iter().filter(|node| node.input.first().is_some_and(|input| !input.is_empty()));
        for node in readers {
            if !same.contains(node.input[0].as_str()) {
                continue;
            }
            if same.len() > MOST_NODES {
                return None;
            }
            if let Some(layout) = layout_by(node, &constants) {
                let named = if node.name().is_empty() {
                    String::new()
                } else {
                    format!(" `{}`", millstream_schemas::shown(node.name()))
                };
                return Some((layout, format!("node{named} ({}) reads it so", node.op_type())));
            }
            if KEEP_AXES.contains(&node.op_type()) {
                same.extend(node.output.iter().map(String::as_str));
            }
        }
        None
    }
}

/// The order of axes of which, by their lengths, only one of two can be channels: the second or the last. Nothing where both can, or
/// none.
pub(crate) fn layout_by_channels(second: Option<usize>, last: Option<usize>) -> Option<ImageLayout> {
    let are_channels = |length: Option<usize>| matches!(length, Some(1 | 3));
    match (are_channels(second), are_channels(last)) {
        (true, false) => Some(ImageLayout::ChannelsFirst),
        (false, true) => Some(ImageLayout::ChannelsLast),
        _ => None,
    }
}

fn layout_by(node: &NodeProto, constants: &HashMap<&str, &TensorProto>) -> Option<ImageLayout> {
    let of_standard = matches!(node.domain(), "" | "ai.onnx");
    let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name() == name);
    match node.op_type() {
        "Transpose" => match attribute("perm")?.ints[..] {
            // to what convolutions take
            [0, 3, 1, 2] => Some(ImageLayout::ChannelsLast),
            [0, 2, 3, 1] => Some(ImageLayout::ChannelsFirst),
            _ => None,
        },
        "NhwcConv" | "NhwcFusedConv" => Some(ImageLayout::ChannelsLast),
        "QLinearConv" if attribute("channels_last").is_some_and(|last| last.i() == 1) => {
            Some(ImageLayout::ChannelsLast)
        }
        "Conv"
        | "ConvInteger"
        | "QLinearConv"
        | "FusedConv"
        | "MaxPool"
        | "AveragePool"
        | "BatchNormalization"
        | "InstanceNormalization" => Some(ImageLayout::ChannelsFirst),
        // numbers for each channel: of three, along the last axis or along the first of three
        "Sub" | "Add" | "Mul" | "Div" if of_standard => {
            let constant = constants.get(node.input.get(1)?.as_str())?;
            match constant.dims[..] {
                [.., 3] => Some(ImageLayout::ChannelsLast),
                [.., 3, 1, 1] => Some(ImageLayout::ChannelsFirst),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::onnx::{
        AttributeProto, GraphProto, ModelProto, OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto,
        attribute_proto, tensor_shape_proto, type_proto,
    };
    use super::*;

    fn declared(name: &str, lengths: [i64; 4]) -> ValueInfoProto {
        let dim = |length: i64| tensor_shape_proto::Dimension {
            value: (length > 0).then_some(tensor_shape_proto::dimension::Value::DimValue(length)),
            ..Default::default()
        };
        let shape = TensorShapeProto { dim: lengths.into_iter().map(dim).collect() };
        let tensor = type_proto::Tensor { elem_type: Some(1), shape: Some(shape) };
        let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
        ValueInfoProto { name: Some(name.into()), r#type: Some(kind), ..Default::default() }
    }

    fn node(kind: &str, inputs: &[&str], output: &str, perm: &[i64]) -> NodeProto {
        let perm = AttributeProto {
            name: Some("perm".into()),
            ints: perm.to_vec(),
            r#type: Some(attribute_proto::AttributeType::Ints.into()),
            ..Default::default()
        };
        NodeProto {
            op_type: Some(kind.into()),
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: vec![output.into()],
            attribute: if perm.ints.is_empty() { Vec::new() } else { vec![perm] },
            ..Default::default()
        }
    }

    fn of_three(dims: &[i64]) -> TensorProto {
        TensorProto {
            name: Some("mean".into()),
            dims: dims.to_vec(),
            data_type: Some(1),
            float_data: vec![1.0; 3],
            ..Default::default()
        }
    }

    fn seen(shape: [i64; 4], nodes: Vec<NodeProto>, mean: &[i64]) -> Option<ImageInput> {
        let last = nodes.last().map_or("x".to_owned(), |node| node.output[0].clone());
        let graph = GraphProto {
            name: Some("g".into()),
            node: nodes,
            initializer: vec![of_three(mean)],
            input: vec![declared("x", shape)],
            output: vec![ValueInfoProto { name: Some(last), ..declared("", [0; 4]) }],
            ..Default::default()
        };
        let opset = OperatorSetIdProto { version: Some(17), ..Default::default() };
        let proto =
            ModelProto { ir_version: Some(8), graph: Some(graph), opset_import: vec![opset], ..Default::default() };
        let fingerprint = millstream_schemas::Fingerprint::of(&1);
        Model { proto, path: "x.onnx".into(), fingerprint, blocks: None }.image_input("x")
    }

    #[test]
    fn the_order_of_axes_is_seen_by_shape_then_by_who_reads_them() {
        use ImageLayout::{ChannelsFirst, ChannelsLast};
        let transpose = || vec![node("Cast", &["x"], "a", &[]), node("Transpose", &["a"], "b", &[0, 3, 1, 2])];
        let conv = || vec![node("Identity", &["x"], "a", &[]), node("Conv", &["a", "w"], "b", &[])];
        let minus = || vec![node("Sub", &["x", "mean"], "a", &[])];
        let no_mean: &[i64] = &[3, 3];
        for (shape, nodes, mean, layout, channels, is_seen) in [
            ([0, 3, 224, 224], Vec::new(), no_mean, ChannelsFirst, Some(3), true),
            ([0, 224, 224, 3], Vec::new(), no_mean, ChannelsLast, Some(3), true),
            ([0, 0, 0, 1], Vec::new(), no_mean, ChannelsLast, Some(1), true),
            // a shape that fits both
            ([0, 3, 5, 3], conv(), no_mean, ChannelsFirst, Some(3), true),
            ([0, 3, 5, 3], transpose(), no_mean, ChannelsLast, Some(3), true),
            ([0, 0, 0, 0], transpose(), no_mean, ChannelsLast, None, true),
            ([0, 0, 0, 0], minus(), &[3], ChannelsLast, None, true),
            ([0, 0, 0, 0], minus(), &[1, 3, 1, 1], ChannelsFirst, None, true),
            ([0, 0, 0, 0], minus(), &[1], ChannelsFirst, None, false),
            // other channels than images have
            ([0, 8, 24, 24], Vec::new(), no_mean, ChannelsFirst, Some(8), false),
        ] {
            let found = seen(shape, nodes, mean).unwrap();
            assert_eq!(
                (found.layout, found.channels, found.seen.is_some()),
                (layout, channels, is_seen),
                "{shape:?} {found:?}"
            );
        }
    }
}
