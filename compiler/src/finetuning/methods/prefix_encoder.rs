use std::sync::Arc;

use super::method_function::FoldedValue;
use crate::CompilerError;
use crate::finetuning::{Layer, Weight};
use crate::graph::{Attribute, Constant, Graph, Node, ValueId};
use crate::initializers::WeightRandom;

/// What makes all keys and values of a prefix of trained vectors: linear, tanh, linear.
#[derive(Clone, Copy, Debug)]
pub(super) struct PrefixEncoder {
    /// Vectors.
    pub(super) length: usize,
    /// Numbers of each.
    pub(super) width: usize,
    /// Numbers between the layers.
    pub(super) hidden: usize,
    /// Numbers of all keys and values together.
    pub(super) made: usize,
}

impl PrefixEncoder {
    /// Module, name, shape and bound of each weight in order; normal with a standard deviation of 1 where there is no bound.
    fn parts(&self) -> [(&'static str, &'static str, Vec<usize>, Option<f64>); 5] {
        let Self { length, width, hidden, made } = *self;
        let bound = |inputs: usize| Some(1.0 / (inputs.max(1) as f64).sqrt());
        [
            ("embedding", "weight", vec![length, width], None),
            ("transform.0", "weight", vec![width, hidden], bound(width)),
            ("transform.0", "bias", vec![hidden], bound(width)),
            ("transform.2", "weight", vec![hidden, made], bound(hidden)),
            ("transform.2", "bias", vec![made], bound(hidden)),
        ]
    }

    /// How many numbers it has.
    pub(super) fn numbers(&self) -> usize {
        let of = |shape: &[usize]| shape.iter().fold(1, |product: usize, length| product.saturating_mul(*length));
        self.parts().iter().map(|(_, _, shape, _)| of(shape)).fold(0, usize::saturating_add)
    }

    /// Adds its weights, and in front of everything the nodes that make `[length, made]` of them.
    pub(super) fn add(&self, graph: &mut Graph, seed: u64) -> Result<(Vec<ValueId>, ValueId), CompilerError> {
        let named = |part: &str| format!("prefix_encoder.{part}");
        let own: Vec<ValueId> = self
            .parts()
            .into_iter()
            .map(|(module, part, shape, bound)| {
                let name = graph.free_name(&named(&format!("{module}.{part}")));
                let (count, mut random) = (shape.iter().product(), WeightRandom::new(seed, &name));
                let values = match bound {
                    Some(bound) => random.uniforms(count, bound),
                    None => random.normals(count, 1.0),
                };
                graph.constant(&name, Constant::f32(shape, &values))
            })
            .collect();
        let all = graph.in_front_of(0, |graph| {
            let product = graph.append("MatMul", &[own[0], own[1]], &[], &named("transform.0.product"))?;
            let sum = graph.append("Add", &[product, own[2]], &[], &named("transform.0.output"))?;
            let bent = graph.append("Tanh", &[sum], &[], &named("transform.1.output"))?;
            let product = graph.append("MatMul", &[bent, own[3]], &[], &named("transform.2.product"))?;
            graph.append("Add", &[product, own[4]], &[], &named("output"))
        })?;
        Ok((own, all))
    }

    /// A part of what it makes, the numbers from `start` on, as `[heads, …]`: keys with the length last, values with it before
    /// their numbers. `at`: behind which nodes.
    pub(super) fn part(
        graph: &mut Graph,
        (all, start): (ValueId, usize),
        [heads, size]: [usize; 2],
        are_keys: bool,
        (at, name): (usize, &str),
    ) -> Result<ValueId, CompilerError> {
        let numbers = |graph: &mut Graph, values: &[i64]| {
            graph.named_constant(&format!("{name}.place"), Constant::i64([values.len()], values))
        };
        let [from, until, axis] =
            [start as i64, (start + heads * size) as i64, 1].map(|number| numbers(graph, &[number]));
        let shape = numbers(graph, &[-1, heads as i64, size as i64]);
        let order: Attribute = if are_keys { vec![1, 2, 0].into() } else { vec![1, 0, 2].into() };
        graph.in_front_of(at, |graph| {
            let own = graph.append("Slice", &[all, from, until, axis], &[], &format!("{name}.flat"))?;
            let own = graph.append("Reshape", &[own, shape], &[], &format!("{name}.of_heads"))?;
            graph.append("Transpose", &[own], &[("perm", order)], name)
        })
    }

    /// Its layers in a graph, all beside a layer of the model.
    pub(super) fn layers(&self, graph: &Graph, own: &[ValueId], beside: &str) -> Vec<Layer> {
        let mut layers: Vec<Layer> = Vec::new();
        for ((module, _, shape, _), value) in self.parts().into_iter().zip(own.iter().copied()) {
            let name = format!("prefix_encoder.{module}");
            let reads = |node: &Node| node.inputs.iter().position(|input| *input == Some(value));
            let reader = graph.nodes().iter().enumerate().find_map(|(at, node)| Some((at, reads(node)?)));
            let (node, input) = reader.unwrap_or_default();
            let weight = Weight { value, shape, node, input };
            match layers.last_mut().filter(|layer| layer.name == name) {
                Some(layer) => layer.weights.push(weight),
                None => layers.push(Layer {
                    name,
                    operator: graph.nodes().get(node).map_or_else(String::new, |node| node.operator.clone()),
                    weights: vec![weight],
                    learning_rate_multiplier: 1.0,
                    beside: Some(beside.to_owned()),
                }),
            }
        }
        layers
    }

    /// What it makes as a constant of the merged model.
    pub(super) fn folded(self, own: &[ValueId], all: ValueId) -> FoldedValue {
        let rule = Arc::new(move |own: &[&Constant]| self.made_of(own));
        FoldedValue { value: all, trained: own.to_vec(), rule }
    }

    /// Computed once, in 64-bit floats.
    fn made_of(self, own: &[&Constant]) -> Constant {
        let numbers: Vec<Vec<f64>> = own
            .iter()
            .map(|constant| {
                constant.to_f32().expect("what is trained are 32-bit floats").into_iter().map(f64::from).collect()
            })
            .collect();
        let linear = |row: &[f64], weight: &[f64], bias: &[f64]| {
            let mut made = bias.to_vec();
            for (value, weights) in row.iter().zip(weight.chunks(bias.len().max(1))) {
                made.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
            }
            made
        };
        let values = numbers[0].chunks(self.width.max(1)).flat_map(|row| {
            let bent: Vec<f64> = linear(row, &numbers[1], &numbers[2]).into_iter().map(f64::tanh).collect();
            linear(&bent, &numbers[3], &numbers[4])
        });
        let values: Vec<f32> = values.map(|value| value as f32).collect();
        Constant::f32([self.length, self.made], &values)
    }
}
