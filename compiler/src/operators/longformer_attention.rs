use super::{Gradient, Operator, Sample, fixed_integers_of, same_as_first, varied};

/// `com.microsoft.LongformerAttention`, for CUDA: attention of x `[batch, sequence, hidden]` in a window and of some places everywhere.
/// It has no gradient.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "LongformerAttention",
    opsets: 1..=1,
    weights: &[1, 2, 4, 5],
    types: same_as_first,
    fold: None,
    gradient: Gradient::Refused(
        "which places it attends to is what its kernel for CUDA does, and nothing is there to hold a gradient against; take the \
         file as it was before the optimizer fused its attention",
    ),
    samples: || {
        let projection = || [varied(&[4, 12]), varied(&[12])];
        let [own, bias] = projection();
        let [everywhere, their_bias] = projection();
        let places = fixed_integers_of(&[1, 4], &[1, 0, 0, 0]);
        let inputs = vec![varied(&[1, 4, 4]), own, bias, varied(&[1, 4]), everywhere, their_bias, places];
        vec![Sample::new("one place everywhere", inputs, vec![("num_heads", 2.into()), ("window", 2.into())])]
    },
};
