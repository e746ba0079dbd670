//! Rows packed behind each other: the tokens of a batch without its padding, and back.

use crate::CompilerError;
use crate::graph::{ElementType, Graph, Length, ValueId};

type Emitted = Result<ValueId, CompilerError>;

/// Why how many tokens there are is not known.
pub(crate) const ADVICE: &str = "its rows are packed behind each other, so how many tokens it gives is known in the run alone; \
                                 take the file as it was before ONNX Runtime's conversion to packing mode";

/// Where each of so many tokens lies in a padded batch, all rows behind each other: the first of the offsets `[rows, length]`.
fn places(graph: &mut Graph, offsets: ValueId, tokens: &Length) -> Emitted {
    let all = graph.known_type(offsets)?.elements();
    let flat = graph.reshape(offsets, &[all])?;
    let flat = graph.cast(flat, ElementType::I64)?;
    graph.part(flat, &[0], &[Length::from(0)], std::slice::from_ref(tokens), &[1])
}

/// Tokens `[tokens, …]` at their places of a padded batch `[rows, length, …]`, zeros elsewhere.
pub(crate) fn restored(graph: &mut Graph, packed: ValueId, offsets: ValueId) -> Emitted {
    let (shape, rows) = (graph.shape(packed)?.to_vec(), graph.shape(offsets)?.to_vec());
    let at = places(graph, offsets, &shape[0])?;
    let at = graph.reshape(at, &[shape[0].clone(), 1.into()])?;
    let flat = [&[rows.iter().product::<Length>()], &shape[1..]].concat();
    let empty = graph.zeros(&flat)?;
    let filled = graph.add("ScatterND", &[empty, at, packed], &[])?;
    graph.reshape(filled, &[&rows, &shape[1..]].concat())
}

/// Of a padded batch `[rows, length, …]`, so many tokens `[tokens, …]` behind each other.
pub(crate) fn packed(graph: &mut Graph, padded: ValueId, offsets: ValueId, tokens: &Length) -> Emitted {
    let shape = graph.shape(padded)?.to_vec();
    let at = places(graph, offsets, tokens)?;
    let flat = [&[&shape[0] * &shape[1]], &shape[2..]].concat();
    let flat = graph.reshape(padded, &flat)?;
    graph.add("Gather", &[flat, at], &[("axis", 0.into())])
}

/// Truth values `[rows, 1, 1, length]`, which places of a row are tokens, from where each row begins among all of them, `[rows + 1]`.
pub(crate) fn seen(graph: &mut Graph, begins: ValueId, offsets: ValueId) -> Emitted {
    let shape = graph.shape(offsets)?.to_vec();
    let (rows, one) = (&shape[0], Length::from(1));
    let begins = graph.cast(begins, ElementType::I64)?;
    let count = std::slice::from_ref(rows);
    let first = graph.part(begins, &[0], &[Length::from(0)], count, &[1])?;
    let next = graph.part(begins, &[0], std::slice::from_ref(&one), count, &[1])?;
    let tokens = graph.minus(next, first)?;
    let tokens = graph.reshape(tokens, &[rows, &one, &one, &one])?;
    let places = graph.positions(&shape[1])?;
    graph.add("Less", &[places, tokens], &[])
}
