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

/// Root mean square of a block's numbers up to which the inverse of any block is found.
const LARGEST_SPREAD: f64 = 0.3;
/// What is left of the identity then.
const REST: f64 = 1e-6;
/// Steps that blocks of any size have: they take 1 − 1/200 below the precision of 32-bit floats.
const FEWEST_ITERATIONS: usize = 12;

/// Steps of Newton's iteration before the last, for blocks of `size`. With λ² ≤ ‖Q‖²/2 ≤ ([`LARGEST_SPREAD`]·size)²/2, what is left begins
/// as 1 − 1/(1 + λ²/2) at most, and each step squares it.
fn iterations(size: usize) -> usize {
    let half_of_largest = (LARGEST_SPREAD * size as f64).powi(2) / 4.0;
    let steps = ((1.0 + half_of_largest) * (1.0 / REST).ln()).log2().ceil();
    FEWEST_ITERATIONS.max(steps as usize)
}

/// R = (I − Q)·(I + Q)⁻¹ of skew blocks Q of `size`, whose rows and columns are the axes `axes`; `identity` is `[size, size]`. The inverse
/// is that of X ← X·(2I − (I + Q)·X), which begins as (I − Q)/(1 + ‖Q²‖/√8) by Frobenius's norm, since eigenvalues of a skew Q come in pairs
/// ±iλ with 2λ⁴ ≤ ‖Q²‖²: what is left of the product of both is squared each time. The gradient goes through the last step alone, in which
/// that of the inverse is whole.
pub(super) fn cayley(
    graph: &mut Graph,
    skew: ValueId,
    (identity, size, axes): (ValueId, usize, [i64; 2]),
    named: &dyn Fn(&str) -> String,
) -> Result<ValueId, CompilerError> {
    let [one, eighth, two] = [("one", 1.0), ("eighth", 0.125), ("two", 2.0)]
        .map(|(name, value)| graph.named_constant(&named(name), Constant::f32([], &[value])));
    let axes = graph.named_constant(&named("axes"), Constant::i64([2], &axes));
    let twice = graph.append("Mul", &[identity, two], &[], &named("twice"))?;
    let plus = graph.append("Add", &[skew, identity], &[], &named("plus"))?;
    let minus = graph.append("Sub", &[identity, skew], &[], &named("minus"))?;
    let square = graph.append("MatMul", &[skew, skew], &[], &named("square"))?;
    let squares = graph.append("Mul", &[square, square], &[], &named("squares"))?;
    let sum = graph.append("ReduceSum", &[squares, axes], &[("keepdims", 1.into())], &named("sum"))?;
    let part = graph.append("Mul", &[sum, eighth], &[], &named("part"))?;
    let norm = graph.append("Sqrt", &[part], &[], &named("norm"))?;
    let bound = graph.append("Add", &[norm, one], &[], &named("bound"))?;
    let mut inverse = graph.append("Div", &[minus, bound], &[], &named("guess"))?;
    let step = |graph: &mut Graph, inverse: ValueId| {
        let product = graph.append("MatMul", &[plus, inverse], &[], &named("product"))?;
        let rest = graph.append("Sub", &[twice, product], &[], &named("rest"))?;
        graph.append("MatMul", &[inverse, rest], &[], &named("inverse"))
    };
    for _ in 0..iterations(size) {
        inverse = step(graph, inverse)?;
    }
    graph.stop_gradient(inverse);
    inverse = step(graph, inverse)?;
    graph.append("MatMul", &[minus, inverse], &[], &named("rotations"))
}

/// (I − Q)·(I + Q)⁻¹ of one skew block, row by row.
pub(super) fn cayley_of(skew: &[f64], size: usize) -> Vec<f64> {
    let signed = |sign: f64| (0..size * size).map(|at| identity_at(at, size) + sign * skew[at]).collect::<Vec<f64>>();
    // both factors are functions of Q, so that their order is of no matter
    solved(signed(1.0), signed(-1.0), size)
}

/// A⁻¹·B by elimination, of an A whose symmetric part is the identity: no pivot is below 1 then.
fn solved(mut a: Vec<f64>, mut b: Vec<f64>, size: usize) -> Vec<f64> {
    for pivot in 0..size {
        let by = 1.0 / a[pivot * size + pivot];
        for column in 0..size {
            a[pivot * size + column] *= by;
            b[pivot * size + column] *= by;
        }
        for row in (0..size).filter(|row| *row != pivot) {
            let factor = a[row * size + pivot];
            for column in 0..size {
                a[row * size + column] -= factor * a[pivot * size + column];
                b[row * size + column] -= factor * b[pivot * size + column];
            }
        }
    }
    b
}
