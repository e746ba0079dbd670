//! Which values of a file lie in blocks of channels, and how many of their channels are the model's own: the others fill the last block.

use std::collections::HashMap;

use super::constant_of;
use super::onnx::{GraphProto, NodeProto, TensorProto};
use crate::CompilerError;
use crate::graph::{Constant, ElementType, OF_ONE_PROCESSOR, ONE_PROCESSOR, standard_domain};
use millstream_schemas::{Fingerprint, shown};

/// Operators of the domain.
pub(super) const OPERATORS: [&str; 8] = [
    "AveragePool",
    "Conv",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "MaxPool",
    "ReorderInput",
    "ReorderOutput",
    "Upsample",
];

/// What was turned back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChannelBlocks {
    /// Channels in a block.
    pub(super) length: usize,
    /// Whether the file says so; else it is that of the processor that reads it, as for ONNX Runtime.
    pub(super) is_stated: bool,
}

impl ChannelBlocks {
    /// The fingerprint of a model of which this was turned back: where the length is the processor's, weights are another model's on
    /// another processor, so that the length is a part of it.
    pub(super) fn fingerprint(self, of_file: Fingerprint) -> Fingerprint {
        if self.is_stated { of_file } else { Fingerprint::of(&(of_file, self.length)) }
    }

    /// What this means for whoever trains the file.
    pub(super) fn in_words(self) -> String {
        let length = self.length;
        let open = match self.is_stated {
            true => String::new(),
            false => format!(
                ", taken to be of {length} channels as on this processor, since its shapes allow others; written on another kind of \
                 processor, its weights are in the wrong order"
            ),
        };
        format!(
            "ONNX Runtime has optimized the file for one kind of processor ({ONE_PROCESSOR}), in blocks{open}; it is read, and exported \
             again, as standard operators"
        )
    }
}

/// Channels in a block: with AVX, and with AVX-512 or NEON.
const BLOCKS: [usize; 2] = [8, 16];
/// Only numbers of channels that are multiples of it are filled up where a convolution reads them.
const ALIGNMENT: usize = 4;
/// Operators of any domain that the optimizer leaves as they are on values in blocks: of one value, and of several.
const OF_ONE: [&str; 12] = [
    "Clip",
    "Elu",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "QuickGelu",
    "Relu",
    "Sigmoid",
    "Softplus",
    "Tanh",
];
const OF_SEVERAL: [&str; 3] = ["Add", "Mul", "Sum"];

/// Whether a node computes in blocks.
pub(super) fn is_blocked(node: &NodeProto) -> bool {
    node.domain() == ONE_PROCESSOR
}

/// A whole number among the attributes of a node.
pub(super) fn number(node: &NodeProto, name: &str) -> Option<i64> {
    node.attribute.iter().find(|attribute| attribute.name() == name)?.i
}

/// What is said of a node that is not as the optimizer writes it.
pub(super) fn refused(node: &NodeProto, why: &str) -> CompilerError {
    let name = if node.name().is_empty() { node.output.first().map_or("", String::as_str) } else { node.name() };
    CompilerError::unsupported(
        format!("node `{}` ({}), which {why},", shown(name), shown(node.op_type())),
        OF_ONE_PROCESSOR,
    )
}

/// A convolution in blocks.
pub(super) struct Convolution<'a> {
    pub(super) node: &'a NodeProto,
    pub(super) input: &'a str,
    pub(super) output: &'a str,
    pub(super) kernel: &'a str,
    pub(super) bias: Option<&'a str>,
    /// `[outputs, inputs of a group, height, width]`, the first and mostly the second filled up to whole blocks; none of them is 0.
    pub(super) shape: [usize; 4],
    values: Constant,
    bias_values: Option<Constant>,
    groups: usize,
    /// Whether its input is in blocks too.
    is_of_blocks: bool,
}

