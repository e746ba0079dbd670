use super::{Gradient, Operator, Sample, TypeRuleInput, blocks, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Length, TensorType, ValueId};

/// `SpaceToDepth`: squares of `blocksize`² pixels of `[N, C, H, W]` become channels, in the order (row, column, channel).
/// Reshape, Transpose, Reshape.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "SpaceToDepth",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let size = |size: i64| vec![("blocksize", size.into())];
        vec![
            Sample::new("blocks of two", vec![varied(&[2, 3, 4, 6])], size(2)),
            Sample::new("blocks of three", vec![varied(&[1, 2, 3, 6])], size(3)),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, size) = (rule.input(0)?, blocks::size(rule)?);
    let [batch, channels, rows, columns] = blocks::image(rule)?;
    let [rows, columns] = [rows, columns]
        .map(|length| length.exact_quotient(&size.into()).ok_or_else(|| blocks::misfit(rule, &length, size)));
    Ok(vec![TensorType { dtype: x.dtype, shape: vec![batch, channels * (size * size), rows?, columns?] }])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let size: Length = blocks::size_of(&node.node).map_err(|message| node.error(message))?.into();
    let (x, shape) = (node.input(0)?, node.input_type(0)?.shape);
    let (rows, columns) = (shape[2].quotient(&size), shape[3].quotient(&size));
    let x = node.graph.reshape(x, &[&shape[0], &shape[1], &rows, &size, &columns, &size])?;
    let turned = node.graph.transpose(x, &[0, 3, 5, 1, 2, 4])?;
    let channels = &shape[1] * &size * &size;
    Ok(vec![node.graph.reshape(turned, &[&shape[0], &channels, &rows, &columns])?])
}
