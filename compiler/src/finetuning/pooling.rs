//! A new head on a sequence of vectors: one vector of them, then a linear layer.

use millstream_schemas::recipe::Pooling;
use millstream_schemas::shown;

use super::head::Head;
use crate::CompilerError;
use crate::graph::{Constant, ElementType, Graph, ValueId};
use crate::initializers::{Fans, Initializer};

/// Names of inputs that say which tokens are padding: 1 for a token, 0 for padding.
const MASKS: [&str; 3] = ["attention_mask", "input_mask", "mask"];
/// A row of padding alone is divided by this instead of by nothing.
const LEAST_TOKENS: f32 = 1e-9;

/// Puts a head for `classes` classes on an output `[batch, sequence, features]`, in whose place the scores become the
/// model's output `logits`. The mean is that of the tokens that the input `attention_mask` marks, where there is one.
///
/// # Errors
/// The output is of another shape, or its number of features is not known.
pub(crate) fn add_pooled_head(
    graph: &mut Graph,
    output: ValueId,
    pooling: Pooling,
    classes: usize,
    how: &Initializer,
    seed: u64,
) -> Result<Head, CompilerError> {
    let features = features(graph, output)?;
    let mask = graph.inputs().iter().copied().find(|input| MASKS.contains(&graph.name(*input)));
    let none_kept = ("keepdims", 0.into());
    let pooled = match (pooling, mask) {
        (Pooling::First, _) => {
            let first = graph.named_constant("first_token", Constant::i64([], &[0]));
            graph.append("Gather", &[output, first], &[("axis", 1.into())], "pooled")?
        }
        (Pooling::Mean, None) if graph.opset < 18 => {
            graph.append("ReduceMean", &[output], &[none_kept, ("axes", vec![1].into())], "pooled")?
        }
        (Pooling::Mean, None) => {
            let sequence = graph.named_constant("sequence_axis", Constant::i64([1], &[1]));
            graph.append("ReduceMean", &[output, sequence], &[none_kept], "pooled")?
        }
        (Pooling::Mean, Some(mask)) => {
            let sequence = graph.named_constant("sequence_axis", Constant::i64([1], &[1]));
            let last = graph.named_constant("feature_axis", Constant::i64([1], &[2]));
            let least = graph.named_constant("least_tokens", Constant::f32([], &[LEAST_TOKENS]));
            let float = i64::from(ElementType::F32.to_onnx());
            let floats = graph.append("Cast", &[mask], &[("to", float.into())], "mask_floats")?;
            let by_feature = graph.append("Unsqueeze", &[floats, last], &[], "mask_by_feature")?;
            let masked = graph.append("Mul", &[output, by_feature], &[], "masked")?;
            let sum = graph.append("ReduceSum", &[masked, sequence], &[none_kept], "token_sum")?;
            let mask_sum = graph.append("ReduceSum", &[floats, sequence], &[("keepdims", 1.into())], "mask_sum")?;
            let count = graph.append("Max", &[mask_sum, least], &[], "token_count")?;
            graph.append("Div", &[sum, count], &[], "pooled")?
        }
    };
    let name = graph.free_name("head.weight");
    let values = how.draw(&[classes, features], Fans::of_dense(features, classes), seed, &name);
    let weight = graph.constant(&name, values);
    let bias = graph.named_constant("head.bias", Constant::f32([classes], &vec![0.0; classes]));
    let logits = graph.append("Gemm", &[pooled, weight, bias], &[("transB", 1.into())], "logits")?;
    graph.set_outputs(&[logits]);
    Ok(Head {
        output: logits,
        logits,
        node: graph.nodes().len() - 1,
        weight,
        bias: Some(bias),
        class_axis: 0,
        classes,
        reads_matrix: true,
    })
}

fn features(graph: &Graph, output: ValueId) -> Result<usize, CompilerError> {
    let known = graph.tensor_type(output);
    match known.map(|known| known.shape.as_slice()) {
        Some([_, _, features]) if features.fixed().is_some() => Ok(features.fixed().expect("just seen")),
        other => {
            let shape = other.map_or("an unknown shape".to_owned(), |shape| {
                let show =
                    |length: &crate::graph::Length| length.fixed().map_or("?".to_owned(), |length| length.to_string());
                format!("the shape [{}]", shape.iter().map(show).collect::<Vec<_>>().join(", "))
            });
            Err(CompilerError::setting(
                "model.head",
                format!(
                    "a pooled head needs an output [batch, sequence, features], and `{}` has {shape}; name another with \
                     model.output",
                    shown(graph.name(output))
                ),
            ))
        }
    }
}
