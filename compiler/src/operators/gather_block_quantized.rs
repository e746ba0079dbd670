use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_floats, fixed_integers, quantized};
use crate::CompilerError;
use crate::graph::TensorType;

/// `com.microsoft.GatherBlockQuantized`: entries of a quantized table by index, as floats; its numbers of 4 or 8 bits have a
/// scale for each block. In a table of bytes two numbers of 4 bits share one.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "GatherBlockQuantized",
    opsets: 1..=1,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Zero("its table is of integers, and indices are whole numbers"),
    samples: || {
        let inputs = vec![quantized::bytes(&[4, 16]), fixed_integers(&[3, 0]), fixed_floats(&[4, 2], &[0.25; 8])];
        let attributes =
            vec![("block_size", 16.into()), ("bits", 4.into()), ("gather_axis", 0.into()), ("quantize_axis", 1.into())];
        vec![Sample::new("an embedding of four bits", inputs, attributes)]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (table, indices, scales) = (rule.input(0)?, rule.input(1)?, rule.input(2)?);
    let rank = table.shape.len();
    let axis = |name: &str, usual: i64| rule.axis(rule.node.int(name).unwrap_or(usual), rank);
    let (gathered, quantized) = (axis("gather_axis", 0)?, axis("quantize_axis", 1)?);
    let in_a_byte = match rule.node.int("bits").unwrap_or(4) {
        4 => 2usize,
        8 => 1,
        other => return Err(rule.error(format!("numbers of {other} bits"))),
    };
    let mut whole = table.shape.clone();
    whole[quantized] = &whole[quantized] * in_a_byte;
    let shape = [&whole[..gathered], &indices.shape, &whole[gathered + 1..]].concat();
    Ok(vec![TensorType { dtype: scales.dtype, shape }])
}
