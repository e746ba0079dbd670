use super::{Gradient, Operator, Sample, TypeRuleInput, packed_rows, remove_padding, varied};
use crate::CompilerError;
use crate::graph::TensorType;

/// `com.microsoft.RestorePadding`: tokens `[tokens, hidden]`, all rows behind each other, at their places of a batch
/// `[rows, length, hidden]`, zeros elsewhere. As `ScatterND`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "RestorePadding",
    opsets: 1..=1,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(|node| {
        let (packed, offsets) = (node.input(0)?, node.input(1)?);
        Ok(vec![packed_rows::restored(node.graph, packed, offsets)?])
    }),
    samples: || {
        let inputs = vec![varied(&[4, 5]), remove_padding::fixed(&[2, 3], &[0, 3, 4, 5, 1, 2])];
        vec![Sample::new("two rows", inputs, vec![])]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (packed, offsets) = (rule.input(0)?, rule.input(1)?);
    let ([_, hidden], [rows, length]) = (packed.shape.as_slice(), offsets.shape.as_slice()) else {
        return Err(rule.error(format!("{packed} at {offsets}, wanted two axes each")));
    };
    Ok(vec![TensorType::new(packed.dtype, [rows, length, hidden])])
}
