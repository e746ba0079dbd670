//! Gradients of convolutions as standard nodes. Which form is fast depends on the sizes: see the thresholds.

use std::collections::HashMap;
use std::ops::Range;

use super::windows::Window;
use crate::CompilerError;
use crate::graph::{Attribute, Constant, Graph, Length, ValueId};

type Emitted = Result<ValueId, CompilerError>;

/// Up to this many output positions an im2col matrix stays in the caches, and one product beats many.
const SMALL_MAP: usize = 196;
/// Below this, products with matrices of so few columns waste the machine: stems.
const FEW_CHANNELS: usize = 4;
/// Above this, one node a kernel element is too many.
const MANY_TAPS: usize = 64;
/// Columns of a map whose products are made at once.
const BLOCK: usize = 32;
/// Kernels with more rows than this need too many products.
const MANY_ROWS: usize = 16;
/// Numbers in a matrix that picks diagonals; wider strides or kernels take another form.
const MOST_DIAGONALS: usize = 1 << 18;

/// d loss / d kernel `[M, C/group, …kernel]` of a convolution of `x` `[N, C, …input]` whose output has the gradient
/// `dy` `[N, M, …output]`. Over axes of open length a form is taken that needs none.
pub(crate) fn weight_gradient(graph: &mut Graph, x: ValueId, dy: ValueId, window: &Window, group: usize) -> Emitted {
    let channels = [graph.shape(x)?[1].fixed(), graph.shape(dy)?[1].fixed()];
    let ([Some(channels), Some(outputs)], Some(output)) = (channels, window.fixed_output()) else {
        return by_product_per_tap(graph, x, dy, window, group);
    };
    let taps: usize = window.kernel.iter().product();
    let positions: usize = output.iter().product();
    // a sum of one product an image is written and read N times; turning the operands costs less when they are small
    let turn = if taps > 1 { positions <= SMALL_MAP } else { positions * (channels + outputs) <= channels * outputs };
    let depthwise = group == channels && outputs == group && window.rank() == 2;
    if depthwise && window.kernel[0] <= MANY_ROWS && diagonals_size(window, block_of(output[1])) <= MOST_DIAGONALS {
        by_row_products(graph, x, dy, window, &output)
    } else if group > 1 || taps > MANY_TAPS || (taps > 1 && channels <= FEW_CHANNELS) {
        by_transposed_operands(graph, x, dy, window, group)
    } else if turn {
        by_image_to_columns(graph, x, dy, window)
    } else {
        by_product_per_tap(graph, x, dy, window, 1)
    }
}

/// Depthwise over two axes. For each row of the kernel and each channel, all rows of `dy` times the rows of `x` below
/// them: `[W′, N · H′] · [N · H′, W]`. Of these sums the diagonals are wanted, which a constant matrix picks. That is more
/// arithmetic than needed, but a product of matrices runs many times as fast as one with a single row. Wide maps
/// are cut into blocks of columns, so that less is computed beside the diagonals.
fn by_row_products(graph: &mut Graph, x: ValueId, dy: ValueId, window: &Window, output: &[usize]) -> Emitted {
    let (columns, block) = (output[1], block_of(output[1]));
    let x = swap_first_two(graph, x)?;
    let x = window.padded(graph, x)?;
    let dy = swap_first_two(graph, dy)?;
    let (mut sum, mut picks) = (None, HashMap::new());
    for first in (0..columns).step_by(block) {
        let columns = first..columns.min(first + block);
        let pick = *picks.entry(columns.len()).or_insert_with(|| diagonals(graph, window, columns.len()));
        let part = rows_of_a_block(graph, x, dy, window, (output[0], columns), pick)?;
        sum = Some(match sum {
            Some(sum) => graph.plus(sum, part)?,
            None => part,
        });
    }
    Ok(sum.expect("a window has at least one column"))
}

/// Columns of a map that are multiplied at once: all, or blocks as equal as can be.
fn block_of(columns: usize) -> usize {
    columns.div_ceil(columns.div_ceil(BLOCK))
}

/// Columns of `x` below a block of so many columns of `dy`.
fn width_below(window: &Window, count: usize) -> usize {
    (count - 1) * window.strides[1] + window.extent(1)
}

fn diagonals_size(window: &Window, count: usize) -> usize {
    count.saturating_mul(width_below(window, count)).saturating_mul(window.kernel[1])
}

/// The matrix `[count · width, taps]` that picks, from the products of a block, the sums of each column of the kernel.
fn diagonals(graph: &mut Graph, window: &Window, count: usize) -> ValueId {
    let (taps, width) = (window.kernel[1], width_below(window, count));
    let mut diagonals = vec![0.0; count * width * taps];
    for column in 0..count {
        for tap in 0..taps {
            let below = column * window.strides[1] + tap * window.dilations[1];
            diagonals[(column * width + below) * taps + tap] = 1.0;
        }
    }
    graph.constant("diagonals", Constant::f32([count * width, taps], &diagonals))
}