impl<'a> Convolution<'a> {
    fn of(
        node: &'a NodeProto,
        tensors: &HashMap<&'a str, &'a TensorProto>,
        values: &Values<'a>,
    ) -> Result<Self, CompilerError> {
        let (Some(input), Some(kernel), Some(output)) = (node.input.first(), node.input.get(1), node.output.first())
        else {
            return Err(refused(node, "reads or makes nothing"));
        };
        let floats = |name: &str| {
            let constant = constant_of(tensors.get(name)?).ok()?;
            (constant.dtype == ElementType::F32).then_some(constant)
        };
        let of_four = |constant: Constant| Some((<[usize; 4]>::try_from(constant.shape.as_slice()).ok()?, constant));
        let found = floats(kernel).and_then(of_four).filter(|(shape, _)| !shape.contains(&0));
        let Some((shape, constant)) = found else {
            return Err(refused(node, "has no kernel of floats with four axes in the file"));
        };
        let bias = node.input.get(2).map(String::as_str).filter(|name| !name.is_empty());
        let bias_values = bias.and_then(floats).filter(|constant| constant.shape == [shape[0]]);
        if bias.is_some() && bias_values.is_none() {
            return Err(refused(node, "has no bias of one number a channel in the file"));
        }
        let groups = usize::try_from(number(node, "group").unwrap_or(1)).unwrap_or(0);
        if groups == 0 || shape[0] % groups != 0 {
            return Err(refused(node, "has groups that do not divide its channels"));
        }
        let is_of_blocks = values.contains(input);
        Ok(Self { node, input, output, kernel, bias, shape, values: constant, bias_values, groups, is_of_blocks })
    }

    pub(super) fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.shape[0] && self.shape[1] == 1
    }

    /// Whether its kernel may have more inputs than the model.
    pub(super) fn has_padded_inputs(&self) -> bool {
        self.is_of_blocks && self.groups == 1
    }

    /// Inputs in a block of its kernel.
    fn inner(&self, block: usize) -> usize {
        if self.is_of_blocks && !self.is_depthwise() { block } else { 1 }
    }

    fn fits(&self, block: usize) -> bool {
        let [outputs, inputs, ..] = self.shape;
        let of_images = || self.groups == 1 && inputs < block;
        outputs % block == 0 && inputs % self.inner(block) == 0 && (self.is_of_blocks || of_images())
    }

    /// The first numbers of its bias.
    pub(super) fn bias_values(&self, channels: usize) -> Vec<f32> {
        self.bias_values.iter().flat_map(floats_of).take(channels).collect()
    }

    /// The numbers of the kernel as the file has them, `[O / block, I / inner, H, W, inner, block]`, each with its output, input and
    /// place in the window.
    fn each(&self, block: usize, mut take: impl FnMut([usize; 3], f32)) {
        let [outputs, inputs, height, width] = self.shape;
        let inner = self.inner(block);
        let mut stored = floats_of(&self.values);
        for output in (0..outputs).step_by(block) {
            for input in (0..inputs).step_by(inner) {
                for place in 0..height * width {
                    for input in input..input + inner {
                        for (output, value) in (output..output + block).zip(stored.by_ref()) {
                            take([output, input, place], value);
                        }
                    }
                }
            }
        }
    }

    /// The kernel `[O, I, H, W]`.
    pub(super) fn plain(&self, block: usize) -> Vec<f32> {
        let [outputs, inputs, height, width] = self.shape;
        let area = height * width;
        let mut plain = vec![0.0; outputs * inputs * area];
        self.each(block, |[output, input, place], value| plain[(output * inputs + input) * area + place] = value);
        plain
    }

    /// How many outputs and inputs there are up to the last for which the kernel has another number than 0.
    fn used(&self, block: usize) -> [usize; 2] {
        let mut used = [0, 0];
        self.each(block, |[output, input, _], value| {
            if value != 0.0 {
                used = [used[0].max(output + 1), used[1].max(input + 1)];
            }
        });
        used
    }

    fn used_of_bias(&self) -> usize {
        let numbers = self.bias_values.iter().flat_map(floats_of);
        numbers.enumerate().filter(|(_, value)| *value != 0.0).last().map_or(0, |(at, _)| at + 1)
    }
}

