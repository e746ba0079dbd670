//! Low-rank adaptation: beside a frozen weight, a product of two small ones.

use std::sync::Arc;

use millstream_schemas::choice::{Options, above};
use millstream_schemas::shown;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adapted::{AdaptedLayers, LinearMap, LinearWeight};
use super::method_function::{Added, MergedWeight, MethodFunction, MethodModel};
use super::method_kind::{Build, MethodKind};
use crate::CompilerError;
use crate::finetuning::{Layer, Weight};
use crate::graph::{Attribute, Constant, Graph, Node, ValueId};
use crate::initializers::WeightRandom;

pub(super) const METHOD: MethodKind = MethodKind {
    name: "lora",
    summary: "Beside each weight, a product of two small ones; the weight itself stays frozen.",
    documentation: "E. Hu et al., \"LoRA: Low-Rank Adaptation of Large Language Models\" (2021): y = x·W + s·(x·A)·B, A `[inputs, rank]` \
        uniform in ±1/√inputs, B `[rank, outputs]` zero, so that the first step is that of the model itself; s = `alpha`/`rank`, \
        or `alpha`/√`rank` with `rank_stabilized` (D. Kalajdzievski, 2023). Of a convolution, A is one of the same kernel, stride and \
        padding to `rank` channels (in each group), and B one of kernel 1. B learns `b_learning_rate_ratio` times as fast as A \
        (S. Hayou et al., \"LoRA+\", 2024). Merged, W becomes W + s·A·B. Layers whose A and B together hold no fewer numbers than \
        W, depthwise convolutions for example, are left out and told.",
    samples: &[
        "{}",
        r#"{"rank": 4, "alpha": 16, "layers": "all"}"#,
        r#"{"rank": 2, "rank_stabilized": true, "b_learning_rate_ratio": 16, "layers": {"match": ["encoder.*"]}}"#,
    ],
    build: Build::of::<Lora>(),
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Lora {
    /// Columns of A and rows of B.
    #[schemars(range(min = 1))]
    rank: usize,
    /// What the scale is made of, above 0; usually `rank` or twice that.
    #[schemars(extend("exclusiveMinimum" = 0))]
    alpha: f64,
    /// Divides `alpha` by the root of the rank instead of the rank.
    rank_stabilized: bool,
    /// Learning rate of B over that of A, above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    b_learning_rate_ratio: f32,
    /// Which layers it goes to.
    layers: AdaptedLayers,
}

impl Default for Lora {
    fn default() -> Self {
        let layers = AdaptedLayers::default();
        Self { rank: 8, alpha: 8.0, rank_stabilized: false, b_learning_rate_ratio: 1.0, layers }
    }
}

impl Options for Lora {
    fn validate(&self) -> Result<(), String> {
        if self.rank == 0 {
            return Err("rank is 1 or more, got 0".into());
        }
        above("alpha", self.alpha)?;
        if !(self.scale() as f32).is_normal() {
            let (alpha, rank) = (self.alpha, self.rank);
            return Err(format!("alpha of {alpha} over a rank of {rank} is no usual 32-bit float; take another"));
        }
        above("b_learning_rate_ratio", self.b_learning_rate_ratio.into())?;
        self.layers.validate()
    }
}

impl MethodFunction for Lora {
    fn add(&self, model: &mut MethodModel<'_>) -> Result<Added, CompilerError> {
        let mut added = Added { merged: Some(Vec::new()), ..Added::default() };
        let (mut left_out, mut shared) = (Vec::new(), Vec::new());
        let scale = self.scale();
        // a factor of one is not written
        let factor =
            (scale != 1.0).then(|| model.graph.named_constant("lora_scale", Constant::f32([], &[scale as f32])));
        for weight in self.layers.weights(model)? {
            let (a, b) = shapes(&weight.map, self.rank);
            let numbers =
                |shape: &[usize]| shape.iter().fold(1, |product: usize, length| product.saturating_mul(*length));
            let own = model.graph.constant_of(weight.value).expect("weights are constants").shape.clone();
            if numbers(&a).saturating_add(numbers(&b)) >= numbers(&own) {
                left_out.push(weight.layer);
                continue;
            }
            self.add_beside(model, &weight, [&a, &b], factor, &mut added)?;
            shared.extend(weight.is_shared.then_some(weight.layer));
        }
        if let Some(first) = shared.first() {
            added.merged = None;
            added.notes.push(format!(
                "something else reads the weight of `{}` too, so what `lora` adds stays beside the model when it is exported",
                shown(first)
            ));
        }
        if let Some(first) = left_out.first() {
            let rank = self.rank;
            if added.layers.is_empty() {
                return Err(CompilerError::setting(
                    "",
                    format!(
                        "rank {rank} holds no fewer numbers than the weights themselves (`{}`); take a lower one",
                        shown(first)
                    ),
                ));
            }
            let count = left_out.len();
            added.notes.push(format!(
                "lora leaves {count} layer(s) as they are, `{}` first: rank {rank} holds no fewer numbers than their weights",
                shown(first)
            ));
        }
        Ok(added)
    }
}

impl Lora {
    fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if self.rank_stabilized { rank.sqrt() } else { rank }
    }

    fn add_beside(
        &self,
        model: &mut MethodModel<'_>,
        weight: &LinearWeight,
        [a_shape, b_shape]: [&[usize]; 2],
        factor: Option<ValueId>,
        added: &mut Added,
    ) -> Result<(), CompilerError> {
        let graph = &mut *model.graph;
        let [a_name, b_name] = ["lora_A", "lora_B"].map(|part| format!("{}.{part}", weight.layer));
        let weight_name = |name: &str, graph: &Graph| graph.free_name(&format!("{name}.weight"));
        let name = weight_name(&a_name, graph);
        let inputs: usize = match &weight.map {
            LinearMap::Dense { inputs, .. } => *inputs,
            LinearMap::Convolution { .. } => a_shape[1..].iter().product(),
        };
        let bound = 1.0 / (inputs.max(1) as f64).sqrt();
        let values = WeightRandom::new(model.seed, &name).uniforms(a_shape.iter().product(), bound);
        let a = graph.constant(&name, Constant::f32(a_shape, &values));
        let name = weight_name(&b_name, graph);
        let b = graph.constant(&name, Constant::f32(b_shape, &vec![0.0; b_shape.iter().product()]));
        let scale = self.scale();
        // from the last on, so that the places of the others stay
        for at in weight.readers(graph).into_iter().rev() {
            add_branch(graph, at, &weight.map, Branch { a, b, factor, name: &weight.layer })?;
        }
        let layer = |name: String, value: ValueId, shape: &[usize], learning_rate_multiplier: f32| {
            let reader = graph.nodes().iter().enumerate().find(|(_, node)| node.input(1) == Some(value));
            let (node, operator) = reader.map_or((0, String::new()), |(node, reader)| (node, reader.operator.clone()));
            let weights = vec![Weight { value, shape: shape.to_vec(), node, input: 1 }];
            let beside = Some(weight.layer.clone());
            Layer { name, operator, weights, learning_rate_multiplier, beside }
        };
        added.layers.push(layer(a_name, a, a_shape, 1.0));
        added.layers.push(layer(b_name, b, b_shape, self.b_learning_rate_ratio));
        added.adapted.push(weight.layer.clone());
        let (map, rank) = (weight.map.clone(), self.rank);
        let rule = Arc::new(move |own: &Constant, trained: &[&Constant]| merged(&map, rank, scale, own, trained));
        let merged = MergedWeight { weight: weight.value, trained: vec![a, b], rule };
        added.merged.get_or_insert_default().push(merged);
        Ok(())
    }
}

