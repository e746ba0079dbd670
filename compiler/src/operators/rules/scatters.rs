//! Gradients of what picks elements by index, added up where they were picked, and of what writes them.

use crate::CompilerError;
use crate::backward::Backward;
use crate::graph::{Attribute, ElementType, Length, Node, ValueId};

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

/// Back through what replaces, adds to, or is compared with, a copy of the data: `gather` reads what `scatter` writes.
pub(crate) fn gradient(b: &mut Backward<'_>, scatter: &str, gather: &str) -> Result<(), CompilerError> {
    let (indices, dy) = (b.input(1)?, b.dy()?);
    let axis: Vec<(&str, Attribute)> = b.node.int("axis").map(|axis| ("axis", axis.into())).into_iter().collect();
    match b.node.string("reduction").unwrap_or("none") {
        "none" | "add" => {}
        "max" | "min" => return gradient_of_extremes(b, scatter, gather, &axis),
        _ => return Err(b.no_gradient("its updates are multiplied, not added, compared or put in place")),
    }
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

/// Where the largest or smallest stays, dy goes to the data and the updates that are it, in equal parts.
fn gradient_of_extremes(
    b: &mut Backward<'_>,
    scatter: &str,
    gather: &str,
    axis: &[(&str, Attribute)],
) -> Result<(), CompilerError> {
    let (data, indices, updates) = (b.input(0)?, b.input(1)?, b.input(2)?);
    let (y, dy) = (b.output(0)?, b.dy()?);
    let found = b.graph.add(gather, &[y, indices], axis)?;
    let [of_data, of_updates] = [(data, y), (updates, found)].map(|(own, found)| -> Emitted {
        let is_found = b.graph.add("Equal", &[own, found], &[])?;
        b.graph.cast(is_found, ElementType::F32)
    });
    let (of_data, of_updates) = (of_data?, of_updates?);
    let mut adding = axis.to_vec();
    adding.push(("reduction", "add".into()));
    let count = b.graph.add(scatter, &[of_data, indices, of_updates], &adding)?;
    let share = b.graph.divided_by(dy, count)?;
    if b.wants(0) {
        let kept = b.graph.times(share, of_data)?;
        b.give(0, kept)?;
    }
    if b.wants(2) {
        let written = b.graph.add(gather, &[share, indices], axis)?;
        let written = b.graph.times(written, of_updates)?;
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
