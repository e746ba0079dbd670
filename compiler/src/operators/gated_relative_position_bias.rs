use super::attention_rules::{heads, size_of_a_head, split_heads};
use super::{Gradient, Operator, Sample, TypeRuleInput, normalizations, packed_rows, remove_padding, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Length, TensorType, ValueId};

/// `com.microsoft.GatedRelativePositionBias` (WavLM: Chen 2022), as ONNX Runtime's optimizer writes it for CUDA: a bias of scores by
/// distance `[1, heads, length, length]`, by gates u and r of the queries `[batch, length, heads · size]`, or `[tokens, heads · size]` of rows packed behind each other:
/// u · (r · a − 1) + 2 times as large, a `[1, heads, 1, 1]`. As those operators.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "GatedRelativePositionBias",
    opsets: 1..=1,
    weights: &[1, 3, 4, 5],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let weights = || [varied(&[3, 8]), varied(&[8]), varied(&[1, 2, 1, 1])];
        let inputs = vec![varied(&[2, 4, 6]), varied(&[6]), varied(&[1, 2, 4, 4])];
        let packed = vec![varied(&[5, 6]), varied(&[6]), varied(&[1, 2, 4, 4])];
        let offsets = remove_padding::fixed(&[2, 4], &[0, 4, 5, 6, 7, 1, 2, 3]);
        let two = || vec![("num_heads", 2.into())];
        vec![
            Sample::new("two heads", inputs.into_iter().chain(weights()).collect(), two()),
            Sample::new("packed rows", packed.into_iter().chain(weights()).chain([offsets]).collect(), two()).since(16),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (queries, distances, weights) = (rule.input(0)?, rule.input(2)?, rule.input(3)?);
    let places = if rule.node.input(6).is_some() { Some(rule.input(6)?.shape.as_slice()) } else { None };
    let ([batch, length, hidden], [size, gates]) = (
        match (queries.shape.as_slice(), places) {
            ([_, hidden], Some([batch, length])) => [batch, length, hidden],
            ([batch, length, hidden], None) => [batch, length, hidden],
            _ => return Err(rule.error(format!("queries {queries} of rows {places:?}, wanted three axes"))),
        },
        weights.shape.as_slice(),
    ) else {
        return Err(rule.error(format!("weights {weights}, wanted two axes")));
    };
    let heads = heads(rule.node, "num_heads").map_err(|message| rule.error(message))?;
    let own = size_of_a_head(hidden, heads).map_err(|message| rule.error(message))?;
    let wanted = [1.into(), heads.into(), length.clone(), length.clone()];
    if own != *size || gates.exact_quotient(&2.into()).is_none() || distances.shape != wanted {
        return Err(rule.error(format!(
            "queries {queries}, weights {weights} and {distances} by distance do not fit; export the model with fixed lengths for what is open"
        )));
    }
    normalizations::require_vector(rule, 1, hidden)?;
    normalizations::require_vector(rule, 4, gates)?;
    let scales = rule.input(5)?;
    if rule.broadcast(&scales.shape, &wanted)? != wanted {
        return Err(rule.error(format!("scales {scales}, wanted one for each of {heads} heads")));
    }
    Ok(vec![TensorType::new(queries.dtype, [batch.clone(), heads.into(), length.clone(), length.clone()])])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let [queries, bias, distances, weights, gate_bias, scales] = [0, 1, 2, 3, 4, 5].map(|input| node.input(input));
    let heads = heads(&node.node, "num_heads").map_err(|message| node.error(message))?;
    let graph = &mut *node.graph;
    let mut queries = graph.plus(queries?, bias?)?;
    if let Some(offsets) = node.node.input(6) {
        queries = packed_rows::restored(graph, queries, offsets)?;
    }
    let queries = split_heads(graph, queries, heads)?;
    let gates = graph.add("MatMul", &[queries, weights?], &[])?;
    let gates = graph.plus(gates, gate_bias?)?;
    let shape = graph.shape(gates)?.to_vec();
    let half = shape[3].exact_quotient(&2.into());
    let half =
        half.ok_or_else(|| CompilerError::unsupported("gates that are no two of the same length", "give two"))?;
    let parts = graph.reshape(gates, &[&shape[0], &shape[1], &shape[2], &Length::from(2), &half])?;
    let sums = graph.reduce_sum(parts, &[4], false)?;
    let open = graph.add("Sigmoid", &[sums], &[])?;
    let ones = graph.integers(&[1, 1]);
    let gates = graph.add_with("Split", &[Some(open), Some(ones)], &[("axis", (-1).into())], 2)?;
    let [one, two] = [1.0, 2.0].map(|number| graph.scalar(number));
    let scaled = graph.times(gates[1], scales?)?;
    let less = graph.minus(scaled, one)?;
    let gate = graph.times(gates[0], less)?;
    let gate = graph.plus(gate, two)?;
    Ok(vec![graph.times(gate, distances?)?])
}
