use std::sync::Arc;

use super::super::method_function::FoldedValue;
use super::super::prompts::{Linear, Part, wide};
use crate::CompilerError;
use crate::finetuning::Layer;
use crate::graph::{Attribute, Constant, Graph, ValueId};

/// What makes all keys and values of a prefix of trained vectors: linear, tanh, linear.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct PrefixEncoder {
    /// Vectors.
    pub(in super::super) length: usize,
    /// Numbers of each.
    pub(in super::super) width: usize,
    /// Numbers between the layers.
    pub(in super::super) hidden: usize,
    /// Numbers of all keys and values together.
    pub(in super::super) made: usize,
}

fn named(part: &str) -> String {
    format!("prefix_encoder.{part}")
}

impl PrefixEncoder {
    /// Its weights in order.
    fn parts(&self) -> Vec<Part> {
        let Self { length, width, hidden, made } = *self;
        let part = |module: &str, name, shape, bound| Part { module: named(module), name, shape, bound };
        vec![
            part("embedding", "weight", vec![length, width], None),
            part("transform.0", "weight", vec![width, hidden], Part::one_over_root(width)),
            part("transform.0", "bias", vec![hidden], Part::one_over_root(width)),
            part("transform.2", "weight", vec![hidden, made], Part::one_over_root(hidden)),
            part("transform.2", "bias", vec![made], Part::one_over_root(hidden)),
        ]
    }

    /// How many numbers it has.
    pub(in super::super) fn numbers(&self) -> usize {
        Part::numbers(&self.parts())
    }

    /// Adds its weights, and in front of everything the nodes that make `[length, made]` of them.
    pub(in super::super) fn add(&self, graph: &mut Graph, seed: u64) -> Result<(Vec<ValueId>, ValueId), CompilerError> {
        let own = Part::draw(self.parts(), graph, seed);
        let all = graph.in_front_of(0, |graph| {
            let product = graph.append("MatMul", &[own[0], own[1]], &[], &named("transform.0.product"))?;
            let sum = graph.append("Add", &[product, own[2]], &[], &named("transform.0.output"))?;
            let bent = graph.append("Tanh", &[sum], &[], &named("transform.1.output"))?;
            let product = graph.append("MatMul", &[bent, own[3]], &[], &named("transform.2.product"))?;
            graph.append("Add", &[product, own[4]], &[], &named("output"))
        })?;
        Ok((own, all))
    }

    /// Its layers in a graph, all beside a layer of the model.
    pub(in super::super) fn layers(&self, graph: &Graph, own: &[ValueId], beside: &str) -> Vec<Layer> {
        Part::layers(self.parts(), graph, own, beside)
    }

    /// What it makes as a constant of the merged model.
    pub(in super::super) fn folded(self, own: &[ValueId], all: ValueId) -> FoldedValue {
        let rule = Arc::new(move |own: &[&Constant]| self.made_of(own));
        FoldedValue { value: all, trained: own.to_vec(), rule }
    }

    /// Computed once, in 64-bit floats.
    fn made_of(self, own: &[&Constant]) -> Constant {
        let mut own = own.iter().map(|constant| constant.to_f32().expect("what is trained are 32-bit floats"));
        let mut next = || own.next().expect("there are as many as `parts` says");
        let embedding = next();
        let bend = Linear { weight: next(), bias: next(), made: self.hidden };
        let last = Linear { weight: next(), bias: next(), made: self.made };
        let values = embedding.chunks(self.width).flat_map(|row| {
            let bent: Vec<f64> = bend.of(&wide(row)).into_iter().map(f64::tanh).collect();
            last.of(&bent)
        });
        let values: Vec<f32> = values.map(|value| value as f32).collect();
        Constant::f32([self.length, self.made], &values)
    }
}

/// A part of what an encoder makes, the numbers from `start` on, as `[heads, …]`: keys with the length last, values with it before
/// their numbers. `at`: behind which nodes.
pub(super) fn keys_or_values_of(
    graph: &mut Graph,
    (all, start): (ValueId, usize),
    [heads, size]: [usize; 2],
    are_keys: bool,
    (at, name): (usize, &str),
) -> Result<ValueId, CompilerError> {
    let numbers = |graph: &mut Graph, values: &[i64]| {
        graph.named_constant(&format!("{name}.place"), Constant::i64([values.len()], values))
    };
    let [from, until, axis] = [start as i64, (start + heads * size) as i64, 1].map(|number| numbers(graph, &[number]));
    let shape = numbers(graph, &[-1, heads as i64, size as i64]);
    let order: Attribute = if are_keys { vec![1, 2, 0].into() } else { vec![1, 0, 2].into() };
    graph.in_front_of(at, |graph| {
        let own = graph.append("Slice", &[all, from, until, axis], &[], &format!("{name}.flat"))?;
        let own = graph.append("Reshape", &[own, shape], &[], &format!("{name}.of_heads"))?;
        graph.append("Transpose", &[own], &[("perm", order)], name)
    })
}
