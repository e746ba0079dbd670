//! Transposed convolutions with strides, as convolutions without: cuDNN has kernels for them that add up in another order each time, for
//! some shapes alone, so that a run is not the same twice.

use crate::CompilerError;
use crate::graph::{ElementType, Graph, Length, Node, ValueId};

/// Writes each such transposed convolution in one group over axes of known lengths, as one convolution that makes all places of a stride
/// beside each other, as channels, and puts them in their order (the sub-pixel convolution of Shi et al. 2016, section 2.2). Places that a
/// kernel shorter than the stride leaves out are zeros. Kernels as long as a multiple of the stride, and shorter ones, take the same number
/// of products, others up to that of the next multiple. Those in groups, with dilations, `auto_pad` or a stated output stay.
///
/// # Errors
/// None that a graph whose types are stated could cause.
pub(crate) fn strided_transposes(graph: &mut Graph) -> Result<(), CompilerError> {
    graph.replace_each(Transposed::of, |graph, _, found| found.write(graph).map(|made| vec![made]))
}

/// Numbers are one for each spatial axis.
struct Transposed {
    input: ValueId,
    kernel: ValueId,
    bias: Option<ValueId>,
    rows: Length,
    /// Channels that it reads and makes.
    channels: [usize; 2],
    kernel_lengths: Vec<usize>,
    strides: Vec<usize>,
    lengths: Vec<usize>,
    /// What is cut in front of what all places would make.
    cut: Vec<usize>,
    made: Vec<usize>,
}

impl Transposed {
    fn of(graph: &Graph, node: &Node) -> Option<Self> {
        if !node.is("ConvTranspose") || node.int("group").unwrap_or(1) != 1 || node.ints("output_shape").is_some() {
            return None;
        }
        let has_pads = node.string("auto_pad").unwrap_or("NOTSET") == "NOTSET";
        if !has_pads || node.ints("dilations").is_some_and(|dilations| dilations.iter().any(|dilation| *dilation != 1))
        {
            return None;
        }
        let (input, kernel) = (node.input(0)?, node.input(1)?);
        let stated = graph.tensor_type(input)?;
        // CUDA pads no bfloat16
        if !matches!(stated.dtype, ElementType::F32 | ElementType::F16) {
            return None;
        }
        let spatial = |value: ValueId| -> Option<Vec<usize>> {
            graph.tensor_type(value)?.shape.get(2..)?.iter().map(Length::fixed).collect()
        };
        let kernel_shape = graph.tensor_type(kernel)?.fixed_shape()?;
        let [reads, makes, kernel_lengths @ ..] = kernel_shape.as_slice() else { return None };
        let (lengths, made) = (spatial(input)?, spatial(node.outputs.first().copied().flatten()?)?);
        let axes = kernel_lengths.len();
        let numbers = |name: &str, usual: i64, count: usize| -> Option<Vec<usize>> {
            let given = node.ints(name).map_or_else(|| vec![usual; count], <[i64]>::to_vec);
            let given: Option<Vec<usize>> = given.into_iter().map(|number| usize::try_from(number).ok()).collect();
            given.filter(|given| given.len() == count)
        };
        let strides = numbers("strides", 1, axes)?;
        let mut cut = numbers("pads", 0, 2 * axes)?;
        cut.truncate(axes);
        let has_lengths = strides.iter().chain(kernel_lengths).all(|length| *length > 0);
        let is_strided = strides.iter().any(|stride| *stride > 1);
        if !is_strided || !has_lengths || [lengths.len(), made.len()] != [axes, axes] {
            return None;
        }
        Some(Self {
            input,
            kernel,
            bias: node.input(2),
            rows: stated.shape[0].clone(),
            channels: [*reads, *makes],
            kernel_lengths: kernel_lengths.to_vec(),
            strides,
            lengths,
            cut,
            made,
        })
    }