/// Shapes of A and B.
fn shapes(map: &LinearMap, rank: usize) -> (Vec<usize>, Vec<usize>) {
    match map {
        LinearMap::Dense { inputs, outputs, .. } => (vec![*inputs, rank], vec![rank, *outputs]),
        LinearMap::Convolution { outputs, inputs_in_a_group, kernel, groups } => {
            let a = [&[groups.saturating_mul(rank), *inputs_in_a_group], kernel.as_slice()].concat();
            (a, [vec![*outputs, rank], vec![1; kernel.len()]].concat())
        }
    }
}

struct Branch<'a> {
    a: ValueId,
    b: ValueId,
    /// What the branch is multiplied by, unless that is one.
    factor: Option<ValueId>,
    name: &'a str,
}

/// Adds a branch to the output of the node `at`.
fn add_branch(graph: &mut Graph, at: usize, map: &LinearMap, branch: Branch<'_>) -> Result<(), CompilerError> {
    let node = graph.nodes()[at].clone();
    let Some(x) = node.input(0) else { return Ok(()) };
    let named = |part: &str| format!("{}.{part}", branch.name);
    graph.replace_result(at, &named("base_output"), |graph, own| {
        let reduced = match map {
            LinearMap::Dense { .. } => {
                let is_turned = node.is("Gemm") && node.int("transA").unwrap_or(0) != 0;
                let x = if is_turned {
                    graph.append("Transpose", &[x], &[("perm", vec![1, 0].into())], &named("lora_input"))?
                } else {
                    x
                };
                graph.append("MatMul", &[x, branch.a], &[], &named("lora_A.output"))?
            }
            LinearMap::Convolution { .. } => {
                graph.append("Conv", &[x, branch.a], &windows(&node), &named("lora_A.output"))?
            }
        };
        let scaled = match branch.factor {
            Some(factor) => graph.append("Mul", &[reduced, factor], &[], &named("lora_A.scaled"))?,
            None => reduced,
        };
        let made = match map {
            LinearMap::Dense { .. } => graph.append("MatMul", &[scaled, branch.b], &[], &named("lora_B.output"))?,
            LinearMap::Convolution { groups, .. } => {
                let group = ("group", Attribute::Int(*groups as i64));
                graph.append("Conv", &[scaled, branch.b], &[group], &named("lora_B.output"))?
            }
        };
        graph.append("Add", &[own, made], &[], &named("adapted_output"))
    })
}

