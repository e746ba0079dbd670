//! Sums over axes as products with ones, as CUDA computes them fast and the same each time: what ONNX Runtime's kernels of
//! `ReduceSum` and `ReduceMean` take where runs are to be repeatable moves a tensor ten times as slowly.

use std::collections::HashMap;
use std::ops::Range;

use crate::CompilerError;
use crate::graph::{Constant, ElementType, Graph, Length, Node, ValueId, axes_input_since};

/// The vectors of ones are constants of the graph; sums over more stay.
const MOST_ONES: usize = 1 << 20;

/// Writes sums and means of 32-bit floats over the first axes, the last axes or both as matrix products. Those over lengths
/// that are open, and over all axes, stay. Where the session may use TF32, what is summed may be rounded to ten bits behind the point.
///
/// # Errors
/// None that a graph whose types are stated could cause.
pub(crate) fn sums_as_products(graph: &mut Graph) -> Result<(), CompilerError> {
    let mut ones = HashMap::new();
    graph.replace_each(Sum::of, |graph, _, sum| sum.write(graph, &mut ones).map(|made| vec![made]))
}

struct Sum {
    value: ValueId,
    shape: Vec<Length>,
    /// How many of the first and of the last axes are summed over.
    first: usize,
    last: usize,
    made: Vec<Length>,
    /// Whether it is a mean.
    is_mean: bool,
}

impl Sum {
    fn of(graph: &Graph, node: &Node) -> Option<Self> {
        let operator = ["ReduceSum", "ReduceMean"].into_iter().find(|operator| node.is(operator))?;
        let value = node.input(0)?;
        let known = graph.tensor_type(value).filter(|known| known.dtype == ElementType::F32)?;
        let rank = known.shape.len();
        let axes: Vec<i64> = if graph.opset >= axes_input_since(operator) {
            graph.integers_of(node.input(1)?)?.elements.iter().map(Length::as_number).collect::<Option<_>>()?
        } else {
            node.ints("axes")?.to_vec()
        };
        let mut is_summed = vec![false; rank];
        for axis in axes {
            let axis = if axis < 0 { axis + i64::try_from(rank).ok()? } else { axis };
            *is_summed.get_mut(usize::try_from(axis).ok()?)? = true;
        }
        let first = is_summed.iter().take_while(|summed| **summed).count();
        let last = is_summed.iter().rev().take_while(|summed| **summed).count();
        let all = is_summed.iter().filter(|summed| **summed).count();
        if first == rank || first + last != all || all == 0 {
            return None;
        }
        let made = graph.tensor_type(node.outputs.first().copied().flatten()?)?.shape.clone();
        let found = Self { value, shape: known.shape.clone(), first, last, made, is_mean: operator == "ReduceMean" };
        let counts = [found.count(0..first), found.count(rank - last..rank)];
        counts.into_iter().all(|count| count.is_some_and(|count| (1..=MOST_ONES).contains(&count))).then_some(found)
    }

    /// Elements along some axes.
    fn count(&self, axes: Range<usize>) -> Option<usize> {
        self.shape[axes].iter().try_fold(1_usize, |all, length| all.checked_mul(length.fixed()?))
    }

    fn write(&self, graph: &mut Graph, ones: &mut HashMap<(usize, bool), ValueId>) -> Result<ValueId, CompilerError> {
        let rank = self.shape.len();
        let kept = self.first..rank - self.last;
        let counts = [self.count(0..self.first), self.count(rank - self.last..rank)].map(|count| count.unwrap_or(1));
        // ones alone, which are exact in any precision that a product is computed in
        let mut vector = |graph: &mut Graph, count: usize, is_row: bool| {
            *ones.entry((count, is_row)).or_insert_with(|| {
                let shape = if is_row { [1, count] } else { [count, 1] };
                graph.named_constant("ones", Constant::f32(shape, &vec![1.0; count]))
            })
        };
        let mut value = self.value;
        if self.last > 0 {
            let rows = [&self.shape[..kept.end], &[Length::from(counts[1])]].concat();
            value = graph.reshape(value, &rows)?;
            let column = vector(graph, counts[1], false);
            value = graph.add("MatMul", &[value, column], &[])?;
        }
        if self.first > 0 {
            let rest: Length = self.shape[kept].iter().product();
            value = graph.reshape(value, &[Length::from(counts[0]), rest])?;
            let row = vector(graph, counts[0], true);
            value = graph.add("MatMul", &[row, value], &[])?;
        }
        if self.is_mean {
            let share = graph.scalar(1.0 / (counts[0] * counts[1]) as f32);
            value = graph.times(value, share)?;
        }
        graph.reshape(value, &self.made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::TensorType;
    use crate::operators::OperatorCatalog;

    fn operators(shape: &[Length], axes: &[i64], keep: bool, is_mean: bool) -> (String, Vec<Length>) {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32(shape.to_vec()));
        let sum = if is_mean { graph.reduce_mean(x, axes) } else { graph.reduce_sum(x, axes, keep) }.unwrap();
        let more = graph.add("Exp", &[sum], &[]).unwrap();
        graph.set_outputs(&[sum, more]);
        let name = graph.name(sum).to_owned();
        let wanted = graph.shape(sum).unwrap().to_vec();
        sums_as_products(&mut graph).unwrap();
        let made = graph.outputs()[0];
        assert_eq!((graph.name(made), graph.shape(made).unwrap()), (name.as_str(), wanted.as_slice()));
        let operators: Vec<&str> = graph.nodes().iter().map(|node| node.operator.as_str()).collect();
        (operators.join(" "), wanted)
    }

    #[test]
    fn sums_over_outer_axes_become_products_and_others_stay() {
        let fixed = |lengths: &[usize]| lengths.iter().map(Length::from).collect::<Vec<_>>();
        let of = |shape: &[Length], axes: &[i64], keep: bool| operators(shape, axes, keep, false).0;
        assert_eq!(of(&fixed(&[2, 3, 4]), &[-1], true), "MatMul Exp");
        assert_eq!(of(&fixed(&[2, 3, 4]), &[2], false), "MatMul Reshape Exp");
        assert_eq!(of(&fixed(&[2, 3, 4]), &[0, 1], false), "Reshape MatMul Reshape Exp");
        assert_eq!(of(&fixed(&[2, 3, 4, 5]), &[0, 2, 3], false), "Reshape MatMul Reshape MatMul Reshape Exp");
        let open = [Length::named("batch"), Length::named("sequence"), Length::from(4)];
        assert_eq!(of(&open, &[2], true), "MatMul Exp");
        assert_eq!(of(&open, &[0, 1], false), "ReduceSum Exp");
        assert_eq!(operators(&fixed(&[2, 3, 4]), &[-1], true, true).0, "MatMul Mul Exp");
        assert_eq!(of(&fixed(&[2, MOST_ONES + 1]), &[1], true), "ReduceSum Exp");
        assert_eq!(of(&fixed(&[2, 3]), &[0, 1], false), "ReduceSum Exp");
        assert_eq!(of(&fixed(&[2, 3, 4]), &[1], false), "ReduceSum Exp");
    }
}
