//! A new head on a sequence of vectors: one vector of them, then a linear layer.

use millstream_schemas::recipe::{Initializer, Pooling};
use millstream_schemas::shown;

use super::head::Head;
use super::nodes::{constant, free_name, node, with_integer, with_integers};
use crate::CompilerError;
use crate::graph::{Constant, ElementType, tensor_proto};
use crate::initializers::{Fans, draw};
use crate::model_file::known_shape;
use crate::model_file::onnx::{
    GraphProto, ModelProto, TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto::Dimension,
    tensor_shape_proto::dimension::Value as Length, type_proto,
};

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
    model: &mut ModelProto,
    output: &str,
    pooling: Pooling,
    classes: usize,
    seed: u64,
) -> Result<Head, CompilerError> {
    let opset = model.opset_import.iter().find(|import| matches!(import.domain(), "" | "ai.onnx"));
    let opset = opset.map_or(0, |import| import.version());
    let graph = model.graph.as_mut().expect("the gate refuses a model without a graph");
    let features = features(graph, output)?;
    let [pooled, logits] = ["pooled", "logits"].map(|name| free_name(graph, name));
    let [weight, bias] = ["head.weight", "head.bias"].map(|name| free_name(graph, name));
    let mask = graph.input.iter().map(|input| input.name()).find(|name| MASKS.contains(name)).map(str::to_owned);
    match (pooling, mask) {
        (Pooling::First, _) => {
            let first = constant(graph, "first_token", &Constant::i64([], &[0]));
            graph.node.push(with_integer(node("Gather", &[output, &first], &pooled), "axis", 1));
        }
        (Pooling::Mean, None) if opset < 18 => {
            let mean = with_integer(node("ReduceMean", &[output], &pooled), "keepdims", 0);
            graph.node.push(with_integers(mean, "axes", &[1]));
        }
        (Pooling::Mean, None) => {
            let sequence = constant(graph, "sequence_axis", &Constant::i64([1], &[1]));
            graph.node.push(with_integer(node("ReduceMean", &[output, &sequence], &pooled), "keepdims", 0));
        }
        (Pooling::Mean, Some(mask)) => {
            let sequence = constant(graph, "sequence_axis", &Constant::i64([1], &[1]));
            let last = constant(graph, "feature_axis", &Constant::i64([1], &[2]));
            let least = constant(graph, "least_tokens", &Constant::f32([], &[LEAST_TOKENS]));
            let names = ["mask_floats", "mask_by_feature", "masked", "token_sum", "mask_sum", "token_count"];
            let [floats, by_feature, masked, sum, mask_sum, count] = names.map(|name| free_name(graph, name));
            let float = i64::from(ElementType::F32.to_onnx());
            graph.node.extend([
                with_integer(node("Cast", &[&mask], &floats), "to", float),
                node("Unsqueeze", &[&floats, &last], &by_feature),
                node("Mul", &[output, &by_feature], &masked),
                with_integer(node("ReduceSum", &[&masked, &sequence], &sum), "keepdims", 0),
                with_integer(node("ReduceSum", &[&floats, &sequence], &mask_sum), "keepdims", 1),
                node("Max", &[&mask_sum, &least], &count),
                node("Div", &[&sum, &count], &pooled),
            ]);
        }
    }
    let values = draw(Initializer::default(), &[classes, features], Fans::of_dense(features, classes), seed, &weight);
    graph.initializer.push(tensor_proto(&weight, &values));
    graph.initializer.push(tensor_proto(&bias, &Constant::f32([classes], &vec![0.0; classes])));
    graph.node.push(with_integer(node("Gemm", &[&pooled, &weight, &bias], &logits), "transB", 1));
    let index = graph.node.len() - 1;
    let batch = first_axis(graph, output);
    graph.output = vec![scores(&logits, batch, classes)];
    Ok(Head {
        output: logits.clone(),
        logits,
        node: index,
        weight,
        bias: Some(bias),
        class_axis: 0,
        classes,
        reads_matrix: true,
    })
}

fn features(graph: &GraphProto, output: &str) -> Result<usize, CompilerError> {
    let declared = graph.output.iter().find(|declared| declared.name() == output).and_then(known_shape);
    match declared.as_deref() {
        Some([_, _, Some(features)]) => Ok(*features),
        other => {
            let show = |length: &Option<usize>| length.map_or("?".to_owned(), |length| length.to_string());
            let shape = other.map_or("an unknown shape".to_owned(), |shape| {
                format!("the shape [{}]", shape.iter().map(show).collect::<Vec<_>>().join(", "))
            });
            Err(CompilerError::setting(
                "model.head",
                format!(
                    "a pooled head needs an output [batch, sequence, features], and `{}` has {shape}; name another with \
                     model.output",
                    shown(output)
                ),
            ))
        }
    }
}

fn first_axis(graph: &GraphProto, output: &str) -> Option<Dimension> {
    let declared = graph.output.iter().find(|declared| declared.name() == output)?;
    match declared.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => tensor.shape.as_ref()?.dim.first().cloned(),
        _ => None,
    }
}

fn scores(name: &str, batch: Option<Dimension>, classes: usize) -> ValueInfoProto {
    let counted = Dimension { value: Some(Length::DimValue(classes as i64)), ..Dimension::default() };
    let shape = TensorShapeProto { dim: vec![batch.unwrap_or_default(), counted] };
    let tensor = type_proto::Tensor { elem_type: Some(ElementType::F32.to_onnx()), shape: Some(shape) };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}
