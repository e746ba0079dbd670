//! A prefix in an attention whose heads lie in the axis of rows, `[rows · heads, tokens, size]`, as in DeBERTa.

use crate::CompilerError;
use crate::finetuning::attention::Attention;
use crate::graph::{Constant, Graph, Length, Node, ValueId};

/// Whether heads lie there, those of a row one behind the other.
///
/// # Errors
/// They may lie there in another order, or scores have other axes; in words.
pub(super) fn are_merged(base: &Graph, attention: &Attention) -> Result<bool, String> {
    let shape = |value: ValueId| base.tensor_type(value).map(|known| known.shape.as_slice());
    let Some([rows, tokens, size]) = shape(attention.queries) else { return Ok(false) };
    let scores = base.nodes()[attention.node].input(0).and_then(shape);
    let fits = match scores {
        Some([of_rows, of_tokens, _]) => of_rows == rows && of_tokens.agrees_with(tokens),
        Some([of_rows, heads, of_tokens, _]) => {
            heads.fixed() == Some(attention.heads) && of_rows * heads == *rows && of_tokens.agrees_with(tokens)
        }
        _ => false,
    };
    let makes = |node: &&Node| node.outputs.first().copied().flatten() == Some(attention.mixed);
    let values = base.nodes().iter().find(makes).and_then(|node| node.input(1));
    let mut both = [Some(attention.queries), values].into_iter();
    let are_in_order =
        attention.heads == 1 || both.all(|value| value.is_some_and(|value| follow_rows(base, value, attention.heads)));
    match fits && are_in_order && size.fixed() == Some(attention.head_size) {
        true => Ok(true),
        false => Err("its queries have an axis for rows and heads together, in an order that is not known".into()),
    }
}

/// Whether the first axis of a value holds rows, and of each row its heads: where it was made of both.
fn follow_rows(base: &Graph, value: ValueId, heads: usize) -> bool {
    let is_number = |value: ValueId| base.tensor_type(value).is_some_and(|known| known.elements() == 1);
    let (mut value, mut axis) = (value, 0);
    while let Some(node) = base.producer(value).filter(|node| node.domain.is_empty()) {
        let Some(first) = node.input(0) else { return false };
        value = match (node.operator.as_str(), node.input(1)) {
            ("Cast" | "Identity", _) => first,
            ("Div" | "Mul", Some(second)) if is_number(second) => first,
            ("Mul", Some(second)) if is_number(first) => second,
            ("Transpose", _) => match node.ints("perm").and_then(|order| usize::try_from(*order.get(axis)?).ok()) {
                Some(from) => {
                    axis = from;
                    first
                }
                None => return false,
            },
            ("Reshape", _) => {
                let made = node.outputs.first().copied().flatten();
                let shape = |value: ValueId| base.tensor_type(value).map(|known| known.shape.as_slice());
                return shape(first).zip(made.and_then(shape)).is_some_and(|both| are_joined(both, axis, heads));
            }
            _ => return false,
        };
    }
    false
}

/// Whether an axis of the second shape is made of rows and heads of the first: of axes of both, or of the numbers of all heads
/// behind the rows, `[…, rows, heads · size]` as `[…, rows · heads, size]`.
fn are_joined((from, to): (&[Length], &[Length]), axis: usize, heads: usize) -> bool {
    let (Some(rows), Some(next), Some(joined)) = (from.get(axis), from.get(axis + 1), to.get(axis)) else {
        return false;
    };
    if from[..axis] != to[..axis] || rows * heads != *joined {
        return false;
    }
    let size = to.get(axis + 1).and_then(Length::fixed);
    let is_of_axes = next.fixed() == Some(heads) && from[axis + 2..] == to[axis + 1..];
    let is_divided = || {
        from.len() == to.len()
            && size.is_some_and(|size| next.fixed() == size.checked_mul(heads))
            && from[axis + 2..] == to[axis + 2..]
    };
    is_of_axes || is_divided()
}

/// A prefix `[heads, …]` for all rows of a value `[rows · heads, …]`.
///
/// # Errors
/// A node that is added does not fit.
pub(super) fn for_rows(
    graph: &mut Graph,
    own: ValueId,
    like: ValueId,
    shape: [usize; 3],
    name: &str,
) -> Result<ValueId, CompilerError> {
    let numbers = |graph: &mut Graph, values: &[i64]| {
        graph.named_constant(&format!("{name}.place"), Constant::i64([values.len()], values))
    };
    let [heads, a, b] = shape.map(|length| length as i64);
    let [zero, one, count] = [0, 1, heads].map(|number| numbers(graph, &[number]));
    let (apart, merged) = (numbers(graph, &[heads, a, b]), numbers(graph, &[-1, a, b]));
    let lengths = graph.append("Shape", &[like], &[], &format!("{name}.shape"))?;
    let all = graph.append("Slice", &[lengths, zero, one], &[], &format!("{name}.all"))?;
    let rows = graph.append("Div", &[all, count], &[], &format!("{name}.rows"))?;
    let whole = graph.append("Concat", &[rows, apart], &[("axis", 0.into())], &format!("{name}.whole"))?;
    let of_rows = graph.append("Expand", &[own, whole], &[], &format!("{name}.of_rows"))?;
    graph.append("Reshape", &[of_rows, merged], &[], name)
}

/// A value with the axes of another, but for the last, which has this length.
///
/// # Errors
/// A node that is added does not fit.
pub(super) fn shaped_as(
    graph: &mut Graph,
    value: ValueId,
    like: ValueId,
    last: usize,
    name: &str,
) -> Result<ValueId, CompilerError> {
    let numbers =
        |graph: &mut Graph, value: i64| graph.named_constant(&format!("{name}.place"), Constant::i64([1], &[value]));
    let [zero, end, last] = [0, -1, last as i64].map(|number| numbers(graph, number));
    let lengths = graph.append("Shape", &[like], &[], &format!("{name}.shape"))?;
    let lead = graph.append("Slice", &[lengths, zero, end], &[], &format!("{name}.lead"))?;
    let whole = graph.append("Concat", &[lead, last], &[("axis", 0.into())], &format!("{name}.whole"))?;
    graph.append("Reshape", &[value, whole], &[], &format!("{name}.shaped"))
}
