//! What a program holds in memory.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::TrainingProgram;
use crate::CompilerError;
use crate::graph::{Graph, ValueId};
use crate::model_file::OnnxFile;

impl TrainingProgram {
    /// Bytes that computed values take in [`TrainingProgram::batch_statistics`]; 0 without.
    ///
    /// # Errors
    /// As [`TrainingProgram::activation_bytes`].
    pub fn statistics_bytes(&self, lengths: &BTreeMap<String, usize>) -> Result<u64, CompilerError> {
        self.statistics.as_ref().map_or(Ok(0), |graph| graph.activation_bytes(lengths))
    }

    /// Bytes that computed values take in the step and in the evaluation, without parameters and gradients. `lengths`: those of
    /// the axes that are named.
    ///
    /// # Errors
    /// A named axis has no length there.
    pub fn activation_bytes(&self, lengths: &BTreeMap<String, usize>) -> Result<[u64; 2], CompilerError> {
        Ok([self.step.activation_bytes(lengths)?, self.evaluation.activation_bytes(lengths)?])
    }

    /// Bytes of all constants that the program holds, each once: weights as they were before training, and what is made of them.
    pub fn constant_bytes(&self) -> u64 {
        let graphs = [&self.deployed, &self.merged, &self.step, &self.evaluation].into_iter().chain(&self.statistics);
        let constants = graphs.flat_map(|graph| {
            graph.constants().into_iter().filter_map(|value| graph.constant_of(value)).map(|constant| &constant.bytes)
        });
        let distinct: HashMap<usize, usize> = constants.map(|bytes| (bytes.as_ptr() as usize, bytes.len())).collect();
        distinct.into_values().map(|bytes| bytes as u64).sum()
    }

    /// What the runtime makes of constants when it opens the training step, and the evaluation: kernels that a network standardizes, for
    /// example.
    pub fn folded_bytes(&self) -> [FoldedBytes; 2] {
        [FoldedBytes::of(&self.step), FoldedBytes::of(&self.evaluation)]
    }

    /// Nodes of the model, of the training step and of the evaluation.
    pub fn node_counts(&self) -> [usize; 3] {
        [self.deployed.nodes().len(), self.step.live_nodes().len(), self.evaluation.live_nodes().len()]
    }

    /// Training step and evaluation with one node of each kind, as sessions take them that only ask whether there are kernels; nothing of one
    /// of which not all types are known.
    pub fn kinds_of_nodes(&self) -> [Option<OnnxFile>; 2] {
        let of = |graph: &Graph| OnnxFile::new(graph.one_of_each_kind()?.model_proto("kinds_of_nodes")).ok();
        [of(&self.step), of(&self.evaluation)]
    }

    /// Bytes of the largest kernel of a convolution that stays as it is in the training step; 0 without.
    pub fn largest_kernel_bytes(&self) -> u64 {
        let convolutions = self.step.live_nodes().into_iter().filter(|node| node.operator.contains("Conv"));
        let kernels = convolutions.filter_map(|node| self.step.constant_of(node.input(1)?));
        kernels.map(|kernel| kernel.bytes.len() as u64).max().unwrap_or(0)
    }
}

/// Bytes of what nodes make of constants alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoldedBytes {
    /// Of the constants that nothing else reads, which are gone afterwards.
    pub read: u64,
    /// Of all of it, which is there together while the graph is opened.
    pub made: u64,
    /// Of what other nodes read, which is kept.
    pub kept: u64,
}

impl FoldedBytes {
    fn of(graph: &Graph) -> Self {
        let bytes = |value: ValueId| {
            let known = graph.tensor_type(value).filter(|known| known.fits_a_machine());
            let elements = known.and_then(|known| known.elements().fixed()).unwrap_or(0);
            (elements * known.map_or(0, |known| known.dtype.bytes())) as u64
        };
        let (mut folded, mut kept, mut total) = (HashSet::new(), HashSet::new(), Self::default());
        let (mut sources, mut others) = (HashSet::new(), HashSet::new());
        for node in graph.live_nodes() {
            let is_given = |value: &ValueId| graph.constant_of(*value).is_some() || folded.contains(value);
            let mut read = node.inputs.iter().flatten();
            if node.bodies().next().is_none() && read.clone().next().is_some() && read.all(is_given) {
                let made = node.outputs.iter().flatten().copied().filter(|value| folded.insert(*value));
                total.made = made.map(bytes).fold(total.made, u64::saturating_add);
                sources.extend(node.inputs.iter().flatten().copied());
                continue;
            }
            others.extend(node.inputs.iter().flatten().copied());
            let read = node.inputs.iter().flatten().copied().filter(|value| folded.contains(value));
            total.kept = read.filter(|value| kept.insert(*value)).map(bytes).fold(total.kept, u64::saturating_add);
        }
        let gone = sources.difference(&others).filter_map(|value| graph.constant_of(*value));
        total.read = gone.map(|constant| constant.bytes.len() as u64).fold(0, u64::saturating_add);
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Constant, TensorType};
    use crate::operators::OperatorCatalog;

    #[test]
    fn what_is_made_of_constants_alone_is_counted_and_what_other_nodes_read_of_it_is_kept() {
        let mut graph = Graph::new(17, OperatorCatalog::standard());
        let x = graph.input("x", TensorType::f32([2, 8]));
        let weight = graph.constant("weight", Constant::f32([8, 8], &[1.0; 64]));
        let half = graph.scalar(0.5);
        let halved = graph.times(weight, half).unwrap();
        let standardized = graph.plus(halved, half).unwrap();
        let y = graph.add("MatMul", &[x, standardized], &[]).unwrap();
        let again = graph.add("MatMul", &[y, standardized], &[]).unwrap();
        graph.set_outputs(&[again]);
        assert_eq!(FoldedBytes::of(&graph), FoldedBytes { read: 64 * 4 + 4, made: 2 * 64 * 4, kept: 64 * 4 });
    }
}
