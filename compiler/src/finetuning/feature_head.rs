//! A new head on features that a model gives, or computes on its way.

use millstream_schemas::recipe::{Activation, HeadInput, Pooling};
use millstream_schemas::shown;

use super::dropout;
use super::head::{Head, chosen_output, head_behind};
use super::new_head::FeatureHead;
use super::pooling::{pool_map, pool_sequence};
use crate::CompilerError;
use crate::graph::{Constant, Graph, TensorType, ValueId};
use crate::initializers::{Fans, Initializer};
use crate::losses::PredictionKind;

/// Puts a head with `classes` outputs on features, in whose place its scores become the model's output `logits`.
///
/// # Errors
/// The features are of another form than the head asks for, or their number is not known.
pub(crate) fn add_feature_head(
    graph: &mut Graph,
    output: Option<&str>,
    wanted: &FeatureHead,
    classes: usize,
    seed: u64,
) -> Result<Head, CompilerError> {
    let output = chosen_output(graph, output)?;
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
