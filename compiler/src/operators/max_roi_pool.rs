use super::{Gradient, Operator, Sample, TypeRuleInput, fixed_floats, varied};
use crate::CompilerError;
use crate::graph::{Attribute, Length, TensorType};

/// `MaxRoiPool`: the largest element of each bin of regions `[R, 5]` (their example and two corners) of x `[N, C, H, W]`.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "MaxRoiPool",
    opsets: 13..=21,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Missing,
    samples: || {
        let regions = fixed_floats(&[2, 5], &[0.0, 0.0, 0.0, 3.0, 3.0, 1.0, 1.0, 2.0, 4.0, 3.0]);
        let pooled = vec![("pooled_shape", Attribute::Ints(vec![2, 3]))];
        vec![Sample::new("two regions", vec![varied(&[2, 3, 4, 5]), regions], pooled)]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, regions) = (rule.input(0)?, rule.input(1)?);
    let ([_, channels, _, _], [count, five]) = (x.shape.as_slice(), regions.shape.as_slice()) else {
        return Err(rule.error(format!("regions {regions} of {x}")));
    };
    let pooled = rule.node.ints("pooled_shape").unwrap_or_default();
    if *five != 5 || pooled.len() != 2 || pooled.iter().any(|length| !(1..1 << 16).contains(length)) {
        return Err(rule.error(format!("regions {regions} of five numbers each, pooled to {pooled:?}")));
    }
    let shape = [count.clone(), channels.clone(), Length::number(pooled[0]), Length::number(pooled[1])];
    Ok(vec![TensorType::new(x.dtype, shape)])
}
