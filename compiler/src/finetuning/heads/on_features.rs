//! A new head on features that a model gives, or computes on its way.

use millstream_schemas::choice::{Catalog, Choice, ChoiceError, Options, share};
use millstream_schemas::shown;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::head_function::{HeadFunction, HeadModel, PlacedHead};
use super::head_kind::{HeadBuild, HeadKind, HeadOptions};
use super::pooling::{Pooling, mask_of, pool_map, pool_sequence};
use crate::CompilerError;
use crate::finetuning::dropout;
use crate::finetuning::feature_axis::feature_axis;
use crate::finetuning::head::{Head, head_behind};
use crate::finetuning::replacement::require_size;
use crate::graph::{Constant, Graph, Length, ValueId};
use crate::initializers::{Fans, Initializer, InitializerKind};
use crate::losses::PredictionKind;

pub(super) const HEAD: HeadKind = HeadKind {
    name: "on_features",
    summary: "A new one of one or more layers on what a model gives, with a class for each row, token or pixel.",
    documentation: "Vectors `[batch, features]`, sequences of them `[batch, sequence, features]`, or maps `[batch, features, height, \
        width]` or `[batch, height, width, features]` go through `dropout`, a linear layer and `activation` for each width of \
        `hidden`, then `dropout` and a linear layer with as many outputs as the data has classes. With `pooling` the vectors of a \
        row become one first. Which axis holds the features follows from what makes them: the second behind a convolution, the last \
        behind a linear layer or a layer normalization, both as a `Transpose` moves it; where that cannot be told, `layout` says \
        it. `check` says which axis is read.",
    samples: &[
        "{}",
        r#"{"pooling": "mean", "hidden": [256], "activation": "gelu", "dropout": 0.1}"#,
        r#"{"pooling": "mean", "layout": "channels_last"}"#,
        r#"{"reads": "before_head", "new_with": "zeros"}"#,
    ],
    build: HeadBuild::of::<FeatureHead>(),
};

/// A new head on features: vectors `[batch, features]`, sequences of them `[batch, sequence, features]`, or maps
/// `[batch, features, height, width]` or `[batch, height, width, features]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FeatureHead {
    /// Which features it reads.
    pub reads: HeadInput,
    /// How those of a row become one vector; without it each token of a sequence, or pixel of a map, has an answer of its
    /// own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// Which axis of a sequence or map holds the features, where what makes them does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<FeatureLayout>,
    /// Widths of the layers before the last, in order; none for a single layer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(range(min = 1)))]
    pub hidden: Vec<usize>,
    /// What stands behind each of those.
    pub activation: Activation,
    /// Share of the numbers in front of each of its layers that training leaves out at random, 0 to below 1.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub dropout: f32,
    /// How its weights are drawn; `xavier_uniform` by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "optional_initializer")]
    pub new_with: Option<Choice>,
    /// What `new_with` names.
    #[serde(skip)]
    pub initializer: Initializer,
}

impl Options for FeatureHead {
    fn validate(&self) -> Result<(), String> {
        match self.hidden.iter().find(|width| **width == 0) {
            Some(_) => Err("hidden holds widths of 1 or more, got 0".into()),
            None => share("dropout", self.dropout.into()),
        }
    }
}

impl HeadOptions for FeatureHead {
    fn find_initializers(&mut self, place: &str, catalog: &Catalog<InitializerKind>) -> Result<(), ChoiceError> {
        if let Some(choice) = &self.new_with {
            self.initializer = Initializer::choose(catalog, choice, &format!("{place}.new_with"))?;
        }
        self.new_with = Some(self.initializer.choice().clone());
        Ok(())
    }
}

fn is_zero(value: &f32) -> bool {
    *value == 0.0
}

fn optional_initializer(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "anyOf": [{ "$ref": "#/$defs/Initializer" }, { "type": "null" }] })
}

/// Which features a new head reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeadInput {
    /// What the model gives.
    #[default]
    Output,
    /// What the model's last linear layer reads, which it takes the place of.
    BeforeHead,
}