/// What the given columns of `dy` add to the gradient; `x` `[C, N, H, W]` is padded, `dy` is `[C, N, H′, W′]`.
fn rows_of_a_block(
    graph: &mut Graph,
    x: ValueId,
    dy: ValueId,
    window: &Window,
    (rows, columns): (usize, Range<usize>),
    diagonals: ValueId,
) -> Emitted {
    let (channels, batch) = (graph.shape(x)?[0].clone(), graph.shape(x)?[1].clone());
    let (taps, count) = (window.kernel[1], columns.len());
    let stacked = batch * rows;
    let dy = cut(graph, dy, [(0, rows, 1), (columns.start, count, 1)])?;
    let dy = graph.reshape(dy, &[&channels, &stacked, &count.into()])?;
    let dy = graph.transpose(dy, &[0, 2, 1])?; // the runtime fuses it into the products
    let (stride, width) = (window.strides[1], width_below(window, count));
    let mut parts = vec![];
    for tap in 0..window.kernel[0] {
        let below = (tap * window.dilations[0], rows, window.strides[0]);
        let seen = cut(graph, x, [below, (columns.start * stride, width, 1)])?;
        let seen = graph.reshape(seen, &[&channels, &stacked, &width.into()])?;
        let product = graph.add("MatMul", &[dy, seen], &[])?;
        let product = graph.reshape(product, &[channels.clone(), (count * width).into()])?;
        let picked = graph.add("Gemm", &[product, diagonals], &[])?;
        parts.push(graph.reshape(picked, &[channels.clone(), 1.into(), 1.into(), taps.into()])?);
    }
    graph.concat(&parts, 2)
}

/// Start, count and step on the last two of four axes.
fn cut(graph: &mut Graph, value: ValueId, parts: [(usize, usize, usize); 2]) -> Emitted {
    let shape = graph.shape(value)?.to_vec();
    let (mut axes, mut starts, mut ends, mut steps) = (vec![], vec![], vec![], vec![]);
    for (axis, (start, count, step)) in [2, 3].into_iter().zip(parts) {
        if (start, step) != (0, 1) || shape[axis] != count {
            axes.push(axis as i64);
            starts.push(start);
            ends.push(start + (count - 1) * step + 1);
            steps.push(step as i64);
        }
    }
    if axes.is_empty() { Ok(value) } else { graph.slice(value, &axes, &starts, &ends, &steps) }
}

/// A convolution over the batch: `x` as `[C, N, …]`, `dy` as a kernel `[M, N, …]`, strides and dilations exchanged.
fn by_transposed_operands(graph: &mut Graph, x: ValueId, dy: ValueId, window: &Window, group: usize) -> Emitted {
    let shape = graph.shape(x)?.to_vec();
    let batch = &shape[0];
    let each = shape[1].quotient(&group.into());
    let data = if group == 1 {
        swap_first_two(graph, x)?
    } else {
        let split: Vec<Length> = [batch, &group.into(), &each].into_iter().chain(&shape[2..]).cloned().collect();
        let x = graph.reshape(x, &split)?;
        let order: Vec<i64> = [2, 1, 0].into_iter().chain(3..=shape.len() as i64).collect();
        let x = if each == 1 && *batch == 1 { x } else { graph.transpose(x, &order)? };
        let merged: Vec<Length> = [each, batch * group].iter().chain(&shape[2..]).cloned().collect();
        graph.reshape(x, &merged)?
    };
    let kernel = swap_first_two(graph, dy)?;
    let mut attributes = window.attributes(&window.dilations, &window.strides, &window.before, &window.after);
    attributes.push(("group", Attribute::Int(group as i64)));
    let mut result = graph.add("Conv", &[data, kernel], &attributes)?;
    // rows that the strides never reach make the result too long
    if graph.shape(result)?[2..] != window.kernel {
        let axes: Vec<i64> = (2..2 + window.rank() as i64).collect();
        result = graph.slice(result, &axes, &vec![0; axes.len()], &window.kernel, &vec![1; axes.len()])?;
    }
    swap_first_two(graph, result)
}

/// One matrix `[C · taps, N · positions]` of all windows, times `dy`.
fn by_image_to_columns(graph: &mut Graph, x: ValueId, dy: ValueId, window: &Window) -> Emitted {
    let (batch, channels) = (graph.shape(x)?[0].clone(), graph.shape(x)?[1].clone());
    let outputs = graph.shape(dy)?[1].clone();
    let columns = batch * window.output.iter().product::<Length>();
    let taps = window.taps();
    let x = swap_first_two(graph, x)?;
    let x = window.padded(graph, x)?;
    let mut rows = Vec::with_capacity(taps.len());
    for tap in &taps {
        let seen = window.seen_by(graph, x, tap)?;
        rows.push(graph.reshape(seen, &[&channels, &1.into(), &columns])?);
    }
    let windows = graph.concat(&rows, 1)?;
    let windows = graph.reshape(windows, &[&channels * taps.len(), columns.clone()])?;
    let dy = swap_first_two(graph, dy)?;
    let dy = graph.reshape(dy, &[&outputs, &columns])?;
    let product = graph.add("Gemm", &[dy, windows], &[("transB", 1.into())])?;
    graph.reshape(product, &kernel_shape(outputs, channels, window))
}

