use super::{Gradient, Operator, Sample, fixed_floats, generated};

/// `RandomUniformLike`: numbers spread evenly from `low` to `high`, in the shape of the input.
/// Opset 22 adds element types alone, and ONNX Runtime has no kernels for it.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "RandomUniformLike",
    opsets: 13..=21,
    weights: &[],
    types: generated::like_first,
    fold: None,
    gradient: Gradient::Zero("it depends on nothing but a shape"),
    samples: || {
        vec![Sample::new(
            "seeded",
            vec![fixed_floats(&[2, 3], &[0.0, -1.0, -2.0, 0.5, 0.0, -0.5])],
            vec![("seed", 7.0.into())],
        )]
    },
};
