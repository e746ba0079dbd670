use super::{Gradient, Operator, Sample, TypeRuleInput, blocks, varied};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Length, TensorType, ValueId};
use millstream_schemas::shown;

/// `DepthToSpace`: blocks of `blocksize`² channels of `[N, C, H, W]` become squares of pixels: in mode `DCR` the channel is
/// (row, column, channel) of the block, in mode `CRD` (channel, row, column). Reshape, Transpose, Reshape.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "DepthToSpace",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let size = |size: i64| ("blocksize", size.into());
        vec![
            Sample::new("depth first", vec![varied(&[2, 8, 2, 3])], vec![size(2)]),
            Sample::new("channels first", vec![varied(&[2, 8, 2, 3])], vec![size(2), ("mode", "CRD".into())]),
            Sample::new("blocks of three", vec![varied(&[1, 9, 2, 1])], vec![size(3), ("mode", "DCR".into())]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, size) = (rule.input(0)?, blocks::size(rule)?);
    if let Some(mode) = rule.node.string("mode").filter(|mode| !matches!(*mode, "DCR" | "CRD")) {
        return Err(rule.error(format!("mode `{}`, wanted DCR or CRD", shown(mode))));
    }
    let [batch, channels, rows, columns] = blocks::image(rule)?;
    let depth = channels.exact_quotient(&(size * size).into());
    let depth = depth.ok_or_else(|| blocks::misfit(rule, &channels, size * size))?;
    let shape = vec![batch, depth, rows * size, columns * size];
    Ok(vec![TensorType { dtype: x.dtype, shape }])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let size: Length = blocks::size_of(&node.node).map_err(|message| node.error(message))?.into();
    let (x, shape) = (node.input(0)?, node.input_type(0)?.shape);
    let channels_first = node.node.string("mode") == Some("CRD");
    let depth = shape[1].quotient(&(&size * &size));
    let split = if channels_first {
        [&shape[0], &depth, &size, &size, &shape[2], &shape[3]]
    } else {
        [&shape[0], &size, &size, &depth, &shape[2], &shape[3]]
    };
    let x = node.graph.reshape(x, &split)?;
    let order = if channels_first { [0, 1, 4, 2, 5, 3] } else { [0, 3, 4, 1, 5, 2] };
    let turned = node.graph.transpose(x, &order)?;
    let (rows, columns) = (&shape[2] * &size, &shape[3] * &size);
    Ok(vec![node.graph.reshape(turned, &[&shape[0], &depth, &rows, &columns])?])
}
