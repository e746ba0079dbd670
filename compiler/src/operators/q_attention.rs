use super::attention_rules::{Scores, attend, bias_of_mask, heads, merge_heads, scale_of, size_of_a_head, split_heads};
use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, fixed_floats, quantized, varied, varied_in};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Constant, ElementType, TensorType, ValueId};

/// `com.microsoft.QAttention`: attention as BERT has it, whose queries, keys and values are one product of bytes
/// `[batch, length, in]` with bytes `[in, 3 · hidden]`. As `MatMulInteger`, sums, products and a softmax: scales and bias have
/// gradients, what is of bytes stays as it is.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "QAttention",
    opsets: 1..=1,
    weights: &[2],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    samples: || {
        let absent = || SampleInput::Absent;
        let operands = || vec![quantized::bytes(&[2, 3, 5]), quantized::bytes(&[5, 12])];
        // of one range each, so that a step is small for all of them
        let bias = || vec![varied(&[12]), fixed_floats(&[], &[0.0015]), fixed_floats(&[], &[0.0015])];
        let scales = || {
            let bias: Vec<f32> = (0..12).map(|at| (at * 5 % 12) as f32 / 12.0 - 0.5).collect();
            let scale = || varied_in(&[], 0.001, 0.002);
            vec![fixed_floats(&[12], &bias), scale(), scale()]
        };
        let zero_points = || vec![quantized::zero_point(), quantized::zero_point()];
        let bytes: Vec<u8> = [1i32, 1, 1, 1, 1, 0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let mask = SampleInput::Fixed(Constant { dtype: ElementType::I32, shape: vec![2, 3], bytes: bytes.into() });
        let heads = || ("num_heads", Attribute::Int(2));
        vec![
            Sample::new("plain", [operands(), bias()].concat(), vec![heads()]),
            Sample::new(
                "a mask of keys",
                [operands(), scales(), vec![mask], zero_points()].concat(),
                vec![heads(), ("scale", 0.5.into())],
            ),
            Sample::new(
                "causal",
                [operands(), bias(), vec![absent()], zero_points()].concat(),
                vec![heads(), ("unidirectional", 1.into())],
            ),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, weights, bias) = (rule.input(0)?, rule.input(1)?, rule.input(2)?);
    let ([batch, length, inner], [rows, columns]) = (x.shape.as_slice(), weights.shape.as_slice()) else {
        return Err(rule.error(format!("{x} with weights {weights}, wanted three axes and two")));
    };
    let third = columns.exact_quotient(&3.into());
    let Some(hidden) = third.filter(|_| inner.agrees_with(rows)) else {
        return Err(
            rule.error(format!("{x} with weights {weights}; export the model with fixed lengths for what is open"))
        );
    };
    let heads = heads(rule.node, "num_heads").map_err(|message| rule.error(message))?;
    let size = size_of_a_head(&hidden, heads).map_err(|message| rule.error(message))?;
    let y = TensorType::new(bias.dtype, [batch, length, &hidden]);
    if rule.node.input(8).is_some() {
        return Ok(vec![y]);
    }
    let present = [2.into(), batch.clone(), heads.into(), length.clone(), size];
    Ok(vec![y, TensorType::new(bias.dtype, present)])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    if node.node.input(8).is_some() || node.node.outputs.get(1).is_some_and(Option::is_some) {
        return Err(node.no_gradient("it has earlier keys, or gives its own"));
    }
    if node.node.int("do_rotary").unwrap_or(0) != 0 {
        return Err(node.no_gradient("it rotates its queries and keys (do_rotary)"));
    }
    let hidden = node.input_type(1)?.shape[1].exact_quotient(&3.into());
    let hidden = hidden.ok_or_else(|| node.error("its weights are no three of the same length"))?;
    let heads = heads(&node.node, "num_heads").map_err(|message| node.error(message))?;
    let given = [0, 1, 6, 7].map(|index| node.node.input(index));
    let whole = node.graph.add_with("MatMulInteger", &given, &[], 1)?[0];
    let (bias, scales) = (node.input(2)?, [node.input(3)?, node.input(4)?]);
    let all = quantized::scaled(node.graph, whole, scales, Some(bias))?;
    let lengths = node.graph.lengths(&[hidden.clone(), hidden.clone(), hidden])?;
    let parts = node.graph.add_with("Split", &[Some(all), Some(lengths)], &[("axis", (-1).into())], 3)?;
    let q = split_heads(node.graph, parts[0], heads)?;
    let k = split_heads(node.graph, parts[1], heads)?;
    let v = split_heads(node.graph, parts[2], heads)?;
    let shape = node.graph.shape(q)?.to_vec();
    let mask = node.node.input(5);
    let bias = bias_of_mask(node, None, mask, (&shape[0], &shape[2]))?;
    let scale = scale_of(node, &shape[3])?;
    let causal = (node.node.int("unidirectional").unwrap_or(0) != 0).then(|| 0.into());
    let y = attend(node, q, k, v, &Scores { bias, causal, ..Scores::scaled(scale) })?;
    Ok(vec![merge_heads(node.graph, y)?])
}
