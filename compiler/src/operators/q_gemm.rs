use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, quantized};
use crate::CompilerError;
use crate::graph::{ElementType, TensorType};

/// `com.microsoft.QGemm`: `Gemm` of quantized matrices; floats where the output has no scale.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QGemm",
    opsets: 1..=1,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Zero(quantized::REASON),
    samples: || {
        let turned = || vec![("transB", 1.into())];
        let operands = || [quantized::tensor(&[2, 3]), quantized::tensor(&[4, 3])].concat();
        let output = vec![SampleInput::Absent, quantized::scale(), quantized::zero_point()];
        vec![Sample::new("bytes", [operands(), output].concat(), turned()), Sample::new("floats", operands(), turned())]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (a, b) = (rule.input(0)?, rule.input(3)?);
    let is_on = |name: &str| rule.node.int(name).unwrap_or(0) != 0;
    let ([a_rows, a_columns], [b_rows, b_columns]) = (a.shape.as_slice(), b.shape.as_slice()) else {
        return Err(rule.error(format!("{a} and {b} are not matrices that multiply")));
    };
    let (rows, inner) = if is_on("transA") { (a_columns, a_rows) } else { (a_rows, a_columns) };
    let (other, columns) = if is_on("transB") { (b_columns, b_rows) } else { (b_rows, b_columns) };
    if !inner.agrees_with(other) {
        return Err(rule.error(format!("{a} and {b} are not matrices that multiply")));
    }
    let is_quantized = rule.node.input(7).is_some();
    let dtype = if is_quantized { quantized::output_dtype(rule, 8) } else { ElementType::F32 };
    Ok(vec![TensorType::new(dtype, [rows, columns])])
}
