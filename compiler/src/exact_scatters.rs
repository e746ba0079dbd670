//! Sums at indices in whole numbers, as CUDA makes them the same each time: its kernels of `ScatterElements` and `ScatterND`
//! add floats in the order in which threads come, and what is rounded depends on it. Whole numbers are not rounded.

use crate::CompilerError;
use crate::graph::{Attribute, Constant, ElementType, Graph, Length, Node, ValueId};

/// Where the number of updates is open, so many bits are left for it: at most 2^22 of them are added to one element.
const OPEN_BITS: u32 = 22;
/// Bits of the largest update, where that leaves room for all of them: 16 more than a float has.
const MOST_BITS: u32 = 40;
/// Where all updates are smaller than this, fewer of their bits count.
const LEAST_PEAK: f32 = 1e-25;

/// Writes sums of 32-bit floats at indices as sums of 64-bit integers: updates are scaled by the largest of them, and what is
/// added up is off by at most 2^-40 of it for each. Where an update is not finite, no element of what is made is.
///
/// # Errors
/// None that a graph whose types are stated could cause.
pub(crate) fn scatters_as_integers(graph: &mut Graph) -> Result<(), CompilerError> {
    graph.replace_each(Scatter::of, |graph, _, scatter| scatter.write(graph).map(|made| vec![made]))
}

struct Scatter {
    data: ValueId,
    indices: ValueId,
    updates: ValueId,
    shape: Vec<Length>,
    /// Of `ScatterElements`; `ScatterND` has none.
    axis: Option<i64>,
}

impl Scatter {
    fn of(graph: &Graph, node: &Node) -> Option<Self> {
        let is_elements = node.is("ScatterElements");
        if !(is_elements || node.is("ScatterND")) || node.string("reduction") != Some("add") {
            return None;
        }
        let (data, indices, updates) = (node.input(0)?, node.input(1)?, node.input(2)?);
        let known = graph.tensor_type(data).filter(|known| known.dtype == ElementType::F32)?;
        let depth = graph.tensor_type(indices)?.shape.last()?;
        if !is_elements && depth.fixed().is_none() {
            return None;
        }
        let axis = is_elements.then(|| node.int("axis").unwrap_or(0));
        Some(Self { data, indices, updates, shape: known.shape.clone(), axis })
    }

    fn write(&self, graph: &mut Graph) -> Result<ValueId, CompilerError> {
        let (shape, indices, updates, axis) = match self.axis {
            Some(axis) => (self.shape.clone(), self.indices, self.updates, axis),
            None => self.by_rows(graph)?,
        };
        let bits = MOST_BITS.min(62 - self.count_bits(graph, updates)?);
        let scale = 2_f32.powi(bits as i32);

        let sizes = graph.add("Abs", &[updates], &[])?;
        let peak = graph.add("ReduceMax", &[sizes], &[("keepdims", 0.into())])?;
        let least = graph.scalar(LEAST_PEAK);
        let peak = graph.add("Max", &[peak, least], &[])?;
        let whole = graph.scalar(scale);
        let factor = graph.divided_by(whole, peak)?;
        let ratios = graph.times(updates, factor)?;
        let scaled = graph.cast(ratios, ElementType::I64)?;
        let lengths = graph.lengths(&shape)?;
        let zero = Attribute::Tensor(Constant::i64([1], &[0]));
        let zeros = graph.add("ConstantOfShape", &[lengths], &[("value", zero)])?;
        let attributes = [("axis", axis.into()), ("reduction", "add".into())];
        let sums = graph.add("ScatterElements", &[zeros, indices, scaled], &attributes)?;
        let sums = graph.cast(sums, ElementType::F32)?;

        // a largest value need not show what is no number; a sum does, here of what is too small to overflow
        let total = graph.add("ReduceSum", &[ratios], &[("keepdims", 0.into())])?;
        let nothing = graph.scalar(0.0);
        let finite = graph.times(total, nothing)?;
        let unit = graph.scalar(scale.recip());
        let back = graph.times(peak, unit)?;
        let back = graph.plus(back, finite)?;
        let sums = graph.times(sums, back)?;
        let sums = graph.reshape(sums, &self.shape)?;
        if self.is_zero(graph) { Ok(sums) } else { graph.plus(self.data, sums) }
    }

    /// Bits that the number of updates takes.
    fn count_bits(&self, graph: &Graph, updates: ValueId) -> Result<u32, CompilerError> {
        let count = graph.known_type(updates)?.elements().fixed();
        Ok(count.map_or(OPEN_BITS, |count| usize::BITS - count.leading_zeros()))
    }

    fn is_zero(&self, graph: &Graph) -> bool {
        let made = graph.producer(self.data).filter(|node| node.is("ConstantOfShape"));
        made.is_some_and(|node| !node.attributes.contains_key("value"))
    }

    /// Of `ScatterND`: data as a matrix, for each of whose elements there is an index of its row. Shape, indices, updates, axis.
    fn by_rows(&self, graph: &mut Graph) -> Result<(Vec<Length>, ValueId, ValueId, i64), CompilerError> {
        let rows = graph.shape(self.indices)?.to_vec();
        let (depth, rows) = rows.split_last().map_or((0, &[][..]), |(depth, rows)| (depth.fixed().unwrap_or(0), rows));
        let count: Length = rows.iter().product();
        let width: Length = self.shape[depth..].iter().product();
        let indices = graph.reshape(self.indices, &[count.clone(), depth.into()])?;
        let indices = if depth == 1 { indices } else { self.row_numbers(graph, indices, &count, depth)? };
        let indices = graph.expand(indices, &[count.clone(), width.clone()])?;
        let updates = graph.reshape(self.updates, &[count, width.clone()])?;
        Ok((vec![self.shape[..depth].iter().product(), width], indices, updates, 0))
    }

    /// Places along several axes `[count, depth]` as places along all of them in one `[count, 1]`.
    fn row_numbers(
        &self,
        graph: &mut Graph,
        indices: ValueId,
        count: &Length,
        depth: usize,
    ) -> Result<ValueId, CompilerError> {
        let nothing = graph.integers(&[0]);
        let mut numbers = graph.constant("integers", Constant::i64([1, 1], &[0]));
        for axis in 0..depth {
            let place = graph.part(indices, &[1], &[axis.into()], &[Length::from(1)], &[1])?;
            let place = graph.reshape(place, &[count.clone(), 1.into()])?;
            let length = graph.lengths(&self.shape[axis..=axis])?;
            let from_end = graph.plus(place, length)?;
            let is_from_end = graph.add("Less", &[place, nothing], &[])?;
            let place = graph.add("Where", &[is_from_end, from_end, place], &[])?;
            let step: Length = self.shape[axis + 1..depth].iter().product();
            let step = graph.lengths(&[step])?;
            let step = graph.times(place, step)?;
            numbers = graph.plus(numbers, step)?;
        }
        Ok(numbers)
    }
}
