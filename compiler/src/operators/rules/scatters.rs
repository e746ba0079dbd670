//! Gradients of what picks elements by index, added up where they were picked, and of what writes them.

use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Attribute, Length, Node, ValueId};

type Emitted = Result<ValueId, CompilerError>;

/// `ScatterElements` and `ScatterND` add from this opset on.
const ADDS_SINCE: i64 = 16;

/// Zeros of a shape, with each update added on `axis` at its index, on the other axes at its own place.
pub(crate) fn elements_added(
    b: &mut Backward<'_>,
    shape: &[Length],
    indices: ValueId,
    updates: ValueId,
    axis: i64,
) -> Emitted {
    require_adding(b)?;
    let zeros = b.graph.zeros(shape)?;
    let attributes = [("axis", axis.into()), ("reduction", "add".into())];
    b.graph.add("ScatterElements", &[zeros, indices, updates], &attributes)
}

/// Zeros of a shape, with each update added at the place that a row of indices names.
pub(crate) fn slices_added(b: &mut Backward<'_>, shape: &[Length], indices: ValueId, updates: ValueId) -> Emitted {
    require_adding(b)?;
    let zeros = b.graph.zeros(shape)?;
    b.graph.add("ScatterND", &[zeros, indices, updates], &[("reduction", "add".into())])
}

/// Whether updates are put together with what is there, not in its place.
pub(crate) fn reduces(node: &Node) -> bool {
    node.string("reduction").is_some_and(|reduction| reduction != "none")
}

/// Back through what replaces, or adds to, a copy of the data: `gather` reads what `scatter` writes.
pub(crate) fn gradient(b: &mut Backward<'_>, scatter: &str, gather: &str) -> Result<(), CompilerError> {
    if reduces(&b.node) && b.node.string("reduction") != Some("add") {
        return Err(b.no_gradient("its updates are multiplied or compared, not added or put in place"));
    }
    let (indices, dy) = (b.input(1)?, b.dy()?);
    let axis: Vec<(&str, Attribute)> = b.node.int("axis").map(|axis| ("axis", axis.into())).into_iter().collect();
    if b.wants(0) {
        let kept = if reduces(&b.node) {
            dy
        } else {
            let shape = b.input_shape(2)?;
            let zeros = b.graph.zeros(&shape)?;
            b.graph.add(scatter, &[dy, indices, zeros], &axis)?
        };
        b.give(0, kept)?;
    }
    if b.wants(2) {
        let written = b.graph.add(gather, &[dy, indices], &axis)?;
        b.give(2, written)?;
    }
    Ok(())
}

fn require_adding(b: &Backward<'_>) -> Result<(), CompilerError> {
    if b.graph.opset < ADDS_SINCE {
        return Err(b.no_gradient("opsets before 16 have no operator that adds at indices; convert the model to 17"));
    }
    Ok(())
}
