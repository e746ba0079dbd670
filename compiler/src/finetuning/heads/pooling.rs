//! The vectors of a sequence, or the places of a map, become one vector.

use std::ops::Range;

use millstream_schemas::shown;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CompilerError;
use crate::graph::{Attribute, Constant, ElementType, Graph, Length, ValueId};
use crate::initializers::{Fans, Initializer};
use crate::model_file::InputKind;

/// A row of padding alone is divided by this instead of by nothing.
const LEAST_TOKENS: f32 = 1e-9;
/// What lowers padding out of sight.
const OUT_OF_SIGHT: f32 = 1e9;

/// How the vectors of a sequence become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean of the tokens, padding left out by the model's input that marks tokens, such as `attention_mask`; `check` says by which.
    #[default]
    Mean,
    /// The first token's.
    First,
    /// The largest of each feature, padding left out as for the mean.
    Max,
    /// A mean by a share that a new layer gives each token, softmax(x·w), padding left out as for the mean.
    Attention,
}

impl Pooling {
    /// As a recipe names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::First => "first",
            Self::Max => "max",
            Self::Attention => "attention",
        }
    }
}

/// The pooled vectors, `[batch, features]`, and the weights that were added for it.
pub(crate) type Pooled = (ValueId, Vec<ValueId>);

/// The input `[batch, sequence]` that says which places of vectors `[batch, sequence, features]` are padding: one of `told`, or else
/// one whose name says so; a note says which, or that there is none where there could be one.
///
/// # Errors
/// It cannot be told which of several is meant.
pub(crate) fn mask_of(
    graph: &Graph,
    vectors: ValueId,
    told: &[String],
    notes: &mut Vec<String>,
) -> Result<Option<ValueId>, CompilerError> {
    let name = |input: &ValueId| graph.name(*input);
    let shape = |input: &ValueId| graph.tensor_type(*input).map_or(&[][..], |known| known.shape.as_slice());
    let length = &graph.shape(vectors)?[1];
    let as_long = |input: &ValueId| shape(input)[1] == *length;
    let may_fit = |input: &ValueId| shape(input).len() == 2 && (as_long(input) || may_agree(&shape(input)[1], length));
    let fitting: Vec<ValueId> = graph.inputs().iter().copied().filter(may_fit).collect();
    let is_told = |input: &ValueId| told.iter().any(|told| told == name(input));
    let is_mask = |input: &ValueId| InputKind::of_name(name(input)) == Some(InputKind::Mask);
    let is_unclear = |input: &ValueId| InputKind::may_mark_padding(name(input));
    let (mut found, others): (Vec<ValueId>, Vec<ValueId>) = fitting.into_iter().partition(is_told);
    let (unclear, by_name): (Vec<ValueId>, Vec<ValueId>) = others.into_iter().filter(is_mask).partition(is_unclear);
    if found.is_empty() {
        found = by_name;
    }
    if found.iter().any(as_long) {
        found.retain(as_long);
    }
    let called = |usual: &&str| found.iter().copied().find(|input| name(input) == *usual);
    let chosen = match found.as_slice() {
        [only] => Some(*only),
        _ => InputKind::USUAL_MASKS.iter().find_map(called),
    };
    if let Some(mask) = chosen {
        notes.push(format!("the new head leaves out padding by input `{}`, 1 for each token", shown(name(&mask))));
        return Ok(Some(mask));
    }
    if !found.is_empty() {
        let names: Vec<String> = found.iter().map(|input| format!("`{}`", shown(name(input)))).collect();
        let message = format!(
            "each of the inputs {} may say which places of `{}` are padding: export the model with `attention_mask` for the name of \
             the one that does",
            names.join(", "),
            shown(graph.name(vectors))
        );
        return Err(CompilerError::setting("model.head", message));
    }
    // images have no padding
    if graph.inputs().iter().any(|input| matches!(shape(input).len(), 2 | 3)) {
        let advice = unclear.first().map_or_else(String::new, |input| {
            let name = shown(name(input));
            format!("; `{name}` may hold 1 for padding: export the model with an `attention_mask`, 1 for each token, in its place")
        });
        notes.push(format!(
            "no input says which places of `{}` are padding, so the new head counts all of them{advice}",
            shown(graph.name(vectors))
        ));
    }
    Ok(None)
}

