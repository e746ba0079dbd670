//! A new head on features that a model gives, or computes on its way.

use millstream_schemas::choice::{Catalog, Choice, ChoiceError, Options, share};
use millstream_schemas::shown;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::head_function::{HeadFunction, HeadModel, PlacedHead};
use super::head_kind::{HeadBuild, HeadKind, HeadOptions};
use super::pooling::{Pooling, pool_map, pool_sequence};
use crate::CompilerError;
use crate::finetuning::dropout;
use crate::finetuning::head::{Head, head_behind};
use crate::graph::{Constant, Graph, TensorType, ValueId};
use crate::initializers::{Fans, Initializer, InitializerKind};
use crate::losses::PredictionKind;

pub(super) const HEAD: HeadKind = HeadKind {
    name: "on_features",
    summary: "A new one of one or more layers on what a model gives, with a class for each row, token or pixel.",
    documentation: "Vectors `[batch, features]`, sequences of them `[batch, sequence, features]`, or maps `[batch, features, height, \
        width]` go through `dropout`, a linear layer and `activation` for each width of `hidden`, then `dropout` and a linear layer with as \
        many outputs as the data has classes. With `pooling` the vectors of a row become one first.",
    samples: &[
        "{}",
        r#"{"pooling": "mean", "hidden": [256], "activation": "gelu", "dropout": 0.1}"#,
        r#"{"reads": "before_head", "new_with": "zeros"}"#,
    ],
    build: HeadBuild::of::<FeatureHead>(),
};

/// A new head on features: vectors `[batch, features]`, sequences of them `[batch, sequence, features]`, or maps
/// `[batch, features, height, width]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FeatureHead {
    /// Which features it reads.
    pub reads: HeadInput,
    /// How those of a row become one vector; without it each token of a sequence, or pixel of a map, has an answer of its
    /// own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
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
        let (output, classes, seed) = (model.output, model.classes, model.seed);
        add(self, model.graph, output, classes, seed).map(PlacedHead::from)
    }
}

fn add(
    wanted: &FeatureHead,
    graph: &mut Graph,
    output: ValueId,
    classes: usize,
    seed: u64,
) -> Result<Head, CompilerError> {
    let features = match wanted.reads {
        HeadInput::Output => output,
        HeadInput::BeforeHead => before_head(graph, output)?,
    };
    let (form, width) = Form::of(graph, features, wanted.pooling)?;
    let how = &wanted.initializer;
    let mut added = Vec::new();
    let (mut value, form) = match (form, wanted.pooling) {
        (Form::Sequence, Some(pooling)) => {
            let (pooled, weights) = pool_sequence(graph, features, width, pooling, how, seed)?;
            added = weights;
            (pooled, Form::Vector)
        }
        (Form::Map(axes), Some(pooling)) => (pool_map(graph, features, axes, pooling)?, Form::Vector),
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
        class_axis: if form == Form::Sequence { 1 } else { 0 },
        classes,
        reads_matrix: form == Form::Vector,
        others: Vec::new(),
        before: added,
        dropped,
    })
}

/// What the last linear layer reads.
fn before_head(graph: &Graph, output: ValueId) -> Result<ValueId, CompilerError> {
    let head = head_behind(graph, output, PredictionKind::ClassScores)?;
    match (head.others.as_slice(), graph.nodes()[head.node].input(0)) {
        ([], Some(features)) => Ok(features),
        _ => Err(CompilerError::setting(
            "model.head",
            format!(
                "output `{}` comes of several linear layers, and a head on features reads one value; use `head: new`",
                shown(graph.name(output))
            ),
        )),
    }
}

/// What the axes of features are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `[batch, features]`.
    Vector,
    /// `[batch, sequence, features]`.
    Sequence,
    /// `[batch, features, …]`, with so many axes.
    Map(usize),
}

impl Form {
    /// With the number of features.
    fn of(graph: &Graph, features: ValueId, pooling: Option<Pooling>) -> Result<(Self, usize), CompilerError> {
        let shape = graph.tensor_type(features).map_or(&[][..], |known| known.shape.as_slice());
        let (form, width) = match shape {
            [_, width] if pooling.is_none() => (Self::Vector, width),
            [_, _, width] => (Self::Sequence, width),
            [_, width, _, _, ..] => (Self::Map(shape.len()), width),
            _ => return Err(wrong_features(graph, features, pooling)),
        };
        let width = width.fixed().ok_or_else(|| wrong_features(graph, features, pooling))?;
        Ok((form, width))
    }
}

fn wrong_features(graph: &Graph, features: ValueId, pooling: Option<Pooling>) -> CompilerError {
    let shape = graph.tensor_type(features).map_or("an unknown shape".to_owned(), |known| {
        let show = |length: &crate::graph::Length| length.fixed().map_or("?".to_owned(), |length| length.to_string());
        format!("the shape [{}]", known.shape.iter().map(show).collect::<Vec<_>>().join(", "))
    });
    let wanted = match pooling {
        Some(_) => {
            "a pooled head needs an output [batch, sequence, features], or a map [batch, features, height, width]"
        }
        None => {
            "a head needs features, [batch, features], [batch, sequence, features] or [batch, features, height, width]"
        }
    };
    let message =
        format!("{wanted}, and `{}` has {shape}; name another with model.output", shown(graph.name(features)));
    CompilerError::setting("model.head", message)
}

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
            Form::Sequence => vec![read, made],
            Form::Map(axes) => [made, read].into_iter().chain(std::iter::repeat_n(1, axes - 2)).collect(),
        };
        if !TensorType::f32(shape.clone()).fits_a_machine() || read == 0 || made == 0 {
            return Err(CompilerError::Selection(format!("a layer of {read} features and {made} outputs")));
        }
        let name = graph.free_name(&format!("{}.weight", self.name));
        let weight = how.draw(&shape, Fans::of_dense(read, made), seed, &name);
        let weight = graph.constant(&name, weight);
        let bias = Constant::f32([made], &vec![0.0; made]);
        let bias = graph.named_constant(&format!("{}.bias", self.name), bias);
        let node = graph.nodes().len();
        let value = match form {
            Form::Vector => graph.append("Gemm", &[x, weight, bias], &[("transB", 1.into())], self.result)?,
            Form::Map(_) => graph.append("Conv", &[x, weight, bias], &[], self.result)?,
            Form::Sequence => {
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