    fn write(&self, graph: &mut Graph) -> Result<ValueId, CompilerError> {
        let axes = self.strides.len();
        let taps: Vec<usize> =
            self.kernel_lengths.iter().zip(&self.strides).map(|(length, stride)| length.div_ceil(*stride)).collect();
        let phases = self.phases();
        let kernel = self.kernel_of_phases(graph, &taps, &phases)?;
        let (mut pads, mut places) = (Vec::new(), Vec::new());
        for (axis, taps) in taps.into_iter().enumerate() {
            let whole = self.lengths[axis] + taps - 1;
            let wanted = (self.cut[axis] + self.made[axis]).div_ceil(self.strides[axis]).max(whole);
            pads.push((taps - 1, taps - 1 + wanted - whole));
            places.push(wanted);
        }
        let before = pads.iter().map(|(before, _)| *before as i64);
        let pads: Vec<i64> = before.chain(pads.iter().map(|(_, after)| *after as i64)).collect();
        let made = graph.add("Conv", &[self.input, kernel], &[("pads", pads.into())])?;
        // [rows, channels, phases …, places …] to [rows, channels, places, phases, …]
        let [_, makes] = self.channels;
        let ahead = [self.rows.clone(), makes.into()];
        let numbers = |lengths: &[usize]| lengths.iter().map(|length| Length::from(*length)).collect::<Vec<Length>>();
        let made = graph.reshape(made, &[&ahead[..], &numbers(&phases), &numbers(&places)].concat())?;
        let pairs = (0..axes).flat_map(|axis| [2 + axes + axis, 2 + axis]);
        let order: Vec<i64> = [0, 1].into_iter().chain(pairs).map(|axis| axis as i64).collect();
        let made = graph.transpose(made, &order)?;
        let left_out = (0..axes).flat_map(|axis| [0, self.strides[axis] - phases[axis]]);
        let left_out: Vec<usize> = [0, 0].into_iter().chain(left_out).collect();
        let made = graph.pad(made, &vec![0; left_out.len()], &left_out)?;
        let all: Vec<usize> = places.iter().zip(&self.strides).map(|(places, stride)| places * stride).collect();
        let mut made = graph.reshape(made, &[&ahead[..], &numbers(&all)].concat())?;
        if all != self.made {
            let own: Vec<i64> = (2..2 + axes as i64).collect();
            made = graph.part(made, &own, &self.cut, &self.made, &vec![1; axes])?;
        }
        let Some(bias) = self.bias else { return Ok(made) };
        let shape: Vec<usize> = [1, makes].into_iter().chain(vec![1; axes]).collect();
        let bias = graph.reshape(bias, &shape)?;
        graph.plus(made, bias)
    }

    /// Places of a stride that the kernel reaches, on each axis.
    fn phases(&self) -> Vec<usize> {
        self.strides.iter().zip(&self.kernel_lengths).map(|(stride, length)| *stride.min(length)).collect()
    }

