use super::{Gradient, Operator, Sample, SampleInput, TypeRuleInput, fixed_floats, lstm};
use crate::CompilerError;
use crate::backward::Expansion;
use crate::graph::{Attribute, Constant, ElementType, Length, TensorType, ValueId};

/// `com.microsoft.DynamicQuantizeLSTM`: `LSTM` whose weights W `[directions, in, 4 · hidden]` and R `[directions, hidden, 4 · hidden]`
/// are bytes with a scale for each direction or column, and whose products round what they multiply. It computes what it does;
/// gradients are those of the same `LSTM` of floats, as if nothing was rounded (straight through: Bengio 2013). The weights stay as
/// they are.
pub(super) const OPERATOR: Operator = Operator {
    domain: "com.microsoft",
    name: "DynamicQuantizeLSTM",
    opsets: 1..=1,
    weights: &[3],
    types,
    fold: None,
    gradient: Gradient::Expand(expand),
    // what is rounded has no slope, so all are fixed: `compiler/tests/straight_through.rs` holds the gradient
    samples: || {
        let bytes = |shape: &[usize]| {
            let count: usize = shape.iter().product();
            let bytes: Vec<u8> = (0..count).map(|at| (at * 89 + 17) as u8).collect();
            SampleInput::Fixed(Constant { dtype: ElementType::I8, shape: shape.to_vec(), bytes: bytes.into() })
        };
        let floats = |shape: &[usize]| {
            let count = shape.iter().product();
            let values: Vec<f32> = (0..count).map(|at: usize| (at * 37 % 19) as f32 / 10.0 - 0.9).collect();
            fixed_floats(shape, &values)
        };
        let inputs = |directions: usize, scales: &[usize]| {
            let scale = || fixed_floats(scales, &vec![0.01; scales.iter().product()]);
            let count = scales.iter().product::<usize>();
            let zero = || {
                SampleInput::Fixed(Constant {
                    dtype: ElementType::I8,
                    shape: scales.to_vec(),
                    bytes: vec![0; count].into(),
                })
            };
            let weights = vec![floats(&[4, 2, 3]), bytes(&[directions, 3, 8]), bytes(&[directions, 2, 8])];
            let absent = std::iter::repeat_n(SampleInput::Absent, 4).collect();
            [weights, vec![floats(&[directions, 16])], absent, vec![scale(), zero(), scale(), zero()]].concat()
        };
        let hidden = || ("hidden_size", Attribute::Int(2));
        vec![
            Sample::new("a scale a direction", inputs(1, &[1]), vec![hidden()]).with_outputs(3),
            Sample::new(
                "both directions, a scale a column",
                inputs(2, &[2, 8]),
                vec![hidden(), ("direction", "bidirectional".into())],
            )
            .with_outputs(3),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, w, r) = (rule.input(0)?, rule.input(1)?, rule.input(2)?);
    let ([steps, batch, inner], [directions, rows, columns], [_, hidden, wide]) =
        (x.shape.as_slice(), w.shape.as_slice(), r.shape.as_slice())
    else {
        return Err(rule.error(format!("{x} with weights {w} and {r}, wanted three axes each")));
    };
    if !inner.agrees_with(rows) || !columns.agrees_with(wide) || !(hidden * 4).agrees_with(wide) {
        return Err(
            rule.error(format!("{x} with weights {w} and {r}; export the model with fixed lengths for what is open"))
        );
    }
    let last = TensorType::new(x.dtype, [directions, batch, hidden]);
    Ok(vec![TensorType::new(x.dtype, [steps, directions, batch, hidden]), last.clone(), last])
}

fn expand(node: &mut Expansion<'_>) -> Result<Vec<ValueId>, CompilerError> {
    let [w, r] = [[1, 8, 9], [2, 10, 11]].map(|inputs| floats(node, inputs));
    let given = [0, 3, 4, 5, 6, 7].map(|input| node.node.input(input));
    let [x, bias, lengths, first, first_cell, peepholes] = given;
    let own: Vec<(String, Attribute)> =
        node.node.attributes.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let own: Vec<(&str, Attribute)> = own.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let mut inputs = vec![x, Some(w?), Some(r?), bias, lengths, first, first_cell, peepholes];
    while inputs.last() == Some(&None) {
        inputs.pop();
    }
    let plain = node.graph.add_with(lstm::OPERATOR.name, &inputs, &own, 3)?;
    let (domain, name, inputs) = (node.node.domain.clone(), node.node.operator.clone(), node.node.inputs.clone());
    let rounded = node.graph.add_in(&domain, &name, &inputs, &own, 3)?;
    let mut made = Vec::new();
    for (plain, rounded) in plain.into_iter().zip(rounded) {
        let rounding = node.graph.minus(rounded, plain)?;
        node.graph.stop_gradient(rounding);
        made.push(node.graph.plus(plain, rounding)?);
    }
    Ok(made)
}

/// Weights as `LSTM` has them: floats, each gate's in rows.
fn floats(node: &mut Expansion<'_>, [weights, scale, zero]: [usize; 3]) -> Result<ValueId, CompilerError> {
    let (weights, scale, zero) = (node.input(weights)?, node.input(scale)?, node.input(zero)?);
    let shape = node.graph.shape(weights)?.to_vec();
    let columns = node.graph.shape(scale)?.get(1).cloned().unwrap_or_else(|| 1.into());
    let along = [shape[0].clone(), Length::from(1), columns];
    let graph = &mut *node.graph;
    let [whole, zero] = [weights, zero].map(|value| graph.cast(value, ElementType::F32));
    let zero = graph.reshape(zero?, &along)?;
    let scale = graph.reshape(scale, &along)?;
    let centred = graph.minus(whole?, zero)?;
    let scaled = graph.times(centred, scale)?;
    graph.transpose(scaled, &[0, 2, 1])
}
