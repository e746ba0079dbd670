use super::{Gradient, Operator, Sample, TypeRuleInput, element_types, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Constant, Length, TensorType, ValueId};

/// `Det`: determinants of square matrices `[…, n, n]`. dx = dy · cofactors of x, for n up to 3.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "Det",
    opsets: 13..=25,
    weights: &[],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let sample = |name, shape: &[usize]| Sample::new(name, vec![varied(shape)], vec![]);
        vec![
            sample("one matrix", &[2, 2]),
            sample("a batch of two by two", &[3, 2, 2]),
            sample("a batch of three by three", &[2, 2, 3, 3]),
            sample("numbers", &[4, 1, 1]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    let x = element_types::floats(rule, 0)?;
    let [batch @ .., rows, columns] = x.shape.as_slice() else {
        return Err(rule.error(format!("{x} holds no matrices")));
    };
    if !rows.agrees_with(columns) {
        let open = rows.as_number().is_none() || columns.as_number().is_none();
        let advice = if open { "; export the model with fixed lengths for what is open" } else { "" };
        return Err(rule.error(format!("matrices of {rows} rows and {columns} columns{advice}")));
    }
    Ok(vec![TensorType { dtype: x.dtype, shape: batch.to_vec() }])
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (x, shape, dy) = (b.input(0)?, b.input_shape(0)?, b.dy()?);
    let size = shape.last().and_then(Length::fixed);
    let batch: Length = shape[..shape.len() - 2].iter().product();
    let dy = b.graph.reshape(dy, &[batch.clone(), 1.into()])?;
    let cofactors = match size {
        Some(1) => return give(b, dy, &shape),
        Some(2) => {
            let x = b.graph.reshape(x, &[batch, 4.into()])?;
            let opposite = picked(b, x, &[3, 2, 1, 0])?;
            let signs = b.graph.constant("signs", Constant::f32([4], &[1.0, -1.0, -1.0, 1.0]));
            b.graph.times(opposite, signs)?
        }
        Some(3) => {
            let x = b.graph.reshape(x, &[batch, 9.into()])?;
            // the rows and columns that follow, in a circle: no signs are needed
            let place = |down: usize, right: usize| -> Vec<i64> {
                (0..9).map(|at| ((at / 3 + down) % 3 * 3 + (at % 3 + right) % 3) as i64).collect()
            };
            let [a, d, c, e] = [(1, 1), (2, 2), (1, 2), (2, 1)].map(|(down, right)| picked(b, x, &place(down, right)));
            let (diagonal, other) = (b.graph.times(a?, d?)?, b.graph.times(c?, e?)?);
            b.graph.minus(diagonal, other)?
        }
        Some(size) => return Err(b.no_gradient(format!("matrices of {size} rows, more than 3"))),
        None => return Err(b.no_gradient("matrices of open lengths: export the model with fixed lengths")),
    };
    let dx = b.graph.times(cofactors, dy)?;
    give(b, dx, &shape)
}

fn give(b: &mut Backward<'_>, dx: ValueId, shape: &[Length]) -> Result<(), CompilerError> {
    let dx = b.graph.reshape(dx, shape)?;
    b.give(0, dx)
}

/// Columns of a matrix.
fn picked(b: &mut Backward<'_>, x: ValueId, columns: &[i64]) -> Result<ValueId, CompilerError> {
    let columns = b.graph.integers(columns);
    b.graph.add("Gather", &[x, columns], &[("axis", 1.into())])
}