fn floats_of(constant: &Constant) -> impl Iterator<Item = f32> + '_ {
    constant.bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// Values in blocks; those of as many channels are in one class.
#[derive(Default)]
struct Values<'a> {
    classes: HashMap<&'a str, usize>,
    parents: Vec<usize>,
}

impl<'a> Values<'a> {
    fn contains(&self, name: &str) -> bool {
        self.classes.contains_key(name)
    }

    fn add(&mut self, name: &'a str) {
        self.classes.insert(name, self.parents.len());
        self.parents.push(self.parents.len());
    }

    fn class(&mut self, name: &str) -> Option<usize> {
        let mut class = *self.classes.get(name)?;
        while self.parents[class] != class {
            self.parents[class] = self.parents[self.parents[class]];
            class = self.parents[class];
        }
        Some(class)
    }

    /// Says that two values have as many channels; `None` where one of them is not in blocks.
    fn join(&mut self, one: &str, other: &str) -> Option<()> {
        let (one, other) = (self.class(one)?, self.class(other)?);
        self.parents[other] = one;
        Some(())
    }
}

/// What is known of the values of a class.
#[derive(Clone, Copy, Default)]
struct Channels {
    /// With those that fill the last block.
    padded: Option<usize>,
    /// As the file says it.
    stated: Option<usize>,
    /// Whether they fill their blocks.
    are_whole: bool,
}

/// The nodes of a file that compute in blocks.
pub(super) struct Analysis<'a> {
    pub(super) convolutions: Vec<Convolution<'a>>,
    /// Class of each value in blocks.
    classes: HashMap<&'a str, usize>,
    channels: Vec<Channels>,
    /// How many channels up to the last of which something is computed, for each class; known with the length of a block.
    used: Vec<usize>,
}

impl<'a> Analysis<'a> {
    /// # Errors
    /// A node is not as the optimizer writes it.
    pub(super) fn of(graph: &'a GraphProto) -> Result<Self, CompilerError> {
        let tensors: HashMap<&str, &TensorProto> =
            graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
        let mut values = Values::default();
        let (mut convolutions, mut left, mut joined) = (Vec::new(), Vec::new(), Vec::new());
        for node in &graph.node {
            if !is_blocked(node) {
                if through(node, &mut values)? {
                    joined.push(node);
                }
            } else if node.op_type() == "Conv" {
                let convolution = Convolution::of(node, &tensors, &values)?;
                convolved(&convolution, &mut values)?;
                convolutions.push(convolution);
            } else {
                left.extend(pooled(node, &mut values)?);
            }
        }
        if let Some(output) = graph.output.iter().find(|output| values.contains(output.name())) {
            let what = format!("output `{}`, which lies in blocks of channels,", shown(output.name()));
            return Err(CompilerError::unsupported(what, OF_ONE_PROCESSOR));
        }
        let names: Vec<&str> = values.classes.keys().copied().collect();
        let classes = names.into_iter().filter_map(|name| Some((name, values.class(name)?))).collect();
        let channels = vec![Channels::default(); values.parents.len()];
        let mut analysis = Self { convolutions, classes, channels, used: Vec::new() };
        analysis.count(&left, &joined)?;
        Ok(analysis)
    }

