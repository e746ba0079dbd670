use super::linear_weight::LinearWeight;
use crate::CompilerError;
use crate::graph::{Constant, Graph, ValueId};

/// Lets the nodes that multiply with a weight read what `build` makes of the rows that they read; `build` adds nodes for those.
/// A node that reads columns reads them turned back.
pub(super) fn before_readers(
    graph: &mut Graph,
    weight: &LinearWeight,
    build: impl Fn(&mut Graph, ValueId) -> Result<ValueId, CompilerError>,
) -> Result<(), CompilerError> {
    // from the last on, so that the places of the others stay
    for at in weight.readers(graph).into_iter().rev() {
        let node = graph.nodes()[at].clone();
        let x = node.input(0).expect("what reads a weight reads an input beside it");
        let is_turned = node.is("Gemm") && node.int("transA").unwrap_or(0) != 0;
        let turn = |graph: &mut Graph, x: ValueId, part: &str| {
            let name = format!("{}.{part}", weight.layer);
            if is_turned { graph.append("Transpose", &[x], &[("perm", vec![1, 0].into())], &name) } else { Ok(x) }
        };
        let before = graph.nodes().len();
        let made = graph.in_front_of(at, |graph| {
            let rows = turn(graph, x, "input_rows")?;
            let made = build(graph, rows)?;
            turn(graph, made, "input_columns")
        })?;
        let moved = graph.nodes().len() - before;
        graph.set_input(at + moved, 0, made);
    }
    Ok(())
}

/// x·R with the blocks `[blocks, size, size]` on the diagonal of R, whatever axes x has before its last.
pub(super) fn in_blocks(
    graph: &mut Graph,
    x: ValueId,
    [blocks, size]: [usize; 2],
    rotation: ValueId,
    named: &dyn Fn(&str) -> String,
) -> Result<ValueId, CompilerError> {
    let own_shape = graph.append("Shape", &[x], &[], &named("rotated_input.shape"))?;
    let divided = Constant::i64([3], &[-1, blocks as i64, size as i64]);
    let divided = graph.named_constant(&named("rotated_input.blocks_shape"), divided);
    let swap = [("perm", vec![1, 0, 2].into())];
    let by_row = graph.append("Reshape", &[x, divided], &[], &named("rotated_input.blocks"))?;
    let by_block = graph.append("Transpose", &[by_row], &swap, &named("rotated_input.by_block"))?;
    let made = graph.append("MatMul", &[by_block, rotation], &[], &named("rotated_input.rotated_blocks"))?;
    let by_row = graph.append("Transpose", &[made], &swap, &named("rotated_input.by_row"))?;
    graph.append("Reshape", &[by_row, own_shape], &[], &named("rotated_input"))
}

/// A product of two square matrices, row by row.
pub(super) fn product(a: &[f64], b: &[f64], size: usize) -> Vec<f64> {
    let at = |row: usize, column: usize| (0..size).map(|k| a[row * size + k] * b[k * size + column]).sum();
    (0..size * size).map(|place| at(place / size, place % size)).collect()
}

/// The number of a place of the identity.
pub(super) fn identity_at(place: usize, size: usize) -> f64 {
    f64::from(u8::from(place / size == place % size))
}
