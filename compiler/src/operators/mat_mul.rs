use super::{Gradient, Operator, Sample, TypeRuleInput, varied};
use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Graph, Length, TensorType, ValueId};

/// `MatMul`: y = A · B over the last two axes, the others broadcast; a vector counts as a row (A) or a column (B).
/// dA = dy · Bᵀ, dB = Aᵀ · dy.
pub(super) const OPERATOR: Operator = Operator {
    domain: "",
    name: "MatMul",
    opsets: 13..=25,
    weights: &[0, 1],
    types,
    fold: None,
    gradient: Gradient::Defined(gradient),
    samples: || {
        let sample = |name, a: &[usize], b: &[usize]| Sample::new(name, vec![varied(a), varied(b)], vec![]);
        vec![
            sample("matrices", &[2, 3], &[3, 4]),
            sample("a batch and a matrix", &[2, 3, 4], &[4, 5]),
            sample("two batch axes and a matrix", &[2, 2, 3, 4], &[4, 2]),
            sample("batches", &[2, 3, 4], &[2, 4, 2]),
            sample("batches that repeat", &[2, 1, 3, 4], &[3, 4, 2]),
            sample("a matrix and a batch", &[3, 4], &[2, 4, 2]),
            sample("vectors", &[3], &[3]),
            sample("a vector and a matrix", &[3], &[3, 4]),
            sample("a matrix and a vector", &[2, 3], &[3]),
            sample("a vector and a batch", &[3], &[2, 3, 4]),
            sample("a batch and a vector", &[2, 4, 3], &[3]),
        ]
    },
};

fn types(rule: &TypeRuleInput<'_>) -> Result<Vec<TensorType>, CompilerError> {
    product(rule, rule.input(0)?, rule.input(1)?)
}

/// The type of a product.
pub(super) fn product(
    rule: &TypeRuleInput<'_>,
    a: &TensorType,
    b: &TensorType,
) -> Result<Vec<TensorType>, CompilerError> {
    if a.shape.is_empty() || b.shape.is_empty() {
        return Err(rule.error(format!("{a} and {b}: a scalar cannot be multiplied as a matrix")));
    }
    let (left, right) = (as_rows(&a.shape), as_columns(&b.shape));
    let (left_batch, [rows, inner]) = split(&left);
    let (right_batch, [other, columns]) = split(&right);
    if !inner.agrees_with(other) {
        return Err(rule.error(format!("{a} times {b}: {inner} columns against {other} rows")));
    }
    let mut shape = rule.broadcast(left_batch, right_batch)?;
    shape.extend((a.shape.len() > 1).then(|| rows.clone()));
    shape.extend((b.shape.len() > 1).then(|| columns.clone()));
    Ok(vec![TensorType { dtype: a.dtype, shape }])
}

fn as_rows(shape: &[Length]) -> Vec<Length> {
    if shape.len() == 1 { vec![1.into(), shape[0].clone()] } else { shape.to_vec() }
}

fn as_columns(shape: &[Length]) -> Vec<Length> {
    if shape.len() == 1 { vec![shape[0].clone(), 1.into()] } else { shape.to_vec() }
}

/// Batch axes, and rows and columns.
fn split(shape: &[Length]) -> (&[Length], [&Length; 2]) {
    let (batch, last) = shape.split_at(shape.len() - 2);
    (batch, [&last[0], &last[1]])
}

fn gradient(b: &mut Backward<'_>) -> Result<(), CompilerError> {
    let (a_shape, b_shape) = (b.input_shape(0)?, b.input_shape(1)?);
    let (left_shape, right_shape) = (as_rows(&a_shape), as_columns(&b_shape));
    let (left, right, dy) = (b.input(0)?, b.input(1)?, b.dy()?);
    let left = b.graph.reshape(left, &left_shape)?;
    let right = b.graph.reshape(right, &right_shape)?;
    let mut full = b.graph.shape(dy)?.to_vec();
    if a_shape.len() == 1 {
        full.insert(full.len() + 1 - b_shape.len().min(2), 1.into());
    }
    if b_shape.len() == 1 {
        full.push(1.into());
    }
    let dy = b.graph.reshape(dy, &full)?;
    let one_matrix = right_shape.len() == 2;
    if b.wants(0) {
        let da = if one_matrix {
            let flat = flat_rows(b.graph, dy)?;
            let product = b.graph.add("Gemm", &[flat, right], &[("transB", 1.into())])?;
            b.graph.reshape(product, &left_shape)?
        } else {
            let turned = turned(b.graph, right)?;
            b.graph.add("MatMul", &[dy, turned], &[])?
        };
        // a row of each batch entry: the row axis goes, batch axes are summed by the reverse pass
        let da = if a_shape.len() == 1 { without_axis_from_end(b.graph, da, 1)? } else { da };
        b.give(0, da)?;
    }
    if b.wants(1) {
        let db = if one_matrix {
            let (left, flat) = (flat_rows(b.graph, left)?, flat_rows(b.graph, dy)?);
            b.graph.add("Gemm", &[left, flat], &[("transA", 1.into())])?
        } else {
            let turned = turned(b.graph, left)?;
            b.graph.add("MatMul", &[turned, dy], &[])?
        };
        let db = if b_shape.len() == 1 { without_axis_from_end(b.graph, db, 0)? } else { db };
        b.give(1, db)?;
    }
    Ok(())
}

/// All rows of a batch as one matrix.
fn flat_rows(graph: &mut Graph, value: ValueId) -> Result<ValueId, CompilerError> {
    let shape = graph.shape(value)?.to_vec();
    let (batch, [rows, columns]) = split(&shape);
    let rows = batch.iter().product::<Length>() * rows;
    graph.reshape(value, &[&rows, columns])
}

fn turned(graph: &mut Graph, value: ValueId) -> Result<ValueId, CompilerError> {
    let rank = graph.shape(value)?.len() as i64;
    let order: Vec<i64> = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
    graph.transpose(value, &order)
}

/// Takes out an axis of length one, counted from the last.
fn without_axis_from_end(graph: &mut Graph, value: ValueId, from_end: usize) -> Result<ValueId, CompilerError> {
    let mut shape = graph.shape(value)?.to_vec();
    shape.remove(shape.len() - 1 - from_end);
    graph.reshape(value, &shape)
}
