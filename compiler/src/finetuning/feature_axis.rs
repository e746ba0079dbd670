//! Along which axis a value has its features (channels, classes): what makes it tells.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::moved_axes::{reshaped_axes, transposed_axes};
use super::score_effects::{ScoreEffect, score_effect};
use crate::graph::{Attribute, Graph, Length, Node, ValueId};

/// Where a layer puts its features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Behind the batch, as convolutions do.
    Second,
    /// On the last axis, as linear layers do.
    Last,
    /// On the axis before it: a product by a matrix on the left.
    BeforeLast,
    /// On the axis of this number.
    At(usize),
}

/// Operators that tell it, by name.
const LAYERS: [(&str, Place); 47] = [
    ("Attention", Place::Last),
    ("AveragePool", Place::Second),
    ("BatchNormalization", Place::Second),
    ("BiasAdd", Place::Last),
    ("BiasGelu", Place::Last),
    ("BiasSplitGelu", Place::Last),
    ("Conv", Place::Second),
    ("ConvInteger", Place::Second),
    ("ConvTranspose", Place::Second),
    ("DeformConv", Place::Second),
    ("DepthToSpace", Place::Second),
    ("DynamicQuantizeLSTM", Place::Last),
    ("DynamicQuantizeMatMul", Place::Last),
    ("EmbedLayerNormalization", Place::Last),
    ("FusedConv", Place::Second),
    ("FusedGemm", Place::Last),
    ("FusedMatMul", Place::Last),
    ("FusedMatMulActivation", Place::Last),
    ("GRU", Place::Last),
    ("Gemm", Place::Last),
    ("GemmFastGelu", Place::Last),
    ("GlobalAveragePool", Place::Second),
    ("GlobalLpPool", Place::Second),
    ("GlobalMaxPool", Place::Second),
    ("GroupNormalization", Place::Second),
    ("GroupQueryAttention", Place::Last),
    ("InstanceNormalization", Place::Second),
    ("LRN", Place::Second),
    ("LSTM", Place::Last),
    ("LpPool", Place::Second),
    ("MatMul", Place::Last),
    ("MatMulBnb4", Place::Last),
    ("MatMulInteger", Place::Last),
    ("MatMulIntegerToFloat", Place::Last),
    ("MatMulNBits", Place::Last),
    ("MaxPool", Place::Second),
    ("MultiHeadAttention", Place::Last),
    ("NhwcConv", Place::Last),
    ("NhwcFusedConv", Place::Last),
    ("NhwcMaxPool", Place::Last),
    ("QGemm", Place::Last),
    ("QLinearMatMul", Place::Last),
    ("RNN", Place::Last),
    ("SkipLayerNormalization", Place::Last),
    ("SkipSimplifiedLayerNormalization", Place::Last),
    ("SpaceToDepth", Place::Second),
    ("TransposeMatMul", Place::Last),
];

/// The axis of a value along which the layer that makes it has its features: what a convolution makes has them on the second, what
/// a linear layer makes on the last, and constants that are added or multiplied along one axis lie along them. It is followed back
/// through what moves axes and what leaves them where they are. Nothing where no layer tells it.
pub(crate) fn feature_axis(graph: &Graph, value: ValueId) -> Option<usize> {
    let rank = graph.tensor_type(value)?.shape.len();
    let mut open = vec![(value, Axes::with((0..rank).map(Some).collect()))];
    let mut seen = HashSet::new();
    while let Some((value, axes)) = open.pop() {
        let Some(node) = graph.producer(value).filter(|_| seen.insert(value)) else { continue };
        if let Some(place) = layer(graph, node, axes.of.len()) {
            match axes.at(place) {
                Some(axis) => return Some(axis),
                None => continue,
            }
        }
        let reads = reads(graph, node, value, &axes);
        open.extend(reads.into_iter().rev());
    }
    None
}