    fn count(&mut self, left: &[(&'a NodeProto, usize)], joined: &[&'a NodeProto]) -> Result<(), CompilerError> {
        let (classes, channels) = (&self.classes, &mut self.channels);
        for convolution in &self.convolutions {
            let [outputs, inputs, ..] = convolution.shape;
            let of_input = if convolution.is_depthwise() { outputs } else { inputs.saturating_mul(convolution.groups) };
            for (name, padded) in [(convolution.output, outputs), (convolution.input, of_input)] {
                let Some(class) = classes.get(name) else { continue };
                let known = &mut channels[*class];
                known.are_whole |= convolution.groups > 1 && !convolution.is_depthwise();
                if *known.padded.get_or_insert(padded) != padded {
                    return Err(refused(convolution.node, "has other channels than what is computed with it"));
                }
            }
        }
        for node in joined {
            let of_inputs: Vec<usize> =
                node.input.iter().filter_map(|name| classes.get(name.as_str()).copied()).collect();
            for class in &of_inputs {
                channels[*class].are_whole = true;
            }
            let sum: Option<usize> = of_inputs.iter().map(|class| channels[*class].padded).sum();
            let Some(class) = node.output.first().and_then(|name| classes.get(name.as_str())) else { continue };
            let known = &mut channels[*class];
            known.are_whole = true;
            if let Some(sum) = sum
                && *known.padded.get_or_insert(sum) != sum
            {
                return Err(refused(node, "joins other channels than are read of it"));
            }
        }
        for (node, stated) in left {
            let Some(class) = node.input.first().and_then(|name| classes.get(name.as_str())) else { continue };
            if *channels[*class].stated.get_or_insert(*stated) != *stated {
                return Err(refused(node, "has other channels than another node"));
            }
        }
        Ok(())
    }

    /// The length of the blocks. From here on it is known how many channels a value has.
    ///
    /// # Errors
    /// No length fits, or several do and that of the processor is none of them.
    pub(super) fn blocks(&mut self, of_processor: Option<usize>) -> Result<ChannelBlocks, CompilerError> {
        let fits = |block: &usize| self.fits(*block);
        let mut found: Vec<(usize, Vec<usize>)> =
            BLOCKS.into_iter().filter(fits).filter_map(|block| Some((block, self.used_channels(block)?))).collect();
        let is_stated = found.len() == 1;
        let at = if is_stated { Some(0) } else { found.iter().position(|(block, _)| Some(*block) == of_processor) };
        let Some(at) = at else {
            let why = match found.len() {
                0 => "that fit no block of 8 or of 16 channels",
                _ => "whose blocks may be of 8 or of 16 channels",
            };
            return Err(CompilerError::unsupported(
                format!("a file with nodes of {ONE_PROCESSOR} {why}"),
                OF_ONE_PROCESSOR,
            ));
        };
        let (length, used) = found.swap_remove(at);
        self.used = used;
        Ok(ChannelBlocks { length, is_stated })
    }

    fn fits(&self, block: usize) -> bool {
        let is_filled = |known: &Channels| match (known.padded, known.stated) {
            (Some(padded), _) if known.are_whole => {
                padded % block == 0 && known.stated.is_none_or(|stated| stated == padded)
            }
            (Some(padded), Some(stated)) => stated.checked_next_multiple_of(block) == Some(padded),
            _ => true,
        };
        self.convolutions.iter().all(|convolution| convolution.fits(block)) && self.channels.iter().all(is_filled)
    }

    /// For each class, how many channels there are up to the last of which something is computed; `None` where that is behind those that
    /// the file states: its numbers lie in another order.
    fn used_channels(&self, block: usize) -> Option<Vec<usize>> {
        let mut used = vec![0; self.channels.len()];
        // files may name one kernel any number of times
        let mut of_kernels: HashMap<(&str, usize), [usize; 2]> = HashMap::new();
        for convolution in &self.convolutions {
            let key = (convolution.kernel, convolution.inner(block));
            let [outputs, inputs] = *of_kernels.entry(key).or_insert_with(|| convolution.used(block));
            let outputs = outputs.max(convolution.used_of_bias());
            let of_input = if convolution.has_padded_inputs() { inputs } else { 0 };
            for (name, last) in [(convolution.output, outputs), (convolution.input, of_input)] {
                if let Some(class) = self.classes.get(name) {
                    used[*class] = last.max(used[*class]);
                }
            }
        }
        let fits = |(known, used): (&Channels, &usize)| known.stated.is_none_or(|stated| *used <= stated);
        self.channels.iter().zip(&used).all(fits).then_some(used)
    }

    /// Channels of a value without those that fill its last block; `None` of a value that is not in blocks, or that no convolution reads or
    /// makes.
    pub(super) fn channels(&self, name: &str, block: usize) -> Option<usize> {
        let class = *self.classes.get(name)?;
        let known = self.channels.get(class)?;
        let padded = known.padded?;
        if known.are_whole {
            return Some(padded);
        }
        let used = self.used.get(class).copied().unwrap_or(padded).next_multiple_of(ALIGNMENT);
        // an earlier block would not be there
        Some(known.stated.unwrap_or_else(|| used.max((padded + ALIGNMENT).saturating_sub(block)).min(padded)))
    }

    /// Names of the values in blocks.
    pub(super) fn blocked_values(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.classes.keys().copied()
    }
}

/// A node of another domain; whether it joins values in blocks along their channels.
fn through<'a>(node: &'a NodeProto, values: &mut Values<'a>) -> Result<bool, CompilerError> {
    let of_blocks: Vec<&String> = node.input.iter().filter(|name| values.contains(name)).collect();
    let Some(first) = of_blocks.first() else { return Ok(false) };
    let operator = node.op_type();
    let are_all = of_blocks.len() == node.input.len();
    let joins = standard_domain(node.domain()).is_empty() && operator == "Concat" && number(node, "axis") == Some(1);
    let is_of_one = OF_ONE.contains(&operator) && node.input.first() == Some(*first) && of_blocks.len() == 1;
    let takes = is_of_one || are_all && (joins || OF_SEVERAL.contains(&operator));
    let Some(output) = node.output.first().filter(|_| takes) else {
        return Err(refused(node, "reads blocks of channels"));
    };
    values.add(output);
    let others = of_blocks.iter().filter(|_| !joins);
    others.for_each(|name| {
        values.join(name, output);
    });
    Ok(joins)
}

