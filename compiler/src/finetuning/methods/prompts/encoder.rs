use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::folded_encoder::{self, Linear, Recurrent};
use crate::CompilerError;
use crate::finetuning::{Layer, Weight};
use crate::graph::{Attribute, Constant, Graph, ValueId};
use crate::initializers::WeightRandom;

/// What makes virtual tokens of trained vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum EncoderKind {
    /// Three linear layers, max(0, x) between them.
    #[default]
    Mlp,
    /// Two LSTMs in both directions along the virtual tokens, then two linear layers with max(0, x) between them.
    Lstm,
}

/// An encoder of virtual tokens.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct PromptEncoder {
    /// What it is made of.
    pub(in super::super) kind: EncoderKind,
    /// Virtual tokens.
    pub(in super::super) length: usize,
    /// Numbers of each, of which the vectors in front of the encoder have as many.
    pub(in super::super) width: usize,
    /// Numbers between its layers; those of one direction of an LSTM.
    pub(in super::super) hidden: usize,
}

/// LSTMs above each other.
const RECURRENT_LAYERS: usize = 2;
/// Gates of an LSTM.
const GATES: usize = 4;

/// A weight of an encoder.
pub(in super::super) struct Part {
    /// The layer.
    pub(in super::super) module: String,
    /// Which of its weights.
    pub(in super::super) name: &'static str,
    /// Lengths of its axes.
    pub(in super::super) shape: Vec<usize>,
    /// Evenly in ±this; normal with a standard deviation of 1 where it is nothing.
    pub(in super::super) bound: Option<f64>,
}

impl Part {
    /// ±1/√inputs, as PyTorch draws those of linear layers.
    pub(in super::super) fn one_over_root(inputs: usize) -> Option<f64> {
        Some(1.0 / (inputs.max(1) as f64).sqrt())
    }

    /// How many numbers they have.
    pub(in super::super) fn numbers(parts: &[Self]) -> usize {
        let of = |part: &Self| part.shape.iter().fold(1, |product: usize, length| product.saturating_mul(*length));
        parts.iter().map(of).fold(0, usize::saturating_add)
    }

    /// Adds them, in order.
    pub(in super::super) fn draw(parts: Vec<Self>, graph: &mut Graph, seed: u64) -> Vec<ValueId> {
        let draw = |part: Self| {
            let name = graph.free_name(&format!("{}.{}", part.module, part.name));
            let (count, mut random) = (part.shape.iter().product(), WeightRandom::new(seed, &name));
            let values = match part.bound {
                Some(bound) => random.uniforms(count, bound),
                None => random.normals(count, 1.0),
            };
            graph.constant(&name, Constant::f32(part.shape, &values))
        };
        parts.into_iter().map(draw).collect()
    }

    /// Their layers in a graph where they are `own`, all beside a layer of the model.
    pub(in super::super) fn layers(parts: Vec<Self>, graph: &Graph, own: &[ValueId], beside: &str) -> Vec<Layer> {
        let mut layers: Vec<Layer> = Vec::new();
        for (part, value) in parts.into_iter().zip(own.iter().copied()) {
            let (weight, operator) = Weight::added(graph, value, part.shape);
            match layers.last_mut().filter(|layer| layer.name == part.module) {
                Some(layer) => layer.weights.push(weight),
                None => layers.push(Layer {
                    name: part.module,
                    operator,
                    weights: vec![weight],
                    learning_rate_multiplier: 1.0,
                    beside: Some(beside.to_owned()),
                }),
            }
        }
        layers
    }
}

impl PromptEncoder {
    /// The numbers that linear layers read and make, in order.
    fn linear(&self) -> Vec<[usize; 2]> {
        let Self { width, hidden, .. } = *self;
        match self.kind {
            EncoderKind::Mlp => vec![[width, hidden], [hidden, hidden], [hidden, width]],
            EncoderKind::Lstm => vec![[self.both_ways(); 2], [self.both_ways(), width]],
        }
    }

    /// Numbers of an LSTM in both directions; a size of any recipe is counted before it is refused.
    fn both_ways(&self) -> usize {
        self.hidden.saturating_mul(2)
    }

    /// The numbers that LSTMs read, in order.
    fn recurrent(&self) -> Vec<usize> {
        match self.kind {
            EncoderKind::Mlp => Vec::new(),
            EncoderKind::Lstm => {
                (0..RECURRENT_LAYERS).map(|at| if at == 0 { self.width } else { self.both_ways() }).collect()
            }
        }
    }

    /// How many numbers it has.
    pub(in super::super) fn numbers(&self) -> usize {
        Part::numbers(&self.parts())
    }

