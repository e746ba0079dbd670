//! Convolutions whose kernel is larger than what they make, as products of matrices: as such cuDNN has none that is fast. The
//! gradient of the weights of a first layer is one, whose kernel is a gradient of the layer's whole result.

use crate::CompilerError;
use crate::graph::{ElementType, Graph, Node, ValueId};

/// So many numbers of the gathered input are made at most; what would need more stays a convolution.
const MOST_GATHERED: usize = 1 << 28;

/// Writes each such convolution as one product: for each place of what is made, the part of the input that the kernel lies on.
///
/// # Errors
/// None that a graph whose types are stated could cause.
pub(crate) fn large_kernels_as_products(graph: &mut Graph) -> Result<(), CompilerError> {
    graph.replace_each(Convolution::of, |graph, _, convolution| convolution.write(graph).map(|made| vec![made]))
}

/// A convolution over two axes in one group, without bias.
struct Convolution {
    input: ValueId,
    kernel: ValueId,
    rows: usize,
    /// Of the kernel: what it makes, what it reads, height and width.
    shape: [usize; 4],
    /// Height and width of what is made.
    made: [usize; 2],
    strides: [i64; 2],
    dilations: [i64; 2],
    /// Above, left, below, right.
    pads: [usize; 4],
}

impl Convolution {
    fn of(graph: &Graph, node: &Node) -> Option<Self> {
        if !node.is("Conv") || node.input(2).is_some() || node.int("group").unwrap_or(1) != 1 {
            return None;
        }
        if node.string("auto_pad").unwrap_or("NOTSET") != "NOTSET" {
            return None;
        }
        let (input, kernel) = (node.input(0)?, node.input(1)?);
        let fixed = |value: ValueId| <[usize; 4]>::try_from(graph.tensor_type(value)?.fixed_shape()?).ok();
        let ([rows, ..], shape) = (fixed(input)?, fixed(kernel)?);
        let [.., height, width] = fixed(node.outputs.first().copied().flatten()?)?;
        let [_, read, kernel_height, kernel_width] = shape;
        let lengths = [rows, height, width, read, kernel_height, kernel_width];
        let gathered = lengths.into_iter().try_fold(1_usize, usize::checked_mul)?;
        let is_small = kernel_height.saturating_mul(kernel_width) <= height.saturating_mul(width).saturating_mul(4);
        if is_small || gathered > MOST_GATHERED {
            return None;
        }
        let two = |name: &str| node.ints(name).map_or(Some([1, 1]), |given| given.try_into().ok());
        let pads = node.ints("pads").unwrap_or(&[0; 4]).iter().map(|pad| usize::try_from(*pad).ok());
        let pads: [usize; 4] = pads.collect::<Option<Vec<usize>>>()?.try_into().ok()?;
        let found = Self {
            input,
            kernel,
            rows,
            shape,
            made: [height, width],
            strides: two("strides")?,
            dilations: two("dilations")?,
            pads,
        };
        (found.pads == [0; 4] || found.unpadded(graph).is_some()).then_some(found)
    }

    /// What is padded, and the type that it is cast to then: CUDA pads no bfloat16.
    fn unpadded(&self, graph: &Graph) -> Option<(ValueId, Option<ElementType>)> {
        let dtype = graph.tensor_type(self.input)?.dtype;
        if dtype != ElementType::Bf16 {
            return Some((self.input, None));
        }
        let cast = graph.producer(self.input).filter(|node| node.is("Cast"))?.input(0)?;
        (graph.tensor_type(cast)?.dtype == ElementType::F32).then_some((cast, Some(dtype)))
    }

    fn write(&self, graph: &mut Graph) -> Result<ValueId, CompilerError> {
        let [made, read, height, width] = self.shape;
        let mut input = self.input;
        if let (true, Some((value, dtype))) = (self.pads != [0; 4], self.unpadded(graph)) {
            let [above, left, below, right] = self.pads;
            input = graph.pad(value, &[0, 0, above, left], &[0, 0, below, right])?;
            if let Some(dtype) = dtype {
                input = graph.cast(input, dtype)?;
            }
        }
        let mut parts = Vec::with_capacity(self.made[0] * self.made[1]);
        for row in 0..self.made[0] {
            for column in 0..self.made[1] {
                let from = [row as i64 * self.strides[0], column as i64 * self.strides[1]].map(|from| from as usize);
                let part = graph.part(input, &[2, 3], &from, &[height, width], &self.dilations)?;
                parts.push(graph.reshape(part, &[self.rows, read * height * width])?);
            }
        }
        let places = parts.len();
        let gathered = graph.concat(&parts, 0)?;
        let kernel = graph.reshape(self.kernel, &[made, read * height * width])?;
        let kernel = graph.transpose(kernel, &[1, 0])?;
        let product = graph.add("MatMul", &[gathered, kernel], &[])?;
        let product = graph.reshape(product, &[places, self.rows, made])?;
        let product = graph.transpose(product, &[1, 2, 0])?;
        graph.reshape(product, &[self.rows, made, self.made[0], self.made[1]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Attribute, TensorType};
    use crate::operators::OperatorCatalog;

    fn operators(input: [usize; 4], kernel: [usize; 4], pads: [i64; 4], dtype: ElementType) -> Vec<String> {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32(input));
        let x = graph.cast(x, dtype).unwrap();
        let w = graph.input("w", TensorType { dtype, ..TensorType::f32(kernel) });
        let attributes = [("pads", Attribute::Ints(pads.to_vec())), ("dilations", vec![2, 2].into())];
        let made = graph.add("Conv", &[x, w], &attributes).unwrap();
        graph.set_outputs(&[made]);
        let (name, wanted) = (graph.name(made).to_owned(), graph.known_type(made).unwrap().clone());
        large_kernels_as_products(&mut graph).unwrap();
        let made = graph.outputs()[0];
        assert_eq!((graph.name(made), graph.known_type(made).unwrap()), (name.as_str(), &wanted));
        let mut operators: Vec<String> = graph.live_nodes().iter().map(|node| node.operator.clone()).collect();
        operators.dedup();
        operators
    }

    #[test]
    fn a_kernel_larger_than_what_it_makes_is_a_product() {
        let tail = ["Concat", "Reshape", "Transpose", "MatMul", "Reshape", "Transpose", "Reshape"];
        let f32 = operators([3, 2, 12, 12], [4, 2, 6, 6], [0; 4], ElementType::F32);
        assert_eq!(f32[f32.len() - 7..], tail);
        let bf16 = operators([3, 2, 11, 11], [4, 2, 6, 6], [1, 0, 1, 1], ElementType::Bf16);
        assert_eq!(bf16[..2], ["Pad", "Cast"]);
        assert_eq!(bf16[bf16.len() - 7..], tail);
        // an ordinary one
        assert_eq!(operators([3, 2, 12, 12], [4, 2, 3, 3], [0; 4], ElementType::F32), ["Cast", "Conv"]);
    }
}
