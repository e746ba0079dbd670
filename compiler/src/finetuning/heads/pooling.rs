//! The vectors of a sequence, or the places of a map, become one vector.

use millstream_schemas::shown;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CompilerError;
use crate::graph::{Attribute, Constant, ElementType, Graph, ValueId};
use crate::initializers::{Fans, Initializer};

/// Names of inputs that say which tokens are padding: 1 for a token, 0 for padding.
const MASKS: [&str; 3] = ["attention_mask", "input_mask", "mask"];
/// A row of padding alone is divided by this instead of by nothing.
const LEAST_TOKENS: f32 = 1e-9;
/// What lowers padding out of sight.
const OUT_OF_SIGHT: f32 = 1e9;

/// How the vectors of a sequence become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean of the tokens, padding left out by the model's input `attention_mask`.
    #[default]
    Mean,
    /// The first token's.
    First,
    /// The largest of each feature, padding left out as for the mean.
    Max,
    /// A mean by a share that a new layer gives each token, softmax(x·w), padding left out as for the mean.
    Attention,
}

/// The pooled vectors, `[batch, features]`, and the weights that were added for it.
pub(crate) type Pooled = (ValueId, Vec<ValueId>);

/// Pools `[batch, sequence, features]`, tokens alone where an input such as `attention_mask` marks them.
///
/// # Errors
/// The opset has no operator for it.
pub(crate) fn pool_sequence(
    graph: &mut Graph,
    vectors: ValueId,
    features: usize,
    pooling: Pooling,
    how: &Initializer,
    seed: u64,
) -> Result<Pooled, CompilerError> {
    let mask = graph.inputs().iter().copied().find(|input| MASKS.contains(&graph.name(*input)));
    let mask = match mask {
        Some(mask) if pooling != Pooling::First => Some(floats_of(graph, mask)?),
        _ => None,
    };
    match pooling {
        Pooling::First => {
            let first = graph.named_constant("first_token", Constant::i64([], &[0]));
            let pooled = graph.append("Gather", &[vectors, first], &[("axis", 1.into())], "pooled")?;
            Ok((pooled, Vec::new()))
        }
        Pooling::Mean => Ok((mean(graph, vectors, mask)?, Vec::new())),
        Pooling::Max => {
            let seen = match mask {
                Some((_, by_feature)) => without_padding(graph, vectors, by_feature)?,
                None => vectors,
            };
            Ok((reduced(graph, "ReduceMax", seen, &[1], "pooled")?, Vec::new()))
        }
        Pooling::Attention => attention(graph, vectors, features, mask, how, seed),
    }
}

/// Pools a map `[batch, features, …]` over its places.
///
/// # Errors
/// The way of pooling is none of a map.
pub(crate) fn pool_map(
    graph: &mut Graph,
    map: ValueId,
    axes: usize,
    pooling: Pooling,
) -> Result<ValueId, CompilerError> {
    let places: Vec<i64> = (2..axes as i64).collect();
    let operator = match pooling {
        Pooling::Mean => "ReduceMean",
        Pooling::Max => "ReduceMax",
        Pooling::First | Pooling::Attention => {
            let message = format!(
                "output `{}` is a map of features, which becomes one vector by `pooling: mean` or `max`",
                shown(graph.name(map))
            );
            return Err(CompilerError::setting("model.head", message));
        }
    };
    reduced(graph, operator, map, &places, "pooled")
}

fn mean(graph: &mut Graph, vectors: ValueId, mask: Option<(ValueId, ValueId)>) -> Result<ValueId, CompilerError> {
    let Some((floats, by_feature)) = mask else { return reduced(graph, "ReduceMean", vectors, &[1], "pooled") };
    let sequence = graph.named_constant("sequence_axis", Constant::i64([1], &[1]));
    let least = graph.named_constant("least_tokens", Constant::f32([], &[LEAST_TOKENS]));
    let masked = graph.append("Mul", &[vectors, by_feature], &[], "masked")?;
    let sum = graph.append("ReduceSum", &[masked, sequence], &[("keepdims", 0.into())], "token_sum")?;
    let mask_sum = graph.append("ReduceSum", &[floats, sequence], &[("keepdims", 1.into())], "mask_sum")?;
    let count = graph.append("Max", &[mask_sum, least], &[], "token_count")?;
    graph.append("Div", &[sum, count], &[], "pooled")
}

/// Σ softmax(x·w)·x over the tokens, w a new weight `[features, 1]`.
fn attention(
    graph: &mut Graph,
    vectors: ValueId,
    features: usize,
    mask: Option<(ValueId, ValueId)>,
    how: &Initializer,
    seed: u64,
) -> Result<Pooled, CompilerError> {
    let name = graph.free_name("head.attention.weight");
    let weight = how.draw(&[features, 1], Fans::of_dense(features, 1), seed, &name);
    let weight = graph.constant(&name, weight);
    let mut scores = graph.append("MatMul", &[vectors, weight], &[], "attention_scores")?;
    if let Some((_, by_feature)) = mask {
        scores = without_padding(graph, scores, by_feature)?;
    }
    let shares = graph.append("Softmax", &[scores], &[("axis", 1.into())], "attention_shares")?;
    let weighted = graph.append("Mul", &[vectors, shares], &[], "attended")?;
    let sequence = graph.named_constant("sequence_axis", Constant::i64([1], &[1]));
    let pooled = graph.append("ReduceSum", &[weighted, sequence], &[("keepdims", 0.into())], "pooled")?;
    Ok((pooled, vec![weight]))
}

/// A mask as floats `[batch, sequence]` and `[batch, sequence, 1]`.
fn floats_of(graph: &mut Graph, mask: ValueId) -> Result<(ValueId, ValueId), CompilerError> {
    let last = graph.named_constant("feature_axis", Constant::i64([1], &[2]));
    let float = i64::from(ElementType::F32.to_onnx());
    let floats = graph.append("Cast", &[mask], &[("to", float.into())], "mask_floats")?;
    Ok((floats, graph.append("Unsqueeze", &[floats, last], &[], "mask_by_feature")?))
}

/// What stands at padding, far below all else.
fn without_padding(graph: &mut Graph, value: ValueId, by_feature: ValueId) -> Result<ValueId, CompilerError> {
    let one = graph.named_constant("token", Constant::f32([], &[1.0]));
    let far = graph.named_constant("out_of_sight", Constant::f32([], &[OUT_OF_SIGHT]));
    let is_padding = graph.append("Sub", &[one, by_feature], &[], "is_padding")?;
    let lowered = graph.append("Mul", &[is_padding, far], &[], "padding_lowered")?;
    graph.append("Sub", &[value, lowered], &[], "without_padding")
}

fn reduced(
    graph: &mut Graph,
    operator: &str,
    value: ValueId,
    axes: &[i64],
    name: &str,
) -> Result<ValueId, CompilerError> {
    let none_kept = ("keepdims", 0.into());
    if graph.opset < crate::graph::AXES_INPUT_SINCE {
        return graph.append(operator, &[value], &[none_kept, ("axes", Attribute::Ints(axes.to_vec()))], name);
    }
    let axes = graph.named_constant("pooled_axes", Constant::i64([axes.len()], axes));
    graph.append(operator, &[value, axes], &[none_kept], name)
}
