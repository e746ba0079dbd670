use millstream_schemas::shown;

use super::super::method_function::MethodModel;
use super::super::quantized_weights::quantized_weights;
use super::axes::Axes;
use super::encoder::keys_or_values_of;
use super::in_node;
use super::written_out;
use crate::CompilerError;
use crate::finetuning::attention::Attention;
use crate::finetuning::{Layer, Weight, find_attentions};
use crate::graph::{Constant, Graph, ValueId};
use crate::operators::OperatorCatalog;

/// The attentions that lead to the prediction, each with the layer that makes its queries.
pub(in super::super) fn prefixed_attentions(
    model: &MethodModel<'_>,
) -> Result<Vec<(Attention, String)>, CompilerError> {
    let attentions = find_attentions(model.base);
    let refuse = |message: String| Err(CompilerError::setting("", message));
    if attentions.found.is_empty() || !attentions.left_out.is_empty() {
        return refuse(format!("a prefix goes into every attention, and {}", attentions.summary()));
    }
    let quantized = quantized_weights(model.base, model.prediction);
    let mut places: Vec<(Attention, String)> = Vec::new();
    for attention in attentions.found {
        let weight = attention.query.linear.weight;
        let of = |layer: &&Layer| layer.weights.iter().any(|own| own.value == weight);
        let whole = || quantized.iter().find(|own| own.value == weight).map(|own| own.layer.clone());
        let layer = model.layers.iter().find(of).map(|layer| layer.name.clone()).or_else(whole);
        let Some(layer) = layer else { continue };
        if let Err(obstacle) = fits(model.base, &attention, model.operators) {
            let node = model.base.label(&model.base.nodes()[attention.node]);
            return refuse(format!("no prefix can go into the attention of `{node}`: {obstacle}"));
        }
        places.push((attention, layer));
    }
    match places.is_empty() {
        true => refuse("no attention leads to the prediction, so a prefix would do nothing".into()),
        false => Ok(places),
    }
}

/// Lengths of the axes of its keys and values.
pub(in super::super) fn shapes(attention: &Attention, length: usize) -> [[usize; 3]; 2] {
    let heads = attention.key_heads();
    [[heads, attention.head_size, length], [heads, length, attention.value_size()]]
}

/// Numbers of a key and of a value of all heads.
pub(in super::super) fn numbers_of(attention: &Attention) -> [usize; 2] {
    let heads = attention.key_heads();
    [heads * attention.head_size, heads * attention.value_size()]
}

/// The keys and values of an attention, of what a network makes for all.
pub(in super::super) fn part_of(
    graph: &mut Graph,
    (all, start): (ValueId, usize),
    attention: &Attention,
    layer: &str,
) -> Result<[ValueId; 2], CompilerError> {
    let makes = |node: &crate::graph::Node| node.outputs.first().copied().flatten() == Some(all);
    let behind = graph.nodes().iter().position(makes).map_or(0, |at| at + 1);
    let (heads, keys) = (attention.key_heads(), numbers_of(attention)[0]);
    let names = ["prefix_keys", "prefix_values"].map(|part| format!("{layer}.{part}"));
    let of_keys = [heads, attention.head_size];
    let of_values = [heads, attention.value_size()];
    Ok([
        keys_or_values_of(graph, (all, start), of_keys, true, (behind, &names[0]))?,
        keys_or_values_of(graph, (all, start + keys), of_values, false, (behind, &names[1]))?,
    ])
}

/// A layer of a constant that is trained.
pub(in super::super) fn trained(graph: &Graph, value: ValueId, beside: &str) -> Layer {
    let shape = graph.constant_of(value).map(|constant| constant.shape.clone()).unwrap_or_default();
    let (own, operator) = Weight::added(graph, value, shape);
    let weights = vec![own];
    let (name, beside) = (graph.name(value).to_owned(), Some(beside.to_owned()));
    Layer { name, operator, weights, learning_rate_multiplier: 1.0, beside }
}

/// Whether it is one node that a prefix does not go into as it is.
pub(in super::super) fn is_written_out(base: &Graph, attention: &Attention) -> bool {
    let node = &base.nodes()[attention.node];
    !node.is("Softmax") && in_node::fits(base, node).is_err()
}

/// Why no prefix can go into an attention.
fn fits(base: &Graph, attention: &Attention, operators: &OperatorCatalog) -> Result<(), String> {
    let node = &base.nodes()[attention.node];
    if is_written_out(base, attention) {
        return written_out::rule(base, node, operators).map(|_| ());
    }
    if !node.is("Softmax") {
        return Ok(());
    }
    if Axes::of(base, attention)? != Axes::Apart {
        return Ok(());
    }
    let scores = node.input(0).and_then(|scores| base.tensor_type(scores));
    let queries = base.tensor_type(attention.queries);
    let (Some(scores), Some(queries)) = (scores, queries) else { return Err("its shapes are not known".into()) };
    match (queries.shape.as_slice(), scores.shape.as_slice()) {
        ([rows, heads, tokens, size], [of_rows, of_heads, of_tokens, _])
            // where a table of places cuts the queries, a mask may leave the scores as long as the row
            if (rows, heads) == (of_rows, of_heads)
                && tokens.agrees_with(of_tokens)
                && heads.fixed() == Some(attention.heads)
                && size.fixed() == Some(attention.head_size) =>
        {
            Ok(())
        }
        _ => Err(format!(
            "queries {} and scores {} are not both rows, heads and tokens",
            shown(queries.to_string()),
            shown(scores.to_string())
        )),
    }
}

/// A prefix of the keys' heads, repeated for the queries of each.
pub(in super::super) fn for_queries(
    graph: &mut Graph,
    own: ValueId,
    shape: [usize; 3],
    heads: usize,
    name: &str,
) -> Result<ValueId, CompilerError> {
    let [of_keys, a, b] = shape.map(|length| length as i64);
    let heads = heads as i64;
    if of_keys == heads {
        return Ok(own);
    }
    let numbers = |graph: &mut Graph, values: &[i64]| {
        graph.named_constant(&format!("{name}.shape"), Constant::i64([values.len()], values))
    };
    let (apart, wide, together) = (
        numbers(graph, &[of_keys, 1, a, b]),
        numbers(graph, &[of_keys, heads / of_keys, a, b]),
        numbers(graph, &[heads, a, b]),
    );
    let apart = graph.append("Reshape", &[own, apart], &[], &format!("{name}.apart"))?;
    let wide = graph.append("Expand", &[apart, wide], &[], &format!("{name}.repeated"))?;
    graph.append("Reshape", &[wide, together], &[], &format!("{name}.of_queries"))
}
