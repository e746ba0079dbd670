use super::{Operator, fused_mat_mul};

/// `com.microsoft.TransposeMatMul`: an older `FusedMatMul`, which moves no batch axes.
pub(super) const OPERATOR: Operator = Operator {
    name: "TransposeMatMul",
    samples: || {
        let mut samples = (fused_mat_mul::OPERATOR.samples)();
        samples.retain(|sample| sample.attributes.iter().all(|(name, _)| !name.starts_with("transBatch")));
        samples
    },
    ..fused_mat_mul::OPERATOR
};