    /// The kernel `[read, made, length …]` as that of a convolution which makes each of a stride's places as a channel,
    /// `[made · phases …, read, taps …]`: at each place of a stride lie the taps that meet it, backwards.
    fn kernel_of_phases(&self, graph: &mut Graph, taps: &[usize], phases: &[usize]) -> Result<ValueId, CompilerError> {
        let axes = taps.len();
        let [reads, makes] = self.channels;
        let missing = (0..axes).map(|axis| taps[axis] * phases[axis] - self.kernel_lengths[axis]);
        let missing: Vec<usize> = [0, 0].into_iter().chain(missing).collect();
        let kernel = graph.pad(self.kernel, &vec![0; axes + 2], &missing)?;
        let parts = taps.iter().zip(phases).flat_map(|(taps, phases)| [*taps, *phases]);
        let parts: Vec<usize> = [reads, makes].into_iter().chain(parts).collect();
        let kernel = graph.reshape(kernel, &parts)?;
        let of_phases = (0..axes).map(|axis| 3 + 2 * axis);
        let order = [1].into_iter().chain(of_phases).chain([0]).chain((0..axes).map(|axis| 2 + 2 * axis));
        let order: Vec<i64> = order.map(|axis| axis as i64).collect();
        let kernel = graph.transpose(kernel, &order)?;
        let (phases, count): (usize, usize) = (phases.iter().product(), taps.iter().product());
        let mut kernel = graph.reshape(kernel, &[makes * phases, reads, count])?;
        if count > 1 {
            let backwards: Vec<i64> = (0..count as i64).rev().collect();
            let backwards = graph.integers(&backwards);
            kernel = graph.add("Gather", &[kernel, backwards], &[("axis", 2.into())])?;
        }
        graph.reshape(kernel, &[&[makes * phases, reads], taps].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Attribute, TensorType};
    use crate::operators::OperatorCatalog;

    /// Operators of what a transposed convolution of `[rows, 2, 5, 4]` by kernels `[2, 3, …]` becomes.
    fn operators(kernel: [usize; 2], attributes: &[(&str, &[i64])], dtype: ElementType) -> Vec<String> {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let shape = vec![Length::named("rows"), 2.into(), 5.into(), 4.into()];
        let x = graph.input("x", TensorType { dtype, shape });
        let [height, width] = kernel;
        let w = graph.input("w", TensorType { dtype, ..TensorType::f32([2, 3, height, width]) });
        let attributes: Vec<(&str, Attribute)> =
            attributes.iter().map(|(name, numbers)| (*name, Attribute::Ints(numbers.to_vec()))).collect();
        let made = graph.add("ConvTranspose", &[x, w], &attributes).unwrap();
        graph.set_outputs(&[made]);
        let (name, wanted) = (graph.name(made).to_owned(), graph.known_type(made).unwrap().clone());
        strided_transposes(&mut graph).unwrap();
        let made = graph.outputs()[0];
        assert_eq!((graph.name(made), graph.known_type(made).unwrap()), (name.as_str(), &wanted));
        graph.live_nodes().iter().map(|node| node.operator.clone()).collect()
    }

    #[test]
    fn transposed_convolutions_with_strides_are_convolutions_without() {
        let strides: (&str, &[i64]) = ("strides", &[2, 2]);
        let written = operators([3, 3], &[strides, ("pads", &[1, 1, 1, 1])], ElementType::F32);
        let wanted = "Pad Reshape Transpose Reshape Gather Reshape Conv Reshape Transpose Reshape Slice";
        assert_eq!(written.join(" "), wanted);
        // nothing is filled up, cut, or turned round where the kernel is as long as the stride
        let short = operators([2, 2], &[strides], ElementType::F16);
        assert_eq!(short.join(" "), "Reshape Transpose Reshape Reshape Conv Reshape Transpose Reshape");
        let own = ["ConvTranspose"];
        assert_eq!(operators([3, 3], &[], ElementType::F32), own);
        assert_eq!(operators([3, 3], &[strides, ("dilations", &[2, 2])], ElementType::F32), own);
        assert_eq!(operators([3, 3], &[strides, ("output_shape", &[10, 8])], ElementType::F32), own);
        assert_eq!(operators([3, 3], &[strides], ElementType::Bf16), own);
    }

    #[test]
    fn transposed_convolutions_by_kernels_shorter_than_the_stride_are_convolutions_too() {
        let strides: (&str, &[i64]) = ("strides", &[2, 2]);
        // the places of each stride that the kernel leaves out are filled up, and what lies behind the last one is cut
        let wanted = "Reshape Transpose Reshape Reshape Conv Reshape Transpose Pad Reshape Slice";
        assert_eq!(operators([1, 1], &[strides], ElementType::F32).join(" "), wanted);
        let wanted = "Reshape Transpose Reshape Reshape Conv Reshape Transpose Pad Reshape";
        let padded: (&str, &[i64]) = ("output_padding", &[1, 1]);
        assert_eq!(operators([1, 1], &[strides, padded], ElementType::F32).join(" "), wanted);
    }
}