/// Which axis of what a model gives holds its features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeatureLayout {
    /// The one behind the batch: `[batch, features, height, width]`, `[batch, features, time]`.
    ChannelsFirst,
    /// The last: `[batch, height, width, features]`, `[batch, sequence, features]`.
    ChannelsLast,
}

/// What stands between two layers of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(0, x).
    #[default]
    Relu,
    /// x·Φ(x), Φ the normal distribution function.
    Gelu,
    /// x·σ(x), σ the logistic function.
    Silu,
    /// The hyperbolic tangent.
    Tanh,
}

impl HeadFunction for FeatureHead {
    /// Puts a head with as many outputs as there are classes on features, in whose place its scores become the model's output
    /// `logits`.
    ///
    /// # Errors
    /// The features are of another form than the head asks for, or their number is not known.
    fn place(&self, model: &mut HeadModel<'_>) -> Result<PlacedHead, CompilerError> {
        add(self, model).map(PlacedHead::from)
    }
}

fn add(wanted: &FeatureHead, model: &mut HeadModel<'_>) -> Result<Head, CompilerError> {
    let HeadModel { output, classes, masks, seed, .. } = *model;
    let (graph, notes) = (&mut *model.graph, &mut *model.notes);
    let (features, read_as) = match wanted.reads {
        HeadInput::Output => (output, None),
        HeadInput::BeforeHead => before_head(graph, output)?,
    };
    let (axis, width) = features_of(graph, features, wanted.layout.or(read_as), wanted.pooling)?;
    notes.extend(read_axis(graph, features, axis));
    let (features, form) = Form::of(graph, features, axis)?;
    let how = &wanted.initializer;
    let mut added = Vec::new();
    let (mut value, form) = match (form, wanted.pooling) {
        (Form::Last(3), Some(pooling)) => {
            let mask = match pooling {
                Pooling::First => None,
                _ => mask_of(graph, features, masks, notes)?,
            };
            let (pooled, weights) = pool_sequence(graph, (features, width), mask, pooling, how, seed)?;
            added = weights;
            (pooled, Form::Vector)
        }
        (Form::Last(axes), Some(pooling)) => (pool_map(graph, features, 1..axes - 1, pooling)?, Form::Vector),
        (Form::Map(axes), Some(pooling)) => (pool_map(graph, features, 2..axes, pooling)?, Form::Vector),
        (form, _) => (features, form),
    };
    let (mut read, mut dropped) = (width, Vec::new());
    let mut drop = |graph: &mut Graph, value: ValueId| {
        if wanted.dropout == 0.0 {
            return Ok(value);
        }
        let made = dropout::append(graph, value, wanted.dropout)?;
        dropped.push(made);
        Ok::<ValueId, CompilerError>(made)
    };
    for (at, width) in wanted.hidden.iter().enumerate() {
        let layer = Layer { name: &format!("head.hidden.{at}"), read, made: *width, result: "hidden" };
        let value_read = drop(graph, value)?;
        let made = layer.add(graph, value_read, form, how, seed)?;
        added.extend([made.weight, made.bias]);
        value = activated(graph, wanted.activation, made.value)?;
        read = *width;
    }
    let layer = Layer { name: "head", read, made: classes, result: "logits" };
    let value = drop(graph, value)?;
    let made = layer.add(graph, value, form, how, seed)?;
    let logits = made.value;
    graph.set_outputs(&[logits]);
    Ok(Head {
        output: logits,
        logits,
        node: made.node,
        weight: made.weight,
        bias: Some(made.bias),
        class_axis: if matches!(form, Form::Last(_)) { 1 } else { 0 },
        classes,
        reads_matrix: form == Form::Vector,
        others: Vec::new(),
        before: added,
        dropped,
    })
}

