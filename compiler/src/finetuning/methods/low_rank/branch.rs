use super::super::linear_weight::{LinearMap, LinearWeight};
use super::{Factors, Magnitude};
use crate::CompilerError;
use crate::finetuning::dropout;
use crate::graph::{Attribute, Graph, Node, ValueId};

/// The nodes beside one reader of a weight.
pub(in super::super) struct Branch<'a> {
    pub(in super::super) factors: &'a Factors,
    pub(in super::super) a: ValueId,
    pub(in super::super) b: ValueId,
    /// What is added behind B, of a linear map.
    pub(in super::super) bias: Option<ValueId>,
    /// What the branch is multiplied by, unless that is one.
    pub(in super::super) scale: Option<ValueId>,
    pub(in super::super) magnitude: Option<Magnitude>,
    /// Share of what A reads that training leaves out.
    pub(in super::super) dropout: f32,
    /// Name of the layer.
    pub(in super::super) name: &'a str,
}

impl Branch<'_> {
    /// Adds s·A·B to what a linear map or a convolution, or a table of embeddings, makes of its input at the node `at`; returns
    /// the result of its `Dropout`, where it has one.
    pub(in super::super) fn add(&self, graph: &mut Graph, at: usize) -> Result<Option<ValueId>, CompilerError> {
        let node = LinearWeight::multiplying_at(graph, at).clone();
        let x = LinearWeight::float_input_at(graph, at).expect("what reads a weight reads an input beside it");
        let named = |part: &str| format!("{}.{part}", self.name);
        let mut dropped = None;
        graph.replace_result(at, &named("base_output"), |graph, own| {
            let reduced = self.reduced(graph, (&node, x), &named, &mut dropped)?;
            let scaled = match self.scale {
                Some(scale) => graph.append("Mul", &[reduced, scale], &[], &named("lora_A.scaled"))?,
                None => reduced,
            };
            let made = match &self.factors.map {
                LinearMap::Dense { .. } => graph.append("MatMul", &[scaled, self.b], &[], &named("lora_B.output"))?,
                LinearMap::Convolution { groups, .. } => {
                    let group = ("group", Attribute::Int(*groups as i64));
                    graph.append("Conv", &[scaled, self.b], &[group], &named("lora_B.output"))?
                }
            };
            let made = match (self.bias, self.scale) {
                (None, _) => made,
                (Some(bias), None) => graph.append("Add", &[made, bias], &[], &named("lora_B.with_bias"))?,
                (Some(bias), Some(scale)) => {
                    let bias = graph.append("Mul", &[bias, scale], &[], &named("lora_B.scaled_bias"))?;
                    graph.append("Add", &[made, bias], &[], &named("lora_B.with_bias"))?
                }
            };
            let sum = graph.append("Add", &[own, made], &[], &named("adapted_output"))?;
            match self.magnitude {
                Some(magnitude) => magnitude.apply(graph, &node, sum, &self.factors.map, &named),
                None => Ok(sum),
            }
        })?;
        Ok(dropped)
    }

    /// What A makes of the input.
    fn reduced(
        &self,
        graph: &mut Graph,
        (node, x): (&Node, ValueId),
        named: &dyn Fn(&str) -> String,
        dropped: &mut Option<ValueId>,
    ) -> Result<ValueId, CompilerError> {
        let mut drop = |graph: &mut Graph, x: ValueId| {
            if self.dropout == 0.0 {
                return Ok(x);
            }
            let kept = dropout::append(graph, x, self.dropout)?;
            *dropped = Some(kept);
            Ok::<ValueId, CompilerError>(kept)
        };
        if let (true, Some(rows)) = (node.is("Gather"), node.input(1)) {
            return graph.append("Gather", &[self.a, rows], &[], &named("lora_embedding_A.output"));
        }
        match &self.factors.map {
            LinearMap::Dense { .. } => {
                let is_turned = node.is("Gemm") && node.int("transA").unwrap_or(0) != 0;
                let x = if is_turned {
                    graph.append("Transpose", &[x], &[("perm", vec![1, 0].into())], &named("lora_input"))?
                } else {
                    x
                };
                let x = drop(graph, x)?;
                graph.append("MatMul", &[x, self.a], &[], &named("lora_A.output"))
            }
            LinearMap::Convolution { .. } => {
                let x = drop(graph, x)?;
                graph.append("Conv", &[x, self.a], &windows(node), &named("lora_A.output"))
            }
        }
    }
}

/// Where the windows of a convolution lie, and its groups.
fn windows(node: &Node) -> Vec<(&str, Attribute)> {
    node.attributes.iter().map(|(name, value)| (name.as_str(), value.clone())).collect()
}