/// For each element of the kernel, a batched product of `dy` with what that element sees, in each group by itself.
fn by_product_per_tap(graph: &mut Graph, x: ValueId, dy: ValueId, window: &Window, group: usize) -> Emitted {
    let (batch, channels) = (graph.shape(x)?[0].clone(), graph.shape(x)?[1].clone());
    let outputs = graph.shape(dy)?[1].clone();
    let each = channels.quotient(&group.into());
    let positions: Length = window.output.iter().product();
    let grouped = |channels: &Length| match group {
        1 => vec![batch.clone(), channels.clone(), positions.clone()],
        _ => vec![batch.clone(), group.into(), channels.quotient(&group.into()), positions.clone()],
    };
    let last_two_swapped: &[i64] = if group == 1 { &[0, 2, 1] } else { &[0, 1, 3, 2] };
    let x = window.padded(graph, x)?;
    let dy = graph.reshape(dy, &grouped(&outputs))?;
    let mut parts = vec![];
    for tap in window.taps() {
        let seen = window.seen_by(graph, x, &tap)?;
        let seen = graph.reshape(seen, &grouped(&channels))?;
        let seen = graph.transpose(seen, last_two_swapped)?; // the runtime fuses it into the product
        let product = graph.add("MatMul", &[dy, seen], &[])?;
        let product = if batch == 1 { product } else { graph.reduce_sum(product, &[0], false)? };
        parts.push(graph.reshape(product, &[&outputs, &each, &1.into()])?);
    }
    let all = graph.concat(&parts, 2)?;
    graph.reshape(all, &kernel_shape(outputs, each, window))
}

fn kernel_shape(outputs: Length, channels: Length, window: &Window) -> Vec<Length> {
    [outputs, channels].into_iter().chain(window.kernel.iter().map(Length::from)).collect()
}

/// d loss / d `x` of a convolution with `kernel` `[M, C/group, …]` whose output has the gradient `dy`.
pub(crate) fn data_gradient(graph: &mut Graph, kernel: ValueId, dy: ValueId, window: &Window, group: usize) -> Emitted {
    let most = |axis: usize| window.extent(axis) - 1;
    let plain = (0..window.rank())
        .all(|axis| window.strides[axis] == 1 && window.before[axis] <= most(axis) && window.after[axis] <= most(axis));
    if !plain {
        return window.scatter(graph, dy, kernel, group);
    }
    let kernel = turned(graph, kernel, group)?;
    let rest = |pads: &[usize]| pads.iter().enumerate().map(|(axis, pad)| most(axis) - pad).collect::<Vec<usize>>();
    let mut attributes =
        window.attributes(&window.strides, &window.dilations, &rest(&window.before), &rest(&window.after));
    attributes.push(("group", Attribute::Int(group as i64)));
    graph.add("Conv", &[dy, kernel], &attributes)
}

/// `[M, C/group, …]` to `[C, M/group, …]`, each spatial axis reversed.
fn turned(graph: &mut Graph, kernel: ValueId, group: usize) -> Emitted {
    let shape = graph.shape(kernel)?.to_vec();
    let (outputs, inputs) = (shape[0].quotient(&group.into()), &shape[1]);
    let taps: Length = shape[2..].iter().product();
    let mut kernel = graph.reshape(kernel, &[&group.into(), &outputs, inputs, &taps])?;
    if outputs != 1 && *inputs != 1 {
        kernel = graph.transpose(kernel, &[0, 2, 1, 3])?;
    }
    if let Some(taps) = taps.fixed().filter(|taps| *taps > 1) {
        let backwards: Vec<i64> = (0..taps as i64).rev().collect();
        let backwards = graph.integers(&backwards);
        kernel = graph.add("Gather", &[kernel, backwards], &[("axis", 3.into())])?;
    }
    graph.reshape(kernel, &[&[inputs * group, outputs], &shape[2..]].concat())
}

/// d loss / d bias `[M]`.
pub(crate) fn bias_gradient(graph: &mut Graph, dy: ValueId) -> Emitted {
    let rank = graph.shape(dy)?.len() as i64;
    let axes: Vec<i64> = [0].into_iter().chain(2..rank).collect();
    graph.reduce_sum(dy, &axes, false)
}

fn swap_first_two(graph: &mut Graph, value: ValueId) -> Emitted {
    let shape = graph.shape(value)?.to_vec();
    if shape[0] == 1 || shape[1] == 1 {
        let swapped: Vec<Length> = [&shape[1], &shape[0]].into_iter().chain(&shape[2..]).cloned().collect();
        return graph.reshape(value, &swapped);
    }
    let order: Vec<i64> = [1, 0].into_iter().chain(2..shape.len() as i64).collect();
    graph.transpose(value, &order)
}
