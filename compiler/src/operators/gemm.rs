use super::{Gradient, Operator, Sample, TypeRuleInput, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Attribute, Length, TensorType, ValueId};

/// `Gemm`: y = α · A′ · B′ + β · C for matrices, A′ and B′ transposed on request, C broadcast.
/// dA′ = α · dy · B′ᵀ, dB′ = α · A′ᵀ · dy, dC = β · dy.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Gemm",
    opsets: 13..=25,
    weights: &[1, 2],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let flags = |a: i64, b: i64| vec![("transA", a.into()), ("transB", b.into())];
        let scaled =
            |a: i64, b: i64| flags(a, b).into_iter().chain([("alpha", 0.5.into()), ("beta", 2.0.into())]).collect();
        vec![
            Sample::new("plain", vec![varied(&[2, 3]), varied(&[3, 4]), varied(&[4])], vec![]),
            Sample::new("without C", vec![varied(&[2, 3]), varied(&[3, 4])], vec![]),
            Sample::new("B transposed", vec![varied(&[2, 3]), varied(&[4, 3]), varied(&[2, 1])], flags(0, 1)),
            Sample::new("A transposed", vec![varied(&[3, 2]), varied(&[3, 4]), varied(&[])], scaled(1, 0)),
            Sample::new("both transposed", vec![varied(&[3, 2]), varied(&[4, 3]), varied(&[2, 4])], scaled(1, 1)),
        ]
    },
};

pub(super) fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let (a, b) = (rule.input(0)?, rule.input(1)?);
    let flag = |name: &str| rule.node.int(name).unwrap_or(0) != 0;
    let sizes = |shape: &'_ [Length], turned: bool| match shape {
        [rows, columns] if turned => Some((columns.clone(), rows.clone())),
        [rows, columns] => Some((rows.clone(), columns.clone())),
        _ => None,
    };
    let shapes = sizes(&a.shape, flag("transA")).zip(sizes(&b.shape, flag("transB")));
    let Some(((rows, _), (_, columns))) = shapes.filter(|((_, inner), (other, _))| inner.agrees_with(other)) else {
        return Err(rule.error(format!("{a} and {b} are not matrices that multiply")));
    };
    let shape = vec![rows, columns];
    if let Some(c) = rule.optional(2)
        && rule.broadcast(&shape, &c.shape)? != shape
    {
        return Err(rule.error(format!("{c} does not broadcast to {shape:?}")));
    }
    Ok(vec![TensorType { dtype: a.dtype, shape }])
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (left, right, dy) = (b.input(0)?, b.input(1)?, b.dy()?);
    let (turned_left, turned_right) = (b.node.int("transA").unwrap_or(0) != 0, b.node.int("transB").unwrap_or(0) != 0);
    let alpha = b.node.float("alpha").unwrap_or(1.0);
    let mut product = |x: ValueId, turned_x: bool, y: ValueId, turned_y: bool| {
        let flag = |on: bool| Attribute::Int(i64::from(on));
        let attributes = [("alpha", alpha.into()), ("transA", flag(turned_x)), ("transB", flag(turned_y))];
        b.graph.add("Gemm", &[x, y], &attributes)
    };
    let mut given = [None, None];
    if b.wanted[0] {
        given[0] = Some(match turned_left {
            false => product(dy, false, right, !turned_right)?,
            true => product(right, turned_right, dy, true)?,
        });
    }
    if b.wanted[1] {
        given[1] = Some(match turned_right {
            false => product(left, !turned_left, dy, false)?,
            true => product(dy, true, left, turned_left)?,
        });
    }
    for (index, gradient) in given.into_iter().enumerate() {
        if let Some(gradient) = gradient {
            b.give(index, gradient)?;
        }
    }
    if b.wants(2) {
        let beta = b.node.float("beta").unwrap_or(1.0);
        let dc = if beta == 1.0 {
            dy
        } else {
            let beta = b.graph.scalar(beta);
            b.graph.times(dy, beta)?
        };
        b.give(2, dc)?;
    }
    Ok(())
}
