//! Bottleneck adapters: two small layers with an activation between them, behind or beside those of the model.

use millstream_schemas::choice::{Options, above};
use millstream_schemas::shown;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adapted::AdaptedLayers;
use super::linear_weight::{LinearMap, LinearWeight};
use super::method_function::{Added, MethodFunction, MethodModel};
use super::method_kind::{Build, MethodKind};
use crate::CompilerError;
use crate::finetuning::attention::{Attention, Edges, Linear, Role};
use crate::finetuning::{Layer, Weight, find_attentions};
use crate::graph::{Constant, Graph, ValueId};
use crate::initializers::WeightRandom;

pub(super) const METHOD: MethodKind = MethodKind {
    name: "adapter",
    summary: "Small layers in every block, down to a bottleneck and up again; the model's own weights stay frozen.",
    documentation: "A(h) = s·(f(h·D + d)·U + u), D `[width, width/reduction]` uniform in ±1/√width, d, U and u zero, so that the first \
        step is that of the model itself; f is `activation`, s is `scale`. With r what a part of a block gives before it is added \
        to the stream: `houlsby` makes it r + A(r) behind the attention and behind the feed-forward part (N. Houlsby et al., \
        \"Parameter-Efficient Transfer Learning for NLP\", 2019); `pfeiffer` goes behind the feed-forward part alone, and where the \
        sum x of stream and r is normalized next, it is x + A(normalized x) that is (J. Pfeiffer et al., \"AdapterFusion\", 2021); \
        `parallel` adds A of what the feed-forward part reads to what it gives (J. He et al., \"Towards a Unified View of \
        Parameter-Efficient Transfer Learning\", 2022, whose authors take a scale of 4 and a reduction of 2). With `layers`, A goes \
        behind each of those, as in `houlsby`. What is added has an activation in its middle, and stays beside the model in the exported file.",
    samples: &[
        "{}",
        r#"{"placement": "pfeiffer", "reduction": 4, "activation": "gelu"}"#,
        r#"{"placement": "parallel", "reduction": 2, "scale": 4, "activation": "silu"}"#,
        r#"{"layers": "linear", "activation": "tanh"}"#,
    ],
    build: Build::of::<Adapter>(),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Placement {
    /// Behind the attention and behind the feed-forward part of each block.
    Houlsby,
    /// Behind the feed-forward part of each block.
    Pfeiffer,
    /// Beside the feed-forward part of each block.
    Parallel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Activation {
    /// max(x, 0).
    Relu,
    /// x·Φ(x), Φ the distribution function of the normal distribution.
    Gelu,
    /// x·sigmoid(x), also called swish.
    Silu,
    /// Hyperbolic tangent.
    Tanh,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Adapter {
    /// Where in a block it goes.
    placement: Placement,
    /// Width of the model over that of the bottleneck, which is rounded down and at least 1.
    #[schemars(range(min = 1))]
    reduction: usize,
    /// Between the two layers.
    activation: Activation,
    /// Factor on what is added, above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    scale: f32,
    /// Linear layers that it goes behind, in the place of those that `placement` says.
    layers: Option<AdaptedLayers>,
}

impl Default for Adapter {
    fn default() -> Self {
        let (placement, activation) = (Placement::Houlsby, Activation::Relu);
        Self { placement, reduction: 16, activation, scale: 1.0, layers: None }
    }
}

impl Options for Adapter {
    fn validate(&self) -> Result<(), String> {
        if self.reduction == 0 {
            return Err("reduction is 1 or more, got 0".into());
        }
        above("scale", self.scale.into())?;
        match &self.layers {
            Some(_) if self.placement != Placement::Houlsby => {
                Err("layers: `pfeiffer` and `parallel` say where they go; leave `layers` or `placement` out".into())
            }
            Some(layers) => layers.validate(),
            None => Ok(()),
        }
    }
}

impl MethodFunction for Adapter {
    fn add(&self, model: &mut MethodModel<'_>) -> Result<Added, CompilerError> {
        let roles: &[Role] = match self.placement {
            Placement::Houlsby => &[Role::Output, Role::FeedForwardOut],
            Placement::Pfeiffer | Placement::Parallel => &[Role::FeedForwardOut],
        };
        let layers = self.layers.clone().unwrap_or_else(|| AdaptedLayers::of_roles(roles.iter().copied()));
        let weights = layers.weights_of_any_form(model)?;
        let mut added = Added { is_apart: true, ..Added::default() };
        let attentions =
            if self.placement == Placement::Houlsby { Vec::new() } else { find_attentions(model.base).found };
        let mut behind_sums = 0;
        for weight in &weights {
            let LinearMap::Dense { outputs, .. } = weight.map else {
                return Err(CompilerError::setting(
                    "",
                    format!(
                        "layer `{}` is a convolution, and `adapter` goes behind linear layers; name others",
                        shown(&weight.layer)
                    ),
                ));
            };
            let own = self.draw(model, weight, outputs);
            for linear in linears(model.base, weight) {
                behind_sums += self.place(model, &linear, &attentions, &own)?;
            }
            register(model.graph, weight, &own, &mut added);
        }
        if self.placement == Placement::Pfeiffer {
            added.notes.push(format!(
                "`adapter` reads the normalized sum in {behind_sums} place(s), and what the layer gives in the others"
            ));
        }
        added.notes.push(
            "what `adapter` adds stays beside the model when it is exported: it has an activation in its middle".into(),
        );
        Ok(added)
    }
}

/// The weights of one adapter.
struct Bottleneck {
    name: String,
    /// Matrix and bias, down and up.
    down: [ValueId; 2],
    up: [ValueId; 2],
    scale: Option<ValueId>,
    /// Of the model, and of the bottleneck.
    widths: [usize; 2],
}

impl Adapter {
    fn draw(&self, model: &mut MethodModel<'_>, weight: &LinearWeight, width: usize) -> Bottleneck {
        let graph = &mut *model.graph;
        let narrow = (width / self.reduction).max(1);
        let constant = |graph: &mut Graph, part: &str, shape: &[usize], bound: f64| {
            let name = graph.free_name(&format!("{}.{part}", weight.layer));
            let count = shape.iter().product();
            let values = if bound > 0.0 {
                WeightRandom::new(model.seed, &name).uniforms(count, bound)
            } else {
                vec![0.0; count]
            };
            graph.constant(&name, Constant::f32(shape, &values))
        };
        let bound = 1.0 / (width.max(1) as f64).sqrt();
        let down = constant(graph, "adapter_down.weight", &[width, narrow], bound);
        let down_bias = constant(graph, "adapter_down.bias", &[narrow], 0.0);
        let up = constant(graph, "adapter_up.weight", &[narrow, width], 0.0);
        let up_bias = constant(graph, "adapter_up.bias", &[width], 0.0);
        let is_scaled = self.scale != 1.0;
        let scale = is_scaled.then(|| graph.named_constant("adapter_scale", Constant::f32([], &[self.scale])));
        let name = weight.layer.clone();
        Bottleneck { name, down: [down, down_bias], up: [up, up_bias], scale, widths: [width, narrow] }
    }

    /// Adds nodes at one use of a layer. Returns 1 where they read a normalized sum.
    fn place(
        &self,
        model: &mut MethodModel<'_>,
        linear: &Linear,
        attentions: &[Attention],
        own: &Bottleneck,
    ) -> Result<usize, CompilerError> {
        let graph = &mut *model.graph;
        let normalization = match self.placement {
            Placement::Pfeiffer => normalization_behind(model.base, linear.result),
            _ => None,
        };
        if let Some(sum) = normalization {
            let reads = |graph: &Graph| {
                graph.nodes().iter().position(|node| node.is("LayerNormalization") && node.input(0) == Some(sum))
            };
            let at = reads(graph).expect("a method keeps the nodes of the model");
            let node = graph.nodes()[at].clone();
            // a copy of it is what an adapter that stands there already reads
            let alike = |graph: &Graph| graph.nodes().iter().filter(|other| other.input(1) == node.input(1)).count();
            if alike(graph) > alike(model.base) {
                return Err(CompilerError::setting(
                    "",
                    format!(
                        "another `adapter` stands at the normalization behind `{}` already; give one of them another `placement`",
                        shown(graph.name(linear.result))
                    ),
                ));
            }
            let before = graph.nodes().len();
            let moved = graph.in_front_of(at, |graph| {
                let attributes: Vec<(&str, _)> =
                    node.attributes.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                let inputs: Vec<ValueId> = node.inputs.iter().flatten().copied().collect();
                let normalized = graph.append("LayerNormalization", &inputs, &attributes, &own.part("normalized"))?;
                let made = self.nodes(graph, normalized, own)?;
                graph.append("Add", &[sum, made], &[], &own.part("adapted_sum"))
            })?;
            let at = at + graph.nodes().len() - before;
            graph.set_input(at, 0, moved);
            return Ok(1);
        }
        let beside = match self.placement {
            Placement::Parallel => attentions
                .iter()
                .flat_map(|block| &block.feed_forward)
                .find(|part| part.narrow.node == linear.node)
                .map(|part| part.wide[0].input),
            _ => None,
        };
        let made = |node: &crate::graph::Node| node.outputs.first().copied().flatten() == Some(linear.result);
        let at = graph.nodes().iter().position(made).expect("what a layer makes keeps its name");
        graph.replace_result(at, &own.part("base_output"), |graph, result| {
            let made = self.nodes(graph, beside.unwrap_or(result), own)?;
            graph.append("Add", &[result, made], &[], &own.part("adapted_output"))
        })?;
        Ok(0)
    }

    /// A of a value.
    fn nodes(&self, graph: &mut Graph, value: ValueId, own: &Bottleneck) -> Result<ValueId, CompilerError> {
        let linear = |graph: &mut Graph, value: ValueId, [weight, bias]: [ValueId; 2], part: &str| {
            let product = graph.append("MatMul", &[value, weight], &[], &own.part(&format!("{part}.product")))?;
            graph.append("Add", &[product, bias], &[], &own.part(&format!("{part}.output")))
        };
        let narrow = linear(graph, value, own.down, "adapter_down")?;
        let active = self.activation.nodes(graph, narrow, own)?;
        let wide = linear(graph, active, own.up, "adapter_up")?;
        match own.scale {
            Some(scale) => graph.append("Mul", &[wide, scale], &[], &own.part("adapter_up.scaled")),
            None => Ok(wide),
        }
    }
}

impl Bottleneck {
    fn part(&self, part: &str) -> String {
        format!("{}.{part}", self.name)
    }
}

impl Activation {
    fn nodes(self, graph: &mut Graph, x: ValueId, own: &Bottleneck) -> Result<ValueId, CompilerError> {
        let name = own.part("adapter_active");
        match self {
            Self::Relu => graph.append("Relu", &[x], &[], &name),
            Self::Tanh => graph.append("Tanh", &[x], &[], &name),
            Self::Silu => {
                let gate = graph.append("Sigmoid", &[x], &[], &own.part("adapter_gate"))?;
                graph.append("Mul", &[x, gate], &[], &name)
            }
            Self::Gelu => {
                let number = |graph: &mut Graph, value: f32| {
                    graph.named_constant(&own.part("adapter_number"), Constant::f32([], &[value]))
                };
                let (root, one, half) =
                    (number(graph, std::f32::consts::FRAC_1_SQRT_2), number(graph, 1.0), number(graph, 0.5));
                let scaled = graph.append("Mul", &[x, root], &[], &own.part("adapter_gate.scaled"))?;
                let error = graph.append("Erf", &[scaled], &[], &own.part("adapter_gate.erf"))?;
                let sum = graph.append("Add", &[error, one], &[], &own.part("adapter_gate.sum"))?;
                let gate = graph.append("Mul", &[sum, half], &[], &own.part("adapter_gate"))?;
                graph.append("Mul", &[x, gate], &[], &name)
            }
        }
    }
}

/// The layer at each place where its weight is used.
fn linears(base: &Graph, weight: &LinearWeight) -> Vec<Linear> {
    let edges = Edges::new(base);
    weight.readers(base).into_iter().filter_map(|at| edges.linear(at)).collect()
}

/// The sum of the stream and of what a layer makes, where it is normalized next and goes nowhere else.
fn normalization_behind(base: &Graph, result: ValueId) -> Option<ValueId> {
    let edges = Edges::new(base);
    let only = |value: ValueId| match edges.readers.get(&value).map(Vec::as_slice) {
        Some([reader]) if !base.outputs().contains(&value) => Some(&base.nodes()[*reader]),
        _ => None,
    };
    let mut value = result;
    loop {
        let node = only(value)?;
        let made = node.outputs.first().copied().flatten()?;
        match node.operator.as_str() {
            "Cast" | "Dropout" | "Identity" | "Reshape" if node.domain.is_empty() => value = made,
            "Add" if node.domain.is_empty() => {
                let normalized = only(made)?;
                return normalized.is("LayerNormalization").then_some(made);
            }
            _ => return None,
        }
    }
}

fn register(graph: &Graph, weight: &LinearWeight, own: &Bottleneck, added: &mut Added) {
    let [width, narrow] = own.widths;
    let parts = [("adapter_down", own.down, [width, narrow]), ("adapter_up", own.up, [narrow, width])];
    for (part, [matrix, bias], shape) in parts {
        let weight_of = |value: ValueId, shape: Vec<usize>| {
            let reads = |node: &crate::graph::Node| node.input(1) == Some(value);
            Weight { value, shape, node: graph.nodes().iter().position(reads).unwrap_or_default(), input: 1 }
        };
        let weights = vec![weight_of(matrix, shape.to_vec()), weight_of(bias, vec![shape[1]])];
        let beside = Some(weight.layer.clone());
        let (name, operator) = (own.part(part), "MatMul".to_owned());
        added.layers.push(Layer { name, operator, weights, learning_rate_multiplier: 1.0, beside });
    }
    added.adapted.push(weight.layer.clone());
}