/// Where the windows of a convolution lie, and its groups.
fn windows(node: &Node) -> Vec<(&str, Attribute)> {
    node.attributes.iter().map(|(name, value)| (name.as_str(), value.clone())).collect()
}

/// W + s·A·B, in float64, in the form that W is stored in.
fn merged(map: &LinearMap, rank: usize, scale: f64, own: &Constant, trained: &[&Constant]) -> Constant {
    let floats = |constant: &Constant| constant.to_f32().expect("weights of layers are 32-bit floats");
    let (mut values, a, b) = (floats(own), floats(trained[0]), floats(trained[1]));
    let mut add = |at: usize, difference: f64| values[at] = (f64::from(values[at]) + scale * difference) as f32;
    match map {
        LinearMap::Dense { inputs, outputs, is_transposed, factor } => {
            for input in 0..*inputs {
                for output in 0..*outputs {
                    let products =
                        (0..rank).map(|k| f64::from(a[input * rank + k]) * f64::from(b[k * outputs + output]));
                    let at = if *is_transposed { output * inputs + input } else { input * outputs + output };
                    add(at, products.sum::<f64>() / f64::from(*factor));
                }
            }
        }
        LinearMap::Convolution { outputs, inputs_in_a_group, kernel, groups } => {
            let in_a_window = inputs_in_a_group * kernel.iter().product::<usize>();
            for output in 0..*outputs {
                let first = output / (outputs / groups).max(1) * rank;
                for place in 0..in_a_window {
                    let products = (0..rank)
                        .map(|k| f64::from(b[output * rank + k]) * f64::from(a[(first + k) * in_a_window + place]));
                    add(output * in_a_window + place, products.sum());
                }
            }
        }
    }
    Constant::f32(own.shape.clone(), &values)
}
