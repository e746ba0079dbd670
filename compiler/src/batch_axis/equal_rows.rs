//! What an exporter stored for each of the rows that it wrote into a model, though it is the same for all: one row, repeated.

use std::collections::HashMap;

use super::fixed_rows;
use super::repeat::{Repeated, repeat};
use crate::CompilerError;
use crate::graph::{Constant, Graph, Length, ValueId};
use crate::inference::infer_behind;
use crate::operators::{OperatorCatalog, axis_from_front};

/// Lets a constant that is joined or added to the rows, as a class token or a table of positions whose `Expand` was folded, be stored once
/// and taken for as many rows as there are: it is one parameter then, and there may be more rows. All that read it take it so, or it stays
/// as it is. What the model computes stays the same.
///
/// # Errors
/// Nodes for it cannot be added.
pub(crate) fn repeat_equal_rows(graph: &mut Graph, catalog: &OperatorCatalog) -> Result<(), CompilerError> {
    let Some(rows) = fixed_rows(graph).filter(|rows| *rows > 1) else { return Ok(()) };
    let found = equal_rows(graph, rows);
    if found.is_empty() {
        return Ok(());
    }
    let mut joined: Vec<(usize, Repeated)> = Vec::new();
    for EqualRows { operand, row, joins } in found {
        graph.set_constant(operand, row);
        joined.extend(joins);
    }
    joined.sort_by_key(|(at, wanted)| (*at, wanted.input));
    let before = graph.nodes().len();
    for (at, wanted) in joined {
        // nodes that were added stand in front of this one
        let added = graph.nodes().len() - before;
        repeat(graph, at + added, wanted)?;
    }
    let inputs = graph.inputs().to_vec();
    infer_behind(graph, inputs, catalog, &|_| None);
    Ok(())
}

/// A constant of which each row of a batch has the same.
struct EqualRows {
    operand: ValueId,
    /// One of its rows.
    row: Constant,
    /// Where it is joined to others, by the place of the node: there it is repeated.
    joins: Vec<(usize, Repeated)>,
}

/// How a node takes a constant of which each row has its own part.
enum Taken {
    /// Along another axis than the rows: one row is repeated for it.
    Joined(Repeated),
    /// One row is added to each.
    Added,
}

/// The constants with equal rows that are taken row by row wherever they are read.
fn equal_rows(graph: &Graph, rows: usize) -> Vec<EqualRows> {
    let candidates = graph.constants().into_iter().filter(|value| graph.is_own(*value));
    let row = |value: ValueId| {
        let constant = graph.float_constant(value)?;
        // rows of doubles may differ in digits that 32 bits do not have
        let are_equal = graph.doubles_of(constant).is_none_or(|doubles| one_row(&doubles, rows).is_some());
        one_row(constant, rows).filter(|_| are_equal)
    };
    let candidates: HashMap<ValueId, Constant> = candidates.filter_map(|value| Some((value, row(value)?))).collect();
    let mut readers: HashMap<ValueId, Vec<Option<(usize, Taken)>>> = HashMap::new();
    for (at, node) in graph.nodes().iter().enumerate() {
        for (input, operand) in node.inputs.iter().enumerate() {
            let Some(operand) = operand.filter(|operand| candidates.contains_key(operand)) else { continue };
            let how = taken(graph, at, (input, operand), rows).map(|how| (at, how));
            readers.entry(operand).or_default().push(how);
        }
    }
    let of = |(operand, row): (ValueId, Constant)| {
        let all: Vec<(usize, Taken)> = readers.remove(&operand)?.into_iter().collect::<Option<_>>()?;
        let joins = all.into_iter().filter_map(|(at, how)| match how {
            Taken::Joined(wanted) => Some((at, wanted)),
            Taken::Added => None,
        });
        Some(EqualRows { operand, row, joins: joins.collect() })
    };
    candidates.into_iter().filter_map(of).collect()
}

/// The first of so many rows on the first axis of a constant, where all are equal.
fn one_row(constant: &Constant, rows: usize) -> Option<Constant> {
    let [own, others @ ..] = constant.shape.as_slice() else { return None };
    let bytes = constant.bytes.len() / rows;
    if *own != rows || bytes == 0 {
        return None;
    }
    let first = constant.bytes.slice(..bytes);
    let are_equal = constant.bytes.chunks_exact(bytes).all(|row| row == &first[..]);
    are_equal.then(|| Constant { dtype: constant.dtype, shape: [&[1][..], others].concat(), bytes: first })
}

/// How the node `at` takes a constant with equal rows as one of its inputs; nothing where it does something else with it.
fn taken(graph: &Graph, at: usize, (input, operand): (usize, ValueId), rows: usize) -> Option<Taken> {
    let node = &graph.nodes()[at];
    let constant = graph.float_constant(operand)?;
    let rank = constant.shape.len();
    let has_rows = |value: &ValueId| {
        let known = graph.tensor_type(*value).filter(|_| graph.constant_of(*value).is_none());
        known
            .is_some_and(|known| known.shape.len() == rank && known.shape.first().and_then(Length::fixed) == Some(rows))
    };
    let like = node.inputs.iter().flatten().copied().find(has_rows)?;
    if node.is("Concat") {
        let joins_rows = axis_from_front(node.int("axis")?, rank).ok()? == 0;
        let wanted = Repeated { input, operand, axis: 0, rank, like, like_axis: 0 };
        return (!joins_rows).then_some(Taken::Joined(wanted));
    }
    // one number throughout may be what parameters of other rows began with
    let mut numbers = constant.bytes.chunks_exact(constant.dtype.bytes());
    let first = numbers.next()?;
    (node.is("Add") && numbers.any(|number| number != first)).then_some(Taken::Added)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{ElementType, TensorType};

    #[test]
    fn a_folded_class_token_of_doubles_keeps_its_digits_when_it_is_stored_once() {
        let double = |shape: [usize; 3], numbers: &[f64]| {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            Constant { dtype: ElementType::F64, shape: shape.to_vec(), bytes: bytes.into() }
        };
        let tokens = |second: [f64; 2]| {
            let catalog = OperatorCatalog::standard();
            let mut graph = Graph::new(17, catalog.clone());
            let x = graph.input("x", TensorType::new(ElementType::F64, [2, 3, 2]));
            let token = graph.constant("token", double([2, 1, 2], &[0.1, 1.0 / 3.0, second[0], second[1]]));
            let joined = graph.add("Concat", &[token, x], &[("axis", 1.into())]).unwrap();
            graph.set_outputs(&[joined]);
            assert!(graph.let_floats_be_32());
            repeat_equal_rows(&mut graph, &catalog).unwrap();
            graph.as_stored().unwrap().constant_of(token).unwrap().clone()
        };
        assert_eq!(tokens([0.1, 1.0 / 3.0]), double([1, 1, 2], &[0.1, 1.0 / 3.0]));
        // the same in 32 bits, and not in 64
        let other = 0.1 + 1e-12;
        assert_eq!(tokens([other, 1.0 / 3.0]), double([2, 1, 2], &[0.1, 1.0 / 3.0, other, 1.0 / 3.0]));
    }
}