/// Which axis of the result each axis of a value becomes.
#[derive(Clone, Debug, Default)]
struct Axes {
    /// By the axes of the value; empty where it is not known how many it has.
    of: Vec<Option<usize>>,
    /// What its last one becomes.
    last: Option<usize>,
}

impl Axes {
    fn with(of: Vec<Option<usize>>) -> Self {
        Self { last: of.last().copied().flatten(), of }
    }

    /// Where the features of a layer come to lie that makes the value.
    fn at(&self, place: Place) -> Option<usize> {
        let at = |axis: usize| self.of.get(axis).copied().flatten();
        match place {
            Place::Second => at(1),
            Place::Last => self.last,
            Place::BeforeLast => self.of.len().checked_sub(2).and_then(at),
            Place::At(axis) => at(axis),
        }
    }

    /// Of what is handed on in another form, where it is known for each of its axes where it is behind that.
    fn in_front_of(&self, moved: &[Option<usize>]) -> Self {
        Self::with(moved.iter().map(|axis| self.of.get((*axis)?).copied().flatten()).collect())
    }

    /// Of what is read as another shape. A last axis of which it cannot be told where it is is taken to stay the last.
    fn in_front_of_reshape(&self, from: Option<&[Length]>, to: Option<&[Length]>) -> Self {
        let (Some(from), Some(to)) = (from, to) else { return Self { of: Vec::new(), last: self.last } };
        let read = self.in_front_of(&reshaped_axes(from, to));
        Self { last: read.last.or(self.last), ..read }
    }

    /// Of what a `Gather` takes its parts of, which has so many axes; its indices have `indices`.
    fn in_front_of_gather(&self, axis: i64, (axes, indices): (usize, usize)) -> Self {
        let taken = usize::try_from(if axis < 0 { axis + axes as i64 } else { axis }).unwrap_or(usize::MAX);
        let becomes = |axis: usize| match axis.cmp(&taken) {
            Ordering::Less => self.of.get(axis).copied().flatten(),
            Ordering::Equal => None,
            // it is not the first, so that one less is a number
            Ordering::Greater => self.of.get(axis + indices - 1).copied().flatten(),
        };
        Self::with((0..axes).map(becomes).collect())
    }
}

/// Where the channels of an operator lie that says it by `channels_last`; `unless_stated` is what a missing one stands for.
fn channels(node: &Node, unless_stated: i64) -> Place {
    if node.int("channels_last").unwrap_or(unless_stated) == 0 { Place::Second } else { Place::Last }
}

/// Where the features of what a node makes lie, if it tells that by itself; `rank`: how many axes its result has, 0 where that is
/// not known.
fn layer(graph: &Graph, node: &Node, rank: usize) -> Option<Place> {
    let is_constant = |at: usize| node.input(at).is_some_and(|input| constant_shape(graph, input).is_some());
    match node.operator.as_str() {
        "FusedMatMul" | "MatMul" if is_constant(0) && !is_constant(1) => Some(Place::BeforeLast),
        // over several axes it is of no one of them
        "LayerNormalization" | "RMSNormalization" | "SimplifiedLayerNormalization" => {
            let axis = node.int("axis").unwrap_or(-1);
            (axis == -1 || axis + 1 == rank as i64).then_some(Place::Last)
        }
        "GroupNorm" | "SkipGroupNorm" => Some(channels(node, 1)),
        "QLinearConv" => Some(channels(node, 0)),
        // rows of a table
        "Gather" => (is_constant(0) && node.int("axis").unwrap_or(0) == 0).then_some(Place::Last),
        "Add" | "Div" | "Mul" | "Sub" => beside(graph, node, rank).map(Place::At),
        operator => LAYERS.iter().find(|(name, _)| *name == operator).map(|(_, place)| *place),
    }
}