    /// Its weights in order, drawn as PyTorch draws those of such layers.
    fn parts(&self) -> Vec<Part> {
        let part = |module: String, name, shape: Vec<usize>, bound| {
            let module = format!("prompt_encoder.{module}");
            Part { module, name, shape, bound }
        };
        let mut parts = vec![part("embedding".into(), "weight", vec![self.length, self.width], None)];
        let hidden = self.hidden;
        for (at, read) in self.recurrent().into_iter().enumerate() {
            let (bound, gates) = (Part::one_over_root(hidden), hidden.saturating_mul(GATES));
            for (name, shape) in [
                ("weight", vec![2, gates, read]),
                ("recurrence", vec![2, gates, hidden]),
                ("bias", vec![2, gates.saturating_mul(2)]),
            ] {
                parts.push(part(format!("lstm_head.{at}"), name, shape, bound));
            }
        }
        for (at, [read, made]) in self.linear().into_iter().enumerate() {
            // activations are counted in between, as in PEFT's names
            let module = format!("mlp_head.{}", 2 * at);
            parts.push(part(module.clone(), "weight", vec![read, made], Part::one_over_root(read)));
            parts.push(part(module, "bias", vec![made], Part::one_over_root(read)));
        }
        parts
    }

    /// Adds its weights, in order.
    pub(in super::super) fn draw(&self, graph: &mut Graph, seed: u64) -> Vec<ValueId> {
        Part::draw(self.parts(), graph, seed)
    }

    /// The virtual tokens, `[length, width]`, under a name.
    pub(in super::super) fn nodes(
        &self,
        graph: &mut Graph,
        own: &[ValueId],
        name: &str,
    ) -> Result<ValueId, CompilerError> {
        let part = |part: &str| format!("prompt_encoder.{part}");
        let reshaped = |graph: &mut Graph, value: ValueId, shape: &[usize], name: &str| {
            let shape: Vec<i64> = shape.iter().map(|length| *length as i64).collect();
            let shape = graph.named_constant(&format!("{name}.shape"), Constant::i64([shape.len()], &shape));
            graph.append("Reshape", &[value, shape], &[], name)
        };
        let mut own = own.iter().copied();
        let mut next = || own.next().expect("there are as many as `parts` says");
        let mut value = next();
        let recurrent = self.recurrent();
        let attributes =
            [("hidden_size", (self.hidden as i64).into()), ("direction", Attribute::String("bidirectional".into()))];
        for (at, read) in recurrent.iter().enumerate() {
            let name = part(&format!("lstm_head.{at}"));
            let sequence = reshaped(graph, value, &[self.length, 1, *read], &format!("{name}.input"))?;
            value =
                graph.append("LSTM", &[sequence, next(), next(), next()], &attributes, &format!("{name}.output"))?;
        }
        if !recurrent.is_empty() {
            value = reshaped(graph, value, &[self.length, 2 * self.hidden], &part("lstm_head.output"))?;
        }
        let linear = self.linear();
        for at in 0..linear.len() {
            let module = part(&format!("mlp_head.{}", 2 * at));
            let product = graph.append("MatMul", &[value, next()], &[], &format!("{module}.product"))?;
            let is_last = at + 1 == linear.len();
            let made = if is_last { name.to_owned() } else { format!("{module}.output") };
            value = graph.append("Add", &[product, next()], &[], &made)?;
            if !is_last {
                value = graph.append("Relu", &[value], &[], &part(&format!("mlp_head.{}.output", 2 * at + 1)))?;
            }
        }
        Ok(value)
    }

    /// Its layers in a graph, all beside a layer of the model.
    pub(in super::super) fn layers(&self, graph: &Graph, own: &[ValueId], beside: &str) -> Vec<Layer> {
        Part::layers(self.parts(), graph, own, beside)
    }

    /// The virtual tokens that it makes with these weights, in order.
    pub(in super::super) fn folded(&self, own: &[&Constant]) -> Constant {
        let mut own = own.iter().map(|constant| constant.to_f32().expect("what is trained are 32-bit floats"));
        let mut next = || own.next().expect("there are as many as `parts` says");
        let mut rows: Vec<Vec<f64>> = next().chunks(self.width).map(folded_encoder::wide).collect();
        for _ in self.recurrent() {
            let layer = Recurrent { weight: next(), recurrence: next(), bias: next(), hidden: self.hidden };
            rows = layer.of(&rows);
        }
        let linear = self.linear();
        for (at, [_, made]) in linear.iter().enumerate() {
            let layer = Linear { weight: next(), bias: next(), made: *made };
            rows = rows.iter().map(|row| layer.of(row)).collect();
            if at + 1 < linear.len() {
                rows.iter_mut().flatten().for_each(|value| *value = value.max(0.0));
            }
        }
        let values: Vec<f32> = rows.iter().flatten().map(|value| *value as f32).collect();
        Constant::f32([self.length, self.width], &values)
    }
}
