use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, quantized};
use crate::CompilerError;
use crate::graph::{Constant, ElementType, TensorType};

/// `com.microsoft.QEmbedLayerNormalization`: `EmbedLayerNormalization` whose tables and weights are bytes. Its second output
/// counts the places of the mask.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QEmbedLayerNormalization",
    opsets: 1..=1,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Zero("its tables are of integers, and indices are whole numbers"),
    samples: || {
        let ids = |values: &[i32]| {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            SampleInput::Fixed(Constant { dtype: ElementType::I32, shape: vec![2, 3], bytes: bytes.into() })
        };
        let tables = [&[4, 6][..], &[5, 6], &[2, 6], &[6], &[6]].map(quantized::bytes);
        let (scales, zeros) = ([(); 5].map(|()| quantized::scale()), [(); 5].map(|()| quantized::zero_point()));
        let inputs = [ids(&[0, 3, 1, 3, 2, 0]), ids(&[0, 0, 1, 0, 1, 1])].into_iter();
        let inputs = inputs.chain(tables).chain([ids(&[1, 1, 0, 1, 1, 1])]).chain(scales).chain(zeros);
        vec![Sample::new("words, positions and segments", inputs.collect(), vec![]).with_outputs(2)]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (ids, words) = (rule.input(0)?, rule.input(2)?);
    let ([batch, length], [_, hidden]) = (ids.shape.as_slice(), words.shape.as_slice()) else {
        return Err(rule.error(format!("words {ids} of a table {words}, wanted two axes each")));
    };
    Ok(vec![TensorType::f32([batch, length, hidden]), TensorType::new(ElementType::I32, [batch])])
}
