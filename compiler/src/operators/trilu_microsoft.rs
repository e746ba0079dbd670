use super::{Gradient, Operator, trilu};

/// The standard `Trilu` is there from this opset on.
const TRILU_SINCE: i64 = 14;

/// `com.microsoft.Trilu`, as PyTorch's exporter writes it where ONNX Runtime's contributed operators are registered: the standard
/// operator. Its gradient needs opset 14.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "Trilu",
    opsets: 1..=1,
    weights: &[],
    types: trilu::types,
    fold: Some(trilu::fold),
    gradient: Gradient::Expand(|node| {
        if node.graph.opset < TRILU_SINCE {
            return Err(
                node.no_gradient("the standard `Trilu` is there from opset 14 on; export the model with a newer one")
            );
        }
        let (inputs, upper) = (node.node.inputs.clone(), trilu::is_upper(node.node.int("upper")));
        node.graph.add_with("Trilu", &inputs, &[("upper", upper.into())], 1)
    }),
    samples: || (trilu::OPERATOR.samples)().into_iter().map(|sample| sample.since(TRILU_SINCE)).collect(),
};
