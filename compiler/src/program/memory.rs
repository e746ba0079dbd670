//! What a program holds in memory.

use std::collections::{BTreeMap, HashMap};

use super::{FoldedBytes, TrainingProgram};
use crate::CompilerError;
use crate::graph::Graph;
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
