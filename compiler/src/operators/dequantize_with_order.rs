use super::{Gradient, Operator, Sample, TypeRuleInput, quantized, varied_in};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{ElementType, TensorType, ValueId};

/// `com.microsoft.DequantizeWithOrder`, for CUDA: y = scale · x for integers x of 8 bits. As those operators where it leaves their order.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "DequantizeWithOrder",
    opsets: 1..=1,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let inputs = vec![quantized::signed_bytes(&[2, 3]), varied_in(&[], 0.5, 1.5)];
        let float = ("to", i64::from(ElementType::F32.to_onnx()).into());
        vec![Sample::new("rows", inputs, vec![("order_input", 1.into()), ("order_output", 1.into()), float])]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, scale) = (rule.input(0)?, rule.input(1)?);
    if x.dtype.is_float() || !scale.dtype.is_float() {
        return Err(rule.error(format!("{x} by a scale {scale}, wanted integers by floats")));
    }
    Ok(vec![TensorType { dtype: ElementType::F32, shape: x.shape.clone() }])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let [from, to] = ["order_input", "order_output"].map(|name| node.node.int(name));
    if from != to {
        return Err(node.no_gradient("its integers lie in an order of cuBLASLt (order_input)"));
    }
    let (x, scale) = (node.input(0)?, node.input(1)?);
    let x = node.graph.cast(x, ElementType::F32)?;
    let scale = node.graph.reshape::<crate::graph::Length>(scale, &[])?;
    Ok(vec![node.graph.times(x, scale)?])
}
