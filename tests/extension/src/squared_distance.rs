//! An operator with a gradient of its own: `com.microsoft.CDist`, the squared distances y = ‖xᵢ − pⱼ‖² of rows to prototypes. ONNX Runtime
//! has a kernel for it; its gradient and which of its inputs is a weight are said here.

use millstream::compiler::CompilerError;
use millstream::compiler::backward::Backward;
use millstream::compiler::graph::{Attribute, TensorType, ValueId};
use millstream::compiler::operators::{Gradient, Operator, Sample, TypeRuleInput, varied};

pub const SQUARED_DISTANCE: Operator = Operator {
    domain: "com.microsoft",
    name: "CDist",
    opsets: 1..=1,
    weights: &[1],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let metric = ("metric", Attribute::from("sqeuclidean"));
        vec![Sample::new("prototypes", vec![varied(&[2, 3]), varied(&[4, 3])], vec![metric])]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (x, prototypes) = (rule.input(0)?, rule.input(1)?);
    match (x.shape.as_slice(), prototypes.shape.as_slice()) {
        ([rows, width], [count, other]) if width.agrees_with(other) => {
            Ok(vec![TensorType::new(x.dtype, [rows.clone(), count.clone()])])
        }
        _ => Err(rule.error(format!("{x} to {prototypes}: wanted two matrices as wide as each other"))),
    }
}

/// dx = 2 (Σⱼ dy · x − dy · p), dp = 2 (Σᵢ dyᵀ · p − dyᵀ · x).
fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    if b.node.string("metric") != Some("sqeuclidean") {
        return Err(b.no_gradient("its gradient is written for squared distances alone"));
    }
    let (x, prototypes, dy) = (b.input(0)?, b.input(1)?, b.dy()?);
    let turned = b.graph.transpose(dy, &[1, 0])?;
    for (index, own, others, dy) in [(0, x, prototypes, dy), (1, prototypes, x, turned)] {
        if b.wants(index) {
            let dx = pulled(b, own, others, dy)?;
            b.give(index, dx)?;
        }
    }
    Ok(())
}

/// Of the side whose rows are those of `dy`.
fn pulled(b: &mut Backward<'_>, own: ValueId, others: ValueId, dy: ValueId) -> Result<ValueId, CompilerError> {
    let sum = b.graph.reduce_sum(dy, &[1], true)?;
    let away = b.graph.times(sum, own)?;
    let towards = b.graph.add("MatMul", &[dy, others], &[])?;
    let half = b.graph.minus(away, towards)?;
    let two = b.graph.scalar(2.0);
    b.graph.times(half, two)
}
