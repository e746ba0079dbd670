use super::{Gradient, Operator, Sample, normalizations, varied};

/// `RMSNormalization`: y = scale · x · r with r = 1/√(mean(x²) + ε), over the axes from `axis` on. With x̂ = x · r and
/// g = dy · scale: dx = r · (g − x̂ · mean(g · x̂)), dscale = dy · x̂, summed.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "RMSNormalization",
    opsets: 23..=25,
    weights: &[1],
    types: |rule| normalizations::types_from_axis(rule, 1..2, 0),
    fold: None,
    gradient: Gradient::Defined(normalizations::root_mean_square_gradient),
    samples: || {
        let two = vec![varied(&[2, 3, 4]), varied(&[3, 4])];
        vec![
            Sample::new("last axis", vec![varied(&[2, 3, 6]), varied(&[6])], vec![]),
            Sample::new("two axes", two, vec![("axis", 1.into()), ("epsilon", 0.1.into())]),
            Sample::new("one element", vec![varied(&[3, 1]), varied(&[1])], vec![("epsilon", 0.5.into())]),
        ]
    },
};