/// What the last linear layer reads, and which of its axes that layer takes for features.
fn before_head(graph: &Graph, output: ValueId) -> Result<(ValueId, Option<FeatureLayout>), CompilerError> {
    let head = head_behind(graph, output, PredictionKind::ClassScores)?;
    let node = &graph.nodes()[head.node];
    let read_as = if node.is("Conv") { FeatureLayout::ChannelsFirst } else { FeatureLayout::ChannelsLast };
    match (head.others.as_slice(), node.input(0)) {
        ([], Some(features)) => Ok((features, Some(read_as))),
        _ => Err(CompilerError::setting(
            "model.head",
            format!(
                "output `{}` comes of several linear layers, and a head on features reads one value; use `head: new`",
                shown(graph.name(output))
            ),
        )),
    }
}

/// Which axis of a value holds its features, and how many there are; `layout`: where it is said.
fn features_of(
    graph: &Graph,
    features: ValueId,
    layout: Option<FeatureLayout>,
    pooling: Option<Pooling>,
) -> Result<(usize, usize), CompilerError> {
    let shape = graph.tensor_type(features).map_or(&[][..], |known| known.shape.as_slice());
    let wrong = || wrong_features(graph, features, pooling);
    let last = shape.len().saturating_sub(1);
    // features are as many in each row
    let only_fixed = || match [1, last].map(|axis| shape[axis].fixed().is_some()) {
        [true, false] => Some(1),
        [false, true] => Some(last),
        _ => None,
    };
    let axis = match (shape.len(), layout) {
        (2, _) if pooling.is_none() => 1,
        (0..3, _) => return Err(wrong()),
        (_, Some(FeatureLayout::ChannelsFirst)) => 1,
        (_, Some(FeatureLayout::ChannelsLast)) => last,
        (_, None) => {
            let of_layer = feature_axis(graph, features).filter(|axis| *axis > 0);
            of_layer.or_else(only_fixed).ok_or_else(|| ambiguous(graph, features, pooling))?
        }
    };
    Ok((axis, shape[axis].fixed().ok_or_else(wrong)?))
}

/// Which axis is read as features, in words; of vectors it is no question.
fn read_axis(graph: &Graph, features: ValueId, axis: usize) -> Option<String> {
    let known = graph.tensor_type(features).filter(|known| known.shape.len() > 2)?;
    let name = shown(graph.name(features));
    Some(format!("the new head reads axis {axis} of `{name}` ({known}) as features"))
}

/// What the axes of features are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `[batch, features]`.
    Vector,
    /// `[batch, …, features]`, with so many axes.
    Last(usize),
    /// `[batch, features, …]`, with so many axes.
    Map(usize),
}

impl Form {
    /// Of features on an axis; where that is neither the second of a map nor the last, it is made the last.
    fn of(graph: &mut Graph, features: ValueId, axis: usize) -> Result<(ValueId, Self), CompilerError> {
        let axes = graph.shape(features)?.len();
        if axes == 2 {
            return Ok((features, Self::Vector));
        }
        if axis + 1 == axes {
            return Ok((features, Self::Last(axes)));
        }
        if axis == 1 && axes > 3 {
            return Ok((features, Self::Map(axes)));
        }
        let others = (0..axes).filter(|other| *other != axis);
        let order: Vec<i64> = others.chain([axis]).map(|axis| axis as i64).collect();
        let last = graph.append("Transpose", &[features], &[("perm", order.into())], "features_last")?;
        Ok((last, Self::Last(axes)))
    }
}

fn shape_in_words(graph: &Graph, features: ValueId) -> String {
    graph.tensor_type(features).map_or("an unknown shape".to_owned(), |known| {
        let show = |length: &Length| length.fixed().map_or("?".to_owned(), |length| length.to_string());
        format!("the shape [{}]", known.shape.iter().map(show).collect::<Vec<_>>().join(", "))
    })
}

fn ambiguous(graph: &Graph, features: ValueId, pooling: Option<Pooling>) -> CompilerError {
    let pooling = pooling.map_or_else(String::new, |pooling| format!("pooling: {}, ", pooling.name()));
    let message = format!(
        "`{}` has {}, and what makes it does not tell which axis holds features: say it by \
         `on_features: {{{pooling}layout: channels_first}}`, the one behind the batch, or `layout: channels_last`, the last",
        shown(graph.name(features)),
        shape_in_words(graph, features)
    );
    CompilerError::setting("model.head", message)
}

