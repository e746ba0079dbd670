use super::attention_rules::heads;
use super::remove_padding::fixed;
use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, attention_microsoft, varied};
use crate::CompilerError;
use crate::graph::TensorType;

/// `com.microsoft.DecoderMaskedSelfAttention`, as ONNX Runtime's optimizer writes it into decoders for CUDA: attention of one query
/// `[batch, 1, in]` a row with earlier keys and values in a buffer that its kernels keep in an order of their own. It has no gradient.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "DecoderMaskedSelfAttention",
    opsets: 1..=1,
    weights: &[1, 2],
    types,
    fold: None,
    gradient: Gradient::Refused(REASON),
    samples: || {
        let past = [SampleInput::Absent, varied(&[2, 2, 2, 3, 4]), SampleInput::Absent, fixed(&[1], &[2])];
        let inputs = vec![varied(&[2, 1, 5]), varied(&[5, 24]), varied(&[24])].into_iter().chain(past).collect();
        let own = vec![("num_heads", 2.into()), ("past_present_share_buffer", 1.into())];
        vec![Sample::new("one token", inputs, own).with_outputs(2)]
    },
};

/// Why attention to earlier keys in a buffer has no gradient.
pub(super) const REASON: &str = "it decodes one token after another from a buffer in its kernels' own order; take the file as it was \
                                 before the optimizer made it a decoder, with all tokens of a row as its input";

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, weights, past) = (rule.input(0)?, rule.input(1)?, rule.input(4)?);
    let ([batch, one, _], [_, columns]) = (x.shape.as_slice(), weights.shape.as_slice()) else {
        return Err(rule.error(format!("{x} with weights {weights}, wanted three axes and two")));
    };
    heads(rule.node, "num_heads").map_err(|message| rule.error(message))?;
    let [_, _, v] = attention_microsoft::parts(rule.node, columns).map_err(|message| rule.error(message))?;
    let mut present = past.clone();
    let is_shared = rule.node.int("past_present_share_buffer").unwrap_or(0) != 0;
    match present.shape.get_mut(3) {
        Some(_) if is_shared => {}
        Some(length) => *length = &*length + one,
        None => return Err(rule.error(format!("earlier keys {past}, wanted five axes"))),
    }
    Ok(vec![TensorType::new(x.dtype, [batch, one, &v]), present])
}
