//! A new head that tells the boxes of a picture at each place of a map.

use std::collections::{BTreeMap, BTreeSet};

use millstream_schemas::choice::{Choice, Options};
use millstream_schemas::{count, shown};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::head_function::{HeadFunction, HeadModel, PlacedHead};
use super::head_kind::{HeadBuild, HeadKind, HeadOptions};
use crate::CompilerError;
use crate::finetuning::feature_axis::feature_axis;
use crate::finetuning::head::{Head, head_behind};
use crate::finetuning::nodes::named;
use crate::finetuning::replacement::require_size;
use crate::graph::{Attribute, Constant, Graph, Length, Node, ValueId};
use crate::initializers::{self, Fans, Initializer};
use crate::losses::{PredictionKind, classes_among};

pub(super) const HEAD: HeadKind = HeadKind {
    name: "boxes",
    summary: "A new one that tells at each place of a map what lies there and how far its sides are, for the loss `fcos`.",
    documentation: "It reads a map of features `[batch, features, height, width]`: what the model gives, or, of a model of classes, what \
        its last pooling or flattening reads, and of one that ends in a linear layer at each place, as of segmentation or \
        boxes, what that reads. `finer` says how many times that becomes twice as high and wide: a convolution \
        of single places with 512 outputs, of which four each become four places (`DepthToSpace`), is added to one of the \
        last map of that size on the way there, or of one less a side, with a `Relu` (Lin et al., \"Feature Pyramid \
        Networks\", 2017); where the model has no such map it stays as it is, which is noted. A convolution of three by \
        three and a `Relu` for each width of `hidden`, drawn by `he_normal`, then one convolution of single places make \
        scores of the classes and four distances. What is there begins with a probability of `prior` each, and all sides one \
        place away (Lin et al., \"Focal Loss\", 2017; Tian et al., 2019).",
    samples: &["{}", r#"{"hidden": [], "finer": 0}"#, r#"{"hidden": [128, 128], "prior": 0.05, "finer": 2}"#],
    build: HeadBuild::of::<BoxHead>(),
};

/// Width and height of the kernels in front of the last layer.
const KERNEL: usize = 3;
/// Features of a map that was made finer.
const FINER_WIDTH: usize = 128;
/// Maps are not made finer more often.
const FINEST: usize = 3;
/// How far the weights of the last layer begin from 0.
const LAST_DEVIATION: f64 = 0.01;
/// Operators that say by further inputs how they read the first one.
const READ_FIRST: [&str; 8] =
    ["Cast", "Flatten", "ReduceMax", "ReduceMean", "ReduceSum", "Reshape", "Squeeze", "Unsqueeze"];
/// Operators that make of one value another of the same places, or one of them all, when they read it several times: activations and
/// normalizations in single operators.
const OF_ONE_VALUE: [&str; 33] = [
    "Abs",
    "Add",
    "Cast",
    "Clip",
    "Concat",
    "Div",
    "Erf",
    "Exp",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "Log",
    "Max",
    "Min",
    "Mul",
    "Neg",
    "Pow",
    "Reciprocal",
    "ReduceMax",
    "ReduceMean",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Sigmoid",
    "Softplus",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tanh",
    "Unsqueeze",
];
/// What the operators are called by that make features of a picture.
const OF_LAYERS: [&str; 4] = ["Conv", "Gemm", "MatMul", "Pool"];

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct BoxHead {
    /// How many times the map is made twice as high and wide, where the model has a map of that size.
    #[schemars(range(min = 0, max = FINEST))]
    finer: usize,
    /// Widths of the layers before the last, in order; none for a single layer.
    #[schemars(inner(range(min = 1)))]
    hidden: Vec<usize>,
    /// The probability that each class begins with at each place, above 0 and below 1.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    prior: f64,
}

impl Default for BoxHead {
    fn default() -> Self {
        Self { finer: 1, hidden: vec![256], prior: 0.01 }
    }
}

impl Options for BoxHead {
    fn validate(&self) -> Result<(), String> {
        match self {
            Self { hidden, .. } if hidden.contains(&0) => Err("hidden holds widths of 1 or more, got 0".into()),
            Self { finer, .. } if *finer > FINEST => Err(format!("finer is 0 to {FINEST}, got {finer}")),
            Self { prior, .. } if !(*prior > 0.0 && *prior < 1.0) => {
                Err(format!("prior is above 0 and below 1, got {prior}"))
            }
            _ => Ok(()),
        }
    }
}

impl HeadOptions for BoxHead {}

impl HeadFunction for BoxHead {
    fn place(&self, model: &mut HeadModel<'_>) -> Result<PlacedHead, CompilerError> {
        if model.reads != PredictionKind::Boxes {
            let message =
                "the head `boxes` tells boxes, and the loss is one of something else; use `training.loss: fcos`";
            return Err(CompilerError::setting("model.head", message));
        }
        let lengths = model.lengths;
        let (map, width) = map_of(model.graph, model.output, lengths)?;
        let (graph, seed) = (&mut *model.graph, model.seed);
        let kernels = Initializer::named("he_normal").expect("it has no options");
        let mut before = Vec::new();
        let (mut value, mut read, mut last) = (map, width, map);
        for at in 0..self.finer {
            let Some(Side { map: side, width, is_cut }) = finer(graph, last, lengths) else {
                model.notes.push(not_finer(graph, last, (self.finer, at), lengths));
                break;
            };
            let top = Layer::of(format!("head.finer.{at}.top"), 1, 4 * FINER_WIDTH);
            let top = top.add(graph, (value, read), &kernels, seed)?;
            let made = Layer::of(format!("head.finer.{at}.side"), 1, FINER_WIDTH);
            let made = made.add(graph, (side, width), &kernels, seed)?;
            before.extend([top.weight, top.bias, made.weight, made.bias]);
            let mut spread = graph.append("DepthToSpace", &[top.value], &[("blocksize", 2.into())], "spread")?;
            let stated = sides(graph, side, &BTreeMap::new());
            // the exported model takes pictures of any size that its file leaves open
            if is_cut || stated.is_none() {
                let [first, axes] = [&[0, 0], &[2, 3]].map(|numbers| graph.integers(numbers));
                let until = match stated {
                    Some(sides) => graph.integers(&sides.map(|side| side as i64)),
                    None => sides_in_run(graph, side)?,
                };
                spread = graph.append("Slice", &[spread, first, until, axes], &[], "cut")?;
            }
            let sum = graph.append("Add", &[made.value, spread], &[], "finer")?;
            if stated.is_none() {
                let of_side = graph.tensor_type(made.value).cloned();
                graph.set_type(sum, of_side);
            }
            value = graph.append("Relu", &[sum], &[], "finer_activated")?;
            (read, last) = (FINER_WIDTH, side);
        }
        let (name, at) = (shown(graph.name(map)), shown(graph.name(last)));
        model.notes.push(match last == map {
            true => format!("the new head tells boxes at the places of `{name}`, of {width} features each"),
            false => format!(
                "the new head tells boxes at the places of `{at}`, by its features and the {width} each of `{name}`"
            ),
        });
        for (at, width) in self.hidden.iter().enumerate() {
            let layer = Layer::of(format!("head.hidden.{at}"), KERNEL, *width);
            let made = layer.add(graph, (value, read), &kernels, seed)?;
            before.extend([made.weight, made.bias]);
            value = graph.append("Relu", &[made.value], &[], "activated")?;
            read = *width;
        }
        let small = Choice::new("truncated_normal", json!({ "deviation": LAST_DEVIATION }));
        let small = Initializer::choose(initializers::standard(), &small, "model.head.boxes")
            .expect("the initializer has this option");
        let unlikely = (self.prior / (1.0 - self.prior)).ln() as f32;
        let classes = classes_among(model.classes).unwrap_or_default();
        let bias = (0..model.classes).map(|at| if at < classes { unlikely } else { 0.0 }).collect();
        let last = Layer { name: "head".into(), kernel: 1, outputs: model.classes, bias: Some(bias), result: "boxes" };
        let made = last.add(graph, (value, read), &small, seed)?;
        graph.set_outputs(&[made.value]);
        Ok(PlacedHead::from(Head {
            output: made.value,
            logits: made.value,
            node: made.node,
            weight: made.weight,
            bias: Some(made.bias),
            class_axis: 0,
            classes: model.classes,
            reads_matrix: false,
            others: Vec::new(),
            before,
            dropped: Vec::new(),
        }))
    }
}

/// A convolution that leaves the places where they are.
struct Layer {
    name: String,
    /// Width and height, odd.
    kernel: usize,
    outputs: usize,
    /// What its outputs begin with, one number each; none for zeros.
    bias: Option<Vec<f32>>,
    /// What its result is called.
    result: &'static str,
}

struct Added {
    value: ValueId,
    weight: ValueId,
    bias: ValueId,
    /// Index of its node.
    node: usize,
}

impl Layer {
    /// With so many outputs, which begin with no bias.
    fn of(name: String, kernel: usize, outputs: usize) -> Self {
        Self { name, kernel, outputs, bias: None, result: "hidden" }
    }

    /// Behind a map of so many features.
    fn add(
        &self,
        graph: &mut Graph,
        (map, read): (ValueId, usize),
        how: &Initializer,
        seed: u64,
    ) -> Result<Added, CompilerError> {
        let made = self.outputs;
        let shape = [made, read, self.kernel, self.kernel];
        let words = format!("a layer of {read} features and {made} outputs");
        require_size(&shape, &words, "take smaller widths of `hidden`, or data of fewer classes")?;
        let name = graph.free_name(&format!("{}.weight", self.name));
        let weight = graph.constant(&name, how.draw(&shape, Fans::of_convolution(&shape), seed, &name));
        let begins = self.bias.clone().unwrap_or_else(|| vec![0.0; made]);
        let bias = graph.named_constant(&format!("{}.bias", self.name), Constant::f32([made], &begins));
        let (node, around) = (graph.nodes().len(), (self.kernel / 2) as i64);
        let sides: Attribute = vec![self.kernel as i64; 2].into();
        let attributes = [("kernel_shape", sides), ("pads", vec![around; 4].into())];
        let value = graph.append("Conv", &[map, weight, bias], &attributes, self.result)?;
        Ok(Added { value, weight, bias, node })
    }
}

/// The map that a new head reads behind an output, then those that it goes to where it makes that finer, in order; with how many features
/// each has.
///
/// # Errors
/// There is no map.
pub(crate) fn maps(graph: &Graph, output: ValueId) -> Result<Vec<(ValueId, usize)>, CompilerError> {
    let lengths = BTreeMap::new();
    let first = map_of(graph, output, &lengths)?;
    let next = |(map, _): &(ValueId, usize)| finer(graph, *map, &lengths).map(|side| (side.map, side.width));
    Ok(std::iter::successors(Some(first), next).take(FINEST + 1).collect())
}

/// The map of features that a model's output is made of, `[batch, features, height, width]`, and how many features it has: found on the
/// way back from what the last linear layer reads; or the output itself. `lengths` are those of named axes.
fn map_of(
    graph: &Graph,
    output: ValueId,
    lengths: &BTreeMap<String, usize>,
) -> Result<(ValueId, usize), CompilerError> {
    let kinds = [PredictionKind::ClassScores, PredictionKind::LabelScores];
    let own = kinds.into_iter().find_map(|reads| head_behind(graph, output, reads).ok());
    // what a model tells of its places by itself is no feature of them; sums of such are read as they are
    let read = own.filter(|head| head.others.is_empty()).and_then(|head| graph.nodes().get(head.node)?.input(0));
    let behind = match read.map(|read| map_behind(graph, read, lengths)) {
        Some(Ok(found)) => return Ok(found),
        Some(Err(why)) => Some(why),
        None => None,
    };
    map_behind(graph, output, lengths).map_err(|why| {
        let message = format!(
            "there is no map [batch, features, height, width] behind output `{}`: {}; export the model so that it gives one, and name it \
             by `model.output` where it gives several values",
            shown(graph.name(output)),
            behind.unwrap_or(why)
        );
        CompilerError::setting("model.head", message)
    })
}

/// The first map on the way back from a value, through what reads one value that is computed, and how many features it has.
///
/// # Errors
/// Why there is none.
fn map_behind(
    graph: &Graph,
    mut value: ValueId,
    lengths: &BTreeMap<String, usize>,
) -> Result<(ValueId, usize), String> {
    loop {
        if let Some(width) = features(graph, value, lengths) {
            return Ok((value, width));
        }
        let node = graph.producer(value).ok_or_else(|| format!("`{}` is made by no node", shown(graph.name(value))))?;
        value = read(graph, node).ok_or_else(|| format!("{} reads several computed values", named(graph, node)))?;
    }
}

/// How many features a value has at each place, where it is a map of more than one.
fn features(graph: &Graph, value: ValueId, lengths: &BTreeMap<String, usize>) -> Option<usize> {
    let features = match graph.tensor_type(value)?.shape.as_slice() {
        [_, features, height, width] if [height, width].iter().any(|side| fixed(side, lengths) != Some(1)) => {
            features.fixed()?
        }
        _ => return None,
    };
    let is_of_layer = |node: &usize| OF_LAYERS.iter().any(|layer| graph.nodes()[*node].operator.contains(layer));
    // what no layer made, as a picture that was normalized, holds none
    let is_made = feature_axis(graph, value) == Some(1) && makers(graph, value).iter().any(is_of_layer);
    is_made.then_some(features)
}

/// All nodes on the way to a value, in the order of the graph.
fn makers(graph: &Graph, value: ValueId) -> BTreeSet<usize> {
    let (mut open, mut before) = (vec![value], BTreeSet::new());
    while let Some(value) = open.pop() {
        if let Some(node) = graph.maker(value).filter(|node| before.insert(*node)) {
            open.extend(graph.nodes()[node].inputs.iter().flatten());
        }
    }
    before
}

/// A length as a number, where it is one with those of named axes.
fn fixed(length: &Length, lengths: &BTreeMap<String, usize>) -> Option<usize> {
    length.with(&|name| lengths.get(name).map(Length::from)).fixed()
}

/// Height and width of a map, where they are known, with the lengths of named axes.
fn sides(graph: &Graph, map: ValueId, lengths: &BTreeMap<String, usize>) -> Option<[usize; 2]> {
    match graph.tensor_type(map)?.shape.as_slice() {
        [_, _, height, width] => Some([fixed(height, lengths)?, fixed(width, lengths)?]),
        _ => None,
    }
}

/// Height and width of a map, read when the graph runs: int64 `[2]`.
fn sides_in_run(graph: &mut Graph, map: ValueId) -> Result<ValueId, CompilerError> {
    let shape = graph.append("Shape", &[map], &[], "side_shape")?;
    let [from, until] = [2, 4].map(|at| graph.integers(&[at]));
    graph.append("Slice", &[shape, from, until], &[], "sides")
}

/// A map that is added to one that was made finer.
struct Side {
    map: ValueId,
    /// How many features it has.
    width: usize,
    /// Whether it is less than twice as high or wide, as where an odd side was halved.
    is_cut: bool,
}

/// Of the maps on the way to one the last that is twice as high and wide, or by one less.
fn finer(graph: &Graph, map: ValueId, lengths: &BTreeMap<String, usize>) -> Option<Side> {
    let twice = sides(graph, map, lengths)?.map(|side| 2 * side);
    let before = makers(graph, map);
    let made = before.iter().rev().flat_map(|node| graph.nodes()[*node].outputs.iter().flatten().copied());
    made.filter_map(|value| Some((value, sides(graph, value, lengths)?)))
        .filter(|(_, sides)| sides.iter().zip(twice).all(|(side, twice)| *side == twice || *side + 1 == twice))
        .find_map(|(map, sides)| Some(Side { map, width: features(graph, map, lengths)?, is_cut: sides != twice }))
}

/// That a map was made finer less often than was wanted, and why.
fn not_finer(
    graph: &Graph,
    last: ValueId,
    (wanted, done): (usize, usize),
    lengths: &BTreeMap<String, usize>,
) -> String {
    let why = match sides(graph, last, lengths) {
        Some([height, width]) => format!("the model has no map of {}×{} places", 2 * width, 2 * height),
        None => "how large the maps are is open; export the model with a fixed height and width".to_owned(),
    };
    format!("`finer: {wanted}` was applied {}: {why}", count(done as u64, "time"))
}

/// What a node reads, where that is one computed value, or what all of its values are made of alone.
fn read(graph: &Graph, node: &Node) -> Option<ValueId> {
    let is_computed = |value: &ValueId| {
        graph.inputs().contains(value) || graph.producer(*value).is_some_and(|made| !made.is("Constant"))
    };
    let reads = |node: &Node| -> Vec<ValueId> {
        let read = if READ_FIRST.contains(&node.operator.as_str()) { 1 } else { node.inputs.len() };
        node.inputs.iter().take(read).flatten().copied().filter(is_computed).collect()
    };
    let with_maker = |value: ValueId| (graph.maker(value), value);
    let mut open: BTreeSet<(Option<usize>, ValueId)> = reads(node).into_iter().map(with_maker).collect();
    let is_of_one = |node: &Node| OF_ONE_VALUE.contains(&node.operator.as_str());
    if open.len() > 1 && !is_of_one(node) {
        return None;
    }
    // the last of the open ones is made of nothing that is behind it
    while open.len() > 1 {
        let (maker, _) = open.pop_last()?;
        let made = graph.nodes().get(maker?).filter(|node| is_of_one(node))?;
        open.extend(reads(made).into_iter().map(with_maker));
    }
    open.first().map(|(_, value)| *value)
}
