use super::{Gradient, Operator, Sample, axes, normalizations, varied};
use crate::CompilerError;
use crate::backward::Backward;
use normalizations::Standardized;

/// `LayerNormalization`: y = scale · x̂ + bias with x̂ = (x − mean) · r, r = 1/√(variance + ε), over the axes from `axis` on.
/// ONNX Runtime's optimizer writes it into models of opsets before 17, too.
/// With g = dy · scale: dx = r · (g − mean(g) − x̂ · mean(g · x̂)), dscale = dy · x̂, dbias = dy, summed.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "LayerNormalization",
    opsets: 13..=25,
    weights: &[1, 2],
    types: |rule| normalizations::types_from_axis(rule, 1..3, 2),
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let last = || vec![varied(&[2, 3, 6]), varied(&[6]), varied(&[6])];
        let two = vec![varied(&[2, 3, 4]), varied(&[3, 4]), varied(&[3, 4])];
        vec![
            Sample::new("last axis", last(), vec![]),
            Sample::new("two axes", two, vec![("axis", 1.into()), ("epsilon", 0.1.into())]),
            Sample::new("negative axis, no bias", vec![varied(&[3, 5]), varied(&[5])], vec![("axis", (-1).into())]),
            Sample::new("with statistics", last(), vec![]).with_outputs(3),
        ]
    },
};

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    if b.output_gradient(1).is_some() || b.output_gradient(2).is_some() {
        return Err(b.no_gradient("the loss depends on its Mean or InvStdDev output"));
    }
    let (x, scale, dy) = (b.input(0)?, b.input(1)?, b.dy()?);
    if b.wants(2) {
        b.give(2, dy)?;
    }
    if !b.wants(0) && !b.wants(1) {
        return Ok(());
    }
    let shape = b.input_shape(0)?;
    let axis = axes::from_front(b.node.int("axis").unwrap_or(-1), shape.len()).map_err(|message| b.error(message))?;
    let y = b.output(0)?;
    let (mean, inverse) = (b.graph.add_output(y, 1)?, b.graph.add_output(y, 2)?);
    let centred = b.graph.minus(x, mean)?;
    let hat = b.graph.times(centred, inverse)?;
    let axes = (axis as i64..shape.len() as i64).collect();
    let normalized = Standardized { hat, inverse, axes, is_centred: true };
    if b.wants(1) {
        let dscale = b.graph.times(dy, hat)?;
        b.give(1, dscale)?;
    }
    if b.wants(0) {
        let g = b.graph.times(dy, scale)?;
        let dx = normalized.back(b.graph, g)?;
        b.give(0, dx)?;
    }
    Ok(())
}