fn convolved<'a>(convolution: &Convolution<'a>, values: &mut Values<'a>) -> Result<(), CompilerError> {
    values.add(convolution.output);
    if convolution.is_depthwise() && convolution.is_of_blocks {
        values.join(convolution.input, convolution.output);
    }
    match convolution.node.input.get(3).filter(|added| !added.is_empty()) {
        Some(added) if values.join(added, convolution.output).is_none() => {
            Err(refused(convolution.node, "adds what is not in blocks of channels"))
        }
        _ => Ok(()),
    }
}

/// A node of the domain that is no convolution; with how many channels a value goes on that it takes out of blocks.
fn pooled<'a>(node: &'a NodeProto, values: &mut Values<'a>) -> Result<Option<(&'a NodeProto, usize)>, CompilerError> {
    let (Some(input), Some(output)) = (node.input.first(), node.output.first()) else {
        return Err(refused(node, "reads or makes nothing"));
    };
    if !OPERATORS.contains(&node.op_type()) {
        return Err(refused(node, "is not known"));
    }
    let is_begin = node.op_type() == "ReorderInput";
    if values.contains(input) == is_begin {
        return Err(refused(node, if is_begin { "reads blocks of channels" } else { "reads no blocks of channels" }));
    }
    if node.op_type() == "ReorderOutput" {
        let channels = number(node, "channels").and_then(|channels| usize::try_from(channels).ok());
        return match channels {
            Some(channels) => Ok(Some((node, channels))),
            None => Err(refused(node, "does not say how many channels it makes")),
        };
    }
    values.add(output);
    if !is_begin {
        values.join(input, output);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_blocks_that_the_file_leaves_open_is_a_part_of_the_fingerprint() {
        let of_file = Fingerprint::of_bytes(b"file");
        let of = |length: usize, is_stated: bool| {
            ChannelBlocks { length, is_stated }.fingerprint(Fingerprint::of_bytes(b"file"))
        };
        assert_eq!([of(8, true), of(16, true)], [of_file.clone(), of_file.clone()]);
        assert_ne!(of(8, false), of(16, false));
        assert!(of(8, false) != of_file && of(16, false) != of_file);
    }
}