/// Whether two lengths, of which a file does not say that they are one, may be so: one of them is open, and neither is computed.
fn may_agree(first: &Length, second: &Length) -> bool {
    let is_plain = |length: &Length| length.as_number().is_some() || length.name().is_some();
    let is_open = |length: &Length| length.as_number().is_none();
    is_plain(first) && is_plain(second) && (is_open(first) || is_open(second))
}

/// Pools `[batch, sequence, features]`, so many of them, tokens alone where a mask `[batch, sequence]` is 1 for these.
///
/// # Errors
/// The opset has no operator for it.
pub(crate) fn pool_sequence(
    graph: &mut Graph,
    (vectors, features): (ValueId, usize),
    mask: Option<ValueId>,
    pooling: Pooling,
    how: &Initializer,
    seed: u64,
) -> Result<Pooled, CompilerError> {
    let mask = mask.map(|mask| floats_of(graph, mask)).transpose()?;
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

/// Pools a map over its places, the axes of these numbers.
///
/// # Errors
/// The way of pooling is none of a map.
pub(crate) fn pool_map(
    graph: &mut Graph,
    map: ValueId,
    places: Range<usize>,
    pooling: Pooling,
) -> Result<ValueId, CompilerError> {
    let places: Vec<i64> = places.map(|axis| axis as i64).collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::TensorType;
    use crate::operators::OperatorCatalog;

    fn of_tokens(graph: &mut Graph, name: &str, length: &str) {
        graph.input(name, TensorType::new(ElementType::I64, [Length::named("batch"), Length::named(length)]));
    }

    fn vectors(graph: &mut Graph) -> ValueId {
        let shape = [Length::named("batch"), Length::named("s"), 8.into()];
        graph.input("vectors", TensorType::f32(shape))
    }

    #[test]
    fn padding_is_left_out_whatever_the_mask_is_called() {
        // inputs with the names of their lengths, which of them are known to be masks; the mask of vectors of length `s`, what is said
        type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], Option<&'a str>, &'a str);
        let rows: [Row<'_>; 10] = [
            (&[("input_ids", "s"), ("attention_mask", "s")], &[], Some("attention_mask"), "by input `attention_mask`"),
            (&[("input_mask:0", "s"), ("input_ids:0", "s")], &[], Some("input_mask:0"), "by input `input_mask:0`"),
            (&[("attn_mask", "other"), ("tokens", "s")], &[], Some("attn_mask"), "by input `attn_mask`"),
            (&[("steps", "s"), ("is_valid", "s")], &["is_valid"], Some("is_valid"), "by input `is_valid`"),
            (&[("steps", "s"), ("is_valid", "s")], &[], None, "no input says which places"),
            (&[("padding_mask", "s")], &[], None, "`padding_mask` may hold 1 for padding"),
            (&[("padding_mask", "s")], &["padding_mask"], Some("padding_mask"), "by input `padding_mask`"),
            (
                &[("attention_mask", "e"), ("decoder_attention_mask", "s")],
                &[],
                Some("decoder_attention_mask"),
                "by input",
            ),
            (&[("global_attention_mask", "s"), ("attention_mask", "s")], &[], Some("attention_mask"), "by input"),
            (
                &[("question_mask", "e"), ("answer_mask", "s")],
                &["question_mask", "answer_mask"],
                Some("answer_mask"),
                "by input",
            ),
        ];
        for (inputs, told, wanted, note) in rows {
            let mut graph = Graph::new(17, OperatorCatalog::standard());
            inputs.iter().for_each(|(name, length)| of_tokens(&mut graph, name, length));
            let vectors = vectors(&mut graph);
            let told: Vec<String> = told.iter().map(|name| (*name).to_owned()).collect();
            let mut notes = Vec::new();
            let mask = mask_of(&graph, vectors, &told, &mut notes).unwrap();
            assert_eq!(mask.map(|mask| graph.name(mask)), wanted, "{inputs:?}");
            assert!(notes.len() == 1 && notes[0].contains(note), "{inputs:?}: {notes:?}");
        }
    }

    #[test]
    fn of_several_masks_none_is_taken_for_the_likeliest() {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        for name in ["first_mask", "second_mask"] {
            of_tokens(&mut graph, name, "s");
        }
        let vectors = vectors(&mut graph);
        let error = mask_of(&graph, vectors, &[], &mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("each of the inputs `first_mask`, `second_mask` may say"), "{error}");
    }
}
