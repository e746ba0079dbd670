use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, normalizations, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Constant, ElementType, Length, TensorType, ValueId};

/// `com.microsoft.EmbedLayerNormalization`: the embeddings of words, positions and segments, added up and normalized by
/// `LayerNormalization`. Its second output counts the places of the mask, its third is the sum.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "EmbedLayerNormalization",
    opsets: 1..=1,
    weights: &[2, 3, 4, 5, 6],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let ids = |values: &[i32]| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            SampleInput::Fixed(Constant { dtype: ElementType::I32, shape: vec![2, 3], bytes: bytes.into() })
        };
        let words = || ids(&[0, 3, 1, 3, 2, 0]);
        let tables = |rows: usize| [varied(&[4, 6]), varied(&[rows, 6])];
        let weights = || [varied(&[6]), varied(&[6])];
        let [word_table, position_table] = tables(5);
        let [gamma, beta] = weights();
        let segments = ids(&[0, 0, 1, 0, 1, 1]);
        let mask = ids(&[1, 1, 0, 1, 1, 1]);
        let all = vec![words(), segments, word_table, position_table, varied(&[2, 6]), gamma, beta, mask];
        let [word_table, position_table] = tables(5);
        let [gamma, beta] = weights();
        let plain = vec![words(), SampleInput::Absent, word_table, position_table, SampleInput::Absent, gamma, beta];
        let [word_table, position_table] = tables(5);
        let [gamma, beta] = weights();
        let positions = ids(&[4, 3, 2, 0, 1, 0]);
        let absent = || SampleInput::Absent;
        let placed = vec![words(), absent(), word_table, position_table, absent(), gamma, beta, absent(), positions];
        let epsilon = || vec![("epsilon", 0.1.into())];
        vec![
            Sample::new("words, positions and segments", all, epsilon()).since(16).with_outputs(2),
            Sample::new("without segments", plain, epsilon()).since(16).with_outputs(2),
            Sample::new("positions that are given", placed, epsilon()).since(16).with_outputs(2),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (ids, words, positions) = (rule.input(0)?, rule.input(2)?, rule.input(3)?);
    let ([batch, length], [_, hidden]) = (ids.shape.as_slice(), words.shape.as_slice()) else {
        return Err(rule.error(format!("words {ids} of a table {words}, wanted two axes each")));
    };
    for table in [Some(positions), rule.optional(4)].into_iter().flatten() {
        if table.shape.len() != 2 || table.shape[1] != *hidden {
            return Err(rule.error(format!("a table {table}, wanted {hidden} numbers a row")));
        }
    }
    for index in 5..7 {
        rule.input(index)?;
        normalizations::require_vector(rule, index, hidden)?;
    }
    let y = TensorType::new(words.dtype, [batch, length, hidden]);
    Ok(vec![y.clone(), TensorType::new(ElementType::I32, [batch]), y])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let (ids, words, positions) = (node.input(0)?, node.input(2)?, node.input(3)?);
    let (scale, bias) = (node.input(5)?, node.input(6)?);
    let shape = node.input_type(0)?.shape;
    let hidden = node.input_type(3)?.shape[1].clone();
    let mut sum = node.graph.add("Gather", &[words, ids], &[])?;
    let placed = match node.node.input(8) {
        Some(places) => node.graph.add("Gather", &[positions, places], &[])?,
        None => {
            let first = node.graph.part(positions, &[0], &[Length::from(0)], &[shape[1].clone()], &[1])?;
            node.graph.reshape(first, &[1.into(), shape[1].clone(), hidden])?
        }
    };
    sum = node.graph.plus(sum, placed)?;
    if let Some((segments, table)) = node.node.input(1).zip(node.node.input(4)) {
        let segments = node.graph.add("Gather", &[table, segments], &[])?;
        sum = node.graph.plus(sum, segments)?;
    }
    let epsilon = node.node.float("epsilon").unwrap_or(normalizations::DEFAULT_EPSILON_OF_A_SUM);
    let attributes = [("axis", (-1).into()), ("epsilon", epsilon.into())];
    let y = node.graph.add("LayerNormalization", &[sum, scale, bias], &attributes)?;
    let counts = match node.node.input(7) {
        Some(mask) => node.graph.reduce_sum(mask, &[1], false)?,
        None => {
            let batch = node.graph.lengths(&shape[..1])?;
            let zero =
                Attribute::Tensor(Constant { dtype: ElementType::I32, shape: vec![1], bytes: vec![0; 4].into() });
            node.graph.add("ConstantOfShape", &[batch], &[("value", zero)])?
        }
    };
    let counts = match node.graph.known_type(counts)?.dtype {
        ElementType::I32 => counts,
        _ => node.graph.cast(counts, ElementType::I32)?,
    };
    Ok(vec![y, counts, sum])
}