fn wrong_features(graph: &Graph, features: ValueId, pooling: Option<Pooling>) -> CompilerError {
    let shape = shape_in_words(graph, features);
    let wanted = match pooling {
        Some(_) => {
            "a pooled head needs an output [batch, sequence, features], or a map [batch, features, height, width] or [batch, height, width, features]"
        }
        None => {
            "a head needs features, [batch, features], [batch, sequence, features], or a map [batch, features, height, width] or [batch, height, width, features]"
        }
    };
    let message =
        format!("{wanted}, and `{}` has {shape}; name another with model.output", shown(graph.name(features)));
    CompilerError::setting("model.head", message)
}

/// What to do where a layer is too large.
const SMALLER: &str = "take smaller widths of `hidden`, or data of fewer classes";

/// A new linear layer, at each place of a sequence or map.
struct Layer<'a> {
    name: &'a str,
    read: usize,
    made: usize,
    /// What its result is called.
    result: &'a str,
}

struct Added {
    value: ValueId,
    weight: ValueId,
    bias: ValueId,
    /// Index of the node that multiplies.
    node: usize,
}

impl Layer<'_> {
    fn add(
        &self,
        graph: &mut Graph,
        x: ValueId,
        form: Form,
        how: &Initializer,
        seed: u64,
    ) -> Result<Added, CompilerError> {
        let (read, made) = (self.read, self.made);
        let shape = match form {
            Form::Vector => vec![made, read],
            Form::Last(_) => vec![read, made],
            Form::Map(axes) => [made, read].into_iter().chain(std::iter::repeat_n(1, axes - 2)).collect(),
        };
        require_size(&shape, &format!("a layer of {read} features and {made} outputs"), SMALLER)?;
        let name = graph.free_name(&format!("{}.weight", self.name));
        let weight = how.draw(&shape, Fans::of_dense(read, made), seed, &name);
        let weight = graph.constant(&name, weight);
        let bias = Constant::f32([made], &vec![0.0; made]);
        let bias = graph.named_constant(&format!("{}.bias", self.name), bias);
        let node = graph.nodes().len();
        let value = match form {
            Form::Vector => graph.append("Gemm", &[x, weight, bias], &[("transB", 1.into())], self.result)?,
            Form::Map(_) => graph.append("Conv", &[x, weight, bias], &[], self.result)?,
            Form::Last(_) => {
                let product = graph.append("MatMul", &[x, weight], &[], "product")?;
                graph.append("Add", &[product, bias], &[], self.result)?
            }
        };
        Ok(Added { value, weight, bias, node })
    }
}

fn activated(graph: &mut Graph, activation: Activation, x: ValueId) -> Result<ValueId, CompilerError> {
    match activation {
        Activation::Relu => graph.append("Relu", &[x], &[], "activated"),
        Activation::Tanh => graph.append("Tanh", &[x], &[], "activated"),
        Activation::Silu => {
            let gate = graph.append("Sigmoid", &[x], &[], "gate")?;
            graph.append("Mul", &[x, gate], &[], "activated")
        }
        // x/2·(1 + erf(x/√2)): the operator `Gelu` is newer than most files
        Activation::Gelu => {
            let mut number = |value: f32| graph.named_constant("number", Constant::f32([], &[value]));
            let (root, one, half) = (number(std::f32::consts::FRAC_1_SQRT_2), number(1.0), number(0.5));
            let scaled = graph.append("Mul", &[x, root], &[], "scaled")?;
            let erf = graph.append("Erf", &[scaled], &[], "erf")?;
            let gate = graph.append("Add", &[erf, one], &[], "gate")?;
            let gated = graph.append("Mul", &[x, gate], &[], "gated")?;
            graph.append("Mul", &[gated, half], &[], "activated")
        }
    }
}
