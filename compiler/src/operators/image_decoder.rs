use super::{Gradient, Operator};

/// `ImageDecoder`: the pixels of an image file. Their number is in the file, and ONNX Runtime has no kernel for it.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "ImageDecoder",
    opsets: 20..=25,
    weights: &[],
    types: |rule| {
        Err(rule.error("the bytes of a file say how large its image is; images are decoded in front of the model (`data.inputs` with `image`), so export it from its pixels on"))
    },
    fold: None,
    gradient: Gradient::Zero("it decodes bytes"),
    samples: Vec::new,
};