/// The axis along which a node combines what it reads with constants that differ along that axis alone, and not along the batch.
fn beside(graph: &Graph, node: &Node, rank: usize) -> Option<usize> {
    let along = |shape: &[usize]| {
        let mut long = shape.iter().enumerate().filter(|(_, length)| **length > 1);
        match (long.next(), long.next()) {
            (Some((axis, _)), None) => (axis + rank).checked_sub(shape.len()),
            _ => None,
        }
    };
    let mut shapes = node.inputs.iter().flatten().filter_map(|input| constant_shape(graph, *input));
    shapes.find_map(along).filter(|axis| *axis > 0)
}

/// The shape of a constant, also of one that stands in a node of its own.
fn constant_shape(graph: &Graph, value: ValueId) -> Option<&[usize]> {
    if let Some(constant) = graph.constant_of(value) {
        return Some(&constant.shape);
    }
    match graph.producer(value).filter(|node| node.is("Constant"))?.attributes.get("value")? {
        Attribute::Tensor(constant) => Some(&constant.shape),
        _ => None,
    }
}

/// What a node that is no layer reads and has on the same axes, or on others that are known.
fn reads(graph: &Graph, node: &Node, made: ValueId, axes: &Axes) -> Vec<(ValueId, Axes)> {
    let shape = |value: ValueId| graph.tensor_type(value).map(|known| known.shape.as_slice());
    let has_as_many_axes =
        |value: &ValueId| axes.of.is_empty() || shape(*value).is_none_or(|shape| shape.len() == axes.of.len());
    let same = |value: ValueId| (value, axes.clone());
    let first = node.input(0);
    let read = match (node.operator.as_str(), score_effect(node)) {
        (_, Some(ScoreEffect::Keeps)) => first.map(same),
        (_, Some(ScoreEffect::Transposes)) => {
            first.map(|value| (value, axes.in_front_of(&transposed_axes(node, axes.of.len()))))
        }
        (_, Some(ScoreEffect::Reshapes)) => {
            first.map(|value| (value, axes.in_front_of_reshape(shape(value), shape(made))))
        }
        ("Gather", _) => first.zip(node.input(1)).and_then(|(data, indices)| {
            let counts = (shape(data)?.len(), shape(indices)?.len());
            Some((data, axes.in_front_of_gather(node.int("axis").unwrap_or(0), counts)))
        }),
        ("Add" | "Concat" | "Div" | "Max" | "Mean" | "Min" | "Mul" | "Pow" | "Sub" | "Sum" | "Where", _) => {
            let condition = usize::from(node.is("Where"));
            let combined = node.inputs.iter().skip(condition).flatten().copied();
            return combined.filter(has_as_many_axes).map(same).collect();
        }
        ("Expand" | "Pad" | "ReduceMax" | "ReduceMean" | "ReduceSum" | "Resize" | "Slice" | "Split" | "Tile", _) => {
            first.filter(has_as_many_axes).map(same)
        }
        // element by element, as far as shapes tell
        _ => first.filter(|value| shape(*value).is_some_and(|read| shape(made) == Some(read))).map(same),
    };
    read.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Constant, TensorType};
    use crate::operators::OperatorCatalog;

    /// A map `[batch, 6, 4, 4]` or a sequence `[batch, 4, 6]`, by how many axes are wanted.
    fn input(graph: &mut Graph, axes: usize) -> ValueId {
        let batch = Length::named("batch");
        let shape = if axes == 4 { vec![batch, 6.into(), 4.into(), 4.into()] } else { vec![batch, 4.into(), 6.into()] };
        graph.input("x", TensorType::f32(shape))
    }

    type Build = fn(&mut Graph, ValueId) -> ValueId;

    fn turned(graph: &mut Graph, value: ValueId, order: &[i64]) -> ValueId {
        graph.transpose(value, order).unwrap()
    }

    fn constant(graph: &mut Graph, shape: &[usize]) -> ValueId {
        let count = shape.iter().product();
        graph.named_constant("weight", Constant::f32(shape, &vec![0.5; count]))
    }

    fn convolved(graph: &mut Graph, value: ValueId) -> ValueId {
        let kernel = constant(graph, &[6, 6, 1, 1]);
        graph.add("Conv", &[value, kernel], &[]).unwrap()
    }

    fn multiplied(graph: &mut Graph, value: ValueId) -> ValueId {
        let matrix = constant(graph, &[6, 6]);
        graph.add("MatMul", &[value, matrix], &[]).unwrap()
    }

    #[test]
    fn the_layer_that_makes_a_value_tells_where_its_features_are() {
        let rows: [(usize, Build, Option<usize>); 17] = [
            (4, |_, x| x, None),
            (4, |g, x| g.add("Relu", &[x], &[]).unwrap(), None),
            (4, convolved, Some(1)),
            (
                4,
                |g, x| {
                    let map = convolved(g, x);
                    let bent = g.add("Relu", &[map], &[]).unwrap();
                    g.plus(bent, x).unwrap()
                },
                Some(1),
            ),
            (
                4,
                |g, x| {
                    let map = convolved(g, x);
                    let chances = g.add("Softmax", &[map], &[("axis", 1.into())]).unwrap();
                    turned(g, chances, &[0, 2, 3, 1])
                },
                Some(3),
            ),
            (
                4,
                |g, x| {
                    let map = convolved(g, x);
                    let last = turned(g, map, &[0, 2, 3, 1]);
                    g.reshape(last, &[Length::named("batch"), 16.into(), 6.into()]).unwrap()
                },
                Some(2),
            ),
            (
                4,
                |g, x| {
                    let map = convolved(g, x);
                    g.reshape(map, &[Length::named("batch"), 6.into(), 16.into()]).unwrap()
                },
                Some(1),
            ),
            // two groups of channels are no axis of channels any more
            (
                4,
                |g, x| {
                    let map = convolved(g, x);
                    g.reshape(map, &[Length::named("batch"), 2.into(), 3.into(), 16.into()]).unwrap()
                },
                None,
            ),
            (
                4,
                |g, x| {
                    let last = turned(g, x, &[0, 2, 3, 1]);
                    multiplied(g, last)
                },
                Some(3),
            ),
            (3, multiplied, Some(2)),
            (
                3,
                |g, x| {
                    let matrix = constant(g, &[4, 4]);
                    g.add("MatMul", &[matrix, x], &[]).unwrap()
                },
                Some(1),
            ),
            (
                3,
                |g, x| {
                    let product = multiplied(g, x);
                    turned(g, product, &[0, 2, 1])
                },
                Some(1),
            ),
            (
                3,
                |g, x| {
                    let product = multiplied(g, x);
                    let first = g.constant("first", Constant::i64([], &[0]));
                    g.add("Gather", &[product, first], &[("axis", 1.into())]).unwrap()
                },
                Some(1),
            ),
            (
                3,
                |g, x| {
                    let bias = constant(g, &[6]);
                    g.plus(x, bias).unwrap()
                },
                Some(2),
            ),
            (
                4,
                |g, x| {
                    let scale = constant(g, &[6, 1, 1]);
                    g.times(x, scale).unwrap()
                },
                Some(1),
            ),
            // places of a sequence lie along two axes
            (
                3,
                |g, x| {
                    let places = constant(g, &[1, 4, 6]);
                    g.plus(x, places).unwrap()
                },
                None,
            ),
            (
                3,
                |g, x| {
                    let scale = constant(g, &[6]);
                    g.add("LayerNormalization", &[x, scale], &[("axis", (-1).into())]).unwrap()
                },
                Some(2),
            ),
        ];
        for (at, (axes, build, wanted)) in rows.into_iter().enumerate() {
            let mut graph = Graph::new(17, OperatorCatalog::standard());
            let x = input(&mut graph, axes);
            let made = build(&mut graph, x);
            assert_eq!(feature_axis(&graph, made), wanted, "row {at}");
        }
    }

    #[test]
    fn layers_stand_once_and_in_order() {
        assert!(LAYERS.is_sorted_by(|a, b| a.0 < b.0));
    }
}
